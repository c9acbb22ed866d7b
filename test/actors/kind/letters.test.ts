/**
 * Letters between actors: written with the facts of their sender, decided once with the facts that
 * they lead to, in order, through a crash; one that fails is parked and holds up no other.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { actorIdOf, ActorKindNumber } from '../../../core/base/actor-id.ts'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { lettersSubject, partitionOfLetters } from '../../../core/cluster/letters-subject.ts'
import { chainLinkBytes, forEachEnvelope, FrameWriter } from '../../../core/envelope/frame.ts'
import { readLetter, writeLetter } from '../../../core/envelope/letter.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { readKind } from '../../../core/envelope/envelope.ts'
import { readTickMessage } from '../../../core/envelope/tick-message.ts'
import { letterboxKind } from '../../../actors/kind/letterbox.ts'
import type { Tell } from '../../../actors/kind/letters.ts'
import { checkDecision } from '../../../actors/runtime/partition/letters.ts'
import { Tick } from '../../../actors/runtime/partition/tick.ts'
import type { ActorKind } from '../../../actors/kind/actor-kind.ts'
import { takeLease } from '../../../core/ledger/lease.ts'
import { noMetrics } from '../../../core/ports/metrics.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { deviceKey } from '../../support/envelopes.ts'
import { ActorTrial } from '../../support/actor-trial.ts'
import { hostedTrial, trialKind } from '../../support/trial-kind.ts'
import {
  add,
  addAlone,
  addedBy,
  lettersOf,
  neighbour,
  one,
  other,
} from '../../support/trial-letters.ts'
import { numberOf, partitionCount, settle, World } from '../../support/world.ts'

const added = (world: World): Map<Eui64, number[]> => addedBy(world.ledger.all())

const letters = (world: World): number =>
  world.ledger.all().filter(({ subject }) => partitionOfLetters(subject) !== undefined).length

async function turns(world: World, count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    world.clock.advanceBy(500)
    await settle()
  }
}

t.test('a letter as octets', async (t) => {
  const frame = new FrameWriter()
  const from = actorIdOf(ActorKindNumber.TRIAL, one)
  const letter = {
    from,
    to: other,
    hops: 3,
    time: 1_800_000_000_000,
    bodyView: Buffer.from('hello'),
  }
  writeLetter(frame, letter)
  t.same(readLetter(frame.take(), 0), letter)
  t.equal(partitionOfLetters(lettersSubject(7)), 7)
  t.equal(partitionOfLetters('meta.snapshot-7'), undefined)
})

t.test('a letterbox, replayed or through the store, is where it was', async () => {
  const letter = fc.record({ isWritten: fc.boolean(), isParked: fc.boolean(), index: fc.nat(9) })
  fc.assert(
    fc.property(fc.array(letter, { maxLength: 200 }), fc.nat(50), (letters, storedAt) => {
      const trial = new ActorTrial(letterboxKind, one)
      let sequence = 2 ** 40
      for (const { isWritten, isParked, index } of letters) {
        const place = { sequence: ++sequence, index }
        const about = { sender: other, place, isWritten: isWritten || isParked, isParked }
        trial.feed({ type: 'LETTER_DECIDED', ...about }, sequence)
      }
      trial.feed({ type: 'WAKE' }, sequence + limits.lettersPlaceMs)
      if (letters.length > 0) assert.equal(trial.state.place.sequence, sequence)
      trial.try(storedAt)
    }),
  )
})

t.test('a trial, replayed or through the store, has its sum', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(200), { maxLength: 50 }), fc.nat(50), (counters, storedAt) => {
      const trial = new ActorTrial(trialKind, one)
      for (const counter of counters) {
        const buffer = addAlone(one, counter)
        const message = { type: 'ARRIVED', buffer, at: 0, replyTo: undefined } as const
        if (counter !== 13) trial.feed(message, counter)
      }
      trial.try(storedAt)
    }),
  )
})

t.test('actors of two partitions tell one another, each once and in order', async (t) => {
  const world = new World({ moreKinds: [hostedTrial] })
  await world.start()
  await world.ask([add(one, 1, other, 3), add(one, 2, other, 0)])
  await turns(world, 20)
  t.strictSame(added(world).get(one), [1, 2, 18, 20])
  t.strictSame(added(world).get(other), [17, 33, 19])
  t.equal(letters(world), 4, 'those of one tick to one partition are one message')
})

t.test('what was told before a crash is decided after it, once', async (t) => {
  let isCut = false
  const world = new World({
    moreKinds: [hostedTrial],
    onCommit: () => (isCut ? { refuse: 'unknown' } : undefined),
  })
  await world.start()
  await world.ask([add(one, 1, other, 0)])
  await turns(world, 5)
  t.strictSame(added(world).get(other), [17])
  for (let life = 0; life < 3; life++) {
    await world.ask([add(one, 2 + life, other, 0)])
    isCut = true
    await turns(world, 2)
    world.kill()
    if (life === 1) world.stores.clear()
    isCut = false
    await world.start()
    await turns(world, 10)
  }
  t.strictSame(added(world).get(other), [17, 33, 49, 65])
  world.kill()
  await world.start()
  await turns(world, 10)
  t.strictSame(added(world).get(other), [17, 33, 49, 65], 'nothing is decided again')
})

t.test(
  'a letter on which its addressee fails is parked by a fact, and the next is decided',
  async (t) => {
    const world = new World({ moreKinds: [hostedTrial] })
    await world.start()
    await world.ask([add(one, 14, other, 0)])
    await turns(world, 5)
    t.strictSame(added(world).get(other), [225])
    const before = world.ledger.all().length
    await write(world, [13 * 16 + 1, 4_000])
    await turns(world, 10)
    t.strictSame(added(world).get(other), [225, 4_000])
    const read: Array<{ index: number; isParked: boolean }> = []
    for (const { subject: its, data } of world.ledger.all().slice(before)) {
      if (!its.startsWith('log.')) continue
      readTickMessage(
        data,
        (_partition, facts) =>
          forEachEnvelope(facts, chainLinkBytes, (at) => {
            if (readKind(facts, at) !== Kind.LETTERS_READ) return
            const fact = letterboxKind.readFact(facts, at)
            if (fact.type !== 'LETTERS_READ') return
            const { place, isParked } = fact
            read.push({ index: place.index, isParked })
          }),
        undefined,
      )
    }
    t.strictSame(read, [
      { index: 0, isParked: true },
      { index: 1, isParked: false },
    ])
  },
)

/** Writes letters of these values to the trial of `other`, as a host does. */
async function write(world: World, values: readonly number[], kind?: number): Promise<void> {
  await world.ledger.commit([lettersOf(values, kind === undefined ? {} : { kind })])
}

