/**
 * `busbar meter push-listen` over real sockets: simulated meters that push in every framing, with
 * keys and without; other meters' shapes; rubbish; what is acknowledged.
 */
import { createSocket, Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  pushListenCommand,
  type PushListenOptions,
} from '../../../../actors/cli/meter/push-listen.ts'
import { startFleet } from '../../../../actors/simulator/network/fleet.ts'
import { formatDevice } from '../../../../actors/simulator/network/fleet-process.ts'
import { pushFramings } from '../../../../actors/simulator/network/outgoing.ts'
import { limits } from '../../../../core/base/limits.ts'
import { ApduTag } from '../../../../core/dlms/apdu/constants.ts'
import { decodeApdu, encodeApdu } from '../../../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag } from '../../../../core/dlms/axdr/axdr.ts'
import { GeneralBlocks } from '../../../../core/dlms/transfer/general-blocks.ts'
import { hdlcAddress } from '../../../../core/dlms/framing/hdlc/address.ts'
import { encodeFrame } from '../../../../core/dlms/framing/hdlc/frame.ts'
import { encodeUnconfirmed, llcToClient } from '../../../../core/dlms/framing/hdlc/transfer.ts'
import { allocateApdu, wrapInPlace, WrapperReader } from '../../../../core/dlms/framing/wrapper.ts'
import { systemClock } from '../../../../core/ports/clock.ts'

const plain: PushListenOptions = {
  host: '127.0.0.1',
  port: '0',
  udp: false,
  hex: false,
  json: false,
}

/** Starts listening; `said` grows, and `has` settles when a line of either kind matches. */
async function listen(options: Partial<PushListenOptions> = {}) {
  const said: string[] = []
  const complained: string[] = []
  const waiting: { pattern: RegExp; resolve: () => void }[] = []
  const look = (line: string): void => {
    for (const one of waiting) if (one.pattern.test(line)) one.resolve()
  }
  let interrupt = (): void => undefined
  const has = (pattern: RegExp): Promise<void> =>
    new Promise((resolve) => {
      waiting.push({ pattern, resolve })
      for (const line of [...said, ...complained]) look(line)
    })
  const ended = pushListenCommand(
    { ...plain, ...options },
    {
      out: (line) => look((said.push(line), line)),
      err: (line) => look((complained.push(line), line)),
      clock: systemClock,
      onInterrupt: (action) => (interrupt = action),
    },
  )
  // The waiting caller reports it.
  ended.catch(() => undefined)
  await Promise.race([has(/^listening/), ended])
  const port = Number(/:(\d+)/.exec(complained[0] ?? '')?.[1])
  return {
    said,
    complained,
    has,
    ended,
    port,
    target: { host: '127.0.0.1', port },
    interrupt: () => interrupt(),
  }
}

/** Sends `octets` on a connection of its own, and gives what comes back. */
async function send(port: number, ...pieces: Buffer[]): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  const back: Buffer[] = []
  socket.on('data', (chunk: Buffer) => back.push(chunk))
  for (const piece of pieces) socket.write(piece)
  socket.end()
  await once(socket, 'close')
  return Buffer.concat(back)
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** Wrapped, source 1, destination 1. */
function wrapped(apdu: Buffer): Buffer {
  const roomy = allocateApdu(apdu.length)
  apdu.copy(roomy)
  return wrapInPlace(roomy, 1, 1)
}

const quiet = { gasShare: 0, gasProxyShare: 0, solarShare: 0, secretShare: 0 }

t.test('simulated meters, in every framing', async (t) => {
  const fleet = await startFleet({ meters: 1, seed: 3, ...quiet })
  t.teardown(() => fleet.close())
  const listener = await listen({ count: '7' })
  for (const framing of pushFramings)
    for (const kind of ['data', 'event'] as const)
      await fleet.push(0, listener.target, kind, framing)
  await fleet.push(0, listener.target, 'alarm')
  await listener.ended
  const { said } = listener
  t.equal(said.length, 7)
  t.match(said[0], /tcp {2}wrapper 1>1 {2}data-notification {2}\d{4}-.* 00-DB-10-.*; \d+$/)
  t.match(
    said[1],
    /event-notification-request .*Abstract, alarm register 1 \(0-0:97\.98\.0\.255\) Data value: 1$/,
  )
  t.match(said[2], /hdlc 1\/17>1 {2}data-notification/)
  t.match(said[4], /bare APDU {2}data-notification/)
  t.match(said[6], /identification 00DB10\d+ {2}alarm register 00000001$/)
})

