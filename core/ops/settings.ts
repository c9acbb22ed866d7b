/**
 * Every setting of a broker process as one table: its option, variable, default, and what its
 * values do. The command line, the settings file of `busbar init`, `busbar settings` and
 * docs/operating/settings.md are made from it. Values are read in config.ts.
 */
import { z } from 'zod'
import { limits } from '../base/limits.ts'
import { LogLevel, Role } from './broker-config.ts'
import {
  hostNames,
  keyTexts,
  listenAddress,
  listenAddressOrNone,
  natsUrl,
  originNames,
  quantity,
  unitBytes,
  unitMs,
  whole,
} from './setting-schema.ts'

/**
 * One thing that an operator may set. All texts are sentences for operators, and the only source of
 * what is said of it.
 */
export type Setting = {
  readonly env: string
  /** Long option of the command line without its dashes, camelCase. */
  readonly option: string
  /** What it is, one sentence. */
  readonly what: string
  readonly default: string
  readonly unit: string
  /** Why the default is what it is. */
  readonly reason: string
  /** What the value does. */
  readonly consequence: string
  /** Of a quantity: what a larger and a smaller value do. */
  readonly larger?: string
  readonly smaller?: string
  readonly schema: z.ZodType<unknown, string>
  /** Never on the command line, which everybody on the machine can read. */
  readonly isEnvironmentOnly?: boolean
  /** A path: relative to the working directory, or to the folder of the settings file. */
  readonly isPath?: boolean
}

/** Busbar runs on this many partitions unless a deployment is created with another number. */
const partitionCountDefault = 16
const roles: z.ZodType<Role[], string> = z
  .string()
  .transform((text) => [...new Set(text.split(',').map((one) => one.trim()))])
  .pipe(z.array(z.enum(Role, `must be some of ${Role.join(', ')}, separated by commas`)).min(1))

