/**
 * A host that reaches devices through other processes: the contract over a bus in memory, and what
 * wan processes that come, go, die and are full mean to exchanges.
 */
import t, { type Test } from 'tap'
import { limits } from '../../../../core/base/limits.ts'
import { Lane } from '../../../../core/base/lane.ts'
import { systemClock } from '../../../../core/ports/clock.ts'
import { decodeWanStatus, statusSubject } from '../../../../core/cluster/process-status.ts'
import type { Log, LogFields } from '../../../../core/ports/log.ts'
import { silentLog } from '../../../../core/ports/log.ts'
import { noMetrics } from '../../../../core/ports/metrics.ts'
import { seededRandom } from '../../../../core/ports/random.ts'
import { SimBus } from '../../../../core/ports/sim/bus.ts'
import { SimClock } from '../../../../core/ports/sim/clock.ts'
import { SimWan, type SimExchange } from '../../../../core/ports/sim/wan.ts'
import type { DeviceAddress, ExchangeResult, WanCommand } from '../../../../core/ports/wan.ts'
import { BusWan, type BusWanOptions } from '../../../../core/wan/remote/bus-wan.ts'
import {
  decodeDialledIn,
  DialInPlaces,
  encodeDialledIn,
} from '../../../../core/wan/remote/dial-in-places.ts'
import { EitherWan } from '../../../../core/wan/remote/either-wan.ts'
import { decodeExchanges, encodeResults } from '../../../../core/wan/remote/exchange-frame.ts'
import { WanServer, type WanServerOptions } from '../../../../core/wan/remote/wan-server.ts'
import { wanContract } from '../../../contracts/wan.ts'
import { deviceKey } from '../../../support/envelopes.ts'
import { securedRecord } from '../../../support/keys.ts'
import { settle } from '../../../support/world.ts'
import { get, startWan } from '../trial.ts'

t.test('contract', (t) => {
  wanContract(t, async (test, options) => {
    const clock = systemClock
    const ports = { bus: new SimBus({ clock }), clock, log: silentLog, metrics: noMetrics }
    const client = new BusWan({ ...ports, random: seededRandom(1) })
    await client.start()
    const pool = startWan(test, options)
    const connectionCount = (): number => pool.counts.connections
    const server = new WanServer({
      ...ports,
      wanId: 'wan',
      roles: ['wan'],
      wan: pool,
      connectionCount,
    })
    await server.start()
    const close = async (): Promise<void> => {
      await client.close()
      await server.close()
    }
    test.teardown(close)
    return {
      exchange: (...asked) => client.exchange(...asked),
      close,
    }
  })
  t.end()
})

const good = (exchange: SimExchange): void =>
  exchange.answer({
    ok: true,
    results: (exchange.command.cosem ?? []).map(() => ({ value: Buffer.of(17, 1), result: 0 })),
    ...(exchange.command.opaque && { answerBytes: Buffer.of(0xdf, ...exchange.command.opaque) }),
  })
const addressOf = (number: number): DeviceAddress => ({
  host: `10.0.${number >> 8}.${number & 255}`,
  port: 4059,
  logicalDevice: 1,
  client: 16,
})

/** One wan process on twins; what it was asked and has not answered is in `asked`. */
type SimProcess = {
  wanId: string
  server: WanServer
  asked: SimExchange[]
  /** Everything that it was ever asked. */
  hosts: Set<string>
  isAnswering: boolean
  /** The process is gone without a word. */
  die(): void
}

class Rig {
  readonly clock = new SimClock(1e12)
  readonly lines: Array<{ fields: LogFields; message: string }> = []
  readonly dead = new Set<string>()
  /** Subjects of frames and answers that are lost. */
  readonly lost = new Set<string>()
  readonly frames: Array<{ subject: string; frame: Buffer }> = []
  readonly bus = new SimBus({
    clock: this.clock,
    onSend: (subject, frame) => {
      if (!subject.startsWith('wan-alive')) this.frames.push({ subject, frame: Buffer.from(frame) })
      return this.lost.has(subject) || this.dead.has(subject.split('.')[1] ?? '') ? [] : [0]
    },
  })
  readonly log: Log
  readonly client: BusWan

