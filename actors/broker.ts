/**
 * The composition root: one broker process with its gateways, its host of partitions, its WAN and its operators' door, over an
 * embedded nats-server or one that runs elsewhere. Everything else is told what it needs; this file alone knows who everybody is.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Parties } from '../core/access/parties.ts'
import { BrokerError } from '../core/base/broker-error.ts'
import { formatHostPort } from '../core/base/host-port.ts'
import { limits } from '../core/base/limits.ts'
import { NatsBus } from '../core/bus/nats-bus.ts'
import { Owners } from '../core/bus/owners.ts'
import type { DeviceEntry } from '../core/catalogue/device-record.ts'
import { Gateway } from '../core/gateway/gateway.ts'
import { connectNats } from '../core/ledger/connection.ts'
import { clampCursors, createCursorStore, cursorBucketNameDefault } from '../core/ledger/cursors.ts'
import { PartyFeed } from '../core/ledger/party-feed.ts'
import { ResponseFinder } from '../core/ledger/response-finder.ts'
import { PendingDeliveries } from '../core/ledger/pending-deliveries.ts'
import { restoresOf } from '../core/ledger/identity.ts'
import { createLedger } from '../core/ledger/jetstream.ts'
import { LocalStores } from '../core/ledger/local-stores.ts'
import {
  createSnapshotStore,
  snapshotBucketNameDefault,
  snapshotBytesMaxOf,
} from '../core/ledger/snapshots.ts'
import type { BrokerConfig, Role } from '../core/ops/config.ts'
import { takeDataDir } from '../core/ops/data-dir-owner.ts'
import { explainDataDirFault, makeDataDir } from '../core/ops/data-dir.ts'
import { openDialInNames } from '../core/ops/dial-in-names.ts'
import { runningNatsOf } from '../core/ops/embedded-nats.ts'
import { openVault } from '../core/ops/key-encryption-keys.ts'
import { createLog } from '../core/ops/log.ts'
import { createMetrics } from '../core/ops/metrics.ts'
import { version } from '../core/ops/version.ts'
import { startNatsServer, type NatsChild } from '../core/ops/nats-child.ts'
import { natsConnectOptions, type NatsAddress } from '../core/ops/nats-connection.ts'
import { natsPlaces } from '../core/ops/nats-settings.ts'
import { startOpsServer } from '../core/ops/server.ts'
import type { Log } from '../core/ports/log.ts'
import type { KeyVault } from '../core/ports/key-vault.ts'
import type { SnapshotStore } from '../core/ports/snapshot.ts'
import { systemClock } from '../core/ports/clock.ts'
import { systemRandom } from '../core/ports/random.ts'
import type { Bus, OwnerDirectory } from '../core/ports/bus.ts'
import type { Wan } from '../core/ports/wan.ts'
import { BusWan, type BusWanOptions } from '../core/wan/bus-wan.ts'
import { EitherWan } from '../core/wan/either-wan.ts'
import { SocketWan } from '../core/wan/pool.ts'
import { PushSender } from '../core/wan/push-sender.ts'
import { WanServer } from '../core/wan/wan-server.ts'
import { addDeviceRoutes } from './device-door.ts'
import { startDiskGuard, type DiskGuard } from './disk-guard.ts'
import { hostIdOf } from './host-id.ts'
import { LedgerDirectory } from './ledger-directory.ts'
import { deliveryTrouble, LedgerWatch, partitionTrouble } from './readiness.ts'
import { addCounterRoutes } from './counters-door.ts'
import { registerDevices, type RegistrationResult } from './registration.ts'
import { startReplicas } from './replicas-role.ts'
import { readParties } from './parties-file.ts'
import { Host } from './runtime/host.ts'
import { startViews, type ViewsRole } from './views-role.ts'
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
   * Settles, with why, when it cannot go on: the embedded nats-server has been given up, a follower of the ledger or the
   * host's pipeline has ended. It must be closed then, and the process ended: a supervisor starts it anew.
   */
  readonly failed: Promise<string>
  /** Adds devices to the inventory, or replaces their records. At most 1,000 at a time. */
  register(entries: readonly DeviceEntry[]): Promise<RegistrationResult>
  /** Why it is not ready; empty when it is. */
  reasons(): string[]
  /** Takes nothing new, ends what it can, saves, lets go. May be called again. */
  close(): Promise<void>
}

const checkpointIntervalMs = 5_000

/** What a program that embeds a broker brings along instead of files and the environment. */
export type BrokerParts = {
  /** Instead of JSON lines on stderr. */
  readonly log?: Log
  /** Instead of the file `config.partiesFile`. */
  readonly parties?: Parties
  /** Path of the nats-server to embed; found or obtained when left out. */
  readonly natsServer?: string
  /** Secrets that workers get in their environment, because this process has them from elsewhere. */
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
  // Undone in reverse, at a failed start as at the end.
  const closers: Array<() => Promise<unknown> | void> = []
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= closeAll(closers))
  try {
    return { ...(await start(config, parts, closers)), close }
  } catch (fault) {
    await close()
    throw explainDataDirFault(config.dataDir, fault)
  }
}

