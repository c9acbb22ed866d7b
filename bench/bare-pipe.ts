/**
 * The bare pipe: the hops and the durable writes of the whole path with no logic in them, as the
 * ceiling that bench/path is held against. One process, like the broker: gRPC stream in, one NATS
 * request a tick to the "owner" (ourselves, through nats-server), durable write 1 as one fenced
 * JetStream message in flight, acknowledgement back over the same way, TCP to the meters, durable
 * write 2 with the deliveries, ordered consumer, gRPC stream out. No checks, no state, no codec, no
 * retries; records are as long as real envelopes. Meters share connections as those of the real
 * fleet do: what goes to meters of one connection goes out in one write. Entry: `bare-pipe.ts
 * '{"nats":…,"meterPort":…,"placement":[…],"partitions":…}'`; prints the port it listens on.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type Msg, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node'
import { emptyList } from '../core/base/empty-list.ts'
import { chainLinkBytes } from '../core/envelope/frame.ts'
import { headerBytes } from '../core/envelope/layout.ts'
import { sizes } from './path/sizes.ts'
import { bytesField, textField, varintBytes, varintField, writeVarint } from './path/wire.ts'

export type BarePipeOptions = {
  nats: string
  meterPort: number
  /** For each device, the index of its connection. */
  placement: readonly number[]
  partitions: number
}

const options = JSON.parse(process.argv[2] ?? '{}') as BarePipeOptions

// A record: request id length u8, two spare, kind u8, device u32, request id as protobuf; padded to
// an envelope header.
const recordBytes = headerBytes
const idAt = 8

type Call = ServerDuplexStream<Buffer, Buffer>

/** Octets gathered for one write; grows by doubling, hands its octets over with `take`. */
class Gather {
  buffer: Buffer = Buffer.allocUnsafeSlow(16_384)
  used = 0

  reserve(count: number): number {
    const at = this.used
    if (at + count > this.buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(at + count, this.buffer.length * 2))
      this.buffer.copy(larger, 0, 0, at)
      this.buffer = larger
    }
    this.used = at + count
    return at
  }

  take(): Buffer {
    const octets = this.buffer.subarray(0, this.used)
    this.buffer = Buffer.allocUnsafeSlow(Math.max(4096, this.used + (this.used >> 2)))
    this.used = 0
    return octets
  }
}

const nc: NatsConnection = await connect({ servers: options.nats })
const ledgerNc: NatsConnection = await connect({ servers: options.nats })
const jsm = await jetstreamManager(ledgerNc)
await jsm.streams.add({
  name: 'BARE',
  subjects: ['bare.log.*', 'bare.out.*', 'bare.lease.*', 'bare.tick'],
  storage: 'file',
  num_replicas: 1,
  allow_atomic: true,
  allow_direct: true,
} as Parameters<typeof jsm.streams.add>[0])

// ── ledger: one message in flight, the next one gathers ──

const leases: number[] = []
for (let p = 0; p < options.partitions; p++)
  leases.push((await jetstream(ledgerNc).publish(`bare.lease.${p}`, 'x')).seq)

const logs = Array.from({ length: options.partitions }, () => new Gather())
const fences = leases.map(
  (sequence, p) =>
    `Nats-Expected-Last-Subject-Sequence: ${sequence}\r\nNats-Expected-Last-Subject-Sequence-Subject: bare.lease.${p}\r\n`,
)
const out = new Gather()
let afterCommit: Array<() => void> = []
let isCommitting = false

// The client only ever calls `encode` of the headers of a message to be sent.
const headerBlock = (text: string): MsgHdrs => {
  const octets = Buffer.from(`NATS/1.0\r\n${text}\r\n`, 'latin1')
  return { encode: () => octets } as unknown as MsgHdrs
}

function reserveRecord(gather: Gather, extraBytes: number, isLog: boolean): number {
  if (isLog && gather.used === 0) gather.reserve(chainLinkBytes)
  return gather.reserve(recordBytes + extraBytes)
}

function wantCommit(): void {
  if (isCommitting) return
  isCommitting = true
  setImmediate(() => void commit())
}

async function commit(): Promise<void> {
  const actions = afterCommit
  afterCommit = []
  await commitTick()
  for (const action of actions) action()
  isCommitting = false
  if (afterCommit.length > 0) wantCommit()
}

// One message, as the ledger has it; deliveries first, so that the consumer finds their end by a
// count in front.
async function commitTick(): Promise<void> {
  const parts = [Buffer.allocUnsafe(4), out.take()]
  parts[0]!.writeUInt32BE(parts[1]!.length)
  for (const log of logs) if (log.used > 0) parts.push(log.take())
  const answer = await ledgerNc.request('bare.tick', Buffer.concat(parts), {
    timeout: 10_000,
    headers: headerBlock(fences[0]!),
  })
  const json = answer.json<{ error?: { description: string } }>()
  if (json.error) throw new Error(json.error.description)
}

