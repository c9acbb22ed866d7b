/**
 * Fleets over real sockets: associations, logical devices, secrets, every fault as a client sees
 * it, hostile octets, and the process of its own. Coalescing and back-pressure are shown on a
 * socket that counts, since a real one does not say.
 */
import { spawn } from 'node:child_process'
import { createSocket, Socket as DatagramSocket } from 'node:dgram'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { seededRandom } from '../../../../core/ports/random.ts'
import { BrokerError } from '../../../../core/base/broker-error.ts'
import { Conformance, DataAccessResult } from '../../../../core/dlms/apdu/constants.ts'
import { AxdrWriter, decodeValue, skipValue } from '../../../../core/dlms/axdr/axdr.ts'
import { DlmsClient } from '../../../../core/dlms/client/client.ts'
import {
  wrapInPlace,
  WrapperReader,
  writeWrapperHeader,
} from '../../../../core/dlms/framing/wrapper.ts'
import { SimClock } from '../../../../core/ports/sim/clock.ts'
import type { CosemOperation, DeviceAddress } from '../../../../core/ports/wan.ts'
import {
  connectionLimits,
  serveConnection,
  type Concentrator,
} from '../../../../actors/simulator/network/connection.ts'
import { listenForDatagrams } from '../../../../actors/simulator/network/datagrams.ts'
import { FaultBoard, makeFault, parseFaults } from '../../../../actors/simulator/network/faults.ts'
import {
  startFleet,
  type Fleet,
  type FleetOptions,
} from '../../../../actors/simulator/network/fleet.ts'
import { dialAgainMs, runFleetProcess } from '../../../../actors/simulator/network/fleet-process.ts'
import { Meter } from '../../../../actors/simulator/meter.ts'
import { pushMsMax } from '../../../../actors/simulator/network/outgoing.ts'
import { encodeRlrq } from '../../../support/acse.ts'
import { Caller, energy, get, outcomeOf, profile } from '../../../support/caller.ts'
import { MeterLine } from '../../../support/meter-line.ts'
import { descriptor, nowMs } from '../../../support/meters.ts'

/** The object list. */
const associations = get(15, '0-0:40.0.0.255', 2)
const electricity = { seed: 7, gasShare: 0, gasProxyShare: 0, secretShare: 0 }

type Tap = { teardown(action: () => unknown): unknown }

async function withFleet(
  t: Tap,
  options: Partial<FleetOptions> = {},
): Promise<{ fleet: Fleet; clock: SimClock }> {
  const clock = new SimClock(nowMs)
  const fleet = await startFleet({ meters: 3, ...electricity, clock, ...options })
  t.teardown(() => fleet.close())
  return { fleet, clock }
}

const call = (t: Tap, { host, port }: Pick<DeviceAddress, 'host' | 'port'>): Caller => {
  const caller = new Caller(host, port)
  t.teardown(() => caller.socket.destroy())
  return caller
}

t.test('meters answer over sockets, several on one', async (t) => {
  const { fleet, clock } = await withFleet(t, { meters: 5, metersPerListener: 3 })
  t.equal(fleet.ports.length, 2)
  const devices = [...fleet.devices()]
  t.equal(devices.length, 5)
  t.same(
    devices.map(({ record }) => record.address.logicalDevice),
    [1, 2, 3, 1, 2],
  )
  t.same(
    devices.map(({ record }) => record.address.port),
    [0, 0, 0, 1, 1].map((listener) => fleet.ports[listener]),
  )
  const caller = call(t, devices[0]!.record.address)
  for (const index of [0, 1, 2]) {
    const { address } = devices[index]!.record
    const association = new DlmsClient()
    const [value, unit] = await caller.exchange(association, address, [
      energy,
      get(3, '1-0:1.8.0.255', 3),
    ])
    t.same(decodeValue(value!.value as Buffer, 0), {
      tag: 6,
      value: fleet.meter(index).loadAt(clock.now()),
    })
    t.same(unit!.result, 0)
    const [whole] = await caller.exchange(association, address, [profile])
    t.equal(whole!.value!.length, 4 + 19_200 * 23, 'a profile of 13 months, in blocks')
    t.equal(skipValue(whole!.value as Buffer, 0), whole!.value!.length)
    const results = await caller.exchange(association, address, [
      {
        kind: 'set',
        descriptor: descriptor(1, '0-0:96.13.0.255', 2),
        value: new AxdrWriter().octetString(Buffer.from('hello')).take(),
      },
      {
        kind: 'action',
        descriptor: descriptor(70, '0-0:96.3.10.255', 1),
        value: new AxdrWriter().int8(0).take(),
      },
      get(70, '0-0:96.3.10.255', 2),
      get(1, '0-0:96.13.0.255', 2),
      get(9, '0-0:96.13.0.255', 2),
    ])
    t.same(
      results.map(({ result }) => result),
      [0, 0, 0, 0, DataAccessResult.OBJECT_CLASS_INCONSISTENT],
    )
    t.notOk(fleet.meter(index).isConnected)
    caller.send(association.release(), address)
    t.same(association.receive((await caller.next()).apduView), { released: true })
    const again = await caller.exchange(association, address, [energy])
    t.equal(again[0]!.result, 0, 'and associates again')
  }
  t.equal(fleet.counts.connections, 1)
  fleet.cutConnections()
  t.equal(await outcomeOf(caller.next()), 'closed')
})