async function closeAll(closers: Array<() => Promise<unknown> | void>): Promise<void> {
  for (const closer of closers.toReversed()) await closer()
}

async function start(
  config: BrokerConfig,
  parts: BrokerParts,
  closers: Array<() => Promise<unknown> | void>,
): Promise<Omit<Broker, 'close'>> {
  const log = parts.log ?? createLog(config.logLevel)
  const metrics = createMetrics()
  metrics.gauge('busbar_build_info', 'Always 1; the version of Busbar and of Node', () => 1, {
    version,
    node: process.versions.node,
  })
  const clock = systemClock
  const random = systemRandom
  // Read early: a fault in it is reported before anything is started.
  const partiesOfGateway = (): Parties => parts.parties ?? readParties(config.partiesFile)
  if (config.roles.includes('gateway')) partiesOfGateway()
  makeDataDir(config.dataDir)
  const hostId = hostIdOf(config.dataDir)
  const { partitionCount } = config
  const keys = openVault(config.keyEncryption, config.dataDir, log)
  const { promise: failed, resolve: fail } = Promise.withResolvers<string>()

  const directory = new LedgerDirectory({
    dataDir: config.dataDir,
    isNewAccepted: parts.isNewLedger ?? false,
    workerCount: workerCountOf(config),
    clock,
    log,
  })
  const disks = await startDiskGuard({ config, log, metrics, closers })
  const server = await natsServer(config, { log, metrics, closers, fail, disks, directory }, parts)
  const connection = await connectNats(natsConnectOptions(server.address, `busbar ${hostId}`))
  closers.push(() => connection.close())
  void connection.closed().then(() => fail('the connection to NATS is closed'))
  // Deliveries must not stand before a commit's acknowledgement on one socket.
  const followConnection = await connectNats(
    natsConnectOptions(server.address, `busbar ${hostId} follow`),
  )
  closers.push(() => followConnection.close())
  const ledger = await createLedger({
    connection,
    followConnection,
    bytesMax: config.ledgerBytesMax,
    replicas: config.replicas,
    partitionCount,
    clock,
    log,
    known: directory.known,
    isNewAccepted: parts.isNewLedger,
    contradictionIn: (found) => directory.contradictionIn(found),
    beforeChange: (verdict) => directory.beforeChange(verdict),
    onIdentityLost(fault) {
      log.error({ code: fault.code, detail: fault.detail }, 'the ledger is not the one it was')
      // What is in memory belongs to another ledger, and others must not wait for this process.
      fail(fault.message)
    },
    onFollowFault(subject, fault) {
      const code = fault instanceof BrokerError ? fault.code : String(fault)
      log.error({ subject, code }, 'the ledger is not followed any more')
      fail(`${subject} is not followed any more: ${code}`)
    },
  })
  closers.push(() => ledger.close())
  if (server.child) disks.revive(server.child, () => ledger.undecidedMs)
  const { verdict, deployment } = ledger.openedAs
  const beside = {
    connection: followConnection,
    replicas: config.replicas,
    ledgerId: deployment.identity.id,
  }
  const cursors = await createCursorStore({
    ...beside,
    bucketName: `${cursorBucketNameDefault}${deployment.bucketSuffix}`,
  })
  // Also `restored`: the start that accepted it may have ended before this.
  if (verdict === 'accept' || verdict === 'restored')
    await clampCursors(cursors, (await ledger.usage()).lastSequence)
  directory.opened(ledger.openedAs)
  const bus = new NatsBus({ connection, clock, log })
  const owners = new Owners({ ledger, bus, clock, log, partitionCount })
  await owners.start()
  closers.push(() => owners.close())

  const does = (role: Role): boolean => config.roles.includes(role)
  const openSnapshots = (): Promise<SnapshotStore> =>
    createSnapshotStore({
      ...beside,
      bucketName: `${snapshotBucketNameDefault}${deployment.bucketSuffix}`,
      bytesMax: snapshotBytesMaxOf(config.ledgerBytesMax),
      clock,
      log,
    })
  const way = await startWan(config, { hostId, bus, owners, keys, log, metrics, closers })
  let host: Host | undefined
  let localStores: LocalStores | undefined
  const replicas = await startReplicas({
    connectOptions: natsConnectOptions(server.address, `busbar ${hostId} replicas`),
    wanted: config.replicas,
    bucketSuffix: deployment.bucketSuffix,
    ...{ ledger, clock, log, metrics },
    isOurs: () => host?.owned.includes(0) === true,
  })
  closers.push(() => replicas.close())
  if (way && does('host')) {
    const stores = new LocalStores({ folder: join(config.dataDir, 'actors'), log, clock, metrics })
    closers.push(() => stores.close())
    const snapshots = await openSnapshots()
    const started = new Host({
      hostId,
      roles: config.roles,
      partitionCount,
      ledger,
      bus,
      wan: way.wan,
      keys,
      clock,
      random,
      log,
      metrics,
      checkpointIntervalMs,
      openStore: (partition) => stores.open(partition),
      mayTakeFrom: (owner) => owners.isSilent(owner),
      peers: owners,
      snapshots,
      cursors,
      shortage: () => disks.shortage,
      deliveryKeepMs: config.deliveryKeepMs,
      restores: restoresOf(deployment.identity),
      actorsAwakeMax: config.actorsAwakeMax,
      actorIdleMs: config.actorIdleMs,
      onFault: (fault) => fail(`the host has stopped: ${String(fault)}`),
      comparison: () => replicas.comparison(),
    })
    closers.push(() => started.close())
    await started.start()
    stores.served()
    host = started
    localStores = stores
  }

  const watch = new LedgerWatch(ledger, clock, (sequence) => directory.saw(ledger, sequence))
  watch.start()
  closers.push(() => watch.close())
  closers.push(() => directory.close(ledger))

  let doors = { grpcPort: 0, httpPort: 0 }
  let feed: PartyFeed | undefined
  if (does('gateway')) {
    const parties = partiesOfGateway()
    const pending = new PendingDeliveries({ cursors, clock, metrics })
    const responses = new ResponseFinder(ledger)
    const following = new PartyFeed({
      ledger,
      log,
      clock,
      onTick: (sequence, frames) => {
        pending.add(sequence, frames)
        responses.add(sequence, frames)
      },
    })
    await following.start()
    pending.addPast(ledger, following.sequence, parties.keys()).catch((fault: unknown) => {
      log.warn({ fault: String(fault) }, 'deliveries from before the start are not counted')
    })
    closers.push(() => following.close())
    feed = following
    const gateway = new Gateway({
      bus,
      directory: owners,
      ledger: following,
      cursors,
      responses,
      parties,
      clock,
      random,
      log,
      metrics,
      site: config.site,
    })
    doors = await gateway.listen(config.grpc, config.http)
    closers.push(() => gateway.close())
  }

  let views: ViewsRole | undefined
  if (does('views')) {
    const started = startViews({
      folder: join(config.dataDir, 'views'),
      processId: hostId,
      partitionCount,
      ledger,
      snapshots: await openSnapshots(),
      cursors,
      clock,
      log,
      metrics,
    })
    closers.push(() => started.close())
    views = started
  }

  const register = (entries: readonly DeviceEntry[]): Promise<RegistrationResult> =>
    registerDevices(entries, { bus, directory: owners, clock, keys })
  const ops = await startOpsServer({
    listen: config.ops,
    metrics,
    log,
    site: config.site,
    routes: (app) => {
      addDeviceRoutes(app, { bus, directory: owners, clock }, register)
      addCounterRoutes(app, { bus, directory: owners, clock })
      views?.routes(app)
    },
  })
  closers.push(() => ops.close())
  metrics.gauge('busbar_ready', '1 while every readiness check passes', () =>
    ops.reasons().length === 0 ? 1 : 0,
  )
  replicas.addTo(ops)
  ops.addCheck('partitions', () => partitionTrouble(owners, host && hostId, host?.owned))
  ops.addCheck('ledger', () => watch.trouble)
  ops.addCheck('deliveries', () => feed && deliveryTrouble(watch.lastSequence, feed.sequence))
  ops.addCheck('host', () => host?.trouble)
  disks.tell(ops)
  ops.addDegradation('store', () => localStores?.trouble)
  ops.addCheck('wan', () => way?.trouble())
  ops.addCheck('views', () => views?.trouble)
  ops.addCheck('nats', () => (ledger.isConnected ? undefined : 'no connection to nats-server'))
  if (config.workerCount !== 0) {
    const workers = startWorkers(config, server.address, log, parts.workerEnv)
    closers.push(() => workers.close())
  }
  const { grpcPort, httpPort } = doors
  log.info(
    {
      hostId,
      roles: config.roles.join(),
      grpcPort,
      httpPort,
      ops: ops.url,
      partitions: host?.owned.length ?? 0,
    },
    'busbar serves',
  )
  return {
    hostId,
    grpc: does('gateway') ? formatHostPort(config.grpc.host, grpcPort) : '',
    http: does('gateway') ? formatHostPort(config.http.host, httpPort) : '',
    ops: new URL(ops.url).host,
    dialIn: way?.dialIn ?? '',
    nats: server.url,
    failed,
    register,
    reasons: () => ops.reasons(),
  }
}

