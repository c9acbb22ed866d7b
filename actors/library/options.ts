/**
 * What a program that embeds a broker gives to `startBroker`: the settings of `busbar serve` by the
 * names of their long options in camelCase, and what only another program can give. Types alone, so
 * that the declarations of the package need nothing but Node's own.
 */
import type { ErrorCode } from '../../core/base/error-table.ts'
import type { DeviceType } from '../../core/inventory/device-record.ts'
import type { Role as PartyRole } from '../../core/catalogue/service-requests.ts'
import type { LogLevel, Role } from '../../core/ops/broker-config.ts'
import type { Log } from '../../core/ports/log.ts'

/** One party: who may ask, and in which user role. */
export type PartyInput = {
  /** EUI-64: sixteen hexadecimal digits, bare or with `-` or `:` between octets. */
  readonly eui64: string
  readonly role: PartyRole
  /** For people; 1 to 100 characters. */
  readonly name: string
}

/** One device as in a line of a devices file; core/docs/operating/inventory.md lists its fields. */
export type DeviceInput = {
  readonly eui64: string
  readonly type: DeviceType
  readonly address: Readonly<Record<string, unknown>>
  /** Octets in hexadecimal, or keys as PEM; they are sealed before they are stored. */
  readonly keys?: Readonly<Record<string, unknown>> | undefined
  /** Parties that get its unsolicited messages; at most eight. */
  readonly alertsTo?: readonly string[] | undefined
}

/** What became of a list of devices. */
export type RegisteredDevices = {
  registered: number
  /** `index`: place in the list, from 0. */
  refused: Array<{ index: number; eui64: string; code: ErrorCode }>
}

/**
 * Settings of a broker. All may be left out; defaults, units and consequences are those that
 * `busbar serve --help` lists. The environment variables of `busbar serve` are not read.
 */
export type BrokerOptions = {
  /** Folder of everything that must survive; `.busbar/data` in the working directory. */
  readonly dataDir?: string | undefined
  /** `['gateway', 'host', 'wan']`. */
  readonly roles?: readonly Role[] | undefined
  /**
   * Further processes with the roles host and wan; `'auto'`: one less than there are cores. Default
   * 0.
   */
  readonly workers?: number | 'auto' | undefined
  /** Default 16; fixed when the deployment is created. */
  readonly partitions?: number | undefined
  /** `host:port`, port 0 for any free one. Default `127.0.0.1:50051`. */
  readonly grpc?: string | undefined
  /** Default `127.0.0.1:8080`. */
  readonly http?: string | undefined
  /** Default `127.0.0.1:9464`. */
  readonly ops?: string | undefined
  /** The parties, or the path of their file; default `parties.json` in `dataDir`. */
  readonly parties?: string | readonly PartyInput[] | undefined
  /** Default false: a header names the party at doors without TLS, on loopback alone. */
  readonly insecurePartyHeader?: boolean | undefined
  /**
   * Folder of certificates that `busbar pki init` has made; default `pki` in `dataDir`, made for
   * development at the first start.
   */
  readonly pki?: string | undefined
  /**
   * Folder of operators that `busbar operators token` has made; default `operators` in `dataDir`,
   * made for development at the first start.
   */
  readonly operators?: string | undefined
  /** Default false: an operators' door without authentication, on loopback alone. */
  readonly insecureOperators?: boolean | undefined
  /** A NATS that runs elsewhere, credentials in it; several separated by commas. */
  readonly natsUrl?: string | undefined
  /** Data directory of a running broker on this machine whose nats-server is used. */
  readonly join?: string | undefined
  /** 64 hexadecimal digits or base64 of 32 octets; the first seals, all open. */
  readonly keyEncryptionKey?: string | readonly string[] | undefined
  readonly keyEncryptionKeyFile?: string | undefined
  /** Connections to devices at one time. */
  readonly wanConnections?: number | undefined
  /** Where devices connect and push to, `host:port`; nowhere when left out. */
  readonly dialIn?: string | undefined
  /** Connections of one address that devices have made and not answered on yet. */
  readonly dialInPerAddress?: number | undefined
  /** Names under which clients reach the HTTP doors, besides the addresses they listen on. */
  readonly httpHosts?: string | undefined
  /** Origins of web pages that may call the HTTP doors. */
  readonly httpOrigins?: string | undefined
  /**
   * Free space of the ledger's disk below which no new requests are taken: octets, or text such as
   * `2GiB`. Default 1 GiB.
   */
  readonly diskReserve?: number | string | undefined
  /** The same as a share of the disk; the smaller one counts. Default 10. */
  readonly diskReservePercent?: number | undefined
  /** File of lines `NAME EUI-64`. */
  readonly dialInNames?: string | undefined
  /** Servers of the cluster that hold the ledger. Default 1. */
  readonly replicas?: 1 | 3 | 5 | undefined
  /** Octets, or text such as `8GiB`. */
  readonly ledgerBytes?: number | string | undefined
  /** Milliseconds, or text such as `30d`. */
  readonly deliveryKeep?: number | string | undefined
  readonly registrationFiles?: string | undefined
  readonly registrationChangePercent?: number | undefined
  readonly registrationAge?: number | string | undefined
  /** Actors in memory at one time. */
  readonly actors?: number | undefined
  /** Milliseconds, or text such as `5m`. */
  readonly actorIdle?: number | string | undefined
  /** Default `info`; of no effect on `log`. */
  readonly logLevel?: LogLevel | undefined
  /** Path of the nats-server (2.15.1 or newer) to run; of no effect beside `natsUrl`. */
  readonly natsServer?: string | undefined
  /**
   * For one start: give up the ledger that `dataDir` knows, for the one found or a new one. Local
   * stores are set aside. Without it such a start is refused: LEDGER_MISSING,
   * LEDGER_IDENTITY_MISMATCH, LEDGER_ROLLED_BACK.
   */
  readonly newLedger?: boolean | undefined
  /** Takes the log lines, instead of JSON on stderr. Called often: it must not throw. */
  readonly log?: Log | undefined
}
