/**
 * An operator removes a device: its open requests end, keys and address are forgotten, and what was
 * used stays used, also when it is registered again.
 */
import t from 'tap'
import { formatLatest } from '../../core/cluster/format.ts'
import { emptyDirectory } from '../../core/access/directory.ts'
import { evolve } from '../../actors/device/actor.ts'
import { deviceKind } from '../../actors/device/device-kind.ts'
import type { DeviceOutbox } from '../../actors/device/effects.ts'
import { readFact, writeFact, type DeviceFact } from '../../actors/device/facts.ts'
import type { DeviceMessage } from '../../actors/device/messages.ts'
import { packState } from '../../actors/device/state-codec.ts'
import { emptyState } from '../../actors/device/state.ts'
import { storedWakeMs } from '../../actors/device/wakes.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, errorId } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'
import { DeviceLife, lifeDevice } from '../support/device-life.ts'
import { deviceKey, envelopeOf, registrationOf, supplier } from '../support/envelopes.ts'
import { otherKeys, securedRecord, suite0Keys, vault } from '../support/keys.ts'
import { FailingStore } from '../support/failing-store.ts'
import { good, numberOf, pass, settle, World } from '../support/world.ts'

const removed = errorId('DEVICE_REMOVED')
const removalOf = (by = 'ann@ops') => ({ kind: Kind.DEVICE_REMOVAL, body: Buffer.from(by) })
const register = (life: DeviceLife, record?: Parameters<typeof registrationOf>[1]): void => {
  const buffer = registrationOf(lifeDevice, record)
  life.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
}
const secured = (keys = suite0Keys) => ({
  ...securedRecord(lifeDevice),
  sealedKeys: vault.seal(lifeDevice, keys),
})
const answerTo = (counter: RequestCounter): DeviceMessage => ({
  type: 'ANSWERED',
  originator: supplier,
  counter,
  outcome: errorId('OK'),
  bodyBytes: emptyBytes,
})

/** In a deployment whose format has removals. */
function newLife(): DeviceLife {
  const life = new DeviceLife()
  life.format = formatLatest
  return life
}

/** What `message` gives, without applying it. */
function decided(life: DeviceLife, message: DeviceMessage): DeviceOutbox {
  const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
  deviceKind.decide(life.state, message, life.now, { ...emptyDirectory, format: life.format }, out)
  return out
}
const arrived = (wanted: Parameters<typeof envelopeOf>[0]): DeviceMessage => ({
  type: 'ARRIVED',
  buffer: envelopeOf({ device: lifeDevice, ...wanted }),
  at: 0,
  replyTo: undefined,
})

t.test(
  'every open request ends with DEVICE_REMOVED, in order, and is delivered once',
  async (t) => {
    const life = newLife()
    for (let counter = 1; counter <= 3; counter++) life.submit({ counter })
    const { sent, open } = life.state
    t.equal(open.length, 3)
    t.ok(sent)
    const out = decided(life, arrived(removalOf()))
    t.same(
      out.facts.map((fact) => [fact.type, 'outcome' in fact ? fact.outcome : undefined]),
      [
        ...Array.from({ length: 3 }, () => ['REQUEST_ENDED', removed]),
        ['DEVICE_REMOVED', undefined],
      ],
    )
    t.match(out.facts.at(-1), { time: life.now, by: 'ann@ops' })
    t.same(
      out.deliveries.map((one) => 'request' in one && [one.request.counter, one.outcome]),
      open.map(({ counter }) => [counter, removed]),
    )
    t.equal(errorCodeOf(life.ask(removalOf()).outcome), 'REQUEST_ACCEPTED')
    t.match(life.state, { record: undefined, open: [], sent: undefined, registeredAt: life.now })
    t.notOk(deviceKind.isKnown(life.state))
    t.equal(storedWakeMs(life.state), 0)
  },
)

t.test('an answer that comes late is ignored, also after the device came back', async (t) => {
  const life = newLife()
  life.submit({ counter: 1 })
  const { counter } = life.state.sent!
  life.ask(removalOf())
  t.same(decided(life, answerTo(counter)).facts, [])
  register(life)
  t.same(decided(life, answerTo(counter)).facts, [])
  life.submit({ counter: 2 })
  t.same(decided(life, answerTo(counter)).facts, [], 'it is not the answer to the new one')
  t.ok(life.answer())
  t.equal(life.state.open.length, 0)
})