type WanParts = Omit<NatsParts, 'fail' | 'disks' | 'directory'> & {
  hostId: string
  bus: Bus
  owners: OwnerDirectory
  keys: KeyVault
}
/** The way to devices, why there is none now, and where they come from by themselves. */
type WanWay = { wan: Wan; trouble: () => string | undefined; dialIn: string }

/** The role wan has connections of its own, for itself and for others; a host without it uses those of other processes. */
async function startWan(config: BrokerConfig, parts: WanParts): Promise<WanWay | undefined> {
  const { hostId, bus, owners, keys, log, metrics, closers } = parts
  const ports = { bus, clock: systemClock, log, metrics }
  if (config.roles.includes('wan')) {
    const { dialIn, dialInNamesFile: names } = config
    const pushes = new PushSender({
      ...ports,
      directory: owners,
      random: systemRandom,
      ...(names !== undefined && { deviceCalled: openDialInNames(names, systemClock, log) }),
    })
    closers.push(() => pushes.close())
    const wan = new SocketWan({
      connectionsMax: config.wanConnectionsMax,
      dialInPerAddressMax: config.dialInPerAddress,
      keys,
      metrics,
      log,
      onPush: (push) => pushes.send(push),
      onDialIn: (called) => wanServer.tell(called),
    })
    closers.push(() => wan.close())
    const wanServer = new WanServer({
      ...ports,
      // Of this life: what was under way in the one before is lost, and hosts must not wait for it.
      wanId: `${hostId}-${systemRandom.bytes(4).toString('hex')}`,
      roles: config.roles,
      wan,
      connectionCount: () => wan.counts.connections,
      dialledIn: () => wan.dialledIn,
    })
    closers.push(() => wanServer.close())
    await wanServer.start()
    // At once, not when all is up: what comes before there is an owner waits for it.
    const port = dialIn && (await wan.listen(dialIn.host, dialIn.port))
    const listening = dialIn ? formatHostPort(dialIn.host, port ?? 0) : ''
    if (!config.roles.includes('host')) return { wan, trouble: () => undefined, dialIn: listening }
    const either = new EitherWan(wan, await startBusWan(ports, closers))
    return { wan: either, trouble: () => undefined, dialIn: listening }
  }
  if (!config.roles.includes('host')) return undefined
  const wan = await startBusWan(ports, closers)
  return { wan, trouble: () => wan.trouble, dialIn: '' }
}

