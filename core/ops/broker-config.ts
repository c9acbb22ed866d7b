/** What one broker process is told: a configuration with nothing left to parse. */
import type { HostPort } from '../base/host-port.ts'
import type { KeyEncryption } from './key-encryption-keys.ts'

/** Where a gateway listens; port 0 for any free one. */
export type ListenAddress = HostPort

/**
 * What a process does. `gateway` serves parties, `host` decides for partitions, `wan` holds the
 * connections to devices, `views` answers operators' questions of inventory and usage.
 */
export const Role = ['gateway', 'host', 'wan', 'views'] as const
export type Role = (typeof Role)[number]

/** The compiled form: all defaults applied, nothing left to parse. Frozen. */
export type BrokerConfig = {
  /** Absolute. */
  readonly dataDir: string
  readonly roles: readonly Role[]
  /** Further processes with the roles host and wan that this one starts and supervises. */
  readonly workerCount: number
  readonly partitionCount: number
  readonly grpc: ListenAddress
  readonly http: ListenAddress
  readonly ops: ListenAddress
  /**
   * What the HTTP doors are called besides the addresses they listen on, and pages that may call.
   */
  readonly site: { readonly hosts: readonly string[]; readonly origins: readonly string[] }
  /**
   * Folder of certificates, absolute; the one for development is made when it is missing. Undefined
   * for doors without TLS, at which a header names the party.
   */
  readonly pki: { readonly folder: string; readonly isDevelopment: boolean } | undefined
  /**
   * Folder of operators, absolute; the operator for development is made when it is missing.
   * Undefined for a door at which the caller says who acts.
   */
  readonly operators: { readonly folder: string; readonly isDevelopment: boolean } | undefined
  /** Absolute. */
  readonly partiesFile: string
  /**
   * An embedded nats-server as a child, the one of the broker on another data directory (absolute),
   * or the address of one that runs elsewhere.
   */
  readonly nats:
    | { readonly kind: 'embedded' }
    | { readonly kind: 'joined'; readonly dataDir: string }
    | { readonly kind: 'external'; readonly url: string }
  /** What seals the keys of devices. */
  readonly keyEncryption: KeyEncryption
  readonly wanConnectionsMax: number
  readonly dialInPerAddress: number
  /** Where devices dial in, and send datagrams to; undefined for nowhere. */
  readonly dialIn: ListenAddress | undefined
  /** Absolute; what devices call themselves that do not say their EUI-64. */
  readonly dialInNamesFile: string | undefined
  readonly ledgerBytesMax: number
  /**
   * Free space of the ledger's disk below which no new requests are taken: the smaller one of
   * octets and of a share, of 100.
   */
  readonly diskReserveBytes: number
  readonly diskReservePercent: number
  /** Copies of the ledger and of the cursors in a cluster. */
  readonly replicas: number
  /**
   * Deliveries that nobody acknowledged may be forgotten after so long, when the ledger is short of
   * room.
   */
  readonly deliveryKeepMs: number
  readonly actorsAwakeMax: number
  readonly actorIdleMs: number
  readonly registration: {
    /** Where registration systems leave their files, absolute; undefined for nowhere. */
    readonly folder: string | undefined
    /** The share of 100 above which a refresh waits for an operator. */
    readonly changePercentMax: number
    /** Age of the data of a registration system above which it is reported. */
    readonly ageMsMax: number
  }
  readonly logLevel: LogLevel
}

export const LogLevel = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LogLevel)[number]