t.test('letters that lead to nothing move the place on, also while everybody sleeps', async (t) => {
  const world = new World({ moreKinds: [hostedTrial] })
  await world.start()
  await write(world, [17])
  await turns(world, 5)
  await write(world, [0, 0, 0])
  await turns(world, 5)
  // Long enough for every idle actor to be put to sleep at the saves that other work causes.
  for (let minute = 0; minute < 4; minute++) {
    await world.ask([add(neighbour, 20 + minute, one, 0)])
    await turns(world, 130)
  }
  await write(world, [33])
  await turns(world, 10)
  t.strictSame(added(world).get(other), [17, 33])
  const before = world.ledger.all().length
  await write(
    world,
    Array.from({ length: limits.lettersSkippedMax + 1 }, () => 0),
  )
  await turns(world, 10)
  const ticks = world.ledger
    .all()
    .slice(before)
    .filter(({ subject }) => subject === 'log.a')
  t.equal(ticks.length, 1, 'the place is written now and then')
})

t.test(
  'a letter to a kind of a later version stops the letters of its partition by name',
  async (t) => {
    const world = new World({ moreKinds: [hostedTrial] })
    const host = await world.start()
    await write(world, [17], 99)
    await write(world, [33])
    await turns(world, 5)
    t.match(host.trouble, /FORMAT_VERSION_LATER: .*a letter to the actor 99/)
    t.equal(added(world).get(other), undefined, 'none is passed over')
  },
)

