/**
 * The WAN pool against real sockets: the contract, reuse, multiplexing, caps, lanes, closing.
 * Faults: faults.test.ts.
 */
import t from 'tap'
import { readEui64 } from '../../../../core/base/eui64.ts'
import { Lane } from '../../../../core/base/lane.ts'
import { wanContract } from '../../../contracts/wan.ts'
import { securedRecord, vault } from '../../../support/keys.ts'
import { get, isAnswer, isFailure, set, startMeter, startWan, Trial } from '../trial.ts'
import {
  aarqTag,
  descriptorOf,
  getTag,
  rlrqTag,
  valueOf,
  type ScriptedMeter,
  type Seen,
} from '../scripted-meter.ts'

// Longer than any test has turns, for tests in which a device is held up on purpose.
const neverMs = 1e12
const device = readEui64(Buffer.alloc(8, 1))

t.test('contract', (t) => {
  wanContract(t, startWan)
  t.end()
})

t.test('one connection carries many devices and is used again', async (t) => {
  const trial = await Trial.start(t)
  const { wan, meter } = trial
  const devices = [1, 2, 3, 700]
  for (let round = 0; round < 3; round++) {
    const results = await Promise.all(
      devices.map((device) => trial.ask(device, [get(device), get(round), get(99)])),
    )
    results.forEach((result, i) =>
      isAnswer(t, result, devices[i]!, [devices[i]!, round, 99], `round ${round}`),
    )
  }
  t.equal(meter.accepted, 1)
  t.equal(meter.count(aarqTag), 4, 'each associates once')
  await trial.answers(meter.address(1, 32), 5, 'another client address')
  t.equal(meter.count(aarqTag, 1), 2, 'is another association')
  t.equal(meter.accepted, 1)
  t.same(await trial.ask(2, [set(1), get(3)]), {
    ok: true,
    results: [
      { value: undefined, result: 0 },
      { value: valueOf(2, descriptorOf(3)), result: 0 },
    ],
  })
  t.match(wan.counts, { exchanges: 0, connections: 1, idle: 1, endpoints: 1 })
})

t.test('frames of a turn go out in one write', async (t) => {
  const trial = await Trial.start(t)
  await trial.answers(1, 1, 'connected')
  const [socket] = trial.meter.sockets
  const chunks: number[] = []
  socket!.on('data', (chunk: Buffer) => chunks.push(chunk.length))
  await Promise.all(Array.from({ length: 50 }, (_, i) => trial.answers(100 + i, 1, `device ${i}`)))
  t.ok(chunks[0]! > 50 * 30, `the fifty AARQs came together: ${chunks[0]} octets`)
})

t.test('two exchanges with one device at once run one after the other', async (t) => {
  const trial = await Trial.start(t)
  await Promise.all([1, 2, 3].map((number) => trial.answers(1, number, 'in order')))
  t.equal(trial.meter.count(aarqTag), 1)
})

t.test('an exception-response ends the exchange and not the association', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  meter.script = (seen) => (seen.tag === getTag ? seen.say(Buffer.of(0xd8, 1, 2)) : seen.answer())
  await trial.fails(1, 'DEVICE_ANSWER_INVALID', /DLMS_EXCEPTION/, 'exception')
  meter.script = undefined
  await trial.answers(1, 2, 'next')
  t.equal(meter.count(aarqTag), 1)
})

t.test('unsolicited frames are dropped, a flood of them is cut', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  // From a device nobody asked; those of the asked one count as answers.
  const noise = Buffer.from([0, 1, 0x0f, 0xa0, 0, 0, 0, 2, 0, 0])
  meter.script = (seen) => {
    for (let i = 0; i < 20; i++) seen.socket.write(noise)
    seen.answer()
  }
  await trial.answers(1, 1, 'between noise')
  t.equal(meter.accepted, 1)
  const [socket] = meter.sockets
  socket!.write(Buffer.concat(Array.from({ length: 2_000 }, () => noise)))
  await meter.until(() => meter.ended === 1)
  await trial.answers(1, 2, 'after the flood')
})

t.test('the cap: the least recently used idle connection is released', async (t) => {
  const meters = await Promise.all([1, 2, 3].map(() => startMeter(t)))
  const [a, b, c] = meters as [ScriptedMeter, ScriptedMeter, ScriptedMeter]
  const wan = startWan(t, { connectionsMax: 2 })
  const ask = (meter: ScriptedMeter, number: number): Promise<void> =>
    new Trial(t, wan, meter).answers(1, number, `ask ${number}`)
  await ask(a, 1)
  await ask(b, 2)
  await ask(a, 3)
  await ask(c, 4)
  t.same([a.accepted, b.accepted, c.accepted], [1, 1, 1])
  t.equal(b.count(rlrqTag), 1, 'b was used longest ago: released')
  t.equal(a.count(rlrqTag), 0)
  await ask(a, 5)
  t.equal(a.accepted, 1, 'a is still connected')
  await ask(b, 6)
  t.equal(c.count(rlrqTag), 1, 'then c made room')
  t.ok(wan.counts.connections <= 2)
})

