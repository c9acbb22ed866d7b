/**
 * Brings letters from the ledger to the mailbox: those to actors of the partitions served here, in
 * the order of the ledger, from the place up to which each partition has decided them. It takes
 * only what is decided soon; a partition that is not served keeps its place and holds up no other.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { textOfActor } from '../../../core/base/actor-id.ts'
import { copyOf } from '../../../core/base/bytes.ts'
import { isLaterVersion } from '../../../core/envelope/version.ts'
import { isBefore, noLetter, type LetterPlace } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  lettersSubject,
  partitionOfLetters,
  recordSubjects,
} from '../../../core/cluster/letters-subject.ts'
import { readLetter } from '../../../core/envelope/letter.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import type { Ledger, LedgerMessage } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import type { LetterCame } from '../../kind/letters.ts'
import type { Mail } from '../partition/mailbox.ts'
import type { Partition } from '../partition/partition.ts'
import type { LettersReadings, SentLetter } from './host-metrics.ts'
import { lettersIn } from '../recovery/unread-letters.ts'

export type LetterReaderPorts = {
  ledger: Pick<Ledger, 'follow' | 'read' | 'lastOn'>
  clock: Clock
  log: Log
  post: (mail: Mail) => void
  /** The partition while it is served here. */
  served: (number: number) => Partition | undefined
  held: () => SentLetter | undefined
}

/** Ends the reading of a partition that is not served any more, or is read again. */
const stopped = new Error('the reading is over')

/** A partition whose letters are read. */
type Reading = {
  readonly partition: Partition
  /** Of the last letter that was posted. */
  at: LetterPlace
  /** Those that are not decided yet. */
  readonly posted: Array<{ place: LetterPlace; sentAtMs: number }>
  /** When the letter that waits to be posted was sent, UTC ms; 0 while none is known to wait. */
  nextSentAtMs: number
  /** Letters in the ledger behind `at`. What the tail gives is beyond `countThrough`. */
  ahead: number
  readonly countThrough: number
  isCounted: boolean
  isMore: boolean
  isRunning: boolean
  /** What the tail gives goes to `come`, and what stands before that is read, or being read. */
  isFollowing: boolean
  readonly come: LedgerMessage[]
  /** It has failed, and is tried again in a while. */
  isWaiting: boolean
  onRoom: () => void
}

