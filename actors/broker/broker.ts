/**
 * The composition root: one broker process, started role by role (nats, ledger, wan, host, gateway,
 * views, operators' door; a file each). Everything else is told what it needs; this folder alone
 * knows who everybody is.
 */
import { join } from 'node:path'
import type { Parties } from '../../core/access/parties.ts'
import { formatHostPort } from '../../core/base/host-port.ts'
import type { DeviceEntry } from '../../core/inventory/device-record.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import type { BrokerConfig, Role } from '../../core/ops/broker-config.ts'
import { explainDataDirFault, makeDataDir } from '../../core/ops/data-dir.ts'
import { openVault } from '../../core/ops/key-encryption-keys.ts'
import { createLog } from '../../core/ops/log.ts'
import { createMetrics } from '../../core/ops/metrics.ts'
import { version } from '../../core/ops/version.ts'
import { systemClock } from '../../core/ports/clock.ts'
import type { RejectionMail } from '../../core/bus/rejection-mail.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import type { Log } from '../../core/ports/log.ts'
import { systemRandom } from '../../core/ports/random.ts'
import { startDiskGuard } from './disk-guard.ts'
import { Explainer } from './explain-door.ts'
import { startGateway, type GatewayRole } from './gateway-role.ts'
import { startHost } from './host-role.ts'
import { hostIdOf } from './host-id.ts'
import { GatewayParties, importParties, startDirectory } from './directory-role.ts'
import { LedgerDirectory } from './ledger-directory.ts'
import { openLedger, type OpenedLedger } from './ledger-role.ts'
import { startNats, type NatsServer } from './nats-role.ts'
import { startOperatorsDoor } from './operators-role.ts'
import { readParties } from './parties-file.ts'
import { LedgerWatch } from './readiness.ts'
import { registerDevices, type RegistrationResult } from './registration.ts'
import { startRejections } from './rejections-role.ts'
import { startReplicas, type Replicas } from './replicas-role.ts'
import { startSources } from './sources-role.ts'
import type { Closers, StartContext } from './start-context.ts'
import { startViews, type ViewsRole } from './views-role.ts'
import { startWan } from './wan-role.ts'
import { startWorkers, workerCountOf } from './workers.ts'

/** A running broker. */
export type Broker = {
  readonly hostId: string
  /** `host:port` each; empty without the role gateway. */
  readonly grpc: string
  readonly http: string
  readonly ops: string
  /** Where devices dial in; empty when they do not. */
  readonly dialIn: string
  /** Where its nats-server listens. */
  readonly nats: string
  /**
   * Settles, with why, when it cannot go on: the embedded nats-server has been given up, a follower
   * of the ledger or the host's pipeline has ended. It must be closed then, and the process ended:
   * a supervisor starts it again.
   */
  readonly failed: Promise<string>
  /** Adds devices to the inventory, or replaces their records. At most 1,000 at a time. */
  register(entries: readonly DeviceEntry[]): Promise<RegistrationResult>
  /** Why it is not ready; empty when it is. */
  reasons(): string[]
  /** Takes nothing new, ends what it can, saves, lets go. May be called again. */
  close(): Promise<void>
}

/** What a program that embeds a broker brings along instead of files and the environment. */
export type BrokerParts = {
  /** Instead of JSON lines on stderr. */
  readonly log?: Log
  /** Instead of the file `config.partiesFile`. */
  readonly parties?: Parties
  /** Path of the nats-server to embed; found or obtained when left out. */
  readonly natsServer?: string
  /**
   * Secrets that workers get in their environment, because this process has them from elsewhere.
   */
  readonly workerEnv?: Readonly<Record<string, string>>
  /**
   * The operator gives up the ledger that the data directory knows, for the one found or a new one.
   */
  readonly isNewLedger?: boolean
}

/**
 * Starts a broker; settles when it serves.
 * @throws BrokerError CONFIG_INVALID, NATS_SERVER_…, LEDGER_…, with nothing left running
 */
export async function startBroker(config: BrokerConfig, parts: BrokerParts = {}): Promise<Broker> {
  const closers: Closers = []
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= closeAll(closers))
  try {
    return { ...(await start(config, parts, closers)), close }
  } catch (fault) {
    await close()
    throw explainDataDirFault(config.dataDir, fault)
  }
}

async function closeAll(closers: Closers): Promise<void> {
  for (const closer of closers.toReversed()) await closer()
}

/** Follows how far the ledger is, and has it written down in the data directory. */
function startWatch(
  { clock, closers }: StartContext,
  ledger: OpenedLedger['ledger'],
  directory: LedgerDirectory,
): LedgerWatch {
  const watch = new LedgerWatch(ledger, clock, (sequence) => directory.saw(ledger, sequence))
  watch.start()
  closers.push(() => watch.close())
  closers.push(() => directory.close(ledger))
  return watch
}

