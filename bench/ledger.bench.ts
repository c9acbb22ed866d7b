/**
 * The ledger alone, on a real nats-server that flushes every write: what group commit gives, as the
 * host does it (one fenced message in flight, in which stand the frames of a tick), over one
 * publish an envelope; what the same frames take as an atomic batch (decision 0005); how fast a log
 * is replayed; and what renewing leases on disk would cost (decision 0002). Then the same ticks on
 * a cluster of three, each of which flushes.
 */
import { jetstream } from '@nats-io/jetstream'
import { readEui64, parseEui64 } from '../core/base/eui64.ts'
import { writeTickMessage } from '../core/envelope/tick-message.ts'
import { connectNats } from '../core/nats/connection.ts'
import { createLedger } from '../core/ledger/jetstream.ts'
import { takeLease } from '../core/ledger/lease.ts'
import { natsConnectOptions } from '../core/nats/options.ts'
import { leaseSubject } from '../core/cluster/lease-record.ts'
import { tickSubject, type Ledger, type LedgerEntry } from '../core/ports/ledger.ts'
import { flushesOf, median, type BenchOptions } from './harness.ts'
import { startNats, startNatsCluster, type NatsProcess } from './path/processes.ts'

export const name = 'ledger'
export const describe =
  'ticks against one publish an envelope and against atomic batches, replay; every write fsynced'

const envelopeBytes = 256
/** Of a busy tick: about a thousand envelopes over all partitions and one party. */
const envelopesPerFrame = 60
const partitionCount = 16
/** Publishes on their way at once: more gain nothing (bench of the design, 2 CPUs). */
const publishesInFlight = 512

type Latency = { p50Ms: number; p99Ms: number }

const frame = Buffer.alloc(envelopeBytes * envelopesPerFrame, 1)

/**
 * A tick of the host: frames of all partitions and one of deliveries, in one message behind a
 * fence, which stands still here.
 */
function tickOf(fence: number): LedgerEntry[] {
  const facts = Array.from({ length: partitionCount }, (_, partition) => ({ partition, frame }))
  const data = writeTickMessage(facts, [
    { party: readEui64(parseEui64('90B3D51F30010000')!), frame },
  ])
  const expect = { subject: leaseSubject(partitionCount - 1), sequence: fence }
  return [{ subject: tickSubject('bench'), data, expect }]
}

/**
 * The same as an atomic batch: frames of `count - 1` partitions behind their fences and one of
 * deliveries.
 */
function batchOf(count: number, fences: readonly number[]): LedgerEntry[] {
  const logs = Array.from({ length: count - 1 }, (_, partition) => ({
    subject: `log.${partition}`,
    data: frame,
    expect: { subject: `lease.${partition}`, sequence: fences[partition]! },
  }))
  return [...logs, { subject: 'log.deliveries', data: frame }]
}

/** Commits the same entries over and over, one in flight; gives what each took, in ms. */
async function commits(
  ledger: Ledger,
  entries: readonly LedgerEntry[],
  count: number,
): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const before = performance.now()
    const outcome = await ledger.commit(entries)
    if (outcome.refused !== undefined) throw new Error(`${outcome.refused}: ${outcome.detail}`)
    times.push(performance.now() - before)
  }
  return times
}

function latencyOf(times: readonly number[]): Latency {
  const sorted = times.toSorted((a, b) => a - b)
  return { p50Ms: sorted[sorted.length >> 1]!, p99Ms: sorted[Math.floor(sorted.length * 0.99)]! }
}

const perSecond = (count: number, times: readonly number[]): number =>
  (count * 1_000) / times.reduce((sum, time) => sum + time, 0)

type Groups = {
  /** Of ticks; one a turn. */
  commitsPerSecond: number[]
  plainPublishesPerSecond: number[]
  times: number[][]
  /** Of the disk, for a tick; undefined when the kernel does not count them. */
  flushesPerCommit: number | undefined
}

/** What `measureOn` needs of the ledger. */
type Rig = { ledger: Ledger; kinds: LedgerEntry[][]; publishes: (total: number) => Promise<number> }

async function withLedger<T>(
  nats: NatsProcess,
  replicas: number,
  use: (rig: Rig) => Promise<T>,
): Promise<T> {
  const options = natsConnectOptions({ url: nats.url }, 'bench')
  const connection = await connectNats(options)
  const followConnection = await connectNats({ ...options, name: 'bench follow' })
  try {
    const ledger = await createLedger({
      connection,
      followConnection,
      bytesMax: 8 * 1024 ** 3,
      partitionCount,
      replicas,
    })
    const fences: number[] = []
    for (let partition = 0; partition < partitionCount; partition++)
      fences.push((await takeLease(ledger, partition, 'bench')).sequence)
    const js = jetstream(connection)
    const envelope = Buffer.alloc(envelopeBytes, 1)
    const publishes = async (total: number): Promise<number> => {
      let asked = 0
      const publisher = async (): Promise<void> => {
        while (asked < total) await js.publish(`busbar.log.${asked++ % partitionCount}`, envelope)
      }
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: Math.min(publishesInFlight, total) }, publisher))
      return (total * 1_000) / (performance.now() - startedAt)
    }
    const kinds = [tickOf(fences.at(-1)!), batchOf(3, fences), batchOf(partitionCount + 1, fences)]
    try {
      return await use({ ledger, kinds, publishes })
    } finally {
      await ledger.close()
    }
  } finally {
    await connection.close()
    await followConnection.close()
    await nats.stop()
  }
}

