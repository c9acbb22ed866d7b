/**
 * The figures of a soak: how they are taken, at the end of a cycle, when nothing goes on; and which
 * of them must stay flat.
 */
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { limits } from '../../core/base/limits.ts'
import { natsPlaces } from '../../core/ops/embedded-nats/nats-settings.ts'
import type { Deployment } from '../support/deployment.ts'
import { judge, judgedSamplesMin, type GrowthBound, type Judgement } from './flatness.ts'
import type { Probed } from './probe.ts'

/** Figures of one cycle; octets, ms, numbers. */
export type Sample = {
  /** Of the broker, after a collection; `external` are buffers and what native parts hold. */
  heap: number
  external: number
  resident: number
  descriptors: number
  natsResident: number
  natsDescriptors: number
  /**
   * The most that the ledger took since the sample before: what it takes rises until it forgets.
   */
  ledger: number
  /** The broker's data directory, as the file system counts it, without the log of nats-server. */
  disk: number
  /** NaN for a cycle without an exchange that was not disturbed. */
  p50: number
  p99: number
}
export type FigureName = keyof Sample

const mebi = 1024 ** 2
/**
 * What may grow so much in the second half of a soak; the shares allow for fragments and for a busy
 * machine.
 */
export const growthBounds: Readonly<Record<Exclude<FigureName, 'p50'>, GrowthBound>> = {
  heap: { share: 0.05, least: 3 * mebi },
  external: { share: 0.1, least: 4 * mebi },
  resident: { share: 0.2, least: 48 * mebi },
  descriptors: { share: 0.05, least: 6 },
  natsResident: { share: 0.3, least: 48 * mebi },
  natsDescriptors: { share: 0.05, least: 6 },
  ledger: { share: 0.2, least: 2 * mebi },
  disk: { share: 0.3, least: 12 * mebi },
  p99: { share: 0.5, least: 50 },
}

export type Judged = Judgement & { readonly name: FigureName }

/** Of a ledger that forgets; a soak's is so small that it does so in each cycle or two. */
export const ledgerBytesMax = 16 * mebi
/** Up to here it need not forget: a ledger that has not come so far is not called growing. */
const ledgerBytesKept = (ledgerBytesMax * limits.ledgerTrimPercent) / 100

/** Of every figure with a bound that has enough samples. */
export function judgeFigures(samples: readonly Sample[]): Judged[] {
  return Object.entries(growthBounds).flatMap(([key, bound]) => {
    const name = key as keyof typeof growthBounds
    const values = samples
      .map((sample) =>
        name === 'ledger' ? Math.max(sample.ledger, ledgerBytesKept) : sample[name],
      )
      // A cycle in which all was disturbed has no latencies.
      .filter((value) => Number.isFinite(value))
    return values.length < 2 * judgedSamplesMin ? [] : [{ name, ...judge(values, bound) }]
  })
}

/** Of a process that probe.ts is in. */
async function probed(socket: string): Promise<Probed> {
  const connection = connect(socket)
  let text = ''
  connection.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(connection, 'close')
  return JSON.parse(text) as Probed
}

/** Octets that files under `folder` take; one that goes meanwhile takes none. */
function diskBytesOf(folder: string): number {
  let bytes = 0
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const stats = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })
    bytes += (stats?.blocks ?? 0) * 512
  }
  return bytes
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN

/** Takes all of them now. */
export async function takeSample({
  deployment,
  probeSocket,
  ledgerBytes,
  latenciesMs,
}: {
  deployment: Deployment
  probeSocket: string
  ledgerBytes: number
  latenciesMs: readonly number[]
}): Promise<Sample> {
  const { heapBytes, externalBytes, residentBytes, descriptors } = await probed(probeSocket)
  const { server } = deployment.processes()!
  const status = readFileSync(`/proc/${server}/status`, 'utf8')
  const { log } = natsPlaces(deployment.brokerDir)
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  return {
    heap: heapBytes,
    external: externalBytes,
    resident: residentBytes,
    descriptors,
    natsResident: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024,
    natsDescriptors: readdirSync(`/proc/${server}/fd`).length,
    ledger: ledgerBytes,
    disk: diskBytesOf(deployment.brokerDir) - statSync(log).blocks * 512,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
  }
}
