/** Facts of meter points, and of the links and the status of devices, in words for an audit. */
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { readTarget, readTime } from '../../../core/envelope/envelope.ts'
import { readMeterPoint, textOfMeterPoint } from '../../../core/registration/meter-point.ts'
import type { DeviceFact } from '../../device/facts.ts'
import { readFact, type MeterPointRegistered } from '../../meter-point/facts.ts'
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
  switch (fact.type) {
    case 'METER_POINT_LINKED': {
      const { device, link } = fact.link
      return `${textOfEui64(device)} ${fact.isLinked ? `as its ${link}` : 'not any more'}`
    }
    case 'CONSENT_GRANTED': {
      const { id, party, categories, granularity, evidence, by } = fact.consent
      const scope = `${categories.join(', ')}, ${granularity}`
      return `${id} to ${textOfEui64(party)} for ${scope}, evidence ${evidence.toString('hex')}, by ${JSON.stringify(by)}`
    }
    case 'CONSENT_WITHDRAWN':
      return `${fact.id}: ${JSON.stringify(fact.reason)}, by ${JSON.stringify(fact.by)}`
    case 'TENANCY_CHANGED':
      return `from ${new Date(fact.startMs).toISOString()}, by ${JSON.stringify(fact.by)}`
    case 'METER_POINT_REGISTERED':
      return textOfItems(fact)
  }
}

function textOfItems(fact: MeterPointRegistered): string {
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
    case 'REQUEST_GRANTED': {
      const { point, version, consent, readableFromMs } = fact.basis
      const by = consent === undefined ? '' : ` consent ${consent}`
      const cut = readableFromMs ? `, read from ${new Date(readableFromMs).toISOString()} on` : ''
      return `${by} of ${textOfMeterPoint(point)}, version ${version}${cut}`
    }
    case 'RIGHTS_RECEIVED':
      return ` of ${textOfMeterPoint(fact.point)}, version ${fact.rights.version}`
    default:
      return ''
  }
}
