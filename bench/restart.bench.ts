/**
 * A host that was killed with requests under way: how long until it serves again, and until all
 * that was pending is on its way once more; how fast it folds the whole ledger when its store is
 * lost, against reading the same ledger and doing nothing with it.
 */
import { rm } from 'node:fs/promises'
import { readTickMessage } from '../core/envelope/tick-message.ts'
import { chainLinkBytes, forEachEnvelope } from '../core/envelope/frame.ts'
import { Kind } from '../core/envelope/layout.ts'
import { tickSubjects } from '../core/ports/ledger.ts'
import { Estate } from './estate/estate.ts'
import type { BenchOptions } from './harness.ts'

export const name = 'restart'
export const describe =
  'a host of a million devices that was killed with 100,000 requests pending, until it serves; replay'

const hostId = 'a'

export async function run(options: BenchOptions): Promise<Record<string, unknown>> {
  const { smoke, log } = options
  const devices = options.devices ?? (smoke ? 2_000 : 1_000_000)
  const pending = Math.min(smoke ? 400 : 100_000, devices - 1)
  const estate = await Estate.start(2 * 1024 ** 3 + devices * 512)
  try {
    let host = await estate.startHost(hostId, 100_000)
    await estate.register(0, devices)
    await host.figures({ answer: false })
    const accepted = await estate.ask(Kind.SERVICE_REQUEST, 0, pending, 1)
    if (accepted !== pending) throw new Error(`${accepted} of ${pending} accepted`)
    const { exchanges } = await host.figures({ isQuick: true })
    await host.kill()

    // Its devices answer this time.
    host = await estate.startHost(hostId, 100_000)
    const servedAt = performance.now()
    // The last device has nothing pending.
    const answered = await estate.ask(Kind.SERVICE_REQUEST, devices - 1, 1, 1)
    const firstAnswerMs = performance.now() - servedAt
    await estate.until(host, ({ exchangesEver }) => exchangesEver > pending)
    const takenUpMs = performance.now() - servedAt
    if (answered !== 1) throw new Error('the first request after the restart was refused')
    const { startMs, serving } = host
    const { loadMs, loadCpuMs } = serving
    log(
      `killed with ${exchanges} under way: serves ${startMs} ms after its start, all taken up ${takenUpMs.toFixed(0)} ms later`,
    )
    await host.stop()

    await rm(estate.storeFolder(hostId), { recursive: true, force: true })
    const readFrom = performance.now()
    let facts = 0
    await estate.ledger.read(tickSubjects, 1, ({ data }) => {
      const count = (_partition: number, frame: Buffer): void =>
        forEachEnvelope(frame, chainLinkBytes, () => facts++)
      readTickMessage(data, count, undefined)
    })
    const readFactsPerSecond = (facts * 1_000) / (performance.now() - readFrom)
    host = await estate.startHost(hostId, 100_000)
    const { loadMs: replayMs, loadCpuMs: replayCpuMs } = host.serving
    const { memory } = await host.figures()
    const replayFactsPerSecond = (facts * 1_000) / replayMs
    log(
      `${replayFactsPerSecond.toFixed(0)} facts/s folded into an empty store, ${readFactsPerSecond.toFixed(0)} facts/s only read`,
    )
    return {
      devices,
      pending: exchanges,
      servesMs: startMs,
      loadMs,
      loadCpuMs,
      firstAnswerMs,
      takenUpMs,
      facts,
      replayMs,
      replayCpuMs,
      replayFactsPerSecond,
      readFactsPerSecond,
      ratio: replayFactsPerSecond / readFactsPerSecond,
      residentAfterReplayMiB: memory.rssBytes / 1024 ** 2,
    }
  } finally {
    await estate.stop()
  }
}