  constructor(options: Partial<BusWanOptions> = {}) {
    const line = (fields: LogFields, message: string): void =>
      void this.lines.push({ fields, message })
    this.log = { debug: line, info: line, warn: line, error: line }
    this.client = new BusWan({ ...this.ports, random: seededRandom(1), ...options })
  }

  get ports(): Pick<BusWanOptions, 'bus' | 'clock' | 'log' | 'metrics'> {
    return { bus: this.bus, clock: this.clock, log: this.log, metrics: noMetrics }
  }

  static async start(
    test: Test,
    names: readonly string[],
    options: Partial<BusWanOptions & WanServerOptions> = {},
  ): Promise<{ rig: Rig; processes: SimProcess[] }> {
    const rig = new Rig(options)
    await rig.client.start()
    test.teardown(() => rig.client.close())
    const processes: SimProcess[] = []
    for (const name of names) processes.push(await rig.process(name, options))
    await settle()
    return { rig, processes }
  }

  async process(wanId: string, options: Partial<WanServerOptions> = {}): Promise<SimProcess> {
    const wan = new SimWan((exchange) => {
      process.hosts.add(exchange.address.host)
      if (process.isAnswering) good(exchange)
      else process.asked.push(exchange)
    })
    const server = new WanServer({
      ...this.ports,
      ...options,
      wanId,
      roles: ['wan'],
      wan,
      connectionCount: () => 3,
    })
    const process: SimProcess = {
      wanId,
      server,
      asked: [],
      hosts: new Set(),
      isAnswering: true,
      die: () => this.dead.add(wanId),
    }
    await server.start()
    return process
  }

  ask(number: number, lane: Lane = Lane.NORMAL): Promise<ExchangeResult> {
    return this.client.exchange(addressOf(number), { cosem: [get(number)] }, lane)
  }

  /** Time goes on in steps in which everything that can happen does. */
  async pass(ms: number): Promise<void> {
    for (let gone = 0; gone < ms; gone += 250) {
      this.clock.advanceBy(250)
      await settle()
    }
  }
}

const codeOf = (result: ExchangeResult): string =>
  result.ok ? 'OK' : `${result.code} ${result.detail}`
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

t.test('keys go along sealed, counters come back; what went nowhere has used none', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  const [process] = processes
  process!.isAnswering = false
  const device = deviceKey(1)
  const { address, sealedKeys } = securedRecord(device)
  const security = {
    device,
    sealedKeys: sealedKeys!,
    counters: { from: 5, to: 9, received: 3 },
  }
  const asked = rig.client.exchange(address, { cosem: [get(1)] }, Lane.NORMAL, security)
  await settle()
  t.same(process!.asked[0]!.security, security)
  t.same({ ...process!.asked[0]!.address, secret: undefined }, { ...address, secret: undefined })
  const counters = { next: 7, received: 4, expected: 12 }
  process!.asked[0]!.answer({ ok: false, code: 'DEVICE_SILENT', detail: '', counters })
  await settle()
  t.same((await asked).counters, counters)
  const lost = rig.client.exchange(address, { cosem: [get(1)] }, Lane.NORMAL, security)
  await settle()
  process!.die()
  await rig.pass(6_000)
  t.equal((await lost).counters, undefined, 'nobody knows')
  const waiting = rig.client.exchange(address, { cosem: [get(1)] }, Lane.NORMAL, security)
  await rig.pass(40_000)
  t.same((await waiting).counters, { next: 5, received: 3 }, 'no wan process was there')
})