t.test('secrets', async (t) => {
  const { fleet } = await withFleet(t, { meters: 1, secretShare: 1 })
  const { address } = fleet.device(0).record
  t.equal(address.client, 1)
  const caller = call(t, address)
  const good = await caller.exchange(new DlmsClient({ secret: address.secret }), address, [energy])
  t.equal(good[0]!.result, 0)
  const wrong = new DlmsClient({ secret: Buffer.from('not the secret..') })
  t.equal(await outcomeOf(caller.exchange(wrong, address, [energy])), 'DLMS_ASSOCIATION_REFUSED')
  t.equal(
    await outcomeOf(caller.exchange(new DlmsClient(), address, [energy])),
    'DLMS_ASSOCIATION_REFUSED',
    'none at all',
  )
  const open = await caller.exchange(new DlmsClient(), { client: 16, logicalDevice: 1 }, [
    energy,
    get(1, '0-0:42.0.0.255', 2),
  ])
  t.same(
    open.map(({ result }) => result),
    [DataAccessResult.READ_WRITE_DENIED, 0],
    'the public client sees who it is, and no reading',
  )
})

t.test('faults, as a client meets them', async (t) => {
  const { fleet } = await withFleet(t)
  const outcomes: Array<[string, string, CosemOperation]> = [
    ['wrong-invoke-id', 'DLMS_INVOKE_ID_WRONG', energy],
    ['wrong-block-number', 'DLMS_BLOCK_NUMBER_WRONG', energy],
    ['wrong-block-number', 'DLMS_BLOCK_NUMBER_WRONG', profile],
    ['too-much', 'DLMS_SIZE_EXCEEDED', energy],
    ['refuse-association', 'DLMS_ASSOCIATION_REFUSED', energy],
    ['exception', 'DLMS_EXCEPTION', energy],
    ['noise', 'DLMS_WRAPPER_INVALID', energy],
    ['drop', 'closed', energy],
    ['truncate', 'closed', energy],
  ]
  for (const [words, expected, operation] of outcomes) {
    const { address } = fleet.device(1).record
    const caller = call(t, address)
    fleet.setFault(1, parseFaults(words))
    t.equal(
      await outcomeOf(caller.exchange(new DlmsClient(), address, [operation])),
      expected,
      words,
    )
    fleet.setFault(1, undefined)
    const after = caller.socket.destroyed || expected === 'closed' ? call(t, address) : caller
    t.equal(
      await outcomeOf(after.exchange(new DlmsClient(), address, [energy])),
      'answered',
      `${words}, and well again`,
    )
  }
  const { address } = fleet.device(1).record
  fleet.setFault('all', makeFault('garbage'))
  for (let i = 0; i < 20; i++)
    t.match(
      await outcomeOf(call(t, address).exchange(new DlmsClient(), address, [energy])),
      /^DLMS_/,
    )
  fleet.setFault('all', undefined)
  t.ok(fleet.counts.faults >= 29)
  t.throws(() => fleet.setFault(3, makeFault('drop')), { code: 'CONFIG_INVALID' })
})

