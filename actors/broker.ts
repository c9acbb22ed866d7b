/**
 * The composition root: one broker process with its gateways, its host of partitions, its WAN and its operators' door, over an
 * embedded nats-server or one that runs elsewhere. Everything else is told what it needs; this file alone knows who everybody is.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { partiesOf, type Parties } from '../core/access/parties.ts'
import { BrokerError } from '../core/base/broker-error.ts'
import { formatHostPort } from '../core/base/host-port.ts'
import { limits } from '../core/base/limits.ts'
import { NatsBus } from '../core/bus/nats-bus.ts'
import { Owners } from '../core/bus/owners.ts'
import type { DeviceEntry } from '../core/catalogue/device-record.ts'
import { Gateway } from '../core/gateway/gateway.ts'
import { connectNats } from '../core/ledger/connection.ts'
import { createCursorStore } from '../core/ledger/cursors.ts'
import { PartyFeed } from '../core/ledger/party-feed.ts'
import { ResponseFinder } from '../core/ledger/response-finder.ts'
import { PendingDeliveries } from '../core/ledger/pending-deliveries.ts'
import { createLedger } from '../core/ledger/jetstream.ts'
import { openLmdbStores } from '../core/ledger/lmdb-store.ts'
import { createSnapshotStore, snapshotBytesMaxOf } from '../core/ledger/snapshots.ts'
import type { BrokerConfig, Role } from '../core/ops/config.ts'
import { takeDataDir } from '../core/ops/data-dir-owner.ts'
import { explainDataDirFault, makeDataDir } from '../core/ops/data-dir.ts'
import { openDialInNames } from '../core/ops/dial-in-names.ts'
import { runningNatsOf } from '../core/ops/embedded-nats.ts'
import { openVault } from '../core/ops/key-encryption-keys.ts'
import { createLog } from '../core/ops/log.ts'
import { createMetrics } from '../core/ops/metrics.ts'
import { version } from '../core/ops/version.ts'
import { startNatsServer } from '../core/ops/nats-child.ts'
import { natsConnectOptions, type NatsAddress } from '../core/ops/nats-connection.ts'
import { natsPlaces } from '../core/ops/nats-settings.ts'
import { httpStatusOf, startOpsServer } from '../core/ops/server.ts'
import { readTextFile } from '../core/ops/text-file.ts'
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
import { failureOf, registerList, type RejectedDevice } from './device-list.ts'
import { deliveryTrouble, LedgerWatch, partitionTrouble } from './readiness.ts'
import { addCounterRoutes, deviceIn } from './counters-door.ts'
import {
  acceptCounters,
  counterIn,
  registerDevices,
  replaceKeys,
  type RegistrationResult,
} from './registration.ts'
import { Host } from './runtime/host.ts'
import { startViews, type ViewsRole } from './views-role.ts'
import { startWorkers } from './workers.ts'

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
  // Read early: a fault in it is told before anything is started.
  const partiesOfGateway = (): Parties => parts.parties ?? readParties(config.partiesFile)
  if (config.roles.includes('gateway')) partiesOfGateway()
  makeDataDir(config.dataDir)
  const hostId = hostIdOf(config.dataDir)
  const { partitionCount } = config
  const keys = openVault(config.keyEncryption, config.dataDir, log)
  const { promise: failed, resolve: fail } = Promise.withResolvers<string>()

  const server = await natsServer(config, { log, metrics, closers, fail }, parts.natsServer)
  const connection = await connectNats(natsConnectOptions(server.address, `busbar ${hostId}`))
  closers.push(() => connection.close())
  // It reconnects for ever, unless the server lets us in no more.
  void connection.closed().then(() => fail('the connection to NATS is closed'))
  // Deliveries on their way out must not stand before a commit's acknowledgement on one socket.
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
    onFollowFault(subject, fault) {
      // Without it this process would go on with old news: owners that are none, parties that hear nothing.
      const code = fault instanceof BrokerError ? fault.code : String(fault)
      log.error({ subject, code }, 'the ledger is not followed any more')
      fail(`${subject} is not followed any more: ${code}`)
    },
  })
  closers.push(() => ledger.close())
  const cursors = await createCursorStore({
    connection: followConnection,
    replicas: config.replicas,
  })
  const bus = new NatsBus({ connection, clock, log })
  const owners = new Owners({ ledger, bus, clock, log, partitionCount })
  await owners.start()
  closers.push(() => owners.close())

  const does = (role: Role): boolean => config.roles.includes(role)
  const openSnapshots = (): Promise<SnapshotStore> =>
    createSnapshotStore({
      connection: followConnection,
      replicas: config.replicas,
      bytesMax: snapshotBytesMaxOf(config.ledgerBytesMax),
      clock,
      log,
    })
  const way = await startWan(config, { hostId, bus, owners, keys, log, metrics, closers })
  let host: Host | undefined
  if (way && does('host')) {
    const stores = openLmdbStores({ folder: join(config.dataDir, 'actors'), log, clock })
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
      deliveryKeepMs: config.deliveryKeepMs,
      actorsAwakeMax: config.actorsAwakeMax,
      actorIdleMs: config.actorIdleMs,
      onFault: (fault) => fail(`the host has stopped: ${String(fault)}`),
    })
    closers.push(() => started.close())
    await started.start()
    host = started
  }

  const watch = new LedgerWatch(ledger, clock)
  watch.start()
  closers.push(() => watch.close())

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
    // Beside the work: metrics of a backlog may be late, requests may not.
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
    routes: (app) => {
      app.post('/v1/devices', async (request, reply) => {
        const result = await registerList(request.body, register)
        const failure = failureOf(result)
        if (failure === undefined) return result
        const [{ code, message }] = result.refused as [RejectedDevice]
        return reply.code(httpStatusOf[failure.grpc]).send({ error: code, message, ...result })
      })
      app.post<{ Params: { eui64: string } }>('/v1/devices/:eui64/keys', async (request) =>
        replaceKeys([deviceIn(request.params.eui64)], { bus, directory: owners, clock }),
      )
      app.post<{ Params: { eui64: string } }>('/v1/devices/:eui64/counter', async (request) =>
        acceptCounters([deviceIn(request.params.eui64)], counterIn(request.body), {
          bus,
          directory: owners,
          clock,
        }),
      )
      addCounterRoutes(app, { bus, directory: owners, clock })
      views?.routes(app)
    },
  })
  closers.push(() => ops.close())
  metrics.gauge('busbar_ready', '1 while every readiness check passes', () =>
    ops.reasons().length === 0 ? 1 : 0,
  )
  ops.addCheck('partitions', () => partitionTrouble(owners, host && hostId, host?.owned))
  ops.addCheck('ledger', () => watch.trouble)
  ops.addCheck('deliveries', () => feed && deliveryTrouble(watch.lastSequence, feed.sequence))
  ops.addCheck('host', () => host?.trouble)
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

type WanParts = Omit<NatsParts, 'fail'> & {
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
}

/** Where the nats-server is; `url` may be shown. */
async function natsServer(
  config: BrokerConfig,
  parts: NatsParts,
  binary: string | undefined,
): Promise<{ url: string; address: NatsAddress }> {
  if (config.nats.kind === 'external') {
    // An embedded server takes the data directory itself.
    const { run } = natsPlaces(config.dataDir)
    await takeDataDir(run, systemClock, parts.log, limits.natsStopMsMax)
    parts.closers.push(() => rmSync(run, { force: true }))
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
  const child = await startNatsServer({
    dataDir: config.dataDir,
    ...(binary !== undefined && { binary }),
    log: parts.log,
    metrics: parts.metrics,
    // Room for the ledger, the snapshots and the cursors beside it.
    storeBytesMax:
      config.ledgerBytesMax + snapshotBytesMaxOf(config.ledgerBytesMax) + 256 * 1024 ** 2,
  })
  parts.closers.push(() => child.stop())
  child.onExit((fault) => parts.fail(fault?.message ?? 'nats-server has ended'))
  return { url: child.url, address: child }
}

/** The name of this host for as long as its data directory lives: what it owned before a crash is its own again at once. */
function hostIdOf(dataDir: string): string {
  const file = join(dataDir, 'host-id')
  try {
    const text = readFileSync(file, 'utf8').trim()
    if (/^[a-z0-9]{8,32}$/.test(text)) return text
  } catch {
    // None yet.
  }
  const hostId = systemRandom.bytes(8).toString('hex')
  writeFileSync(file, `${hostId}\n`)
  return hostId
}

function readParties(file: string): Parties {
  let json: unknown
  try {
    json = JSON.parse(readTextFile(file))
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = isMissing
      ? `there is no parties file ${file}; \`busbar init\` makes a folder with one, --parties or BUSBAR_PARTIES names another`
      : `the parties file ${file} cannot be read as JSON`
    const example = '[{"eui64":"90-B3-D5-1F-30-01-00-00","role":"IS","name":"Supplier"}]'
    throw new BrokerError('CONFIG_INVALID', `${why}; it says who may ask: ${example}`, { cause })
  }
  const parties = partiesOf(json)
  if ('faults' in parties)
    throw new BrokerError('CONFIG_INVALID', `${file}: ${parties.faults.join('; ')}`)
  return parties
}
