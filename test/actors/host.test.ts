/**
 * The host on simulated twins: what is said after what is on disk, and that every doubt (a refused batch, a lost answer, a
 * crash between any two steps) ends in exactly one outcome for each accepted request. Random lives are drawn from a seed,
 * which a failure names.
 */
import t from 'tap'
import { Host } from '../../actors/runtime/host.ts'
import { outSubject } from '../../actors/runtime/tick.ts'
import { decide, evolve, park } from '../../actors/device/actor.ts'
import { fnv1a32 } from '../../core/base/bytes.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64Key } from '../../core/base/eui64.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import { Lane } from '../../core/base/lane.ts'
import { AxdrWriter } from '../../core/dlms/axdr.ts'
import { readCorrelation, readCounter, readOutcome, readTarget } from '../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../core/envelope/frame.ts'
import { hostSubject } from '../../core/ports/bus.ts'
import { silentLog } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { seededRandom, type Random } from '../../core/ports/random.ts'
import { SimBus } from '../../core/ports/sim/bus.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import { SimLedger, type SimCommitFault } from '../../core/ports/sim/ledger.ts'
import { SimPartitionStore } from '../../core/ports/sim/store.ts'
import { SimWan, type SimExchange } from '../../core/ports/sim/wan.ts'
import { deviceKey, envelopeOf, registrationOf, supplier, type Wanted } from '../support/envelopes.ts'

const partitionCount = 4

const text = (() => {
  const writer = new AxdrWriter()
  writer.visibleString('v1')
  return writer.take()
})()

/** Lets every promise that can settle do so. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

type WorldOptions = {
  onCommit?: () => SimCommitFault | undefined
  onExchange?: (exchange: SimExchange) => void
  behaviour?: { decide: typeof decide; evolve: typeof evolve; park: typeof park }
}

/** One deployment: what survives a crash (ledger, stores, clock) and the host that may not. */
class World {
  readonly clock = new SimClock(1_800_000_000_000)
  readonly bus = new SimBus({ clock: this.clock })
  readonly stores = new Map<number, SimPartitionStore>()
  readonly ledger: SimLedger
  readonly options: WorldOptions
  exchanges: SimExchange[] = []
  host: Host | undefined
  private life = { isOver: false }

  constructor(options: WorldOptions = {}) {
    this.options = options
    this.ledger = new SimLedger(options.onCommit ? { onCommit: options.onCommit } : {})
  }

  async start(hostId = 'a'): Promise<Host> {
    const life = { isOver: false }
    this.life = life
    const wan = new SimWan((exchange) => {
      this.exchanges.push(exchange)
      this.options.onExchange?.(exchange)
    })
    // What a dead host still had in hand must reach nobody.
    const never = new Promise<never>(() => {})
    const ledger: Ledger = {
      commit: (entries) => (life.isOver ? never : this.ledger.commit(entries)),
      lastOn: (subject) => this.ledger.lastOn(subject),
      read: (subject, from, onMessage) => this.ledger.read(subject, from, onMessage),
      follow: (subject, from, onMessage) => this.ledger.follow(subject, from, onMessage),
    }
    const clock: Clock = {
      now: () => this.clock.now(),
      at: (atMs, action) => this.clock.at(atMs, () => (life.isOver ? undefined : action())),
    }
    this.host = new Host({
      hostId,
      partitionCount,
      ledger,
      bus: this.bus,
      openStore: (number) => {
        const store = this.stores.get(number) ?? new SimPartitionStore()
        this.stores.set(number, store)
        return store
      },
      wan,
      clock,
      random: seededRandom(1),
      log: silentLog,
      metrics: noMetrics,
      mayTakeFrom: () => false,
      actorsAwakeMax: 1_000,
      actorIdleMs: 60_000,
      checkpointIntervalMs: 1_000,
      ...(this.options.behaviour ? { behaviour: this.options.behaviour } : {}),
    })
    await this.host.start()
    return this.host
  }

  /** kill -9: what it had in memory is gone, exchanges under way too. */
  kill(): void {
    this.life.isOver = true
    this.exchanges = []
  }

  /** Sends envelopes in one frame; settles with the codes by correlation, or undefined when no answer came in time. */
  async ask(envelopes: Buffer[], hostId = 'a'): Promise<Map<number, ErrorCode | undefined> | undefined> {
    let answer: Buffer | undefined
    this.bus.request(hostSubject(hostId), Buffer.concat(envelopes), 15_000).then(
      (frame) => (answer = frame),
      () => undefined,
    )
    for (let turn = 0; turn < 40 && answer === undefined; turn++) {
      await settle()
      if (answer === undefined) this.clock.advanceBy(500)
    }
    if (answer === undefined) return undefined
    const codes = new Map<number, ErrorCode | undefined>()
    const frame = answer
    forEachEnvelope(frame, 0, (at) => codes.set(readCorrelation(frame, at), errorCodeOf(readOutcome(frame, at))))
    return codes
  }

  async register(count: number): Promise<void> {
    const codes = await this.ask(Array.from({ length: count }, (_, i) => registrationOf(deviceKey(i), undefined, i)))
    if (codes?.size !== count) throw new Error('devices could not be registered')
  }