t.test('an address stays with one process, and only those of one that goes move', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a', 'b', 'c'])
  const askAll = async (): Promise<void> => {
    const results = await Promise.all(numbers(600).map((number) => rig.ask(number)))
    t.same([...new Set(results.map(codeOf))], ['OK'])
  }
  const homes = (): Map<string, string> => {
    const found = new Map<string, string>()
    for (const { wanId, hosts } of processes) for (const host of hosts) found.set(host, wanId)
    const asked = processes.reduce((sum, { hosts }) => sum + hosts.size, 0)
    t.equal(asked, found.size, 'one process an address')
    return found
  }
  await askAll()
  await askAll()
  const before = homes()
  for (const { wanId, hosts } of processes)
    t.ok(hosts.size > 150 && hosts.size < 250, `${wanId} has ${hosts.size} of 600`)
  await processes[1]!.server.close()
  await rig.pass(limits.wanSilenceMsMax + limits.wanLookMs)
  for (const { hosts } of processes) hosts.clear()
  await askAll()
  t.equal(processes[1]!.hosts.size, 0)
  const moved = [...homes()].filter(([host, wanId]) => before.get(host) !== wanId)
  t.ok(moved.length > 150)
  t.ok(
    moved.every(([host]) => before.get(host) === 'b'),
    'nobody else moved',
  )
})

t.test('many exchanges are few frames, there and back', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  processes[0]!.isAnswering = false
  const first = rig.ask(0)
  await settle()
  t.equal(rig.frames.filter(({ subject }) => subject === 'wan.a').length, 2, 'a frame, its receipt')
  rig.frames.length = 0
  const results = numbers(1_000).map((number) => rig.ask(number))
  await settle()
  const isExchanges = ({ subject, frame }: { subject: string; frame: Buffer }): boolean =>
    subject === 'wan.a' && frame[0] === 0x93
  const sent = rig.frames.filter(isExchanges)
  t.ok(sent.length <= 2, `${sent.length} frames for a thousand exchanges`)
  t.equal(processes[0]!.asked.length, 1_001)
  for (const exchange of processes[0]!.asked) good(exchange)
  await Promise.all([first, ...results])
  const back = rig.frames.filter(({ subject }) => subject.startsWith('wan-results'))
  t.ok(back.length <= 6, `${back.length} frames and receipts for a thousand results`)
  t.equal(rig.client.count, 0)
})

t.test('while frames are out the next one gathers, urgent ones in front', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  processes[0]!.isAnswering = false
  // No receipts: as many frames go out as may, and the rest waits.
  rig.lost.add('wan.a')
  for (let frame = 0; frame < limits.wanFramesInFlightMax; frame++) {
    void rig.ask(frame)
    await settle()
  }
  const waiting = [Lane.BULK, Lane.NORMAL, Lane.URGENT].map((lane, i) => rig.ask(100 + i, lane))
  await settle()
  t.equal(rig.frames.length, limits.wanFramesInFlightMax)
  rig.lost.clear()
  rig.frames.length = 0
  // Silence is heard of before a receipt is missed: the process is back as soon as it is heard.
  await rig.pass(limits.wanReceiptMsMax + limits.aliveIntervalMs)
  const [next] = rig.frames.filter(({ subject }) => subject === 'wan.a')
  t.same(
    decodeExchanges(next!.frame).exchanges.map(({ lane }) => lane),
    [Lane.URGENT, Lane.NORMAL, Lane.BULK],
  )
  for (const exchange of processes[0]!.asked) good(exchange)
  t.same((await Promise.all(waiting)).map(codeOf), ['OK', 'OK', 'OK'])
})