t.test('a block transfer interrupted by a fault that comes and goes', async (t) => {
  const { fleet } = await withFleet(t)
  const { address } = fleet.device(0).record
  const caller = call(t, address)
  const association = new DlmsClient()
  fleet.setFault(0, makeFault('too-much'))
  caller.send(association.begin([energy]), address)
  let step = association.receive((await caller.next()).apduView)
  for (let i = 0; i < 10 && 'send' in step; i++) {
    caller.send(step.send, address)
    step = association.receive((await caller.next()).apduView)
  }
  t.ok('send' in step, 'blocks keep coming')
  fleet.setFault(0, undefined)
  const fresh = new DlmsClient()
  t.equal(
    await outcomeOf(caller.exchange(fresh, address, [energy])),
    'answered',
    'a new association ends the endless answer',
  )
})

t.test('silent and slow, on one connection with a meter that is well', async (t) => {
  const { fleet, clock } = await withFleet(t)
  const [silent, slow, well] = [0, 1, 2].map((index) => fleet.device(index).record.address) as [
    DeviceAddress,
    DeviceAddress,
    DeviceAddress,
  ]
  const caller = call(t, well)
  fleet.setFault(0, makeFault('silent'))
  fleet.setFault(1, makeFault('slow', { delayMs: 200 }))
  const late = new DlmsClient()
  caller.send(new DlmsClient().begin([energy]), silent)
  caller.send(late.begin([energy]), slow)
  t.equal(
    await outcomeOf(caller.exchange(new DlmsClient(), well, [energy])),
    'answered',
    'nobody else is delayed',
  )
  t.equal(clock.nextMs(), nowMs + 200, 'the slow one is due later; the silent one never')
  clock.advanceBy(200)
  const frame = await caller.next()
  t.equal(frame.source, slow.logicalDevice)
  const step = late.receive(frame.apduView)
  if (!('send' in step)) throw new Error('its association was not accepted')
  caller.send(step.send, slow)
  await turnsUntil(() => clock.nextMs() !== undefined)
  caller.socket.destroy()
  await turnsUntil(() => fleet.counts.connections === 0)
  t.equal(clock.nextMs(), undefined, 'a slow answer is called off when its client has gone')
})

/** Lets the loop turn until what sockets bring has come. */
async function turnsUntil(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise<void>((resolve) => setImmediate(resolve))
}

t.test('clients that make no sense', async (t) => {
  const { fleet } = await withFleet(t)
  const { address } = fleet.device(0).record
  const http = call(t, address)
  http.socket.write('GET / HTTP/1.1\r\n\r\n')
  t.equal(await outcomeOf(http.next()), 'closed')
  t.equal(fleet.counts.malformed, 1)

  const caller = call(t, address)
  caller.send(new DlmsClient().begin([energy]), { client: 16, logicalDevice: 99 })
  for (const octets of [
    'ff',
    'c0',
    'c001c1',
    'c001c100030100010800ff02',
    '60',
    '6003800100',
    'c003c1ff',
  ]) {
    const frame = Buffer.alloc(8 + octets.length / 2)
    writeWrapperHeader(frame, 0, 16, 1, octets.length / 2)
    frame.set(Buffer.from(octets, 'hex'), 8)
    // One octet a write: frames are put together again.
    for (const octet of frame) caller.socket.write(Buffer.of(octet))
    t.equal(
      (await caller.next()).apduView[0],
      octets.startsWith('60') ? 0x61 : 0xd8,
      `${octets} is refused`,
    )
  }
  t.equal(fleet.counts.discarded, 1, 'a logical device that is not there says nothing')
  t.equal(await outcomeOf(caller.exchange(new DlmsClient(), address, [energy])), 'answered')
})

/** A socket that only counts. */
class CountingSocket extends EventEmitter {
  writes: Buffer[] = []
  writableLength = 0
  isPaused = false
  destroyed = false
  write(bytes: Buffer): boolean {
    this.writes.push(bytes)
    this.writableLength += bytes.length
    return false
  }
  pause(): void {
    this.isPaused = true
  }
  resume(): void {
    this.isPaused = false
  }
  end(): void {}
  destroySoon(): void {
    this.destroyed = true
  }
  destroy(): void {
    this.destroyed = true
  }
}

