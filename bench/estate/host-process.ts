/**
 * A host of partitions as a process of its own: the real ledger, bus and store, and devices that
 * answer at once, or never. Options are one JSON argument; a line on stdout says when it serves;
 * each line on stdin is a command, answered by a line. Ends on SIGTERM.
 */
import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { hostedDevice } from '../../actors/device-effects/device-effects.ts'
import { Host } from '../../actors/runtime/host/host.ts'
import { NatsBus } from '../../core/bus/nats-bus.ts'
import { Owners } from '../../core/bus/owners.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { createLedger } from '../../core/ledger/jetstream.ts'
import { openLmdbStores } from '../../core/store/lmdb-partitions.ts'
import { createLog } from '../../core/ops/log.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { systemRandom } from '../../core/ports/random.ts'
import { BenchWan } from './bench-wan.ts'
import { cpuMsNow } from './cpu-time.ts'
import { memoryNow } from './host-memory.ts'
import type {
  EstateHostCommand,
  EstateHostFigures,
  EstateHostOptions,
  EstateHostServing,
} from './settings.ts'

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

/** Does what a line says; the figures are those after it. */
function obey(line: string, host: Host, wan: BenchWan): EstateHostFigures {
  const { answer, isQuick = false } = JSON.parse(line) as EstateHostCommand
  if (answer !== undefined) wan.answers = answer
  if (answer === true) wan.answerAll()
  return {
    memory: memoryNow(isQuick ? 0 : 3),
    awake: host.status().partitions.reduce((sum, { awake }) => sum + awake, 0),
    exchanges: wan.openCount,
    exchangesEver: wan.begun,
    cpuMs: cpuMsNow(),
    partitions: host.owned.length,
  }
}

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2]!) as EstateHostOptions
  const { hostId, partitionCount, folder } = options
  const log = createLog('error')
  const clock = systemClock
  mkdirSync(folder, { recursive: true })
  const address = { url: options.natsUrl }
  const connection = await connectNats(natsConnectOptions(address, `bench ${hostId}`))
  const followConnection = await connectNats(natsConnectOptions(address, `bench ${hostId} follow`))
  const ledger = await createLedger({
    connection,
    followConnection,
    bytesMax: options.ledgerBytesMax,
    partitionCount,
  })
  const bus = new NatsBus({ connection })
  const owners = new Owners({ ledger, bus, clock, log, partitionCount })
  await owners.start()
  const stores = openLmdbStores({ folder })
  const wan = new BenchWan()
  const loadFrom = performance.now()
  const cpuFrom = cpuMsNow()
  const host = new Host({
    hostId,
    partitionCount,
    ledger,
    bus,
    clock,
    random: systemRandom,
    log,
    metrics: noMetrics,
    kinds: [hostedDevice({ wan, clock, random: systemRandom, log, metrics: noMetrics })],
    checkpointIntervalMs: 5_000,
    openStore: (partition) => stores.open(partition),
    mayTakeFrom: (owner) => owners.isSilent(owner),
    peers: owners,
    actorsAwakeMax: options.actorsAwakeMax,
    actorIdleMs: 3_600_000,
    onFault: (fault) => {
      throw fault
    },
  })
  await host.start()
  const serving: EstateHostServing = {
    servingAtMs: Date.now(),
    loadMs: performance.now() - loadFrom,
    loadCpuMs: cpuMsNow() - cpuFrom,
  }
  say(serving)

  const end = (): void =>
    void (async () => {
      wan.answers = true
      wan.answerAll()
      await host.close()
      await owners.close()
      await ledger.close()
      await stores.close()
      await connection.close()
      await followConnection.close()
      process.exit(0)
    })()
  process.on('SIGTERM', end)
  createInterface({ input: process.stdin })
    .on('line', (line) => say(obey(line, host, wan)))
    .on('close', end)
}

await main()
