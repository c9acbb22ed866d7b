/**
 * The same way as bench/path, with every meter under suite 0 (GMAC, authenticated and encrypted),
 * beside the same meters in the clear. Both run in one go and take turns, so that a busy machine
 * hurts both. SRV 4.1.1; one request in flight for each device.
 */
import { median, type BenchOptions } from './harness.ts'
import type { ClientFigures } from './path/client.ts'
import { startRealPath, type RunningPath } from './path/paths.ts'

export const name = 'path-secured'
export const describe =
  'a request from party to meter and back under suite 0, against the same in the clear'

/** Runs both; see README.md for what the figures mean. */
export async function run({ smoke, seed, log }: BenchOptions): Promise<Record<string, unknown>> {
  const [meters, rounds, inFlight] = smoke ? [40, 1, 20] : [2_500, 5, 400]
  const [warmSeconds, seconds] = smoke ? [0.05, 0.25] : [1, 2.5]
  const clear = await startRealPath({ meters, seed })
  try {
    const secured = await startRealPath({ meters, seed, securityShares: [1, 0, 0] })
    try {
      return await compare(clear, secured)
    } finally {
      await secured.stop()
    }
  } finally {
    await clear.stop()
  }

  async function compare(
    clearPath: RunningPath,
    securedPath: RunningPath,
  ): Promise<Record<string, unknown>> {
    const totals = { requests: 0, missing: 0, duplicates: 0, refused: 0, failed: 0 }
    const codes: Record<string, number> = {}
    const ask = async (path: RunningPath, what: string): Promise<ClientFigures> => {
      const figures = await path.client.run({ mode: 'closed', inFlight, warmSeconds, seconds })
      log(`${what}: ${Math.round(figures.perSecond)} /s, p50 ${figures.p50Ms.toFixed(1)} ms`)
      for (const key of Object.keys(totals) as Array<keyof typeof totals>)
        totals[key] += figures[key]
      for (const [code, count] of Object.entries(figures.codes))
        codes[code] = (codes[code] ?? 0) + count
      return figures
    }
    // The first turn of each is for its compiler and for associations, not for the figures.
    if (!smoke)
      for (const path of [clearPath, securedPath])
        await path.client.run({ mode: 'closed', inFlight: 400, warmSeconds: 0.5, seconds: 2.5 })
    const inClear: ClientFigures[] = []
    const underSuite: ClientFigures[] = []
    for (let round = 0; round < rounds; round++) {
      inClear.push(await ask(clearPath, 'in the clear'))
      underSuite.push(await ask(securedPath, 'under suite 0'))
    }
    const middle = (figures: readonly ClientFigures[], key: 'perSecond' | 'p50Ms' | 'p99Ms') =>
      median(figures.map((one) => one[key]))
    const clearPerSecond = middle(inClear, 'perSecond')
    const perSecond = middle(underSuite, 'perSecond')
    return {
      clearRequestsPerSecond: clearPerSecond,
      requestsPerSecond: perSecond,
      ratio: perSecond / clearPerSecond,
      clearP50Ms: middle(inClear, 'p50Ms'),
      clearP99Ms: middle(inClear, 'p99Ms'),
      p50Ms: middle(underSuite, 'p50Ms'),
      p99Ms: middle(underSuite, 'p99Ms'),
      inFlight,
      meters,
      ...totals,
      codes,
    }
  }
}
