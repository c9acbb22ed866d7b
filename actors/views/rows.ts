/**
 * What views keep, as rows:
 *
 *  key                                                   value, MessagePack
 *  00                                                    standing: how far the ledger is counted
 *  01 | EUI-64 8                                         device
 *  02 | day u32 | party 8 | srv u32 | outcome u16        count
 *
 * Integers of keys are big-endian, so that rows are in order of devices, and of days. A day is days
 * since 1970, UTC; an outcome a row of the error table, REQUEST_ACCEPTED for an acceptance.
 */
import { Packr } from 'msgpackr'
import { asBuffer, writeOctetsOf } from '../../core/base/bytes.ts'
import { readEui64, type Eui64 } from '../../core/base/eui64.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { DeviceRecord, DeviceType } from '../../core/inventory/device-record.ts'
import type { DeviceAddress } from '../../core/ports/wan.ts'
import type { ChangedRow, StoredRow } from '../../core/ports/rows.ts'
import type { Checkpoint } from '../../core/ports/store.ts'
import { decodeCause, encodeCause, type DeviceFault } from '../device/cause.ts'

export const dayMs = 86_400_000

const tag = { standing: 0, device: 1, usage: 2, end: 3 } as const

/** How a device is reached, without its secret. */
export type PublicAddress = Omit<DeviceAddress, 'secret'>
/** A row of the inventory. Times are UTC ms. */
export type DeviceRow = {
  type: DeviceType
  address: PublicAddress
  /** Of its first registration; 0 when that is not known. */
  since: number
  partition: number
  openRequests: number
  /**
   * Row of the error table that its last request ended with, and when; `outcomeAt` is 0 before the
   * first.
   */
  outcome: number
  outcomeAt: number
  /** Why exchanges fail, until one succeeds, and since when it was the same cause. */
  fault?: DeviceFault | undefined
}
export type UsageRow = {
  day: number
  party: Eui64
  srv: Srv
  outcome: number
  count: number
}
/**
 * Where a partition stands: its chain, and the tick up to which the inventory holds its facts,
 * which lies ahead of the chain when it was loaded from a snapshot.
 */
export type Head = { checkpoint: Checkpoint; inventorySequence: number }
/**
 * A time whose ticks were forgotten before they were counted, UTC ms; from 0: from the beginning;
 * to 0: not known yet.
 */
export type Missing = { fromMs: number; toMs: number }
/**
 * Every tick up to `sequence` is counted, but for what is missing; the last one was written at
 * `timeMs`.
 */
export type Standing = {
  sequence: number
  timeMs: number
  missing: Missing[]
  heads: Map<number, Head>
}

const packr = new Packr({ useRecords: false })

const standingKey = Buffer.of(tag.standing)
export const deviceRange = [Buffer.of(tag.device), Buffer.of(tag.usage)] as const
export const usageRange = [Buffer.of(tag.usage), Buffer.of(tag.end)] as const

/** What `get` finds; the beginning of everything in an empty store. */
export function standingIn(get: (key: Buffer) => Buffer | undefined): Standing {
  const value = get(standingKey)
  if (value === undefined) return { sequence: 0, timeMs: 0, missing: [], heads: new Map() }
  const { heads, ...rest } = packr.unpack(value) as Standing & { heads: Array<[number, Head]> }
  return { ...rest, heads: new Map(heads) }
}
export const standingRowOf = (standing: Standing): StoredRow => ({
  key: standingKey,
  value: packr.pack({ ...standing, heads: [...standing.heads] }),
})

export function deviceKeyOf(device: Eui64): Buffer {
  const key = Buffer.allocUnsafe(9)
  key[0] = tag.device
  writeOctetsOf(device, key, 1)
  return key
}
export const deviceOf = (key: Buffer): Eui64 => readEui64(key, 1)
/** As an array: without names more rows stand on one page, and a save writes fewer pages. */
type PackedDevice = [
  type: DeviceType,
  host: string,
  port: number,
  logicalDevice: number,
  client: number,
  since: number,
  partition: number,
  openRequests: number,
  outcome: number,
  outcomeAt: number,
  /** Absent in rows that were written before causes were recorded. */
  fault?: [cause: Uint8Array, time: number, isTold: boolean],
]
/** Without `row` the device has none any more. */
export function deviceRowOf(device: Eui64, row: DeviceRow | undefined): ChangedRow {
  if (row === undefined) return { key: deviceKeyOf(device), value: undefined }
  const { type, address, since, partition, openRequests, outcome, outcomeAt } = row
  const { host, port, logicalDevice, client } = address
  const reached = [type, host, port, logicalDevice, client] as const
  const packed: PackedDevice = [...reached, since, partition, openRequests, outcome, outcomeAt]
  const { fault } = row
  if (fault) packed.push([encodeCause(fault), fault.time, fault.isTold])
  return { key: deviceKeyOf(device), value: packr.pack(packed) }
}
export function deviceRowIn(value: Buffer): DeviceRow {
  const [type, host, port, logicalDevice, client, ...rest] = packr.unpack(value) as PackedDevice
  const [since, partition, openRequests, outcome, outcomeAt, packedFault] = rest
  const address = { host, port, logicalDevice, client }
  const row = { type, address, since, partition, openRequests, outcome, outcomeAt }
  const cause = packedFault && decodeCause(asBuffer(packedFault[0]))
  if (cause === undefined) return row
  return { ...row, fault: { ...cause, time: packedFault![1], isTold: packedFault![2] } }
}

/** Of a record that was checked when it was registered. */
export function publicAddressOf({ address }: DeviceRecord): PublicAddress {
  const { host, port, logicalDevice, client } = address
  return { host, port, logicalDevice, client }
}

/** Below every key of the day, above those of the days before. */
export function usageKeyFrom(day: number): Buffer {
  const key = Buffer.allocUnsafe(5)
  key[0] = tag.usage
  key.writeUInt32BE(day, 1)
  return key
}
export function usageKeyOf({ day, party, srv, outcome }: Omit<UsageRow, 'count'>): Buffer {
  const key = Buffer.concat([usageKeyFrom(day), Buffer.alloc(8 + 4 + 2)])
  writeOctetsOf(party, key, 5)
  key.writeUInt32BE(srv, 13)
  key.writeUInt16BE(outcome, 17)
  return key
}
export const packCount = (count: number): Buffer => packr.pack(count)
export const countIn = (value: Buffer | undefined): number =>
  value === undefined ? 0 : (packr.unpack(value) as number)
export const usageRowIn = ({ key, value }: StoredRow): UsageRow => ({
  day: key.readUInt32BE(1),
  party: readEui64(key, 5),
  srv: key.readUInt32BE(13) as Srv,
  outcome: key.readUInt16BE(17),
  count: countIn(value),
})
