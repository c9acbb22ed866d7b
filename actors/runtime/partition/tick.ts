/**
 * What one tick gathers: deliveries by party, to be written with the facts, and effects, to be run
 * once both are on disk.
 */
import { emptyDirectory, type Directory } from '../../../core/access/directory.ts'
import { octetsOfActor, type ActorId } from '../../../core/base/actor-id.ts'
import { writeOctetsOf } from '../../../core/base/bytes.ts'
import { partitionOf } from '../../../core/envelope/partition.ts'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { Lane } from '../../../core/base/lane.ts'
import { limits } from '../../../core/base/limits.ts'
import { writeSafeU64 } from '../../../core/envelope/envelope.ts'
import { directorySubjectOf } from '../../../core/cluster/directory-subject.ts'
import { lettersSubject } from '../../../core/cluster/letters-subject.ts'
import { FrameWriter } from '../../../core/envelope/frame.ts'
import { writeLetter, type Letter } from '../../../core/envelope/letter.ts'
import type { LedgerEntry } from '../../../core/ports/ledger.ts'
import {
  causeBodyType,
  headerBytes,
  headerTemplate,
  Kind,
  offsetOf,
} from '../../../core/envelope/layout.ts'
import {
  writeTickMessage,
  type PartitionFrame,
  type PartyFrame,
} from '../../../core/envelope/tick-message.ts'
import type { ActorPlace } from '../../kind/actor-kind.ts'
import type { ActorEffect, Deliver } from '../../kind/effects.ts'

export type WantedEffect = { place: ActorPlace; effect: ActorEffect }

/** What a tick takes of a partition: its facts. */
export interface WithFrame {
  readonly number: number
  takeFrame(): Buffer | undefined
}

/**
 * One commit has so many messages: the tick, records of the directory, and letters to as many
 * partitions as one decision has letters.
 */
const entriesMax = limits.ledgerBatchMessagesMax - 1 - 2 * limits.lettersPerDecisionMax

// Parties that are served in one tick, as a rule.
const spareWritersMax = 64

export class Tick {
  /** What every decision of the tick is made by. */
  readonly directory: Directory
  /** Messages decided in it. */
  readonly messageCount: number
  readonly effects: WantedEffect[] = []
  /**
   * Of the requests that end in this tick: ids of outcomes, and beside them the times since
   * acceptance.
   */
  readonly outcomes: number[] = []
  readonly tookMs: number[] = []
  /** Rejections that are not recorded one by one. */
  readonly rejections: Array<{ party: Eui64; outcome: number }> = []
  deliveryCount = 0
  /** Octets gathered, without the partitions' own frames. */
  deliveryBytes = 0
  /** Deliveries in the fullest party's frame. */
  private largestFrame = 0
  private readonly writers = new Map<Eui64, FrameWriter>()
  /** By the partition that they go to. */
  private readonly letters = new Map<number, FrameWriter>()
  letterCount = 0
  /** Of the directory, by subject. */
  private readonly records = new Map<string, Buffer>()

  private readonly spare: FrameWriter[]

  /** `spare` are writers of earlier ticks, kept by the host from one tick to the next. */
  constructor(messageCount = 0, spare: FrameWriter[] = [], directory: Directory = emptyDirectory) {
    this.messageCount = messageCount
    this.spare = spare
    this.directory = directory
  }

  /** The commit has settled: the writers may serve the next tick. */
  release(): void {
    for (const frame of [...this.writers.values(), ...this.letters.values()]) {
      frame.clear()
      if (this.spare.length < spareWritersMax) this.spare.push(frame)
    }
    this.writers.clear()
    this.letters.clear()
  }

  effect(place: ActorPlace, effect: ActorEffect): void {
    this.effects.push({ place, effect })
  }

  /** A rejection that is not recorded one by one. */
  countRejection(party: Eui64, outcome: number): void {
    this.rejections.push({ party, outcome })
  }

