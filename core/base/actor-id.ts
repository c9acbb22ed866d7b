/**
 * Which actor: a kind and eight octets. As a key of a Map or of the store it is a string of latin-1
 * characters, one an octet: the eight octets, and behind them the octet of the kind. Devices are
 * kind 0, whose octet is left out: the ActorId of a device is its EUI-64, and stores and snapshots
 * of versions that knew devices alone read as they are.
 */
import { eui64Bytes, textOfEui64, type Eui64 } from './eui64.ts'

export type ActorId = Eui64 | (string & { readonly brand: 'ActorId' })

/** Numbers of the kinds of actor; they stand in stores and snapshots and never change. */
export const ActorKindNumber = {
  DEVICE: 0,
  METER_POINT: 1,
  PARTY: 2,
  WATCH: 3,
  SOURCE: 4,
  CAMPAIGN: 5,
  /** The schedules of the device with the same octets. */
  SCHEDULE: 6,
  /** Counts what a party, or all parties together, may still send: core/access/thresholds.ts. */
  THRESHOLD: 8,
  /** A page of the list of what a party has in quarantine. */
  QUARANTINE_PAGE: 9,
  /** One in each partition: how far its letters have been read. */
  LETTERBOX: 14,
  /** Of tests. */
  TRIAL: 15,
} as const
export type ActorKindNumber = (typeof ActorKindNumber)[keyof typeof ActorKindNumber]

/** `octets` are eight latin-1 characters. */
export function actorIdOf(kind: number, octets: Eui64): ActorId {
  return kind === ActorKindNumber.DEVICE
    ? octets
    : ((octets + String.fromCharCode(kind)) as ActorId)
}

export function kindOfActor(id: ActorId): number {
  return id.length === eui64Bytes ? ActorKindNumber.DEVICE : id.charCodeAt(eui64Bytes)
}

/** The eight octets, by which its partition is found, as an EUI-64 has them. */
export function octetsOfActor(id: ActorId): Eui64 {
  return (id.length === eui64Bytes ? id : id.slice(0, eui64Bytes)) as Eui64
}

/** For people: the EUI-64 of a device; the kind before the octets of any other actor. */
export function textOfActor(id: ActorId): string {
  const octets = textOfEui64(octetsOfActor(id))
  const kind = kindOfActor(id)
  return kind === ActorKindNumber.DEVICE ? octets : `${kind}/${octets}`
}
