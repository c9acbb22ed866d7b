/**
 * What the ledger says of one request, and the facts that were known when it was decided: the
 * party, the device, its meter points. A fold over ticks in their order; pure. What stands in ticks
 * that the ledger has forgotten is not in it.
 */
import { decodeDeviceRecord, type DeviceType } from '../../core/inventory/device-record.ts'
import type { PartyRecord } from '../../core/access/party-record.ts'
import type { RejectionCount } from '../../core/access/rejection-report.ts'
import type { Rejection } from '../../core/access/rejection.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { Srv } from '../../core/base/srv.ts'
import { deliveryIdOf } from '../../core/envelope/delivery-id.ts'
import {
  readKind,
  readOriginator,
  readOutcome,
  readTarget,
  readTime,
} from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { deviceBlocks, isInBlock, Kind, offsetOf, partyBlocks } from '../../core/envelope/layout.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import type { DeviceStatus } from '../../core/inventory/device-status.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import type { MeterPointId } from '../../core/registration/meter-point.ts'
import type { Rights } from '../../core/registration/rights.ts'
import { readFact, type DeviceFact } from '../device/facts.ts'
import { readFact as readPartyFact } from '../party/facts.ts'
import { ReportsSeen } from './reports-seen.ts'

export type RequestName = {
  readonly originator: Eui64
  readonly target: Eui64
  readonly counter: RequestCounter
}

/** A value and the ledger position of the fact that says so. */
export type Placed<Value> = Value & { readonly sequence: number; readonly time: number }

/** What is known of a device. */
export type KnownDevice = {
  readonly type?: Placed<{ type: DeviceType }>
  readonly status?: Placed<{ status: DeviceStatus; by: string }>
  readonly links?: Placed<{ points: readonly MeterPointId[] }>
  readonly rights: ReadonlyMap<MeterPointId, Placed<{ rights: Rights }>>
}

/** One decision on the request: there may be several, when it was repeated. */
export type Decision = {
  readonly sequence: number
  readonly time: number
  /** Absent when it was accepted. */
  readonly rejection?: Rejection
  readonly by: 'gateway' | 'device'
  /** Who has sent it. */
  readonly party: Eui64
  readonly srv: Srv
  readonly device: KnownDevice
}

/** What became of it. */
export type Event = {
  readonly sequence: number
  readonly time: number
  readonly what: 'attempt failed' | 'ended' | 'response delivered'
  readonly code: ErrorCode | undefined
  readonly attempt?: number
  readonly deliveryId?: number
}

/** Changes of one party that are kept. */
const partyRecordsMax = 100
/** Decisions, events and counts that are kept, the last ones. */
const keptMax = 100

function keep<Item>(list: Item[], item: Item, most = keptMax): void {
  list.push(item)
  if (list.length > most) list.shift()
}

const unknownDevice: KnownDevice = { rights: new Map() }

export class RequestTrail {
  readonly decisions: Decision[] = []
  readonly events: Event[] = []
  /** Rejections of the party that are not recorded one by one. */
  readonly counts: Array<RejectionCount & { readonly sequence: number }> = []
  /** How the originator stood, by and by. */
  readonly parties: Array<Placed<{ record: PartyRecord }>> = []
  private readonly name: RequestName
  private readonly reports = new ReportsSeen()
  private device: KnownDevice = unknownDevice

  constructor(name: RequestName) {
    this.name = name
  }

