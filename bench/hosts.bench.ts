/**
 * One host against two that share the partitions, over the same ledger: requests a second from a
 * gateway's frame to the acknowledgement, and whose CPU they took. On a machine with few CPUs,
 * hosts, nats-server and the client take it from one another: the figures of CPU say what would be
 * the ceiling of each on cores of its own.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { Kind } from '../core/envelope/layout.ts'
import { cpuMsNow } from './estate/cpu-time.ts'
import { Estate, type EstateHost } from './estate/estate.ts'
import { partitionCount } from './estate/settings.ts'
import { median, type BenchOptions } from './harness.ts'

export const name = 'hosts'
export const describe = 'requests accepted a second by one host and by two, and the CPU it takes'

/** For what is still to be written of the last requests. */
const settleMs = 500

type Turn = {
  requestsPerSecond: number
  hostMicros: number
  natsMicros: number
  clientMicros: number
  cpusBusy: number
}

/** CPU milliseconds of hosts, nats-server and client until now. */
async function cpuOf(estate: Estate, hosts: readonly EstateHost[]): Promise<number[]> {
  const ofHosts = await Promise.all(
    hosts.map(async (host) => (await host.figures({ isQuick: true })).cpuMs),
  )
  return [ofHosts.reduce((a, b) => a + b), estate.natsCpuMs(), cpuMsNow()]
}

/** A request to each of `devices`, and what it took. */
async function measureTurn(
  estate: Estate,
  hosts: readonly EstateHost[],
  devices: number,
  counter: number,
): Promise<Turn> {
  const before = await cpuOf(estate, hosts)
  const from = performance.now()
  const accepted = await estate.ask(Kind.SERVICE_REQUEST, 0, devices, counter)
  const seconds = (performance.now() - from) / 1_000
  if (accepted !== devices) throw new Error(`${accepted} of ${devices} accepted`)
  await wait(settleMs)
  const after = await cpuOf(estate, hosts)
  const [host = 0, nats = 0, client = 0] = after.map((ms, i) => ms - before[i]!)
  return {
    requestsPerSecond: devices / seconds,
    hostMicros: (host * 1_000) / devices,
    natsMicros: (nats * 1_000) / devices,
    clientMicros: (client * 1_000) / devices,
    cpusBusy: (host + nats + client) / 1_000 / (seconds + settleMs / 1_000),
  }
}

export async function run({ smoke, log }: BenchOptions): Promise<Record<string, unknown>> {
  const devices = smoke ? 1_000 : 40_000
  const estate = await Estate.start()
  try {
    const first = await estate.startHost('a', 100_000)
    await estate.register(0, devices)
    const second = await estate.startHost('b', 100_000)
    await estate.until(second, ({ partitions }) => partitions === partitionCount / 2)
    let counter = 1
    const turn = (hosts: readonly EstateHost[]): Promise<Turn> =>
      measureTurn(estate, hosts, devices, counter++)
    const turns = smoke ? 1 : 5
    const times = async (hosts: readonly EstateHost[]): Promise<Turn> => {
      await turn(hosts)
      const all: Turn[] = []
      for (let i = 0; i < turns; i++) all.push(await turn(hosts))
      const of = (figure: keyof Turn): number => median(all.map((one) => one[figure]))
      return {
        requestsPerSecond: of('requestsPerSecond'),
        hostMicros: of('hostMicros'),
        natsMicros: of('natsMicros'),
        clientMicros: of('clientMicros'),
        cpusBusy: of('cpusBusy'),
      }
    }
    const two = await times([first, second])
    await second.stop()
    await estate.until(first, ({ partitions }) => partitions === partitionCount)
    const one = await times([first])
    const ratio = two.requestsPerSecond / one.requestsPerSecond
    log(
      `one host ${one.requestsPerSecond.toFixed(0)} requests/s, two ${two.requestsPerSecond.toFixed(0)}: ${ratio.toFixed(2)} to 1`,
    )
    return {
      one,
      two,
      ratio,
      oneHostPerCpuSecond: 1_000_000 / one.hostMicros,
      natsPerCpuSecond: 1_000_000 / one.natsMicros,
    }
  } finally {
    await estate.stop()
  }
}
