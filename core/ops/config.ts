/**
 * The configuration of one broker process: environment and command line in, frozen numbers with units out. Pure: what it
 * reads is its argument. Called once, by the process entry; nothing else reads the environment.
 */
import { resolve } from 'node:path'
import { z } from 'zod'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { formatHostPort } from '../base/host-port.ts'
import { limits } from '../base/limits.ts'
import { LogLevel, Role, type BrokerConfig } from './broker-config.ts'
import {
  hostNames,
  keyEncryptionKeys,
  listenAddress,
  listenAddressOrNone,
  natsUrl,
  originNames,
  quantity,
  unitBytes,
  unitMs,
  whole,
} from './setting-schema.ts'

export { LogLevel, Role, type BrokerConfig, type ListenAddress } from './broker-config.ts'

/** Texts of the outside, by the name of a setting. */
export type ConfigSource = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Options of the command line by their long name in camelCase, `dataDir` for --data-dir; they win over the environment. */
  readonly options?: Readonly<Record<string, string | number | boolean | undefined>>
  /** How a fault names an option; as on the command line, `--data-dir`, when left out. */
  readonly nameOfOption?: (option: string) => string
  /** Where values of `env` come from that a settings file gave, by name: `busbar.env, line 3`. */
  readonly places?: ReadonlyMap<string, string>
  /** Faults that were found before, to be reported with those found here. */
  readonly faults?: readonly string[]
  /** Absolute; relative paths start here. */
  readonly workingDir: string
}

/** Busbar runs on this many partitions unless a deployment is created with another number. */
const partitionCountDefault = 16
const roles: z.ZodType<Role[], string> = z
  .string()
  .transform((text) => [...new Set(text.split(',').map((one) => one.trim()))])
  .pipe(z.array(z.enum(Role, `must be some of ${Role.join(', ')}, separated by commas`)).min(1))

