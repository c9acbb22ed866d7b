/**
 * Doubt: a writer whose commits end as unknown finds out what became of them. First against the
 * simulated ledger, every case; then against a real server that is killed with SIGKILL in the
 * middle of commits and started again on the same store.
 */
import t from 'tap'
import {
  chainLinkBytes,
  genesisHash,
  hashOfFrame,
  readChainLink,
  writeChainLink,
} from '../../../core/envelope/frame.ts'
import { connectNats } from '../../../core/ledger/connection.ts'
import { createLedger } from '../../../core/ledger/jetstream.ts'
import { leaseOf, takeLease } from '../../../core/ledger/lease.ts'
import { resolveDoubt, type FrameMark } from '../../../core/ledger/recover.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { Ledger, LedgerEntry } from '../../../core/ports/ledger.ts'
import { SimLedger, type SimCommitFault } from '../../../core/ports/sim/ledger.ts'
import { startTestNats } from '../../support/nats.ts'

const frameOf = (partition: number, frameNumber: number, previousHash: Buffer): Buffer => {
  const frame = Buffer.alloc(chainLinkBytes + 40, frameNumber & 255)
  writeChainLink(frame, 0, { partition, frameNumber, previousHash })
  return frame
}

/** Writes one chain, two frames and three deliveries a batch, settling every doubt. */
class Writer {
  readonly ledger: Ledger
  readonly partition: number
  readonly hostId: string
  fence = 0
  known: FrameMark | undefined
  doubts = 0
  absent = 0

  constructor(ledger: Ledger, partition: number, hostId = 'east') {
    this.ledger = ledger
    this.partition = partition
    this.hostId = hostId
  }

  async take(): Promise<void> {
    const taken = await takeLease(this.ledger, this.partition, this.hostId)
    this.fence = taken.sequence
  }

  get written(): number {
    return this.known?.frameNumber ?? 0
  }

  /** True when the batch is written; false when the partition is lost. */
  async write(): Promise<boolean> {
    const first = frameOf(
      this.partition,
      this.written + 1,
      Buffer.from(this.known?.hash ?? genesisHash),
    )
    const second = frameOf(this.partition, this.written + 2, hashOfFrame(first))
    const marks = [first, second].map((frame) => ({
      frameNumber: readChainLink(frame).frameNumber,
      hash: hashOfFrame(frame),
    }))
    for (;;) {
      const fence = { subject: `lease.${this.partition}`, sequence: this.fence }
      const log = (data: Buffer): LedgerEntry => ({
        subject: `log.${this.partition}`,
        data,
        expect: fence,
      })
      const out = (number: number): LedgerEntry => ({
        subject: 'out.A',
        data: Buffer.from(`${this.partition}:${this.written}:${number}`),
      })
      const outcome = await this.ledger.commit([log(first), out(0), out(1), log(second), out(2)])
      if (outcome.refused === undefined) break
      if (outcome.refused === 'fence') return false
      this.doubts++
      const resolved = await this.resolve(marks)
      if (resolved === undefined) return false
      if (resolved === 2) break
      t.equal(resolved, 0, 'a batch is written whole or not at all')
      this.absent++
    }
    this.known = marks[1]
    return true
  }

  private async resolve(marks: readonly FrameMark[]): Promise<number | undefined> {
    for (;;) {
      try {
        const resolved = await resolveDoubt(
          this.ledger,
          this.partition,
          this.hostId,
          this.fence,
          this.known,
          marks,
        )
        if ('lostTo' in resolved) return undefined
        this.fence = resolved.fence
        return resolved.writtenCount
      } catch (fault) {
        // Every step may be repeated.
        if (!(fault instanceof BrokerError) || fault.code !== 'BROKER_LEDGER_UNAVAILABLE')
          throw fault
      }
    }
  }
}

/**
 * The chain of a partition from its start; throws at a gap. Returns the number of its last frame.
 */
async function checkChain(ledger: Ledger, partition: number): Promise<number> {
  let frameNumber = 0
  let hash: Buffer = genesisHash
  await ledger.read(`log.${partition}`, 1, ({ data }) => {
    const link = readChainLink(data)
    if (link.frameNumber !== ++frameNumber || !link.previousHash.equals(hash))
      throw new Error(`the chain breaks at ${link.frameNumber}`)
    hash = hashOfFrame(data)
  })
  return frameNumber
}