t.test(
  'a process that dies has failed what it had, by silence; the next goes elsewhere',
  async (t) => {
    const { rig, processes } = await Rig.start(t, ['a', 'b'])
    const [a, b] = processes as [SimProcess, SimProcess]
    a.isAnswering = b.isAnswering = false
    const results = numbers(40).map((number) => rig.ask(number))
    await settle()
    const lost = a.asked.length
    t.ok(lost > 5 && b.asked.length > 5)
    a.die()
    await rig.pass(limits.wanSilenceMsMax + limits.wanLookMs)
    for (const exchange of b.asked) good(exchange)
    await settle()
    const codes = (await Promise.all(results)).map(codeOf)
    t.equal(codes.filter((code) => code === 'OK').length, 40 - lost)
    t.equal(codes.filter((code) => /^DEVICE_UNREACHABLE .*has gone/.test(code)).length, lost)
    b.isAnswering = true
    t.same(
      new Set((await Promise.all(numbers(40).map((number) => rig.ask(number)))).map(codeOf)),
      new Set(['OK']),
    )
    t.equal(b.hosts.size, 40)
  },
)

t.test(
  'nobody serves it any more: told at once, and what had not gone out goes elsewhere',
  async (t) => {
    const { rig, processes } = await Rig.start(t, ['a'])
    await rig.bus.serve('wan.a', () => {}).then((served) => served.close())
    const sent = rig.ask(1)
    t.match(codeOf(await sent), /^DEVICE_UNREACHABLE/)
    const waiting = rig.ask(2)
    await rig.process('b')
    t.equal(codeOf(await waiting), 'OK')
    t.equal(processes[0]!.hosts.size, 0)
  },
)

t.test(
  'a process that ends in order: what it has ends there, what comes goes elsewhere',
  async (t) => {
    const { rig, processes } = await Rig.start(t, ['a', 'b'])
    const a = processes[0]!
    a.isAnswering = false
    const early = numbers(20).map((number) => rig.ask(number))
    await settle()
    const held = a.asked.length
    t.ok(held > 3)
    const closed = a.server.close()
    const late = await Promise.all(numbers(20).map((number) => rig.ask(100 + number)))
    t.same(new Set(late.map(codeOf)), new Set(['OK']))
    t.equal(a.asked.length, held, 'nothing new')
    await rig.pass(limits.wanSilenceMsMax + 500)
    for (const exchange of a.asked) good(exchange)
    t.same(new Set((await Promise.all(early)).map(codeOf)), new Set(['OK']), 'nothing failed')
    await rig.pass(1_000)
    await closed
  },
)

t.test('one that ends before it has answers says so', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  processes[0]!.isAnswering = false
  const result = rig.ask(1)
  await settle()
  const closed = processes[0]!.server.close()
  await rig.pass(limits.wanDrainMsMax + 1_000)
  await closed
  t.match(codeOf(await result), /^DEVICE_UNREACHABLE the WAN was closed/)
})

t.test(
  'without any process exchanges wait for one, and are told when their time is over',
  async (t) => {
    const { rig } = await Rig.start(t, [])
    t.match(rig.client.trouble, /no process with the role wan/)
    const early = rig.ask(1)
    await rig.pass(limits.wanExchangeMsMax)
    t.same(
      rig.lines.filter(({ message }) => /no process with the role wan/.test(message)).length,
      1,
      'said once',
    )
    const late = rig.ask(2)
    await rig.pass(limits.wanTransitMsMax + limits.wanLookMs)
    t.match(codeOf(await early), /^DEVICE_UNREACHABLE no wan process was there in time/)
    await rig.process('a')
    t.equal(codeOf(await late), 'OK')
    t.equal(rig.client.trouble, undefined)
  },
)

t.test('results that get lost: the exchange ends when its time is over', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  processes[0]!.isAnswering = false
  const result = rig.ask(1)
  await settle()
  const client = decodeExchanges(rig.frames[0]!.frame).client
  rig.lost.add(`wan-results.${client}`)
  good(processes[0]!.asked[0]!)
  // Set back meanwhile: the wait is one of elapsed time.
  rig.clock.setBy(-3_600_000)
  await rig.pass(limits.wanExchangeMsMax + limits.wanTransitMsMax)
  t.match(codeOf(await result), /^DEVICE_UNREACHABLE .*no result in time/)
  rig.lost.clear()
  processes[0]!.isAnswering = true
  t.equal(codeOf(await rig.ask(1)), 'OK', 'and the next is not confused')
})

