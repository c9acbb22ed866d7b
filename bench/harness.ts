/**
 * What every bench has in common: how it is asked, how a piece of work is measured, and what the
 * machine was. A measurement warms up until the engine has compiled it, then takes several samples
 * of equal work; time is the median sample's, memory the median of samples of a tenth of the work
 * in which no collection ran. Results are folded into a hash so that the work cannot be optimised
 * away, and so that two runs with one seed can be seen to have done the same.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { GCProfiler } from 'node:v8'
import { fnv1a32 } from '../core/base/bytes.ts'
import { environmentOfServer } from '../core/ops/setup/child-environment.mjs'

/** `smoke`: so little work that a test can run it; its figures mean nothing. */
export type BenchOptions = {
  smoke: boolean
  seed: number
  /** How many, for a bench that is about devices; its own number when left out. */
  devices?: number
  log: (line: string) => void
}

/** What a bench file exports; `run` gives figures by name. */
export type Bench = {
  name: string
  describe: string
  run(options: BenchOptions): Promise<Record<string, unknown>>
}

/** `bytesPerOp`: heap and buffers allocated; undefined when a collection ran in every sample. */
export type Measurement = {
  opsPerSecond: number
  nsPerOp: number
  bytesPerOp: number | undefined
  samples: number
  hash: string
}

export type MeasureOptions = {
  /**
   * Does the work once; what it gives goes into the hash. `index` counts from 0 in every sample.
   */
  op: (index: number) => number | Uint8Array
  /** Operations in one sample. */
  count: number
  samples?: number
  smoke?: boolean
  /** CPU that the warm-up takes, for an `op` that was not measured before. */
  warmUpCpuMs?: number
}

/** Measures synchronous work. */
export function measure({
  op,
  count,
  samples = 7,
  smoke = false,
  warmUpCpuMs = 200,
}: MeasureOptions): Measurement {
  const perSample = smoke ? Math.min(count, 20) : count
  const rounds = smoke ? 1 : samples
  // So few that most often no collection runs meanwhile.
  const perAllocation = Math.ceil(perSample / 10)
  let hash = 0
  const round = (operations: number): void => {
    hash = 0x811c9dc5
    for (let i = 0; i < operations; i++) {
      const result = op(i)
      hash =
        typeof result === 'number'
          ? Math.imul(hash ^ result, 0x01000193)
          : fnv1a32(result, 0, Math.min(result.length, 64), hash)
    }
  }
  if (smoke || warmed.has(op)) round(perSample)
  else warmUp(() => round(perSample), warmUpCpuMs)
  warmed.add(op)
  const allocated: number[] = []
  for (let i = 0; i < rounds; i++) {
    // It hears of collections while they run; a PerformanceObserver would hear of them after all
    // the samples.
    const collections = new GCProfiler()
    collections.start()
    const before = bytesInUse()
    round(perAllocation)
    const bytes = bytesInUse() - before
    if (collections.stop().statistics.length === 0) allocated.push(bytes / perAllocation)
  }
  const times: number[] = []
  for (let i = 0; i < rounds; i++) {
    const before = process.hrtime.bigint()
    round(perSample)
    times.push(Number(process.hrtime.bigint() - before) / perSample)
  }
  const nsPerOp = median(times)
  return {
    opsPerSecond: 1e9 / nsPerOp,
    nsPerOp,
    bytesPerOp: allocated.length === 0 ? undefined : median(allocated),
    samples: rounds,
    hash: (hash >>> 0).toString(16).padStart(8, '0'),
  }
}

/**
 * Runs `round` until it has used `cpuMs` of CPU. A few rounds are not enough: work of 16 µs took 30
 * µs until the optimising compiler, on a thread of its own, was done with all of it, and how many
 * rounds that were depended on what else the machine had to do.
 */
function warmUp(round: () => void, cpuMs: number): void {
  const from = process.cpuUsage()
  for (let rounds = 1; ; rounds++) {
    round()
    const { user, system } = process.cpuUsage(from)
    if (rounds >= 3 && (user + system) / 1_000 >= cpuMs) return
  }
}

/** Work that was measured before is compiled. */
const warmed = new WeakSet<MeasureOptions['op']>()

