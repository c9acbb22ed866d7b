/**
 * Letters between actors: written with the facts of their sender, decided once with the facts that
 * they lead to, in order, through a crash; one that fails is parked and holds up no other.
 */
import t from 'tap'
import { actorIdOf, ActorKindNumber } from '../../../core/base/actor-id.ts'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { lettersSubject, partitionOfLetters } from '../../../core/cluster/letters-subject.ts'
import { chainLinkBytes, forEachEnvelope, FrameWriter } from '../../../core/envelope/frame.ts'
import { readLetter, writeLetter } from '../../../core/envelope/letter.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { readKind, readTarget } from '../../../core/envelope/envelope.ts'
import { readTickMessage } from '../../../core/envelope/tick-message.ts'
import { letterboxKind } from '../../../actors/kind/letterbox.ts'
import { checkDecision } from '../../../actors/runtime/partition/letters.ts'
import { deviceKey, envelopeOf } from '../../support/envelopes.ts'
import { hostedTrial, readAdded } from '../../support/trial-kind.ts'
import { numberOf, settle, World } from '../../support/world.ts'

/** Trials beside two devices of different partitions, and a third beside the first. */
const one = deviceKey(0)
const other = Array.from({ length: 20 }, (_, index) => deviceKey(index + 1)).find(
  (device) => numberOf(device) !== numberOf(one),
)!

/** Of the same partition as `other`. */
const neighbour = Array.from({ length: 40 }, (_, index) => deviceKey(index + 1)).find(
  (device) => device !== other && numberOf(device) === numberOf(other),
)!

/** Adds `counter` to the trial of `device`, which tells that of `to`, and so on `left` times. */
const add = (device: Eui64, counter: number, to: Eui64, left: number): Buffer =>
  envelopeOf({
    kind: Kind.TRIAL_ADD,
    device,
    counter,
    correlation: counter,
    body: Buffer.concat([Buffer.from(to, 'latin1'), Buffer.of(left)]),
  })

/** Values that were added, by device, in the order of the ledger. */
function added(world: World): Map<Eui64, number[]> {
  const found = new Map<Eui64, number[]>()
  for (const { subject, data } of world.ledger.all()) {
    if (!subject.startsWith('log.')) continue
    const onFacts = (_partition: number, frame: Buffer): void =>
      forEachEnvelope(frame, chainLinkBytes, (at) => {
        if (readKind(frame, at) !== Kind.TRIAL_ADDED) return
        const device = readTarget(frame, at)
        found.set(device, [...(found.get(device) ?? []), readAdded(frame, at).value])
      })
    readTickMessage(data, onFacts, undefined)
  }
  return found
}

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
  const state = { place: { sequence: 2 ** 40, index: 3 }, skipped: 0 }
  t.same(letterboxKind.unpackState(letterboxKind.packState(state)), state)
  t.same(
    letterboxKind.unpackState(letterboxKind.packState(letterboxKind.emptyState())),
    letterboxKind.emptyState(),
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
    const frame = new FrameWriter()
    const bodyView = Buffer.alloc(5)
    bodyView.writeUInt32BE(13 * 16 + 1, 0)
    const from = actorIdOf(ActorKindNumber.TRIAL, one)
    const to = actorIdOf(ActorKindNumber.TRIAL, other)
    const letter = { from, hops: 1, time: 0, bodyView }
    writeLetter(frame, { ...letter, to })
    const good = Buffer.alloc(5)
    good.writeUInt32BE(4_000, 0)
    writeLetter(frame, { ...letter, to, bodyView: good })
    const subject = lettersSubject(numberOf(other))
    await world.ledger.commit([{ subject, data: frame.take() }])
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
            const { place, isParked } = letterboxKind.readFact(facts, at)
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
async function write(world: World, values: readonly number[], kind = 15): Promise<void> {
  const frame = new FrameWriter()
  for (const value of values) {
    const bodyView = Buffer.alloc(5)
    bodyView.writeUInt32BE(value, 0)
    const from = actorIdOf(ActorKindNumber.TRIAL, one)
    writeLetter(frame, { from, to: actorIdOf(kind, other), hops: 1, time: 0, bodyView })
  }
  await world.ledger.commit([{ subject: lettersSubject(numberOf(other)), data: frame.take() }])
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