function concentratorOf(): Concentrator {
  const clock = new SimClock(nowMs)
  const population = { ...electricity, solarShare: 0 }
  const meters = [1, 2, 3].map((number) => new Meter({ population, clock }, number))
  return {
    clock,
    faults: new FaultBoard(1),
    counts: {
      connections: 0,
      requests: 0,
      answers: 0,
      discarded: 0,
      faults: 0,
      malformed: 0,
      refused: 0,
    },
    random: seededRandom(1),
    meterAt: (logicalDevice) => meters[logicalDevice - 1],
  }
}

t.test('answers to one chunk leave in one write', async (t) => {
  const socket = new CountingSocket()
  serveConnection(socket as unknown as Socket, concentratorOf())
  const aarqs = [1, 2, 3].map((logicalDevice) =>
    wrapInPlace(new DlmsClient().begin([energy]), 16, logicalDevice),
  )
  socket.emit('data', Buffer.concat(aarqs))
  t.equal(socket.writes.length, 1)
  const reader = new WrapperReader()
  reader.push(socket.writes[0]!)
  t.same(
    [reader.next()?.source, reader.next()?.source, reader.next()?.source, reader.next()],
    [1, 2, 3, undefined],
  )
})

t.test('a client that does not read is not read from', async (t) => {
  const concentrator = concentratorOf()
  const socket = new CountingSocket()
  serveConnection(socket as unknown as Socket, concentrator)
  const association = new DlmsClient()
  socket.emit('data', wrapInPlace(association.begin([profile]), 16, 1))
  const apdu = association.receive(socket.writes[0]!.subarray(8))
  if (!('send' in apdu)) throw new Error('associated')
  const ask = wrapInPlace(apdu.send, 16, 1)
  const asked = 200
  socket.writes = []
  socket.writableLength = 0
  socket.emit('data', Buffer.concat(Array.from({ length: asked }, () => ask)))
  t.ok(socket.isPaused)
  const held = socket.writableLength
  t.ok(
    held <= connectionLimits.bufferedBytesMax + connectionLimits.gatheredBytesMax + 0x1_0000,
    `${held} octets are held, of ${asked * 64} kB`,
  )
  let drains = 0
  while (socket.isPaused) {
    socket.writableLength = 0
    socket.emit('drain')
    drains++
  }
  t.ok(drains > 10)
  t.equal(concentrator.counts.answers, asked + 1, 'every question is answered in the end')
  socket.emit('close')
  t.equal(concentrator.counts.connections, 0)
})

t.test('after an answer that ends the connection nothing more is read', async (t) => {
  const concentrator = concentratorOf()
  const socket = new CountingSocket()
  serveConnection(socket as unknown as Socket, concentrator)
  concentrator.faults.set('all', [makeFault('drop')])
  const aarq = wrapInPlace(new DlmsClient().begin([energy]), 16, 1)
  socket.emit('data', Buffer.concat([aarq, aarq, aarq]))
  t.ok(socket.destroyed)
  socket.emit('data', aarq)
  socket.emit('drain')
  t.equal(concentrator.counts.requests, 1)
  t.same(socket.writes, [])
})

t.test('a request on which a fault has no bearing is answered well', async (t) => {
  const clock = new SimClock(nowMs)
  const line = new MeterLine([
    new Meter({ population: { ...electricity, solarShare: 0 }, clock }, 1),
  ])
  const { GET, GENERAL_BLOCK_TRANSFER } = Conformance
  const inBlocks = { conformance: GET | GENERAL_BLOCK_TRANSFER, apduBytesMax: 400 }
  const [well] = line.exchange(new DlmsClient(inBlocks), [associations])!
  line.board.set('all', [makeFault('wrong-block-number')])
  const results = line.exchange(new DlmsClient(inBlocks), [associations])
  t.ok(well!.value!.length > 8 * 400, 'more than a window of blocks')
  t.same(results, [well], 'all blocks of a window')
  t.ok(line.counts.faults > 0)
})

t.test('a release frees its place under a fault, too', async (t) => {
  const concentrator = concentratorOf()
  concentrator.faults.set('all', [makeFault('wrong-block-number')])
  const socket = new CountingSocket()
  serveConnection(socket as unknown as Socket, concentrator)
  for (let client = 1; client <= connectionLimits.associationsMax + 1; client++)
    socket.emit('data', wrapInPlace(encodeRlrq(), client, 1))
  t.equal(concentrator.counts.discarded, 0)
})

