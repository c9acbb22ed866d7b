/**
 * The fact of another status of a device, and its octets; decided in status.ts. The place of the
 * status in the list, and who changed it, also stand in the DEVICE_STATUS envelope of an operator.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { readTime } from '../../core/envelope/envelope.ts'
import { DeviceStatus } from '../../core/inventory/device-status.ts'
import { readVersioned, versioned } from './fact-body.ts'

export type DeviceStatusChanged = {
  type: 'DEVICE_STATUS_CHANGED'
  time: number
  status: DeviceStatus
  /** Who did it, as the operator says. */
  by: string
}

/** The body of a DEVICE_STATUS envelope. */
export const statusBody = ({ status, by }: { status: DeviceStatus; by: string }): Buffer =>
  Buffer.concat([Buffer.of(DeviceStatus.indexOf(status)), Buffer.from(by, 'utf8')])

export const statusFactBody = (fact: DeviceStatusChanged): Buffer => versioned(statusBody(fact))

/** The fact in the envelope at `at`. @throws BrokerError as `readVersioned` */
export function readStatusFact(buffer: Buffer, at: number): DeviceStatusChanged {
  const view = readVersioned(buffer, at, 'a status of a device')
  const status = DeviceStatus[view[0] ?? DeviceStatus.length]
  if (status === undefined) throw new BrokerError('ENVELOPE_MALFORMED', 'a status of a device')
  const by = view.toString('utf8', 1)
  return { type: 'DEVICE_STATUS_CHANGED', time: readTime(buffer, at), status, by }
}
