/**
 * The whole way of one message, party → gateway → ledger → meter over TCP → ledger → party, every
 * write flushed to disk, beside the bare pipe, which makes the same hops and writes with no logic.
 * Both run in one go and take turns, so that a busy machine hurts both. SRV 4.1.1; one request in
 * flight for each device.
 */
import { median, type BenchOptions } from './harness.ts'
import type { ClientCommand, ClientFigures } from './path/client.ts'
import { startBarePath, startRealPath, type RunningPath } from './path/paths.ts'
import { microsPerRequest } from './process-cpu.ts'

export const name = 'path'
export const describe =
  'a request from party to meter and back, durable twice, against the bare pipe'

type Plan = {
  meters: number
  rounds: number
  warmSeconds: number
  seconds: number
  inFlight: readonly number[]
}

const full: Plan = {
  meters: 2_500,
  rounds: 3,
  warmSeconds: 1,
  seconds: 2.5,
  // The first is the one that is reported: as many as the design's own measurement of the bare pipe
  // had.
  inFlight: [400, 2_000],
}
const smallest: Plan = { meters: 40, rounds: 1, warmSeconds: 0.05, seconds: 0.25, inFlight: [20] }

type Log = (line: string) => void
/** What one turn of a path gave, and the CPU that each of its processes used for a request. */
type Turn = ClientFigures & { cpuMicros: Record<string, number> }

/** Runs both paths; see README.md for what the figures mean. */
export async function run({ smoke, seed, log }: BenchOptions): Promise<Record<string, unknown>> {
  const plan = smoke ? smallest : full
  const real = await startRealPath({ meters: plan.meters, seed })
  try {
    const bare = await startBarePath({ placement: real.placement })
    try {
      return await new Comparison(real, bare, plan, log).run(smoke)
    } finally {
      await bare.stop()
    }
  } finally {
    await real.stop()
  }
}

class Comparison {
  private readonly real: RunningPath
  private readonly bare: RunningPath
  private readonly plan: Plan
  private readonly log: Log
  private readonly totals = { requests: 0, missing: 0, duplicates: 0, refused: 0, failed: 0 }
  private readonly codes: Record<string, number> = {}

  constructor(real: RunningPath, bare: RunningPath, plan: Plan, log: Log) {
    this.real = real
    this.bare = bare
    this.plan = plan
    this.log = log
  }

  async run(smoke: boolean): Promise<Record<string, unknown>> {
    const { inFlight, meters } = this.plan
    // The first turn of each is for its compiler, not for the figures.
    if (!smoke)
      for (const path of [this.bare, this.real])
        await path.client.run({ mode: 'closed', inFlight: 400, warmSeconds: 0.5, seconds: 1.5 })
    const closed: Awaited<ReturnType<Comparison['closedLoop']>>[] = []
    for (const count of inFlight) closed.push(await this.closedLoop(count))
    const [main] = closed
    if (main === undefined) throw new Error('the plan has no closed loop')
    const openLoop = await this.openLoop(Math.max(10, Math.floor(main.requestsPerSecond / 2)))
    const ways = await this.otherWays(smoke)
    return {
      requestsPerSecond: main.requestsPerSecond,
      barePipeRequestsPerSecond: main.barePipeRequestsPerSecond,
      ratio: main.ratio,
      p50Ms: main.p50Ms,
      p99Ms: main.p99Ms,
      cpuMicros: main.cpuMicros,
      barePipeCpuMicros: main.barePipeCpuMicros,
      cpuRatio: main.cpuRatio,
      ...openLoop,
      ...ways,
      inFlight: main.inFlight,
      closedLoop: closed,
      meters,
      connections: this.real.connections,
      barePipeConnections: this.bare.connections,
      ...this.totals,
      codes: this.codes,
    }
  }