// ── owner: frames from the bus, to disk, then answer and send to the meter ──

nc.subscribe('bare.host', {
  callback: (error, message: Msg) => {
    if (error) throw error
    const frame = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength)
    for (let at = 0; at < frame.length; at += recordBytes) {
      const gather = logs[frame.readUInt32LE(at + 4) % logs.length]!
      const to = reserveRecord(gather, 0, true)
      frame.copy(gather.buffer, to, at, at + recordBytes)
    }
    afterCommit.push(() => {
      message.respond(frame)
      for (let at = 0; at < frame.length; at += recordBytes) sendToMeter(frame, at)
    })
    wantCommit()
  },
})

// ── meters ──

const outcomeAccepted = (): void => {}

class MeterConnection {
  private readonly socket: Socket
  private waiting: Array<{ frame: Buffer; at: number }> = []
  private head = 0
  private toWrite = 0
  private received = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      // Answers have one length, so counting octets is all the framing there is.
      this.received += chunk.length
      for (; this.received >= sizes.meterAnswerBytes; this.received -= sizes.meterAnswerBytes)
        this.answered()
    })
  }

  send(frame: Buffer, at: number): void {
    this.waiting.push({ frame, at })
    if (this.toWrite++ === 0) dirty.push(this)
  }

  flush(): void {
    this.socket.write(meterRequests.subarray(0, this.toWrite * sizes.meterRequestBytes))
    this.toWrite = 0
  }

  private answered(): void {
    const { frame, at } = this.waiting[this.head++]!
    if (this.head > 1024 && this.head * 2 > this.waiting.length) {
      this.waiting = this.waiting.slice(this.head)
      this.head = 0
    }
    const gather = logs[frame.readUInt32LE(at + 4) % logs.length]!
    const to = reserveRecord(gather, 0, true)
    frame.copy(gather.buffer, to, at, at + recordBytes)
    const outTo = reserveRecord(out, sizes.responseBodyBytes, false)
    frame.copy(out.buffer, outTo, at, at + recordBytes)
    out.buffer.fill(1, outTo + recordBytes, outTo + recordBytes + sizes.responseBodyBytes)
    if (afterCommit.length === 0) afterCommit.push(outcomeAccepted)
    wantCommit()
  }
}