/** One thing that an operator may set. */
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
  /** What another value does. */
  readonly consequence: string
  readonly schema: z.ZodType<unknown, string>
  /** Never on the command line, which everybody on the machine can read. */
  readonly isEnvironmentOnly?: boolean
  /** A path: relative to the working directory, or to the folder of the settings file. */
  readonly isPath?: boolean
}

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
      'One process does everything that parties need. Not views: they take up to a third more of its time for each request.',
    consequence:
      'Processes over one NATS share the work: partitions spread over all hosts. A gateway without host needs a host elsewhere; a host without wan sends its exchanges to processes with wan, each address to one of them, and needs one. Once there was one with views, the ledger keeps what it has not counted, for as long as deliveries.',
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
      'So many more processes with the roles host and wan are started beside this one, in folders of the data directory; partitions spread over them.',
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
    reason: 'Enough for sixteen hosts; each costs a lease and a store.',
    consequence:
      'Fixed when a deployment is created: a start with another number is refused (LEDGER_DEPLOYMENT_MISMATCH).',
    schema: whole(1, 1_024),
  },
  grpc: {
    env: 'BUSBAR_GRPC',
    option: 'grpc',
    what: 'Address of the gRPC gateway for parties.',
    default: '127.0.0.1:50051',
    unit: 'host:port, port 0 for any free one',
    reason: 'Loopback until parties authenticate with certificates.',
    consequence: 'Any other host lets whoever reaches it name any party.',
    schema: listenAddress,
  },
  http: {
    env: 'BUSBAR_HTTP',
    option: 'http',
    what: 'Address of the HTTP gateway for parties.',
    default: '127.0.0.1:8080',
    unit: 'host:port, port 0 for any free one',
    reason: 'As for gRPC.',
    consequence: 'As for gRPC.',
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
    consequence: 'Any other host opens the registration of devices to whoever reaches it.',
    schema: listenAddress,
  },
  httpHosts: {
    env: 'BUSBAR_HTTP_HOSTS',
    option: 'httpHosts',
    what: 'Names under which clients reach the HTTP doors, of parties and of operators.',
    default: '',
    unit: 'names or name:port, separated by commas',
    reason:
      'Empty: a door is reached under the address it listens on. A web page can point a name of its own at this machine, so other names are rejected.',
    consequence:
      'Calls whose header Host has one of these names are taken as well: name here what a reverse proxy, a container network or a DNS record calls the broker.',
    schema: hostNames,
  },
  httpOrigins: {
    env: 'BUSBAR_HTTP_ORIGINS',
    option: 'httpOrigins',
    what: 'Origins of web pages that may call the HTTP doors from a browser.',
    default: '',
    unit: 'origins such as https://console.example, separated by commas',
    reason: 'Empty: calls of pages of other sites are rejected.',
    consequence: 'Pages of these origins may do whatever anybody may who reaches the door.',
    schema: originNames,
  },
  partiesFile: {
    env: 'BUSBAR_PARTIES',
    option: 'parties',
    what: 'JSON file of the parties that may use this broker.',
    default: '',
    unit: 'file',
    reason: 'Empty means parties.json in the data directory.',
    consequence: 'A party that is not in it is refused (PARTY_UNKNOWN).',
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
    reason: 'Empty: this process has a nats-server of its own, or the one of --nats-url.',
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
    reason: 'Empty: keys of devices are sealed under a key that Busbar does not keep.',
    consequence:
      'The first seals the keys of devices, all open them; every process needs it. Without one devices with keys or secrets are refused (KEYS_ENCRYPTION_KEY_MISSING). It stands in the environment only.',
    schema: keyEncryptionKeys,
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
      'As for BUSBAR_KEY_ENCRYPTION_KEY. In the data directory it is refused: a copy of that folder must not open itself.',
    isPath: true,
    schema: z.string(),
  },
  wanConnectionsMax: {
    env: 'BUSBAR_WAN_CONNECTIONS',
    option: 'wanConnections',
    what: 'Connections to devices at a time.',
    default: String(limits.wanConnectionsMax),
    unit: 'TCP connections',
    reason: 'Each costs a file descriptor and some kB here and in the meter or its concentrator.',
    consequence:
      'Fewer: requests to many devices wait for a connection. More: raise the limit of open files first.',
    schema: whole(1, 100_000),
  },
  dialIn: {
    env: 'BUSBAR_DIAL_IN',
    option: 'dialIn',
    what: 'Address that devices connect or send notifications to.',
    default: '',
    unit: 'host:port, port 0 for any free one',
    reason:
      'Empty: nobody dials in. What devices say on connections that Busbar has made is taken all the same.',
    consequence:
      'A process with the role wan takes connections and datagrams of devices there. Whoever reaches it can say that it is a device: only what is ciphered proves it. Let none but devices reach it.',
    schema: listenAddressOrNone,
  },
  dialInPerAddress: {
    env: 'BUSBAR_DIAL_IN_PER_ADDRESS',
    option: 'dialInPerAddress',
    what: 'Connections of one address to the door for devices, of devices that have not answered yet.',
    default: String(limits.dialInPerAddressMax),
    unit: 'TCP connections',
    reason: 'One address cannot take the places of all devices; when it has more, its oldest go.',
    consequence:
      'Fewer: a stranger at one address takes less. More: needed where so many devices share an address.',
    schema: whole(1, 100_000),
  },
  dialInNames: {
    env: 'BUSBAR_DIAL_IN_NAMES',
    option: 'dialInNames',
    what: 'File of the names that devices use for themselves.',
    default: '',
    unit: 'file of lines NAME EUI-64',
    reason:
      'Empty: what devices say unasked names them by their EUI-64, or comes on a connection to them.',
    consequence:
      'For devices that call themselves otherwise, by an identification, a system title or the address that they come from. Read again when it changes.',
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
    consequence:
      'With a cluster of nats-servers give 3: what is accepted then survives the loss of one. Fixed when the ledger is created.',
    schema: z.enum(['1', '3', '5'], 'must be 1, 3 or 5').transform(Number),
  },
  ledgerBytesMax: {
    env: 'BUSBAR_LEDGER_BYTES',
    option: 'ledgerBytes',
    what: 'Size of the ledger.',
    default: '8GiB',
    unit: 'bytes; B, KiB, MiB, GiB or TiB',
    reason: 'About ten million requests with their answers, on a disk that a laptop has.',
    consequence:
      'Above half of it the ledger forgets ticks whose facts are in snapshots, whose deliveries were acknowledged and which views have counted. When nine tenths are used all the same, new requests are rejected (BROKER_LEDGER_FULL): the last tenth is for answers. Snapshots take up to a quarter of it beside it.',
    schema: quantity(unitBytes, '8GiB', 16 * 1024 ** 2, 1_024 * 1024 ** 4),
  },
  diskReserveBytes: {
    env: 'BUSBAR_DISK_RESERVE',
    option: 'diskReserve',
    what: "Free space of the ledger's disk below which new requests are rejected.",
    default: '1GiB',
    unit: 'bytes; B, KiB, MiB, GiB or TiB',
    reason:
      'Answers to accepted requests are still written, and nothing fails for want of space. On small disks the share of --disk-reserve-percent is less, and holds.',
    consequence:
      'Requests are rejected with BROKER_DISK_LOW until there is as much free space again; readiness and metrics name the disk. Less: a program that fills the disk faster stops the nats-server.',
    schema: quantity(unitBytes, '1GiB', 1024 ** 2, 1_024 * 1024 ** 4),
  },
  diskReservePercent: {
    env: 'BUSBAR_DISK_RESERVE_PERCENT',
    option: 'diskReservePercent',
    what: "The same as a share of the ledger's disk; the smaller one of both holds.",
    default: String(limits.diskReservePercent),
    unit: 'of 100',
    reason: 'A disk of 5 GiB shall not need a fifth of itself.',
    consequence: 'As for BUSBAR_DISK_RESERVE.',
    schema: whole(1, 50),
  },
  deliveryKeepMs: {
    env: 'BUSBAR_DELIVERY_KEEP',
    option: 'deliveryKeep',
    what: 'How long unacknowledged deliveries are kept when room is short.',
    default: '30d',
    unit: 'ms; ms, s, m, h or d',
    reason: 'A party that is away for its holidays finds its answers; so do views.',
    consequence:
      'A party that never acknowledges keeps the ledger from forgetting for so long; then its deliveries go when room is needed. A process with the role views that does not come back likewise.',
    schema: quantity(unitMs, '30d', 60_000, 3_650 * 86_400_000),
  },
  actorsAwakeMax: {
    env: 'BUSBAR_ACTORS',
    option: 'actors',
    what: 'Devices that are held in memory at a time.',
    default: '100000',
    unit: 'actors',
    reason: 'About 1 kB each: 100 MB of memory.',
    consequence: 'Fewer: more actors are read from the store and put back. More: more memory.',
    schema: whole(100, 10_000_000),
  },
  actorIdleMs: {
    env: 'BUSBAR_ACTOR_IDLE',
    option: 'actorIdle',
    what: 'How long an idle device is held in memory.',
    default: '5m',
    unit: 'ms; ms, s, m, h or d',
    reason:
      'Longer than a request with all its attempts, so that an actor does not sleep in the middle of one.',
    consequence: 'Longer: memory follows the devices of the last hours rather than minutes.',
    schema: quantity(unitMs, '5m', limits.requestLifetimeMs, 7 * 86_400_000),
  },
  logLevel: {
    env: 'BUSBAR_LOG_LEVEL',
    option: 'logLevel',
    what: 'How much is logged, as JSON on stderr.',
    default: 'info',
    unit: LogLevel.join(', '),
    reason: 'Starts, stops, faults: nothing for each message.',
    consequence: '`debug` writes lines for single messages and costs throughput.',
    schema: z.enum(LogLevel, `must be one of ${LogLevel.join(', ')}`),
  },
} as const satisfies Record<string, Setting>

