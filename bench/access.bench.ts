/**
 * Access control and registration: decisions of a gateway and of a device against a look-up of the
 * answer in a Map; and a registration file into a running broker, first, unchanged, and with one
 * record in a hundred changed, with requests to meters beside it.
 */
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { LoadResult } from '../actors/cli/operator/registration-load.ts'
import { oneDoorOf, refusalAtDevice, refusalAtDoor } from '../core/access/access-control.ts'
import { serviceRequests } from '../core/catalogue/service-requests.ts'
import { DeviceStatus } from '../core/inventory/device-status.ts'
import { entitlementOf, type Rights } from '../core/registration/rights.ts'
import { measure, type BenchOptions } from './harness.ts'
import { startRealPath, type RunningPath } from './path/paths.ts'
import { startNode } from './path/processes.ts'
import { generatedFile, type FileOptions } from './registration/generated-file.ts'

export const name = 'access'
export const describe =
  'decisions of access control, and registration files into a broker that serves requests'

export async function run(options: BenchOptions): Promise<Record<string, unknown>> {
  return { ...decisions(options), ...(await registrations(options)) }
}

/** As many suppliers one after the other as a meter point keeps. */
const periods = 16
const dayMs = 86_400_000
const firstMs = Date.UTC(2026, 0, 1)

/** Questions at a gateway and at a device, for all variants and all statuses. */
function decisions({ smoke, log }: BenchOptions): Record<string, unknown> {
  const rights: Rights = {
    link: 1,
    version: 1,
    direction: 'import',
    periods: Array.from({ length: periods }, (_, index) => ({
      role: 'IS' as const,
      participant: index % 2 === 0 ? 'SUPA' : 'SUPB',
      fromMs: firstMs + index * dayMs,
      toMs: firstMs + (index + 1) * dayMs,
    })),
  }
  const points = [{ rights }]
  const holder = { role: 'IS' as const, participant: 'SUPA' }
  const questions = DeviceStatus.flatMap((status) =>
    serviceRequests.map((row) => ({ row, status, door: oneDoorOf(row, 0) })),
  )
  const decide = (index: number): string | undefined => {
    const { row, status, door } = questions[index % questions.length]!
    return (
      refusalAtDoor(row, 'IS', undefined, 0, door) ??
      refusalAtDevice(
        row,
        'ESME',
        status,
        entitlementOf(points, holder, firstMs + (index % periods) * dayMs),
      )
    )
  }
  const known = new Map(questions.map((_, index) => [index, decide(index) ?? '']))
  const count = smoke ? 1_000 : 1_000_000
  const decided = measure({ op: (index) => decide(index)?.length ?? 0, count, smoke })
  const lookedUp = measure({
    op: (index) => known.get(index % questions.length)!.length,
    count,
    smoke,
  })
  log(`${Math.round(decided.opsPerSecond)} decisions a second`)
  return {
    decisionsPerSecond: decided.opsPerSecond,
    decisionNs: decided.nsPerOp,
    lookUpNs: lookedUp.nsPerOp,
    ratio: decided.nsPerOp / lookedUp.nsPerOp,
    ...(decided.bytesPerOp !== undefined && { bytesPerDecision: decided.bytesPerOp }),
  }
}

type Load = {
  recordsPerSecond: number
  /** CPU for each record, the few requests beside it included. */
  brokerMicros: number
  natsServerMicros: number
  p50Ms: number
  p99Ms: number
  residentMiB: number
}

async function registrations({
  smoke,
  seed,
  devices,
  log,
}: BenchOptions): Promise<Record<string, unknown>> {
  const records = smoke ? 500 : (devices ?? 100_000)
  const folder = await mkdtemp(join(tmpdir(), 'busbar-bench-'))
  const path = await startRealPath({ meters: smoke ? 40 : 500, seed })
  try {
    const quiet = await path.client.run({ ...load, seconds: smoke ? 0.25 : 4 })
    log(`quiet: p50 ${quiet.p50Ms.toFixed(1)} ms, p99 ${quiet.p99Ms.toFixed(1)} ms`)
    const kinds: Record<string, Omit<FileOptions, 'seed'>> = {
      first: { sequence: 1 },
      unchanged: { sequence: 2 },
      changed: { sequence: 3, changedEvery: 100 },
    }
    const loads: Record<string, Load> = {}
    for (const [kind, options] of Object.entries(kinds)) {
      const file = join(folder, `${kind}.txt`)
      await pipeline(generatedFile(records, { seed, ...options }), createWriteStream(file))
      loads[kind] = await loadInto(path, file, records)
      const { recordsPerSecond, p99Ms, residentMiB } = loads[kind]
      log(
        `${kind}: ${Math.round(recordsPerSecond)} records a second, p99 ${p99Ms.toFixed(1)} ms beside it, ${Math.round(residentMiB)} MiB`,
      )
    }
    return { records, quietP50Ms: quiet.p50Ms, quietP99Ms: quiet.p99Ms, ...loads }
  } finally {
    await path.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** So few that the CPU is that of the records. */
const load = { mode: 'open', rate: 100, warmSeconds: 0 } as const

/** `busbar meter-points load`, as an operator does it, with requests beside it until it ends. */
async function loadInto(path: RunningPath, file: string, records: number): Promise<Load> {
  const before = path.cpuMs()
  const startedAt = performance.now()
  const command = startNode('load', 'actors/main.ts', [
    'meter-points',
    'load',
    file,
    '--ops',
    path.ops!,
    '--json',
  ])
  let isLoading = true
  const loading = command.json<LoadResult>().finally(() => (isLoading = false))
  const turns: { p50Ms: number; p99Ms: number }[] = []
  while (isLoading) turns.push(await path.client.run({ ...load, seconds: 1 }))
  const { state, ended } = await loading
  const seconds = (performance.now() - startedAt) / 1_000
  if (ended?.outcome !== 'applied' || ended.progress.rejected > 0)
    throw new Error(`${file}: ${state}, ${ended?.progress.rejected} records rejected`)
  const after = path.cpuMs()
  const microsOf = (process: string): number =>
    ((after[process]! - before[process]!) * 1_000) / records
  return {
    recordsPerSecond: records / seconds,
    brokerMicros: microsOf('broker'),
    natsServerMicros: microsOf('natsServer'),
    p50Ms: Math.max(...turns.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...turns.map(({ p99Ms }) => p99Ms)),
    residentMiB: path.brokerBytes() / (1024 * 1024),
  }
}
