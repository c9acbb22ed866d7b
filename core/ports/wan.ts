/**
 * The way to devices: one exchange is an association (kept when it can be), a list of COSEM operations, and their results.
 * Twins: core/wan (TCP, and over the bus to a process that has the connections) and core/ports/sim/wan.
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { Lane } from '../base/lane.ts'

/** Where and how a device is reached over the TCP wrapper (IEC 62056-4-7). */
export type DeviceAddress = {
  host: string
  /** TCP port; DLMS has 4059 registered. */
  port: number
  /** Wrapper port of the logical device (server), 1 for the management logical device. */
  logicalDevice: number
  /** Wrapper port of the client: 16 public, 1 and others as the meter has configured. */
  client: number
  /** Low-level security secret, or undefined for association without security. */
  secret?: Uint8Array | undefined
}

/** One COSEM operation, its descriptor laid out as on the wire so that nothing is built on the hot path. */
export type CosemOperation = {
  kind: 'get' | 'set' | 'action'
  /** Nine octets: class-id u16, instance-id (OBIS) 6, attribute-id or method-id i8. [IEC 62056-5-3 Cosem-Attribute-Descriptor, Cosem-Method-Descriptor] */
  descriptor: Uint8Array
  /** GET with selective access: access-selector octet and its A-XDR parameters. */
  selection?: Uint8Array
  /** SET: the value; ACTION: the parameter, when there is one. A-XDR. */
  value?: Uint8Array
}

/** What one operation gave: the A-XDR value (owned by the receiver), or the data-access-result or action-result (0 success). */
export type CosemResult = { value?: Uint8Array | undefined; result: number }

export type ExchangeFailure = {
  ok: false
  code: Extract<
    ErrorCode,
    'DEVICE_UNREACHABLE' | 'DEVICE_SILENT' | 'DEVICE_ANSWER_INVALID' | 'DEVICE_ASSOCIATION_REFUSED'
  >
  /** For logs: an error code of the table and where; never readings. */
  detail: string
}
export type ExchangeResult = { ok: true; results: CosemResult[] } | ExchangeFailure

export interface Wan {
  /**
   * Carries out `operations` in order and settles with one result each. Never rejects. Exchanges with one device do not overlap: the caller
   * (the device's actor) sees to it. `lane` decides who gets a free connection first.
   */
  exchange(
    address: DeviceAddress,
    operations: readonly CosemOperation[],
    lane: Lane,
  ): Promise<ExchangeResult>
  /** Releases associations and closes connections. */
  close(): Promise<void>
}
