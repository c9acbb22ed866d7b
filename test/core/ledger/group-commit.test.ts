/**
 * Group commit on the simulated ledger: batching, order, and refusals. Every partition here writes
 * a chain, each frame naming the number before, as the real ones do; the checker is that the ledger
 * holds each chain without a gap whatever was refused.
 */
import fc from 'fast-check'
import t from 'tap'
import { GroupCommit, type AdditionOutcome } from '../../../core/ledger/group-commit.ts'
import { takeLease } from '../../../core/ledger/lease.ts'
import type { LedgerEntry } from '../../../core/ports/ledger.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimLedger, type SimCommitFault } from '../../../core/ports/sim/ledger.ts'
import { seededRandom } from '../../../core/ports/random.ts'

const entry = (partition: number, fence: number, text = 'x', bytes = 0): LedgerEntry => ({
  subject: `log.${partition}`,
  data: bytes === 0 ? Buffer.from(text) : Buffer.alloc(bytes, 1),
  expect: { subject: `lease.${partition}`, sequence: fence },
})

function added(group: GroupCommit, entries: LedgerEntry[]): Promise<AdditionOutcome> {
  const bytes = entries.reduce((sum, { data }) => sum + data.length, 0)
  return new Promise((resolve) => group.add(entries, bytes, resolve))
}

/** A ledger whose commits wait until they are let through. */
function gated(fault?: (entries: readonly LedgerEntry[]) => SimCommitFault | undefined) {
  const waiting: Array<() => void> = []
  const batches: number[] = []
  const ledger = new SimLedger({
    onCommit: (entries) => {
      if (entries.some(({ subject }) => subject.startsWith('lease.'))) return undefined
      batches.push(entries.length)
      return new Promise((resolve) => waiting.push(() => resolve(fault?.(entries))))
    },
  })
  return {
    ledger,
    batches,
    async letOne() {
      for (let turns = 0; waiting.length === 0; turns++) {
        if (turns > 1_000) throw new Error('no batch came')
        await Promise.resolve()
      }
      waiting.shift()?.()
    },
  }
}

async function fenceOf(ledger: SimLedger, partition: number, host = 'h'): Promise<number> {
  const taken = await takeLease(ledger, partition, host, {
    clock: new SimClock(),
    mayTakeFrom: () => true,
  })
  return taken.sequence
}

t.test('while one batch is under way the next gathers', async (t) => {
  const { ledger, batches, letOne } = gated()
  const group = new GroupCommit({ ledger })
  const fence = await fenceOf(ledger, 1)
  const outcomes = [added(group, [entry(1, fence, 'a')]), added(group, [entry(1, fence, 'b')])]
  await Promise.resolve()
  for (let i = 0; i < 10; i++)
    outcomes.push(
      added(group, [entry(1, fence, `${i}`), { subject: 'out.A', data: Buffer.from('d') }]),
    )
  t.match(group.counts, { inFlight: 1, queuedAdditions: 10, queuedBytes: 20 })
  await letOne()
  await letOne()
  t.strictSame(
    (await Promise.all(outcomes)).map(
      (outcome) => outcome.refused === undefined && outcome.firstSequence - fence,
    ),
    [1, 2, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21],
    'each is told its own first sequence',
  )
  t.strictSame(batches, [2, 20])
  t.match(group.counts, {
    batches: 2,
    entries: 22,
    inFlight: 0,
    queuedAdditions: 0,
    queuedBytes: 0,
  })
  await group.idle()
})

t.test('batches are bounded by messages and octets; an addition is never split', async (t) => {
  const { ledger, batches, letOne } = gated()
  const group = new GroupCommit({ ledger, batchMessagesMax: 5, batchBytesMax: 1_000 })
  const fence = await fenceOf(ledger, 1)
  const three = () => [entry(1, fence), entry(1, fence), entry(1, fence)]
  const outcomes = [
    added(group, three()),
    added(group, three()),
    added(group, [entry(1, fence, '', 900)]),
    added(group, [entry(1, fence, '', 200)]),
  ]
  const idle = group.idle()
  for (let i = 0; i < 3; i++) await letOne()
  for (const outcome of await Promise.all(outcomes)) t.equal(outcome.refused, undefined)
  t.strictSame(
    batches,
    [3, 4, 1],
    'three and three are more than five; 900 and 200 octets more than 1,000',
  )
  await idle
})

t.test('an addition that can never fit is refused, with what is chained behind it', async (t) => {
  const { ledger, letOne } = gated()
  const group = new GroupCommit({ ledger, batchMessagesMax: 2 })
  const fence = await fenceOf(ledger, 1)
  const other = await fenceOf(ledger, 2)
  const large = added(group, [entry(1, fence), entry(1, fence), entry(1, fence)])
  const behind = added(group, [entry(1, fence)])
  const free = added(group, [entry(2, other)])
  await letOne()
  t.match(await large, { refused: 'too-large' })
  t.match(await behind, { refused: 'too-large', detail: /^behind/ })
  t.equal((await free).refused, undefined)
})

