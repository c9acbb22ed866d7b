/** Facts of meter points, and of the links and the status of devices, in words for an audit. */
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { readTarget, readTime } from '../../../core/envelope/envelope.ts'
import { readMeterPoint, textOfMeterPoint } from '../../../core/registration/meter-point.ts'
import type { DeviceFact } from '../../device/facts.ts'
import { readFact } from '../../meter-point/facts.ts'
import type { AuditLine } from './audit-line.ts'

/** The fact of a meter point at `frame[at]`; it stands in the column of the device. */
export function lineOfMeterPoint(
  frame: Buffer,
  at: number,
  place: { sequence: number; partition: number },
): AuditLine {
  const fact = readFact(frame, at)
  return {
    ...place,
    time: readTime(frame, at),
    device: textOfMeterPoint(readMeterPoint(Buffer.from(readTarget(frame, at), 'latin1'))),
    requestId: undefined,
    what: `${fact.type} ${meaningOf(fact)}`,
  }
}

function meaningOf(fact: ReturnType<typeof readFact>): string {
  if (fact.type === 'METER_POINT_LINKED') {
    const { device, link } = fact.link
    return `${textOfEui64(device)} ${fact.isLinked ? `as its ${link}` : 'not any more'}`
  }
  const items = fact.items.map(
    ({ item, value, from, to }) => `${item} ${value} from ${from}${to ? ` to ${to}` : ''}`,
  )
  return `${items.join(', ')}, by ${JSON.stringify(fact.by)}`
}

/** What a fact says of links or status of a device; empty for any other. */
export function textOfLinks(fact: DeviceFact): string {
  switch (fact.type) {
    case 'DEVICE_STATUS_CHANGED':
      return ` ${fact.status} by ${JSON.stringify(fact.by)}`
    case 'DEVICE_LINKED':
      return ` ${fact.points.map(({ point }) => textOfMeterPoint(point)).join(', ') || 'to nothing'}`
    case 'RIGHTS_RECEIVED':
      return ` of ${textOfMeterPoint(fact.point)}, version ${fact.rights.version}`
    default:
      return ''
  }
}
