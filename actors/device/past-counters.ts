/**
 * RequestCounters of requests that ended a while ago, and what it takes to repeat their
 * acknowledgements, so that none runs twice, although counters may arrive in any order. Chunks,
 * oldest first, each a latin-1 string an octet a character:
 *
 *   time of the newest end, f64 | then for each request: originator 8 | counter 8 | contentHash u32 | acceptedAt f64
 *
 * A chunk is forgotten when it is older than `limits.deviceCountersKeepMs` or when there are too
 * many; its counters raise the floor of their originators then (decision 0015).
 */
import { latin1Of, writeOctetsOf } from '../../core/base/bytes.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'

export type PastCounters = readonly string[]

const timeBytes = 8
const recordBytes = 28
const chunksMax = limits.deviceCountersRememberedMax / limits.deviceCountersPerChunk
const timeScratch = Buffer.alloc(timeBytes)
const scratch = Buffer.alloc(timeBytes + limits.deviceCountersPerChunk * recordBytes)

/** What a repeat is judged by, and answered with. */
export type PastRequest = { contentHash: number; acceptedAt: number }

/** The request of this RequestID when it ended a while ago, or undefined. */
export function findPast(
  past: PastCounters,
  originator: Eui64,
  counter: RequestCounter,
): PastRequest | undefined {
  const wanted = originator + counter
  for (const chunk of past) {
    let at = chunk.indexOf(wanted, timeBytes)
    // The same octets may stand across two records.
    while (at > 0 && (at - timeBytes) % recordBytes !== 0) at = chunk.indexOf(wanted, at + 1)
    if (at < 0) continue
    const bytes = Buffer.from(chunk.slice(at + 16, at + recordBytes), 'latin1')
    return { contentHash: bytes.readUInt32BE(0), acceptedAt: bytes.readDoubleBE(4) }
  }
  return undefined
}

/** How many RequestIDs of `originator` there are. */
export function pastCountOf(past: PastCounters, originator: Eui64): number {
  let count = 0
  for (const chunk of past)
    for (let at = timeBytes; at < chunk.length; at += recordBytes)
      if (chunk.startsWith(originator, at)) count++
  return count
}

/**
 * `past` with `requests` (at most `deviceCountersPerChunk`), whose newest ended at `endedAt`, UTC
 * ms. Calls `forget` for each RequestID that had to go.
 */
export function addPast(
  past: PastCounters,
  requests: ReadonlyArray<PastRequest & { originator: Eui64; counter: RequestCounter }>,
  endedAt: number,
  forget: (originator: Eui64, counter: RequestCounter) => void,
): PastCounters {
  scratch.writeDoubleBE(endedAt, 0)
  let at = timeBytes
  for (const { originator, counter, contentHash, acceptedAt } of requests) {
    writeOctetsOf(originator, scratch, at)
    writeOctetsOf(counter, scratch, at + 8)
    scratch.writeUInt32BE(contentHash, at + 16)
    scratch.writeDoubleBE(acceptedAt, at + 20)
    at += recordBytes
  }
  const kept = past.filter((chunk, index) => {
    const isOld = timeOf(chunk) < endedAt - limits.deviceCountersKeepMs
    const isTooMany = past.length - index >= chunksMax
    if (isOld || isTooMany) forgetChunk(chunk, forget)
    return !isOld && !isTooMany
  })
  return [...kept, latin1Of(scratch.subarray(0, at))]
}

function timeOf(chunk: string): number {
  writeOctetsOf(chunk, timeScratch, 0)
  return timeScratch.readDoubleBE(0)
}

function forgetChunk(
  chunk: string,
  forget: (originator: Eui64, counter: RequestCounter) => void,
): void {
  for (let at = timeBytes; at < chunk.length; at += recordBytes)
    forget(chunk.slice(at, at + 8) as Eui64, chunk.slice(at + 8, at + 16) as RequestCounter)
}

/** True for octets that `addPast` could have written. */
export function isChunk(chunk: string): boolean {
  const { length } = chunk
  return length > timeBytes && length <= scratch.length && (length - timeBytes) % recordBytes === 0
}
