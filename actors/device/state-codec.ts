/**
 * Device states as bytes for stores and snapshots: MessagePack arrays with a version in front. A
 * snapshot may hold what the ledger has forgotten: a new version must be able to read the older
 * ones.
 */
import { Packr } from 'msgpackr'
import type { QuarantineReason } from '../../core/access/count-letters.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { asBuffer, copyOf, latin1Of } from '../../core/base/bytes.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { decodeDeviceRecord, encodeDeviceRecord } from '../../core/inventory/device-record.ts'
import { grantsIn, packedGrants, type PackedGrant } from '../../core/registration/grant.ts'
import { linksIn, packedLinks } from '../../core/registration/rights-report.ts'
import { DeviceStatus } from '../../core/inventory/device-status.ts'
import { decodeCause, encodeCause, type DeviceFault } from './cause.ts'
import { endedRecordBytes, packEnded, unpackEnded, type EndedRequests } from './ended-requests.ts'
import { HoldPhase, type Hold } from './hold-facts.ts'
import { isChunk } from './past-counters.ts'
import { packedUses, usesIn } from '../../core/schedule/letters.ts'
import type { SequencedEnd, SequencePlace } from './sequence-facts.ts'
import { packRing, unpackRing, type PackedRing } from './keyring-codec.ts'
import {
  emptyState,
  type DeviceLinks,
  type DeviceState,
  type OpenRequest,
  type Originator,
} from './state.ts'
import { packedThrottles, throttlesIn, type PackedThrottles } from './throttle-codec.ts'

/**
 * Without keys a state is as it was in version 1, and says so: a version that reads only that still
 * reads it.
 */
export const stateVersion = 7
/** Without sequences, requests for a later time, schedules, and alerts by their codes. */
const unsequencedVersion = 6
/** Without a request that is held back. */
const unheldVersion = 5
/** Without links to meter points, and in the first status. */
const faultVersion = 4
/** Without the cause of a failure. */
const pastVersion = 3
/** Without `past`. */
const keyedVersion = 2
const keylessVersion = 1

const packr = new Packr({ useRecords: false })
const latin1 = (key: string): Buffer => Buffer.from(key, 'latin1')

/** Bytes of their own. What is not in the ledger (`sent`, `keyStep`) is not kept. */
export function packState(state: DeviceState): Buffer {
  const { record, open, past, originators, keyring, fault, linked, status, sequenced } = state
  const ended = packEnded(state)
  const endedCount = ended.length / endedRecordBytes
  const version = versionOf(state)
  const packed: unknown[] = [
    version,
    record === undefined ? null : encodeDeviceRecord(record),
    open.map((r) => [
      latin1(r.originator),
      latin1(r.counter),
      r.lane,
      r.srv,
      r.bodyType,
      r.contentHash,
      r.acceptedAt,
      r.deadline,
      r.attempt,
      r.nextAttemptAt,
      r.lastOutcome,
      r.bodyBytes,
      ...(r.hold === undefined
        ? hasTerms(r)
          ? [null]
          : []
        : [[HoldPhase.indexOf(r.hold.phase), r.hold.event, r.hold.reason]]),
      ...packedTerms(r),
    ]),
    ended,
    endedCount,
    endedCount % limits.deviceRequestsRememberedMax,
    originators.map(({ key, highest, floor, top }) => [
      latin1(key),
      latin1(highest),
      floor === undefined ? null : latin1(floor),
      ...(top === undefined ? [] : [latin1(top)]),
    ]),
    state.registeredAt,
  ]
  if (keyring !== undefined || version >= pastVersion)
    packed.push(keyring === undefined ? null : packRing(keyring))
  if (version >= pastVersion) packed.push(past.map(latin1))
  const { schedules, throttles } = state
  const isThrottled = throttles.length > 0
  const isSequenced = sequenced.length > 0 || schedules !== undefined || isThrottled
  if (fault !== undefined) packed.push([encodeCause(fault), fault.time, fault.isTold])
  else if (linked !== undefined || status !== undefined || isSequenced) packed.push(null)
  if (linked !== undefined) packed.push(packedLinked(linked))
  else if (status !== undefined || isSequenced) packed.push(null)
  if (status !== undefined) packed.push(DeviceStatus.indexOf(status))
  else if (isSequenced) packed.push(null)
  if (isSequenced) packed.push(sequenced.map(packedEnd))
  if (schedules !== undefined) packed.push([latin1(schedules.device), packedUses(schedules.uses)])
  else if (isThrottled) packed.push(null)
  if (isThrottled) packed.push(packedThrottles(state))
  return packr.pack(packed)
}

