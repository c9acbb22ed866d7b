/**
 * `startBroker` of the package `busbar`: a broker inside another program. It listens, keeps its
 * data and starts a nats-server as `busbar serve` does, but it takes its settings from its caller
 * alone, installs no signal handler and never ends the process.
 */
import { partiesOf, type Parties } from '../../core/access/parties.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { deviceEntryOf, type DeviceEntry } from '../../core/inventory/device-record.ts'
import { loadConfig } from '../../core/ops/config.ts'
import { settings, type Setting } from '../../core/ops/settings.ts'
import { ensureNatsServer, NatsServerFault } from '../../core/ops/setup/nats-server.mjs'
import { systemClock } from '../../core/ports/clock.ts'
import { startBroker as startConfigured, type Broker, type BrokerParts } from '../broker/broker.ts'
import { checkNodeVersion } from './node-version.ts'
import type { BrokerOptions, DeviceInput, PartyInput, RegisteredDevices } from './options.ts'

/**
 * A broker in this process. All its addresses are `host:port`, empty for what its roles leave out.
 */
export type RunningBroker = {
  /** Name of this host; it is kept in the data directory. */
  readonly hostId: string
  readonly grpcAddress: string
  readonly httpAddress: string
  /** The operators' door: metrics, health, inventory. */
  readonly opsAddress: string
  readonly dialInAddress: string
  /** `nats://host:port`, without credentials. */
  readonly natsUrl: string
  /**
   * Fulfilled when requests can be submitted: all partitions have an owner. Rejected with
   * BrokerError BROKER_NOT_READY when the broker is stopped or fails before, or is not ready within
   * `brokerReadyMsMax`. Nobody needs to wait for it.
   */
  readonly ready: Promise<void>
  /**
   * Fulfilled, with the reason, when the broker cannot go on: its nats-server was given up, or the
   * ledger cannot be followed. Call `stop` then; the data directory can be used again afterwards.
   */
  readonly failed: Promise<string>
  /** Why it is not ready now, one sentence each; empty when it is. */
  reasons(): string[]
  /**
   * Adds devices to the inventory, or replaces their records; any number at once.
   * @throws BrokerError DEVICE_RECORD_MALFORMED naming devices that are no records; none is
   * registered then
   */
  register(devices: readonly DeviceInput[]): Promise<RegisteredDevices>
  /** Takes nothing new, ends what it can, saves, closes. Safe to call more than once. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Time between two looks at whether the broker is ready. */
const readyPollMs = 20

/**
 * Starts a broker in this process; fulfilled when it listens. Several may run in one process, each
 * with a data directory and ports of its own.
 *
 * Without `natsUrl` a nats-server runs as a child process, on loopback. It is `natsServer` when
 * given; else the one on the PATH or in the cache; else it is obtained, which needs the network.
 *
 * @throws BrokerError CONFIG_INVALID (all faults at once, by the names of the options),
 *   DATA_DIR_TAKEN, NATS_SERVER_MISSING, NATS_SERVER_TOO_OLD, NATS_SERVER_FAILED, NATS_UNREACHABLE,
 *   LEDGER_…; nothing is left running then
 */
export async function startBroker(options: BrokerOptions = {}): Promise<RunningBroker> {
  checkNodeVersion()
  const { config, parts } = configOf(options)
  const isEmbedded = config.nats.kind === 'embedded'
  const natsServer =
    isEmbedded && parts.natsServer ? await checkedServer(parts.natsServer) : undefined
  const broker = await startConfigured(config, { ...parts, ...(natsServer && { natsServer }) })
  return runningBrokerOf(broker)
}

function runningBrokerOf(broker: Broker): RunningBroker {
  let giveUp = (_why: string): void => undefined
  const ended = new Promise<string>((resolve) => (giveUp = resolve))
  void broker.failed.then((why) => giveUp(why))
  const ready = untilReady(broker, ended)
  // A caller that does not wait must not get an unhandled rejection.
  ready.catch(() => undefined)
  const stop = (): Promise<void> => {
    giveUp('it was stopped')
    return broker.close()
  }
  const { hostId, grpc, http, ops, dialIn, nats, failed } = broker
  return {
    hostId,
    grpcAddress: grpc,
    httpAddress: http,
    opsAddress: ops,
    dialInAddress: dialIn,
    natsUrl: nats,
    ready,
    failed,
    reasons: () => broker.reasons(),
    register: (devices) => registerAll(broker, devices),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function untilReady(broker: Broker, ended: Promise<string>): Promise<void> {
  const untilMs = systemClock.elapsedMs() + limits.brokerReadyMsMax
  let why: string | undefined
  void ended.then((reason) => (why = reason))
  for (;;) {
    const reasons = why === undefined ? broker.reasons() : []
    if (why === undefined && reasons.length === 0) return
    if (why === undefined && systemClock.elapsedMs() > untilMs) why = reasons.join('; ')
    if (why !== undefined) throw new BrokerError('BROKER_NOT_READY', why)
    await new Promise<void>(
      (settle) => void systemClock.at(systemClock.now() + readyPollMs, settle),
    )
  }
}

async function registerAll(
  broker: Broker,
  devices: readonly DeviceInput[],
): Promise<RegisteredDevices> {
  const faults: string[] = []
  const entries: DeviceEntry[] = []
  for (const [index, device] of devices.entries()) {
    const entry = deviceEntryOf(device)
    if ('faults' in entry) faults.push(`device ${index + 1}: ${entry.faults.join(', ')}`)
    else entries.push(entry)
  }
  if (faults.length > 0)
    throw new BrokerError('DEVICE_RECORD_MALFORMED', faults.slice(0, 10).join('; '))
  const result: RegisteredDevices = { registered: 0, refused: [] }
  for (let start = 0; start < entries.length; start += limits.requestsPerBatchMax) {
    const some = entries.slice(start, start + limits.requestsPerBatchMax)
    const { registered, refused } = await broker.register(some)
    result.registered += registered
    for (const one of refused) result.refused.push({ ...one, index: start + one.index })
  }
  return result
}

/** Options as the settings that they are, and what has no form as a setting. */
function configOf(options: BrokerOptions): {
  config: ReturnType<typeof loadConfig>
  parts: BrokerParts
} {
  const { natsServer, log, parties, keyEncryptionKey, newLedger, ...rest } = options
  const known: readonly string[] = (Object.values(settings) as Setting[]).map(
    ({ option }) => option,
  )
  const faults = Object.keys(rest)
    .filter((name) => !known.includes(name))
    .map((name) => `${name} is not an option`)
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries({
    ...rest,
    ...(typeof parties === 'string' && { parties }),
  }))
    if (value !== undefined) texts[name] = Array.isArray(value) ? value.join(',') : String(value)
  const keys = (Array.isArray(keyEncryptionKey) ? keyEncryptionKey : [keyEncryptionKey])
    .filter((key) => key !== undefined)
    .join(',')
  const workerEnv = keys === '' ? {} : { [settings.keyEncryptionKey.env]: keys }
  const given = typeof parties === 'object' ? partiesIn(parties, faults) : undefined
  const source = { env: workerEnv, options: texts, workingDir: process.cwd() }
  try {
    const config = loadConfig({ ...source, nameOfOption: (option) => option })
    if (faults.length === 0)
      return {
        config,
        parts: {
          workerEnv,
          isNewLedger: newLedger === true,
          ...(log && { log }),
          ...(natsServer && { natsServer }),
          ...(given && { parties: given }),
        },
      }
  } catch (fault) {
    if (!(fault instanceof BrokerError) || fault.detail === undefined) throw fault
    // The only setting that comes by its name in the environment.
    faults.push(fault.detail.replaceAll(settings.keyEncryptionKey.env, 'keyEncryptionKey'))
  }
  throw new BrokerError('CONFIG_INVALID', faults.join('; '))
}

function partiesIn(list: readonly PartyInput[], faults: string[]): Parties | undefined {
  const parties = partiesOf(list)
  if (!('faults' in parties)) return parties
  faults.push(`parties: ${parties.faults.join('; ')}`)
  return undefined
}

/**
 * @throws BrokerError NATS_SERVER_MISSING, NATS_SERVER_TOO_OLD: an unusable path shows before
 * anything starts
 */
async function checkedServer(path: string): Promise<string | undefined> {
  try {
    const env = { NATS_SERVER_BIN: path }
    return (await ensureNatsServer({ env, progress: () => undefined }))?.path
  } catch (fault) {
    if (!(fault instanceof NatsServerFault)) throw fault
    throw new BrokerError(fault.code, fault.detail, { cause: fault })
  }
}
