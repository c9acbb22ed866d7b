/**
 * What reading a registration file costs: both passes against a plain line splitter on the same
 * octets, and the memory of a file that is much larger than that.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { checkStructure, isStructureFault, records } from '../core/registration/file-reader.ts'
import { median, type BenchOptions } from './harness.ts'
import { generatedFile } from './registration/generated-file.ts'

export const name = 'registration'
export const describe = 'registration files: records a second, and memory for a million records'

/** Lines of the chunks as text, and nothing done with them. */
async function splitLines(chunks: Iterable<Uint8Array>): Promise<number> {
  let rest = ''
  let lines = 0
  for (const chunk of chunks) {
    const parts = (rest + Buffer.from(chunk).toString('latin1')).split('\n')
    rest = parts.pop()!
    for (const line of parts) lines += line.length > 0 ? 1 : 0
  }
  return lines
}

async function countRecords(
  chunks: Iterable<Uint8Array>,
  onBatch?: () => void,
): Promise<{ accepted: number; rejected: number }> {
  const counts = { accepted: 0, rejected: 0 }
  for await (const batch of records(chunks)) {
    for (const entry of batch) counts['record' in entry ? 'accepted' : 'rejected']++
    onBatch?.()
  }
  return counts
}

async function cpuSecondsOf(work: () => Promise<unknown>): Promise<number> {
  const from = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1e6
}

/** Batches, of one slice of the file each, between two samples of memory. */
const batchesPerSample = 100

export async function run({
  smoke,
  seed,
  devices,
  log,
}: BenchOptions): Promise<Record<string, unknown>> {
  const small = smoke ? 200 : 50_000
  const large = smoke ? 2_000 : (devices ?? 1_000_000)
  const file = [...generatedFile(small, { seed })]
  const times = { split: [] as number[], structure: [] as number[], records: [] as number[] }
  const turns = smoke ? 1 : 7
  // The first turn warms up.
  for (let turn = smoke ? 1 : 0; turn <= turns; turn++) {
    const split = await cpuSecondsOf(() => splitLines(file))
    const structure = await cpuSecondsOf(() => checkStructure(file))
    const parsed = await cpuSecondsOf(() => countRecords(file))
    if (turn === 0) continue
    times.split.push(split)
    times.structure.push(structure)
    times.records.push(parsed)
  }
  const perSecond = (seconds: readonly number[]): number => small / median(seconds)
  const both = times.records.map((seconds, turn) => seconds + times.structure[turn]!)
  const figures: Record<string, unknown> = {
    recordsPerCpuSecond: perSecond(times.records),
    structurePerCpuSecond: perSecond(times.structure),
    bothPassesPerCpuSecond: perSecond(both),
    splitterPerCpuSecond: perSecond(times.split),
    ratio: median(both) / median(times.split),
  }
  log(`${Math.round(perSecond(both))} records a second of CPU, both passes`)
  return { ...figures, ...(await memoryOf(large, seed, log)) }
}

/** Live heap and buffers while a large file is read: after a collection, above those before it. */
async function memoryOf(
  large: number,
  seed: number,
  log: BenchOptions['log'],
): Promise<Record<string, unknown>> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const live = (): number => {
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const before = live()
  const structure = await checkStructure(generatedFile(large, { seed }))
  if (isStructureFault(structure)) throw new Error(structure.reason)
  const growth: number[] = []
  let batches = 0
  const counts = await countRecords(generatedFile(large, { seed }), () => {
    if (batches++ % batchesPerSample === 0) growth.push(live() - before)
  })
  const liveGrowthMaxMiB = Math.max(...growth) / (1024 * 1024)
  log(`${large} records: at most ${liveGrowthMaxMiB.toFixed(1)} MiB live`)
  return { records: large, ...counts, liveGrowthMaxMiB }
}