async function startBusWan(
  ports: Omit<BusWanOptions, 'random'>,
  closers: WanParts['closers'],
): Promise<BusWan> {
  const wan = new BusWan({ ...ports, random: systemRandom })
  closers.push(() => wan.close())
  await wan.start()
  return wan
}

type NatsParts = {
  log: Log
  metrics: ReturnType<typeof createMetrics>
  closers: Array<() => Promise<unknown> | void>
  fail: (why: string) => void
  disks: DiskGuard
  directory: LedgerDirectory
}

/** Where the nats-server is; `url` may be shown. */
async function natsServer(
  config: BrokerConfig,
  parts: NatsParts,
  { natsServer: binary }: BrokerParts,
): Promise<{ url: string; address: NatsAddress; child?: NatsChild }> {
  await parts.directory.load()
  if (config.nats.kind !== 'embedded') {
    // An embedded server takes the data directory itself.
    const { run } = natsPlaces(config.dataDir)
    await takeDataDir(run, systemClock, parts.log, limits.natsStopMsMax)
    parts.closers.push(() => rmSync(run, { force: true }))
  }
  if (config.nats.kind === 'external') {
    // Shown without the credentials that the address may hold.
    const url = config.nats.url
      .split(',')
      .map((one) => one.trim().replace(/\/\/[^@/]*@/, '//'))
      .join(',')
    return { url, address: { url: config.nats.url } }
  }
  if (config.nats.kind === 'joined') {
    const address = await runningNatsOf(config.nats.dataDir)
    return { url: address.url, address }
  }
  parts.directory.checkEmbedded()
  const child = await startNatsServer({
    dataDir: config.dataDir,
    ...(binary !== undefined && { binary }),
    log: parts.log,
    metrics: parts.metrics,
    hasRoom: () => parts.disks.hasRoom,
    // Room for the ledger, the snapshots and the cursors beside it.
    storeBytesMax:
      config.ledgerBytesMax + snapshotBytesMaxOf(config.ledgerBytesMax) + 256 * 1024 ** 2,
  })
  parts.closers.push(() => child.stop())
  child.onExit((fault) => parts.fail(fault?.message ?? 'nats-server has ended'))
  return { url: child.url, address: child, child }
}