t.test('a device that ignores its release is cut, and the waiting one gets its turn', async (t) => {
  const [a, b] = [await startMeter(t), await startMeter(t)]
  const wan = startWan(t, { connectionsMax: 1 })
  await new Trial(t, wan, a).answers(1, 1, 'first')
  a.script = () => {}
  await new Trial(t, wan, b).answers(1, 2, 'second')
  t.equal(a.count(rlrqTag), 1)
})

t.test('waiting for a connection: urgent before normal before bulk', async (t) => {
  const order: string[] = []
  const meters = await Promise.all([0, 1, 2, 3].map(() => startMeter(t)))
  const wan = startWan(t, { connectionsMax: 1, responseMs: neverMs })
  let held: Seen | undefined
  meters[0]!.script = (seen) => {
    if (seen.tag === getTag && !held) held = seen
    else seen.answer()
  }
  const first = new Trial(t, wan, meters[0]!).answers(1, 1, 'first')
  await meters[0]!.until(() => held !== undefined)
  const ask = (meter: number, lane: Lane, name: string): Promise<void> =>
    wan.exchange(meters[meter]!.address(), { cosem: [get(2)] }, lane).then((result) => {
      order.push(result.ok ? name : `${name} ${result.code}`)
    })
  const waiting = [
    ask(1, Lane.BULK, 'bulk'),
    ask(2, Lane.NORMAL, 'normal'),
    ask(3, Lane.BULK, 'bulk that an urgent one joins'),
    ask(3, Lane.URGENT, 'urgent'),
  ]
  held!.answer()
  await first
  await Promise.all(waiting)
  t.same(order, ['urgent', 'bulk that an urgent one joins', 'normal', 'bulk'])
  t.equal(wan.counts.connections, 1)
})

t.test('what waits too long is told, and a whole exchange has an end', async (t) => {
  const [busy, other] = [await startMeter(t), await startMeter(t)]
  const wan = startWan(t, { connectionsMax: 1, responseMs: neverMs, exchangeMs: 500 })
  busy.script = (seen) => {
    if (seen.tag !== getTag) seen.answer()
  }
  const holder = wan.exchange(busy.address(), { cosem: [get(1)] }, Lane.NORMAL)
  const waiter = await wan.exchange(other.address(), { cosem: [get(1)] }, Lane.URGENT)
  isFailure(t, waiter, 'DEVICE_UNREACHABLE', /no connection became free/, 'waited too long')
  isFailure(t, await holder, 'DEVICE_SILENT', /no answer in time/, 'held up')
})

t.test('room on a connection is given by lane too, and the whole is bounded', async (t) => {
  const trial = await Trial.start(t, {
    exchangesPerConnectionMax: 1,
    exchangesMax: 4,
    responseMs: neverMs,
  })
  let held: Seen | undefined
  trial.meter.script = (seen) => {
    if (seen.tag === getTag && !held) held = seen
    else seen.answer()
  }
  const order: number[] = []
  const ask = (device: number, lane: Lane): Promise<unknown> =>
    trial.ask(device, [get(1)], lane).then((result) => {
      order.push(device)
      isAnswer(t, result, device, [1], `device ${device}`)
    })
  const asked = [ask(1, Lane.BULK), ask(2, Lane.BULK), ask(3, Lane.NORMAL), ask(4, Lane.URGENT)]
  await trial.fails(5, 'DEVICE_UNREACHABLE', /too many/, 'full')
  await trial.meter.until(() => held !== undefined)
  held!.answer()
  await Promise.all(asked)
  // Before the connection stood, all four waited: the urgent one went first.
  t.same(order, [4, 3, 1, 2])
})

t.test('an exchange is begun again once, however often its connection is closed', async (t) => {
  const trial = await Trial.start(t, { exchangesPerConnectionMax: 1 })
  let asked = 0
  trial.meter.script = (seen) => {
    if (seen.device !== 1) return seen.answer()
    asked++
    seen.socket.destroy()
  }
  await trial.answers(2, 1, 'the connection is in use')
  let isOver = false
  const failing = trial.fails(1, 'DEVICE_SILENT', /clos|reset/i, 'given up')
  void failing.then(() => (isOver = true))
  // Another device is served first on each new connection, so that it is a used one again.
  while (!isOver && asked <= 2) await trial.ask(2, [get(1)], Lane.URGENT)
  t.equal(asked, 2)
  if (asked === 2) await failing
})

