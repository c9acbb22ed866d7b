/**
 * Brings letters from the ledger to the mailbox: for each partition served here it follows the
 * letters to its actors, from the place up to which they are decided. It takes only what is decided
 * soon; the rest waits in the ledger, and no partition waits for another.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { textOfActor } from '../../../core/base/actor-id.ts'
import { copyOf } from '../../../core/base/bytes.ts'
import { isLaterVersion } from '../../../core/envelope/version.ts'
import { isBefore, type LetterPlace } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import type { LettersBacklog } from '../../../core/cluster/process-status.ts'
import { lettersSubject } from '../../../core/cluster/letters-subject.ts'
import { readLetter } from '../../../core/envelope/letter.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import type { Ledger, LedgerMessage } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import type { LetterCame } from '../../kind/letters.ts'
import type { Mail } from '../partition/mail-queue.ts'
import type { Partition } from '../partition/partition.ts'
import type { LettersReadings, SentLetter } from './host-metrics.ts'
import { lettersIn } from '../recovery/unread-letters.ts'

export type LetterReaderPorts = {
  ledger: Pick<Ledger, 'follow' | 'read'>
  clock: Clock
  log: Log
  post: (mail: Mail) => void
  /** The partition while it is served here. */
  served: (number: number) => Partition | undefined
  held: () => SentLetter | undefined
}

/** A partition whose letters are read. */
type Reading = {
  readonly number: number
  readonly partition: Partition
  follower: Promise<{ close(): Promise<void> }> | undefined
  /** Of the last letter that was posted. */
  at: LetterPlace
  /** Those that are not decided yet. */
  readonly posted: SentLetterAt[]
  /** The letter that waits for room, or cannot be read. */
  next: SentLetterAt | undefined
  /** Why letters are not read further, until an operator sets this one aside. */
  fault: unknown
  /** Letters in the ledger behind `at`, up to `countedThrough`: counted while they wait. */
  ahead: number
  countedThrough: number
  countedAtMs: number
  isCounting: boolean
  /** Called after every tick, and now and then. */
  onLook: () => void
}

type SentLetterAt = { place: LetterPlace; sentAtMs: number }

export class LetterReader implements LettersReadings {
  private readonly ports: LetterReaderPorts
  private readonly readings = new Map<number, Reading>()
  private isClosing = false

  constructor(ports: LetterReaderPorts) {
    this.ports = ports
  }

  /** Letters that are read and not decided. */
  get inHand(): number {
    let count = 0
    for (const { posted } of this.readings.values()) count += posted.length
    return count
  }

  /** Letters to the partitions served here that are not decided. */
  get unread(): number {
    let count = 0
    for (const reading of this.readings.values()) count += unreadOf(reading)
    return count
  }

  /** The same for others: bulk work waits for them. */
  get backlog(): LettersBacklog {
    let unreadMax = 0
    for (const reading of this.readings.values()) unreadMax = Math.max(unreadMax, unreadOf(reading))
    const { oldest } = this
    const oldestMs = oldest === undefined ? 0 : Math.max(0, this.now - oldest.sentAtMs)
    return { unreadMax, oldestMs }
  }

  /** The oldest of them: to which partition, and when it was sent, UTC ms. */
  get oldest(): SentLetter | undefined {
    let found: SentLetter | undefined
    for (const [partition, { posted, next }] of this.readings) {
      const sentAtMs = (posted[0] ?? next)?.sentAtMs ?? 0
      if (sentAtMs > 0 && sentAtMs < (found?.sentAtMs ?? Infinity)) found = { partition, sentAtMs }
    }
    return found
  }

  /** The letter that keeps the ledger from being trimmed. */
  get held(): SentLetter | undefined {
    return this.ports.held()
  }

  get now(): number {
    return this.ports.clock.now()
  }

  /** Why letters are not read further: a later version has written them. */
  get laterVersion(): string | undefined {
    for (const { fault } of this.readings.values()) if (isLaterVersion(fault)) return fault.message
    return undefined
  }

  /** Reads from the place up to which each has decided: what was posted before may be lost. */
  restart(numbers: Iterable<number>): void {
    for (const number of numbers) {
      void this.stop(number)
      this.open(number)
    }
  }

  /** To be called after ticks, and now and then: what is decided, or not served any more, goes. */
  makeRoom(): void {
    for (const reading of this.readings.values()) {
      const { number, partition, posted } = reading
      if (!this.isCurrent(reading)) void this.stop(number)
      if (posted.length > 0) {
        const read = partition.lettersReadKnown
        while (read !== undefined && posted.length > 0 && !isBefore(read, posted[0]!.place))
          posted.shift()
      }
      if (reading.next !== undefined) void this.count(reading)
      reading.onLook()
    }
  }

