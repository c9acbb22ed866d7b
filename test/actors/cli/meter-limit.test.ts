/**
 * Meters that talk without end and never answer: `busbar meter` waits for one answer so long and no
 * longer, over each transport.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { MeterSession } from '../../../actors/cli/meter/meter-session.ts'
import type { MeterPlace } from '../../../actors/cli/meter/meter-line.ts'
import { encodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { hdlcAddress } from '../../../core/dlms/framing/hdlc/address.ts'
import { encodeFrame } from '../../../core/dlms/framing/hdlc/frame.ts'
import {
  defaultHdlcParameters,
  encodeParameters,
} from '../../../core/dlms/framing/hdlc/parameters.ts'
import { encodeUnconfirmed, llcToClient } from '../../../core/dlms/framing/hdlc/transfer.ts'
import { allocateApdu, wrapInPlace } from '../../../core/dlms/framing/wrapper.ts'
import { systemRandom } from '../../../core/ports/random.ts'

const notification = Buffer.from('0f000000010002011105', 'hex')
const operation = { kind: 'get', descriptor: Buffer.from('00030100010800ff02', 'hex') } as const
const ends = { local: hdlcAddress(1), remote: hdlcAddress(16) }

function wrapped(apdu: Buffer, client: number): Buffer {
  const roomy = allocateApdu(apdu.length)
  apdu.copy(roomy)
  return wrapInPlace(roomy, 1, client)
}

/** Says `piece` as often as it can, from the first octets that come until the connection closes. */
async function chatterer(t: Test, said: (round: number) => Buffer): Promise<number> {
  const server = createServer((socket: Socket) => {
    let round = 0
    const talk = (): void => {
      if (socket.destroyed) return
      const flowed = socket.write(said(round++))
      if (flowed) setImmediate(talk)
      else socket.once('drain', talk)
    }
    socket.on('error', () => undefined)
    socket.once('data', talk)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

const placeOf = (port: number, transport: MeterPlace['transport']): MeterPlace => ({
  host: '127.0.0.1',
  port,
  transport,
  client: 16,
  logicalDevice: 1,
  server: hdlcAddress(1),
  hdlc: {},
  answerMs: 200,
})

async function ask(t: Test, place: MeterPlace, code = /DEVICE_SILENT/): Promise<void> {
  const session = await MeterSession.open(place)
  const association = session.associate({
    random: systemRandom,
    isPreEstablished: true,
    apduBytesMax: 1024,
  })
  await t.rejects(association.exchange([operation]), { code })
  await session.close()
}

/** Block `number` of an answer that never ends, with nothing in it. */
const block = (number: number): Buffer =>
  encodeApdu({
    type: 'general-block-transfer',
    blockControl: 0x40,
    blockNumber: number & 0xffff,
    blockNumberAck: 0,
    blockDataView: Buffer.alloc(0),
  })

t.test('notifications without end, over the wrapper', async (t) => {
  const frame = wrapped(notification, 16)
  await ask(t, placeOf(await chatterer(t, () => frame), 'tcp'))
})

t.test('frames for another client without end', async (t) => {
  const frame = wrapped(notification, 99)
  await ask(t, placeOf(await chatterer(t, () => frame), 'tcp'))
})

t.test('frames of another device without end', async (t) => {
  const frame = wrapped(notification, 16)
  frame.writeUInt16BE(7, 2)
  await ask(t, placeOf(await chatterer(t, () => frame), 'tcp'))
})

t.test('datagrams without end', async (t) => {
  const socket = createSocket('udp4')
  let isOver = false
  t.teardown(() => {
    isOver = true
    socket.close()
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const frame = wrapped(notification, 16)
  let isTalking = false
  socket.on('message', (_, { address, port }) => {
    if (isTalking) return
    isTalking = true
    const talk = (): void => {
      if (!isOver) socket.send(frame, port, address, () => setImmediate(talk))
    }
    talk()
  })
  await ask(t, placeOf(socket.address().port, 'udp'))
  isOver = true
})

const accepted = encodeFrame(
  {
    destination: ends.remote,
    source: ends.local,
    kind: 'UA',
    isFinal: true,
    sendNumber: 0,
    receiveNumber: 0,
    isSegmented: false,
  },
  encodeParameters(defaultHdlcParameters),
)
const ready = encodeFrame({
  destination: ends.remote,
  source: ends.local,
  kind: 'RR',
  isFinal: true,
  sendNumber: 0,
  receiveNumber: 1,
  isSegmented: false,
})

for (const [name, frame] of [
  ['UI frames', encodeUnconfirmed(ends, llcToClient, notification)],
  ['UA frames', accepted],
  ['RR frames', ready],
] as const)
  t.test(`${name} without end`, async (t) => {
    const port = await chatterer(t, (round) => (round === 0 ? accepted : frame))
    await ask(t, placeOf(port, 'hdlc'), /DEVICE_SILENT|DLMS_HDLC_SILENT|DLMS_HDLC_BROKEN/)
  })

t.test('empty blocks without end', async (t) => {
  const port = await chatterer(t, (round) => wrapped(block(round + 1), 16))
  await ask(t, placeOf(port, 'tcp'), /DEVICE_SILENT|DLMS_/)
})
