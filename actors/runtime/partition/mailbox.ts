/**
 * Messages that wait for the host's next tick, in lanes: urgent requests first, then what the host
 * owes itself (answers, wakes), letters, then normal and bulk requests. Within a
 * lane the parties take turns. While there are letters and
 * other messages, a share of each tick is for letters and the rest for the others. Requests are
 * bounded by partition, letters by their reader; the host's own messages are bounded by what it has
 * sent, and are never refused.
 */
import { Lane } from '../../../core/base/lane.ts'
import { limits } from '../../../core/base/limits.ts'
import { FairQueue } from './fair-queue.ts'
import { MailQueue, type Mail } from './mail-queue.ts'

const order = [Lane.URGENT, 'own', 'letters', Lane.NORMAL, Lane.BULK] as const

/** Requests, each party in turn. */
const laneOrder = [Lane.URGENT, Lane.NORMAL, Lane.BULK] as const

export class Mailbox {
  private readonly own = new MailQueue()
  private readonly letters = new MailQueue()
  private readonly lanes = new Map<Lane, FairQueue>(
    laneOrder.map((lane) => [lane, new FairQueue()]),
  )
  /** What was put back goes before all lanes and shares, or letters would be out of order. */
  private readonly again = new MailQueue()
  /** Called when the first message comes into an empty mailbox. */
  onReady: () => void = () => {}

  /** Messages in all lanes. */
  length = 0

  /** Messages of the host's own that wait. */
  get ownLength(): number {
    return this.own.length
  }

  /**
   * Adds a request of `party`; false when its partition has as many waiting as it may, or more of
   * this party than there is room left: one flood leaves half for others, two leave a third.
   */
  offer(mail: Mail, lane: Lane, party = ''): boolean {
    const { partition } = mail
    const queue = this.lanes.get(lane) ?? this.lanes.get(Lane.NORMAL)!
    const room = limits.mailboxMessagesMax - partition.waiting
    const isHalfFull = room <= partition.waiting
    if (room <= 0 || (isHalfFull && queue.waitingOf(party, partition) >= room)) return false
    partition.waiting++
    queue.push(mail, party)
    this.added()
    return true
  }

  /** Adds a message of the host's own. */
  post(mail: Mail): void {
    this.own.push(mail)
    this.added()
  }

  /** Adds a letter to an actor; the reader of letters bounds them. */
  tell(mail: Mail): void {
    this.letters.push(mail)
    this.added()
  }

  /** Puts back what a tick took and could not commit, before everything else and in its order. */
  putBack(mails: readonly Mail[]): void {
    this.again.unshift(mails)
    this.length += mails.length
    for (const { partition, message } of mails) if (message.type === 'ARRIVED') partition.waiting++
  }

  /** Up to `max` messages, in the order in which they are to be decided. */
  take(max: number): Mail[] {
    const taken: Mail[] = []
    this.again.moveTo(taken, max)
    const room = max - taken.length
    const letters = this.letters.length
    const others = this.length - taken.length - letters
    const share = Math.ceil((room * limits.tickLettersPercent) / 100)
    const lettersMax = Math.min(letters, Math.max(share, room - others))
    let othersMax = room - lettersMax
    for (const lane of order) {
      const before = taken.length
      const isLetters = lane === 'letters'
      this.queueOf(lane).moveTo(taken, isLetters ? lettersMax : othersMax)
      if (!isLetters) othersMax -= taken.length - before
    }
    this.length -= taken.length
    for (const { partition, message } of taken) if (message.type === 'ARRIVED') partition.waiting--
    return taken
  }

  private queueOf(name: (typeof order)[number]): MailQueue | FairQueue {
    if (name === 'own') return this.own
    return name === 'letters' ? this.letters : this.lanes.get(name)!
  }

  private added(): void {
    if (this.length++ === 0) this.onReady()
  }
}
