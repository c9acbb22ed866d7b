/**
 * Letters and what the ledger forgets: read letters go behind the snapshot of their partition,
 * unread ones stay with the tick that sent them, and a backup has all that are unread, each at its
 * place.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { emptyDirectory } from '../../../core/access/directory.ts'
import { backup, firstSequenceOf, restore } from '../../../actors/cli/operator/backup.ts'
import { auditOf } from '../../../actors/cli/operator/ledger-commands.ts'
import { setLettersAside } from '../../../actors/cli/operator/letters-commands.ts'
import type { Acknowledge, ActorEffect } from '../../../actors/kind/effects.ts'
import { letterboxKind, type LetterboxFact } from '../../../actors/kind/letterbox.ts'
import {
  decodeLettersAside,
  encodeLettersAside,
  type LettersAside,
} from '../../../actors/kind/letters-aside.ts'
import type { Arrived } from '../../../actors/kind/messages.ts'
import { trimRecordOf } from '../../../actors/runtime/recovery/trimmed-history.ts'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import { limits } from '../../../core/base/limits.ts'
import { lettersSubject, partitionOfLetters } from '../../../core/cluster/letters-subject.ts'
import { FrameWriter } from '../../../core/envelope/frame.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { noMetrics, type Metrics } from '../../../core/ports/metrics.ts'
import { SimCursorStore, SimLedger } from '../../../core/ports/sim/ledger.ts'
import { SimSnapshotStore } from '../../../core/ports/sim/snapshots.ts'
import { envelopeOf } from '../../support/envelopes.ts'
import { ledgerOver } from '../../support/pass-through.ts'
import { hostedTrial } from '../../support/trial-kind.ts'
import {
  add,
  addAlone,
  addedBy,
  addedIn,
  lettersOf,
  one,
  other,
} from '../../support/trial-letters.ts'
import { numberOf, partitionCount, settle, World, type WorldOptions } from '../../support/world.ts'

const bytesMax = 400_000

/** A world whose hosts make snapshots often, over a small ledger. */
const smallWorld = (options: WorldOptions = {}): World =>
  new World({
    moreKinds: [hostedTrial],
    snapshots: new SimSnapshotStore(),
    cursors: new SimCursorStore(),
    snapshotTicks: 10,
    ledgerBytesMax: bytesMax,
    ...options,
  })

/** While `isDeaf()`, hosts do not get to read letters. */
const deafWhile = (isDeaf: () => boolean): Pick<WorldOptions, 'ledgerChanges'> => ({
  ledgerChanges: (ledger) => ({
    read: (subject, from, onMessage) =>
      isDeaf() && partitionOfLetters(subject) !== undefined
        ? new Promise<never>(() => {})
        : ledger.read(subject, from, onMessage),
    follow: (subject, from, onMessage) =>
      ledger.follow(subject, from, (message) => {
        if (!isDeaf() || partitionOfLetters(message.subject) === undefined)
          return onMessage(message)
        return undefined
      }),
  }),
})

async function turns(world: World, count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    world.clock.advanceBy(500)
    await settle()
  }
}

/** Letters that are still in the ledger, by sequence. */
const kept = (world: World): number[] =>
  world.ledger
    .all()
    .filter(({ subject }) => partitionOfLetters(subject) !== undefined)
    .map(({ sequence }) => sequence)
    .filter((sequence) => !world.ledger.isForgotten(sequence))

const through = async (world: World): Promise<number> => (await trimRecordOf(world.ledger)).through

/** Writes ticks until the ledger is short of room, and lets the host forget what it may. */
async function fill(world: World, from: number): Promise<number> {
  let counter = from
  for (let isShort = false; !isShort;) {
    const frame = Array.from({ length: 100 }, () => addAlone(one, counter++))
    await world.ask(frame)
    await turns(world, 1)
    const { bytes } = await world.ledger.usage()
    isShort = bytes * 100 > bytesMax * limits.ledgerTrimPercent
  }
  // What follows carries the snapshots of all partitions on.
  for (let more = 0; more < 12; more++) {
    await world.ask([addAlone(one, counter++), addAlone(other, counter++)])
    await turns(world, 10)
  }
  return counter
}

t.test('letters are forgotten behind the snapshot of their partition', async (t) => {
  const world = smallWorld()
  await world.start()
  const first = 14
  for (let counter = first; counter < first + 40; counter++) {
    await world.ask([add(one, counter, other, 0)])
    await turns(world, 5)
  }
  const values = addedBy(world.ledger.all()).get(other)
  t.strictSame(
    values,
    Array.from({ length: 40 }, (_, index) => (first + index) * 16 + 1),
  )
  t.ok(kept(world).length < 20, `${kept(world).length} messages of 40 are left`)
  // What is left is enough for a host that has only snapshots and ledger.
  world.kill()
  world.stores.clear()
  await world.start()
  await turns(world, 10)
  t.strictSame(addedBy(world.ledger.all()).get(other), values, 'none is decided again')
})

