/**
 * The two paths that bench/path compares, each four processes: load client, broker or bare pipe,
 * nats-server, meters. What is theirs alone stands in `startBarePath` and `startRealPath`; both end
 * with a client that takes commands.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environmentOfNode } from '../../core/ops/setup/child-environment.mjs'
import { readPartyFiles } from '../../core/ops/pki-folder.ts'
import { directFetch } from '../../core/ops/direct-fetch.ts'
import {
  LoadClientProcess,
  startNats,
  startNode,
  type Child,
  type NatsProcess,
} from './processes.ts'
import { residentBytesOf, type CpuMs } from '../process-cpu.ts'
import { sizes } from './sizes.ts'

/** `flags` go to Node for the process in the middle, a profile for example. */
export type PathOptions = {
  meters: number
  seed: number
  flags?: readonly string[]
  /** Of meters under security suites 0, 1 and 2; none. */
  securityShares?: readonly [number, number, number]
  /** Parties show a certificate, and devices have a meter point where the party is registered. */
  isTrusted?: boolean
}

export type RunningPath = {
  client: LoadClientProcess
  /** Where POST /v1/service-requests is, for the real path. */
  httpUrl: string | undefined
  /** `host:port` of the operators' door, for the real path. */
  ops: string | undefined
  /** Octets of memory that the broker has resident, for the real path; NaN where not told. */
  brokerBytes(): number
  /**
   * For each device of the client, the index of the connection that it shares with other meters.
   */
  placement: readonly number[]
  /** TCP connections to meters. */
  connections: number
  /** CPU used so far by `broker` or `pipe`, `natsServer`, `meters` and `client`. */
  cpuMs(): CpuMs
  stop(): Promise<void>
}

export const benchParty = '90B3D51F30010000'
const srv = '4.1.1'

/** Something to stop, in reverse order, even when a later start fails. */
class Stack {
  private readonly stops: Array<() => Promise<void>> = []

  push<T extends { stop(): Promise<void> }>(part: T): T {
    this.stops.push(() => part.stop())
    return part
  }

  defer(stop: () => Promise<void>): void {
    this.stops.push(stop)
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0).reverse()) await stop()
  }
}

async function started<T>(start: (stack: Stack) => Promise<T>): Promise<T> {
  const stack = new Stack()
  try {
    return await start(stack)
  } catch (error) {
    await stack.stop()
    throw error
  }
}

export type BarePathOptions = Pick<PathOptions, 'flags'> & Pick<RunningPath, 'placement'>

/** Its devices share connections as `placement` says: those of the real path. */
export function startBarePath({ placement, flags }: BarePathOptions): Promise<RunningPath> {
  return started(async (stack) => {
    const nats: NatsProcess = stack.push(await startNats())
    const meterProcess = stack.push(
      startNode('bare meters', 'bench/path/bare-meter.ts', [String(sizes.meterAnswerBytes)]),
    )
    const { port: meterPort } = await meterProcess.json<{ port: number }>()
    const options = { nats: nats.url, meterPort, placement, partitions: 16 }
    const pipe = stack.push(
      startNode('bare pipe', 'bench/bare-pipe.ts', [JSON.stringify(options)], flags),
    )
    const { port } = await pipe.json<{ port: number }>()
    // The last four hexadecimal digits tell the devices apart.
    const devices = placement.map((_, i) =>
      (0x00db_1000_0001_0000n + BigInt(i)).toString(16).padStart(16, '0').toUpperCase(),
    )
    const client = stack.push(
      new LoadClientProcess(
        { target: `127.0.0.1:${port}`, credentials: { party: benchParty }, srv },
        devices,
      ),
    )
    return {
      client,
      httpUrl: undefined,
      ops: undefined,
      brokerBytes: () => NaN,
      placement,
      connections: new Set(placement).size,
      cpuMs: cpuOf({ pipe, natsServer: nats, meters: meterProcess, client }),
      stop: () => stack.stop(),
    }
  })
}

