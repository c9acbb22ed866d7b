/**
 * To which meter points a device is linked, and what they have said of who is registered there, as
 * facts; decided and applied in links.ts.
 *
 *   DEVICE_LINKED    all its meter points    version | (number of the link u32 | meter point 8) …
 *   RIGHTS_RECEIVED  rights of one of them   version | meter point 8 | rights, as in the letter
 */
import { copyOf } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readKind, readTime } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import {
  meterPointBytes,
  readMeterPoint,
  type MeterPointId,
} from '../../core/registration/meter-point.ts'
import { decodeRights, encodeRights, type Rights } from '../../core/registration/rights.ts'
import { readVersioned, versioned } from './fact-body.ts'

export type NumberedPoint = { readonly point: MeterPointId; readonly link: number }

/** `points` are all that it is linked to from now on. */
export type DeviceLinked = { type: 'DEVICE_LINKED'; time: number; points: readonly NumberedPoint[] }
export type RightsReceived = {
  type: 'RIGHTS_RECEIVED'
  time: number
  point: MeterPointId
  rights: Rights
}
export type LinksFact = DeviceLinked | RightsReceived

export const isLinksFact = (fact: { type: string }): fact is LinksFact =>
  fact.type === 'DEVICE_LINKED' || fact.type === 'RIGHTS_RECEIVED'

const linkBytes = 4 + meterPointBytes

/** Its body. */
export function linksBody(fact: LinksFact): Buffer {
  if (fact.type === 'RIGHTS_RECEIVED')
    return versioned(Buffer.concat([Buffer.from(fact.point, 'latin1'), encodeRights(fact.rights)]))
  const body = Buffer.alloc(fact.points.length * linkBytes)
  fact.points.forEach(({ point, link }, index) => {
    body.writeUInt32BE(link, index * linkBytes)
    body.write(point, index * linkBytes + 4, 'latin1')
  })
  return versioned(body)
}

/**
 * The fact in the envelope at `at`, in memory of its own; undefined when it is another one.
 * @throws BrokerError as `readVersioned`
 */
export function readLinksFact(buffer: Buffer, at: number): LinksFact | undefined {
  const time = readTime(buffer, at)
  switch (readKind(buffer, at)) {
    case Kind.DEVICE_LINKED:
      return { type: 'DEVICE_LINKED', time, points: pointsIn(linksIn(buffer, at)) }
    case Kind.RIGHTS_RECEIVED: {
      const view = readVersioned(buffer, at, 'rights of a device')
      const rights = decodeRights(copyOf(view.subarray(meterPointBytes)))
      return { type: 'RIGHTS_RECEIVED', time, point: readMeterPoint(view), rights }
    }
    default:
      return undefined
  }
}

/** The content of a DEVICE_LINKED; borrowed. */
const linksIn = (buffer: Buffer, at: number): Buffer =>
  readVersioned(buffer, at, 'meter points of a device')

function pointsIn(view: Buffer): NumberedPoint[] {
  if (view.length % linkBytes !== 0)
    throw new BrokerError('ENVELOPE_MALFORMED', `meter points in ${view.length} octets`)
  return Array.from({ length: view.length / linkBytes }, (_, index) => ({
    link: view.readUInt32BE(index * linkBytes),
    point: readMeterPoint(view, index * linkBytes + 4),
  }))
}

/** The meter points in the DEVICE_LINKED at `at`, for readers of the ledger. */
export const linkedPointsIn = (buffer: Buffer, at: number): MeterPointId[] =>
  pointsIn(linksIn(buffer, at)).map(({ point }) => point)
