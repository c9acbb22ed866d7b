/**
 * The ledger alone, on a real nats-server that flushes every write: what group commit gives over
 * plain publishes one by one, what one commit takes at different sizes, how fast a log is replayed,
 * and what renewing leases on disk would cost (decision 0002).
 */
import { jetstream } from '@nats-io/jetstream'
import { connectNats } from '../core/ledger/connection.ts'
import { GroupCommit } from '../core/ledger/group-commit.ts'
import { createLedger, type JetStreamLedger } from '../core/ledger/jetstream.ts'
import type { LedgerEntry } from '../core/ports/ledger.ts'
import type { BenchOptions } from './harness.ts'
import { startNats } from './path/processes.ts'

export const name = 'ledger'
export const describe =
  'group commit against plain publishes, commit latency, replay; every write fsynced'

const envelopeBytes = 256
const prefix = 'busbar'

type Latency = { commitsPerSecond: number; messagesPerSecond: number; p50Ms: number; p99Ms: number }

/** Commits of `messages` messages one after the other, as one busy writer makes them. */
async function oneByOne(
  ledger: JetStreamLedger,
  messages: number,
  commits: number,
): Promise<Latency> {
  const entries: LedgerEntry[] = Array.from({ length: messages }, (_, i) => ({
    subject: i % 3 === 2 ? 'out.90B3D51F30010000' : `log.${i % 16}`,
    data: Buffer.alloc(envelopeBytes, i),
  }))
  return timed(ledger, entries, commits)
}

async function timed(
  ledger: JetStreamLedger,
  entries: readonly LedgerEntry[],
  commits: number,
): Promise<Latency> {
  const times: number[] = []
  const startedAt = performance.now()
  for (let i = 0; i < commits; i++) {
    const before = performance.now()
    const outcome = await ledger.commit(entries)
    if (outcome.refused !== undefined) throw new Error(outcome.detail)
    times.push(performance.now() - before)
  }
  const seconds = (performance.now() - startedAt) / 1_000
  times.sort((a, b) => a - b)
  return {
    commitsPerSecond: commits / seconds,
    messagesPerSecond: (commits * entries.length) / seconds,
    p50Ms: times[commits >> 1]!,
    p99Ms: times[Math.floor(commits * 0.99)]!,
  }
}

/** Commits of one message of `bytes` octets, fenced by all leases. */
async function oneMessage(
  ledger: JetStreamLedger,
  bytes: number,
  commits: number,
): Promise<Latency> {
  const lease = await ledger.commit([{ subject: 'lease.0', data: Buffer.alloc(8) }])
  if (lease.refused !== undefined) throw new Error(lease.detail)
  const entries: LedgerEntry[] = [
    {
      subject: 'log.0',
      data: Buffer.alloc(bytes, 1),
      expect: { subject: 'lease.*', sequence: lease.firstSequence },
    },
  ]
  return timed(ledger, entries, commits)
}

/** `total` additions of one envelope each, at most `inFlight` unsettled, through group commit. */
function grouped(
  ledger: JetStreamLedger,
  total: number,
  inFlight: number,
  batchesInFlightMax: number,
  partitions: number,
): Promise<number> {
  const group = new GroupCommit({ ledger, batchesInFlightMax })
  const data = Buffer.alloc(envelopeBytes, 1)
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    let asked = 0
    let settled = 0
    const ask = (): void => {
      const partition = asked++ % partitions
      group.add([{ subject: `log.${partition}`, data }], data.length, (outcome) => {
        if (outcome.refused !== undefined) return reject(new Error(outcome.detail))
        if (++settled === total) resolve((total * 1_000) / (performance.now() - startedAt))
        else if (asked < total) ask()
      })
    }
    for (let i = 0; i < Math.min(inFlight, total); i++) ask()
  })
}

/**
 * The same envelopes gathered into frames, as the host does it: one frame a partition and batch.
 */