export function startRealPath({
  meters,
  seed,
  flags,
  securityShares = [0, 0, 0],
  isTrusted = false,
}: PathOptions): Promise<RunningPath> {
  return started(async (stack) => {
    const folder = await mkdtemp(join(tmpdir(), 'busbar-bench-'))
    stack.defer(() => rm(folder, { recursive: true, force: true }))
    const nats: NatsProcess = stack.push(await startNats())
    const devicesFile = join(folder, 'devices.jsonl')
    const fleet = stack.push(
      startNode('fleet', 'bench/path/fleet.ts', [
        JSON.stringify({ meters, seed, devicesFile, securityShares }),
      ]),
    )
    const { listening } = await fleet.json<{ listening: { ports: number[] } }>()
    const partiesFile = join(folder, 'parties.json')
    const party = { eui64: benchParty, role: 'IS', name: 'bench', participant }
    await writeFile(partiesFile, JSON.stringify([party]))
    const dataDir = join(folder, 'data')
    const env = {
      BUSBAR_DATA_DIR: dataDir,
      BUSBAR_PARTIES: partiesFile,
      BUSBAR_NATS_URL: nats.url,
      BUSBAR_KEY_ENCRYPTION_KEY: randomBytes(32).toString('hex'),
      BUSBAR_INSECURE_PARTY_HEADER: String(!isTrusted),
      BUSBAR_INSECURE_OPERATORS: 'true',
      BUSBAR_GRPC: '127.0.0.1:0',
      BUSBAR_HTTP: '127.0.0.1:0',
      BUSBAR_OPS: '127.0.0.1:0',
      BUSBAR_LOG_LEVEL: 'error',
    }
    const broker: Child = stack.push(
      startNode('broker', 'bench/path/broker.ts', [], flags, {
        ...environmentOfNode(process.env),
        ...env,
      }),
    )
    const { grpc, http, ops } = await broker.json<{ grpc: string; http: string; ops: string }>()
    const lines = (await readFile(devicesFile, 'utf8')).trim().split('\n')
    const records = lines.map((line) => JSON.parse(line) as FleetRecord)
    // 4.1.1 takes other attributes of a gas meter; the bare pipe's octets are those of an ESME.
    const esmes = records.filter(({ type }) => type === 'ESME')
    if (isTrusted) await registerSupplier(ops, records.map(meterPointOf))
    await register(ops, isTrusted ? records.map(linked) : records)
    const devices = esmes.map(({ eui64 }) => eui64.replaceAll('-', ''))
    const credentials = {
      party: benchParty,
      ...(isTrusted && { tls: readPartyFiles(join(dataDir, 'pki'), benchParty) }),
    }
    const client = stack.push(new LoadClientProcess({ target: grpc, credentials, srv }, devices))
    const placement = esmes.map(({ address }) => listening.ports.indexOf(address.port))
    return {
      client,
      httpUrl: `http://${http}`,
      ops,
      brokerBytes: () => residentBytesOf(broker.process.pid),
      placement,
      connections: new Set(placement).size,
      cpuMs: cpuOf({ broker, natsServer: nats, meters: fleet, client }),
      stop: () => stack.stop(),
    }
  })
}

type FleetRecord = { eui64: string; type: string; address: { port: number } }

function cpuOf(processes: Record<string, { cpuMs(): number }>): () => CpuMs {
  return () =>
    Object.fromEntries(Object.entries(processes).map(([name, one]) => [name, one.cpuMs()]))
}

const participant = 'BNCH'
const meterPointOf = (_record: object, index: number): string => `mpan:${1_000_000_000_000 + index}`
const linked = (record: object, index: number): object => ({
  ...record,
  meterPoints: [meterPointOf(record, index)],
})

const registerSupplier = (ops: string, meterPoints: readonly string[]): Promise<void> =>
  postAll(
    `http://${ops}/v1/meter-points`,
    meterPoints.map((meterPoint) => ({
      meterPoint,
      by: 'bench',
      items: [
        { item: 'supplier', value: participant, from: 2020_01_01 },
        { item: 'direction', value: 'I', from: 2020_01_01 },
      ],
    })),
  )

const register = (ops: string, records: readonly object[]): Promise<void> =>
  postAll(`http://${ops}/v1/devices`, records)

// The door takes at most 1,000 entries a call; what it could not take is a fault of the bench.
async function postAll(url: string, entries: readonly object[]): Promise<void> {
  for (let at = 0; at < entries.length; at += 500) {
    const response = await directFetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(entries.slice(at, at + 500)),
    })
    const text = await response.text()
    const { refused = [] } = (response.ok ? JSON.parse(text) : {}) as { refused?: unknown[] }
    if (!response.ok || refused.length > 0)
      throw new Error(`${url} did not take all: ${response.status} ${text.slice(0, 500)}`)
  }
}
