/**
 * Letters between actors: from the commit of the sender's facts to the commit of the addressee's,
 * at a steady rate of messages of which a tenth are letters, by one host, two and four; and what a
 * message costs a host of CPU, with letters and without. Hosts with the kind of actor that tests
 * have, since no other sends letters. Arrivals are by schedule.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { Eui64 } from '../core/base/eui64.ts'
import { tickSubjects } from '../core/ports/ledger.ts'
import { deviceKey } from '../test/support/envelopes.ts'
import { polled } from '../test/support/polled.ts'
import { TrialEstate, type TrialHost } from '../test/support/trial-estate.ts'
import { add, addAlone, addedIn } from '../test/support/trial-letters.ts'
import { median, type BenchOptions } from './harness.ts'

export const name = 'letters'
export const describe =
  'from the commit of a letter to the commit that it leads to; CPU of one, two and four hosts'

type Plan = {
  hosts: readonly number[]
  /** Messages from outside, a second. */
  rate: number
  seconds: number
  warmSeconds: number
}

const full: Plan = { hosts: [1, 2, 4], rate: 5_000, seconds: 10, warmSeconds: 3 }
const smallest: Plan = { hosts: [1, 2], rate: 500, seconds: 1, warmSeconds: 0.2 }

const partitionCount = 16
const trialCount = 1_000
const stepMs = 10
/** Of messages from outside, one in so many leads to a letter: a tenth of all messages then. */
const lettersEvery = 9
/** Numbers that are added stand far below those of letters, sixteen times as large. */
const base = 1_000_000

type Turn = {
  messagesPerSecond: number
  /** From a letter's commit to the commit of what it leads to. */
  letterP50Ms: number | null
  letterP99Ms: number | null
  /** From sending a message to its acknowledgement. */
  answerP50Ms: number
  answerP99Ms: number
  /** Microseconds of CPU of all hosts, for each message decided, letters among them. */
  hostMicros: number
  ticks: number
}

export async function run({ smoke, log }: BenchOptions): Promise<Record<string, unknown>> {
  const plan = smoke ? smallest : full
  const figures: Record<string, unknown> = { rate: plan.rate }
  for (const count of plan.hosts) {
    const estate = await TrialEstate.start({ partitionCount, snapshotTicks: 20_000 })
    try {
      const hosts: TrialHost[] = []
      for (let index = 0; index < count; index++)
        hosts.push(await estate.startHost(String.fromCharCode(97 + index)))
      await estate.shared(hosts)
      const load = new Load(estate, hosts, plan.rate)
      await load.turn(plan.warmSeconds, true)
      const without = await load.turn(plan.seconds, false)
      const letters = await load.turn(plan.seconds, true)
      await load.close()
      figures[`hosts${count}`] = { without, letters }
      figures[`hosts${count}LetterP50Ms`] = letters.letterP50Ms
      figures[`hosts${count}LetterP99Ms`] = letters.letterP99Ms
      figures[`hosts${count}HostMicros`] = letters.hostMicros
      log(
        `${count} hosts: letter p50 ${letters.letterP50Ms?.toFixed(1)} ms, p99 ${letters.letterP99Ms?.toFixed(1)} ms; ${letters.hostMicros.toFixed(0)} µs of CPU a message, ${without.hostMicros.toFixed(0)} without letters`,
      )
    } finally {
      await estate.stop()
    }
  }
  return figures
}

/** Sends by schedule, and sees in the ledger what has become of it. */
class Load {
  private readonly estate: TrialEstate
  private readonly hosts: readonly TrialHost[]
  private readonly rate: number
  private next = base
  private ticks = 0
  /** When the ticks with these numbers were seen: of messages that lead to letters, and letters. */
  private readonly seenAt = new Map<number, number>()
  private readonly expected = new Set<number>()
  private letterMs: number[] = []
  private answerMs: number[] = []
  private follower: { close(): Promise<void> } | undefined

  constructor(estate: TrialEstate, hosts: readonly TrialHost[], rate: number) {
    this.estate = estate
    this.hosts = hosts
    this.rate = rate
  }

  async turn(seconds: number, isWithLetters: boolean): Promise<Turn> {
    this.follower ??= await this.follow()
    const cpuBefore = await this.cpuMs()
    const ticksBefore = this.ticks
    this.letterMs = []
    this.answerMs = []
    const startedAt = performance.now()
    const sending: Promise<void>[] = []
    let sent = 0
    let letters = 0
    for (let step = 1; step * stepMs <= seconds * 1_000; step++) {
      const due = Math.floor((step * stepMs * this.rate) / 1_000)
      const envelopes: Buffer[] = []
      for (; sent < due; sent++) {
        const isLetter = isWithLetters && sent % lettersEvery === 0
        if (isLetter) letters++
        envelopes.push(this.envelope(isLetter))
      }
      sending.push(this.send(envelopes))
      await wait(Math.max(0, startedAt + step * stepMs - performance.now()))
    }
    await Promise.all(sending)
    await polled(
      () => this.expected.size,
      (size) => size === 0,
    )
    const tookMs = performance.now() - startedAt
    const cpuMs = (await this.cpuMs()) - cpuBefore
    return {
      messagesPerSecond: ((sent + letters) * 1_000) / tookMs,
      letterP50Ms: letters > 0 ? median(this.letterMs) : null,
      letterP99Ms: letters > 0 ? percentile(this.letterMs, 0.99) : null,
      answerP50Ms: median(this.answerMs),
      answerP99Ms: percentile(this.answerMs, 0.99),
      hostMicros: (cpuMs * 1_000) / (sent + letters),
      ticks: this.ticks - ticksBefore,
    }
  }

  private envelope(isLetter: boolean): Buffer {
    const value = this.next++
    const sender = trial(value)
    if (!isLetter) return addAlone(sender, value)
    this.expected.add(letterOf(value))
    return add(sender, value, trial(value * 7 + 3), 0)
  }

  private async send(envelopes: readonly Buffer[]): Promise<void> {
    const sentAt = performance.now()
    const accepted = await this.estate.send(envelopes)
    if (accepted.length !== envelopes.length)
      throw new Error(`${accepted.length} of ${envelopes.length} accepted`)
    this.answerMs.push(performance.now() - sentAt)
  }

  private async follow(): Promise<{ close(): Promise<void> }> {
    const { ledger } = this.estate
    const from = ((await ledger.lastOn(tickSubjects))?.sequence ?? 0) + 1
    return ledger.follow(tickSubjects, from, (message) => {
      this.ticks++
      const now = performance.now()
      addedIn(message, (_device, value) => this.onAdded(value, now))
    })
  }

  private onAdded(value: number, now: number): void {
    if (this.expected.has(letterOf(value))) this.seenAt.set(value, now)
    if (!this.expected.delete(value)) return
    const cause = (value - 1) / 16
    this.letterMs.push(now - this.seenAt.get(cause)!)
    this.seenAt.delete(cause)
  }

  private async cpuMs(): Promise<number> {
    const figures = await Promise.all(this.hosts.map((host) => host.figures()))
    return figures.reduce((sum, { cpuMs }) => sum + cpuMs, 0)
  }

  async close(): Promise<void> {
    await this.follower?.close()
  }
}

const trial = (number: number): Eui64 => deviceKey(number % trialCount)
/** What the letter that a message of `value` leads to adds. */
const letterOf = (value: number): number => value * 16 + 1

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
