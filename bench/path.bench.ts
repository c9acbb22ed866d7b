/**
 * The whole way of one message, party → gateway → ledger → meter over TCP → ledger → party, every write flushed to disk,
 * beside the bare pipe, which makes the same hops and writes with no logic. Both run in one go and take turns, so that a
 * busy machine hurts both. SRV 4.1.1; one request in flight for each device.
 */
import { median, type BenchOptions } from './harness.ts'
import type { ClientCommand, ClientFigures } from './path/client.ts'
import { startBarePath, startRealPath, type RunningPath } from './path/paths.ts'

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
  // The first is the one that is reported: as many as the design's own measurement of the bare pipe had.
  inFlight: [400, 2_000],
}
const smallest: Plan = { meters: 40, rounds: 1, warmSeconds: 0.05, seconds: 0.25, inFlight: [20] }

/** Runs both paths; see README.md for what the figures mean. */
export async function run({ smoke, seed, log }: BenchOptions): Promise<Record<string, unknown>> {
  const plan = smoke ? smallest : full
  const { meters, warmSeconds, seconds } = plan
  const bare = await startBarePath({ meters, seed })
  try {
    const real = await startRealPath({ meters, seed })
    try {
      return await compare(bare, real, plan, log)
    } finally {
      await real.stop()
    }
  } finally {
    await bare.stop()
  }

  async function compare(
    barePath: RunningPath,
    realPath: RunningPath,
    { rounds, inFlight }: Plan,
    say: (line: string) => void,
  ): Promise<Record<string, unknown>> {
    const totals = { requests: 0, missing: 0, duplicates: 0, refused: 0, failed: 0 }
    const codes: Record<string, number> = {}
    const ask = async (
      path: RunningPath,
      what: string,
      command: ClientCommand,
    ): Promise<ClientFigures> => {
      const figures = await path.client.run(command)
      say(
        `${what}: ${Math.round(figures.perSecond)} /s, p50 ${figures.p50Ms.toFixed(1)} ms, p99 ${figures.p99Ms.toFixed(1)} ms`,
      )
      if (path === realPath) {
        for (const key of Object.keys(totals) as Array<keyof typeof totals>)
          totals[key] += figures[key]
        for (const [code, count] of Object.entries(figures.codes))
          codes[code] = (codes[code] ?? 0) + count
      }
      return figures
    }

    // The first turn of each is for its compiler, not for the figures.
    if (!smoke)
      for (const path of [barePath, realPath])
        await path.client.run({ mode: 'closed', inFlight: 400, warmSeconds: 0.5, seconds: 1.5 })
    const closed: Record<string, unknown>[] = []
    let main:
      | { inFlight: number; perSecond: number; bare: number; p50Ms: number; p99Ms: number }
      | undefined
    for (const count of inFlight) {
      const bareFigures: ClientFigures[] = []
      const realFigures: ClientFigures[] = []
      for (let round = 0; round < rounds; round++) {
        const command = { mode: 'closed', inFlight: count, warmSeconds, seconds } as const
        bareFigures.push(await ask(barePath, `bare pipe, ${count} in flight`, command))
        realFigures.push(await ask(realPath, `busbar, ${count} in flight`, command))
      }
      const perSecond = middle(realFigures, 'perSecond')
      const barePerSecond = middle(bareFigures, 'perSecond')
      const p50Ms = middle(realFigures, 'p50Ms')
      const p99Ms = middle(realFigures, 'p99Ms')
      closed.push({
        inFlight: count,
        requestsPerSecond: perSecond,
        barePipeRequestsPerSecond: barePerSecond,
        ratio: perSecond / barePerSecond,
        p50Ms,
        p99Ms,
        barePipeP50Ms: middle(bareFigures, 'p50Ms'),
        barePipeP99Ms: middle(bareFigures, 'p99Ms'),
      })
      main ??= { inFlight: count, perSecond, bare: barePerSecond, p50Ms, p99Ms }
    }
    if (main === undefined) throw new Error('the plan has no closed loop')
    const openLoopRate = Math.max(10, Math.floor(main.perSecond / 2))
    const open = await ask(realPath, `busbar, ${openLoopRate} /s by schedule`, {
      mode: 'open',
      rate: openLoopRate,
      warmSeconds,
      seconds,
    })
    const bareOpen = await ask(barePath, `bare pipe, ${openLoopRate} /s by schedule`, {
      mode: 'open',
      rate: openLoopRate,
      warmSeconds,
      seconds,
    })
    const unary = await ask(realPath, 'busbar, unary calls', {
      mode: 'unary',
      concurrency: smoke ? 4 : 200,
      warmSeconds,
      seconds,
    })
    const batch = await ask(realPath, 'busbar, batches of 100', {
      mode: 'batch',
      concurrency: smoke ? 1 : 8,
      batch: smoke ? 10 : 100,
      warmSeconds,
      seconds,
    })
    const http = await ask(realPath, 'busbar, HTTP', {
      mode: 'http',
      concurrency: smoke ? 4 : 100,
      url: realPath.httpUrl!,
      warmSeconds,
      seconds,
    })
    return {
      requestsPerSecond: main.perSecond,
      barePipeRequestsPerSecond: main.bare,
      ratio: main.perSecond / main.bare,
      p50Ms: main.p50Ms,
      p99Ms: main.p99Ms,
      openLoopRate,
      openLoopP50Ms: open.p50Ms,
      openLoopP99Ms: open.p99Ms,
      barePipeOpenLoopP50Ms: bareOpen.p50Ms,
      barePipeOpenLoopP99Ms: bareOpen.p99Ms,
      unaryPerSecond: unary.perSecond,
      batchPerSecond: batch.perSecond,
      httpPerSecond: http.perSecond,
      inFlight: main.inFlight,
      closedLoop: closed,
      meters: plan.meters,
      connections: realPath.connections,
      ...totals,
      codes,
    }
  }
}

function middle(figures: readonly ClientFigures[], key: 'perSecond' | 'p50Ms' | 'p99Ms'): number {
  return median(figures.map((one) => one[key]))
}
