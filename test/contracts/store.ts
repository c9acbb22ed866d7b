/**
 * What every PartitionStore does, in memory and on LMDB alike. `create` gives an empty one each
 * time.
 */
import fc from 'fast-check'
import type { Test } from 'tap'
import { actorIdOf } from '../../core/base/actor-id.ts'
import { readEui64, type Eui64 } from '../../core/base/eui64.ts'
import type { Checkpoint, PartitionStore } from '../../core/ports/store.ts'

const device = (number: number): Eui64 => {
  const bytes = Buffer.alloc(8, 0xf0)
  bytes.writeUInt32BE(number, 4)
  return readEui64(bytes)
}
const mark = (sequence: number): Checkpoint => ({
  sequence,
  frameSequence: sequence,
  frameNumber: sequence * 2,
  hash: Buffer.alloc(32, sequence),
})
const nothing = new Map<Eui64, never>()

export function storeContract(t: Test, create: () => PartitionStore): void {
  t.test('an empty store', async (t) => {
    const store = create()
    t.equal(store.checkpoint(), undefined)
    t.equal(store.load(device(1)), undefined)
    t.equal(store.nextWakeMs(), undefined)
    t.strictSame(store.dueWakes(Number.MAX_SAFE_INTEGER, 10), [])
    t.equal(store.isEmpty(), true)
    await store.close()
  })

  t.test('actors of several kinds under the same octets are apart, in order', async (t) => {
    const store = create()
    const [one, other] = [actorIdOf(0, device(1)), actorIdOf(15, device(1))]
    await store.save({
      states: new Map([
        [other, Buffer.from('other')],
        [one, Buffer.from('one')],
        [actorIdOf(1, device(0)), Buffer.from('first')],
      ]),
      wakes: new Map([
        [other, 40],
        [one, 50],
      ]),
      checkpoint: mark(1),
    })
    t.equal(Buffer.from(store.load(one)!).toString(), 'one')
    t.equal(Buffer.from(store.load(other)!).toString(), 'other')
    t.strictSame(store.dueWakes(100, 10), [
      { actor: other, atMs: 40 },
      { actor: one, atMs: 50 },
    ])
    const copy = store.copy()!
    t.strictSame(
      Array.from(copy.records(), ({ actor, state, wakeAtMs }) => [
        actor,
        Buffer.from(state).toString(),
        wakeAtMs,
      ]),
      [
        [actorIdOf(1, device(0)), 'first', 0],
        [one, 'one', 50],
        [other, 'other', 40],
      ],
    )
    copy.close()
    await store.save({ states: new Map(), wakes: new Map([[other, 0]]), checkpoint: mark(2) })
    t.strictSame(store.dueWakes(100, 10), [{ actor: one, atMs: 50 }])
    await store.close()
  })

  t.test('states, wakes and checkpoint of a save are there together', async (t) => {
    const store = create()
    const states = new Map([
      [device(1), Buffer.from('one')],
      [device(2), Buffer.alloc(0)],
    ])
    await store.save({ states, wakes: new Map([[device(1), 50]]), checkpoint: mark(7) })
    t.same(Buffer.from(store.load(device(1))!).toString(), 'one')
    t.equal(store.load(device(2))?.length, 0)
    t.equal(store.isEmpty(), false)
    const found = store.checkpoint()
    t.same({ ...found, hash: Buffer.from(found!.hash) }, mark(7))
    await store.save({
      states: new Map([[device(1), Buffer.from('uno')]]),
      wakes: nothing,
      checkpoint: mark(8),
    })
    t.same(Buffer.from(store.load(device(1))!).toString(), 'uno')
    t.equal(store.isEmpty(), false)
    t.equal(store.checkpoint()?.sequence, 8)
    t.strictSame(store.dueWakes(50, 10), [{ actor: device(1), atMs: 50 }])
    await store.clear()
    t.equal(store.checkpoint(), undefined)
    t.equal(store.isEmpty(), true)
    t.equal(store.nextWakeMs(), undefined)
    await store.close()
  })

  t.test('copies that are given up in the middle hold nothing', async (t) => {
    const store = create()
    const states = new Map([1, 2, 3].map((i) => [device(i), Buffer.from(`state ${i}`)] as const))
    const wakes = new Map([1, 2, 3].map((i) => [device(i), i] as const))
    await store.save({ states, wakes, checkpoint: mark(1) })
    // More often than a store has places for readers.
    for (let round = 0; round < 200; round++) {
      const copy = store.copy()!
      for (const record of copy.records()) {
        if (record.wakeAtMs !== 1) t.fail('the first device first')
        break
      }
      copy.close()
    }
    const whole = store.copy()!
    t.equal([...whole.records()].length, 3)
    whole.close()
    await store.close()
  })

  t.test('a copy stays as it was, whatever is saved meanwhile', async (t) => {
    const store = create()
    t.equal(store.copy(), undefined, 'of an empty store there is none')
    const states = new Map(
      Array.from({ length: 300 }, (_, i) => [device(i), Buffer.from(`state ${i}`)] as const),
    )
    const wakes = new Map([
      [device(3), 33],
      [device(299), 44],
    ])
    await store.save({ states, wakes })
    t.equal(store.copy(), undefined, 'nor before there is a checkpoint')
    await store.save({ states: nothing, wakes: nothing, checkpoint: mark(5) })
    const copy = store.copy()!
    const reading = copy.records()[Symbol.iterator]()
    const records = [reading.next().value!].map(({ actor, state, wakeAtMs }) => ({
      actor,
      text: Buffer.from(state).toString(),
      wakeAtMs,
    }))
    await store.save({
      states: new Map([...states.keys()].map((key) => [key, Buffer.from('later')])),
      wakes: new Map([
        [device(3), 0],
        [device(7), 1],
      ]),
      checkpoint: mark(6),
    })
    for (let next = reading.next(); next.done !== true; next = reading.next())
      records.push({
        actor: next.value.actor,
        text: Buffer.from(next.value.state).toString(),
        wakeAtMs: next.value.wakeAtMs,
      })
    t.same({ ...copy.checkpoint, hash: Buffer.from(copy.checkpoint.hash) }, mark(5))
    t.strictSame(
      records,
      [...states].map(([key, state]) => ({
        actor: key,
        text: state.toString(),
        wakeAtMs: wakes.get(key) ?? 0,
      })),
    )
    copy.close()
    t.equal(store.copy()!.checkpoint.sequence, 6)
    await store.clear()
    t.equal(store.copy(), undefined)
    await store.close()
  })

  t.test('saves that overlap are applied in the order they were asked for', async (t) => {
    const store = create()
    const saves = Array.from({ length: 20 }, (_, i) =>
      store.save({
        states: new Map([[device(1), Buffer.of(i)]]),
        wakes: new Map([[device(1), 1_000 - i]]),
        checkpoint: mark(i),
      }),
    )
    await Promise.all(saves)
    t.equal(store.load(device(1))?.[0], 19)
    t.strictSame(
      store.dueWakes(Number.MAX_SAFE_INTEGER, 10),
      [{ actor: device(1), atMs: 981 }],
      'one wake a device',
    )
    t.equal(store.checkpoint()?.sequence, 19)
    t.equal(store.isEmpty(), false)
    await store.close()
  })

  t.test('property: the wake index is the newest wake of each device, by time', async () => {
    const store = create()
    const newest = new Map<Eui64, number>()
    let sequence = 0
    const wakes = fc.array(
      fc.tuple(
        fc.nat(30),
        fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 }), fc.constant(2 ** 48)),
      ),
    )
    await fc.assert(
      fc.asyncProperty(wakes, fc.nat(70), fc.nat(12), async (changes, untilMs, count) => {
        const map = new Map(changes.map(([number, atMs]) => [device(number), atMs]))
        await store.save({ states: nothing, wakes: map, checkpoint: mark(++sequence % 200) })
        for (const [key, atMs] of map) {
          if (atMs === 0) newest.delete(key)
          else newest.set(key, atMs)
        }
        const all = [...newest]
          .map(([key, atMs]) => ({ actor: key, atMs }))
          .sort((a, b) => a.atMs - b.atMs || (a.actor < b.actor ? -1 : 1))
        const due = all.filter(({ atMs }) => atMs <= untilMs).slice(0, count)
        const found = store.dueWakes(untilMs, count)
        if (JSON.stringify(found) !== JSON.stringify(due))
          throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(due)}`)
        const [first] = due
        const behind = first === undefined ? [] : store.dueWakes(untilMs, count, first)
        const rest = all.filter(({ atMs }) => atMs <= untilMs).slice(1, count + 1)
        if (first !== undefined && JSON.stringify(behind) !== JSON.stringify(rest))
          throw new Error(
            `${JSON.stringify(behind)} is not ${JSON.stringify(rest)}, behind the first`,
          )
        if (store.nextWakeMs() !== all[0]?.atMs) throw new Error('next wake')
        if (store.dueWakes(Number.MAX_SAFE_INTEGER, 1_000_000).length !== all.length)
          throw new Error('all wakes')
      }),
      { numRuns: 60 },
    )
    await store.close()
  })
}