t.test('what a decision may send', async (t) => {
  const to = other
  const tell = (bytes: number) => ({ type: 'TELL', to, bodyBytes: Buffer.alloc(bytes) }) as const
  const facts = [{ type: 'ANY' }]
  const out = { facts, deliveries: [], effects: [tell(limits.letterBytesMax)] }
  const place = { sequence: 1, index: 0 }
  const message = { type: 'NEXT' } as const
  t.doesNotThrow(() => checkDecision(out, message))
  t.throws(() => checkDecision({ ...out, effects: [tell(limits.letterBytesMax + 1)] }, message))
  t.throws(() => checkDecision({ ...out, facts: [] }, message), 'no letter without a fact')
  const many = Array.from({ length: limits.lettersPerDecisionMax + 1 }, () => tell(1))
  t.throws(() => checkDecision({ ...out, effects: many }, message))
  const came = {
    type: 'LETTER',
    from: one,
    place,
    previous: place,
    bodyBytes: Buffer.alloc(0),
  } as const
  t.doesNotThrow(() => checkDecision(out, { ...came, hops: limits.letterHopsMax - 1 } as never))
  t.throws(() => checkDecision(out, { ...came, hops: limits.letterHopsMax } as never))
})

t.test('letters of one partition that are in hand are bounded', async (t) => {
  const held: Array<() => void> = []
  let isHeld = false
  let inHand = (): number => 0
  const world = new World({
    moreKinds: [hostedTrial],
    metrics: {
      ...noMetrics,
      gauge(name, _help, read) {
        if (name === 'busbar_letters_in_hand') inHand = read
      },
    },
    onCommit: async ([first]) => {
      if (isHeld && first!.subject === 'log.a')
        await new Promise<void>((resolve) => held.push(resolve))
      return undefined
    },
  })
  await world.start()
  const values = Array.from(
    { length: 2 * limits.lettersInHandMax + 10 },
    (_, index) => 1_000 + index,
  )
  isHeld = true
  // The first tick is under way while the letters are read.
  void world.ask([add(neighbour, 1, neighbour, 0)])
  await turns(world, 2)
  t.equal(held.length, 1)
  await write(world, values)
  await turns(world, 10)
  t.equal(inHand(), limits.lettersInHandMax)
  isHeld = false
  for (const go of held) go()
  await turns(world, 10)
  t.equal(inHand(), 0)
  t.strictSame(added(world).get(other), values)
})

t.test(
  'a tick is full before its letters go to more partitions than a commit has messages',
  async (t) => {
    const tick = new Tick()
    const partitionCount = 100_000
    const from = actorIdOf(ActorKindNumber.TRIAL, one)
    let index = 0
    const tell = (): void =>
      tick.tell(partitionCount, {
        from,
        to: actorIdOf(ActorKindNumber.TRIAL, deviceKey(index++)),
        hops: 1,
        time: 0,
        bodyView: Buffer.alloc(0),
      })
    while (!tick.isFullWith(0)) tell()
    const partitions = tick.entriesBeside().length
    t.ok(partitions > 700, `${partitions} partitions in one tick`)
    // A decision that was begun before, and what followed from it, still fit.
    for (let more = 0; more < 2 * limits.lettersPerDecisionMax; more++) tell()
    t.ok(1 + tick.entriesBeside().length <= limits.ledgerBatchMessagesMax)
    tick.release()
  },
)

t.test(
  'what an actor says when a message is parked is checked; a second fault parks it with nothing',
  async (t) => {
    const faults = ['letter too large', 'letter without a fact', 'park throws']
    for (const what of faults) {
      const bodyBytes = Buffer.alloc(what === 'letter too large' ? limits.letterBytesMax + 1 : 1)
      const kind: ActorKind = {
        ...(hostedTrial.kind as ActorKind),
        park(_state, _message, now, out) {
          if (what === 'park throws') throw new TypeError('poison, twice')
          const isFact = what === 'letter too large'
          const fact = { type: 'TRIAL_ADDED', value: 5, sum: 5, wakeAt: now, isWake: false }
          if (isFact) out.facts.push(fact)
          const to = actorIdOf(ActorKindNumber.TRIAL, other)
          const tell: Tell = { type: 'TELL', to, bodyBytes }
          out.effects.push(tell)
        },
      }
      const world = new World({ moreKinds: [{ ...hostedTrial, kind }] })
      await world.start()
      // 13 is what trials fail on.
      t.equal((await world.ask([add(one, 13, other, 0)]))?.get(13), 'DEVICE_ACTOR_PARKED', what)
      t.equal(letters(world), 0, `${what}: no letter is sent`)
      t.equal(added(world).size, 0)
      t.equal((await world.ask([add(one, 14, other, 0)]))?.get(14), 'REQUEST_ACCEPTED')
      await turns(world, 5)
      t.strictSame(added(world).get(other), [14 * 16 + 1], 'the host goes on')
    }
  },
)