t.test('under keys: by the inventory, of one meter, without them', async (t) => {
  const fleet = await startFleet({ meters: 2, seed: 3, ...quiet, securityShares: [0.5, 0.5, 0] })
  const folder = mkdtempSync(join(tmpdir(), 'busbar-'))
  t.teardown(async () => {
    rmSync(folder, { recursive: true })
    await fleet.close()
  })
  const devices = join(folder, 'devices.jsonl')
  writeFileSync(devices, [...fleet.devices()].map(formatDevice).join('\n'))
  const listener = await listen({ devices, count: '2', json: true, hex: true })
  for (const index of [0, 1]) await fleet.push(index, listener.target)
  await listener.ended
  // A meter's counters begin with the time of its first life.
  const counters: number[] = []
  for (const [index, line] of listener.said.entries()) {
    const { octets, ...told } = JSON.parse(line) as { octets: string[]; invocationCounter: number }
    counters.push(told.invocationCounter)
    t.match(told, {
      framing: 'wrapper',
      systemTitle: `00db10000000000${index + 1}`,
      invocationCounter: Number,
      type: 'data-notification',
      fields: [{ value: { axdr: 'octet-string' } }, { value: { axdr: 'double-long-unsigned' } }],
    })
    t.match(octets[0], /^00010001/)
  }

  const keyless = await listen({ count: '1' })
  await fleet.push(0, keyless.target)
  await keyless.ended
  t.match(keyless.said[0], /system title 00db100000000001 .* DLMS_KEY_UNKNOWN/)

  const { unicast, authentication } = fleet.device(0).keys!
  const { suite } = fleet.device(0).record.address.security!
  const one = await listen({
    suite: String(suite),
    unicastKey: Buffer.from(unicast!).toString('hex'),
    authenticationKey: Buffer.from(authentication!).toString('hex'),
    count: '2',
  })
  await fleet.push(0, one.target, 'event', 'hdlc')
  await fleet.push(1, one.target)
  await one.ended
  const event = /counter (\d+) {2}event-notification-request/.exec(one.said[0]!)
  t.equal(Number(event?.[1]), counters[0]! + 2)
  t.match(one.said[1], /DLMS_(CIPHER_TAG_WRONG|SECURITY_CONTROL_INVALID)/, 'the key of another')
})

const reading = encodeApdu({
  type: 'data-notification',
  longInvokeIdAndPriority: 0x4000_0007,
  dateTimeView: hex('07ea0b19030a0f00ff800000'),
  valueView: encodeValue({
    tag: Tag.STRUCTURE,
    elements: [
      { tag: Tag.OCTET_STRING, value: hex('0100010800ff') },
      { tag: Tag.DOUBLE_LONG_UNSIGNED, value: 12_345 },
      {
        tag: Tag.STRUCTURE,
        elements: [
          { tag: Tag.INTEGER, value: -1 },
          { tag: Tag.ENUM, value: 30 },
        ],
      },
    ],
  }),
})

t.test('fields in words; a confirmed notification is confirmed, in the same framing', async (t) => {
  const listener = await listen({ count: '2' })
  const back = await send(listener.port, wrapped(reading))
  t.same(back.subarray(0, 8), hex('0001000100010012'), 'a wrapper back')
  t.match(decodeApdu(back.subarray(8)), {
    type: 'data-notification-confirm',
    longInvokeIdAndPriority: 0x4000_0007,
  })
  const ends = { local: hdlcAddress(1, 17), remote: hdlcAddress(1) }
  const frame = await send(listener.port, encodeUnconfirmed(ends, llcToClient, reading))
  t.equal(frame[0], 0x7e)
  await listener.ended
  t.match(
    listener.said[0],
    /2026-11-25.*Electricity, active energy import \(\+A\), total, rate total, current \(1-0:1\.8\.0\.255\): 1234\.5 Wh$/,
  )
})

/** In blocks of 30 octets, each window acknowledged. */
async function sendInBlocks(port: number, apdu: Buffer): Promise<void> {
  const blocks = new GeneralBlocks(4, true)
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.write(wrapped(blocks.send(apdu, 30)))
  const reader = new WrapperReader()
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    reader.push(chunk)
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      if (frame.apduView[0] === ApduTag.DATA_NOTIFICATION_CONFIRM) {
        socket.end()
        continue
      }
      const step = blocks.receive(frame.apduView)
      if (step === undefined || !('send' in step)) continue
      socket.write(wrapped(step.send))
      for (let more = blocks.more(); more !== undefined; more = blocks.more())
        socket.write(wrapped(more))
    }
  }
}

