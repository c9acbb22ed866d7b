/**
 * Devices that connect to us and what they push: who they are taken for, whom they displace, what
 * is refused.
 */
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { makeFault } from '../../../../actors/simulator/network/faults.ts'
import { pushBytes } from '../../../../actors/simulator/network/outgoing.ts'
import { textOfEui64 } from '../../../../core/base/eui64.ts'
import { limits } from '../../../../core/base/limits.ts'
import { encodeApdu } from '../../../../core/dlms/apdu/codec.ts'
import { keyMarkOf } from '../../../../core/crypto/sealed-keys.ts'
import type { DeviceAddress, DevicePush, ExchangeResult } from '../../../../core/ports/wan.ts'
import { DialIn } from '../../../../core/wan/sockets/dial-in.ts'
import { SocketWan } from '../../../../core/wan/sockets/socket-wan.ts'
import { deviceNamed } from '../../../../core/wan/pushes/push-names.ts'
import { vault } from '../../../support/keys.ts'
import { FleetTrial, identity, isItself, listed, sharesOf } from '../fleet-trial.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Settles when `isMet`. */
async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await turn()
}

t.test('devices that dial in', async (t) => {
  for (const announcement of ['identification', 'data', 'alarm'] as const)
    for (const suite of [undefined, 0] as const) {
      const securityShares: [number, number, number] = suite === undefined ? [0, 0, 0] : sharesOf(0)
      const trial = await FleetTrial.start(t, { transport: 'dial-in', securityShares })
      const port = await trial.wan.listen('127.0.0.1', 0)
      // With an alarm comes an identifier of seventeen characters.
      if (announcement === 'alarm') trial.nameEnd = '0'
      const waiting = trial.ask(0, listed)
      const first = trial.fleet.dialIn(0, { host: '127.0.0.1', port }, announcement)
      const second = trial.fleet.dialIn(1, { host: '127.0.0.1', port }, announcement)
      isItself(t, 0, await waiting)
      isItself(t, 1, await trial.ask(1, listed))
      isItself(t, 0, await trial.ask(0, [identity, ...listed]))
      t.equal(trial.wan.counts.connections, 2)
      if (announcement === 'alarm') t.same((await trial.push()).alarmBytes, Buffer.of(0, 0, 0, 1))
      if (announcement === 'data') {
        const devices = [await trial.push(), await trial.push()].map(({ names }) =>
          deviceNamed(names),
        )
        t.same(new Set(devices), new Set([trial.deviceOf(0), trial.deviceOf(1)]))
      }
      // It comes back on another connection. The old one has answered, and holds until it fails.
      const again = trial.fleet.dialIn(0, { host: '127.0.0.1', port }, announcement)
      await until(() => trial.metrics.contended > 0)
      first.destroy()
      await until(() => trial.wan.counts.connections === 2 && first.closed)
      isItself(t, 0, await trial.ask(0, listed))
      second.destroy()
      again.destroy()
    }
})

