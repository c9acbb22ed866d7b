/**
 * Leases, and what they are for: whoever does not know what became of a batch takes the lease anew, after which that
 * batch is refused for ever, reads the last frame, and goes on from it (decision 0003). First on the simulated ledger,
 * every case; then on a real server that is killed with SIGKILL in the middle of commits and started again on its store.
 */
import t from 'tap'
import { BrokerError } from '../../../core/base/broker-error.ts'
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
import type { Ledger, LedgerEntry } from '../../../core/ports/ledger.ts'
import { SimLedger, type SimCommitFault } from '../../../core/ports/sim/ledger.ts'
import { startTestNats } from '../../support/nats.ts'

const frameOf = (partition: number, frameNumber: number, previousHash: Buffer): Buffer => {
  const frame = Buffer.alloc(chainLinkBytes + 40, frameNumber & 255)
  writeChainLink(frame, 0, { partition, frameNumber, previousHash })
  return frame
}

/** The batch of one frame and three deliveries, named by partition and frame. */
function batchOf(
  partition: number,
  frameNumber: number,
  frame: Buffer,
  fence: number,
): LedgerEntry[] {
  const expect = { subject: `lease.${partition}`, sequence: fence }
  const deliveries = [0, 1, 2].map((number) => ({
    subject: 'meta.A',
    data: Buffer.from(`${partition}:${frameNumber}:${number}`),
  }))
  return [{ subject: `log.${partition}`, data: frame, expect }, ...deliveries]
}

/** Writes one chain, one batch after the other, and settles every doubt as the host does. */
class Writer {
  readonly ledger: Ledger
  readonly partition: number
  fence = 0
  /** Of the last frame that is written for certain. */
  frameNumber = 0
  hash: Buffer = genesisHash
  doubts = 0
  absent = 0

  constructor(ledger: Ledger, partition: number) {
    this.ledger = ledger
    this.partition = partition
  }

  /** Takes the lease anew and reads where the log ends. Every step may be repeated. */
  async settle(): Promise<void> {
    for (;;) {
      try {
        const taken = await takeLease(this.ledger, this.partition, 'east')
        if (!taken.taken) throw new Error(`lost to ${taken.owner}`)
        const last = await this.ledger.lastOn(`log.${this.partition}`)
        this.fence = taken.sequence
        this.frameNumber = last === undefined ? 0 : readChainLink(last.data).frameNumber
        this.hash = last === undefined ? genesisHash : hashOfFrame(last.data)
        return
      } catch (fault) {
        if (!(fault instanceof BrokerError) || fault.code !== 'BROKER_LEDGER_UNAVAILABLE')
          throw fault
      }
    }
  }

  /** Settles when the next frame is written, in whichever attempt. */
  async write(): Promise<void> {
    const wanted = this.frameNumber + 1
    while (this.frameNumber < wanted) {
      const frame = frameOf(this.partition, wanted, this.hash)
      const outcome = await this.ledger.commit(batchOf(this.partition, wanted, frame, this.fence))
      if (outcome.refused === undefined) {
        this.frameNumber = wanted
        this.hash = hashOfFrame(frame)
        return
      }
      if (outcome.refused !== 'unknown') throw new Error(`${outcome.refused} ${outcome.detail}`)
      this.doubts++
      await this.settle()
      if (this.frameNumber < wanted) this.absent++
    }
  }
}

/** The chain of a partition from its start; throws at a gap or a tear. Returns the number of its last frame. */
async function checkChain(ledger: Ledger, partition: number): Promise<number> {
  let frameNumber = 0
  let hash: Buffer = genesisHash
  await ledger.read(`log.${partition}`, 1, ({ data }) => {
    const link = readChainLink(data)
    if (link.frameNumber !== ++frameNumber || !link.previousHash.equals(hash))
      throw new Error(`the chain breaks at ${link.frameNumber}`)
    if (!data.equals(frameOf(partition, frameNumber, hash)))
      throw new Error(`${frameNumber} is not what was written`)
    hash = hashOfFrame(data)
  })
  return frameNumber
}

t.test('free, ours, held, silent, raced, unanswered', async (t) => {
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
  'a batch that straggles in after the lease was taken anew is refused for ever',
  async (t) => {
    let release = (): void => {}
    let isHeld = false
    const ledger = new SimLedger({
      onCommit: (entries) => {
        if (!isHeld || entries.length === 1) return undefined
        return new Promise((resolve) => (release = () => resolve(undefined)))
      },
    })
    const writer = new Writer(ledger, 3)
    await writer.settle()
    await writer.write()
    isHeld = true
    const straggler = ledger.commit(batchOf(3, 2, frameOf(3, 2, writer.hash), writer.fence))
    await writer.settle()
    t.equal(writer.frameNumber, 1, 'not there, and it never will be')
    isHeld = false
    await writer.write()
    release()
    t.match(await straggler, { refused: 'fence' })
    await writer.write()
    t.equal(await checkChain(ledger, 3), 3)
  },
)

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
  await writer.settle()
  const unknown = { refuse: 'unknown' } as const
  for (const fault of [
    unknown,
    'lose-answer',
    undefined,
    'lose-answer',
    unknown,
    undefined,
  ] as const) {
    next = fault
    await writer.write()
  }
  t.equal(await checkChain(ledger, 3), 6)
  t.strictSame([writer.doubts, writer.absent], [4, 2])
})

t.test(
  'kill -9 of the server in the middle of commits loses, doubles and tears nothing',
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
    for (const writer of writers) await writer.settle()
    const followed = new Map<number, number>()
    let follows = 0
    let onFollowed = (): void => {}
    const follower = await ledger.follow('log.*', 1, ({ subject, data }) => {
      const partition = Number(subject.slice(4))
      const { frameNumber } = readChainLink(data)
      if (frameNumber !== (followed.get(partition) ?? 0) + 1)
        t.fail(`followed ${frameNumber} of ${partition} out of turn`)
      followed.set(partition, frameNumber)
      follows++
      onFollowed()
    })

    let isOver = false
    let onProgress = (): void => {}
    const running = writers.map(async (writer) => {
      while (!isOver) {
        await writer.write()
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
    for (let round = 0; round < 5; round++) {
      await progress(20 + round * 7)
      await nats.kill()
      await nats.start()
    }
    await progress(40)
    isOver = true
    await Promise.all(running)

    let frames = 0
    for (const { partition, frameNumber } of writers) {
      t.equal(await checkChain(ledger, partition), frameNumber, `partition ${partition}`)
      frames += frameNumber
    }
    const deliveries = new Map<string, number>()
    await ledger.read('meta.A', 1, ({ data }) => {
      const name = data.toString()
      deliveries.set(name, (deliveries.get(name) ?? 0) + 1)
    })
    t.equal(deliveries.size, frames * 3, 'each batch brought its deliveries')
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
    for (const { partition, frameNumber } of writers)
      t.equal(followed.get(partition), frameNumber, 'followed to the end, through restarts')
    const counted = (key: 'doubts' | 'absent'): string =>
      writers.map((writer) => writer[key]).join(' ')
    t.comment(`${frames} frames, doubts ${counted('doubts')}, absent ${counted('absent')}`)
    await follower.close()

    await nats.kill()
    const waiting = ledger.commit([{ subject: 'log.0', data: Buffer.alloc(1) }])
    await nats.start()
    const outcome = await waiting
    t.ok(
      outcome.refused === undefined || outcome.refused === 'unknown',
      'a commit asked for while the server is away settles',
    )
    await ledger.close()
    await connection.close()
    await nats.close()
  },
)