function bytesInUse(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export type Copies = { calls: number; bytes: number }

/**
 * Counts octets copied by `Buffer.copy`, `TypedArray.set`, `Buffer.concat`, `Buffer.from` and
 * `slice` of typed arrays while `work` runs. Not to be used while time is taken: the counted calls
 * cost more.
 */
export function countCopies(work: () => void): Copies {
  const copies: Copies = { calls: 0, bytes: 0 }
  const note = (bytes: number): void => {
    copies.calls++
    copies.bytes += bytes
  }
  const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array
  const { set, slice } = typedArray
  const { copy } = Buffer.prototype
  const { concat, from } = Buffer
  let isInner = false
  // A counted call may be made of another counted one: the octets count once.
  const once = <T>(bytes: number, call: () => T): T => {
    if (isInner) return call()
    note(bytes)
    isInner = true
    try {
      return call()
    } finally {
      isInner = false
    }
  }
  typedArray.set = function (this: Uint8Array, source: ArrayLike<number>, offset?: number) {
    return once(source.length, () => set.call(this, source, offset))
  }
  typedArray.slice = function (this: Uint8Array, start?: number, end?: number) {
    const result = isInner
      ? slice.call(this, start, end)
      : once(0, () => slice.call(this, start, end))
    copies.bytes += isInner ? 0 : result.byteLength
    return result
  } as typeof slice
  Buffer.prototype.copy = function (
    this: Buffer,
    target: Uint8Array,
    targetStart = 0,
    start = 0,
    end = this.length,
  ) {
    return once(Math.max(0, Math.min(end - start, target.length - targetStart)), () =>
      copy.call(this, target, targetStart, start, end),
    )
  }
  Buffer.concat = ((list: readonly Uint8Array[], total?: number) =>
    once(
      list.reduce((sum, { length }) => sum + length, 0),
      () => concat(list, total),
    )) as typeof concat
  Buffer.from = ((value: unknown, ...rest: unknown[]) => {
    const call = from as (...all: unknown[]) => Buffer
    const shares = value instanceof ArrayBuffer || value instanceof SharedArrayBuffer
    return shares
      ? call(value, ...rest)
      : once((value as { length?: number }).length ?? 0, () => call(value, ...rest))
  }) as typeof from
  try {
    work()
  } finally {
    Object.assign(typedArray, { set, slice })
    Buffer.prototype.copy = copy
    Object.assign(Buffer, { concat, from })
  }
  return copies
}

/**
 * Flushes that the disk under `folder` has completed since it was attached, by any process;
 * undefined where the kernel does not count them: not Linux, a kernel before 5.5, a file system
 * without a disk of its own.
 *
 * @source the kernel's Documentation/admin-guide/iostats: major, minor, name, then field 16 is
 * flush requests completed
 */
export function flushesOf(folder: string): number | undefined {
  try {
    const { dev } = statSync(folder, { bigint: true })
    // As the kernel packs them for user space: the low 8 bits of the minor, 12 of the major, the
    // rest of the minor.
    const major = Number((dev >> 8n) & 0xfffn)
    const minor = Number((dev & 0xffn) | ((dev >> 12n) & 0xfff00n))
    for (const line of readFileSync('/proc/diskstats', 'utf8').split('\n')) {
      const fields = line.trim().split(/\s+/)
      if (fields[0] !== String(major) || fields[1] !== String(minor)) continue
      const flushes = Number(fields[3 + 15])
      return Number.isFinite(flushes) ? flushes : undefined
    }
  } catch {
    // Told as unknown.
  }
  return undefined
}

export type Machine = { node: string; cpu: string; cpus: number; commit: string }

/** What the figures were taken on. */
export function machine(): Machine {
  let commit = 'unknown'
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: environmentOfServer(process.env),
    })
      .toString()
      .trim()
  } catch {
    // Not a checkout: the figures are still good, only less traceable.
  }
  return {
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: availableParallelism(),
    commit,
  }
}

/** Rounds to what a reader can use: four significant digits, whole above 1,000. */
export function readable(value: number): number {
  return value >= 1_000 ? Math.round(value) : Number(value.toPrecision(4))
}
