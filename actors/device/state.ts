/**
 * What a device's actor remembers. Plain data; only `evolve` in actor.ts changes it.
 *
 * The life of one request at its device:
 *
 *                 ┌───────────── ATTEMPT_FAILED ─────────────┐
 *                 ▼                                          │
 *   ACCEPTED ▶ waiting ── its turn, and its time has come ▶ sent ── answered, or attempts used up ▶ ENDED
 *                 └── cancelled, or its deadline has come ──────────────────────────────────────────▲
 *
 * At most one request of a device is sent at a time. Its turn comes by lane, then in order of acceptance; a request
 * that waits for its next attempt holds up its own lane only, so a top-up is never behind a bulk read.
 *
 * Repeats: a device remembers its open requests and the last `deviceRequestsRememberedMax` ended ones. What it has
 * forgotten lies at or below its originator's `floor` and is refused, so that no RequestID is ever run twice.
 */
import { textOfOctets, writeOctetsOf } from '../../core/base/bytes.ts'
import type { CounterKey } from '../../core/base/counter.ts'
import type { Eui64Key } from '../../core/base/eui64.ts'
import type { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { DeviceRecord } from '../../core/catalogue/device-record.ts'

export type OpenRequest = {
  originator: Eui64Key
  counter: CounterKey
  lane: Lane
  srv: Srv
  bodyType: number
  /** Of srv and body: tells a repeat from a counter used twice. */
  contentHash: number
  /** UTC ms. */
  acceptedAt: number
  deadline: number
  /** Attempts that have failed. */
  attempt: number
  /** Not to be sent before this time; 0 for at once. */
  nextAttemptAt: number
  /** Row of the error table that the last attempt ended with; 0 before the first. */
  lastOutcome: number
  bodyBytes: Buffer
}

/** Counters of one originator: nothing above `highest` was ever accepted; nothing at or below `floor` is remembered. */
export type Originator = { highest: CounterKey; floor: CounterKey | undefined }

export type DeviceState = {
  record: DeviceRecord | undefined
  /** When it was first registered, UTC ms; 0 when that is not known. */
  registeredAt: number
  /** `record` as it came: tells a registration that changes nothing. */
  recordBytes: Buffer | undefined
  /** In order of acceptance. */
  open: OpenRequest[]
  /** The one on its way; not in the ledger: after a restart it is sent again. */
  sent: OpenRequest | undefined
  ended: EndedRequests
  originators: Map<Eui64Key, Originator>
}

/** Ended requests, oldest overwritten first, packed because a sleeping estate is mostly these. */
export type EndedRequests = {
  /** Records of `endedRecordBytes`, see below. */
  bytes: Buffer
  count: number
  /** Index of the record to be written next. */
  nextIndex: number
}

export type EndedRequest = {
  contentHash: number
  srv: Srv
  acceptedAt: number
  endedAt: number
  outcome: number
  attempt: number
}

// originator 8 | counter 8 | contentHash u32 | srv u32 | acceptedAt f64 | endedAt f64 | outcome u16 | attempt u16
export const endedRecordBytes = 44
const noBytes = Buffer.alloc(0)

export function emptyState(): DeviceState {
  return {
    record: undefined,
    registeredAt: 0,
    recordBytes: undefined,
    open: [],
    sent: undefined,
    ended: { bytes: noBytes, count: 0, nextIndex: 0 },
    originators: new Map(),
  }
}

export function findOpen(
  state: DeviceState,
  originator: Eui64Key,
  counter: CounterKey,
): OpenRequest | undefined {
  for (const request of state.open) {
    if (request.counter === counter && request.originator === originator) return request
  }
  return undefined
}

/** The remembered end of a request, or undefined. */
export function findEnded(
  ended: EndedRequests,
  originator: Eui64Key,
  counter: CounterKey,
): EndedRequest | undefined {
  const { bytes, count } = ended
  if (count === 0) return undefined
  const wanted = Buffer.from(originator + counter, 'latin1')
  for (let at = 0; at < count * endedRecordBytes; at += endedRecordBytes) {
    if (bytes.compare(wanted, 0, 16, at, at + 16) === 0) return endedAt(bytes, at)
  }
  return undefined
}

/** The newest of the remembered ends, or undefined. */
export function lastEnded({ bytes, count, nextIndex }: EndedRequests): EndedRequest | undefined {
  if (count === 0) return undefined
  const remembered = limits.deviceRequestsRememberedMax
  return endedAt(bytes, ((nextIndex + remembered - 1) % remembered) * endedRecordBytes)
}

const endedAt = (bytes: Buffer, at: number): EndedRequest => ({
  contentHash: bytes.readUInt32BE(at + 16),
  srv: bytes.readUInt32BE(at + 20) as Srv,
  acceptedAt: bytes.readDoubleBE(at + 24),
  endedAt: bytes.readDoubleBE(at + 32),
  outcome: bytes.readUInt16BE(at + 40),
  attempt: bytes.readUInt16BE(at + 42),
})

/** Remembers the end of `request`; calls `forget` with the RequestID that had to make room, if one had to. */
export function rememberEnded(
  ended: EndedRequests,
  request: OpenRequest,
  end: { endedAt: number; outcome: number; attempt: number },
  forget: (originator: Eui64Key, counter: CounterKey) => void,
): void {
  const at = ended.nextIndex * endedRecordBytes
  if (at === ended.bytes.length) {
    const records = Math.min(Math.max(4, ended.count * 2), limits.deviceRequestsRememberedMax)
    const larger = Buffer.alloc(records * endedRecordBytes)
    ended.bytes.copy(larger)
    ended.bytes = larger
  }
  const { bytes } = ended
  if (ended.count === limits.deviceRequestsRememberedMax) {
    forget(textOfOctets(bytes, at) as Eui64Key, textOfOctets(bytes, at + 8) as CounterKey)
  } else ended.count++
  writeOctetsOf(request.originator, bytes, at)
  writeOctetsOf(request.counter, bytes, at + 8)
  bytes.writeUInt32BE(request.contentHash, at + 16)
  bytes.writeUInt32BE(request.srv, at + 20)
  bytes.writeDoubleBE(request.acceptedAt, at + 24)
  bytes.writeDoubleBE(end.endedAt, at + 32)
  bytes.writeUInt16BE(end.outcome, at + 40)
  bytes.writeUInt16BE(end.attempt, at + 42)
  ended.nextIndex = (ended.nextIndex + 1) % limits.deviceRequestsRememberedMax
}