t.test('the end of the line behind a name may come late', async (t) => {
  const trial = await FleetTrial.start(t, { meters: 1 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const ours = connect(port, '127.0.0.1')
  const theirs = connect(trial.fleet.ports[0]!, '127.0.0.1')
  for (const socket of [ours, theirs]) t.teardown(() => socket.destroy())
  ours.write('EQUIPMENT-7\r')
  await until(() => trial.wan.counts.connections > 0)
  ours.write('\n')
  ours.pipe(theirs).pipe(ours)
  const address = { ...trial.addressOf(0), transport: 'dial-in', host: 'EQUIPMENT-7' } as const
  isItself(t, 0, await trial.ask(0, listed, undefined, address))
})

t.test('a device that does not dial in is waited for, and told of', async (t) => {
  const trial = await FleetTrial.start(t, { transport: 'dial-in' }, { exchangeMs: 50 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const result = await trial.ask(0, listed)
  t.match(result, { code: 'DEVICE_UNREACHABLE', detail: 'the device has not dialled in' })
  t.equal(trial.wan.counts.endpoints, 0, 'nothing is remembered of it')
  const other = new SocketWan({ keys: vault })
  t.teardown(() => other.close())
  await t.rejects(other.listen('127.0.0.1', port), { code: 'DIAL_IN_LISTEN_FAILED' })
})

t.test('no more connections than there may be', async (t) => {
  const trial = await FleetTrial.start(t, { transport: 'dial-in' }, { connectionsMax: 1 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  await once(trial.fleet.dialIn(1, { host: '127.0.0.1', port }), 'close')
  t.equal(trial.metrics.refused('DIAL_IN_FULL'), 1)
  isItself(t, 0, await trial.ask(0, listed))
})

t.test('pushes: on connections of their own, in datagrams, between answers', async (t) => {
  const trial = await FleetTrial.start(t, { secretShare: 0 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const target = { host: '127.0.0.1', port }
  for (const framing of ['wrapper', 'hdlc', 'bare'] as const)
    for (const kind of ['data', 'event'] as const) {
      await trial.fleet.push(2, target, kind, framing)
      const { apduBytes, names, device } = await trial.push()
      t.equal(apduBytes[0], kind === 'data' ? 0x0f : 0xc2, `${kind} ${framing}`)
      t.equal(device, undefined)
      const known = deviceNamed(names)
      t.equal(known, kind === 'data' ? trial.deviceOf(2) : undefined)
    }
  const datagram = createSocket('udp4')
  t.teardown(() => datagram.close())
  const apdu = encodeApdu({
    type: 'data-notification',
    longInvokeIdAndPriority: 1,
    dateTimeView: Buffer.alloc(0),
    valueView: Buffer.of(9, 16, ...Buffer.from(textOfEui64(trial.deviceOf(4)).replaceAll('-', ''))),
  })
  const header = Buffer.from([0, 1, 0, 1, 0, 102, 0, apdu.length])
  datagram.send(Buffer.concat([header, apdu]), port, '127.0.0.1')
  const push = await trial.push()
  t.match(push.address, { transport: 'udp', logicalDevice: 1, client: 102 })
  t.equal(deviceNamed(push.names), trial.deviceOf(4))
  datagram.send(Buffer.of(0, 9, 9), port, '127.0.0.1')
  await until(() => trial.metrics.refused('DLMS_LENGTH_INVALID') > 0)
  t.pass('rubbish is counted')
})

/** `apdu` in general blocks of `blockBytes`, all of them at once, with a window of 1 at the end. */
function blocksOf(apdu: Buffer, blockBytes: number): Buffer[] {
  const count = Math.ceil(apdu.length / blockBytes)
  return Array.from({ length: count }, (_, index) => {
    const data = apdu.subarray(index * blockBytes, (index + 1) * blockBytes)
    const control = index + 1 === count ? 0x81 : 0x41
    return Buffer.concat([Buffer.of(0xe0, control, 0, index + 1, 0, 0, data.length), data])
  })
}

const wrapped = (apdu: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0, 1, 0, 1, 0, 102, 0, apdu.length), apdu])

/** A data-notification that asks for a confirmation, and the confirmation. */
const confirmable = (name: string): [notification: Buffer, confirmation: Buffer] => {
  const head = { longInvokeIdAndPriority: 0x4000_0007, dateTimeView: Buffer.alloc(0) }
  const valueView = Buffer.from([9, name.length, ...Buffer.from(name)])
  return [
    encodeApdu({ type: 'data-notification', ...head, valueView }),
    encodeApdu({ type: 'data-notification-confirm', ...head }),
  ]
}
const confirmed = (confirmation: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0, 1, 0, 102, 0, 1, 0, confirmation.length), confirmation])

t.test('pushes in general blocks, and such as are to be confirmed, on a connection', async (t) => {
  const trial = await FleetTrial.start(t, {})
  const port = await trial.wan.listen('127.0.0.1', 0)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const name = textOfEui64(trial.deviceOf(4)).replaceAll('-', '')
  const [notification, confirmation] = confirmable(name)
  socket.write(wrapped(notification))
  const push = await trial.push()
  t.equal(socket.bytesRead, 0, 'nothing is confirmed before somebody has it')
  push.confirm!()
  t.same((await once(socket, 'data'))[0], confirmed(confirmation))

  const blocks = blocksOf(notification, 10)
  for (const block of blocks) socket.write(wrapped(block))
  const whole = await trial.push()
  t.same(whole.apduBytes, notification)
  t.equal(deviceNamed(whole.names), trial.deviceOf(4))
  // One is lost: what follows is dropped, and asked for again.
  socket.write(Buffer.concat([blocks[0]!, blocks[2]!].map(wrapped)))
  socket.write(wrapped(Buffer.from(blocks[2]!).fill(0x01, 1, 2)))
  const [asked] = (await once(socket, 'data')) as [Buffer]
  t.same([asked[8], asked.readUInt16BE(12)], [0xe0, 1], 'the first has come')
  for (const block of blocks.slice(1)) socket.write(wrapped(block))
  t.same((await trial.push()).apduBytes, notification)
  socket.write(wrapped(Buffer.of(0xe0, 0x81, 0, 9)))
  await until(() => trial.metrics.refused('DLMS_LENGTH_INVALID') > 0)
  socket.write(wrapped(notification))
  whole.confirm!()
  await trial.push()
  t.pass('it goes on')
})

t.test('the same in datagrams; too many of them are dropped', async (t) => {
  const trial = await FleetTrial.start(t, {}, { nowMs: () => 1 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  const [notification, confirmation] = confirmable('0123456789ABCDEF')
  const say = (apdu: Buffer): void => socket.send(wrapped(apdu), port, '127.0.0.1')
  for (const block of blocksOf(notification, 10)) say(block)
  const push = await trial.push()
  t.same(push.apduBytes, notification)
  t.equal(
    deviceNamed(push.names) && textOfEui64(deviceNamed(push.names)!),
    '01-23-45-67-89-AB-CD-EF',
  )
  push.confirm!()
  t.same((await once(socket, 'message'))[0], confirmed(confirmation))
  say(Buffer.of(0xe0, 0x01, 0, 1, 0, 0, 1, 0x0f))
  const [acknowledgement] = (await once(socket, 'message')) as [Buffer]
  t.equal(acknowledgement[8], 0xe0)
  for (let sent = 0; trial.metrics.refused('DIAL_IN_FULL') === 0; sent++) {
    if (sent > 2 * limits.dialInDatagramsMax) return t.fail('the door takes any number')
    say(Buffer.of(0xff))
    if (sent % 50 === 0) await turn()
  }
  t.ok(trial.metrics.refused('DLMS_SERVICE_UNEXPECTED') > 0, 'what came before was looked at')
})

t.test('what one address sends too much of takes nothing from the others', async (t) => {
  const trial = await FleetTrial.start(t, {}, { nowMs: () => 1 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const [flood, other] = [createSocket('udp4'), createSocket('udp4')]
  t.teardown(() => [flood, other].forEach((socket) => socket.close()))
  flood.bind(0, '127.0.0.2')
  await once(flood, 'listening')
  for (let sent = 0; trial.metrics.refused('DIAL_IN_FULL') === 0; sent++) {
    if (sent >= limits.dialInDatagramsMax) return t.fail('one address may send any number')
    flood.send(wrapped(Buffer.of(0xff)), port, '127.0.0.1')
    if (sent % 50 === 0) await turn()
  }
  const [notification] = confirmable('0123456789ABCDEF')
  other.send(wrapped(notification), port, '127.0.0.1')
  t.same((await trial.push()).apduBytes, notification)
})

t.test('rubbish, silence and crowds at the door', async (t) => {
  const trial = await FleetTrial.start(t, { transport: 'dial-in' })
  const port = await trial.wan.listen('127.0.0.1', 0)
  for (const octets of [
    Buffer.of(0xff, 1, 2),
    Buffer.of(0, 7, 0, 0, 0, 0, 0, 9),
    Buffer.alloc(3_000, 0x41),
  ]) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.end(octets)
    await once(socket, 'close')
  }
  t.ok(trial.metrics.refused('DLMS_TAG_UNKNOWN') >= 1)
  t.ok(trial.metrics.refused('DLMS_WRAPPER_INVALID') >= 1)
  t.ok(trial.metrics.refused('DLMS_SIZE_EXCEEDED') >= 1)
  const crowd = Array.from({ length: 40 }, () => connect(port, '127.0.0.1'))
  for (const socket of crowd) socket.on('error', () => undefined)
  await Promise.all(crowd.map((socket) => once(socket, 'connect')))
  trial.fleet.dialIn(3, { host: '127.0.0.1', port })
  isItself(t, 3, await trial.ask(3, listed))
  for (const socket of crowd) socket.destroy()
})

t.test('a ciphered push on an association is opened, and its counter told', async (t) => {
  const trial = await FleetTrial.start(t, { transport: 'dial-in', securityShares: sharesOf(0) })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const socket = trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  const octets = pushBytes(trial.fleet.meter(0))
  socket.write(octets)
  const { apduBytes, protection, counter, device } = await trial.push()
  t.equal(apduBytes[0], 0x0f)
  t.equal(device, trial.deviceOf(0))
  t.equal(protection, 0x30)
  const { sealedKeys, counters } = trial.securityOf(0)!
  t.equal(counter?.mark, keyMarkOf(sealedKeys))
  t.ok(counter!.value > counters.received, `${counter!.value} after ${counters.received}`)
  socket.write(octets)
  await until(() => trial.metrics.refused('DLMS_COUNTER_REPLAYED') > 0)
  t.equal(trial.pushes.length, 0, 'and once only')
  isItself(t, 0, await trial.ask(0, listed))
})

/**
 * A fleet of single meters in the clear, and connections on which they call themselves whatever a
 * test wants.
 */
class Callers {
  readonly trial: FleetTrial
  readonly port: number
  private readonly test: Test

  private constructor(test: Test, trial: FleetTrial, port: number) {
    this.test = test
    this.trial = trial
    this.port = port
  }

  static async start(
    test: Test,
    options: Parameters<typeof FleetTrial.start>[2] = {},
  ): Promise<Callers> {
    const trial = await FleetTrial.start(test, { metersPerListener: 1 }, options)
    return new Callers(test, trial, await trial.wan.listen('127.0.0.1', 0))
  }

  /** Meter `index` connects, says `first`, and answers. */
  dial(index: number, first: string | Buffer): Socket {
    const ours = connect(this.port, '127.0.0.1')
    const theirs = connect(this.trial.fleet.ports[index]!, '127.0.0.1')
    for (const socket of [ours, theirs]) {
      socket.on('error', () => undefined)
      this.test.teardown(() => socket.destroy())
    }
    if (first.length > 0) ours.write(first)
    ours.pipe(theirs).pipe(ours)
    return ours
  }

  async dialled(index: number, first: string | Buffer): Promise<Socket> {
    const { connected } = this
    const socket = this.dial(index, first)
    await until(() => this.connected > connected)
    return socket
  }

  /** Times that a device was taken. */
  get connected(): number {
    return this.trial.metrics.values.get('busbar_wan_connections_opened_total') ?? 0
  }

  ask(host: string, client = 16): Promise<ExchangeResult> {
    const address: DeviceAddress = {
      host,
      port: 4059,
      logicalDevice: 1,
      client,
      transport: 'dial-in',
    }
    return this.trial.ask(0, listed, undefined, address)
  }
}

/** A data-notification with these names in it, in the wrapper, to `client`. */
function notificationOf(names: readonly string[], client = 102): Buffer {
  const strings = names.map((name) => Buffer.from([9, name.length, ...Buffer.from(name)]))
  const apdu = encodeApdu({
    type: 'data-notification',
    longInvokeIdAndPriority: 1,
    dateTimeView: Buffer.alloc(0),
    valueView: Buffer.concat([Buffer.of(2, names.length), ...strings]),
  })
  return Buffer.concat([Buffer.from([0, 1, 0, 1, 0, client, 0, apdu.length]), apdu])
}

const notDialledIn = { code: 'DEVICE_UNREACHABLE', detail: 'the device has not dialled in' }

t.test('who says nothing does not take over who has said its name', async (t) => {
  const callers = await Callers.start(t)
  const first = await callers.dialled(0, 'METER-A\r\n')
  isItself(t, 0, await callers.ask('METER-A'))
  isItself(t, 0, await callers.ask('127.0.0.1'), 'also known by where it is')
  first.destroy()
  await until(() => callers.trial.wan.counts.connections === 0)
  const waiting = callers.ask('127.0.0.1')
  await callers.dialled(1, '')
  isItself(t, 1, await waiting)
  await callers.dialled(0, 'METER-A\r\n')
  isItself(t, 0, await callers.ask('METER-A'))
  isItself(t, 1, await callers.ask('127.0.0.1'), 'the address stays that of the silent one')
  t.equal(callers.trial.wan.counts.connections, 2)
})

t.test('who says nothing is given time to say its name, unless it is waited for', async (t) => {
  let now = 1_000
  let looks = 0
  const nowMs = (): number => {
    looks++
    return now
  }
  const callers = await Callers.start(t, { nowMs, exchangeMs: 1e9, responseMs: 1e9 })
  // Time goes on behind what is on its way.
  const later = async (ms: number): Promise<void> => {
    for (let round = 0; round < 2; round++) {
      const from = looks
      await until(() => looks > from + 3)
      if (round === 0) now += ms
    }
  }
  const slow = callers.dial(1, '')
  await once(slow, 'connect')
  await later(5_000)
  t.equal(callers.connected, 0)
  slow.write('METER-B\r\n')
  isItself(t, 1, await callers.ask('METER-B'))
  const silent = callers.dial(0, '')
  await once(silent, 'connect')
  await later(40_000)
  await until(() => callers.connected === 2)
  isItself(t, 0, await callers.ask('127.0.0.1'))
})

t.test('a name in what another has pushed does not give that one away', async (t) => {
  const callers = await Callers.start(t)
  await callers.dialled(0, notificationOf(['METER-A', 'METER-B']))
  isItself(t, 0, await callers.ask('METER-B'), 'nobody else is called so yet')
  await callers.dialled(1, 'METER-B\r\n')
  isItself(t, 0, await callers.ask('METER-A'))
  isItself(t, 1, await callers.ask('METER-B'))
  await callers.dialled(2, notificationOf(['METER-C', 'METER-A', 'METER-B']))
  for (const [index, name] of ['METER-A', 'METER-B', 'METER-C'].entries())
    isItself(t, index, await callers.ask(name), name)
})

t.test('other names hold as long as the connection', async (t) => {
  const callers = await Callers.start(t, { exchangeMs: 300 })
  const first = await callers.dialled(0, notificationOf(['METER-A', 'FIRST-NAME']))
  isItself(t, 0, await callers.ask('FIRST-NAME'))
  first.destroy()
  await until(() => callers.trial.wan.counts.connections === 0)
  const second = await callers.dialled(0, notificationOf(['METER-A', 'SECOND-NAME']))
  isItself(t, 0, await callers.ask('METER-A'))
  isItself(t, 0, await callers.ask('SECOND-NAME'))
  t.match(await callers.ask('FIRST-NAME'), notDialledIn)
  second.destroy()
  await until(() => callers.trial.wan.counts.connections === 0)
  const last = await callers.dialled(0, 'METER-A\r\n')
  last.destroy()
  await until(() => callers.trial.wan.counts.connections === 0)
  for (const name of ['METER-A', 'SECOND-NAME', '127.0.0.1'])
    t.match(await callers.ask(name), notDialledIn)
  t.equal(callers.trial.wan.counts.endpoints, 0)
})

t.test('what waits for one name is not asked of another', async (t) => {
  const callers = await Callers.start(t, { exchangesPerConnectionMax: 1 })
  callers.trial.fleet.setFault(0, makeFault('silent'))
  const first = await callers.dialled(0, notificationOf(['METER-A', 'METER-B']))
  // Under way on the connection; it is lost with it.
  const lost = callers.ask('METER-A')
  const waiting = callers.ask('METER-B')
  await until(() => callers.trial.fleet.counts.requests > 0)
  callers.trial.fleet.setFault(0, undefined)
  first.destroy()
  await until(() => callers.trial.wan.counts.connections === 0)
  await callers.dialled(0, 'METER-A\r\n')
  await callers.dialled(1, 'METER-B\r\n')
  isItself(t, 0, await lost)
  isItself(t, 1, await waiting)
})

t.test('a device that was connected comes back though there is no more room', async (t) => {
  const callers = await Callers.start(t, { connectionsMax: 1 })
  const first = await callers.dialled(0, 'METER-A\r\n')
  await callers.dialled(0, 'METER-A\r\n')
  await until(() => first.destroyed)
  isItself(t, 0, await callers.ask('METER-A'))
  const other = callers.dial(1, 'METER-B\r\n')
  await once(other, 'close')
  isItself(t, 0, await callers.ask('METER-A'))
})

t.test('what waits for a device that pushes first is not lost by it', async (t) => {
  const callers = await Callers.start(t)
  // To the client that asks next: no answer, though it comes from the same logical device.
  const waiting = callers.ask('METER-A', 16)
  await callers.dialled(0, notificationOf(['METER-A'], 16))
  isItself(t, 0, await waiting)
  t.match(await callers.trial.push(), { address: { client: 16 }, names: ['METER-A'] })
  // A connection for the push alone: the exchange waits for another one.
  const again = callers.ask('METER-B', 16)
  const brief = connect(callers.port, '127.0.0.1')
  brief.end(notificationOf(['METER-B'], 16))
  brief.resume()
  await once(brief, 'close')
  await callers.dialled(1, 'METER-B\r\n')
  isItself(t, 1, await again)
})

t.test('closed before the door was open', async (t) => {
  const wan = new SocketWan()
  const listening = wan.listen('127.0.0.1', 0)
  const closed = wan.close()
  const port = await listening
  await closed
  const late = connect(port, '127.0.0.1')
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException]
  t.equal(error.code, 'ECONNREFUSED')
})

t.test('a datagram of port 0 is heard and not answered', async (t) => {
  const pushes: DevicePush[] = []
  const events = {
    connected: () => undefined,
    pushed: (push: DevicePush) => void pushes.push(push),
    isAwaited: () => false,
    refused: () => undefined,
  }
  const door = new DialIn(
    { host: '127.0.0.1', port: 0, apduBytesMax: 1_000, nowMs: () => 0 },
    events,
  )
  await door.listen()
  t.teardown(() => door.close())
  const [notification] = confirmable('0123456789ABCDEF')
  // No socket of ours can send such a one.
  const { datagrams } = door as unknown as { datagrams: Socket }
  for (const apdu of [Buffer.of(0xe0, 0x01, 0, 1, 0, 0, 1, 0x0f), notification])
    datagrams.emit('message', wrapped(apdu), { address: '127.0.0.1', port: 0 })
  t.equal(pushes.length, 1)
  pushes[0]!.confirm!()
  t.pass('and nothing was thrown')
})

/** A long frame of M-Bus around a part, which may have more than 255 octets. */
function mbusFrame(control: number, part: Buffer): Buffer {
  const upper = Buffer.concat([Buffer.of(0x53, 0xff, control, 0x01, 0x67), part])
  const sum = upper.reduce((all, octet) => all + octet, 0) & 0xff
  const length = upper.length & 0xff
  return Buffer.concat([Buffer.of(0x68, length, length, 0x68), upper, Buffer.of(sum, 0x16)])
}

t.test('a consumers’ port behind a converter: M-Bus, and whatever else comes on it', async (t) => {
  const trial = await FleetTrial.start(t, {})
  const port = await trial.wan.listen('127.0.0.1', 0)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const name = textOfEui64(trial.deviceOf(4)).replaceAll('-', '')
  const [notification] = confirmable(name)
  // General-glo-ciphering of 300 octets, in two frames, the first of which is longer than its L
  // says.
  const ciphered = Buffer.concat([
    Buffer.from('db08', 'hex'),
    Buffer.from(name, 'hex'),
    Buffer.from('82012520', 'hex'),
    Buffer.alloc(292, 7),
  ])
  const frames = Buffer.concat([
    mbusFrame(0x00, ciphered.subarray(0, 270)),
    mbusFrame(0x11, ciphered.subarray(270)),
  ])
  socket.write(frames.subarray(0, 100))
  socket.write(frames.subarray(100))
  const push = await trial.push()
  t.same(push.apduBytes, ciphered)
  t.equal(deviceNamed(push.names), trial.deviceOf(4))
  t.equal(push.confirm, undefined, 'nobody is answered there')
  socket.write(Buffer.concat([wrapped(notification), Buffer.from('0102030405', 'hex'), frames]))
  t.same((await trial.push()).apduBytes, notification)
  t.same((await trial.push()).apduBytes, ciphered)
  t.equal(trial.metrics.refused('DLMS_TAG_UNKNOWN'), 1, 'and what lay between is counted')
})

t.test('a device pushes on a second connection while its proven one stays', async (t) => {
  const trial = await FleetTrial.start(t, { transport: 'dial-in' })
  const port = await trial.wan.listen('127.0.0.1', 0)
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  t.ok((await trial.ask(0, listed)).ok)
  const { host } = trial.addressOf(0)
  const apdu = (value: number): Buffer => Buffer.from([0x0f, 0, 0, 0, 1, 0, 0x11, value])
  const second = connect(port, '127.0.0.1')
  t.teardown(() => second.destroy())
  second.write(Buffer.concat([Buffer.from(`${host}\r\n`), wrapped(apdu(1)), wrapped(apdu(2))]))
  const heard = [await trial.push(), await trial.push()]
  second.write(wrapped(apdu(3)).subarray(0, 5))
  t.ok((await trial.ask(0, listed)).ok, 'it is asked on the first connection')
  second.write(wrapped(apdu(3)).subarray(5))
  heard.push(await trial.push())
  t.same(
    heard.map(({ apduBytes }) => apduBytes[7]!),
    [1, 2, 3],
  )
  t.ok(
    heard.every(({ names }) => names.includes(host)),
    'under its name',
  )
  t.equal(trial.metrics.contended, 1)
})

t.test('several notifications in one payload are pushes of their own', async (t) => {
  const trial = await FleetTrial.start(t, {})
  const port = await trial.wan.listen('127.0.0.1', 0)
  const apdu = (value: number): Buffer => Buffer.from([0x0f, 0, 0, 0, 1, 0, 0x11, value])
  const llc = Buffer.from('e6e700', 'hex')
  const rubbish = Buffer.from('99887766', 'hex')
  const payload = Buffer.concat([apdu(1), llc, apdu(2), apdu(3), rubbish])
  const values = async (): Promise<number[]> => {
    const heard = [await trial.push(), await trial.push(), await trial.push()]
    return heard.map(({ apduBytes }) => apduBytes[7]!)
  }
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write(wrapped(payload))
  t.same(await values(), [1, 2, 3])
  await until(() => trial.metrics.refused('DLMS_LENGTH_INVALID') === 1)
  const bare = connect(port, '127.0.0.1')
  bare.end(payload)
  t.same(await values(), [1, 2, 3])
  await until(() => trial.metrics.refused('DLMS_LENGTH_INVALID') === 2)
  const datagrams = createSocket('udp4')
  t.teardown(() => datagrams.close())
  const three = Buffer.concat([wrapped(Buffer.concat([apdu(1), llc, apdu(2)])), wrapped(apdu(3))])
  datagrams.send(three, port, '127.0.0.1')
  t.same(await values(), [1, 2, 3])
})