  private async closedLoop(inFlight: number) {
    const { rounds, warmSeconds, seconds } = this.plan
    const bare: Turn[] = []
    const real: Turn[] = []
    for (let round = 0; round < rounds; round++) {
      const command = { mode: 'closed', inFlight, warmSeconds, seconds } as const
      bare.push(await this.ask(this.bare, `bare pipe, ${inFlight} in flight`, command))
      real.push(await this.ask(this.real, `busbar, ${inFlight} in flight`, command))
    }
    const requestsPerSecond = middle(real, 'perSecond')
    const barePipeRequestsPerSecond = middle(bare, 'perSecond')
    const cpuMicros = middleCpu(real)
    const barePipeCpuMicros = middleCpu(bare)
    return {
      inFlight,
      requestsPerSecond,
      barePipeRequestsPerSecond,
      ratio: requestsPerSecond / barePipeRequestsPerSecond,
      p50Ms: middle(real, 'p50Ms'),
      p99Ms: middle(real, 'p99Ms'),
      barePipeP50Ms: middle(bare, 'p50Ms'),
      barePipeP99Ms: middle(bare, 'p99Ms'),
      cpuMicros,
      barePipeCpuMicros,
      cpuRatio: cpuMicros.broker! / barePipeCpuMicros.pipe!,
    }
  }

  private async openLoop(rate: number): Promise<Record<string, unknown>> {
    const { warmSeconds, seconds } = this.plan
    const command = { mode: 'open', rate, warmSeconds, seconds } as const
    const real = await this.ask(this.real, `busbar, ${rate} /s by schedule`, command)
    const bare = await this.ask(this.bare, `bare pipe, ${rate} /s by schedule`, command)
    return {
      openLoopRate: rate,
      openLoopP50Ms: real.p50Ms,
      openLoopP99Ms: real.p99Ms,
      openLoopCpuMicros: real.cpuMicros,
      barePipeOpenLoopP50Ms: bare.p50Ms,
      barePipeOpenLoopP99Ms: bare.p99Ms,
      barePipeOpenLoopCpuMicros: bare.cpuMicros,
    }
  }

  private async otherWays(smoke: boolean): Promise<Record<string, unknown>> {
    const { warmSeconds, seconds } = this.plan
    const times = { warmSeconds, seconds }
    const unary = await this.ask(this.real, 'busbar, unary calls', {
      mode: 'unary',
      concurrency: smoke ? 4 : 200,
      ...times,
    })
    const batch = await this.ask(this.real, 'busbar, batches of 100', {
      mode: 'batch',
      concurrency: smoke ? 1 : 8,
      batch: smoke ? 10 : 100,
      ...times,
    })
    const http = await this.ask(this.real, 'busbar, HTTP', {
      mode: 'http',
      concurrency: smoke ? 4 : 100,
      url: this.real.httpUrl!,
      ...times,
    })
    return {
      unaryPerSecond: unary.perSecond,
      unaryCpuMicros: unary.cpuMicros,
      batchPerSecond: batch.perSecond,
      batchCpuMicros: batch.cpuMicros,
      httpPerSecond: http.perSecond,
      httpCpuMicros: http.cpuMicros,
    }
  }

  private async ask(path: RunningPath, what: string, command: ClientCommand): Promise<Turn> {
    const before = path.cpuMs()
    const figures = await path.client.run(command)
    const cpuMicros = microsPerRequest(before, path.cpuMs(), figures.delivered)
    const { perSecond, p50Ms, p99Ms } = figures
    const cpu = Object.entries(cpuMicros).map(([name, micros]) => `${name} ${micros.toFixed(1)}`)
    this.log(
      `${what}: ${Math.round(perSecond)} /s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms; CPU µs a request: ${cpu.join(', ')}`,
    )
    if (path === this.real) this.note(figures)
    return { ...figures, cpuMicros }
  }

  private note(figures: ClientFigures): void {
    const { totals, codes } = this
    for (const key of Object.keys(totals) as Array<keyof typeof totals>) totals[key] += figures[key]
    for (const [code, count] of Object.entries(figures.codes))
      codes[code] = (codes[code] ?? 0) + count
  }
}

function middle(figures: readonly Turn[], key: 'perSecond' | 'p50Ms' | 'p99Ms'): number {
  return median(figures.map((one) => one[key]))
}

function middleCpu(figures: readonly Turn[]): Record<string, number> {
  const names = Object.keys(figures[0]?.cpuMicros ?? {})
  return Object.fromEntries(
    names.map((name) => [name, median(figures.map(({ cpuMicros }) => cpuMicros[name]!))]),
  )
}
