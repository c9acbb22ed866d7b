/**
 * A soak: a whole deployment of real processes under load for as long as it is asked to. Its meters
 * are of many makers, and faulty; some restart in the middle of each second cycle; they push
 * alerts; several parties ask them at one time. The load comes in cycles of equal work. At the end
 * of each everything is answered, and figures are taken while nothing goes on. flatness.ts judges
 * them.
 */
import { join } from 'node:path'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { quirkNames } from '../../actors/simulator/quirks/quirk-table.ts'
import { limits } from '../../core/base/limits.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { judgeFigures, ledgerBytesMax, takeSample, type Judged, type Sample } from './figures.ts'
import { SoakParty } from './party.ts'

/**
 * Leaks that are planted to see that they are found; `ledger` is one that is so large that it never
 * forgets.
 */
export const plants = ['heap', 'descriptors', 'ledger'] as const
export type Plant = (typeof plants)[number]

export type SoakOptions = {
  /** It ends with the first cycle that is over after so long, and at least `cyclesMin`. */
  readonly seconds: number
  readonly cyclesMin?: number
  /** Rounds of one request a device, for each party, in a cycle. */
  readonly rounds: number
  /** From the start of a cycle to that of the next, at least: the rate of the load. */
  readonly cycleMsMin?: number
  /**
   * Share of requests that meters do not answer at all, percent: each costs a time-out of ten
   * seconds.
   */
  readonly silentPercent?: number
  /** Meters do not fail and do not restart: less to see, and sooner. */
  readonly isCalm?: boolean
  readonly plants?: readonly Plant[]
  readonly log: (line: string) => void
  /** When it is aborted, the cycle under way is the last one. */
  readonly signal?: AbortSignal
}

export type SoakReport = {
  cycles: number
  seconds: number
  accepted: number
  ended: number
  alerts: number
  repeated: number
  codes: Record<string, number>
  /** Rejected for now, and repeated, by reason. */
  rejected: Record<string, number>
  /** Messages that the ledger has forgotten. */
  forgotten: number
  samples: Sample[]
  /** Empty when there were too few samples. */
  judged: Judged[]
  /** What was promised and not kept, in words; empty when everything was. */
  faults: string[]
}

/**
 * Meters that need time-outs, or HDLC, to be told from others are left to
 * test/faults/quirks.test.ts.
 */
const quirks = quirkNames.filter(
  (name) => !/^(closed-on-aarq|useless-.*|hdlc-.*|mode-e)$/.test(name),
)
const faultWords = [
  'slow=100ms:4%',
  ...['drop', 'garbage', 'noise', 'truncate', 'wrong-invoke-id', 'exception'].map(
    (kind) => `${kind}:0.3%`,
  ),
]
/** So large that it does not forget. */
const plantedLedgerBytesMax = 8 * 1024 ** 3
const metersPerQuirk = 2
/** Devices of a party and what it asks of them in turn; the first two get alerts. */
const partyPlans = [
  { party: '90-B3-D5-1F-30-01-00-00', type: 'ESME', variants: ['11.2', '4.1.1', '11.2', '4.8.1'] },
  { party: '90-B3-D5-1F-30-05-00-00', type: 'ESME', variants: ['4.1.1', '11.2'] },
  { party: '90-B3-D5-1F-30-07-00-00', type: 'ESME', variants: ['11.2', '11.2', '4.8.1'] },
  { party: '90-B3-D5-1F-30-03-00-00', type: 'GSME', variants: ['11.2', '4.1.1'] },
] as const
const mebi = 1024 ** 2
const alertsTo = partyPlans.slice(0, 2).map(({ party }) => party)
const pushEverySeconds = 4
/** Nothing has ended for so long: what is still open is missing. */
const silenceMsMax = 2 * limits.requestLifetimeMs
const lookMs = 200

