/**
 * Leases and seals, and what they are for: a host that does not know the fate of a batch seals its
 * ticks, after which that batch is refused for ever, reads the last frame, and goes on from it
 * (decisions 0003, 0011). First on the simulated ledger, every case; then on a real server that is
 * killed with SIGKILL in the middle of commits and started again on its store.
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
import { emptyTick } from '../../../core/envelope/tick-message.ts'
import { connectNats } from '../../../core/nats/connection.ts'
import { createLedger } from '../../../core/ledger/jetstream.ts'
import { leaseOf, sealOwnTicks, takeLease } from '../../../core/ledger/lease.ts'
import { tickSubject, type Ledger, type LedgerEntry } from '../../../core/ports/ledger.ts'
import { SimLedger, type SimCommitFault } from '../../../core/ports/sim/ledger.ts'
import { startTestNats } from '../../support/nats.ts'

const frameOf = (partition: number, frameNumber: number, previousHash: Buffer): Buffer => {
  const frame = Buffer.alloc(chainLinkBytes + 40, frameNumber & 255)
  writeChainLink(frame, 0, { partition, frameNumber, previousHash })
  return frame
}

const hostOf = (partition: number): string => `host-${partition}`
const isSeal = (data: Buffer): boolean => data.equals(emptyTick)

/** The batch of one frame and three deliveries, named by partition and frame. */
function batchOf(
  partition: number,
  frameNumber: number,
  frame: Buffer,
  fence: number,
): LedgerEntry[] {
  const subject = tickSubject(hostOf(partition))
  const deliveries = [0, 1, 2].map((number) => ({
    subject: 'meta.A',
    data: Buffer.from(`${partition}:${frameNumber}:${number}`),
  }))
  return [{ subject, data: frame, expect: { subject, sequence: fence } }, ...deliveries]
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

  /** Seals its ticks and reads where the log ends. Every step may be repeated. */
  async settle(): Promise<void> {
    for (;;) {
      try {
        const sealed = await sealOwnTicks(this.ledger, hostOf(this.partition), [])
        // What was on its way has arrived.
        if (sealed === 'fence') continue
        this.fence = sealed
        await this.ledger.read(tickSubject(hostOf(this.partition)), 1, ({ data }) => {
          if (isSeal(data)) return
          this.frameNumber = readChainLink(data).frameNumber
          this.hash = hashOfFrame(data)
        })
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
        this.fence = outcome.firstSequence
        return
      }
      if (outcome.refused !== 'unknown') throw new Error(`${outcome.refused} ${outcome.detail}`)
      this.doubts++
      await this.settle()
      if (this.frameNumber < wanted) this.absent++
    }
  }
}

/**
 * The chain of a partition from its start; throws at a gap or a tear. Returns the number of its
 * last frame.
 */
async function checkChain(ledger: Ledger, partition: number): Promise<number> {
  let frameNumber = 0
  let hash: Buffer = genesisHash
  await ledger.read(tickSubject(hostOf(partition)), 1, ({ data }) => {
    if (isSeal(data)) return
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
  const stale = { subject: tickSubject('east'), sequence: 3 }
  t.equal((await ledger.lastOn('log.*'))?.sequence, 3, 'whose ticks are sealed')
  t.match(await takeLease(ledger, 1, 'west'), { taken: false, owner: 'east', sequence: 2 })
  t.match(await takeLease(ledger, 1, 'west', { mayTakeFrom: (owner) => owner === 'east' }), {
    taken: true,
    sequence: 4,
  })
  t.match(await leaseOf(ledger, 1), { hostId: 'west', sequence: 4 })
  const late = { subject: tickSubject('east'), data: Buffer.from('late'), expect: stale }
  t.match(await ledger.commit([late]), { refused: 'fence' }, 'a stale owner cannot write')
  next = 'lose-answer'
  t.match(
    await takeLease(ledger, 1, 'west'),
    { taken: true, sequence: 6 },
    'written, though the answer was lost',
  )
  next = { refuse: 'unknown' }
  t.match(await takeLease(ledger, 1, 'west'), { taken: true, sequence: 8 })
  next = { refuse: 'full' }
  await t.rejects(takeLease(ledger, 1, 'west'), { code: 'BROKER_LEDGER_FULL' })
  const both = await Promise.all([takeLease(ledger, 2, 'east'), takeLease(ledger, 2, 'west')])
  t.strictSame(both.map(({ taken }) => taken).toSorted(), [false, true], 'one of two')
  await ledger.commit([{ subject: 'lease.7', data: Buffer.from('not a lease') }])
  await t.rejects(takeLease(ledger, 7, 'east'), { code: 'FRAME_MALFORMED' })
  const mute = new SimLedger({ onCommit: () => ({ refuse: 'unknown' }) })
  await t.rejects(takeLease(mute, 1, 'east'), { code: 'BROKER_LEDGER_UNAVAILABLE' })
  await t.rejects(sealOwnTicks(mute, 'east', []), { code: 'BROKER_LEDGER_UNAVAILABLE' })
  next = { refuse: 'full' }
  await t.rejects(sealOwnTicks(ledger, 'east', []), { code: 'BROKER_LEDGER_FULL' })
  const { sequence: leaseSequence } = (await leaseOf(ledger, 1))!
  const held = (by: number) => [{ number: 1, leaseSequence: leaseSequence - by }]
  t.equal(await sealOwnTicks(ledger, 'west', held(1)), 'fence', 'an older lease')
  t.equal(await sealOwnTicks(ledger, 'west', held(0)), (await ledger.lastOn('log.west'))?.sequence)
  await t.rejects(takeLease(ledger, 1, 'no dots.'), { name: 'AssertionFault' })
})

t.test('a batch that straggles in behind a seal is refused for ever', async (t) => {
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
})

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
      if (isSeal(data)) return
      const partition = Number(subject.slice(tickSubject(hostOf(0)).length - 1))
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
