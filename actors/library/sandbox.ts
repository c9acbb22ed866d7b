/**
 * `startSandbox` of `busbar/testing`: a whole deployment for the tests of other programs. A broker
 * and a fleet of simulated meters run in the caller's process, a nats-server beside it as a child;
 * the ports are free ones, the data lies in a temporary folder, and `stop` leaves nothing behind.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PartyCredentials } from '../../core/access/credentials.ts'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { SupplierClient } from '../../core/client/supplier-client.ts'
import { silentLog, type Log } from '../../core/ports/log.ts'
import { formatDevice } from '../simulator/network/fleet-process.ts'
import { startFleet, type Fleet } from '../simulator/network/fleet.ts'
import { parseFaults } from '../simulator/network/faults.ts'
import { parseQuirks } from '../simulator/quirks/quirks.ts'
import { startBroker, type RunningBroker } from './broker.ts'
import { checkNodeVersion } from './node-version.ts'
import type { BrokerOptions, DeviceInput, PartyInput } from './options.ts'

export type SandboxOptions = {
  /** Simulated meters; default 20. */
  readonly meters?: number | undefined
  /** What the meters are and what they have measured follows from it; default 1. */
  readonly seed?: number | undefined
  /** Shares of the meters under security suites 0, 1 and 2, each in [0, 1]; default none. */
  readonly securityShares?: readonly [number, number, number] | undefined
  /** How the meters are reached; default `tcp`. */
  readonly transport?: 'tcp' | 'udp' | 'hdlc' | undefined
  /**
   * Faults of all meters, in the words of `busbar meters --faults`: `silent:1%`, `slow=200ms:5%`.
   */
  readonly faults?: string | undefined
  /**
   * Meters of other makers, in the words of `busbar meters --quirks`; `busbar meters quirks` lists
   * them.
   */
  readonly quirks?: string | undefined
  /** Who may ask; by default one party in each user role, an import supplier first. */
  readonly parties?: readonly PartyInput[] | undefined
  /** EUI-64 of parties that get the meters' unsolicited messages; by default the first party. */
  readonly alertsTo?: readonly string[] | undefined
  /**
   * Path of a nats-server, 2.15.1 or newer; by default NATS_SERVER_BIN, the PATH, the cache, or
   * obtained.
   */
  readonly natsServer?: string | undefined
  /** Takes the broker's log lines; by default they are dropped. */
  readonly log?: Log | undefined
  /** Further settings of the broker. Ports, data directory, parties and keys are the sandbox's. */
  readonly broker?:
    | Omit<
        BrokerOptions,
        'dataDir' | 'parties' | 'dialIn' | 'keyEncryptionKey' | 'keyEncryptionKeyFile' | 'log'
      >
    | undefined
}

export type SandboxPush = 'data' | 'event'

/** A party, and what it authenticates with, as `SupplierClient` takes it. */
export type SandboxParty = PartyInput & { readonly credentials: PartyCredentials }

/** A running deployment. Addresses are `host:port` on the loopback. */
export type Sandbox = {
  readonly grpcAddress: string
  readonly httpAddress: string
  readonly opsAddress: string
  readonly parties: readonly SandboxParty[]
  /** The meters as they stand in the inventory, keys included, in the order of their numbers. */
  readonly devices: readonly DeviceInput[]
  readonly broker: RunningBroker
  /**
   * A client of `party` (EUI-64; the first party when left out). The sandbox closes it at its end.
   * @throws BrokerError PARTY_UNKNOWN
   */
  client(party?: string): SupplierClient
  /**
   * Replaces the faults of one meter (EUI-64) or of all, in the words of `SandboxOptions.faults`;
   * an empty text clears them.
   * @throws BrokerError CONFIG_INVALID, DEVICE_UNKNOWN
   */
  setFaults(meter: string, words: string): void
  /**
   * The meter sends an unsolicited message to the broker: `data` (the default), readings that name
   * the meter, or `event`. Fulfilled when the octets have left it; the alert comes as a delivery.
   * @throws BrokerError DEVICE_UNKNOWN; CONFIG_INVALID for an event of a meter without a security
   *   suite: nothing in an event notification says whose it is
   */
  push(meter: string, kind?: SandboxPush): Promise<void>
  /**
   * Ends clients, broker, nats-server and meters, and removes the data. Safe to call more than
   * once.
   */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts a sandbox; fulfilled when every meter is registered and requests can be submitted. Several
 * may run at one time, in one process or in many.
 *
 * @throws BrokerError NATS_SERVER_MISSING, NATS_SERVER_TOO_OLD (which say how to give one),
 *   CONFIG_INVALID, SIMULATOR_LISTEN_FAILED, BROKER_NOT_READY; nothing is left running then
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  checkNodeVersion()
  // Undone in reverse, at a failed start as at the end.
  const closers: Array<() => Promise<void> | void> = []
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= closeAll(closers))
  try {
    return { ...(await start(options, closers)), stop, [Symbol.asyncDispose]: stop }
  } catch (fault) {
    await stop()
    throw fault
  }
}

