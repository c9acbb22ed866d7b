/**
 * The host on simulated twins: what is said after what is on disk, and that every doubt (a refused
 * batch, a lost answer, a crash between any two steps) ends in exactly one outcome for each
 * accepted request. Random lives are drawn from a seed, which a failure names.
 */
import t from 'tap'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { decide, evolve, park } from '../../actors/device/actor.ts'
import { writeFact } from '../../actors/device/facts.ts'
import { numberOfCounter } from '../../core/base/counter.ts'
import { partitionAt } from '../../core/envelope/partition.ts'
import { readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { AxdrWriter } from '../../core/dlms/axdr/axdr.ts'
import { readCounter } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { hostSubject } from '../../core/ports/bus.ts'
import { silentLog } from '../../core/ports/log.ts'
import { limits } from '../../core/base/limits.ts'
import { Owners } from '../../core/bus/owners.ts'
import { takeLease } from '../../core/ledger/lease.ts'
import { deviceKey, envelopeOf, plainRecord, registrationOf } from '../support/envelopes.ts'

import { partitionCount, text, settle, good, numberOf, pass, World } from '../support/world.ts'

t.test(
  'a request is acknowledged after its fact, sent after that, and delivered once',
  async (t) => {
    const world = new World({ onExchange: good })
    await world.start()
    await world.register(1)
    const facts = world.ledger.lastSequence
    t.equal(await world.submit({ device: deviceKey(0) }), 'REQUEST_ACCEPTED')
    await settle()
    t.equal(world.ledger.lastSequence, facts + 2, 'accepted; ended with its delivery')
    t.same(world.deliveries(), ['0/1 OK'])
  },
)

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
  const envelope = envelopeOf({
    srv: '11.2',
    device: deviceKey(0),
    deadline: world.clock.now() + 9_999,
  })
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

t.test(
  'a full ledger refuses new requests, keeps accepted ones, and goes on when there is room',
  async (t) => {
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
  },
)

t.test('a lost answer of the ledger neither loses nor doubles anything', async (t) => {
  let isLosing = false
  const world = new World({
    onCommit: () => (isLosing ? 'lose-answer' : undefined),
    onExchange: good,
  })
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
  const number = partitionAt(target, 0, partitionCount)
  await takeLease(world.ledger, number, 'b', { mayTakeFrom: () => true })
  t.equal(await world.submit({ device: deviceKey(0) }), 'BROKER_PARTITION_UNAVAILABLE')
  t.notOk(host.owned.includes(number))
  t.equal(host.owned.length, partitionCount - 1)
})

t.test('a damaged chain stops its partition only', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(8)
  const tick = world.ledger.all().findLast((message) => message.subject.startsWith('log.'))!
  let number = -1
  readTickMessage(
    tick.data,
    (partition, frame) => {
      if (number >= 0) return
      number = partition
      frame[30]! ^= 1
    },
    undefined,
  )
  // Without the stores: a checkpoint behind the damage would have no need to look at it.
  const again = new World({ onExchange: good })
  Object.assign(again, { ledger: world.ledger, clock: world.clock, bus: world.bus })
  const host = await again.start('a')
  t.same(
    host.owned,
    [0, 1, 2, 3].filter((p) => p !== number),
  )
})