t.test('over UDP a client that is forgotten takes its answers along', async (t) => {
  const concentrator = concentratorOf()
  const bound = t.capture(DatagramSocket.prototype, 'bind', DatagramSocket.prototype.bind)
  const server = await listenForDatagrams('127.0.0.1', 0, concentrator, 1)
  t.teardown(() => server.close())
  concentrator.faults.set(1, [makeFault('slow', { delayMs: 200 })])
  const [first, second] = await Promise.all(
    [1, 2].map(async () => {
      const socket = createSocket('udp4')
      socket.bind(0, '127.0.0.1')
      await once(socket, 'listening')
      t.teardown(() => void socket.close())
      return socket
    }),
  )
  const ask = (socket: DatagramSocket, logicalDevice: number): Promise<void> =>
    new Promise((resolve) =>
      socket.send(
        wrapInPlace(new DlmsClient().begin([energy]), 16, logicalDevice),
        server.port,
        '127.0.0.1',
        () => resolve(),
      ),
    )
  await ask(first!, 1)
  await turnsUntil(() => concentrator.counts.faults === 1)
  t.equal((concentrator.clock as SimClock).nextMs(), nowMs + 200)
  const answered = once(second!, 'message')
  await ask(second!, 2)
  await answered
  t.equal((concentrator.clock as SimClock).nextMs(), undefined)
  // Nobody can be answered at port 0, which the system lets a sender have.
  const own = bound()[0]!.receiver as unknown as DatagramSocket
  const { requests } = concentrator.counts
  own.emit('message', wrapInPlace(new DlmsClient().begin([energy]), 16, 2), {
    address: '127.0.0.1',
    family: 'IPv4',
    port: 0,
    size: 1,
  })
  t.equal(concentrator.counts.requests, requests)
})

t.test('a push ends though nobody closes its connection', async (t) => {
  const { fleet, clock } = await withFleet(t)
  const target = createServer({ allowHalfOpen: true })
  target.listen(0, '127.0.0.1')
  await once(target, 'listening')
  t.teardown(() => target.close())
  const { port } = target.address() as AddressInfo
  const push = async (): Promise<{ pushed: Promise<void> }> => {
    const connected = once(target, 'connection')
    const pushed = fleet.push(0, { host: '127.0.0.1', port })
    const [socket] = (await connected) as [Socket]
    t.teardown(() => socket.destroy())
    await once(socket.resume(), 'end')
    return { pushed }
  }
  const forgotten = await push()
  clock.advanceBy(pushMsMax)
  await forgotten.pushed
  t.equal(clock.nextMs(), undefined)
  const cut = await push()
  await fleet.close()
  await cut.pushed
})

t.test('a fleet comes back where it was', async (t) => {
  // Ports that the system gives to nobody by itself; the first three in a row that are free.
  let basePort = 21_000
  const open = (): Promise<Fleet> =>
    startFleet({ meters: 3, seed: 3, metersPerListener: 1, basePort })
  const openSomewhere = async (): Promise<Fleet> => {
    for (; ; basePort += 10) {
      try {
        return await open()
      } catch (error) {
        if (!(error instanceof BrokerError) || basePort > 30_000) throw error
      }
    }
  }
  const second = await openSomewhere()
  const devices = [...second.devices()]
  t.equal(await outcomeOf(open()), 'SIMULATOR_LISTEN_FAILED', 'a port that is taken')
  await second.close()
  const third = await open()
  t.same([...third.devices()], devices, 'same devices, same ports, same secrets')
  t.same(third.ports, [basePort, basePort + 1, basePort + 2])
  await third.close()
  const wrong: Array<Partial<FleetOptions>> = [
    { meters: 0 },
    { meters: 1.5 },
    { metersPerListener: 0 },
    { meters: 50_000, metersPerListener: 1 },
    { basePort: 65_535, metersPerListener: 1 },
    { gasShare: 1.2 },
    { gasShare: 0.7, gasProxyShare: 0.7 },
    { secretShare: NaN },
    { seed: 0.5 },
  ]
  for (const options of wrong)
    t.equal(
      await outcomeOf(startFleet({ meters: 10, seed: 1, ...options })),
      'CONFIG_INVALID',
      JSON.stringify(options),
    )
})