t.test('HDLC in segments, general blocks, several in one connection', async (t) => {
  const listener = await listen({ count: '5' })
  const source = hdlcAddress(1, 17)
  const segment = (information: Buffer, isSegmented: boolean): Buffer =>
    encodeFrame(
      {
        destination: hdlcAddress(1),
        source,
        kind: 'UI',
        isFinal: true,
        sendNumber: 0,
        receiveNumber: 0,
        isSegmented,
      },
      information,
    )
  const unit = Buffer.concat([llcToClient, reading])
  await send(listener.port, segment(unit.subarray(0, 20), true), segment(unit.subarray(20), false))
  await sendInBlocks(listener.port, reading)
  await send(listener.port, wrapped(reading), wrapped(reading))
  const event = hex('c2 00 0001 0000600b00ff 02 1105')
  await send(listener.port, event)
  await listener.ended
  t.match(listener.said[0], /hdlc 1\/17>1 .*1234\.5 Wh$/)
  t.match(listener.said[1], /wrapper 1>1 .*1234\.5 Wh$/, 'from general blocks')
  t.match(listener.said[4], /bare APDU {2}event-notification-request .*0-0:96\.11\.0\.255.*: 5$/)
})

t.test('over UDP, too', async (t) => {
  const bound = t.capture(DatagramSocket.prototype, 'bind', DatagramSocket.prototype.bind)
  const listener = await listen({ udp: true, count: '2' })
  const own = bound()[0]!.receiver as unknown as DatagramSocket
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  // Nobody can be answered at port 0, which the system lets a sender have.
  const unanswerable = { address: '127.0.0.1', family: 'IPv4', port: 0, size: 1 }
  own.emit('message', wrapped(reading), unanswerable)
  socket.send(wrapped(reading), listener.port, '127.0.0.1')
  const [confirmed] = (await once(socket, 'message')) as [Buffer]
  t.match(decodeApdu(confirmed.subarray(8)), { type: 'data-notification-confirm' })
  socket.send(Buffer.from('E1234567890123456,\0\0\0\x01', 'latin1'), listener.port, '127.0.0.1')
  await listener.ended
  t.match(listener.said[0], /udp {2}wrapper/)
  t.match(listener.said[1], /identification E1234567890123456 {2}alarm register 00000001/)
})

t.test('rubbish is told by its code, and the next push is heard', async (t) => {
  const listener = await listen({ count: '1' })
  const wrong: [Buffer, RegExp][] = [
    [hex('ffff ffff'), /DLMS_TAG_UNKNOWN/],
    [hex('0001 0001 0001 0040 0f00'), /DLMS_LENGTH_INVALID/],
    [hex('0009 0001 0001 0002 0f00'), /DLMS_WRAPPER_INVALID/],
    [hex('7ea0070321930f007e'), /DLMS_HDLC_INVALID/],
    [Buffer.alloc(2 * limits.apduBytesMax, 0x0f), /DLMS_SIZE_EXCEEDED/],
    [Buffer.alloc(200, 0x41), /DLMS_SIZE_EXCEEDED/],
  ]
  for (const [octets, code] of wrong) {
    await send(listener.port, octets)
    await listener.has(code)
  }
  t.equal(listener.said.length, 0)
  // On one connection: what is wrong is passed over up to a pause.
  const socket = connect(listener.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const before = listener.complained.length
  socket.write(hex('fe00 0001'))
  await listener.has(/first octet 254/)
  systemClock.at(systemClock.now() + 2 * limits.pushPauseMs, () => socket.write(wrapped(reading)))
  await listener.ended
  t.match(listener.said[0], /1234\.5 Wh/)
  t.equal(listener.complained.length, before + 2)
  t.match(listener.complained.at(-1), /note: \d+ octets in \d+ places were not understood/)
})

t.test('how it ends', async (t) => {
  const interrupted = await listen()
  interrupted.interrupt()
  await interrupted.ended
  const silent = await listen({ waitMs: '20' })
  await silent.ended
  const short = await listen({ waitMs: '20', count: '3' })
  await t.rejects(short.ended, /DEVICE_SILENT: 0 of 3/)
  for (const options of [{ count: '0' }, { port: 'x' }, { waitMs: '-' }, { systemTitle: '00' }])
    await t.rejects(
      (await listen(options).catch((fault: unknown) => ({ ended: Promise.reject(fault as Error) })))
        .ended,
      {
        code: 'CONFIG_INVALID',
      },
    )
  const first = await listen()
  await t.rejects(listen({ port: String(first.port) }), { code: 'EADDRINUSE' })
  first.interrupt()
  await first.ended
})