/** Turn by turn, so that a machine that is busy for a while is so for all. */
async function measureOn(
  { ledger, kinds, publishes }: Rig,
  folder: string,
  turns: number,
  scale: (count: number) => number,
): Promise<Groups> {
  for (const entries of kinds) await commits(ledger, entries, scale(50))
  await publishes(scale(1_000))
  const groups: Groups = {
    commitsPerSecond: [],
    plainPublishesPerSecond: [],
    times: kinds.map(() => []),
    flushesPerCommit: undefined,
  }
  let flushes: number | undefined = 0
  for (let turn = 0; turn < turns; turn++) {
    for (const [index, entries] of kinds.entries()) {
      const before = flushesOf(folder)
      const taken = await commits(ledger, entries, scale(100))
      const after = flushesOf(folder)
      groups.times[index]!.push(...taken)
      if (index > 0) continue
      groups.commitsPerSecond.push(perSecond(taken.length, taken))
      flushes =
        flushes === undefined || before === undefined || after === undefined
          ? undefined
          : flushes + after - before
    }
    groups.plainPublishesPerSecond.push(await publishes(scale(3_000)))
  }
  if (flushes !== undefined) groups.flushesPerCommit = flushes / groups.times[0]!.length
  return groups
}

const envelopesPerCommit = (partitionCount + 1) * envelopesPerFrame

function figuresOf(groups: Groups) {
  const [tick, batch3, batch17] = groups.times.map(latencyOf)
  const commitsPerSecond = median(groups.commitsPerSecond)
  const envelopesPerSecond = commitsPerSecond * envelopesPerCommit
  const plainPublishesPerSecond = median(groups.plainPublishesPerSecond)
  const { flushesPerCommit } = groups
  return {
    commitsPerSecond,
    envelopesPerSecond,
    plainPublishesPerSecond,
    ratio: envelopesPerSecond / plainPublishesPerSecond,
    // Those of other programs on the same disk are among them.
    flushesPerCommit: flushesPerCommit ?? 'unknown',
    flushesPerSecond:
      flushesPerCommit === undefined ? 'unknown' : flushesPerCommit * commitsPerSecond,
    tick,
    batch3,
    batch17,
  }
}

export async function run({ smoke, log }: BenchOptions): Promise<Record<string, unknown>> {
  const scale = (count: number): number => (smoke ? Math.max(3, Math.floor(count / 500)) : count)
  const turns = smoke ? 1 : 5
  const nats = await startNats()
  const single = await withLedger(nats, 1, async (rig) => {
    const figures = figuresOf(await measureOn(rig, nats.folder, turns, scale))
    const { envelopesPerSecond, commitsPerSecond, plainPublishesPerSecond, ratio } = figures
    log(
      `${envelopesPerSecond.toFixed(0)} envelopes/s in ${commitsPerSecond.toFixed(0)} commits/s, ${plainPublishesPerSecond.toFixed(0)} plain publishes/s: ${ratio.toFixed(1)} to 1`,
    )
    const { ledger } = rig
    let replayedBytes = 0
    const replayFrom = performance.now()
    await ledger.read('log.*', 1, ({ data }) => void (replayedBytes += data.length))
    const replayEnvelopesPerSecond =
      (replayedBytes / envelopeBytes) * (1_000 / (performance.now() - replayFrom))
    // A renewal is one small message, flushed.
    const renewals: number[] = []
    for (let i = 0; i < scale(500); i++)
      renewals.push(...(await commits(ledger, [{ subject: 'lease.0', data: Buffer.alloc(80) }], 1)))
    return { ...figures, replayEnvelopesPerSecond, leaseRenewalMs: latencyOf(renewals).p50Ms }
  })
  const cluster = await startNatsCluster()
  const replicas3 = await withLedger(cluster, 3, async (rig) =>
    figuresOf(await measureOn(rig, cluster.folder, Math.min(turns, 3), scale)),
  )
  const toSingle = replicas3.commitsPerSecond / single.commitsPerSecond
  log(
    `three replicas: ${replicas3.envelopesPerSecond.toFixed(0)} envelopes/s in ${replicas3.commitsPerSecond.toFixed(0)} commits/s, ${toSingle.toFixed(2)} of one`,
  )
  return { ...single, replicas3: { ...replicas3, toSingle } }
}