async function start(
  config: BrokerConfig,
  parts: BrokerParts,
  closers: Closers,
): Promise<Omit<Broker, 'close'>> {
  const given = partiesOfGateway(config, parts)
  const { promise: failed, resolve: fail } = Promise.withResolvers<string>()
  const context = contextOf(config, parts, { closers, fail })
  const { hostId, clock, log, metrics } = context
  const keys = openVault(config.keyEncryption, config.dataDir, log)
  const does = (role: Role): boolean => config.roles.includes(role)

  const isNewAccepted = parts.isNewLedger
  const directory = new LedgerDirectory({
    dataDir: config.dataDir,
    isNewAccepted: isNewAccepted ?? false,
    workerCount: workerCountOf(config),
    clock,
    log,
  })
  const disks = await startDiskGuard({ config, log, metrics, closers })
  const server = await startNats(context, { disks, directory, binary: parts.natsServer })
  const opened = await openLedger(context, { server, directory, disks, isNewAccepted })
  const { ledger, bus, owners } = opened
  const parties = await startDirectory(context, opened)
  const explainer = new Explainer({ ledger, cursors: opened.cursors, clock })
  const rejections = startRejections(context, opened, parties)
  const { mail } = rejections
  const way = await startWan(context, { bus, owners, keys })
  const hosting: Partial<Awaited<ReturnType<typeof startHost>>> = {}
  const isOurs = (): boolean => hosting.host?.owned.includes(0) === true
  const replicas = await startReplicasOf(context, { server, opened, isOurs })
  const comparison = () => replicas.comparison()
  if (way && does('host'))
    Object.assign(
      hosting,
      await startHost(context, { opened, parties, way, keys, disks, comparison, mail }),
    )
  closers.push(rejections.close)
  const watch = startWatch(context, ledger, directory)
  const gateway =
    given && (await startGatewayOf(context, { opened, reader: parties, mail, explainer }, given))
  const views = does('views') ? await startViewsOf(context, opened) : undefined
  const register = (entries: readonly DeviceEntry[]): Promise<RegistrationResult> =>
    registerDevices(entries, { bus, directory: owners, clock, keys })
  const sources = await startSources(context, opened, parties)
  const { host, stores } = hosting
  const ops = await startOperatorsDoor(context, {
    ...{ opened, parties, way, host, stores, gateway, views, replicas, watch, disks, register },
    sources,
    explainer,
  })
  startWorkersOf(context, server, parts.workerEnv)
  const { grpcPort = 0, httpPort = 0 } = gateway ?? {}
  const partitions = host?.owned.length ?? 0
  const roles = config.roles.join()
  log.info({ hostId, roles, grpcPort, httpPort, ops: ops.url, partitions }, 'busbar serves')
  return {
    hostId,
    ...doorsOf(config, gateway),
    ops: new URL(ops.url).host,
    dialIn: way?.dialIn ?? '',
    nats: server.url,
    failed,
    register,
    reasons: () => ops.reasons(),
  }
}

type GivenParties = { parties: Parties; isStanding: boolean }

/** Read early: a fault in the file is reported before anything is started. */
function partiesOfGateway(config: BrokerConfig, parts: BrokerParts): GivenParties | undefined {
  if (!config.roles.includes('gateway')) return undefined
  const parties = parts.parties ?? readParties(config.partiesFile)
  return { parties, isStanding: parts.parties !== undefined }
}

const doorsOf = (
  { grpc, http }: BrokerConfig,
  gateway: GatewayRole | undefined,
): Pick<Broker, 'grpc' | 'http'> => ({
  grpc: gateway ? formatHostPort(grpc.host, gateway.grpcPort) : '',
  http: gateway ? formatHostPort(http.host, gateway.httpPort) : '',
})

function startWorkersOf(
  { config, log, closers }: StartContext,
  { address }: NatsServer,
  env: BrokerParts['workerEnv'],
): void {
  if (config.workerCount === 0) return
  const workers = startWorkers(config, address, log, env)
  closers.push(() => workers.close())
}

/** What every role is given. Makes the data directory. */
function contextOf(
  config: BrokerConfig,
  parts: BrokerParts,
  ends: Pick<StartContext, 'closers' | 'fail'>,
): StartContext {
  const log = parts.log ?? createLog(config.logLevel)
  const metrics = createMetrics()
  metrics.gauge('busbar_build_info', 'Always 1; the version of Busbar and of Node', () => 1, {
    version,
    node: process.versions.node,
  })
  makeDataDir(config.dataDir)
  const hostId = hostIdOf(config.dataDir)
  return { config, hostId, clock: systemClock, random: systemRandom, log, metrics, ...ends }
}

/** @param isOurs  whether this process owns the partition whose owner compares replicas */
async function startReplicasOf(
  { config, hostId, clock, log, metrics, closers }: StartContext,
  { server, opened, isOurs }: { server: NatsServer; opened: OpenedLedger; isOurs: () => boolean },
): Promise<Replicas> {
  const replicas = await startReplicas({
    connectOptions: natsConnectOptions(server.address, `busbar ${hostId} replicas`),
    wanted: config.replicas,
    bucketSuffix: opened.deployment.bucketSuffix,
    ledger: opened.ledger,
    ...{ clock, log, metrics, isOurs },
  })
  closers.push(() => replicas.close())
  return replicas
}

type GatewayParts = {
  opened: OpenedLedger
  reader: DirectoryReader
  mail: RejectionMail
  explainer: Explainer
}

/** The doors for parties, and the parties that this start brings into the directory. */
async function startGatewayOf(
  context: StartContext,
  { opened, reader, mail, explainer }: GatewayParts,
  { parties, isStanding }: GivenParties,
): Promise<GatewayRole> {
  const known = new GatewayParties(reader, parties)
  const gateway = await startGateway(context, opened, known, parties, { mail, explainer })
  let isOver = false
  const wanted = { reader, parties, isStanding, isOver: () => isOver }
  context.closers.push(() => void (isOver = true))
  importParties(context, opened, wanted).catch((fault: unknown) =>
    context.log.error({ fault: String(fault) }, 'the parties were not imported'),
  )
  return gateway
}

async function startViewsOf(
  { config, hostId, clock, log, metrics, closers }: StartContext,
  { ledger, cursors, openSnapshots }: OpenedLedger,
): Promise<ViewsRole> {
  const views = startViews({
    folder: join(config.dataDir, 'views'),
    processId: hostId,
    partitionCount: config.partitionCount,
    ledger,
    snapshots: await openSnapshots(),
    cursors,
    clock,
    log,
    metrics,
  })
  closers.push(() => views.close())
  return views
}
