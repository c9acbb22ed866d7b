/**
 * Where the responses of one party are in the ledger, by a fingerprint of their RequestID: twelve
 * octets for each response. A fingerprint may belong to several RequestIDs, so the caller
 * compares the envelope. Pure: ticks are given to it.
 *
 *   past blocks (each from one step of a search) │ recent ticks, as they come
 *   rising sequences ────────────────────────────────────────────────────────▶
 */
import { fnv1a32 } from '../base/bytes.ts'
import { checkEnvelope, readKind } from '../envelope/envelope.ts'
import { Kind, offsetOf } from '../envelope/layout.ts'

const eui64Bytes = 8
const counterBytes = 8

/** Of a RequestID without its originator, which is the party. */
export function fingerprintOf(target: Uint8Array, counter: bigint): number {
  counterView.writeBigUInt64BE(counter)
  return fnv1a32(counterView, 0, counterBytes, fnv1a32(target, 0, eui64Bytes))
}
const counterView = Buffer.alloc(counterBytes)

const fingerprintAt = (frame: Buffer, at: number): number => {
  const target = at + offsetOf.target
  const counter = at + offsetOf.counter
  return fnv1a32(
    frame,
    counter,
    counter + counterBytes,
    fnv1a32(frame, target, target + eui64Bytes),
  )
}

/**
 * Calls `visit` with fingerprint, place and index of each RESPONSE envelope of a party's frame,
 * until it returns true. What stands behind a damaged envelope cannot be found and is passed over.
 */
export function forEachResponse(
  frame: Buffer,
  visit: (fingerprint: number, at: number, index: number) => boolean | void,
): void {
  try {
    for (let at = 0, index = 0; at < frame.length; index++) {
      const end = checkEnvelope(frame, at)
      if (readKind(frame, at) === Kind.RESPONSE && visit(fingerprintAt(frame, at), at, index))
        return
      at = end
    }
  } catch {
    // The receiver of the party logs damaged frames.
  }
}

/** Fingerprints and sequences of responses, in the order of the ledger; grows at its end. */
export class ResponseBlock {
  private fingerprints = new Uint32Array(256)
  private sequences = new Float64Array(256)
  count = 0

  /** Adds the responses of a party's frame; `sequence` is not below any before it. */
  add(sequence: number, frame: Buffer): void {
    forEachResponse(frame, (fingerprint) => this.append(fingerprint, sequence))
  }

  /** Sequences of ticks that may hold a response with this fingerprint, the newest first. */
  *sequencesOf(fingerprint: number): Generator<number> {
    let before = -1
    for (let i = this.count - 1; i >= 0; i--) {
      if (this.fingerprints[i] !== fingerprint || this.sequences[i] === before) continue
      before = this.sequences[i]!
      yield before
    }
  }

  /** Gives up the room that is not used; call when nothing more is added. */
  trim(): void {
    this.fingerprints = this.fingerprints.slice(0, this.count)
    this.sequences = this.sequences.slice(0, this.count)
  }

  /** Sequence of the newest entry; 0 for an empty index. */
  get lastSequence(): number {
    return this.count === 0 ? 0 : this.sequences[this.count - 1]!
  }

  /** Sequence of the entry in the middle; undefined for an empty index. */
  get middleSequence(): number | undefined {
    return this.count === 0 ? undefined : this.sequences[this.count >>> 1]
  }

  /** Forgets what is before `sequence`. */
  forgetBefore(sequence: number): void {
    let first = 0
    while (first < this.count && this.sequences[first]! < sequence) first++
    this.fingerprints = this.fingerprints.slice(first)
    this.sequences = this.sequences.slice(first)
    this.count -= first
  }

  private append(fingerprint: number, sequence: number): void {
    if (this.count === this.fingerprints.length) {
      const fingerprints = new Uint32Array(Math.max(256, 2 * this.count))
      fingerprints.set(this.fingerprints)
      this.fingerprints = fingerprints
      const sequences = new Float64Array(Math.max(256, 2 * this.count))
      sequences.set(this.sequences)
      this.sequences = sequences
    }
    this.fingerprints[this.count] = fingerprint
    this.sequences[this.count++] = sequence
  }
}

/** The responses of one party from the tick `from` on, complete up to the newest tick. */
export class ResponseIndex {
  from: number
  /** From the newest to the oldest. */
  private readonly past: ResponseBlock[] = []
  private readonly recent = new ResponseBlock()

  /** Empty, and complete from `from` on. */
  constructor(from: number) {
    this.from = from
  }

  get count(): number {
    return this.past.reduce((sum, block) => sum + block.count, this.recent.count)
  }

  /** Adds a tick as it comes. */
  add(sequence: number, frame: Buffer): void {
    this.recent.add(sequence, frame)
  }

  /** Adds the ticks from `from` up to the present start of the index. */
  prepend(from: number, block: ResponseBlock): void {
    block.trim()
    if (block.count > 0) this.past.push(block)
    this.from = from
  }

  /** Sequences of ticks that may hold the response, the newest first. */
  *sequencesOf(fingerprint: number): Generator<number> {
    yield* this.recent.sequencesOf(fingerprint)
    for (const block of this.past) yield* block.sequencesOf(fingerprint)
  }

  /** Forgets the oldest block, or the older half of the recent ticks when there is no other. */
  shrink(): void {
    const oldest = this.past.pop()
    if (oldest !== undefined) {
      this.from = oldest.lastSequence + 1
      return
    }
    const middle = this.recent.middleSequence
    if (middle === undefined) return
    this.recent.forgetBefore(middle + 1)
    this.from = middle + 1
  }
}
