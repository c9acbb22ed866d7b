/**
 * What a device knows of its meter points, and its status, to operators: the body of a RIGHTS
 * envelope. MessagePack `[version, [[meter point 8, number of the link, rights as in a letter or
 * nil], …], place of the status in its list, place of the type in its list]`.
 */
import { Packr } from 'msgpackr'
import { BrokerError } from '../base/broker-error.ts'
import { copyOf } from '../base/bytes.ts'
import { DeviceType } from '../inventory/device-record.ts'
import { DeviceStatus } from '../inventory/device-status.ts'
import { readMeterPoint, type MeterPointId } from './meter-point.ts'
import { decodeRights, encodeRights, type Rights } from './rights.ts'

export type ReportedLink = {
  readonly point: MeterPointId
  readonly link: number
  /** Once the meter point has answered. */
  readonly rights?: Rights
}

type PackedLink = [point: Uint8Array, link: number, rights: Uint8Array | null]

const packr = new Packr({ useRecords: false })
const bodyVersion = 1

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
  readonly status: DeviceStatus
  readonly type: DeviceType
}

export const encodeRightsReport = ({ links, status, type }: RightsReport): Buffer =>
  copyOf(
    packr.pack([
      bodyVersion,
      packedLinks(links),
      DeviceStatus.indexOf(status),
      DeviceType.indexOf(type),
    ]),
  )

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export function decodeRightsReport(view: Uint8Array): RightsReport {
  try {
    const [version, links, statusIndex, typeIndex] = packr.unpack(view) as [
      number,
      PackedLink[],
      number,
      number,
    ]
    if (version > bodyVersion)
      throw new BrokerError('FORMAT_VERSION_LATER', `a report of rights of version ${version}`)
    const status = DeviceStatus[statusIndex]
    const type = DeviceType[typeIndex]
    if (status === undefined || type === undefined)
      throw new BrokerError('ENVELOPE_MALFORMED', 'a report of rights')
    return { links: linksIn(links), status, type }
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    throw new BrokerError('ENVELOPE_MALFORMED', 'a report of rights', { cause })
  }
}
