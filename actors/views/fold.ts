/**
 * Folds ticks into rows of the inventory and counts of usage. Pure: what it is given is read, what
 * it changes it keeps until it is saved.
 *
 * The inventory is a fold of facts. Usage counts acceptances by their facts and ends by the
 * deliveries that stand in the same tick, because these say which service was asked for, whatever
 * the ledger has forgotten of the request.
 */
import { errorId } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { Srv } from '../../core/base/srv.ts'
import { decodeDeviceRecord } from '../../core/inventory/device-record.ts'
import {
  readBodyView,
  readCounter,
  readKind,
  readOriginator,
  readOutcome,
  readSrv,
  readTarget,
  readTime,
} from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { deviceBlocks, isInBlock, Kind } from '../../core/envelope/layout.ts'
import { faultAfter } from '../device/cause.ts'
import { usingIn } from '../device/keys-facts.ts'
import { addressedIn } from '../device/record-facts.ts'
import { lastEnded } from '../device/ended-requests.ts'
import type { DeviceState } from '../device/state.ts'
import { dayMs, publicAddressOf, type DeviceRow, type UsageRow } from './rows.ts'

const accepted = errorId('REQUEST_ACCEPTED')
const parked = errorId('DEVICE_ACTOR_PARKED')

const isAcceptance = (kind: Kind): boolean =>
  kind === Kind.REQUEST_ACCEPTED ||
  kind === Kind.SIGNED_REQUEST_ACCEPTED ||
  kind === Kind.SEQUENCED_REQUEST_ACCEPTED ||
  kind === Kind.FUTURE_REQUEST_ACCEPTED

/** Frames of one tick; those of facts are whole, with their chain link. */
export type TickFrames = {
  facts: ReadonlyArray<{ partition: number; frame: Buffer; isInInventory: boolean }>
  deliveries: readonly Buffer[]
}

export class Fold {
  /** Rows that have changed; undefined for a device that was removed. */
  readonly devices = new Map<Eui64, DeviceRow | undefined>()
  /** What is to be added to the counts, by a text of the key. */
  readonly usage = new Map<string, UsageRow>()
  /** Devices that have no row without it, less those that have none with it. */
  added = 0
  private readonly load: (device: Eui64) => DeviceRow | undefined

  /** `load` gives the row of a device as it is without this fold; it becomes the fold's. */
  constructor(load: (device: Eui64) => DeviceRow | undefined) {
    this.load = load
  }

  /**
   * @returns the time of the newest fact, UTC ms @throws BrokerError ENVELOPE_MALFORMED,
   * DEVICE_RECORD_MALFORMED
   */
  tick({ facts, deliveries }: TickFrames): number {
    /** Requests that were open when their actor failed: others that were parked never were. */
    const parkedRequests = new Set<string>()
    for (const frame of deliveries) {
      forEachEnvelope(frame, 0, (at) => {
        if (readKind(frame, at) !== Kind.RESPONSE) return
        const outcome = readOutcome(frame, at)
        this.count(readTime(frame, at), readOriginator(frame, at), readSrv(frame, at), outcome)
        if (outcome === parked) parkedRequests.add(requestOf(frame, at))
      })
    }
    let newest = 0
    for (const { partition, frame, isInInventory } of facts) {
      forEachEnvelope(frame, chainLinkBytes, (at) => {
        const time = readTime(frame, at)
        newest = Math.max(newest, time)
        if (isAcceptance(readKind(frame, at)))
          this.count(time, readOriginator(frame, at), readSrv(frame, at), accepted)
        if (!isInInventory) this.fact(partition, frame, at, parkedRequests)
      })
    }
    return newest
  }

  private fact(
    partition: number,
    frame: Buffer,
    at: number,
    parkedRequests: ReadonlySet<string>,
  ): void {
    const kind = readKind(frame, at)
    // The inventory is of devices.
    if (!isInBlock(kind, deviceBlocks.facts)) return
    const device = readTarget(frame, at)
    if (kind === Kind.DEVICE_REGISTERED)
      return this.register(device, partition, readBodyView(frame, at), readTime(frame, at))
    if (kind === Kind.DEVICE_ADDRESSED)
      return this.register(device, partition, addressedIn(frame, at), readTime(frame, at))
    const row = this.rowOf(device)
    if (row === undefined) return
    if (kind === Kind.DEVICE_REMOVED) {
      this.added--
      this.devices.set(device, undefined)
      return
    }
    const isEnd = kind === Kind.REQUEST_ENDED
    if (isEnd || kind === Kind.ATTEMPT_FAILED) this.fault(row, frame, at, isEnd)
    if (isAcceptance(kind)) row.openRequests++
    else if (isEnd || (kind === Kind.REQUEST_PARKED && parkedRequests.has(requestOf(frame, at)))) {
      row.openRequests--
      row.outcome = readOutcome(frame, at)
      row.outcomeAt = readTime(frame, at)
    }
  }

  private fault(row: DeviceRow, frame: Buffer, at: number, isEnd: boolean): void {
    const { cause } = usingIn(readBodyView(frame, at))
    const fact = { time: readTime(frame, at), outcome: readOutcome(frame, at), cause }
    const fault = faultAfter(row.fault, fact, isEnd)
    if (fault === undefined) delete row.fault
    else row.fault = fault
  }

  private register(device: Eui64, partition: number, recordView: Buffer, since: number): void {
    const record = decodeDeviceRecord(recordView)
    const before = this.rowOf(device)
    if (before === undefined) this.added++
    this.devices.set(device, {
      ...(before ?? { since, openRequests: 0, outcome: 0, outcomeAt: 0 }),
      type: record.type,
      address: publicAddressOf(record),
      partition,
    })
  }

  /** To be changed in place. */
  private rowOf(device: Eui64): DeviceRow | undefined {
    if (this.devices.has(device)) return this.devices.get(device)
    const row = this.load(device)
    if (row !== undefined) this.devices.set(device, row)
    return row
  }

  private count(time: number, party: Eui64, srv: Srv, outcome: number): void {
    const day = Math.floor(time / dayMs)
    const text = `${party}${day} ${srv} ${outcome}`
    const row = this.usage.get(text)
    if (row === undefined) this.usage.set(text, { day, party, srv, outcome, count: 1 })
    else row.count++
  }
}

const requestOf = (frame: Buffer, at: number): string =>
  `${readOriginator(frame, at)}${readTarget(frame, at)}${readCounter(frame, at)}`

/**
 * The row that the facts behind `state` fold to; undefined for a device that is not registered.
 */
export function deviceRowFrom(partition: number, state: DeviceState): DeviceRow | undefined {
  if (state.record === undefined) return undefined
  const ended = lastEnded(state)
  // The device also remembers requests from before a removal; they belong to another registration.
  const last = ended && ended.acceptedAt >= state.registeredAt ? ended : undefined
  return {
    type: state.record.type,
    address: publicAddressOf(state.record),
    since: state.registeredAt,
    partition,
    openRequests: state.open.length,
    outcome: last?.outcome ?? 0,
    outcomeAt: last?.endedAt ?? 0,
    ...(state.fault && { fault: state.fault }),
  }
}
