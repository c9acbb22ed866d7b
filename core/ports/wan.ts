/**
 * The way to devices: one exchange is an association (kept when it can be), a command (COSEM
 * operations, or one APDU as octets), and what the device answered. Twins: core/wan (TCP, and over
 * the bus to a process that has the connections) and core/ports/sim/wan.
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { Eui64 } from '../base/eui64.ts'
import type { Lane } from '../base/lane.ts'

/**
 * How octets travel to a device: the wrapper over TCP or UDP (IEC 62056-4-7), HDLC over TCP (a
 * serial server), or a device that connects to us.
 */
export const Transport = ['tcp', 'udp', 'hdlc', 'dial-in'] as const
export type Transport = (typeof Transport)[number]

/** How one device deviates, beside its profile; see core/catalogue/device-model. */
export type DeviceModel = {
  /**
   * Where it tells which invocation counter it was sent last, and to which client; what is left out
   * is as its profile has it. `initial`: the lowest one to send with, for a device that tells
   * nobody.
   */
  counter?:
    | {
        readonly obis?: string | undefined
        readonly client?: number | undefined
        readonly initial?: number | undefined
      }
    | undefined
  /** The conformance bits that are proposed to it. */
  conformance?: number | undefined
  /**
   * Base names of its objects by OBIS code, in place of its object list. Short names alone are used
   * with it then.
   */
  shortNames?: Readonly<Record<string, number>> | undefined
  /** Its line is opened in mode E: to which device address, and at which speed at most. */
  modeE?:
    | { readonly deviceAddress?: string | undefined; readonly baudMax?: number | undefined }
    | undefined
}

/** Where and how a device is reached. */
export type DeviceAddress = DeviceModel & {
  /**
   * Of a device that dials in: the name that it announces itself by, or the address that it comes
   * from (core/wan/sockets/dial-in).
   */
  host: string
  /** TCP port; DLMS has 4059 registered. */
  port: number
  /** Wrapper port of the logical device (server), 1 for the management logical device. */
  logicalDevice: number
  /** Wrapper port of the client: 16 public, 1 and others as the meter has configured. */
  client: number
  /** Low-level security secret, or undefined for association without security. */
  secret?: Uint8Array | undefined
  /** `tcp` when left out. */
  transport?: Transport | undefined
  /**
   * Name of the device profile that says how its model deviates (core/inventory/device-profiles).
   */
  profile?: string | undefined
  /**
   * Under a security suite; undefined for association without security, or with the secret alone.
   */
  security?: DeviceSecurity | undefined
  /**
   * Whose address it is: what comes from there unsolicited is told as this device's. Not written
   * with records, which are kept by device. Exchanges of one device should have one and the same
   * address object, which saves a comparison of its contents.
   */
  device?: Eui64 | undefined
}

/** What is known of a device's security beside its keys, which an exchange brings along. */
export type DeviceSecurity = {
  suite: 0 | 1 | 2
  /** Mechanism of authentication, 0 to 7. [IEC 62056-5-3, 5.3.4] */
  mechanism: number
  /**
   * Of requests, and of responses at least: 0x10 authenticated, 0x20 encrypted, 0x30 both, 0
   * neither.
   */
  protection: number
  /** System titles, eight octets. The device's is learnt from its AARE when it is not known. */
  clientTitle: Uint8Array
  deviceTitle?: Uint8Array | undefined
}

/**
 * What an exchange with a device under a security suite brings along: its keys, sealed (KeyVault
 * opens them), and counters.
 */
export type ExchangeSecurity = {
  device: Eui64
  sealedKeys: Uint8Array
  /**
   * Invocation counters that may be sent with: from `from` on, below `to`. They are reserved on the
   * ledger: nobody else ever sends with one of them under these keys. `received`: the highest that
   * the device was heard with, -1 for none.
   */
  counters: { from: number; to: number; received: number }
  /**
   * The ledger was restored: values from `from` on may have been sent before. Nothing is sent under
   * the keys until the device has told its counter.
   */
  isCounterUnknown?: boolean | undefined
}

/** What became of the counters of an exchange, in success and failure alike. */
export type CountersUsed = {
  /** The next one that was not sent with. */
  next: number
  received: number
  /**
   * The counter that the device said it expects, when it refused ours as too low. Not
   * authenticated.
   */
  expected?: number | undefined
  /** The device has told its counter first, and what was sent with lies above it. */
  isRead?: boolean | undefined
}