function versionOf({
  open,
  keyring,
  past,
  fault,
  originators,
  linked,
  status,
  sequenced,
  schedules,
  throttles,
}: DeviceState): number {
  const isSequenced = sequenced.length > 0 || open.some(hasTerms)
  if (isSequenced || schedules !== undefined || throttles.length > 0) return stateVersion
  if (open.some(({ hold }) => hold !== undefined)) return unsequencedVersion
  if (linked !== undefined || status !== undefined) return unheldVersion
  if (fault !== undefined) return faultVersion
  if (past.length > 0 || originators.some(({ top }) => top !== undefined)) return pastVersion
  return keyring === undefined ? keylessVersion : keyedVersion
}

type PackedRequest = [
  Uint8Array,
  Uint8Array,
  OpenRequest['lane'],
  OpenRequest['srv'],
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  Uint8Array,
  /** From version 6 on, for a request that is held back. */
  ([phase: number, event: number, reason: QuarantineReason] | null)?,
  /** From version 7 on, for a request in a sequence. */
  (PackedPlace | null)?,
  /** From version 7 on, for a request for a later time. */
  ([executeAt: number, isWaiting: boolean] | null)?,
  /** From version 7 on, for the run of a schedule: the device. */
  Uint8Array?,
]
type PackedPlace = [
  isFirst: boolean,
  preceding: Uint8Array | null,
  device: Uint8Array | null,
  place: number,
  isWaiting: boolean,
]
type PackedEnd = [
  originator: Uint8Array,
  counter: Uint8Array,
  preceding: Uint8Array | null,
  place: number,
  outcome: number,
]

/** True for a request in a sequence, for a later time, or of a schedule. */
const hasTerms = ({ sequence, future, run }: OpenRequest): boolean =>
  sequence !== undefined || future !== undefined || run !== undefined

function packedTerms({ sequence, future, run }: OpenRequest): unknown[] {
  const place = sequence && packedPlace(sequence)
  const time = future && [future.executeAt, future.isWaiting]
  if (run !== undefined) return [place ?? null, time ?? null, latin1(run.device)]
  if (time !== undefined) return [place ?? null, time]
  return place === undefined ? [] : [place]
}

const packedPlace = ({
  isFirst,
  preceding,
  device,
  place,
  isWaiting,
}: SequencePlace): PackedPlace => [
  isFirst,
  preceding === undefined ? null : latin1(preceding),
  device === undefined ? null : latin1(device),
  place,
  isWaiting,
]
const counterIn = (octets: Uint8Array | null): RequestCounter | undefined =>
  octets === null ? undefined : (latin1Of(octets) as RequestCounter)
const placeIn = ([isFirst, preceding, device, place, isWaiting]: PackedPlace): SequencePlace => ({
  isFirst,
  preceding: counterIn(preceding),
  device: device === null ? undefined : (latin1Of(device) as Eui64),
  place,
  isWaiting,
})
const packedEnd = ({ originator, counter, preceding, place, outcome }: SequencedEnd): PackedEnd => [
  latin1(originator),
  latin1(counter),
  preceding === undefined ? null : latin1(preceding),
  place,
  outcome,
]
const sequencedIn = ([
  originator,
  counter,
  preceding,
  place,
  outcome,
]: PackedEnd): SequencedEnd => ({
  originator: latin1Of(originator) as Eui64,
  counter: latin1Of(counter) as RequestCounter,
  preceding: counterIn(preceding),
  place,
  outcome,
})
/** Key, highest, floor; in version 3, after a reset, the highest one before. */
type PackedOriginator = [Uint8Array, Uint8Array, Uint8Array | null, Uint8Array?]
type PackedState = [
  number,
  Uint8Array | null,
  PackedRequest[],
  Uint8Array,
  number,
  number,
  PackedOriginator[],
  /** Not in the first states of version 1. */
  number?,
  /** From version 2 on. */
  (PackedRing | null)?,
  /** From version 3 on. */
  Uint8Array[]?,
  /** From version 4 on. */
  ([cause: Uint8Array, time: number, isTold: boolean] | null)?,
  /** From version 5 on. */
  (PackedLinks | null)?,
  (number | null)?,
  /** From version 7 on. */
  PackedEnd[]?,
  ([device: Uint8Array, uses: unknown] | null)?,
  PackedThrottles?,
]
type PackedLinks = [last: number, links: ReturnType<typeof packedLinks>, grants?: PackedGrant[]]

const packedLinked = ({ last, links, grants }: DeviceLinks): PackedLinks =>
  grants === undefined
    ? [last, packedLinks(links)]
    : [last, packedLinks(links), packedGrants(grants)]

const linkedIn = ([last, links, grants]: PackedLinks): DeviceLinks =>
  grants === undefined
    ? { last, links: linksIn(links) }
    : { last, links: linksIn(links), grants: grantsIn(grants) }