t.test('a removed device is unknown; what it had accepted is still known', async (t) => {
  for (const from of [undefined, 'store', 'ledger'] as const) {
    const life = newLife()
    life.submit({ counter: 1 })
    const acceptedAt = life.now
    life.now += 1_000
    life.ask(removalOf())
    if (from !== undefined) life.restart(from)
    t.equal(life.submit({ counter: 2 }), 'DEVICE_UNKNOWN')
    const removedAt = life.now
    life.now += 1_000
    t.same(decided(life, arrived(removalOf())).facts, [], 'nothing is written twice')
    t.equal(errorCodeOf(life.ask(removalOf()).outcome), 'DEVICE_REMOVED', 'asked twice')
    t.equal(life.state.registeredAt, removedAt)
    const repeated = life.ask({ counter: 1 })
    t.equal(errorCodeOf(repeated.outcome), 'REQUEST_ACCEPTED')
    t.equal(repeated.time, acceptedAt)
    t.equal(errorCodeOf(life.ask({ kind: Kind.CANCEL, counter: 1 }).outcome), 'REQUEST_ENDED')
    const [status] = life.feed(arrived({ kind: Kind.STATUS_QUERY, counter: 1 }))
    t.match(status, { type: 'REPORT_STATUS', state: 3, outcome: removed })
    for (const kind of [Kind.KEYS_REPLACEMENT, Kind.COUNTER_ACCEPTANCE, Kind.COUNTERS_QUERY])
      t.equal(errorCodeOf(life.ask({ kind }).outcome), 'DEVICE_UNKNOWN', `kind ${kind}`)
    t.equal(life.sent.length, 1)
  }
})

t.test('registered again it is a device again, and no RequestID runs twice', async (t) => {
  for (const from of ['store', 'ledger'] as const) {
    const life = newLife()
    for (let counter = 1; counter <= 300; counter++) {
      life.submit({ counter })
      life.answer()
    }
    life.submit({ counter: 301 })
    life.ask(removalOf())
    life.restart(from)
    life.now += 5_000
    register(life)
    t.equal(life.state.registeredAt, life.now)
    life.restart(from)
    t.equal(life.sent.length, 301)
    for (let counter = 1; counter <= 301; counter++)
      t.equal(life.submit({ counter }), 'REQUEST_ACCEPTED')
    t.equal(life.submit({ counter: 301, srv: '11.2' }), 'REQUEST_COUNTER_REUSED')
    t.equal(life.sent.length, 301, 'each was a repeat')
    t.equal(life.submit({ counter: 302 }), 'REQUEST_ACCEPTED')
    t.equal(life.sent.length, 302)
  }
})

t.test('keys are forgotten, and their invocation counters never begin again', async (t) => {
  for (const from of [undefined, 'store', 'ledger'] as const) {
    const life = newLife()
    const record = secured()
    register(life, record)
    life.submit({ counter: 1 })
    const { reservedTo, number } = life.state.keyring!.current!
    t.ok(reservedTo > 0)
    life.ask(removalOf())
    if (from !== undefined) life.restart(from)
    t.notOk(packState(life.state).includes(record.sealedKeys), 'no key is left')
    t.equal(life.state.keyring?.current, undefined)
    register(life, record)
    t.match(life.state.keyring!.current, { number: number + 1, next: reservedTo, reservedTo })
    life.submit({ counter: 2 })
    t.ok(life.state.sentCountersFrom >= reservedTo)
  }
})

t.test('keys on their way are forgotten with their counters', async (t) => {
  const life = newLife()
  register(life, secured())
  const first = life.state.keyring!.current!
  const sealedKeys = vault.seal(lifeDevice, otherKeys(7))
  const { number } = first
  life.feed({ type: 'KEYS_MADE', number, sealedKeys, replyTo: undefined })
  const { keys } = life.state.keyring!.replacement!
  const step = { number: keys.number, stage: 'TRANSFER' } as const
  const counters = { number, from: 0, next: 5, received: 3 }
  life.feed({ type: 'KEY_STEP_ANSWERED', step, outcome: errorId('DEVICE_SILENT'), counters })
  const { reservedTo } = life.state.keyring!.replacement!.keys
  t.ok(reservedTo > 0, 'the new ones are being proved')
  t.ok(life.state.keyStep)
  t.match(
    decided(life, arrived(removalOf())).effects.filter(({ type }) => type === 'ALARM'),
    [{ code: 'KEYS_REPLACEMENT_UNDERWAY', cause: { detail: /keys .* are lost/ } }],
    'operators are told that the device may have keys that nobody knows',
  )
  life.ask(removalOf())
  t.match(life.state, { keyStep: undefined, keyring: { replacement: undefined } })
  const late = { number: keys.number, stage: 'PROVE_NEW' } as const
  t.same(
    decided(life, {
      type: 'KEY_STEP_ANSWERED',
      step: late,
      outcome: errorId('OK'),
      counters: { number: keys.number, from: 0, next: 5, received: 3 },
    }).facts,
    [],
  )
  t.match(decided(life, { type: 'KEYS_MADE', number, sealedKeys, replyTo: undefined }).effects, [
    { outcome: errorId('KEYS_REPLACEMENT_UNFIT') },
  ])
  register(life, { ...secured(), sealedKeys })
  t.equal(life.state.keyring!.current!.next, reservedTo)
})

t.test('after a removal the keys from before a replacement are current again', async (t) => {
  const life = newLife()
  const record = secured()
  register(life, record)
  const { effects } = decided(life, arrived(removalOf()))
  t.notOk(
    effects.some(({ type }) => type === 'ALARM'),
    'no keys are on their way',
  )
  const { number } = life.state.keyring!.current!
  const sealedKeys = vault.seal(lifeDevice, otherKeys(7))
  evolve(life.state, { type: 'KEYS_PENDING', time: life.now, number: number + 1, sealedKeys })
  evolve(life.state, { type: 'KEYS_PROVED', time: life.now, number: number + 1 })
  life.ask(removalOf())
  register(life, record)
  t.ok(life.state.keyring!.current?.sealedKeys.equals(record.sealedKeys))
})