t.test(
  'a message that breaks the actor is parked, its party told, the partition goes on',
  async (t) => {
    const world = new World({
      onExchange: good,
      behaviour: {
        evolve,
        park,
        decide(state, message, now, directory, out) {
          if (message.type === 'ARRIVED' && readCounter(message.buffer, message.at) === 13n)
            throw new TypeError('poison')
          if (message.type === 'ANSWERED' && state.sent?.counter.endsWith('\x0e'))
            throw new TypeError('poison')
          decide(state, message, now, directory, out)
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
  },
)

t.test('sleeping actors are woken by their deadline', async (t) => {
  const world = new World()
  await world.start()
  await world.register(1)
  await world.submit({ device: deviceKey(0), counter: 1 })
  await world.submit({ device: deviceKey(0), counter: 2, deadline: world.clock.now() + 600_000 })
  good(world.exchanges[0]!)
  await settle()
  // The second is sent; it fails until its attempts are used up, with the actor asleep between
  // them.
  for (let turn = 0; turn < 400 && world.deliveries().length < 2; turn++) {
    world.exchanges.at(-1)!.answer({ ok: false, code: 'DEVICE_UNREACHABLE', detail: '' })
    world.clock.advanceBy(5_000)
    await settle()
  }
  t.same(world.deliveries(), ['0/1 OK', '0/2 DEVICE_UNREACHABLE'])
})

/** More than half a tick, and more than may be awake. */
const many = limits.tickMessagesMax / 2 + 500

t.test('a restart serves at once, and takes up beside it all that was pending', async (t) => {
  const world = new World()
  await world.start()
  await world.register(many + 1)
  const deadline = world.clock.now() + 120_000
  const asked = Array.from({ length: many }, (_, i) =>
    envelopeOf({ srv: '11.2', device: deviceKey(i), deadline, correlation: i }),
  )
  t.equal((await world.ask(asked))?.size, many)
  t.equal(world.exchanges.length, many)
  await pass(world, () => world.clock.now() > deadline - 110_000)
  world.kill()
  world.options.onExchange = good
  await world.start()
  t.equal(await world.submit({ device: deviceKey(many) }), 'REQUEST_ACCEPTED')
  await pass(world, () => world.deliveries().length > many)
  t.same(
    new Set(world.deliveries()),
    new Set(Array.from({ length: many + 1 }, (_, i) => `${i}/1 OK`)),
  )
  t.equal(world.deliveries().length, many + 1, 'each once')
})

t.test('many actors that sleep are all woken when they asked for it at one time', async (t) => {
  const seen = new Set<number>()
  let retries = 0
  const world = new World({
    onExchange(exchange) {
      const { port } = exchange.address
      if (seen.has(port)) {
        retries++
        good(exchange)
      } else exchange.answer({ ok: false, code: 'DEVICE_UNREACHABLE', detail: '' })
      seen.add(port)
    },
  })
  const host = await world.start()
  const registrations = Array.from({ length: many }, (_, i) =>
    registrationOf(
      deviceKey(i),
      { ...plainRecord, address: { ...plainRecord.address, port: i + 1 } },
      i,
    ),
  )
  await world.ask(registrations)
  const deadline = world.clock.now() + 120_000
  const asked = Array.from({ length: many }, (_, i) =>
    envelopeOf({ srv: '11.2', device: deviceKey(i), deadline, correlation: i }),
  )
  t.equal((await world.ask(asked))?.size, many)
  const awake = (): number =>
    host.status().partitions.reduce((sum, partition) => sum + partition.awake, 0)
  for (let turn = 0; turn < 12 && awake() > 1_000; turn++) {
    world.clock.advanceBy(100)
    await settle()
  }
  t.ok(awake() <= 1_000, `${awake()} awake`)
  t.equal(retries, 0, 'the others sleep until their next attempt')
  await pass(world, () => world.deliveries().length >= many)
  t.same(new Set(world.deliveries()), new Set(Array.from({ length: many }, (_, i) => `${i}/1 OK`)))
  t.equal(world.deliveries().length, many)
})

t.test(
  'a damaged store is cleared and rebuilt at the start, whatever of it is damaged',
  async (t) => {
    for (const on of ['checkpoint', 'load', 'dueWakes', 'save'] as const) {
      const world = new World()
      await world.start()
      await world.register(6)
      t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
      world.kill()
      const store = world.stores.get(numberOf(deviceKey(0)))!
      // Something in the log that the store does not have yet: replay reads the state of its
      // device.
      store.damage = { on, after: 0 }
      world.options.onExchange = good
      const host = await world.start()
      t.equal(host.owned.length, partitionCount, on)
      // A save that fails does so after the start.
      await pass(world, () => world.deliveries().length === 1 && store.clears === 1)
      t.same(world.deliveries(), ['0/1 OK'], on)
      t.equal(store.clears, 1, on)
      t.equal(await world.submit({ device: deviceKey(0), counter: 2 }), 'REQUEST_ACCEPTED')
    }
  },
)

t.test(
  'a store that turns out damaged in the middle of a tick is rebuilt, and the tick is decided again',
  async (t) => {
    const world = new World({ onExchange: good })
    await world.start()
    await world.register(40)
    world.kill()
    await world.start()
    // Asleep now, all of them: the tick finds the damage after it has decided for others.
    const store = world.stores.get(numberOf(deviceKey(0)))!
    store.damage = { on: 'load', after: 3 }
    const deadline = world.clock.now() + 120_000
    const codes = await world.ask(
      Array.from({ length: 40 }, (_, i) =>
        envelopeOf({ srv: '11.2', device: deviceKey(i), deadline, correlation: i }),
      ),
    )
    t.equal(store.clears, 1)
    t.equal(codes?.size, 40, 'each is answered once')
    t.same(new Set(codes?.values()), new Set(['REQUEST_ACCEPTED']))
    await pass(world, () => world.deliveries().length >= 40)
    t.same(new Set(world.deliveries()), new Set(Array.from({ length: 40 }, (_, i) => `${i}/1 OK`)))
    t.equal(world.deliveries().length, 40)
  },
)

t.test(
  'a store found damaged between ticks, by a wake or a save, is rebuilt before the next tick',
  async (t) => {
    for (const on of ['nextWakeMs', 'dueWakes', 'save'] as const) {
      const world = new World()
      await world.start()
      await world.register(4)
      const device = deviceKey(0)
      const deadline = world.clock.now() + 30_000
      t.equal(
        await world.submit({ device, counter: 1, deadline: deadline + 90_000 }),
        'REQUEST_ACCEPTED',
      )
      // It waits behind the first and expires: a wake of the store when its actor sleeps.
      t.equal(await world.submit({ device, counter: 2, deadline }), 'REQUEST_ACCEPTED')
      const store = world.stores.get(numberOf(device))!
      store.damage = { on, after: 0 }
      await pass(world, () => store.clears > 0 && world.deliveries().length === 1)
      t.equal(store.clears, 1, on)
      t.same(world.deliveries(), ['0/2 REQUEST_EXPIRED'], on)
      good(world.exchanges[0]!)
      await pass(world, () => world.deliveries().length === 2)
      // The index is asked at the first one's deadline, when it can only expire: what is on its way
      // is not in the store.
      t.same(
        world.deliveries(),
        ['0/2 REQUEST_EXPIRED', on === 'dueWakes' ? '0/1 REQUEST_EXPIRED' : '0/1 OK'],
        on,
      )
      t.equal(await world.submit({ device, counter: 3 }), 'REQUEST_ACCEPTED')
    }
  },
)

t.test('a store that stays damaged stops its partition only', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(8)
  world.kill()
  const number = numberOf(deviceKey(0))
  const store = world.stores.get(number)!
  store.damage = { on: 'checkpoint', after: 0 }
  store.isBeyondHelp = true
  const host = await world.start()
  t.same(
    host.owned,
    [0, 1, 2, 3].filter((other) => other !== number),
  )
  t.equal(await world.submit({ device: deviceKey(0) }), 'BROKER_PARTITION_UNAVAILABLE')
})

t.test(
  'what is too large for the ledger is written in smaller batches, or told; nothing loops',
  async (t) => {
    // Enough for one accepted request of this size, not for the whole tick, and not for an answer
    // of several kilobytes.
    const world = new World({ messageBytesMax: 4_000 })
    await world.start()
    await world.register(1)
    const device = deviceKey(0)
    const deadline = world.clock.now() + 120_000
    const requests = Array.from({ length: 8 }, (_, i) =>
      envelopeOf({
        srv: '11.2',
        device,
        counter: i + 1,
        deadline,
        correlation: i,
        body: Buffer.alloc(1_000, 1),
      }),
    )
    const codes = await world.ask(requests)
    t.same([...(codes?.values() ?? [])], Array(8).fill('REQUEST_ACCEPTED'))
    t.equal(
      await world.submit({ device, counter: 9, deadline, body: Buffer.alloc(5_000) }),
      'BROKER_LEDGER_FULL',
    )
    for (let counter = 1; counter <= 8; counter++) {
      t.equal(
        await world.submit({ kind: Kind.CANCEL, device, counter }),
        counter === 1 ? 'REQUEST_ENDED' : 'REQUEST_CANCELLED',
      )
    }
  },
)

t.test('an answer that the ledger cannot take ends its request all the same', async (t) => {
  const world = new World({ messageBytesMax: 4_000 })
  await world.start()
  await world.register(1)
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
  const writer = new AxdrWriter()
  writer.visibleString('x'.repeat(5_000))
  const value = writer.take()
  for (let turn = 0; turn < 100 && world.deliveries().length === 0; turn++) {
    const exchange = world.exchanges.at(-1)!
    exchange.answer({
      ok: true,
      results: exchange.command.cosem!.map(() => ({ value, result: 0 })),
    })
    world.clock.advanceBy(1_000)
    await settle()
  }
  t.same(world.deliveries(), ['0/1 DLMS_SIZE_EXCEEDED'])
  t.equal(world.exchanges.length, limits.attemptsMax)
  t.equal(await world.submit({ device: deviceKey(0), counter: 2 }), 'REQUEST_ACCEPTED')
})

t.test('the largest answers fit the ledger together', async (t) => {
  const world = new World({ messageBytesMax: limits.frameBytesMax })
  await world.start()
  await world.register(6)
  const deadline = world.clock.now() + 120_000
  await world.ask(
    Array.from({ length: 6 }, (_, i) =>
      envelopeOf({ srv: '11.2', device: deviceKey(i), deadline }),
    ),
  )
  const writer = new AxdrWriter()
  writer.visibleString('x'.repeat(limits.responseBodyBytesMax - 64))
  const value = writer.take()
  for (const exchange of world.exchanges) {
    exchange.answer({
      ok: true,
      results: exchange.command.cosem!.map((_, i) =>
        i === 0 ? { value, result: 0 } : { value: text, result: 0 },
      ),
    })
  }
  await pass(world, () => world.deliveries().length === 6)
  t.same(
    world.deliveries().toSorted(),
    Array.from({ length: 6 }, (_, i) => `${i}/1 OK`),
  )
  t.ok(
    Math.max(...world.ledger.all().map(({ data }) => data.length)) >
      limits.responseBodyBytesMax - 64,
  )
})

t.test(
  'an answer that comes while its partition is being reloaded counts, and the device is not asked again',
  async (t) => {
    let isLosing = false
    const world = new World({ onCommit: () => (isLosing ? 'lose-answer' : undefined) })
    await world.start()
    await world.register(1)
    t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
    const read = world.ledger.read.bind(world.ledger)
    const reading = new Promise<void>((resolve) => {
      world.ledger.read = async (...asked) => {
        isLosing = false
        resolve()
        await new Promise<void>((go) => (release = go))
        return read(...asked)
      }
    })
    let release = (): void => {}
    isLosing = true
    const envelope = envelopeOf({
      srv: '11.2',
      device: deviceKey(0),
      counter: 2,
      deadline: world.clock.now() + 120_000,
    })
    const answered = world.bus.request(hostSubject('a'), envelope, 60_000)
    // The lease is tried until the ledger answers; then the log is read.
    await settle()
    isLosing = false
    world.clock.advanceBy(500)
    await reading
    good(world.exchanges[0]!)
    await settle()
    world.ledger.read = read
    release()
    await answered
    await pass(world, () => world.deliveries().length === 1)
    t.same(world.deliveries(), ['0/1 OK'])
    t.equal(world.exchanges.length, 2, 'one for each request')
  },
)

t.test('a thousand parties are told in one tick', async (t) => {
  const world = new World()
  await world.start()
  const count = 1_000
  const deviceCount = Math.ceil(count / limits.deviceQueueMax)
  await world.register(deviceCount)
  const partyOf = (number: number): Eui64 =>
    readEui64(
      Buffer.from((0x0a00000000000000n + BigInt(number)).toString(16).padStart(16, '0'), 'hex'),
    )
  const deadline = world.clock.now() + 60_000
  const requests = Array.from({ length: count }, (_, i) =>
    envelopeOf({
      srv: '11.2',
      device: deviceKey(i % deviceCount),
      originator: partyOf(i),
      deadline,
      correlation: i,
    }),
  )
  t.same(new Set((await world.ask(requests))?.values()), new Set(['REQUEST_ACCEPTED']))
  const parties = (): Set<string> => {
    const told = new Set<string>()
    for (const { subject, data } of world.ledger.all()) {
      if (subject.startsWith('log.')) readTickMessage(data, undefined, (party) => told.add(party))
    }
    return told
  }
  // All but the one on its way of each device expire together.
  await pass(world, () => parties().size === count - deviceCount)
  t.equal(parties().size, count - deviceCount)
})

t.test('a body larger than any request is refused at the door of the host', async (t) => {
  const world = new World()
  await world.start()
  await world.register(1)
  const body = Buffer.alloc(limits.requestBytesMax + 1)
  t.equal(await world.submit({ device: deviceKey(0), body }), 'REQUEST_SIZE_EXCEEDED')
})

t.test(
  'a mail whose partition has gone is answered once, also when its tick is decided again',
  async (t) => {
    let refusals = 0
    const world = new World({
      onCommit: () => (refusals-- > 0 ? { refuse: 'unknown' } : undefined),
      onExchange: good,
    })
    const host = await world.start()
    await world.register(12)
    const gone = numberOf(deviceKey(0))
    const lease = await world.ledger.lastOn(`lease.${gone}`)
    await world.ledger.commit([
      {
        subject: `lease.${gone}`,
        data: Buffer.from(JSON.stringify({ hostId: 'b', takenAtMs: 1, nonce: 'x' })),
        expect: { subject: `lease.${gone}`, sequence: lease!.sequence },
      },
    ])
    refusals = 1
    const deadline = world.clock.now() + 120_000
    const codes = await world.ask(
      Array.from({ length: 12 }, (_, i) =>
        envelopeOf({ srv: '11.2', device: deviceKey(i), deadline, correlation: i }),
      ),
    )
    t.notOk(host.owned.includes(gone))
    for (let i = 0; i < 12; i++) {
      t.equal(
        codes?.get(i),
        numberOf(deviceKey(i)) === gone ? 'BROKER_PARTITION_UNAVAILABLE' : 'REQUEST_ACCEPTED',
      )
    }
  },
)

t.test('a fault of ours ends the host visibly, and what is in memory is not saved', async (t) => {
  const faults: unknown[] = []
  const world = new World({
    onFault: (fault) => faults.push(fault),
    behaviour: {
      writeFact(frame, id, fact) {
        const isAccepted = fact.type === 'REQUEST_ACCEPTED'
        if (isAccepted && numberOfCounter(fact.request.counter) === 13n)
          throw new TypeError('writing is broken')
        writeFact(frame, id, fact)
      },
    },
  })
  const host = await world.start()
  await world.register(6)
  const before = world.ledger.lastSequence
  const deadline = world.clock.now() + 120_000
  const envelopes = Array.from({ length: 6 }, (_, i) =>
    envelopeOf({ srv: '11.2', device: deviceKey(i), deadline, correlation: i }),
  )
  envelopes.push(
    envelopeOf({ srv: '11.2', device: deviceKey(0), counter: 13, deadline, correlation: 6 }),
  )
  t.equal(await world.ask(envelopes), undefined, 'nobody is told that anything was accepted')
  t.match(faults, [{ message: 'writing is broken' }])
  t.equal(faults.length, 1)
  t.equal(world.ledger.lastSequence, before)
  t.equal(await world.submit({ device: deviceKey(1), counter: 2 }), 'BROKER_DRAINING')
  await host.close()
  const next = new World({ onExchange: good })
  Object.assign(next, {
    ledger: world.ledger,
    clock: world.clock,
    bus: world.bus,
    stores: world.stores,
  })
  await next.start()
  await pass(next, () => false)
  t.same(next.deliveries(), [], 'what was decided and never written has not happened')
  t.equal(await next.submit({ device: deviceKey(1), counter: 1 }), 'REQUEST_ACCEPTED')
})

t.test(
  'a host is heard by its name for as long as it lives, however long its ledger is away',
  async (t) => {
    let isAway = false
    const world = new World({ onCommit: () => (isAway ? { refuse: 'unknown' } : undefined) })
    const { ledger, bus, clock } = world
    const host = await world.start('a')
    await world.register(1)
    const owners = new Owners({ ledger, bus, clock, log: silentLog, partitionCount })
    await owners.start()
    isAway = true
    await world.submit({ device: deviceKey(0) })
    for (let turn = 0; turn < 20; turn++) {
      clock.advanceBy(500)
      await settle()
    }
    t.notOk(owners.isSilent('a'))
    isAway = false
    const closed = host.close()
    await pass(world, () => owners.isSilent('a'))
    await closed
    t.ok(owners.isSilent('a'))
    await owners.close()
  },
)
