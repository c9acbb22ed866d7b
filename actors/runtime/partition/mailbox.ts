/**
 * Messages that wait for the host's next tick, in lanes: urgent requests first, then what the host
 * owes itself (answers, wakes), letters, then normal and bulk requests. While there are letters and
 * other messages, a share of each tick is for letters and the rest for the others. Requests are
 * bounded by partition, letters by their reader; the host's own messages are bounded by what it has
 * sent, and are never refused.
 */
import type { ActorId } from '../../../core/base/actor-id.ts'
import { Lane } from '../../../core/base/lane.ts'
import { limits } from '../../../core/base/limits.ts'
import type { ActorMessage } from '../../kind/messages.ts'
import type { Partition } from './partition.ts'

export type Mail = { partition: Partition; actor: ActorId; message: ActorMessage }

const order = [Lane.URGENT, 'own', 'letters', Lane.NORMAL, Lane.BULK] as const

class Queue {
  private items: Mail[] = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  push(mail: Mail): void {
    this.items.push(mail)
  }

  unshift(mails: readonly Mail[]): void {
    this.items = [...mails, ...this.items.slice(this.head)]
    this.head = 0
  }

  moveTo(target: Mail[], max: number): void {
    const end = Math.min(this.items.length, this.head + max)
    while (this.head < end) target.push(this.items[this.head++]!)
    if (this.head === this.items.length) {
      this.items = []
      this.head = 0
    }
  }
}

export class Mailbox {
  private readonly queues = new Map<(typeof order)[number], Queue>(
    order.map((lane) => [lane, new Queue()]),
  )
  /** What was put back goes before all lanes and shares, or letters would be out of order. */
  private readonly again = new Queue()
  /** Called when the first message comes into an empty mailbox. */
  onReady: () => void = () => {}

  /** Messages in all lanes. */
  length = 0

  /** Messages of the host's own that wait. */
  get ownLength(): number {
    return this.queues.get('own')!.length
  }

  /** Adds a request; false when its partition has as many waiting as it may. */
  offer(mail: Mail, lane: Lane): boolean {
    if (mail.partition.waiting >= limits.mailboxMessagesMax) return false
    mail.partition.waiting++
    this.add(this.queues.get(lane) ?? this.queues.get(Lane.NORMAL)!, mail)
    return true
  }

  /** Adds a message of the host's own. */
  post(mail: Mail): void {
    this.add(this.queues.get('own')!, mail)
  }

  /** Adds a letter to an actor; the reader of letters bounds them. */
  tell(mail: Mail): void {
    this.add(this.queues.get('letters')!, mail)
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
    const letters = this.queues.get('letters')!.length
    const others = this.length - taken.length - letters
    const share = Math.ceil((room * limits.tickLettersPercent) / 100)
    const lettersMax = Math.min(letters, Math.max(share, room - others))
    let othersMax = room - lettersMax
    for (const lane of order) {
      const before = taken.length
      const isLetters = lane === 'letters'
      this.queues.get(lane)!.moveTo(taken, isLetters ? lettersMax : othersMax)
      if (!isLetters) othersMax -= taken.length - before
    }
    this.length -= taken.length
    for (const { partition, message } of taken) if (message.type === 'ARRIVED') partition.waiting--
    return taken
  }

  private add(queue: Queue, mail: Mail): void {
    queue.push(mail)
    if (this.length++ === 0) this.onReady()
  }
}
