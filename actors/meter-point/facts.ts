/**
 * What has happened to a meter point: it was registered, a device was linked to it or is not any
 * more, a consent was granted or withdrawn, or a tenancy begins. Bodies are MessagePack arrays with
 * a version in front.
 */
import { writeFactOf } from '../kind/write-fact.ts'
import { bytesOfEui64, readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind, readTime } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import {
  itemIn,
  orderIn,
  packedItem,
  packedOrder,
  type PackedItem,
  type PackedOrder,
  type RegistrationOrder,
} from '../../core/registration/registration-change.ts'
import type { KnownItem } from '../../core/registration/registrations.ts'
import {
  consentRecordIn,
  packedConsentRecord,
  type ConsentRecord,
  type PackedConsentRecord,
} from '../../core/registration/consent-register.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'
import type { DeviceLink } from './state.ts'

export type MeterPointRegistered = {
  type: 'METER_POINT_REGISTERED'
  time: number
  /** Where it comes from, or who did it. */
  by: string
  order: RegistrationOrder
  items: readonly KnownItem[]
}
export type MeterPointLinked = {
  type: 'METER_POINT_LINKED'
  time: number
  link: DeviceLink
  /** False when the device has gone, or there was no room for it. */
  isLinked: boolean
}
export type ConsentGranted = { type: 'CONSENT_GRANTED'; time: number; consent: ConsentRecord }
export type ConsentWithdrawn = {
  type: 'CONSENT_WITHDRAWN'
  time: number
  id: string
  by: string
  reason: string
}
export type TenancyChanged = {
  type: 'TENANCY_CHANGED'
  time: number
  /** When the tenancy begins, UTC ms. */
  startMs: number
  by: string
}
export type MeterPointFact =
  | MeterPointRegistered
  | MeterPointLinked
  | ConsentGranted
  | ConsentWithdrawn
  | TenancyChanged

export const writeFact = (frame: FrameWriter, point: Eui64, fact: MeterPointFact): void =>
  writeFactOf(frame, point, Kind[fact.type], { time: fact.time }, bodyOf(fact))

function bodyOf(fact: MeterPointFact): Buffer {
  switch (fact.type) {
    case 'METER_POINT_REGISTERED':
      return packTree(fact.by, packedOrder(fact.order), fact.items.map(packedItem))
    case 'METER_POINT_LINKED':
      return packTree(bytesOfEui64(fact.link.device), fact.link.link, fact.isLinked)
    case 'CONSENT_GRANTED':
      return packTree(packedConsentRecord(fact.consent))
    case 'CONSENT_WITHDRAWN':
      return packTree(fact.id, fact.by, fact.reason)
    case 'TENANCY_CHANGED':
      return packTree(fact.startMs, fact.by)
  }
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export function readFact(buffer: Buffer, at: number): MeterPointFact {
  const time = readTime(buffer, at)
  const kind = readKind(buffer, at)
  return readTree(readBodyView(buffer, at), 'a fact of a meter point', (members) =>
    factIn(kind, members, time),
  )
}

function factIn(kind: number, members: unknown[], time: number): MeterPointFact {
  switch (kind) {
    case Kind.METER_POINT_REGISTERED:
      return registeredIn(members, time)
    case Kind.CONSENT_GRANTED: {
      const consent = consentRecordIn(members[0] as PackedConsentRecord)
      return { type: 'CONSENT_GRANTED', time, consent }
    }
    case Kind.CONSENT_WITHDRAWN: {
      const [id, by, reason] = members as [string, string, string]
      return { type: 'CONSENT_WITHDRAWN', time, id, by, reason }
    }
    case Kind.TENANCY_CHANGED: {
      const [startMs, by] = members as [number, string]
      return { type: 'TENANCY_CHANGED', time, startMs, by }
    }
    default:
      return linkedIn(members, time)
  }
}

function registeredIn(members: unknown[], time: number): MeterPointRegistered {
  const [by, order, items] = members as [string, PackedOrder, PackedItem[]]
  return {
    type: 'METER_POINT_REGISTERED',
    time,
    by,
    order: orderIn(order),
    items: items.map((one) => itemIn(one, time)),
  }
}

function linkedIn(members: unknown[], time: number): MeterPointLinked {
  const [device, link, isLinked] = members as [Uint8Array, number, boolean]
  return { type: 'METER_POINT_LINKED', time, link: { device: readEui64(device), link }, isLinked }
}