async function framed(ledger: JetStreamLedger, total: number, perFrame: number): Promise<number> {
  const partitions = 16
  const entries = Array.from({ length: partitions }, (_, i) => ({
    subject: `log.${i}`,
    data: Buffer.alloc(envelopeBytes * perFrame, i),
  }))
  const startedAt = performance.now()
  for (let written = 0; written < total; written += partitions * perFrame) {
    const outcome = await ledger.commit(entries)
    if (outcome.refused !== undefined) throw new Error(outcome.detail)
  }
  return (total * 1_000) / (performance.now() - startedAt)
}

export async function run({ smoke, log }: BenchOptions): Promise<Record<string, unknown>> {
  const scale = (count: number): number => (smoke ? Math.max(4, Math.floor(count / 500)) : count)
  const nats = await startNats()
  const connection = await connectNats({ servers: nats.url })
  const followConnection = await connectNats({ servers: nats.url })
  try {
    const ledger = await createLedger({
      connection,
      followConnection,
      bytesMax: 4 * 1024 ** 3,
      partitionCount: 16,
    })
    await oneByOne(ledger, 3, scale(300))
    const commit1 = await oneByOne(ledger, 1, scale(1_000))
    const commit3 = await oneByOne(ledger, 3, scale(500))
    const commit40 = await oneByOne(ledger, 40, scale(300))
    // All of a tick in one message, fenced for every partition at once: no batch, so no staging by
    // the server.
    const frames = await oneMessage(ledger, 16 * 3 * envelopeBytes, scale(500))
    const commit400 = await oneByOne(ledger, 400, scale(60))
    log(
      `a commit of 3: p50 ${commit3.p50Ms.toFixed(2)} ms; of 40: p50 ${commit40.p50Ms.toFixed(2)} ms`,
    )

    const js = jetstream(connection)
    const plainTotal = scale(10_000)
    const data = Buffer.alloc(envelopeBytes, 1)
    const plainFrom = performance.now()
    let asked = 0
    const publisher = async (): Promise<void> => {
      while (asked < plainTotal) await js.publish(`${prefix}.log.${asked++ % 16}`, data)
    }
    await Promise.all(Array.from({ length: Math.min(512, plainTotal) }, publisher))
    const plainPerSecond = (plainTotal * 1_000) / (performance.now() - plainFrom)
    const groupPerSecond = await grouped(ledger, scale(50_000), 4_000, 1, 16)
    const group2PerSecond = await grouped(ledger, scale(50_000), 4_000, 2, 16)
    const framedPerSecond = await framed(ledger, scale(200_000), 60)
    log(
      `plain ${plainPerSecond.toFixed(0)}/s, grouped ${groupPerSecond.toFixed(0)}/s, framed ${framedPerSecond.toFixed(0)}/s`,
    )

    let replayed = 0
    const replayFrom = performance.now()
    await ledger.read('log.*', 1, () => void replayed++)
    const replayPerSecond = (replayed * 1_000) / (performance.now() - replayFrom)

    // What 16 leases renewed each second on disk would take from the commits beside them.
    const leases = Array.from({ length: 16 }, (_, i) => ({
      subject: `lease.${i}`,
      data: Buffer.alloc(80, i),
    }))
    const renewFrom = performance.now()
    const renewals = scale(50)
    for (let i = 0; i < renewals; i++)
      for (const lease of leases.slice(0, smoke ? 1 : 16)) await ledger.commit([lease])
    const renewalMs = (performance.now() - renewFrom) / (renewals * (smoke ? 1 : 16))
    await ledger.close()
    return {
      commit1,
      commit3,
      commit40,
      commit400,
      oneMessageOf12kB: frames,
      plainPerSecond,
      groupPerSecond,
      group2PerSecond,
      ratio: groupPerSecond / plainPerSecond,
      framedEnvelopesPerSecond: framedPerSecond,
      replayPerSecond,
      leaseRenewalMs: renewalMs,
    }
  } finally {
    await connection.close()
    await followConnection.close()
    await nats.stop()
  }
}
