/** The fact of the removal of a device, and its octets; decided in removal.ts. */
import { readTime } from '../../core/envelope/envelope.ts'
import { readVersioned, versioned } from './fact-body.ts'

/** An operator has removed the device from the inventory. */
export type DeviceRemoved = {
  type: 'DEVICE_REMOVED'
  time: number
  /** Who did it, as the operator says. */
  by: string
}

/** `version 1 | who`. */
export const removalBody = ({ by }: DeviceRemoved): Buffer => versioned(Buffer.from(by, 'utf8'))

/** The fact in the envelope at `at`. @throws BrokerError as `readVersioned` */
export function readRemoval(buffer: Buffer, at: number): DeviceRemoved {
  const by = readVersioned(buffer, at, 'a removal of a device').toString('utf8')
  return { type: 'DEVICE_REMOVED', time: readTime(buffer, at), by }
}
