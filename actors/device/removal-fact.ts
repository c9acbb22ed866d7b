/** The fact of the removal of a device, and its octets; decided in removal.ts. */
import { BrokerError } from '../../core/base/broker-error.ts'
import { readBodyView, readTime } from '../../core/envelope/envelope.ts'

/** An operator has removed the device from the inventory. */
export type DeviceRemoved = {
  type: 'DEVICE_REMOVED'
  time: number
  /** Who did it, as the operator says. */
  by: string
}

const bodyVersion = 1

/** `version 1 | who`. */
export function removalBody({ by }: DeviceRemoved): Buffer {
  return Buffer.concat([Buffer.of(bodyVersion), Buffer.from(by, 'utf8')])
}

/**
 * The fact in the envelope at `at`.
 * @throws BrokerError ENVELOPE_MALFORMED; FORMAT_VERSION_LATER for the body of a later version
 */
export function readRemoval(buffer: Buffer, at: number): DeviceRemoved {
  const body = readBodyView(buffer, at)
  const version = body[0] ?? 0
  if (version > bodyVersion)
    throw new BrokerError('FORMAT_VERSION_LATER', `a removal of version ${version}, 1 is known`)
  if (version !== bodyVersion) throw new BrokerError('ENVELOPE_MALFORMED', 'a removal of a device')
  return { type: 'DEVICE_REMOVED', time: readTime(buffer, at), by: body.toString('utf8', 1) }
}