t.test('the process of a fleet', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-fleet-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const devicesFile = join(folder, 'devices.jsonl')
  const module = join(import.meta.dirname, '../../../../actors/simulator/network/fleet-process.ts')
  const script = `import { runFleetProcess } from ${JSON.stringify(module)}
await runFleetProcess({ meters: 40, seed: 9, secretShare: 1, endsWithInput: true, devicesFile: ${JSON.stringify(devicesFile)} })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const { listening, meters, seed } = JSON.parse(line) as {
    listening: { host: string; ports: number[] }
    meters: number
    seed: number
  }
  t.same([listening.host, listening.ports.length, meters, seed], ['127.0.0.1', 2, 40, 9])
  const lines = readFileSync(devicesFile, 'utf8').trim().split('\n')
  t.equal(lines.length, 40)
  t.equal(statSync(devicesFile).mode & 0o777, 0o600, 'it holds secrets')
  type Line = {
    eui64: string
    type: string
    address: { host: string; port: number; logicalDevice: number; client: number; secret: string }
  }
  const { eui64, address } = JSON.parse(lines[21]!) as Line
  t.equal(eui64, '00-DB-10-00-00-00-00-16')
  t.same([address.port, address.logicalDevice, address.client], [listening.ports[1], 2, 1])
  const association = new DlmsClient({ secret: Buffer.from(address.secret, 'hex') })
  const [name] = await call(t, address).exchange(association, address, [
    get(1, '0-0:42.0.0.255', 2),
  ])
  t.match(Buffer.from(name!.value!).toString('latin1'), /000000000022$/)
  child.kill('SIGTERM')
  t.same(await exited, [0, null], 'ends cleanly, though a client is connected')
})

t.test('meters that dial in do not do so again when the process ends', async (t) => {
  const target = createServer()
  target.listen(0, '127.0.0.1')
  await once(target, 'listening')
  t.teardown(() => target.close())
  const { port } = target.address() as AddressInfo
  let end = (): void => undefined
  const connected = once(target, 'connection')
  const done = runFleetProcess(
    { meters: 1, seed: 1, transport: 'dial-in', dialInTo: { host: '127.0.0.1', port } },
    { output: new PassThrough(), onSignal: (action) => (end = action) },
  )
  const [socket] = (await connected) as [Socket]
  const closed = once(socket.resume(), 'close')
  const timers = t.capture(globalThis, 'setTimeout', setTimeout)
  end()
  await done
  await closed
  t.notOk(timers().some(({ args }) => args[1] === dialAgainMs))
})

t.test('faults by the line', async (t) => {
  const input = new PassThrough()
  const output = new PassThrough()
  const said: string[] = []
  const log = {
    debug() {},
    info() {},
    error() {},
    warn: (fields: object) => void said.push(JSON.stringify(fields)),
  }
  const done = runFleetProcess(
    { meters: 2, ...electricity, endsWithInput: true, log, faults: 'exception' },
    { input, output, onSignal() {} },
  )
  const { listening } = JSON.parse(String((await once(output, 'data'))[0])) as {
    listening: { host: string; ports: number[] }
  }
  const address = { host: listening.host, port: listening.ports[0]!, client: 16, logicalDevice: 1 }
  t.teardown(() => input.end())
  const caller = call(t, address)
  const outcome = (): Promise<string> =>
    outcomeOf(caller.exchange(new DlmsClient(), address, [energy]))
  t.equal(await outcome(), 'DLMS_EXCEPTION')
  const lines: Array<[string, string]> = [
    ['\n', 'answered'],
    ['0 refuse-association\n', 'DLMS_ASSOCIATION_REFUSED'],
    ['0\n', 'answered'],
    ['1 drop\n', 'answered'],
    ['nonsense\n9 drop\n', 'answered'],
    ['wrong-invoke-id\n', 'DLMS_INVOKE_ID_WRONG'],
  ]
  for (const [line, expected] of lines) {
    input.write(line)
    await new Promise<void>((resolve) => setImmediate(resolve))
    t.equal(await outcome(), expected, line.trim())
  }
  t.equal(said.length, 2, 'what is not understood is logged')
  input.end()
  await done
  t.equal(await outcomeOf(caller.next()), 'closed')
})