t.test('a lost lease stops its partition and no other', async (t) => {
  const { ledger, letOne } = gated()
  const group = new GroupCommit({ ledger })
  const fences = [await fenceOf(ledger, 0), await fenceOf(ledger, 1), await fenceOf(ledger, 2)]
  await fenceOf(ledger, 1, 'thief')
  const outcomes = [0, 1, 2, 0, 1].map((partition) =>
    added(group, [entry(partition, fences[partition]!, `${partition}`)]),
  )
  await Promise.resolve()
  const late = added(group, [entry(1, fences[1]!, 'late')])
  // The whole batch, then each of three partitions by itself.
  for (let i = 0; i < 4; i++) await letOne()
  t.strictSame(
    (await Promise.all(outcomes)).map(({ refused }) => refused),
    [undefined, 'fence', undefined, undefined, 'fence'],
  )
  t.match(await late, { refused: 'fence', detail: /^behind/ })
})

t.test('an addition made in reaction to a refusal starts afresh', async (t) => {
  let isFirst = true
  const { ledger, letOne } = gated(() => {
    const fault = isFirst ? ({ refuse: 'unknown' } as const) : undefined
    isFirst = false
    return fault
  })
  const group = new GroupCommit({ ledger })
  const fence = await fenceOf(ledger, 1)
  const again = new Promise<AdditionOutcome>((resolve) => {
    group.add([entry(1, fence, 'a')], 1, (outcome) => {
      t.equal(outcome.refused, 'unknown')
      group.add([entry(1, fence, 'a again')], 7, resolve)
    })
  })
  await Promise.resolve()
  const behind = added(group, [entry(1, fence, 'b')])
  await letOne()
  t.match(await behind, { refused: 'unknown', detail: /^behind/ })
  await letOne()
  t.equal((await again).refused, undefined)
  t.strictSame(
    ledger
      .all()
      .slice(1)
      .map(({ data }) => data.toString()),
    ['a again'],
  )
})

for (const batchesInFlightMax of [1, 2, 3]) {
  t.test(`property: chains stay whole under faults, ${batchesInFlightMax} under way`, async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.array(fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }), {
          minLength: 1,
          maxLength: 60,
        }),
        async (seed, plan) => {
          const random = seededRandom(seed)
          const ledger = new SimLedger({
            onCommit: async (entries) => {
              // Batches overtake each other when they may.
              for (let turns = Math.floor(random.fraction() * 6); turns > 0; turns--)
                await Promise.resolve()
              if (entries.some(({ subject }) => subject.startsWith('lease.'))) return undefined
              const dice = random.fraction()
              return dice < 0.1
                ? { refuse: 'full' }
                : dice < 0.2
                  ? { refuse: 'unknown' }
                  : undefined
            },
          })
          const group = new GroupCommit({ ledger, batchesInFlightMax, batchMessagesMax: 7 })
          const fences = await Promise.all(
            [0, 1, 2, 3].map((partition) => fenceOf(ledger, partition)),
          )
          const next = [0, 0, 0, 0]
          const settled: string[] = []
          for (const partitions of plan) {
            const distinct = [...new Set(partitions)]
            const base = distinct.map((partition) => next[partition]!)
            const entries = distinct.map((partition) =>
              entry(partition, fences[partition]!, `${next[partition]!++}`),
            )
            group.add(entries, entries.length, (outcome) => {
              if (outcome.refused === undefined) {
                settled.push(...distinct.map((partition, i) => `${partition}:${base[i]!}`))
                return
              }
              // The partition goes back to what is written, as a host does. Nothing is in doubt
              // here: the simulation's `unknown` is unwritten.
              distinct.forEach(
                (partition, i) => (next[partition] = Math.min(next[partition]!, base[i]!)),
              )
            })
            for (let turns = Math.floor(random.fraction() * 8); turns > 0; turns--)
              await Promise.resolve()
          }
          await group.idle()
          const chains = [0, 0, 0, 0]
          const held: string[] = []
          for (const { subject, data } of ledger.all()) {
            if (!subject.startsWith('log.')) continue
            const partition = Number(subject.slice(4))
            if (Number(data.toString()) !== chains[partition]!++)
              throw new Error(`a gap in ${subject}`)
            held.push(`${partition}:${data.toString()}`)
          }
          if (held.toSorted().join() !== settled.toSorted().join())
            throw new Error('told and written differ')
          if (group.counts.inFlight !== 0 || group.counts.queuedBytes !== 0)
            throw new Error('something is left')
        },
      ),
      { numRuns: 300 },
    )
    t.pass()
  })
}