export class LetterReader implements LettersReadings {
  private readonly ports: LetterReaderPorts
  private readonly readings = new Map<number, Reading>()
  private tail: { close(): Promise<void> } | undefined
  private isClosing = false
  /** Sequence of the last message that the tail has given. */
  private tailSequence = 0
  /** Why letters are not read further: a later version has written them. */
  laterVersion: string | undefined

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
    for (const { posted, ahead } of this.readings.values())
      count += posted.length + Math.max(0, ahead)
    return count
  }

  /** The oldest of them: to which partition, and when it was sent, UTC ms. */
  get oldest(): SentLetter | undefined {
    let found: SentLetter | undefined
    for (const [partition, { posted, nextSentAtMs }] of this.readings) {
      const sentAtMs = posted[0]?.sentAtMs ?? nextSentAtMs
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

  /** Follows what comes. @throws BrokerError BROKER_LEDGER_UNAVAILABLE */
  async start(): Promise<void> {
    const { ledger } = this.ports
    const last = (await ledger.lastOn(recordSubjects))?.sequence ?? 0
    this.tailSequence = last
    this.tail = await ledger.follow(recordSubjects, last + 1, (message) => {
      this.tailSequence = message.sequence
      const number = partitionOfLetters(message.subject)
      if (number === undefined) return
      this.onLetters(number, message)
    })
  }

  /** Reads from the place up to which each has decided: what was posted before may be lost. */
  restart(numbers: Iterable<number>): void {
    for (const number of numbers) {
      this.stop(number)
      this.look(number)
    }
  }

  /** To be called after ticks, and now and then: what is decided, or not served any more, goes. */
  makeRoom(): void {
    for (const [number, reading] of this.readings) {
      if (!this.isCurrent(number, reading)) this.stop(number)
      if (reading.posted.length === 0) continue
      const read = reading.partition.lettersReadKnown
      if (read === undefined) continue
      while (reading.posted.length > 0 && !isBefore(read, reading.posted[0]!.place))
        reading.posted.shift()
      reading.onRoom()
    }
  }

  async close(): Promise<void> {
    this.isClosing = true
    for (const number of [...this.readings.keys()]) this.stop(number)
    await this.tail?.close()
  }

  private stop(number: number): void {
    const reading = this.readings.get(number)
    this.readings.delete(number)
    reading?.onRoom()
  }

  /** There may be more letters to a partition. */
  private look(number: number): void {
    const partition = this.ports.served(number)
    if (partition === undefined || this.isClosing) return
    let reading = this.readings.get(number)
    if (reading?.partition !== partition) {
      const at = partition.lettersReadKnown
      if (at === undefined) return
      reading = readingFrom(partition, at, this.tailSequence)
      this.readings.set(number, reading)
    }
    reading.isMore = true
    this.begin(number, reading)
  }

  /** New letters to a partition: taken as they come when the reading has all before them. */
  private onLetters(number: number, message: LedgerMessage): void {
    const reading = this.readings.get(number)
    if (reading === undefined || !this.isCurrent(number, reading)) return this.look(number)
    reading.ahead += countIn(message)
    if (reading.isFollowing && reading.come.length < limits.lettersComeMax)
      reading.come.push(message)
    else leaveTail(reading)
    this.begin(number, reading)
  }

  private begin(number: number, reading: Reading): void {
    if (!reading.isRunning && !reading.isWaiting) void this.run(number, reading)
  }

  private isCurrent(number: number, reading: Reading): boolean {
    const isServed = this.ports.served(number) === reading.partition
    return isServed && this.readings.get(number) === reading && !this.isClosing
  }

  private async run(number: number, reading: Reading): Promise<void> {
    const { ledger, clock, log } = this.ports
    const subject = lettersSubject(number)
    reading.isRunning = true
    try {
      while (this.isCurrent(number, reading)) {
        const come = reading.come.shift()
        if (come !== undefined) {
          await this.take(number, reading, come)
          continue
        }
        if (!reading.isMore) break
        reading.isMore = false
        // What the tail gives from here on may be in what is read, too; nothing is missing between.
        reading.isFollowing = true
        const last = await ledger.lastOn(subject)
        if (last === undefined || last.sequence < reading.at.sequence) continue
        const from = Math.max(1, reading.at.sequence)
        if (!reading.isCounted) await this.count(subject, reading)
        await ledger.read(subject, from, (message) => this.take(number, reading, message))
      }
      this.laterVersion = undefined
    } catch (fault) {
      if (fault === stopped) return
      leaveTail(reading)
      if (isLaterVersion(fault)) this.laterVersion = fault.message
      const code = fault instanceof BrokerError ? fault.code : String(fault)
      log.warn({ partition: number, code }, 'letters cannot be read for the moment')
      reading.isWaiting = true
      clock.at(clock.now() + limits.busyRetryMs, () => {
        reading.isWaiting = false
        this.look(number)
      })
    }
    reading.isRunning = false
  }

  /** Counts what was there when the reading began; later letters come by the tail. */
  private async count(subject: string, reading: Reading): Promise<void> {
    reading.isCounted = true
    const { at, countThrough } = reading
    await this.ports.ledger.read(subject, Math.max(1, at.sequence), (message) => {
      if (message.sequence <= countThrough) reading.ahead += countIn(message, at)
    })
  }

  /** Posts the letters of a message as there is room. */
  private async take(
    number: number,
    reading: Reading,
    { sequence, data }: LedgerMessage,
  ): Promise<void> {
    const read = reading.partition.lettersReadKnown ?? reading.at
    for (const { place, at, sentAtMs } of lettersIn({ sequence, data })) {
      if (!isBefore(reading.at, place)) continue
      // Set aside by an operator, or decided before this reading began.
      if (!isBefore(read, place)) {
        passOn(reading, place)
        continue
      }
      reading.nextSentAtMs = sentAtMs
      while (reading.posted.length >= limits.lettersInHandMax && this.isCurrent(number, reading))
        await new Promise<void>((resolve) => (reading.onRoom = resolve))
      if (!this.isCurrent(number, reading)) throw stopped
      const { partition, at: previous } = reading
      const { from, to, hops, bodyView } = readLetter(data, at)
      if (!partition.holds(to))
        throw new BrokerError('FORMAT_VERSION_LATER', `a letter to the actor ${textOfActor(to)}`)
      const bodyBytes = copyOf(bodyView)
      const message: LetterCame = { type: 'LETTER', from, place, previous, hops, bodyBytes }
      passOn(reading, place)
      reading.posted.push({ place, sentAtMs })
      this.ports.post({ partition, actor: to, message })
    }
  }
}

const readingFrom = (partition: Partition, at: LetterPlace, countThrough: number): Reading => ({
  partition,
  at,
  posted: [],
  nextSentAtMs: 0,
  ahead: 0,
  countThrough,
  isCounted: false,
  isMore: true,
  isRunning: false,
  isFollowing: false,
  come: [],
  isWaiting: false,
  onRoom: () => undefined,
})

/** The reading has come to `place`. */
function passOn(reading: Reading, place: LetterPlace): void {
  reading.at = place
  reading.ahead--
  reading.nextSentAtMs = 0
}

/** The reading looks into the ledger again for what the tail has given and will give. */
function leaveTail(reading: Reading): void {
  reading.isFollowing = false
  reading.come.length = 0
  reading.isMore = true
}

/** Letters of the message that stand behind `place`. */
const countIn = (message: LedgerMessage, place = noLetter): number =>
  lettersIn(message).filter((letter) => isBefore(place, letter.place)).length