  /** @throws BrokerError FRAME_MALFORMED, ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
  read({ sequence, data }: LedgerMessage): void {
    readTickMessage(
      data,
      (_partition, frame) =>
        forEachEnvelope(frame, chainLinkBytes, (at) => this.readFact(frame, at, sequence)),
      (party, frame) => {
        if (party !== this.name.originator) return
        let index = 0
        forEachEnvelope(frame, 0, (at) => {
          const deliveryId = deliveryIdOf(sequence, index++)
          if (readKind(frame, at) !== Kind.RESPONSE || !this.isOurs(frame, at)) return
          if (readTarget(frame, at) !== this.name.target) return
          const code = errorCodeOf(readOutcome(frame, at))
          const time = readTime(frame, at)
          keep(this.events, { sequence, time, what: 'response delivered', code, deliveryId })
        })
      },
    )
  }

  private isOurs(frame: Buffer, at: number): boolean {
    const { originator, counter } = this.name
    return (
      readOriginator(frame, at) === originator &&
      readRequestCounter(frame, at + offsetOf.counter) === counter
    )
  }

  private readFact(frame: Buffer, at: number, sequence: number): void {
    const kind = readKind(frame, at)
    if (isInBlock(kind, partyBlocks.facts)) return this.readPartyFact(frame, at, sequence)
    if (!isInBlock(kind, deviceBlocks.facts) || readTarget(frame, at) !== this.name.target) return
    const fact = readFact(frame, at)
    const place = { sequence, time: readTime(frame, at) }
    this.device = withFact(this.device, fact, place)
    if (this.isOurs(frame, at)) this.readOwn(fact, place)
  }

  /** A fact of the device about this request. */
  private readOwn(fact: DeviceFact, place: { sequence: number; time: number }): void {
    const { device, name } = this
    const decided = { ...place, by: 'device', party: name.originator, device } as const
    switch (fact.type) {
      case 'REQUEST_ACCEPTED':
        return keep(this.decisions, { ...decided, srv: fact.request.srv })
      case 'REQUEST_REJECTED': {
        const { rejection } = fact
        return keep(this.decisions, { ...decided, srv: rejection.srv, rejection })
      }
      case 'ATTEMPT_FAILED':
      case 'REQUEST_ENDED':
      case 'REQUEST_PARKED': {
        const what = fact.type === 'ATTEMPT_FAILED' ? 'attempt failed' : 'ended'
        const code = errorCodeOf(fact.outcome)
        return keep(this.events, { ...place, what, code, attempt: fact.attempt })
      }
      default:
        return undefined
    }
  }

  private readPartyFact(frame: Buffer, at: number, sequence: number): void {
    const party = readTarget(frame, at)
    const isReported = readKind(frame, at) === Kind.REJECTION_REPORTED
    // Somebody else may have sent a request with this originator.
    if (isReported ? !this.isOurs(frame, at) : party !== this.name.originator) return
    const fact = readPartyFact(frame, at)
    const time = readTime(frame, at)
    if (fact.type === 'PARTY_CHANGED')
      return keep(this.parties, { record: fact.record, sequence, time }, partyRecordsMax)
    if (!this.reports.isFirst(fact.report, sequence)) return
    if (fact.type === 'REJECTIONS_COUNTED') return keep(this.counts, { ...fact.count, sequence })
    const { rejection } = fact
    if (rejection.target !== this.name.target) return
    const { srv } = rejection
    const { device } = this
    keep(this.decisions, { sequence, time, by: 'gateway', party, srv, rejection, device })
  }
}

/** What is known of a device behind one more of its facts. */
function withFact(
  known: KnownDevice,
  fact: DeviceFact,
  place: { sequence: number; time: number },
): KnownDevice {
  switch (fact.type) {
    case 'DEVICE_REGISTERED':
    case 'DEVICE_ADDRESSED': {
      const { type } = decodeDeviceRecord(fact.recordBytes)
      // The fact that first said so is the one that is shown.
      return known.type?.type === type ? known : { ...known, type: { type, ...place } }
    }
    case 'DEVICE_STATUS_CHANGED':
      return { ...known, status: { status: fact.status, by: fact.by, ...place } }
    case 'DEVICE_LINKED': {
      const points = fact.points.map(({ point }) => point)
      const rights = new Map([...known.rights].filter(([point]) => points.includes(point)))
      return { ...known, links: { points, ...place }, rights }
    }
    case 'RIGHTS_RECEIVED': {
      const rights = new Map(known.rights).set(fact.point, { rights: fact.rights, ...place })
      return { ...known, rights }
    }
    case 'DEVICE_REMOVED':
      return unknownDevice
    default:
      return known
  }
}
