/**
 * Letters between actors in the audit of a ledger: each message of letters stands behind the tick
 * of its commit, beside a frame of its sender's partition, on the subject of its addressee's; and
 * each partition reads its letters in order, none twice. Pure.
 *
 * What is forgotten is not judged: letters go behind the snapshots of their partitions, each at its
 * own time, so there may be gaps between a tick and its letters.
 */
import { octetsOfActor, textOfActor } from '../../../core/base/actor-id.ts'
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { isBefore, type LetterPlace } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import { partitionOfLetters } from '../../../core/cluster/letters-subject.ts'
import { forEachEnvelope } from '../../../core/envelope/frame.ts'
import { readLetter, type Letter } from '../../../core/envelope/letter.ts'
import { partitionOf } from '../../../core/envelope/partition.ts'
import type { LedgerMessage } from '../../../core/ports/ledger.ts'
import { letterboxKind } from '../../kind/letterbox.ts'
import type { AuditLine } from './audit-line.ts'

export type LettersAuditPorts = {
  /** 0 when it is not known: whose partition is which is not judged then. */
  partitionCount: number
  onFault: (text: string) => void
  onLine: ((line: AuditLine) => void) | undefined
}

export class LettersAudit {
  private readonly ports: LettersAuditPorts
  /** The last tick: where it stands, and whose frames are in it. */
  private tick: { sequence: number; partitions: Set<number> } | undefined
  /** Partitions that have had their letters of that tick. */
  private readonly written = new Set<number>()
  /** By partition, the last letter read. */
  private readonly places = new Map<number, LetterPlace>()
  count = 0

  constructor(ports: LettersAuditPorts) {
    this.ports = ports
  }

  onTick(sequence: number): void {
    this.tick = { sequence, partitions: new Set() }
    this.written.clear()
  }

  /** The tick has a frame of this partition. */
  onFrame(partition: number): void {
    this.tick?.partitions.add(partition)
  }

  /**
   * A message of letters; only lines when `isJudged` is false. @throws BrokerError
   * ENVELOPE_MALFORMED, FRAME_MALFORMED
   */
  read({ subject, sequence, data }: LedgerMessage, isJudged: boolean): void {
    const partition = partitionOfLetters(subject)
    if (partition === undefined) return
    if (isJudged) this.judgePlace(partition, sequence)
    let index = 0
    forEachEnvelope(data, 0, (at) => {
      const letter = readLetter(data, at)
      this.count++
      if (isJudged) this.judge(partition, sequence, letter)
      const { from, to, hops, time, bodyView } = letter
      const actors = [textOfActor(from), textOfActor(to)]
      this.ports.onLine?.({
        sequence,
        time,
        partition,
        device: actors[0]!,
        requestId: undefined,
        actors,
        what: `LETTER ${index++} to ${actors[1]}, hops ${hops}, ${bodyView.length} octets`,
      })
    })
  }

  private judgePlace(partition: number, sequence: number): void {
    const { tick, written, ports } = this
    // Without a tick before it: that is forgotten.
    if (tick === undefined) return
    if (sequence - tick.sequence >= limits.ledgerBatchMessagesMax)
      ports.onFault(`sequence ${sequence}: letters without the tick of their commit`)
    else if (written.has(partition))
      ports.onFault(`sequence ${sequence}: letters to partition ${partition} twice in one commit`)
    written.add(partition)
  }

  private judge(partition: number, sequence: number, { from, to }: Letter): void {
    const { tick, ports } = this
    const { partitionCount, onFault } = ports
    if (partitionCount === 0) return
    if (partitionOf(octetsOfActor(to), partitionCount) !== partition)
      onFault(`sequence ${sequence}: a letter to ${textOfActor(to)} in partition ${partition}`)
    const sender = partitionOf(octetsOfActor(from), partitionCount)
    if (tick !== undefined && !tick.partitions.has(sender))
      onFault(`sequence ${sequence}: a letter of ${textOfActor(from)} without a fact beside it`)
  }

  /** A fact of the letterbox of `partition` at `buffer[at]`. */
  onFact(partition: number, buffer: Buffer, at: number, sequence: number): void {
    const fact = letterboxKind.readFact(buffer, at)
    const isAside = fact.type === 'LETTERS_SET_ASIDE'
    const place = isAside ? fact.through : fact.place
    const read = this.places.get(partition)
    if (read !== undefined && !isBefore(read, place))
      this.ports.onFault(
        `partition ${partition}, sequence ${sequence}: letter ${textOfPlace(place)} is read again`,
      )
    this.places.set(partition, place)
    const device = isAside ? `partition ${partition}` : textOfEui64(fact.sender)
    const what = isAside
      ? `${fact.type} ${fact.count} letters through ${textOfPlace(place)} by ${JSON.stringify(fact.by)}`
      : `${fact.type} through ${textOfPlace(place)}${fact.isParked ? ', parked' : ''}`
    const { time } = fact
    this.ports.onLine?.({ sequence, time, partition, device, requestId: undefined, what })
  }
}

const textOfPlace = ({ sequence, index }: LetterPlace): string => `${sequence}/${index}`