const flagOf = (option: string): string =>
  `--${option.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`)}`

/** What was given for a setting: the command line's, else the environment's, else nothing. */
function givenText(
  { env, options = {}, nameOfOption = flagOf, places }: ConfigSource,
  setting: Setting,
): { text: string; from: string } | undefined {
  const option = setting.isEnvironmentOnly ? undefined : options[setting.option]
  if (option !== undefined) {
    return { text: String(option), from: nameOfOption(setting.option) }
  }
  const text = env[setting.env]
  // An empty variable is how a shell unsets one.
  const place = places?.get(setting.env)
  const from = place === undefined ? setting.env : `${setting.env} (${place})`
  return text ? { text, from } : undefined
}

function freezeDeep<T extends object>(value: T): T {
  for (const inner of Object.values(value))
    if (typeof inner === 'object' && inner !== null) freezeDeep(inner as object)
  return Object.freeze(value)
}

/** An address that two doors are given. */
function sharedAddressOf({ grpc, http, ops, dialIn }: BrokerConfig): string | undefined {
  const doors = [grpc, http, ops, ...(dialIn ? [dialIn] : [])]
  const addresses = doors.map(({ host, port }) => formatHostPort(host, port))
  return addresses.find(
    (address, index) => !address.endsWith(':0') && addresses.indexOf(address) !== index,
  )
}

/**
 * Compiles the configuration.
 *
 * @throws BrokerError CONFIG_INVALID, naming every fault of every setting at once
 */
export function loadConfig(source: ConfigSource): BrokerConfig {
  const faults: string[] = [...(source.faults ?? [])]
  const read = <T>(setting: Setting & { schema: z.ZodType<T, string> }): T => {
    const given = givenText(source, setting)
    const result = setting.schema.safeParse(given?.text ?? setting.default)
    if (result.success) return result.data
    // Credentials may stand in an address: the text is not repeated.
    const why = result.error.issues.map(({ message }) => message).join(', ')
    faults.push(`${given?.from ?? setting.env}: ${why}`)
    return undefined as T
  }
  const dataDir = read(settings.dataDir)
  const partiesFile = read(settings.partiesFile)
  const url = read(settings.natsUrl)
  const dialInNames = read(settings.dialInNames)
  const keys = read(settings.keyEncryptionKey)
  const keyFile = read(settings.keyEncryptionKeyFile)
  const oneOf = (one: Setting, other: Setting): void =>
    void faults.push(`${one.env} and ${other.env} are both given; give one`)
  if (keys?.length && keyFile) oneOf(settings.keyEncryptionKey, settings.keyEncryptionKeyFile)
  const join = read(settings.join)
  if (url && join) oneOf(settings.natsUrl, settings.join)
  const joinedDir = join ? resolve(source.workingDir, join) : undefined
  if (joinedDir !== undefined && joinedDir === resolve(source.workingDir, dataDir ?? '')) {
    const { env } = settings.dataDir
    faults.push(`${env}: a process that joins ${joinedDir} needs a data directory of its own`)
  }
  const config: BrokerConfig = {
    dataDir: resolve(source.workingDir, dataDir ?? ''),
    roles: read(settings.roles),
    workerCount: read(settings.workers),
    partitionCount: read(settings.partitionCount),
    grpc: read(settings.grpc),
    http: read(settings.http),
    ops: read(settings.ops),
    site: { hosts: read(settings.httpHosts), origins: read(settings.httpOrigins) },
    partiesFile: resolve(
      source.workingDir,
      partiesFile || resolve(source.workingDir, dataDir ?? '', 'parties.json'),
    ),
    nats: joinedDir
      ? { kind: 'joined', dataDir: joinedDir }
      : url
        ? { kind: 'external', url }
        : { kind: 'embedded' },
    keyEncryption: keys?.length
      ? { kind: 'given', keys }
      : keyFile
        ? { kind: 'file', path: resolve(source.workingDir, keyFile) }
        : { kind: 'none' },
    wanConnectionsMax: read(settings.wanConnectionsMax),
    dialInPerAddress: read(settings.dialInPerAddress),
    dialIn: read(settings.dialIn),
    dialInNamesFile: dialInNames ? resolve(source.workingDir, dialInNames) : undefined,
    ledgerBytesMax: read(settings.ledgerBytesMax),
    diskReserveBytes: read(settings.diskReserveBytes),
    diskReservePercent: read(settings.diskReservePercent),
    replicas: read(settings.replicas),
    deliveryKeepMs: read(settings.deliveryKeepMs),
    actorsAwakeMax: read(settings.actorsAwakeMax),
    actorIdleMs: read(settings.actorIdleMs),
    logLevel: read(settings.logLevel),
  }
  const shared = faults.length === 0 ? sharedAddressOf(config) : undefined
  if (shared)
    faults.push(`${shared} is given to two of gRPC, HTTP, ops and dial-in; give each its own`)
  if (faults.length > 0) throw new BrokerError('CONFIG_INVALID', faults.join('; '))
  assert(config.actorIdleMs >= limits.requestLifetimeMs, 'an actor stays awake for a whole request')
  return freezeDeep(config)
}
