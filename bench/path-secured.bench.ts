/**
 * The same way as bench/path in three forms: in the clear; with every meter under suite 0 (GMAC,
 * authenticated and encrypted); and with that, mutual TLS at the gateway, and a meter point of each
 * device where the party is registered. All run in one go and take turns, so that a busy machine
 * hurts all of them. SRV 4.1.1; one request in flight for each device.
 */
import { median, type BenchOptions } from './harness.ts'
import type { ClientFigures } from './path/client.ts'
import { startRealPath, type PathOptions, type RunningPath } from './path/paths.ts'
import { microsPerRequest } from './process-cpu.ts'

export const name = 'path-secured'
export const describe =
  'a request from party to meter and back under suite 0, and with TLS and access rights, against the same in the clear'

const underSuite0 = { securityShares: [1, 0, 0] } as const
/** In this order, and with these names in the figures. */
const forms = {
  clear: {},
  secured: underSuite0,
  trusted: { ...underSuite0, isTrusted: true },
} as const satisfies Record<string, Omit<PathOptions, 'meters' | 'seed'>>
type Form = keyof typeof forms

type Turn = ClientFigures & { brokerMicros: number }

/** Runs all forms; see README.md for what the figures mean. */
export async function run({ smoke, seed, log }: BenchOptions): Promise<Record<string, unknown>> {
  const [meters, rounds, inFlight] = smoke ? [40, 1, 20] : [2_500, 5, 400]
  const [warmSeconds, seconds] = smoke ? [0.05, 0.25] : [1, 2.5]
  const totals = { requests: 0, missing: 0, duplicates: 0, refused: 0, failed: 0 }
  const codes: Record<string, number> = {}
  const paths = new Map<Form, RunningPath>()
  try {
    for (const [form, options] of Object.entries(forms))
      paths.set(form as Form, await startRealPath({ meters, seed, ...options }))
    // The first turn of each is for its compiler and for associations, not for the figures.
    if (!smoke)
      for (const { client } of paths.values())
        await client.run({ mode: 'closed', inFlight, warmSeconds: 0.5, seconds: 2.5 })
    const turns = new Map<Form, Turn[]>()
    for (let round = 0; round < rounds; round++)
      for (const [form, path] of paths)
        turns.set(form, [...(turns.get(form) ?? []), await ask(form, path)])
    return figuresOf(turns)
  } finally {
    for (const path of [...paths.values()].reverse()) await path.stop()
  }

  async function ask(form: Form, path: RunningPath): Promise<Turn> {
    const before = path.cpuMs()
    const figures = await path.client.run({ mode: 'closed', inFlight, warmSeconds, seconds })
    const cpu = microsPerRequest(before, path.cpuMs(), figures.delivered)
    const brokerMicros = cpu['broker'] ?? NaN
    log(
      `${form}: ${Math.round(figures.perSecond)} /s, p50 ${figures.p50Ms.toFixed(1)} ms, broker ${brokerMicros.toFixed(1)} µs of CPU a request`,
    )
    for (const key of Object.keys(totals) as Array<keyof typeof totals>) totals[key] += figures[key]
    for (const [code, count] of Object.entries(figures.codes))
      codes[code] = (codes[code] ?? 0) + count
    return { ...figures, brokerMicros }
  }

  function figuresOf(turns: ReadonlyMap<Form, readonly Turn[]>): Record<string, unknown> {
    const middle = (form: Form, key: 'perSecond' | 'p50Ms' | 'p99Ms' | 'brokerMicros'): number =>
      median((turns.get(form) ?? []).map((one) => one[key]))
    const of = (form: Form) => ({
      requestsPerSecond: middle(form, 'perSecond'),
      p50Ms: middle(form, 'p50Ms'),
      p99Ms: middle(form, 'p99Ms'),
      brokerMicros: middle(form, 'brokerMicros'),
    })
    const ratioOf = (form: Form): number => middle(form, 'perSecond') / middle('clear', 'perSecond')
    return {
      securedRatio: ratioOf('secured'),
      trustedRatio: ratioOf('trusted'),
      clear: of('clear'),
      secured: of('secured'),
      trusted: of('trusted'),
      inFlight,
      meters,
      ...totals,
      codes,
    }
  }
}