/**
 * One COSEM operation, its descriptor laid out as on the wire so that nothing is built on the hot
 * path.
 */
export type CosemOperation = {
  kind: 'get' | 'set' | 'action'
  /**
   * Nine octets: class-id u16, instance-id (OBIS) 6, attribute-id or method-id i8. [IEC 62056-5-3
   * Cosem-Attribute-Descriptor, Cosem-Method-Descriptor]
   */
  descriptor: Uint8Array
  /** GET with selective access: access-selector octet and its A-XDR parameters. */
  selection?: Uint8Array
  /** SET: the value; ACTION: the parameter, when there is one. A-XDR. */
  value?: Uint8Array
}

/**
 * What an exchange carries to a device. `cosem`: operations, carried out in order and protected as
 * the device's record says. `opaque`: one APDU, at least one octet, that goes to the device as it
 * is; its maker has protected it end to end, so that Busbar applies no security suite. Octets are
 * kept until the exchange has ended.
 */
export type WanCommand =
  | { readonly cosem: readonly CosemOperation[]; readonly opaque?: undefined }
  | { readonly opaque: Uint8Array; readonly cosem?: undefined }

/**
 * What one operation gave: the A-XDR value (owned by the receiver), or the data-access-result or
 * action-result (0 success).
 */
export type CosemResult = {
  value?: Uint8Array | undefined
  result: number
  /**
   * All of an attribute, though a part was asked for: the device takes no selective access. Not
   * told over the bus.
   */
  isWhole?: boolean
}

/** Why an exchange failed, for operators: never a key, a secret or a reading. */
export type ExchangeCause = {
  /** A row of the error table, as a rule a more precise one than that of the failure. */
  code: ErrorCode
  detail: string
  /**
   * Invocation counters: the one that was refused, and the lowest that would have been accepted.
   * With DLMS_COUNTER_REPLAYED Busbar refused that of an answer, else the device refused ours.
   */
  counterReceived?: number | undefined
  counterExpected?: number | undefined
}

export type ExchangeFailure = {
  ok: false
  code: Extract<
    ErrorCode,
    'DEVICE_UNREACHABLE' | 'DEVICE_SILENT' | 'DEVICE_ANSWER_INVALID' | 'DEVICE_ASSOCIATION_REFUSED'
  >
  /** For logs: an error code of the table and where; never readings. */
  detail: string
  cause?: ExchangeCause | undefined
  counters?: CountersUsed | undefined
}

/**
 * What an exchange gave. `results`: one for each COSEM operation, none for an opaque command.
 * `answerBytes`: the APDU that answered an opaque command, not parsed; owned by the receiver.
 */
export type ExchangeResult =
  | {
      ok: true
      results: CosemResult[]
      answerBytes?: Uint8Array | undefined
      counters?: CountersUsed | undefined
    }
  | ExchangeFailure

/** What a device said without being asked: a notification, or what ciphers one. */
export type DevicePush = {
  /** Known where the device has been asked something on the same connection. */
  device?: Eui64 | undefined
  /** Where it came from. */
  address: DeviceAddress
  /**
   * What it says that it is called, most telling first: an identification, its system title as
   * hexadecimal digits, names in its notification.
   */
  names: readonly string[]
  /**
   * In the clear, or as it came when there was no association to open it with; none where there was
   * an identification alone. Owned.
   */
  apduBytes: Buffer
  /** Octets of an alarm register or OBIS code behind an identification. Owned. */
  alarmBytes?: Buffer | undefined
  /** What protected it, when an association has opened it: bits of 0x30. */
  protection: number
  /**
   * The invocation counter that it was opened with, and the mark of the unicast key that counts so
   * (sealed-keys.ts).
   */
  counter?: { mark: string; value: number } | undefined
  /**
   * To be called once it is on disk, where the device wants to hear so: it says again what was not
   * confirmed.
   */
  confirm?: (() => void) | undefined
}

export interface Wan {
  /**
   * Carries `command` to the device and settles with what it answered. Never rejects. Exchanges
   * with one device do not overlap: the caller (the device's actor) sees to it. `lane` decides who
   * gets a free connection first. `security` is there when the address has one. An opaque command
   * fails with DLMS_OPAQUE_UNFIT where the association itself takes invocation counters.
   */
  exchange(
    address: DeviceAddress,
    command: WanCommand,
    lane: Lane,
    security?: ExchangeSecurity,
  ): Promise<ExchangeResult>
  /** Releases associations and closes connections. */
  close(): Promise<void>
}
