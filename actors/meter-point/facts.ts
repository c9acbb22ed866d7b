/**
 * What has happened to a meter point: it was registered, or a device was linked to it or is not any
 * more. Bodies are MessagePack arrays with a version in front.
 */
import { bytesOfEui64, readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import type { Srv } from '../../core/base/srv.ts'
import { readBodyView, readKind, readTime, writeEnvelope } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'
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
export type MeterPointFact = MeterPointRegistered | MeterPointLinked

const nobody = Buffer.alloc(8)

export function writeFact(frame: FrameWriter, point: Eui64, fact: MeterPointFact): void {
  const body = bodyOf(fact)
  const at = frame.reserve(headerBytes + body.length)
  const header = {
    kind: Kind[fact.type],
    lane: Lane.BULK,
    srv: 0 as Srv,
    outcome: 0,
    bodyType: 0,
    attempt: 0,
    originator: nobody,
    target: bytesOfEui64(point),
    counter: 0n,
    time: fact.time,
    deadline: 0,
    correlation: 0,
  }
  writeEnvelope(frame.target, at, header, body)
  frame.count++
}

function bodyOf(fact: MeterPointFact): Buffer {
  if (fact.type === 'METER_POINT_REGISTERED')
    return packTree(fact.by, packedOrder(fact.order), fact.items.map(packedItem))
  const { device, link } = fact.link
  return packTree(bytesOfEui64(device), link, fact.isLinked)
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export function readFact(buffer: Buffer, at: number): MeterPointFact {
  const time = readTime(buffer, at)
  const isRegistration = readKind(buffer, at) === Kind.METER_POINT_REGISTERED
  return readTree(readBodyView(buffer, at), 'a fact of a meter point', (members) =>
    isRegistration ? registeredIn(members, time) : linkedIn(members, time),
  )
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
