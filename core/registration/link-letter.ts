/**
 * What a device tells one of its meter points, as a letter; the meter point answers with its rights
 * (rights.ts). `version 1 | 1 linked, 0 not any more | number of the link u32 | meter point 8`.
 */
import { BrokerError } from '../base/broker-error.ts'
import { isMeterPoint, readMeterPoint, type MeterPointId } from './meter-point.ts'

export type LinkLetter = {
  readonly point: MeterPointId
  readonly isLinked: boolean
  /** The device's own number of the link; rises with each. */
  readonly link: number
}

const bodyVersion = 1
const bodyBytes = 14

export function encodeLink({ point, isLinked, link }: LinkLetter): Buffer {
  const body = Buffer.alloc(bodyBytes)
  body[0] = bodyVersion
  body[1] = Number(isLinked)
  body.writeUInt32BE(link, 2)
  body.write(point, 6, 'latin1')
  return body
}

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export function decodeLink(body: Buffer): LinkLetter {
  const version = body[0] ?? 0
  if (version > bodyVersion)
    throw new BrokerError('FORMAT_VERSION_LATER', `a link of version ${version}, 1 is known`)
  if (version !== bodyVersion || body.length !== bodyBytes || body[1]! > 1)
    throw new BrokerError('ENVELOPE_MALFORMED', 'a link of a device')
  const point = readMeterPoint(body, 6)
  if (!isMeterPoint(point)) throw new BrokerError('ENVELOPE_MALFORMED', 'a link of a device')
  return { point, isLinked: body[1] === 1, link: body.readUInt32BE(2) }
}