t.test('letters that lead to nothing hold nothing up for long', async (t) => {
  const world = smallWorld()
  await world.start()
  await world.ask([add(one, 1, other, 0)])
  await turns(world, 5)
  await world.ledger.commit([lettersOf([0, 0])])
  const { sequence } = (await world.ledger.lastOn(lettersSubject(numberOf(other))))!
  await turns(world, 5)
  // Nothing else is sent to that partition.
  await turns(world, (2 * limits.lettersPlaceMs) / 500)
  for (let counter = 100; counter < 140; counter++) {
    await world.ask([addAlone(other, counter)])
    await turns(world, 5)
  }
  await fill(world, 1_000)
  t.ok((await through(world)) > sequence, 'their tick is forgotten')
})

t.test('a tick stays until its letters are read or set aside by an operator', async (t) => {
  const gauges = new Map<string, () => number>()
  let holding: Parameters<Metrics['gauges']>[2] = () => []
  const metrics: Metrics = {
    ...noMetrics,
    gauge: (name, _help, read) => void gauges.set(name, read),
    gauges: (name, _help, read) => {
      if (name === 'busbar_letters_holding_seconds') holding = read
    },
  }
  const folder = mkdtempSync(join(tmpdir(), 'busbar-letters-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const world = smallWorld({ metrics })
  let host = await world.start()
  const { ledger, bus } = world
  await world.ask([addAlone(one, 7)])
  await world.ask([addAlone(other, 8)])
  // Nobody here has such actors: a later version will read it.
  const sentAtMs = world.clock.now()
  await ledger.commit([lettersOf([17, 33], { kind: 99, time: sentAtMs })])
  await turns(world, 2)
  const [letter] = kept(world)
  t.match(host.trouble, /FORMAT_VERSION_LATER/)
  t.equal(host.lettersTrouble, undefined, 'it is not late yet')
  let counter = await fill(world, 1_000)
  while (host.lettersTrouble?.includes('trimmed') !== true) counter = await fill(world, counter)
  t.ok(world.clock.now() - sentAtMs >= limits.lettersLateMs)
  const held = await through(world)
  t.ok(held > 0, 'what stands before it is forgotten')
  t.ok(held < letter! - 1, `${held} is before the tick of the letters at ${letter}`)
  t.match((await ledger.at(letter! - 1))?.subject, /^log\./)

  const partition = numberOf(other)
  t.match(
    host.lettersTrouble,
    new RegExp(`^partition ${partition} has a letter .* which keeps the ledger from being trimmed`),
  )
  t.equal(gauges.get('busbar_letters_unread')!(), 2)
  t.ok(gauges.get('busbar_letters_oldest_seconds')!() > 10)
  const [series] = await holding()
  t.same(series?.labels, { partition: String(partition) })
  t.ok(series!.value > 10)

  // Another life finds them there.
  world.kill()
  host = await world.start()
  await turns(world, 3)
  t.equal(gauges.get('busbar_letters_unread')!(), 2)
  t.match(host.lettersTrouble, /^partition \d has a letter that is not read for \d+ s/)

  const file = join(folder, 'letters')
  const ports = { ledger, bus, partitionCount }
  const wanted = { partition, file, by: 'somebody' }
  const setting = setLettersAside(ports, wanted)
  await turns(world, 3)
  t.equal(await setting, 2)
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  t.match(first, { sequence: letter, index: 0, hops: 1, from: /^15\// })
  t.same(Buffer.from(String(second!['body']), 'base64').readUInt32BE(0), 33)
  t.equal(statSync(file).mode & 0o777, 0o600)
  const said: string[] = []
  await auditOf(ledger, ({ what, partition: its }) => void said.push(`${its} ${what}`))
  t.ok(
    said.includes(`${partition} LETTERS_SET_ASIDE 2 letters through ${letter}/1 by "somebody"`),
    said.join('\n'),
  )
  await turns(world, 5)
  t.equal(host.trouble, undefined)
  t.equal(gauges.get('busbar_letters_unread')!(), 0)
  await ledger.commit([lettersOf([49], { time: world.clock.now() })])
  await turns(world, 5)
  t.strictSame(addedBy(ledger.all()).get(other)?.includes(49), true, 'later ones are read')
  await fill(world, counter)
  t.ok((await through(world)) > letter!, 'the ledger is trimmed again')
  t.equal(host.lettersTrouble, undefined)
  t.same(await holding(), [])

  // None is left, and what is there is not overwritten.
  const again = setLettersAside(ports, { ...wanted, file: join(folder, 'none') })
  await turns(world, 3)
  t.equal(await again, 0)
  t.notOk(existsSync(join(folder, 'none')))
  await ledger.commit([lettersOf([65], { kind: 99 })])
  await turns(world, 3)
  const over = setLettersAside(ports, wanted).catch((fault: unknown) => fault)
  await turns(world, 3)
  t.match(await over, { message: /letters cannot be made \(EEXIST\)/ })
})

t.test('nothing is set aside when letters are read meanwhile', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-letters-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const world = smallWorld()
  await world.start()
  await world.ask([addAlone(other, 8)])
  const file = join(folder, 'letters')
  const values = [17, 33, 49]
  let isFirst = true
  // Letters come while the file is written, and are read before the host is asked.
  const ledger = ledgerOver(world.ledger, {
    read: async (subject, from, onMessage) => {
      if (isFirst) await world.ledger.commit([lettersOf(values)])
      isFirst = false
      await world.ledger.read(subject, from, onMessage)
      await turns(world, 10)
    },
  })
  const ports = { ledger, bus: world.bus, partitionCount }
  const setting = setLettersAside(ports, { partition: numberOf(other), file, by: 'somebody' })
  await turns(world, 60)
  t.equal(await setting, 0, 'at the second attempt none is left')
  t.notOk(existsSync(file))
  t.strictSame(addedBy(world.ledger.all()).get(other), [8, ...values])

  // So the letterbox says, also of what makes no sense.
  const letterbox = letterboxKind.emptyState()
  const place = (sequence: number) => ({ sequence, index: 0 })
  letterbox.place = place(7)
  const outcomeOf = (aside: LettersAside): string | undefined => {
    const buffer = envelopeOf({ kind: Kind.SET_LETTERS_ASIDE, body: encodeLettersAside(aside) })
    const out = { facts: [] as LetterboxFact[], deliveries: [], effects: [] as ActorEffect[] }
    const message: Arrived = { type: 'ARRIVED', buffer, at: 0, replyTo: undefined }
    letterboxKind.decide(letterbox, message, 5, emptyDirectory, out as never)
    t.equal(out.facts.length, aside.after.sequence === 7 && aside.through.sequence > 7 ? 1 : 0)
    const found = out.effects.find(({ type }) => type === 'ACKNOWLEDGE')
    return errorCodeOf((found as Acknowledge | undefined)?.outcome ?? 0)
  }
  const aside = { after: place(7), through: place(9), count: 3, by: 'somebody' }
  t.equal(outcomeOf(aside), 'REQUEST_ACCEPTED')
  t.equal(outcomeOf({ ...aside, after: place(6) }), 'LETTERS_READ_MEANWHILE')
  t.equal(outcomeOf({ ...aside, through: place(7) }), 'ENVELOPE_MALFORMED')
  t.throws(() => decodeLettersAside(Buffer.alloc(20)), { code: 'ENVELOPE_MALFORMED' })
  t.throws(() => decodeLettersAside(encodeLettersAside({ ...aside, by: 'x'.repeat(201) })))
  const frame = new FrameWriter()
  const fact: LetterboxFact = { type: 'LETTERS_SET_ASIDE', time: 5, ...aside }
  letterboxKind.writeFact(frame, one, fact)
  t.same(letterboxKind.readFact(frame.take(), 0), fact)
})

t.test('a backup has every unread letter at its place, each takes effect once', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-letters-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  let isDeaf = false
  const world = smallWorld(deafWhile(() => isDeaf))
  await world.start()
  // Some letters are read, forgotten, and their ticks with them.
  for (let counter = 1; counter <= 20; counter++) {
    await world.ask([add(one, counter, other, 1)])
    await turns(world, 4)
  }
  await fill(world, 1_000)
  isDeaf = true
  for (const counter of [101, 102, 103])
    await world.ask([add(one, counter, other, 2), add(other, counter + 100, one, 0)])
  await turns(world, 10)
  t.equal(kept(world).length >= 6, true, 'letters to both partitions are unread')
  const sums = sumsIn(world)

  const snapshots = world.options.snapshots!
  const cursors = world.options.cursors!
  const manifest = await backup({ ledger: world.ledger, snapshots, cursors }, join(folder, 'one'))
  t.ok(manifest.audit.forgottenThrough > 0)
  t.same(manifest.audit.faults, [])
  const ledger = new SimLedger({ bytesMax, firstSequence: firstSequenceOf(manifest) })
  const restored = { ledger, snapshots: new SimSnapshotStore(), cursors: new SimCursorStore() }
  t.same(await restore(restored, join(folder, 'one')), manifest.audit)
  for (const sequence of kept(world).slice(-6)) {
    const { subject, data } = (await world.ledger.at(sequence))!
    t.same(await ledger.at(sequence), { subject, sequence, data }, 'the same place')
  }

  // The deployment goes on from the backup, and so does the one that was backed up.
  const second = smallWorld(restored)
  for (const [life, its] of [world, second].entries()) {
    if (life === 0) its.kill()
    isDeaf = false
    await its.start()
    await turns(its, 30)
    const added = sumsIn(its)
    const expected = [101, 102, 103].map((counter) => counter * 16 + 1)
    const replies = expected.map((value) => value + 1)
    const last = expected.map((value) => value + 2)
    const back = [201, 202, 203].map((counter) => counter * 16 + 1)
    t.equal(added.get(other)! - sums.get(other)!, sum([...expected, ...last]))
    t.equal(added.get(one)! - sums.get(one)!, sum([...replies, ...back]))
    t.same((await auditOf(its.ledger)).faults, [])
  }
})

t.test(
  'a backup has the letters of its last tick, and all that its ticks do not decide',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'busbar-letters-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    let isDeaf = true
    /** A backup during which `act` is run once, when `when` says so, and what its restore gives. */
    const backedUp = async (
      name: string,
      when: (call: string, times: number) => boolean,
      act: (world: World) => Promise<void>,
    ): Promise<Map<Eui64, number[]>> => {
      isDeaf = true
      const snapshots = new SimSnapshotStore()
      const cursors = new SimCursorStore()
      const ledgerOf = new SimLedger({ bytesMax: 8 * bytesMax })
      const world = smallWorld({ snapshots, cursors, ledger: ledgerOf, ...deafWhile(() => isDeaf) })
      await world.start()
      await world.ask([add(one, 1, other, 0)])
      await turns(world, 2)
      let isDone = false
      const times = new Map<string, number>()
      const called = async (call: string): Promise<void> => {
        times.set(call, (times.get(call) ?? 0) + 1)
        if (isDone || !when(call, times.get(call)!)) return
        isDone = true
        await act(world)
      }
      const ledger = ledgerOver(world.ledger, {
        lastOn: async (subject) => {
          await called(`lastOn ${subject}`)
          return world.ledger.lastOn(subject)
        },
        read: async (subject, from, onMessage) => {
          await called(`read ${subject}`)
          return world.ledger.read(subject, from, onMessage)
        },
      })
      const manifest = await backup({ ledger, snapshots, cursors }, join(folder, name))
      t.ok(isDone)
      world.kill()
      isDeaf = false
      const firstSequence = firstSequenceOf(manifest)
      const restored = {
        ledger: new SimLedger({ bytesMax: 8 * bytesMax, firstSequence }),
        snapshots: new SimSnapshotStore(),
        cursors: new SimCursorStore(),
      }
      await restore(restored, join(folder, name))
      const second = smallWorld(restored)
      await second.start()
      await turns(second, 20)
      second.kill()
      return addedBy(second.ledger.all())
    }
    // A tick with a letter comes between the questions for the last tick and the last record.
    const cut = await backedUp(
      'cut',
      (call) => call === 'lastOn lease.*',
      async (world) => void (await world.ask([add(one, 2, other, 0)])),
    )
    t.strictSame(
      cut,
      new Map([
        [one, [1, 2]],
        [other, [17, 33]],
      ]),
    )

    // All letters are read, put behind a snapshot and forgotten, before the backup has read them.
    const ahead = await backedUp(
      'ahead',
      (call, times) => call === 'read meta.*' && times === 2,
      async (world) => {
        world.kill()
        isDeaf = false
        await world.start()
        for (let counter = 20; counter < 60; counter++) {
          await world.ask([addAlone(other, counter)])
          await turns(world, 3)
        }
        t.strictSame(kept(world), [
          (await world.ledger.lastOn(lettersSubject(numberOf(other))))!.sequence,
        ])
        await world.ledger.forget(lettersSubject(numberOf(other)), Infinity)
      },
    )
    t.strictSame(ahead.get(other)?.slice(0, 1), [17])
    t.equal(ahead.get(other)?.filter((value) => value === 17).length, 1)
  },
)

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b)

/** The sum of each trial, by its last fact in the ledger. */
function sumsIn(world: World): Map<Eui64, number> {
  const found = new Map<Eui64, number>()
  for (const message of world.ledger.all())
    addedIn(message, (device, _value, after) => found.set(device, after))
  return found
}