/** Every setting: the defaults stand here and nowhere else. */
export const settings = {
  dataDir: {
    env: 'BUSBAR_DATA_DIR',
    option: 'dataDir',
    what: 'Folder for everything that this process keeps.',
    default: '.busbar/data',
    unit: 'folder',
    reason: 'A folder of the project that git ignores, so a first start leaves nothing elsewhere.',
    consequence:
      'The ledger of an embedded nats-server, its credentials and the actor store live there: keep it on a disk that survives.',
    isPath: true,
    schema: z.string().min(1, 'must not be empty'),
  },
  roles: {
    env: 'BUSBAR_ROLES',
    option: 'roles',
    what: 'What this process does.',
    default: 'gateway,host,wan',
    unit: 'some of gateway, host, wan, views, separated by commas',
    reason:
      'One process does everything that parties need. The role views is off: it takes up to a third more processor time for each request.',
    consequence:
      'Processes over one NATS share the work: partitions spread over all processes with the role host. A gateway without host needs a host elsewhere. A host without wan sends its exchanges through processes with wan, each address through one of them, and is not ready without one. Once a process with views has run, the ledger keeps the ticks that it has not counted, for at most the time of --delivery-keep.',
    schema: roles,
  },
  workers: {
    env: 'BUSBAR_WORKERS',
    option: 'workers',
    what: 'Further processes that this one starts and supervises.',
    default: '0',
    unit: 'processes, or auto for one less than there are cores',
    reason: 'One process uses about one core and a half, nats-server another half.',
    consequence:
      'This process starts so many further processes with the roles host and wan, in folders of the data directory; partitions spread over them.',
    larger:
      'More cores are used, up to the number of cores; each process needs memory for its awake devices.',
    smaller: 'Fewer cores are used; 0 keeps everything in this process.',
    schema: z
      .string()
      .regex(/^(auto|\d{1,3})$/, 'must be a number or auto')
      .transform((text) => (text === 'auto' ? -1 : Number(text)))
      .pipe(z.number().max(256)),
  },
  partitionCount: {
    env: 'BUSBAR_PARTITIONS',
    option: 'partitions',
    what: 'Number of partitions that the devices are spread over.',
    default: String(partitionCountDefault),
    unit: 'partitions',
    reason: 'Enough for sixteen hosts; each partition costs a lease and a store.',
    consequence:
      'It is fixed when a deployment is created: a start with another number is rejected (LEDGER_DEPLOYMENT_MISMATCH).',
    larger: 'More hosts can share the work; each partition costs a lease and a store.',
    smaller: 'Fewer hosts can share the work: a host without a partition does nothing.',
    schema: whole(1, 1_024),
  },
  grpc: {
    env: 'BUSBAR_GRPC',
    option: 'grpc',
    what: 'Address of the gRPC gateway for parties.',
    default: '127.0.0.1:50051',
    unit: 'host:port, port 0 for any free one',
    reason: 'Loopback: only this machine reaches it.',
    consequence:
      'With any other host, the certificate of the doors must have its name: `busbar pki issue --hosts`.',
    schema: listenAddress,
  },
  http: {
    env: 'BUSBAR_HTTP',
    option: 'http',
    what: 'Address of the HTTP gateway for parties.',
    default: '127.0.0.1:8080',
    unit: 'host:port, port 0 for any free one',
    reason: 'As for the gRPC gateway.',
    consequence: 'As for the gRPC gateway.',
    schema: listenAddress,
  },
  ops: {
    env: 'BUSBAR_OPS',
    option: 'ops',
    what: "Address of the operators' door: metrics, health, registration of devices.",
    default: '127.0.0.1:9464',
    unit: 'host:port, port 0 for any free one',
    reason:
      "Metrics, health and operators' routes are for this machine; 9464 is customary for Prometheus exporters.",
    consequence:
      'With any other host, operators of its own are needed (--operators), and metrics need the role viewer. The door has no TLS: put a proxy with TLS in front of it there.',
    schema: listenAddress,
  },
  httpHosts: {
    env: 'BUSBAR_HTTP_HOSTS',
    option: 'httpHosts',
    what: 'Names under which clients reach the HTTP doors, of parties and of operators.',
    default: '',
    unit: 'names or name:port, separated by commas',
    reason:
      'Empty: a door accepts calls to the address it listens on. A web page can point a name of its own at this machine, so other names are rejected.',
    consequence:
      'Calls whose header Host has one of these names are accepted as well. List the names that a reverse proxy, a container network or a DNS record uses for the broker.',
    schema: hostNames,
  },
  httpOrigins: {
    env: 'BUSBAR_HTTP_ORIGINS',
    option: 'httpOrigins',
    what: 'Origins of web pages that may call the HTTP doors from a browser.',
    default: '',
    unit: 'origins such as https://console.example, separated by commas',
    reason: 'Empty: calls of pages of other sites are rejected.',
    consequence: 'Pages of these origins may do everything that the door allows.',
    schema: originNames,
  },
  pki: {
    env: 'BUSBAR_PKI',
    option: 'pki',
    what: 'Folder of the certificates of the party doors, as `busbar pki init` makes it.',
    default: '',
    unit: 'folder',
    reason:
      'Empty means the folder pki of the data directory. A first start makes it, with an authority for development and certificates of the parties of the parties file.',
    consequence:
      'Both party doors use TLS 1.3, and the certificate of a connection names its party (PARTY_CERTIFICATE_MISSING without one). Files that change are read again within a second; connections of a revoked certificate are closed. Give production a folder of its own: a reader of the one for development can act as any party.',
    isPath: true,
    schema: z.string(),
  },
  insecurePartyHeader: {
    env: 'BUSBAR_INSECURE_PARTY_HEADER',
    option: 'insecurePartyHeader',
    what: 'Party doors without TLS, at which a header names the party.',
    default: 'false',
    unit: 'true or false',
    reason: 'A caller of such a door can name any party.',
    consequence:
      'For tests on one machine: with true, both doors must listen on loopback addresses, no certificates are used, and the start warns.',
    schema: z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true'),
  },
  operators: {
    env: 'BUSBAR_OPERATORS',
    option: 'operators',
    what: "Folder of the operators who may call the operators' door, as `busbar operators token` makes it.",
    default: '',
    unit: 'folder',
    reason:
      'Empty means the folder operators of the data directory, or of the one that is joined. A first start makes the operator development there, with the role security-officer and a token that commands on this machine find.',
    consequence:
      'A call without a token of one of them is rejected (OPERATOR_CREDENTIALS_MISSING), and the ledger names the operator. A changed list counts within a second. Give production a folder of its own: a reader of the token for development can do everything at the door.',
    isPath: true,
    schema: z.string(),
  },
  insecureOperators: {
    env: 'BUSBAR_INSECURE_OPERATORS',
    option: 'insecureOperators',
    what: "An operators' door without authentication, at which callers say who acts.",
    default: 'false',
    unit: 'true or false',
    reason: 'Everybody on the machine could do everything at such a door.',
    consequence:
      'For tests on one machine: with true, the door must listen on a loopback address, nobody needs a token, and the start warns.',
    schema: z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true'),
  },
  partiesFile: {
    env: 'BUSBAR_PARTIES',
    option: 'parties',
    what: 'JSON file of the parties of a new deployment.',
    default: '',
    unit: 'file',
    reason: 'Empty means parties.json in the data directory.',
    consequence:
      'They come into the directory once; from then on `busbar parties` says who may use this broker, and a party that is not in the directory is rejected (PARTY_UNKNOWN).',
    isPath: true,
    schema: z.string(),
  },
  natsUrl: {
    env: 'BUSBAR_NATS_URL',
    option: 'natsUrl',
    what: 'NATS servers to use instead of an embedded one.',
    default: '',
    unit: 'addresses, separated by commas',
    reason: 'Empty means an embedded nats-server: one command on a laptop.',
    consequence:
      'The ledger is created there with one replica, unless a stream LEDGER with more exists; its settings are checked at start (LEDGER_SETTINGS_UNSAFE).',
    schema: natsUrl,
  },
  join: {
    env: 'BUSBAR_JOIN',
    option: 'join',
    what: 'Data directory of a running broker on this machine whose embedded nats-server is used.',
    default: '',
    unit: 'folder',
    reason: 'Empty: this process has a nats-server of its own, or uses the one of --nats-url.',
    consequence:
      'Address and credentials are read from that folder. Give this process a data directory and an --ops address of its own.',
    isPath: true,
    schema: z.string(),
  },
  keyEncryptionKey: {
    env: 'BUSBAR_KEY_ENCRYPTION_KEY',
    option: 'keyEncryptionKey',
    what: 'Key-encryption keys that seal the keys of devices.',
    default: '',
    unit: '64 hexadecimal digits, or base64 of 32 octets; several separated by commas',
    reason: 'Empty: Busbar keeps no key-encryption key of its own.',
    consequence:
      'The first key seals the keys of devices, all of them open what is sealed; every process needs them. Without one, devices with keys or secrets are rejected (KEYS_ENCRYPTION_KEY_MISSING). The setting is read from the environment or the settings file only.',
    schema: keyTexts,
    isEnvironmentOnly: true,
  },
  keyEncryptionKeyFile: {
    env: 'BUSBAR_KEY_ENCRYPTION_KEY_FILE',
    option: 'keyEncryptionKeyFile',
    what: 'File of the key-encryption keys that seal the keys of devices.',
    default: '',
    unit: 'file, one key a line, mode 600',
    reason:
      'Empty means none. A file can be rotated while Busbar runs, and keeps the key out of the environment of every child.',
    consequence:
      'As for BUSBAR_KEY_ENCRYPTION_KEY. A file in the data directory is rejected: a copy of that folder must not open itself.',
    isPath: true,
    schema: z.string(),
  },
  wanConnectionsMax: {
    env: 'BUSBAR_WAN_CONNECTIONS',
    option: 'wanConnections',
    what: 'Connections to devices at a time.',
    default: String(limits.wanConnectionsMax),
    unit: 'TCP connections',
    reason:
      'Each connection costs a file descriptor and some kB here and in the meter or its concentrator.',
    consequence: 'While all connections are in use, requests to further devices wait for one.',
    larger: 'Requests to more devices run at the same time; raise the limit of open files first.',
    smaller: 'Requests to many devices wait longer for a connection.',
    schema: whole(1, 100_000),
  },
  dialIn: {
    env: 'BUSBAR_DIAL_IN',
    option: 'dialIn',
    what: 'Address that devices connect or send notifications to.',
    default: '',
    unit: 'host:port, port 0 for any free one',
    reason:
      'Empty: devices cannot dial in. Notifications on connections that Busbar has made are accepted all the same.',
    consequence:
      'A process with the role wan accepts connections and datagrams of devices there. A sender in the clear can claim to be any device, only ciphered messages prove their sender: let nobody but devices reach the address.',
    schema: listenAddressOrNone,
  },
  dialInPerAddress: {
    env: 'BUSBAR_DIAL_IN_PER_ADDRESS',
    option: 'dialInPerAddress',
    what: 'Connections of one address to the door for devices, of devices that have not answered yet.',
    default: String(limits.dialInPerAddressMax),
    unit: 'TCP connections',
    reason: 'One address cannot take the places of all devices.',
    consequence: 'Above it, the oldest such connections of the address are closed.',
    larger: 'More devices can share an address, for example behind a concentrator or NAT.',
    smaller: 'A stranger at one address takes fewer places of devices.',
    schema: whole(1, 100_000),
  },
  dialInNames: {
    env: 'BUSBAR_DIAL_IN_NAMES',
    option: 'dialInNames',
    what: 'File of the names that devices use for themselves.',
    default: '',
    unit: 'file of lines NAME EUI-64',
    reason:
      'Empty: an unsolicited message names its device by the EUI-64, or comes on a connection to the device.',
    consequence:
      'It identifies devices that use another identification or system title, or are known by the address that they connect from. The file is read again when it changes.',
    isPath: true,
    schema: z.string(),
  },
  replicas: {
    env: 'BUSBAR_REPLICAS',
    option: 'replicas',
    what: 'Copies of the ledger in a cluster of NATS servers.',
    default: '1',
    unit: 'servers; 1, 3 or 5',
    reason: 'The embedded nats-server is one machine.',
    consequence: 'It is fixed when the ledger is created.',
    larger:
      'In a cluster of nats-servers, accepted requests survive the loss of one server with 3 and of two with 5; each write waits for more servers.',
    smaller: 'Writes wait for fewer servers; with 1 the loss of the server loses the ledger.',
    schema: z.enum(['1', '3', '5'], 'must be 1, 3 or 5').transform(Number),
  },
  ledgerBytesMax: {
    env: 'BUSBAR_LEDGER_BYTES',
    option: 'ledgerBytes',
    what: 'Size of the ledger.',
    default: '8GiB',
    unit: 'bytes; B, KiB, MiB, GiB or TiB',
    reason: 'About ten million requests with their responses, on a disk that a laptop has.',
    consequence:
      'Above half of it, ticks are trimmed whose facts are in snapshots, whose deliveries are acknowledged and which views have counted. When nine tenths are used all the same, new requests are rejected (BROKER_LEDGER_FULL): the last tenth is for responses. Snapshots take up to a quarter of it in addition.',
    larger:
      'Unacknowledged deliveries and the history of requests are kept longer; the disk must have room for it and for the snapshots.',
    smaller:
      'Ticks are trimmed earlier, and new requests are rejected earlier when parties do not acknowledge.',
    schema: quantity(unitBytes, '8GiB', 16 * 1024 ** 2, 1_024 * 1024 ** 4),
  },
  diskReserveBytes: {
    env: 'BUSBAR_DISK_RESERVE',
    option: 'diskReserve',
    what: "Free space of the ledger's disk below which new requests are rejected.",
    default: '1GiB',
    unit: 'bytes; B, KiB, MiB, GiB or TiB',
    reason:
      'Responses to accepted requests are still written, and nothing fails for want of space. On a small disk the share of --disk-reserve-percent is less, and applies.',
    consequence:
      'Requests are rejected with BROKER_DISK_LOW until there is as much free space again; readiness and metrics name the disk.',
    larger: 'New requests are rejected earlier; more time remains to free space.',
    smaller:
      'More of the disk is used; a program that fills the disk faster stops the nats-server.',
    schema: quantity(unitBytes, '1GiB', 1024 ** 2, 1_024 * 1024 ** 4),
  },
  diskReservePercent: {
    env: 'BUSBAR_DISK_RESERVE_PERCENT',
    option: 'diskReservePercent',
    what: "The same as a share of the ledger's disk; the smaller one of both applies.",
    default: String(limits.diskReservePercent),
    unit: 'of 100',
    reason: 'A disk of 5 GiB should not reserve a fifth of itself.',
    consequence: 'As for BUSBAR_DISK_RESERVE.',
    larger: 'As for BUSBAR_DISK_RESERVE, up to its value.',
    smaller: 'As for BUSBAR_DISK_RESERVE.',
    schema: whole(1, 50),
  },
  deliveryKeepMs: {
    env: 'BUSBAR_DELIVERY_KEEP',
    option: 'deliveryKeep',
    what: 'How long unacknowledged deliveries are kept when space is short.',
    default: '30d',
    unit: 'ms; ms, s, m, h or d',
    reason:
      'A party that is away for some weeks finds its deliveries; a process with the role views catches up.',
    consequence:
      'A party that never acknowledges keeps the ledger from trimming for so long; then its deliveries are trimmed when space is needed. The same holds for a process with the role views that does not come back.',
    larger: 'An absent party loses nothing for longer; the ledger needs the space for it.',
    smaller: 'Space is free earlier; an absent party loses its deliveries earlier.',
    schema: quantity(unitMs, '30d', 60_000, 3_650 * 86_400_000),
  },
  actorsAwakeMax: {
    env: 'BUSBAR_ACTORS',
    option: 'actors',
    what: 'Devices that are held in memory at a time.',
    default: '100000',
    unit: 'actors',
    reason: 'About 1 kB each: 100 MB of memory.',
    consequence:
      'Further devices are read from the store when they are needed, and others written back.',
    larger: 'More memory is used, about 1 kB for each device.',
    smaller: 'More devices are read from the store and written back, which costs time.',
    schema: whole(100, 10_000_000),
  },
  actorIdleMs: {
    env: 'BUSBAR_ACTOR_IDLE',
    option: 'actorIdle',
    what: 'How long an idle device is held in memory.',
    default: '5m',
    unit: 'ms; ms, s, m, h or d',
    reason:
      'It is longer than a request with all its attempts, so that a device stays in memory during one.',
    consequence: 'A device without messages for so long is written to the store and leaves memory.',
    larger:
      'Memory holds the devices of the last hours rather than minutes; a device that is used again is read less often.',
    smaller: 'Less memory is used; devices are read from the store more often.',
    schema: quantity(unitMs, '5m', limits.requestLifetimeMs, 7 * 86_400_000),
  },
  registrationFiles: {
    env: 'BUSBAR_REGISTRATION_FILES',
    option: 'registrationFiles',
    what: 'Folder in which registration systems leave their files.',
    default: '',
    unit: 'folder, or empty for none',
    reason: "Files arrive through the operators' door without it.",
    consequence:
      'Files in it are taken when they are complete, and moved to its folder `taken` or `rejected`; responses are written to its folder `responses`. Name it in one process alone.',
    isPath: true,
    schema: z.string(),
  },
  registrationChangePercent: {
    env: 'BUSBAR_REGISTRATION_CHANGE_PERCENT',
    option: 'registrationChangePercent',
    what: 'Share of the meter points of a source above which a refresh waits for an operator.',
    default: '5',
    unit: 'of 100',
    reason: 'A refresh repeats what updates have said: a larger share is most likely a fault.',
    consequence:
      'Such a refresh is applied after `busbar sources approve`. The first refresh of a source never waits.',
    larger: 'A faulty refresh may change more before anybody looks at it.',
    smaller: 'More refreshes wait for an operator; with 0 each that changes anything does.',
    schema: whole(0, 1_000),
  },
  registrationAgeMs: {
    env: 'BUSBAR_REGISTRATION_AGE',
    option: 'registrationAge',
    what: 'Age of the data of a registration system above which it is reported.',
    default: '2d',
    unit: 'ms; ms, s, m, h or d',
    reason: 'Registration systems send updates every day.',
    consequence:
      'The process reports that it is degraded, and names the registration system; nothing is rejected.',
    larger: 'A system that has fallen silent is reported later.',
    smaller: 'A system that sends once a day is reported although nothing is wrong.',
    schema: quantity(unitMs, '2d', 60_000, 3_650 * 86_400_000),
  },
  logLevel: {
    env: 'BUSBAR_LOG_LEVEL',
    option: 'logLevel',
    what: 'How much is logged, as JSON on stderr.',
    default: 'info',
    unit: LogLevel.join(', '),
    reason: 'It shows starts, stops and faults, and no line for each message.',
    consequence: '`debug` writes lines for single messages and costs throughput.',
    schema: z.enum(LogLevel, `must be one of ${LogLevel.join(', ')}`),
  },
} as const satisfies Record<string, Setting>

/** All of them, in the order of the table. */
export const settingList: readonly Setting[] = Object.values(settings)

/** The long option of a setting: `--data-dir` for dataDir. */
export const flagOf = ({ option }: Pick<Setting, 'option'>): string =>
  `--${option.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`)}`
