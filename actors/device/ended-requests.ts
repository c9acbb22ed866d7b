/**
 * The last requests of a device that have ended, with what a repeat of one of them is answered
 * with. Records of `endedRecordBytes`, oldest first, one latin-1 character for each octet:
 *
 *   originator 8 | counter 8 | contentHash u32 | srv u32 | acceptedAt f64 | endedAt f64 | outcome u16 | attempt u16
 *
 * Strings, because an estate consists mostly of these, and a Buffer takes 300 octets besides its
 * contents. In parts of `partRecords`, so that the end of a request makes one short string: all
 * parts in `endedParts` are full, `ended` is the newest one and grows. A single string of all
 * records would be copied whole at every end. RequestIDs of older requests: past-counters.ts.
 */
import { assert } from '../../core/base/assert.ts'
import { latin1Of, writeOctetsOf } from '../../core/base/bytes.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { PastRequest } from './past-counters.ts'

/** The part of a device's state that this file is about. Both are replaced, never changed. */
export type EndedRequests = {
  /** The newest records, at most `partRecords`. */
  ended: string
  /** The records before these. */
  endedParts: readonly string[]
}

export type EndedRequest = PastRequest & {
  srv: Srv
  endedAt: number
  outcome: number
  attempt: number
}

export const endedRecordBytes = 44

const partRecords = 8
const partBytes = partRecords * endedRecordBytes
const fullParts = limits.deviceRequestsRememberedMax / partRecords
const goingParts = limits.deviceCountersPerChunk / partRecords
assert(
  Number.isInteger(fullParts) && Number.isInteger(goingParts),
  'ended requests are forgotten by whole parts',
)
const noParts: readonly string[] = []
const scratch = Buffer.alloc(partBytes)

/** The remembered end of a request, or undefined. */
export function findEnded(
  { ended, endedParts }: Readonly<EndedRequests>,
  originator: Eui64,
  counter: RequestCounter,
): EndedRequest | undefined {
  const wanted = originator + counter
  const newest = findIn(ended, wanted)
  if (newest !== undefined) return newest
  for (const part of endedParts) {
    const found = findIn(part, wanted)
    if (found !== undefined) return found
  }
  return undefined
}

function findIn(part: string, wanted: string): EndedRequest | undefined {
  let at = part.indexOf(wanted)
  // The same octets may stand across the places of a record.
  while (at > 0 && at % endedRecordBytes !== 0) at = part.indexOf(wanted, at + 1)
  return at < 0 ? undefined : endedAt(part, at)
}

/** How many of the remembered ends are of requests of `originator`. */
export function endedCountOf(of: Readonly<EndedRequests>, originator: Eui64): number {
  let count = 0
  for (const part of partsOf(of))
    for (let at = 0; at < part.length; at += endedRecordBytes)
      if (part.startsWith(originator, at)) count++
  return count
}

/** The newest of the remembered ends, or undefined. */
export function lastEnded({ ended }: Readonly<EndedRequests>): EndedRequest | undefined {
  return ended === '' ? undefined : endedAt(ended, ended.length - endedRecordBytes)
}

function endedAt(part: string, at: number): EndedRequest {
  const bytes = Buffer.from(part.slice(at, at + endedRecordBytes), 'latin1')
  return {
    contentHash: bytes.readUInt32BE(16),
    srv: bytes.readUInt32BE(20) as Srv,
    acceptedAt: bytes.readDoubleBE(24),
    endedAt: bytes.readDoubleBE(32),
    outcome: bytes.readUInt16BE(40),
    attempt: bytes.readUInt16BE(42),
  }
}

/** A request that has ended, as `addEnded` takes it and gives it back when its time is over. */
export type Ended = EndedRequest & { originator: Eui64; counter: RequestCounter }

/**
 * Adds the newest end. When there is no room for it the oldest `deviceCountersPerChunk` ends are
 * forgotten and returned, oldest first; else none are.
 */
export function addEnded(to: EndedRequests, end: Ended): Ended[] {
  let forgotten: Ended[] = []
  let at = to.ended.length
  if (at === partBytes) {
    let parts = to.endedParts
    if (parts.length + 1 >= fullParts) {
      forgotten = parts.slice(0, goingParts).flatMap(recordsIn)
      parts = parts.slice(goingParts)
    }
    to.endedParts = [...parts, to.ended]
    at = 0
  } else scratch.write(to.ended, 'latin1')
  writeOctetsOf(end.originator, scratch, at)
  writeOctetsOf(end.counter, scratch, at + 8)
  scratch.writeUInt32BE(end.contentHash, at + 16)
  scratch.writeUInt32BE(end.srv, at + 20)
  scratch.writeDoubleBE(end.acceptedAt, at + 24)
  scratch.writeDoubleBE(end.endedAt, at + 32)
  scratch.writeUInt16BE(end.outcome, at + 40)
  scratch.writeUInt16BE(end.attempt, at + 42)
  // A string put together by `+` would keep all its parts.
  to.ended = scratch.toString('latin1', 0, at + endedRecordBytes)
  return forgotten
}

function recordsIn(part: string): Ended[] {
  return Array.from({ length: part.length / endedRecordBytes }, (_, index) => {
    const at = index * endedRecordBytes
    const originator = part.slice(at, at + 8) as Eui64
    const counter = part.slice(at + 8, at + 16) as RequestCounter
    return { originator, counter, ...endedAt(part, at) }
  })
}

const partsOf = ({ ended, endedParts }: Readonly<EndedRequests>): readonly string[] =>
  ended === '' ? endedParts : [...endedParts, ended]

/** All records as octets, oldest first. */
export function packEnded(of: Readonly<EndedRequests>): Buffer {
  return Buffer.from(partsOf(of).join(''), 'latin1')
}

/** Reads what `packEnded` gave, or its first records. */
export function unpackEnded(bytes: Buffer): EndedRequests {
  const parts: string[] = []
  for (let at = 0; at < bytes.length; at += partBytes)
    parts.push(latin1Of(bytes.subarray(at, at + partBytes)))
  const ended = parts.pop() ?? ''
  return { ended, endedParts: parts.length > 0 ? parts : noParts }
}

export const noneEnded: Readonly<EndedRequests> = { ended: '', endedParts: noParts }