/**
 * The state in `bytes`, which it keeps. @throws BrokerError STORE_DAMAGED when they are none, or of
 * a version that is not known here
 */
export function unpackState(bytes: Uint8Array): DeviceState {
  try {
    return stateIn(packr.unpack(bytes) as PackedState)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    // Of MessagePack, or of a member that is not there: octets that we did not write, or not these.
    throw new BrokerError('STORE_DAMAGED', 'not the state of a device', { cause })
  }
}

function stateIn(packed: PackedState): DeviceState {
  if (!Array.isArray(packed) || !(packed[0] >= keylessVersion && packed[0] <= stateVersion))
    throw new BrokerError('STORE_DAMAGED', 'a state of another version')
  const [, record, open, endedBytes, count, nextIndex, originators, registeredAt = 0] = packed
  const state = emptyState()
  state.registeredAt = registeredAt
  if (packed[9] !== undefined && packed[9].length > 0) state.past = packed[9].map(unpackChunk)
  if (packed[8]) state.keyring = unpackRing(packed[8])
  if (packed[10]) state.fault = faultIn(packed[10])
  if (packed[11]) state.linked = linkedIn(packed[11])
  if (typeof packed[12] === 'number') state.status = DeviceStatus[packed[12]]
  if (packed[13] && packed[13].length > 0) state.sequenced = packed[13].map(sequencedIn)
  if (packed[14])
    state.schedules = {
      device: latin1Of(packed[14][0]) as Eui64,
      uses: usesIn(packed[14][1]),
    }
  if (packed[15]) Object.assign(state, throttlesIn(packed[15]))
  if (record !== null) state.record = decodeDeviceRecord(record)
  if (open.length > 0) state.open = open.map(unpackRequest)
  if (count > 0) Object.assign(state, endedIn(endedBytes, count, nextIndex))
  if (originators.length > 0) {
    state.originators = originators.map(([key, highest, floor, top]): Originator => ({
      key: latin1Of(key) as Eui64,
      highest: latin1Of(highest) as RequestCounter,
      floor: floor === null ? undefined : (latin1Of(floor) as RequestCounter),
      ...(top && { top: latin1Of(top) as RequestCounter }),
    }))
  }
  return state
}

/** @throws BrokerError STORE_DAMAGED */
function unpackChunk(bytes: Uint8Array): string {
  const chunk = latin1Of(bytes)
  if (!isChunk(chunk)) throw new BrokerError('STORE_DAMAGED', 'counters of past requests')
  return chunk
}

function faultIn([octets, time, isTold]: [Uint8Array, number, boolean]): DeviceFault {
  const cause = decodeCause(asBuffer(octets))
  if (cause === undefined) throw new BrokerError('STORE_DAMAGED', 'a cause that is cut short')
  return { ...cause, time, isTold }
}

/**
 * In order of their ends; states written before 2026-11-25 have them in a ring, with room behind.
 * @throws BrokerError STORE_DAMAGED
 */
function endedIn(bytes: Uint8Array, count: number, nextIndex: number): EndedRequests {
  const records = asBuffer(bytes).subarray(0, count * endedRecordBytes)
  if (records.length % endedRecordBytes !== 0)
    throw new BrokerError('STORE_DAMAGED', 'ended requests')
  const oldestAt = nextIndex < count ? nextIndex * endedRecordBytes : 0
  if (oldestAt === 0) return unpackEnded(records)
  return unpackEnded(Buffer.concat([records.subarray(oldestAt), records.subarray(0, oldestAt)]))
}

/** @throws BrokerError STORE_DAMAGED */
function holdIn([number, event, reason]: NonNullable<PackedRequest[12]>): Hold {
  const phase = HoldPhase[number]
  if (phase === undefined || phase === 'free')
    throw new BrokerError('STORE_DAMAGED', 'a request that is held back')
  return { phase, event, reason }
}

function unpackRequest(packed: PackedRequest): OpenRequest {
  const [
    originator,
    counter,
    lane,
    srv,
    bodyType,
    contentHash,
    acceptedAt,
    deadline,
    attempt,
    nextAttemptAt,
  ] = packed
  return {
    originator: latin1Of(originator) as Eui64,
    counter: latin1Of(counter) as RequestCounter,
    lane,
    srv,
    bodyType,
    contentHash,
    acceptedAt,
    deadline,
    attempt,
    nextAttemptAt,
    lastOutcome: packed[10],
    bodyBytes: copyOf(packed[11]),
    ...(packed[12] && { hold: holdIn(packed[12]) }),
    ...(packed[13] && { sequence: placeIn(packed[13]) }),
    ...(packed[14] && { future: { executeAt: packed[14][0], isWaiting: packed[14][1] } }),
    ...(packed[15] && { run: { device: latin1Of(packed[15]) as Eui64 } }),
  }
}