t.test('many addresses under a small cap all get their turn', async (t) => {
  const meters = await Promise.all(Array.from({ length: 24 }, () => startMeter(t)))
  const wan = startWan(t, {
    connectionsMax: 5,
    connectsMax: 2,
    responseMs: neverMs,
    exchangeMs: neverMs,
  })
  const exchanges: Promise<void>[] = []
  for (let i = 0; i < 240; i++) {
    const device = 1 + (i % 3)
    const { port } = meters[(i * 7) % meters.length]!
    const address = { host: '127.0.0.1', port, logicalDevice: device, client: 16 }
    exchanges.push(
      wan
        .exchange(address, { cosem: [get(i)] }, (i % 3) as Lane)
        .then((result) => isAnswer(t, result, device, [i], `exchange ${i}`)),
    )
  }
  await Promise.all(exchanges)
  t.ok(wan.counts.connections <= 5)
  await wan.close()
  const nothing = { exchanges: 0, connections: 0, connecting: 0, idle: 0, endpoints: 0 }
  t.match(wan.counts, nothing, 'nothing is left behind')
})

t.test('close releases associations and is final', async (t) => {
  const trial = await Trial.start(t)
  const { wan, meter } = trial
  await Promise.all([1, 2].map((device) => trial.answers(device, 1, 'before')))
  await wan.close()
  await meter.until(() => meter.ended === 1)
  t.equal(meter.count(rlrqTag), 2)
  await trial.fails(1, 'DEVICE_UNREACHABLE', /closing/, 'afterwards')
  await wan.close()
})

t.test('close lets end what can, within reason', async (t) => {
  const trial = await Trial.start(t, { responseMs: neverMs })
  const { wan, meter } = trial
  let held: Seen | undefined
  meter.script = (seen) => {
    if (seen.tag === getTag && seen.device === 1) held = seen
    else if (seen.device !== 3) seen.answer()
  }
  const ends = trial.answers(1, 1, 'what is under way may end')
  const never = trial.fails(3, 'DEVICE_SILENT', /in time/, 'and what does not is given up')
  await meter.until(() => held !== undefined && meter.count(aarqTag, 3) === 1)
  const closed = wan.close()
  held!.answer()
  await ends
  await never
  await closed
  t.match(wan.counts, { exchanges: 0, connections: 0 })
})

t.test('close does not wait for an answer that goes on and on', async (t) => {
  const trial = await Trial.start(t, { responseMs: neverMs, exchangeMs: neverMs })
  const { wan, meter } = trial
  meter.apduBytesMax = 64
  meter.get = () => Buffer.concat([Buffer.of(9, 0x83, 8, 0, 0), Buffer.alloc(0x8_0000)])
  const endless = trial.fails(1, 'DEVICE_SILENT', /in time/, 'an answer of ten thousand blocks')
  await meter.until(() => meter.count(getTag) > 2)
  await wan.close()
  await endless
})

t.test('thousands that fail before anything is sent', async (t) => {
  const trial = await Trial.start(t)
  const security = {
    suite: 0,
    mechanism: 5,
    protection: 0x30,
    clientTitle: Buffer.alloc(8),
  } as const
  const results = await Promise.all(
    Array.from({ length: 20_000 }, (_, i) => {
      const counters = { from: 0, to: 9, received: 0 }
      return trial.wan.exchange(
        { ...trial.meter.address(1 + i), security },
        { cosem: [get(1)] },
        Lane.NORMAL,
        { device, sealedKeys: Buffer.of(1), counters },
      )
    }),
  )
  const details = new Set(results.map((result) => (result.ok ? 'OK' : result.detail)))
  t.same([...details], ['KEYS_ENCRYPTION_KEY_MISSING'])
  await trial.answers(1, 1, 'and the connection is as it was')
  t.equal(trial.meter.accepted, 1)
})

t.test('the question for a counter takes of the time of the exchange', async (t) => {
  const trial = await Trial.start(t, { responseMs: neverMs, exchangeMs: 1_000, keys: vault })
  const { meter } = trial
  meter.script = () => {}
  const { address, sealedKeys } = securedRecord(device)
  const { security } = address
  const counters = { from: 3, to: 9, received: -1 }
  const result = await trial.wan.exchange(
    { ...meter.address(1, 1), security },
    { cosem: [get(1)] },
    Lane.NORMAL,
    { device, sealedKeys: sealedKeys!, counters },
  )
  isFailure(t, result, 'DEVICE_SILENT', /in time/, 'silent')
  t.same(result.counters, { next: 3, received: -1 })
  t.equal(meter.count(aarqTag), 1, 'nothing was begun after that')
})

t.test('close while connecting', async (t) => {
  const trial = await Trial.start(t)
  const early = trial.fails(2, 'DEVICE_UNREACHABLE', /closing|not needed/, 'not connected yet')
  await trial.wan.close()
  await early
})
