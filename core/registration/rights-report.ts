/**
 * What a device knows of its meter points, and its status, to operators: the body of a RIGHTS
 * envelope. MessagePack `[version, [[meter point 8, number of the link, rights as in a letter or
 * nil], …], place of the status in its list, place of the type in its list, grants]`.
 */
import { BrokerError } from '../base/broker-error.ts'
import { DeviceType } from '../inventory/device-record.ts'
import { DeviceStatus } from '../inventory/device-status.ts'
import { grantsIn, packedGrants, type Grant, type PackedGrant } from './grant.ts'
import { readMeterPoint, type MeterPointId } from './meter-point.ts'
import { decodeRights, encodeRights, type Rights } from './rights.ts'
import { packTree, readTree } from './versioned-tree.ts'

export type ReportedLink = {
  readonly point: MeterPointId
  readonly link: number
  /** Once the meter point has answered. */
  readonly rights?: Rights
}

type PackedLink = [point: Uint8Array, link: number, rights: Uint8Array | null]

/** As it stands in reports and in states of devices. */
export const packedLinks = (links: readonly ReportedLink[]): PackedLink[] =>
  links.map(({ point, link, rights }) => [
    Buffer.from(point, 'latin1'),
    link,
    rights ? encodeRights(rights) : null,
  ])

export const linksIn = (packed: readonly PackedLink[]): ReportedLink[] =>
  packed.map(([point, link, rights]) => ({
    point: readMeterPoint(Buffer.from(point)),
    link,
    ...(rights && { rights: decodeRights(rights) }),
  }))

export type RightsReport = {
  readonly links: readonly ReportedLink[]
  /** The last ones, oldest first. */
  readonly grants: readonly Grant[]
  readonly status: DeviceStatus
  readonly type: DeviceType
}

export const encodeRightsReport = ({ links, grants, status, type }: RightsReport): Buffer =>
  packTree(
    packedLinks(links),
    DeviceStatus.indexOf(status),
    DeviceType.indexOf(type),
    packedGrants(grants),
  )

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export const decodeRightsReport = (view: Uint8Array): RightsReport =>
  readTree(view, what, (members) => {
    const [links, statusIndex, typeIndex, grants] = members as Packed
    const status = DeviceStatus[statusIndex]
    const type = DeviceType[typeIndex]
    if (status === undefined || type === undefined)
      throw new BrokerError('ENVELOPE_MALFORMED', what)
    return { links: linksIn(links), grants: grantsIn(grants), status, type }
  })

type Packed = [PackedLink[], number, number, PackedGrant[]]

const what = 'a report of rights'
