/**
 * Brings letters from the ledger to the mailbox: those to actors of the partitions served here, in
 * the order of the ledger, from the place up to which each partition has decided them. It takes
 * only what is decided soon; a partition that is not served keeps its place and holds up no other.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { textOfActor } from '../../../core/base/actor-id.ts'
import { copyOf } from '../../../core/base/bytes.ts'
import { isLaterVersion } from '../../../core/envelope/version.ts'
import { isBefore, type LetterPlace } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  lettersSubject,
  partitionOfLetters,
  recordSubjects,
} from '../../../core/cluster/letters-subject.ts'
import { forEachEnvelope } from '../../../core/envelope/frame.ts'
import { readLetter } from '../../../core/envelope/letter.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import type { Ledger, LedgerMessage } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import type { LetterCame } from '../../kind/letters.ts'
import type { Mail } from '../partition/mailbox.ts'
import type { Partition } from '../partition/partition.ts'

export type LetterReaderPorts = {
  ledger: Pick<Ledger, 'follow' | 'read' | 'lastOn'>
  clock: Clock
  log: Log
  post: (mail: Mail) => void
  /** The partition while it is served here. */
  served: (number: number) => Partition | undefined
}

/** Ends the reading of a partition that is not served any more, or is read again. */
const stopped = new Error('the reading is over')

/** A partition whose letters are read. */
type Reading = {
  readonly partition: Partition
  /** Of the last letter that was posted. */
  at: LetterPlace
  /** Places of those that are not decided yet. */
  readonly posted: LetterPlace[]
  isMore: boolean
  isRunning: boolean
  onRoom: () => void
}

export class LetterReader {
  private readonly ports: LetterReaderPorts
  private readonly readings = new Map<number, Reading>()
  private tail: { close(): Promise<void> } | undefined
  private isClosing = false
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

  /** Follows what comes. @throws BrokerError BROKER_LEDGER_UNAVAILABLE */
  async start(): Promise<void> {
    const { ledger } = this.ports
    const last = (await ledger.lastOn(recordSubjects))?.sequence ?? 0
    this.tail = await ledger.follow(recordSubjects, last + 1, ({ subject }) => {
      const number = partitionOfLetters(subject)
      if (number !== undefined) this.look(number)
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
      while (reading.posted.length > 0 && !isBefore(read, reading.posted[0]!))
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
      reading = { partition, at, posted: [], isMore: true, isRunning: false, onRoom: () => {} }
      this.readings.set(number, reading)
    }
    reading.isMore = true
    if (!reading.isRunning) void this.run(number, reading)
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
      while (reading.isMore && this.isCurrent(number, reading)) {
        reading.isMore = false
        const last = await ledger.lastOn(subject)
        if (last === undefined || last.sequence < reading.at.sequence) continue
        const from = Math.max(1, reading.at.sequence)
        await ledger.read(subject, from, (message) => this.take(number, reading, message))
      }
      this.laterVersion = undefined
    } catch (fault) {
      if (fault === stopped) return
      if (isLaterVersion(fault)) this.laterVersion = fault.message
      const code = fault instanceof BrokerError ? fault.code : String(fault)
      log.warn({ partition: number, code }, 'letters cannot be read for the moment')
      clock.at(clock.now() + limits.busyRetryMs, () => this.look(number))
    }
    reading.isRunning = false
  }

  /** Posts the letters of a message as there is room. */
  private async take(
    number: number,
    reading: Reading,
    { sequence, data }: LedgerMessage,
  ): Promise<void> {
    const starts: number[] = []
    forEachEnvelope(data, 0, (at) => starts.push(at))
    for (const [index, at] of starts.entries()) {
      const place = { sequence, index }
      if (!isBefore(reading.at, place)) continue
      while (reading.posted.length >= limits.lettersInHandMax && this.isCurrent(number, reading))
        await new Promise<void>((resolve) => (reading.onRoom = resolve))
      if (!this.isCurrent(number, reading)) throw stopped
      const { partition, at: previous } = reading
      const { from, to, hops, bodyView } = readLetter(data, at)
      if (!partition.holds(to))
        throw new BrokerError('FORMAT_VERSION_LATER', `a letter to the actor ${textOfActor(to)}`)
      const bodyBytes = copyOf(bodyView)
      const message: LetterCame = { type: 'LETTER', from, place, previous, hops, bodyBytes }
      reading.at = place
      reading.posted.push(place)
      this.ports.post({ partition, actor: to, message })
    }
  }
}