  async submit(wanted: Wanted): Promise<ErrorCode | undefined> {
    const envelope = envelopeOf({ srv: '11.2', deadline: this.clock.now() + 120_000, correlation: 1, ...wanted })
    return (await this.ask([envelope]))?.get(1)
  }

  /** Deliveries of the supplier in the ledger: `device/counter code`. */
  deliveries(): string[] {
    const found: string[] = []
    for (const { subject, data } of this.ledger.all()) {
      if (subject !== outSubject(supplier)) continue
      forEachEnvelope(data, 0, (at) =>
        found.push(`${nameOf(readTarget(data, at))}/${readCounter(data, at)} ${errorCodeOf(readOutcome(data, at))}`),
      )
    }
    return found
  }
}

const nameOf = (device: Eui64Key): number => Buffer.from(device, 'latin1').readUInt32BE(4)
const good = (exchange: SimExchange): void =>
  exchange.answer({ ok: true, results: exchange.operations.map(() => ({ value: text, result: 0 })) })

t.test('a request is acknowledged after its fact, sent after that, and delivered once', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(1)
  const facts = world.ledger.lastSequence
  t.equal(await world.submit({ device: deviceKey(0) }), 'REQUEST_ACCEPTED')
  await settle()
  t.equal(world.ledger.lastSequence, facts + 3, 'accepted; ended with its delivery')
  t.same(world.deliveries(), ['0/1 OK'])
})

t.test('nothing is said or sent while the batch is on its way', async (t) => {
  let release: (() => void) | undefined
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(1)
  const commit = world.ledger.commit.bind(world.ledger)
  world.ledger.commit = async (entries) => {
    await new Promise<void>((resolve) => (release = resolve))
    return commit(entries)
  }
  let answered = false
  const envelope = envelopeOf({ srv: '11.2', device: deviceKey(0), deadline: world.clock.now() + 9_999 })
  void world.bus.request(hostSubject('a'), envelope, 60_000).then(() => (answered = true))
  await settle()
  t.equal(answered, false)
  t.equal(world.exchanges.length, 0)
  release?.()
  await settle()
  t.equal(answered, true)
  t.equal(world.exchanges.length, 1)
})

t.test('an envelope for a partition that is not owned is sent back', async (t) => {
  const world = new World()
  await world.start('a')
  const second = new World()
  Object.assign(second, { ledger: world.ledger, bus: world.bus, clock: world.clock })
  const other = await second.start('b')
  t.same(other.owned, [])
  const codes = await world.ask([envelopeOf({ device: deviceKey(0), correlation: 5 })], 'b')
  t.equal(codes?.get(5), 'BROKER_PARTITION_UNAVAILABLE')
})

t.test('a malformed frame is answered by nothing and hurts nobody', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(1)
  t.same(await world.ask([Buffer.from('rubbish')]), new Map())
  t.equal(await world.submit({ device: deviceKey(0) }), 'REQUEST_ACCEPTED')
})

t.test('a full ledger refuses new requests, keeps accepted ones, and goes on when there is room', async (t) => {
  let isFull = false
  const world = new World({ onCommit: () => (isFull ? { refuse: 'full' } : undefined) })
  await world.start()
  await world.register(1)
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
  isFull = true
  t.equal(await world.submit({ device: deviceKey(0), counter: 2 }), 'BROKER_LEDGER_FULL')
  good(world.exchanges[0]!)
  await settle()
  t.same(world.deliveries(), [])
  isFull = false
  for (let turn = 0; turn < 10; turn++) {
    world.clock.advanceBy(500)
    await settle()
    world.exchanges.forEach(good)
  }
  t.same(world.deliveries(), ['0/1 OK'])
  t.equal(await world.submit({ device: deviceKey(0), counter: 2 }), 'REQUEST_ACCEPTED')
})

t.test('a lost answer of the ledger neither loses nor doubles anything', async (t) => {
  let isLosing = false
  const world = new World({ onCommit: () => (isLosing ? 'lose-answer' : undefined), onExchange: good })
  await world.start()
  await world.register(1)
  isLosing = true
  world.ledger.commit = ((commit) => async (entries: Parameters<typeof commit>[0]) => {
    const outcome = await commit(entries)
    isLosing = false
    return outcome
  })(world.ledger.commit.bind(world.ledger))
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
  await settle()
  t.same(world.deliveries(), ['0/1 OK'])
})

t.test('a stale owner cannot write and lets go', async (t) => {
  const world = new World({ onExchange: good })
  const host = await world.start('a')
  await world.register(1)
  const target = Buffer.from(deviceKey(0), 'latin1')
  const number = fnv1a32(target) % partitionCount
  const lease = await world.ledger.lastOn(`lease.${number}`)
  await world.ledger.commit([
    {
      subject: `lease.${number}`,
      data: Buffer.from(JSON.stringify({ hostId: 'b', takenAtMs: 1, nonce: 'x' })),
      expect: { subject: `lease.${number}`, sequence: lease!.sequence },
    },
  ])
  t.equal(await world.submit({ device: deviceKey(0) }), 'BROKER_PARTITION_UNAVAILABLE')
  t.notOk(host.owned.includes(number))
  t.equal(host.owned.length, partitionCount - 1)
})