  /** Writes a RESPONSE or ALERT envelope into the frame of its party. */
  deliver(device: Eui64, delivery: Deliver): void {
    const { time, bodyBytes } = delivery
    const party = 'party' in delivery ? delivery.party : delivery.request.originator
    const envelopeBytes = headerBytes + bodyBytes.length
    let frame = this.writers.get(party)
    if (frame === undefined) {
      frame = this.spare.pop() ?? new FrameWriter()
      this.writers.set(party, frame)
    }
    const at = frame.reserve(envelopeBytes)
    const buffer = frame.target
    buffer.set(headerTemplate, at)
    writeOctetsOf(party, buffer, at + offsetOf.originator)
    writeOctetsOf(device, buffer, at + offsetOf.target)
    writeSafeU64(buffer, time, at + offsetOf.time)
    if ('party' in delivery) {
      buffer[at + offsetOf.kind + 1] = delivery.isOfDcc === true ? Kind.DCC_ALERT : Kind.ALERT
      buffer[at + offsetOf.lane + 1] = Lane.NORMAL
      writeSafeU64(buffer, delivery.receivedAt, at + offsetOf.correlation)
    } else {
      const { request, outcome, attempt } = delivery
      this.outcomes.push(outcome)
      this.tookMs.push(Math.max(0, time - request.acceptedAt))
      buffer[at + offsetOf.kind + 1] = Kind.RESPONSE
      buffer[at + offsetOf.lane + 1] = request.lane
      buffer.writeUInt32BE(request.srv, at + offsetOf.srv)
      buffer.writeUInt16BE(outcome, at + offsetOf.outcome)
      buffer.writeUInt16BE(attempt, at + offsetOf.attempt)
      if (delivery.isCause) buffer.writeUInt16BE(causeBodyType, at + offsetOf.bodyType)
      writeOctetsOf(request.counter, buffer, at + offsetOf.counter)
      writeSafeU64(buffer, request.acceptedAt, at + offsetOf.correlation)
    }
    buffer.writeUInt32BE(bodyBytes.length, at + offsetOf.body)
    buffer.set(bodyBytes, at + headerBytes)
    frame.count++
    this.largestFrame = Math.max(this.largestFrame, frame.count)
    this.deliveryCount++
    this.deliveryBytes += envelopeBytes
  }

  /** Writes a letter for the partition of its addressee. */
  tell(partitionCount: number, letter: Letter): void {
    const partition = partitionOf(octetsOfActor(letter.to), partitionCount)
    let frame = this.letters.get(partition)
    if (frame === undefined) {
      frame = this.spare.pop() ?? new FrameWriter()
      this.letters.set(partition, frame)
    }
    writeLetter(frame, letter)
    this.letterCount++
    this.deliveryBytes += headerBytes + letter.bodyView.length
  }

  /** Replaces the record of an actor in the directory. */
  enter(actor: ActorId, recordBytes: Buffer): void {
    this.records.set(directorySubjectOf(actor), recordBytes)
    this.deliveryBytes += recordBytes.length
  }

  /**
   * What is written beside the tick: one message for each partition that letters go to, and for
   * each record of the directory.
   */
  entriesBeside(): LedgerEntry[] {
    const letters = Array.from(this.letters, ([partition, frame]) => ({
      subject: lettersSubject(partition),
      data: frame.lend(),
    }))
    return [...letters, ...Array.from(this.records, ([subject, data]) => ({ subject, data }))]
  }

  /** True when another message, whatever it gives, might not fit any more. */
  isFullWith(factBytes: number): boolean {
    return (
      factBytes + this.deliveryBytes > limits.tickBytesMax ||
      this.largestFrame + limits.deviceOpenMax > limits.deliveriesPerFrameMax ||
      this.letters.size + this.records.size >= entriesMax
    )
  }

  /**
   * The tick as one message of the ledger, and whose facts are in it; undefined when nothing has
   * happened.
   */
  message<P extends WithFrame>(
    partitions: Iterable<P>,
  ): { data: Buffer; written: P[] } | undefined {
    const facts: PartitionFrame[] = []
    const written: P[] = []
    for (const partition of partitions) {
      const frame = partition.takeFrame()
      if (frame === undefined) continue
      facts.push({ partition: partition.number, frame })
      written.push(partition)
    }
    if (facts.length === 0) return undefined
    return { data: writeTickMessage(facts, this.frames()), written }
  }

  /** Deliveries by party; borrowed until `release`. */
  frames(): PartyFrame[] {
    return Array.from(this.writers, ([party, frame]) => ({ party, frame: frame.lend() }))
  }
}