t.test('limits: exchanges and octets under way, here and there; refused as values', async (t) => {
  const few = await Rig.start(t, ['a'], { exchangesMax: 2 })
  few.processes[0]!.isAnswering = false
  void few.rig.ask(1)
  void few.rig.ask(2)
  t.match(codeOf(await few.rig.ask(3)), /^DEVICE_UNREACHABLE too many exchanges/)

  const narrow = new Rig({ bytesInFlightMax: 150 })
  await narrow.client.start()
  t.teardown(() => narrow.client.close())
  void narrow.ask(1)
  t.match(codeOf(await narrow.ask(2)), /^DEVICE_UNREACHABLE too many exchanges/)

  const wide = new Rig()
  await wide.client.start()
  t.teardown(() => wide.client.close())
  const small = await wide.process('a', { bytesInFlightMax: 150 })
  small.isAnswering = false
  await settle()
  const held = wide.ask(1)
  await settle()
  t.match(codeOf(await wide.ask(2)), /^DEVICE_UNREACHABLE .*as much as it may/)
  small.asked[0]!.answer({ ok: true, results: [{ value: Buffer.alloc(500), result: 0 }] })
  t.match(codeOf(await held), /^DEVICE_UNREACHABLE too many octets/)
  small.isAnswering = true
  t.equal(codeOf(await wide.ask(3)), 'OK', 'there is room again')

  const { rig, processes } = await Rig.start(t, ['a'])
  processes[0]!.isAnswering = false
  const huge = rig.ask(1)
  await settle()
  const value = Buffer.alloc(limits.frameBytesMax)
  processes[0]!.asked[0]!.answer({ ok: true, results: [{ value, result: 0 }] })
  t.match(codeOf(await huge), /^DEVICE_ANSWER_INVALID a result of \d+ octets/)
  const operations = [{ ...get(1), value }]
  const sent = await rig.client.exchange(addressOf(1), { cosem: operations }, Lane.NORMAL)
  t.match(codeOf(sent), /^DEVICE_UNREACHABLE an exchange of \d+ octets/)
})

t.test('a device that dials in is asked where it is', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a', 'b'])
  const [a, b] = processes
  const at = (host: string): DeviceAddress => ({ ...addressOf(1), transport: 'dial-in', host })
  const own = new SimWan(() => t.fail('not by connections of its own'))
  const either = new EitherWan(own, rig.client)
  const ask = (host = '00DB100000000007') =>
    either.exchange(at(host), { cosem: [get(1)] }, Lane.NORMAL)
  const first = ask()
  await rig.pass(5_000)
  t.same([a!.hosts.size, b!.hosts.size], [0, 0], 'it waits for the device')
  b!.server.tell(['EQUIPMENT-7', '00DB100000000007'])
  t.equal(codeOf(await first), 'OK')
  t.same([a!.hosts.size, b!.hosts.size], [0, 1])
  // However its name is written in the record.
  t.equal(codeOf(await ask('00-DB-10-00-00-00-00-07')), 'OK')
  a!.server.tell(['00DB100000000007'])
  await settle()
  t.equal(codeOf(await ask()), 'OK')
  t.equal(a!.hosts.size, 1, 'it has connected elsewhere')
  a!.die()
  await rig.pass(limits.wanSilenceMsMax + 2 * limits.wanLookMs)
  const second = ask()
  await rig.pass(1_000)
  b!.server.tell(['00DB100000000007'])
  t.equal(codeOf(await second), 'OK', 'and comes back when that one has gone')
  await rig.pass(4 * limits.dialInTellMs)
  const third = ask()
  await rig.pass(limits.wanExchangeMsMax + limits.wanTransitMsMax + limits.wanLookMs)
  t.match(codeOf(await third), /^DEVICE_UNREACHABLE the device has not dialled in/)
  rig.bus.announce('dial-in.b', Buffer.from('odd'))
  await settle()
  t.match(JSON.stringify(rig.lines), /names of devices are malformed/)
  await own.close()
})