t.test('written or not written, both are found out', async (t) => {
  let next: SimCommitFault | undefined
  const ledger = new SimLedger({
    onCommit: (entries) => {
      const fault = entries.length > 1 ? next : undefined
      if (entries.length > 1) next = undefined
      return fault
    },
  })
  const writer = new Writer(ledger, 3)
  await writer.take()
  for (const fault of [
    { refuse: 'unknown' },
    'lose-answer',
    undefined,
    'lose-answer',
    { refuse: 'unknown' },
    undefined,
  ] as const) {
    next = fault
    t.equal(await writer.write(), true)
  }
  t.equal(await checkChain(ledger, 3), 12)
  t.strictSame([writer.doubts, writer.absent], [4, 2])
})

t.test('a batch that arrives after the doubt was settled is refused for ever', async (t) => {
  const ledger = new SimLedger()
  const writer = new Writer(ledger, 3)
  await writer.take()
  t.equal(await writer.write(), true)
  const stale = writer.fence
  const lost = frameOf(3, 3, Buffer.from(writer.known!.hash))
  const mark = { frameNumber: 3, hash: hashOfFrame(lost) }
  t.match(await resolveDoubt(ledger, 3, 'east', stale, writer.known, [mark]), { writtenCount: 0 })
  const late = await ledger.commit([
    { subject: 'log.3', data: lost, expect: { subject: 'lease.3', sequence: stale } },
  ])
  t.equal(late.refused, 'fence')
})

t.test('what does not fit is told, not repaired', async (t) => {
  const ledger = new SimLedger()
  const writer = new Writer(ledger, 3)
  await writer.take()
  t.equal(await writer.write(), true)
  const other = { frameNumber: 9, hash: Buffer.alloc(32, 1) }
  await t.rejects(resolveDoubt(ledger, 3, 'east', writer.fence, other, []), {
    code: 'LEDGER_CHAIN_BROKEN',
  })
  await t.rejects(
    resolveDoubt(ledger, 4, 'east', 0, other, []),
    { code: 'LEDGER_CHAIN_BROKEN' },
    'the log is gone',
  )
  await t.rejects(
    resolveDoubt(ledger, 3, 'east', 1_000, writer.known, []),
    { code: 'LEDGER_CHAIN_BROKEN' },
    'the ledger lost its end',
  )
  t.match(await takeLease(ledger, 3, 'west', { mayTakeFrom: () => true }), { taken: true })
  t.strictSame(await resolveDoubt(ledger, 3, 'east', writer.fence, writer.known, []), {
    lostTo: 'west',
  })
})

t.test('leases: free, ours, held, silent, raced, unanswered', async (t) => {
  let next: SimCommitFault | undefined
  const ledger = new SimLedger({
    onCommit: () => {
      const fault = next
      next = undefined
      return fault
    },
  })
  t.equal(await leaseOf(ledger, 1), undefined)
  t.match(await takeLease(ledger, 1, 'east'), { taken: true, sequence: 1 })
  t.match(await takeLease(ledger, 1, 'east'), { taken: true, sequence: 2 }, 'its life before')
  t.match(await takeLease(ledger, 1, 'west'), { taken: false, owner: 'east', sequence: 2 })
  t.match(await takeLease(ledger, 1, 'west', { mayTakeFrom: (owner) => owner === 'east' }), {
    taken: true,
    sequence: 3,
  })
  t.match(await leaseOf(ledger, 1), { hostId: 'west', sequence: 3 })
  next = 'lose-answer'
  t.match(
    await takeLease(ledger, 1, 'west'),
    { taken: true, sequence: 4 },
    'written, though the answer was lost',
  )
  next = { refuse: 'unknown' }
  t.match(await takeLease(ledger, 1, 'west'), { taken: true, sequence: 5 })
  next = { refuse: 'full' }
  await t.rejects(takeLease(ledger, 1, 'west'), { code: 'BROKER_LEDGER_FULL' })
  const both = await Promise.all([takeLease(ledger, 2, 'east'), takeLease(ledger, 2, 'west')])
  t.strictSame(both.map(({ taken }) => taken).toSorted(), [false, true], 'one of two')
  await ledger.commit([{ subject: 'lease.7', data: Buffer.from('not a lease') }])
  await t.rejects(takeLease(ledger, 7, 'east'), { code: 'FRAME_MALFORMED' })
  const mute = new SimLedger({ onCommit: () => ({ refuse: 'unknown' }) })
  await t.rejects(takeLease(mute, 1, 'east'), { code: 'BROKER_LEDGER_UNAVAILABLE' })
  await t.rejects(takeLease(ledger, 1, 'no dots.'), { name: 'AssertionFault' })
})