const meterRequests = Buffer.alloc(sizes.meterRequestBytes * 8192)
for (let i = 0; i < 8192; i++) {
  meterRequests.writeUInt16BE(1, i * sizes.meterRequestBytes)
  meterRequests.writeUInt16BE(sizes.meterRequestBytes - 8, i * sizes.meterRequestBytes + 6)
}
const dirty: MeterConnection[] = []
const { placement } = options
const meters: MeterConnection[] = []
for (let i = 0; i <= Math.max(...placement); i++) {
  const socket = connectTcp(options.meterPort, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  meters.push(new MeterConnection(socket))
}

function sendToMeter(frame: Buffer, at: number): void {
  meters[placement[frame.readUInt32LE(at + 4) % placement.length]!]!.send(frame, at)
  if (dirty.length === 1) process.nextTick(flushMeters)
}

function flushMeters(): void {
  for (const connection of dirty) connection.flush()
  emptyList(dirty)
}

// ── input gateway: gather a tick's requests, one NATS request, acknowledgements back ──

const inbound = new Gather()
let inboundCalls: Array<{ call: Call; count: number }> = []
const acknowledgementTail = Buffer.concat([
  textField(2, 'I99'),
  textField(3, 'REQUEST_ACCEPTED'),
  textField(
    4,
    'The request is on disk and will be carried out. Wait for the response at the output gateway.',
  ),
  bytesField(5, Buffer.concat([varintField(1, 1_750_000_000), varintField(2, 500_000_000)])),
])

function submitStream(call: Call): void {
  call.on('data', (message: Buffer) => {
    let count = 0
    for (let at = 0; at < message.length; count++) {
      // 0a length { 0a length { 0a 10 originator 12 10 target 18 counter } … }: every length below
      // 128.
      const end = at + 2 + message[at + 1]!
      const idBytes = message[at + 3]!
      const to = inbound.reserve(recordBytes)
      inbound.buffer[to] = idBytes
      inbound.buffer[to + 3] = 1
      // The last four hexadecimal digits of the target tell the meters of the fleet apart.
      let device = 0
      for (let i = 0; i < 4; i++) {
        const digit = message[at + 4 + 18 + 2 + 12 + i]!
        device = device * 16 + (digit > 57 ? (digit | 32) - 87 : digit - 48)
      }
      inbound.buffer.writeUInt32LE(device, to + 4)
      message.copy(inbound.buffer, to + idAt, at + 4, at + 4 + idBytes)
      at = end
    }
    inboundCalls.push({ call, count })
    if (inboundCalls.length === 1) setImmediate(() => void askOwner())
  })
  call.on('end', () => call.end())
  call.on('error', () => {})
}

async function askOwner(): Promise<void> {
  const calls = inboundCalls
  inboundCalls = []
  const answer = await nc.request('bare.host', inbound.take(), { timeout: 10_000 })
  const frame = Buffer.from(answer.data.buffer, answer.data.byteOffset, answer.data.byteLength)
  let at = 0
  for (const { call, count } of calls) {
    const message = Buffer.allocUnsafe(count * (4 + 64 + acknowledgementTail.length))
    let to = 0
    for (let i = 0; i < count; i++, at += recordBytes) {
      const idBytes = frame[at]!
      message[to] = 0x0a
      to = writeVarint(message, to + 1, 2 + idBytes + acknowledgementTail.length)
      message[to] = 0x0a
      message[to + 1] = idBytes
      to += 2 + frame.copy(message, to + 2, at + idAt, at + idAt + idBytes)
      to += acknowledgementTail.copy(message, to)
    }
    call.write(message.subarray(0, to))
  }
}

// ── output gateway: ordered consumer, stream out ──

const responseTail = Buffer.concat([
  textField(2, '4.1.1'),
  textField(3, 'I0'),
  textField(4, 'OK'),
  bytesField(6, Buffer.concat([varintField(1, 1_750_000_000), varintField(2, 500_000_000)])),
  bytesField(7, Buffer.concat([varintField(1, 1_750_000_000), varintField(2, 500_000_000)])),
  varintField(8, 1),
])
const bodyHead = bytesField(9, Buffer.alloc(sizes.responseBodyBytes)).subarray(
  0,
  -sizes.responseBodyBytes,
)
const deliveryStride = recordBytes + sizes.responseBodyBytes

async function receive(call: Call): Promise<void> {
  call.on('data', () => {})
  call.on('error', () => {})
  const consumer = await jetstream(nc).consumers.get('BARE', {
    filter_subjects: 'bare.tick',
  })
  const messages = await consumer.consume({
    max_messages: 256,
    callback: (message) => {
      let frame = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength)
      frame = frame.subarray(4, 4 + frame.readUInt32BE(0))
      if (frame.length === 0) return
      const first = message.seq * 4096
      const bytes = Buffer.allocUnsafe(
        (frame.length / deliveryStride) * (deliveryStride + responseTail.length + 40),
      )
      let to = 0
      for (let at = 0, i = 0; at < frame.length; at += deliveryStride, i++) {
        const idBytes = frame[at]!
        const responseBytes =
          2 + idBytes + responseTail.length + bodyHead.length + sizes.responseBodyBytes
        bytes[to] = 0x0a
        to = writeVarint(
          bytes,
          to + 1,
          1 + varintBytes(first + i) + 1 + varintBytes(responseBytes) + responseBytes,
        )
        bytes[to] = 0x08
        to = writeVarint(bytes, to + 1, first + i)
        bytes[to] = 0x12
        to = writeVarint(bytes, to + 1, responseBytes)
        bytes[to] = 0x0a
        bytes[to + 1] = idBytes
        to += 2 + frame.copy(bytes, to + 2, at + idAt, at + idAt + idBytes)
        to += responseTail.copy(bytes, to)
        to += bodyHead.copy(bytes, to)
        to += frame.copy(bytes, to, at + recordBytes, at + deliveryStride)
      }
      call.write(bytes.subarray(0, to))
    },
  })
  call.on('end', () => {
    messages.stop()
    call.end()
  })
}

const raw = (octets: Buffer): Buffer => octets
const stream = (path: string) => ({
  path,
  requestStream: true,
  responseStream: true,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
})
const definition = {
  submitStream: stream('/busbar.v1.InputGateway/SubmitStream'),
  receive: stream('/busbar.v1.OutputGateway/Receive'),
} satisfies ServiceDefinition

const server = new Server({
  'grpc.max_receive_message_length': 8 * 1024 * 1024,
  'grpc.max_send_message_length': 8 * 1024 * 1024,
})
server.addService(definition, { submitStream, receive: (call: Call) => void receive(call) })
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error
  process.stdout.write(`${JSON.stringify({ port })}\n`)
})
process.on('SIGTERM', () => process.exit(0))
process.stdin.resume().on('end', () => process.exit(0))