/** Runs one; the caller says how long. Everything it started has ended when it settles. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const run = new Run(options)
  try {
    await run.start()
    await run.cycles()
    return await run.report()
  } finally {
    await run.stop()
  }
}

class Run {
  private readonly options: SoakOptions
  private readonly deployment: Deployment
  private readonly probeSocket: string
  private readonly samples: Sample[] = []
  private readonly faults: string[] = []
  private parties: SoakParty[] = []
  private operator: Awaited<ReturnType<typeof openOperatorLedger>> | undefined
  private startedMs = 0
  /** The most that the ledger took since the last sample. */
  private ledgerBytes = 0

  constructor(options: SoakOptions) {
    this.options = options
    const share = 1 / quirks.length
    const probe = new URL('probe.ts', import.meta.url)
    this.deployment = new Deployment({
      metersPerListener: 1,
      alertsTo,
      meterArguments: [
        ...['--quirks', quirks.map((name) => `${name}:${share}`).join(',')],
        ...['--security-shares', '0.3,0.1,0.1', '--push-every', String(pushEverySeconds)],
      ],
      nodeArguments: () => ['--expose-gc', '--import', probe.href],
    })
    this.probeSocket = join(this.deployment.dataDir, 'probe')
    probe.searchParams.set('socket', this.probeSocket)
    probe.searchParams.set('leaks', (options.plants ?? []).join(','))
  }

  async start(): Promise<void> {
    const { silentPercent = 0, isCalm = false, plants: planted = [] } = this.options
    process.env['BUSBAR_LEDGER_BYTES'] =
      `${planted.includes('ledger') ? plantedLedgerBytesMax : ledgerBytesMax}B`
    const silent = silentPercent > 0 ? [`silent:${silentPercent}%`] : []
    const words = isCalm ? [] : [...faultWords, ...silent]
    await this.deployment.start(metersPerQuirk * quirks.length, words.join())
    const { devices, listening, brokerDir } = this.deployment
    this.operator = await openOperatorLedger(addressOf({ dataDir: brokerDir }))
    this.parties = partyPlans.map(({ party, type, variants }) => {
      const asked = devices.filter((device) => device.type === type).map(({ eui64 }) => eui64)
      return new SoakParty(listening.grpc, party, asked, variants)
    })
    this.startedMs = performance.now()
  }

  private get seconds(): number {
    return (performance.now() - this.startedMs) / 1_000
  }

  /** Cycles of equal work, until the time is over, somebody calls it off, or something is wrong. */
  async cycles(): Promise<void> {
    const { seconds, cyclesMin = 2, cycleMsMin = 0, log, signal } = this.options
    while (this.seconds < seconds || this.samples.length < cyclesMin) {
      if (signal?.aborted === true) return
      const paced = new Promise((resolve) => setTimeout(resolve, cycleMsMin).unref())
      const isWhole = await this.cycle()
      if (!isWhole) return
      await paced
      const { p50, p99, heap, descriptors, ledger } = this.samples.at(-1)!
      const ended = this.parties.reduce((sum, party) => sum + party.ended, 0)
      log(
        `cycle ${this.samples.length} at ${Math.round(this.seconds)} s: ${ended} ended, p50 ${Math.round(p50)} ms, p99 ${Math.round(p99)} ms, ` +
          `heap ${(heap / mebi).toFixed(1)} MiB, ${descriptors} descriptors, ledger ${(ledger / mebi).toFixed(1)} MiB`,
      )
    }
  }

  /** True when everything that was asked for was answered. */
  private async cycle(): Promise<boolean> {
    const { rounds, isCalm = false } = this.options
    const { parties } = this
    const asking = Promise.all(parties.map((party) => party.ask(rounds)))
    if (!isCalm && this.samples.length % 2 === 1) {
      await parties[0]!.until(() => parties[0]!.takenRounds >= rounds / 2)
      for (const party of parties) party.disturb(true)
      await kill(this.deployment.meters!)
      await this.deployment.startMeters()
      for (const party of parties) party.disturb(false)
    }
    const resting = asking.then(() => Promise.all(parties.map((party) => party.rest())))
    if (!(await this.watch(resting))) return false
    const latenciesMs = parties.flatMap((party) => party.takeLatenciesMs())
    const { deployment, probeSocket, ledgerBytes } = this
    this.samples.push(await takeSample({ deployment, probeSocket, ledgerBytes, latenciesMs }))
    this.ledgerBytes = 0
    return true
  }

  /**
   * Waits for `settled`; false when nothing has ended for too long, or a fault shows that it may
   * never.
   */
  private async watch(settled: Promise<unknown>): Promise<boolean> {
    let isSettled = false
    void settled.then(() => (isSettled = true))
    let ended = -1
    let changedMs = performance.now()
    while (!isSettled) {
      await Promise.race([settled, new Promise((resolve) => setTimeout(resolve, lookMs))])
      const { bytes } = await this.operator!.ledger.usage()
      this.ledgerBytes = Math.max(this.ledgerBytes, bytes)
      const now = this.parties.reduce((sum, party) => sum + party.ended, 0)
      if (now !== ended) {
        ended = now
        changedMs = performance.now()
      }
      const isSilent = performance.now() - changedMs > silenceMsMax
      if (isSilent || this.parties.some(({ faults }) => faults.length > 0)) break
    }
    for (const { party, openCount } of this.parties)
      if (!isSettled && openCount > 0)
        this.faults.push(`${party}: ${openCount} requests were not answered when it ended`)
    return isSettled
  }

  /**
   * What meters pushed has come to both of its parties; settles when nothing is under way any more.
   */
  private async checkAlerts(): Promise<void> {
    await this.deployment.meters!.stop()
    for (;;) {
      const metrics = await fetch(`http://${this.deployment.listening.ops}/metrics`)
      const text = await metrics.text()
      const sumOf = (name: string): number =>
        [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))]
          .map(([, value]) => Number(value))
          .reduce((sum, value) => sum + value, 0)
      const name = 'busbar_wan_pushes_ended_total'
      const isUnderWay =
        sumOf('busbar_wan_pushes_waiting') > 0 || sumOf(name) < sumOf('busbar_wan_pushes_total')
      if (!isUnderWay) {
        const taken = Number(
          /pushes_ended_total\{outcome="REQUEST_ACCEPTED"\} (\d+)/.exec(text)?.[1],
        )
        const receivers = this.parties.slice(0, alertsTo.length)
        const coming = Promise.all(
          receivers.map((party) => party.until(() => party.alerts >= taken)),
        )
        const patience = new Promise((resolve) =>
          setTimeout(resolve, limits.requestLifetimeMs).unref(),
        )
        await Promise.race([coming, patience])
        for (const { party, alerts } of receivers)
          if (alerts !== taken)
            this.faults.push(`${party}: ${alerts} alerts came of ${taken} that were taken`)
        return
      }
      await new Promise((resolve) => setTimeout(resolve, lookMs))
    }
  }

  async report(): Promise<SoakReport> {
    const seconds = this.seconds
    await this.checkAlerts()
    const audit = await auditOf(this.operator!.ledger)
    this.faults.push(...audit.faults.map((fault) => `ledger: ${fault}`))
    if (audit.open > 0) this.faults.push(`ledger: ${audit.open} requests are open`)
    const { parties, samples } = this
    const sum = (what: (party: SoakParty) => number): number =>
      parties.reduce((total, party) => total + what(party), 0)
    return {
      cycles: samples.length,
      seconds,
      accepted: sum(({ accepted }) => accepted),
      ended: sum(({ ended }) => ended),
      alerts: sum(({ alerts }) => alerts),
      repeated: sum(({ repeated }) => repeated),
      codes: together(parties.map(({ codes }) => codes)),
      rejected: together(parties.map(({ rejected }) => rejected)),
      forgotten: audit.forgottenThrough,
      samples,
      judged: judgeFigures(samples),
      faults: [...parties.flatMap(({ faults }) => faults), ...this.faults],
    }
  }

  async stop(): Promise<void> {
    for (const party of this.parties) party.close()
    await this.operator?.close()
    await this.deployment.stop()
  }
}

function together(counts: ReadonlyArray<ReadonlyMap<string, number>>): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const [key, count] of counts.flatMap((one) => [...one])) sums[key] = (sums[key] ?? 0) + count
  return sums
}