t.test('who it was must be said, in so many octets', async (t) => {
  const life = newLife()
  for (const by of ['', 'x'.repeat(limits.operatorNameBytesMax + 1)])
    t.equal(errorCodeOf(life.ask(removalOf(by)).outcome), 'VIEW_QUERY_INVALID')
  t.ok(life.state.record)
  t.equal(
    errorCodeOf(life.ask(removalOf('x'.repeat(limits.operatorNameBytesMax))).outcome),
    'REQUEST_ACCEPTED',
  )
})

t.test('the fact keeps what it says; a later version of it is one', async (t) => {
  const fact: DeviceFact = { type: 'DEVICE_REMOVED', time: 1_800_000_000_001, by: 'änn "x"' }
  const frame = new FrameWriter()
  writeFact(frame, lifeDevice, fact)
  const octets = frame.take()
  t.same(readFact(octets, 0), fact)
  octets[headerBytes] = 2
  t.throws(() => readFact(octets, 0), { code: 'FORMAT_VERSION_LATER' })
  octets[headerBytes] = 0
  t.throws(() => readFact(octets, 0), { code: 'ENVELOPE_MALFORMED' })
  const state = emptyState()
  evolve(state, fact)
  t.same(state, emptyState(), 'of a device that nobody knows it says nothing')
})

t.test('an actor that fails on a removal parks no request', async (t) => {
  const life = newLife()
  life.submit({ counter: 1 })
  const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
  deviceKind.park(life.state, arrived({ ...removalOf(), counter: 1 }), life.now, out)
  t.same([out.facts, out.deliveries], [[], []])
  t.match(out.effects, [{ outcome: errorId('DEVICE_ACTOR_PARKED') }])
})

t.test('one that is removed while the store is being written stays removed', async (t) => {
  const world = new World({ directory: { ...emptyDirectory, format: formatLatest } })
  await world.start()
  await world.register(1)
  const device = deviceKey(0)
  const store = world.stores.get(numberOf(device))!
  await pass(world, () => store.load(device) !== undefined)
  const { promise, resolve } = Promise.withResolvers<void>()
  let savesUnderWay = 0
  store.save = async (changes) => {
    savesUnderWay++
    await promise
    return FailingStore.prototype.save.call(store, changes)
  }
  const ask = async () => (await world.ask([envelopeOf({ device, ...removalOf() })]))?.get(0)
  t.equal(await ask(), 'REQUEST_ACCEPTED')
  await pass(world, () => savesUnderWay > 0)
  t.equal(await ask(), 'DEVICE_REMOVED')
  t.equal(await ask(), 'DEVICE_REMOVED', 'the state in the store is an older one')
  resolve()
  await settle()
  t.equal(await ask(), 'DEVICE_REMOVED')
})

t.test('in a host: what is on its way ends in order, also across a crash', async (t) => {
  const world = new World({ directory: { ...emptyDirectory, format: formatLatest } })
  await world.start()
  await world.register(1)
  const device = deviceKey(0)
  await world.submit({ device, counter: 1 })
  await world.submit({ device, counter: 2 })
  const ask = async (wanted: Parameters<typeof envelopeOf>[0]) =>
    (await world.ask([envelopeOf({ device, ...wanted })]))?.get(0)
  t.equal(world.exchanges.length, 1)
  t.equal(await ask(removalOf()), 'REQUEST_ACCEPTED')
  t.equal(await ask(removalOf()), 'DEVICE_REMOVED')
  t.equal((await world.ask([registrationOf(device)]))?.get(0), 'REQUEST_ACCEPTED')
  t.equal(await world.submit({ device, counter: 3 }), 'REQUEST_ACCEPTED')
  await settle()
  t.equal(world.exchanges.length, 1, 'one exchange of a device at a time')
  good(world.exchanges[0]!)
  await settle()
  t.equal(world.exchanges.length, 2, 'the next one follows the late answer')
  good(world.exchanges[1]!)
  await settle()
  const ends = ['0/1 DEVICE_REMOVED', '0/2 DEVICE_REMOVED', '0/3 OK']
  t.same(world.deliveries(), ends)
  t.equal(await ask(removalOf()), 'REQUEST_ACCEPTED')
  world.kill()
  world.stores.clear()
  await world.start()
  t.equal(await world.submit({ device, counter: 4 }), 'DEVICE_UNKNOWN')
  t.equal(await world.submit({ device, counter: 3 }), 'REQUEST_ACCEPTED', 'a repeat')
  await settle()
  t.same(world.deliveries(), ends)
})

t.test('a deployment of the first format removes nothing', async (t) => {
  const life = new DeviceLife()
  t.equal(errorCodeOf(life.ask(removalOf()).outcome), 'FORMAT_NOT_RAISED')
  t.ok(life.state.record)
})