t.test(
  'letters that wait in the ledger are counted while they wait, and not read twice',
  async (t) => {
    const gauges = new Map<string, () => number>()
    let counted = 0
    let isHeld = false
    let go = (): void => {}
    const world = new World({
      moreKinds: [hostedTrial],
      metrics: { ...noMetrics, gauge: (name, _help, read) => void gauges.set(name, read) },
      onCommit: async ([first]) => {
        if (isHeld && first!.subject === 'log.a')
          await new Promise<void>((resolve) => (go = resolve))
        return undefined
      },
      ledgerChanges: (ledger) => ({
        read: (subject, from, onMessage) =>
          ledger.read(subject, from, (message) => {
            if (partitionOfLetters(subject) !== undefined) counted++
            return onMessage(message)
          }),
      }),
    })
    await world.start()
    const unread = gauges.get('busbar_letters_unread')!
    await world.ask([add(one, 1, other, 2)])
    await turns(world, 10)
    for (let counter = 20; counter < 40; counter++) {
      await world.ask([add(one, counter, other, 2)])
      await turns(world, 1)
    }
    await turns(world, 10)
    t.equal(added(world).get(other)!.length, 2 * 21)
    t.equal(counted, 0, 'none has waited')
    t.equal(unread(), 0)
    isHeld = true
    void world.ask([add(neighbour, 50, neighbour, 0)])
    await turns(world, 1)
    const writeMore = async (from: number, count: number): Promise<number[]> => {
      const values = Array.from({ length: count }, (_, index) => from + index)
      for (const value of values) await write(world, [value])
      await turns(world, (2 * limits.lettersCountMs) / 500 + 1)
      return values
    }
    const values = await writeMore(2_000, limits.lettersInHandMax + 100)
    t.equal(unread(), values.length)
    t.equal(counted, 101, 'from the message on which the reading stands')
    values.push(...(await writeMore(3_000, 50)))
    t.equal(unread(), values.length)
    t.equal(counted, 151, 'what was counted before is not read again')
    isHeld = false
    go()
    await turns(world, 20)
    t.strictSame(
      added(world)
        .get(other)!
        .slice(2 * 21),
      values,
    )
    t.equal(unread(), 0)
  },
)

t.test('a host follows the letters to its own partitions, each once, and no others', async (t) => {
  const open = new Map<string, number>()
  const world = new World({
    moreKinds: [hostedTrial],
    ledgerChanges: (ledger) => ({
      follow: async (subject, from, onMessage) => {
        open.set(subject, (open.get(subject) ?? 0) + 1)
        const follower = await ledger.follow(subject, from, onMessage)
        return {
          close: async () => {
            open.set(subject, open.get(subject)! - 1)
            await follower.close()
          },
        }
      },
    }),
  })
  const followed = (): string[] =>
    [...open].flatMap(([subject, times]) => Array.from({ length: times }, () => subject)).sort()
  const host = await world.start()
  await turns(world, 2)
  t.strictSame(followed(), host.owned.map(lettersSubject).sort())
  t.equal(followed().length, partitionCount)
  // Another host takes one of them.
  const lost = numberOf(other)
  const random = seededRandom(9)
  const mayTakeFrom = (): boolean => true
  const { clock } = world
  await takeLease(world.ledger, lost, 'b', { mayTakeFrom, clock, random })
  await world.ask([addAlone(one, 1)])
  await turns(world, 10)
  t.notOk(host.owned.includes(lost))
  t.strictSame(followed(), host.owned.map(lettersSubject).sort())
  const closing = host.close()
  await turns(world, 4)
  await closing
  t.strictSame(followed(), [])
})