  async close(): Promise<void> {
    this.isClosing = true
    await Promise.all([...this.readings.keys()].map((number) => this.stop(number)))
  }

  private async stop(number: number): Promise<void> {
    const reading = this.readings.get(number)
    this.readings.delete(number)
    reading?.onLook()
    await (await reading?.follower)?.close()
  }

  private open(number: number): void {
    const partition = this.ports.served(number)
    const at = partition?.lettersReadKnown
    if (partition === undefined || at === undefined || this.isClosing) return
    const reading = readingFrom(partition, at)
    this.readings.set(number, reading)
    const from = Math.max(1, at.sequence)
    reading.follower = this.ports.ledger.follow(lettersSubject(number), from, (message) =>
      this.take(reading, message),
    )
  }

  private isCurrent(reading: Reading): boolean {
    const { number, partition } = reading
    const isServed = this.ports.served(number) === partition
    return isServed && this.readings.get(number) === reading && !this.isClosing
  }

  /** Settles when all letters of the message are posted, or the reading is over. */
  private async take(reading: Reading, message: LedgerMessage): Promise<void> {
    while (this.isCurrent(reading)) {
      try {
        await this.post(reading, message)
        reading.fault = undefined
        return
      } catch (fault) {
        reading.fault = fault
        const { number: partition } = reading
        const { sequence } = message
        this.ports.log.warn({ partition, sequence, fault: String(fault) }, 'a letter is not read')
      }
      while (this.isCurrent(reading) && !isSetAside(reading)) await nextLook(reading)
    }
  }

  /** Posts the letters of a message as there is room. */
  private async post(reading: Reading, { sequence, data }: LedgerMessage): Promise<void> {
    const { partition, posted } = reading
    const read = partition.lettersReadKnown ?? reading.at
    for (const { place, at, sentAtMs } of lettersIn({ sequence, data })) {
      if (!isBefore(reading.at, place)) continue
      // Set aside by an operator, or decided before this reading began.
      if (!isBefore(read, place)) {
        passOn(reading, place)
        continue
      }
      reading.next = { place, sentAtMs }
      while (posted.length >= limits.lettersInHandMax && this.isCurrent(reading))
        await nextLook(reading)
      if (!this.isCurrent(reading)) return
      const { from, to, hops, bodyView } = readLetter(data, at)
      if (!partition.holds(to))
        throw new BrokerError('FORMAT_VERSION_LATER', `a letter to the actor ${textOfActor(to)}`)
      const { at: previous } = reading
      const bodyBytes = copyOf(bodyView)
      const message: LetterCame = { type: 'LETTER', from, place, previous, hops, bodyBytes }
      passOn(reading, place)
      posted.push({ place, sentAtMs })
      this.ports.post({ partition, actor: to, message })
    }
  }

  /** Counts the letters that wait in the ledger, of which nothing is known while one holds them. */
  private async count(reading: Reading): Promise<void> {
    const { clock, ledger, log } = this.ports
    const elapsedMs = clock.elapsedMs()
    if (reading.isCounting || elapsedMs - reading.countedAtMs < limits.lettersCountMs) return
    reading.isCounting = true
    reading.countedAtMs = elapsedMs
    const from = Math.max(1, reading.at.sequence, reading.countedThrough + 1)
    try {
      await ledger.read(lettersSubject(reading.number), from, (message) => {
        for (const { place } of lettersIn(message)) if (isBefore(reading.at, place)) reading.ahead++
        reading.countedThrough = message.sequence
      })
    } catch (fault) {
      log.debug({ partition: reading.number, fault: String(fault) }, 'letters are not counted')
    }
    reading.isCounting = false
  }
}

const unreadOf = ({ posted, next, ahead }: Reading): number =>
  posted.length + Math.max(ahead, next === undefined ? 0 : 1)

const readingFrom = (partition: Partition, at: LetterPlace): Reading => ({
  number: partition.number,
  partition,
  follower: undefined,
  at,
  posted: [],
  next: undefined,
  fault: undefined,
  ahead: 0,
  countedThrough: 0,
  countedAtMs: -Infinity,
  isCounting: false,
  onLook: () => undefined,
})

/** The reading has come to `place`. */
function passOn(reading: Reading, place: LetterPlace): void {
  reading.at = place
  reading.next = undefined
  if (place.sequence <= reading.countedThrough) reading.ahead--
}

/** An operator has set the letter aside on which the reading stands. */
function isSetAside({ partition, at }: Reading): boolean {
  const read = partition.lettersReadKnown
  return read !== undefined && isBefore(at, read)
}

/** Settles when there may be room, or the reading is over. */
const nextLook = (reading: Reading): Promise<void> =>
  new Promise((resolve) => (reading.onLook = resolve))