t.test('names of many devices take several announcements, and come again', async (t) => {
  const names = Array.from({ length: 2 * limits.dialInNamesMax + 1 }, (_, i) => `DEVICE-${i}`)
  const frames = encodeDialledIn('a', names)
  t.equal(frames.length, 3)
  t.same(
    frames.flatMap((frame) => decodeDialledIn(frame).names),
    names,
  )
  const { rig } = await Rig.start(t, ['a'], { dialledIn: () => names })
  const address: DeviceAddress = { ...addressOf(1), transport: 'dial-in', host: names.at(-1)! }
  t.equal(codeOf(await rig.client.exchange(address, { cosem: [get(1)] }, Lane.NORMAL)), 'OK')
  const places = new DialInPlaces()
  for (let i = 0; i <= limits.dialInPlacesMax; i++) places.note('a', `${i}`, 0)
  t.equal(places.at('0'), undefined, 'the longest unheard is forgotten')
  t.equal(places.at('1'), 'a')
})

t.test('frames that are none are refused by name, and nothing secret is logged', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  const secret = Buffer.from('very-secret')
  await rig.client.exchange({ ...addressOf(1), secret }, { cosem: [get(1)] }, Lane.NORMAL)
  const [frame] = rig.frames.filter(({ subject }) => subject === 'wan.a')
  t.ok(frame!.frame.includes(secret), 'the device must hear it')
  const { client } = decodeExchanges(frame!.frame)
  for (const subject of ['wan.a', `wan-results.${client}`]) {
    const receipt = await rig.bus.request(subject, frame!.frame.subarray(0, 60), 1_000)
    t.equal(receipt.toString('hex'), '92cd0004cc03')
  }
  processes[0]!.die()
  const lost = rig.client.exchange({ ...addressOf(1), secret }, { cosem: [get(1)] }, Lane.NORMAL)
  await rig.pass(limits.wanReceiptMsMax + limits.wanLookMs)
  t.match(codeOf(await lost), /^DEVICE_UNREACHABLE/)
  const text = JSON.stringify(rig.lines)
  t.match(text, /FRAME_MALFORMED/)
  t.notMatch(text, /very-secret|766572792d736563726574/)
})

t.test('a process of an earlier version takes no opaque command, and the rest', async (t) => {
  const { rig } = await Rig.start(t, [])
  const taken: number[] = []
  const old = await rig.bus.serve('wan.old', (frame, reply) => {
    // What one of version 4 does with another version, and with its own.
    if (frame.readUInt16BE(2) !== 4) return reply(Buffer.from('92cd0004cc03', 'hex'))
    reply(Buffer.from('92cd0004cc00', 'hex'))
    const { client, exchanges } = decodeExchanges(Buffer.from(frame))
    taken.push(...exchanges.map(({ address }) => address.port))
    const results = exchanges.map(({ number }) => ({
      number,
      result: { ok: true as const, results: [{ value: Buffer.of(17, 1), result: 0 }] },
    }))
    void rig.bus.request(`wan-results.${client}`, encodeResults('old', results), 1_000)
  })
  rig.bus.announce('wan-alive.old', Buffer.from('old'))
  await settle()
  const device = deviceKey(1)
  const { sealedKeys } = securedRecord(device)
  const security = { device, sealedKeys: sealedKeys!, counters: { from: 5, to: 9, received: 3 } }
  const opaque = { opaque: Buffer.of(0xdf) }
  const [refused, carried] = [
    rig.client.exchange(addressOf(1), opaque, Lane.NORMAL, security),
    rig.client.exchange({ ...addressOf(1), port: 7 }, { cosem: [get(1)] }, Lane.NORMAL),
  ]
  await settle()
  t.match(codeOf(await refused), /^DEVICE_UNREACHABLE .*takes no opaque commands: compare/)
  t.same((await refused).counters, { next: 5, received: 3 }, 'nothing was sent')
  t.equal(codeOf(await carried), 'OK')
  t.same(taken, [7], 'once')
  t.equal(rig.client.count, 0)
  t.match(JSON.stringify(rig.lines), /takes no opaque command/)
  await old.close()
})