t.test('a damaged chain stops its partition only', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(8)
  const damaged = world.ledger.all().findLast((message) => message.subject.startsWith('log.'))!
  damaged.data[30]! ^= 1
  const number = Number(damaged.subject.slice(4))
  const again = new World({ onExchange: good })
  Object.assign(again, { ledger: world.ledger, clock: world.clock, bus: world.bus })
  const host = await again.start('a')
  t.same(host.owned, [0, 1, 2, 3].filter((p) => p !== number))
})

t.test('a message that breaks the actor is parked, its party told, the partition goes on', async (t) => {
  const world = new World({
    onExchange: good,
    behaviour: {
      evolve,
      park,
      decide(state, message, now, out) {
        if (message.type === 'ARRIVED' && readCounter(message.buffer, message.at) === 13n) throw new TypeError('poison')
        if (message.type === 'ANSWERED' && state.sent?.counter.endsWith('\x0e')) throw new TypeError('poison')
        decide(state, message, now, out)
      },
    },
  })
  await world.start()
  await world.register(1)
  t.equal(await world.submit({ device: deviceKey(0), counter: 13 }), 'DEVICE_ACTOR_PARKED')
  t.equal(await world.submit({ device: deviceKey(0), counter: 14 }), 'REQUEST_ACCEPTED')
  t.equal(await world.submit({ device: deviceKey(0), counter: 15 }), 'REQUEST_ACCEPTED')
  await settle()
  t.same(world.deliveries(), ['0/14 DEVICE_ACTOR_PARKED', '0/15 OK'])
})

t.test('sleeping actors are woken by their deadline', async (t) => {
  const world = new World()
  await world.start()
  await world.register(1)
  await world.submit({ device: deviceKey(0), counter: 1 })
  await world.submit({ device: deviceKey(0), counter: 2, deadline: world.clock.now() + 600_000 })
  good(world.exchanges[0]!)
  await settle()
  // The second is sent; it fails until its attempts are used up, with the actor asleep between them.
  for (let turn = 0; turn < 400 && world.deliveries().length < 2; turn++) {
    world.exchanges.at(-1)!.answer({ ok: false, code: 'DEVICE_UNREACHABLE', detail: '' })
    world.clock.advanceBy(5_000)
    await settle()
  }
  t.same(world.deliveries(), ['0/1 OK', '0/2 DEVICE_UNREACHABLE'])
})

/** Devices that answer well, badly, or never; commits that are refused or whose answer is lost; hosts that die at any moment. */
async function randomLife(random: Random): Promise<string | undefined> {
  const chance = (probability: number): boolean => random.fraction() < probability
  let areFaultsOn = true
  const world = new World({
    onCommit: () => {
      if (!areFaultsOn) return undefined
      if (chance(0.03)) return 'lose-answer'
      return chance(0.03) ? { refuse: chance(0.5) ? 'unknown' : 'full' } : undefined
    },
    onExchange: (exchange) => {
      if (!areFaultsOn || chance(0.6)) good(exchange)
      else if (chance(0.7)) exchange.answer({ ok: false, code: 'DEVICE_SILENT', detail: '' })
    },
  })
  await world.start()
  areFaultsOn = false
  await world.register(6)
  areFaultsOn = true
  const accepted = new Set<string>()
  for (let counter = 1; counter <= 60; counter++) {
    const device = Math.floor(random.fraction() * 6)
    const lane = ([Lane.URGENT, Lane.NORMAL, Lane.BULK] as const)[Math.floor(random.fraction() * 3)]!
    const lifetimeMs = 1_000 + random.fraction() * 200_000
    const deadline = Math.round(world.clock.now() + lifetimeMs)
    const code = await world.submit({ device: deviceKey(device), counter, lane, deadline })
    if (code === 'REQUEST_ACCEPTED') accepted.add(`${device}/${counter}`)
    if (chance(0.1)) world.clock.advanceBy(Math.round(random.fraction() * 10_000))
    if (chance(0.05)) {
      world.kill()
      if (chance(0.3)) world.stores.clear()
      await world.start()
    }
  }
  areFaultsOn = false
  for (let turn = 0; turn < 100; turn++) {
    for (const exchange of world.exchanges) good(exchange)
    world.clock.advanceBy(5_000)
    await settle()
  }
  const delivered = world.deliveries().map((line) => line.split(' ')[0]!)
  const missing = [...accepted].filter((id) => !delivered.includes(id))
  const twice = delivered.filter((id, index) => delivered.indexOf(id) !== index)
  if (missing.length > 0) return `never ended: ${missing.join(', ')}`
  if (twice.length > 0) return `ended twice: ${twice.join(', ')}`
  return undefined
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  t.test(`any life, seed ${seed}: each accepted request ends exactly once`, async (t) => {
    t.equal(await randomLife(seededRandom(seed)), undefined, `seed ${seed}`)
  })
}