t.test(
  'kill -9 of the server in the middle of commits loses and doubles nothing',
  { timeout: 120_000 },
  async (t) => {
    const nats = await startTestNats()
    const connection = await connectNats({ servers: nats.url })
    const ledger = await createLedger({
      connection,
      bytesMax: 256 * 1024 * 1024,
      partitionCount: 4,
    })
    const writers = [0, 1, 2, 3].map((partition) => new Writer(ledger, partition))
    for (const writer of writers) await writer.take()
    const followed = new Map<number, number>()
    let follows = 0
    const follower = await ledger.follow('log.*', 1, ({ subject, data }) => {
      const partition = Number(subject.slice(4))
      const { frameNumber } = readChainLink(data)
      if (frameNumber !== (followed.get(partition) ?? 0) + 1)
        t.fail(`followed ${frameNumber} of ${partition} out of turn`)
      followed.set(partition, frameNumber)
      follows++
      onFollowed()
    })
    let onFollowed = (): void => {}

    const rounds = 6
    let isOver = false
    let onProgress = (): void => {}
    const running = writers.map(async (writer) => {
      while (!isOver) {
        t.equal(await writer.write(), true)
        onProgress()
      }
    })
    /** Settles after so many batches from now, so that the kill falls among commits under way. */
    const progress = (count: number): Promise<void> =>
      new Promise((resolve) => {
        let left = count
        onProgress = () => {
          if (--left <= 0) resolve()
        }
      })
    for (let round = 0; round < rounds; round++) {
      await progress(25 + round * 7)
      await nats.kill()
      await nats.start()
    }
    await progress(40)
    isOver = true
    await Promise.all(running)

    let frames = 0
    for (const writer of writers) {
      t.equal(
        await checkChain(ledger, writer.partition),
        writer.written,
        `partition ${writer.partition}`,
      )
      frames += writer.written
    }
    const deliveries = new Map<string, number>()
    await ledger.read(
      'out.A',
      1,
      ({ data }) =>
        void deliveries.set(data.toString(), (deliveries.get(data.toString()) ?? 0) + 1),
    )
    t.equal(deliveries.size, (frames / 2) * 3, 'each batch brought its deliveries')
    t.ok(
      [...deliveries.values()].every((count) => count === 1),
      'once',
    )
    t.ok(
      writers.some(({ doubts }) => doubts > 0),
      'there was doubt',
    )
    await new Promise<void>((resolve) => {
      onFollowed = () => follows === frames && resolve()
      onFollowed()
    })
    for (const writer of writers)
      t.equal(
        followed.get(writer.partition),
        writer.written,
        'followed to the end, through restarts',
      )
    t.comment(
      `${frames} frames, doubts ${writers.map(({ doubts }) => doubts).join(' ')}, absent ${writers.map(({ absent }) => absent).join(' ')}`,
    )
    await follower.close()

    // The server stands still, without hanging up: commits time out as unknown only after their
    // limit; here the connection notices first.
    const again = await createLedger({ connection, bytesMax: 256 * 1024 * 1024, partitionCount: 4 })
    await nats.kill()
    const waiting = again.commit([{ subject: 'log.0', data: Buffer.alloc(1) }])
    await nats.start()
    const outcome = await waiting
    t.ok(
      outcome.refused === undefined || outcome.refused === 'unknown',
      'a commit asked for while the server is away settles',
    )
    await connection.close()
    await nats.close()
  },
)