t.test('an answer to another kind of command is refused', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  const [process] = processes
  process!.isAnswering = false
  const opaque = { opaque: Buffer.of(0xdf) }
  const ask = async (command: WanCommand, result: ExchangeResult): Promise<string> => {
    const asked = rig.client.exchange(addressOf(1), command, Lane.NORMAL)
    await settle()
    process!.asked.pop()!.answer(result)
    return codeOf(await asked)
  }
  const answerBytes = Buffer.of(0xdf)
  const one = [{ value: Buffer.of(17, 1), result: 0 }]
  t.equal(await ask(opaque, { ok: true, results: [], answerBytes }), 'OK')
  const missing = /^DEVICE_ANSWER_INVALID results are missing/
  t.match(await ask(opaque, { ok: true, results: [] }), missing)
  t.match(await ask({ cosem: [get(1)] }, { ok: true, results: one, answerBytes }), missing)
  const huge = Buffer.alloc(limits.frameBytesMax)
  t.match(
    await ask(opaque, { ok: true, results: [], answerBytes: huge }),
    /^DEVICE_ANSWER_INVALID a result of/,
  )
  const sent = await rig.client.exchange(addressOf(1), { opaque: huge }, Lane.NORMAL)
  t.match(codeOf(sent), /^DEVICE_UNREACHABLE an exchange of \d+ octets/)
})

t.test('a receipt or results that make no sense', async (t) => {
  const { rig } = await Rig.start(t, [])
  const served = await rig.bus.serve('wan.odd', (_frame, reply) => reply(Buffer.from('odd')))
  rig.bus.announce('wan-alive.odd', Buffer.from('odd'))
  rig.bus.announce('wan-alive.x', Buffer.from('no name!'))
  await settle()
  t.match(codeOf(await rig.ask(1)), /^DEVICE_UNREACHABLE .*versions/)
  const both = [{ opaque: Buffer.of(0xdf) }, { cosem: [get(1)] }].map((command) =>
    rig.client.exchange(addressOf(1), command as WanCommand, Lane.NORMAL),
  )
  for (const result of await Promise.all(both))
    t.match(codeOf(result), /^DEVICE_UNREACHABLE .*versions/)
  const sent = rig.frames.filter(({ subject, frame }) => subject === 'wan.odd' && frame[0] === 0x93)
  t.equal(sent.length, 2, 'not once more')
  await served.close()
  await rig.pass(limits.wanSilenceMsMax + limits.wanLookMs)
  const short = await rig.process('short')
  short.isAnswering = false
  await settle()
  const result = rig.client.exchange(addressOf(1), { cosem: [get(1), get(2)] }, Lane.NORMAL)
  await settle()
  short.asked[0]!.answer({ ok: true, results: [] })
  t.match(codeOf(await result), /^DEVICE_ANSWER_INVALID results are missing/)
})

t.test('status of a wan process', async (t) => {
  const { rig, processes } = await Rig.start(t, ['a'])
  processes[0]!.isAnswering = false
  void rig.ask(1)
  await settle()
  const answer = await rig.bus.request(statusSubject('a'), Buffer.alloc(0), 1_000)
  t.same(decodeWanStatus(answer), { wanId: 'a', roles: ['wan'], exchanges: 1, connections: 3 })
  t.throws(() => decodeWanStatus(Buffer.from('{"wanId":"a","roles":["wan"],"exchanges":-1}')), {
    code: 'FRAME_MALFORMED',
  })
})
