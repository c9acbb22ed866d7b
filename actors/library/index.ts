/** The door of the package, `busbar`: a broker inside another program. */
export { BrokerError } from '../../core/base/broker-error.ts'
export type { ErrorCode } from '../../core/base/error-table.ts'
export type { Log, LogFields } from '../../core/ports/log.ts'
export { startBroker, type RunningBroker } from './broker.ts'
export type { BrokerOptions, DeviceInput, PartyInput, RegisteredDevices } from './options.ts'