async function closeAll(closers: Array<() => Promise<void> | void>): Promise<void> {
  const faults: unknown[] = []
  for (const closer of closers.toReversed()) {
    try {
      await closer()
    } catch (fault) {
      // What stands behind it must be closed all the same.
      faults.push(fault)
    }
  }
  if (faults.length > 0) throw new AggregateError(faults, 'the sandbox was not closed in order')
}

async function start(
  options: SandboxOptions,
  closers: Array<() => Promise<void> | void>,
): Promise<Omit<Sandbox, 'stop' | typeof Symbol.asyncDispose>> {
  const { parties = demoPartiesJson, log = silentLog } = options
  const folder = mkdtempSync(join(tmpdir(), 'busbar-sandbox-'))
  closers.push(() => rmSync(folder, { recursive: true, force: true }))
  const fleet = await startFleet({
    meters: options.meters ?? 20,
    seed: options.seed ?? 1,
    faults: parseFaults(options.faults ?? ''),
    quirks: parseQuirks(options.quirks ?? ''),
    ...(options.securityShares && { securityShares: options.securityShares }),
    ...(options.transport && { transport: options.transport }),
  })
  closers.push(() => fleet.close())
  const anyPort = '127.0.0.1:0'
  const broker = await startBroker({
    ...{ grpc: anyPort, http: anyPort, ops: anyPort },
    // On loopback, for the caller's tests: `SandboxParty.credentials` says so, too.
    insecurePartyHeader: true,
    insecureOperators: true,
    ...options.broker,
    dialIn: anyPort,
    dataDir: join(folder, 'data'),
    parties,
    keyEncryptionKey: randomBytes(32).toString('hex'),
    natsServer: options.natsServer ?? options.broker?.natsServer,
    log,
  })
  closers.push(() => broker.stop())
  await broker.ready
  const alertsTo = options.alertsTo ?? parties.slice(0, 1).map(({ eui64 }) => eui64)
  const devices = Array.from(fleet.devices(), (device): DeviceInput => ({
    ...(JSON.parse(formatDevice(device)) as DeviceInput),
    alertsTo,
  }))
  const { refused } = await broker.register(devices)
  const first = refused[0]
  if (first !== undefined)
    throw new BrokerError('BROKER_NOT_READY', `${first.eui64} was refused: ${first.code}`)
  const known = parties.map((party) => ({ ...party, credentials: { party: party.eui64 } }))
  return {
    grpcAddress: broker.grpcAddress,
    httpAddress: broker.httpAddress,
    opsAddress: broker.opsAddress,
    parties: known,
    devices,
    broker,
    client: (party) => clientOf(broker, known, closers, party),
    ...metersOf(fleet, devices, broker.dialInAddress),
  }
}

function clientOf(
  broker: RunningBroker,
  parties: readonly SandboxParty[],
  closers: Array<() => void>,
  party: string | undefined,
): SupplierClient {
  const found = party === undefined ? parties[0] : parties.find((one) => isSame(one.eui64, party))
  if (found === undefined) throw new BrokerError('PARTY_UNKNOWN', party ?? 'the sandbox has none')
  const client = new SupplierClient({
    address: broker.grpcAddress,
    credentials: found.credentials,
  })
  closers.push(() => client.close())
  return client
}

function metersOf(
  fleet: Fleet,
  devices: readonly DeviceInput[],
  dialInAddress: string,
): Pick<Sandbox, 'setFaults' | 'push'> {
  const [, host = '', port] = /^(.*):(\d+)$/.exec(dialInAddress) ?? []
  const indexOf = (meter: string): number => {
    const index = devices.findIndex(({ eui64 }) => isSame(eui64, meter))
    if (index < 0) throw new BrokerError('DEVICE_UNKNOWN', meter)
    return index
  }
  return {
    setFaults: (meter, words) =>
      fleet.setFault(meter === 'all' ? 'all' : indexOf(meter), parseFaults(words)),
    push: async (meter, kind = 'data') => {
      const index = indexOf(meter)
      if (kind === 'event' && devices[index]?.keys === undefined)
        throw new BrokerError('CONFIG_INVALID', `${meter} has no security suite: push data instead`)
      await fleet.push(index, { host, port: Number(port) }, kind)
    },
  }
}

/** EUI-64 are written bare, or with `-` or `:` between octets, in either case. */
function isSame(one: string, other: string): boolean {
  const digits = (text: string): string => text.replace(/[-:]/g, '').toUpperCase()
  return digits(one) === digits(other)
}
