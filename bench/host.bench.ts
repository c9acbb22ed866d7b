/**
 * The host of partitions: how many messages one core decides, folds and commits; what a registered
 * device costs, asleep and awake; what waking one costs; and how many wakes a second can come due.
 * Three parts, each with something to hold it against in the same run.
 */
import type { BenchOptions } from './harness.ts'
import { Estate } from './estate/estate.ts'
import { measureDecisions } from './estate/decisions.ts'
import { measureStore } from './estate/store-reads.ts'
import { measureWakes } from './estate/due-wakes.ts'
import { Kind } from '../core/envelope/layout.ts'
import type { EstateHostFigures } from './estate/settings.ts'

export const name = 'host'
export const describe =
  'messages a core decides; memory of a million devices, a tenth awake; wake-ups; due wakes'

const hostId = 'a'

export async function run(options: BenchOptions): Promise<Record<string, unknown>> {
  const { smoke, log } = options
  const devices = options.devices ?? (smoke ? 2_000 : 1_000_000)
  const awake = Math.min(smoke ? 500 : 100_000, devices)
  const decisions = await measureDecisions(smoke ? 2_000 : 400_000)
  log(
    `${decisions.messagesPerCpuSecond.toFixed(0)} messages a second of CPU, ${decisions.mapUpdatesPerCpuSecond.toFixed(0)} updates of a Map: 1 to ${(1 / decisions.ratio).toFixed(0)}`,
  )
  const wakes = await measureWakes(smoke ? 3_000 : 300_000)
  log(
    `${wakes.dueWakesPerSecond.toFixed(0)} wakes a second come due and are decided, ${wakes.indexWakesPerSecond.toFixed(0)} are read from the index`,
  )
  return { ...decisions, ...wakes, ...(await measureEstate(devices, awake, log)) }
}

async function measureEstate(
  devices: number,
  awake: number,
  log: (line: string) => void,
): Promise<Record<string, unknown>> {
  // A ledger record of a registration is some 150 octets.
  const estate = await Estate.start(2 * 1024 ** 3 + devices * 512)
  try {
    let host = await estate.startHost(hostId, awake)
    const empty = await host.figures()
    const registeredFrom = performance.now()
    await estate.register(0, devices)
    const registerSeconds = (performance.now() - registeredFrom) / 1_000
    const registered = await host.figures()
    log(`${devices} devices registered in ${registerSeconds.toFixed(1)} s`)
    await host.stop()
    const storeBytes = await estate.storeBytes(hostId)
    const { bytes: ledgerBytes } = await estate.ledger.usage()
    const reads = measureStore(estate.storeFolder(hostId), awake)

    host = await estate.startHost(hostId, awake)
    const asleep = await host.figures()
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      const { cpuMs } = await host.figures()
      await work()
      return (((await host.figures()).cpuMs - cpuMs) * 1_000) / awake
    }
    // Nobody knows such a request: the actor is woken, looks, and says so.
    const askAll = (): Promise<number> => estate.ask(Kind.STATUS_QUERY, 0, awake, 1)
    const sleeperMicros = await timed(askAll)
    const woken = await host.figures()
    const awakeMicros = await timed(askAll)
    await estate.ask(Kind.SERVICE_REQUEST, 0, awake, 1)
    await estate.until(
      host,
      ({ exchanges, exchangesEver }) => exchangesEver >= awake && exchanges === 0,
    )
    const used = await host.figures()
    await host.figures({ answer: false })
    await estate.ask(Kind.SERVICE_REQUEST, 0, awake, 2)
    const pending = await host.figures()
    const perAwake = (figures: EstateHostFigures): number =>
      (heapOf(figures) - heapOf(asleep)) / Math.max(1, figures.awake)
    log(
      `${perAwake(used).toFixed(0)} octets an awake actor, ${mebibytes(used.memory.rssBytes)} MiB resident with ${used.awake} of ${devices} awake`,
    )
    return {
      devices,
      registeredPerSecond: devices / registerSeconds,
      registrationCpuMicros: ((registered.cpuMs - empty.cpuMs) * 1_000) / devices,
      storeBytesPerDevice: storeBytes / devices,
      ledgerBytesPerDevice: ledgerBytes / devices,
      bytesPerSleepingActor: (heapOf(asleep) - heapOf(empty)) / devices,
      awake: used.awake,
      bytesPerAwakeActor: perAwake(used),
      bytesPerAwakeActorUnused: perAwake(woken),
      bytesPerAwakeActorPending: perAwake(pending),
      wakeUpMicros: sleeperMicros - awakeMicros,
      messageMicros: awakeMicros,
      ...reads,
      memoryMiB: memoriesOf({ empty, registered, asleep, awake: used, pending }),
    }
  } finally {
    await estate.stop()
  }
}

const heapOf = ({ memory }: EstateHostFigures): number => memory.heapBytes + memory.externalBytes
const mebibytes = (bytes: number): number => Math.round(bytes / 1024 ** 2)

const memoriesOf = (figures: Record<string, EstateHostFigures>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(figures).map(([name, one]) => [name, memoryOf(one)]))

function memoryOf({ memory, awake }: EstateHostFigures): Record<string, number> {
  return {
    actorsAwake: awake,
    heap: mebibytes(memory.heapBytes),
    buffers: mebibytes(memory.externalBytes),
    resident: mebibytes(memory.rssBytes),
    residentOfStoreFile: mebibytes(memory.fileBytes),
  }
}
