/**
 * The gRPC door against clients that only cost: what each may hold, for how long, and what it is
 * answered.
 */
import { gzipSync } from 'node:zlib'
import { status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import {
  GetRequestStatusRequest,
  SubmitBatchRequest,
  SubmitRequest,
} from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { framed, RawConnection, type RawAnswer } from '../../support/raw-http2.ts'
import {
  accepted,
  gasSupplier,
  makeRig,
  meter,
  requestOf,
  serveHost,
  supplier,
  turn,
} from './rig.ts'

const whole = (): Buffer => framed(SubmitRequest.encode({ request: requestOf() }).finish())
const nobody = ''
const mega = 1024 * 1024

async function start(
  t: Test,
  options: Parameters<typeof makeRig>[0] = {},
): Promise<{ rig: Awaited<ReturnType<typeof makeRig>>; connect(): Promise<RawConnection> }> {
  const rig = await makeRig(options)
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  return {
    rig,
    async connect() {
      const connection = new RawConnection(rig.address)
      t.teardown(() => connection.close())
      return connection.opened()
    },
  }
}

/** Our format: code, details with the same code, a sentence. */
function isNamed(t: Test, answer: RawAnswer, code: string, grpc: number, what = code): void {
  t.equal(answer.code, code, what)
  t.equal(answer.status, grpc, what)
  t.match(answer.message, new RegExp(`^${code}: .+\\.$`), what)
  const details = Buffer.from(String(answer.headers['grpc-status-details-bin']), 'base64')
  t.ok(details.includes('google.rpc.ErrorInfo') && details.includes(code), `${what}: details`)
}

t.test('a call without a known party ends at its headers', async (t) => {
  const { connect } = await start(t)
  const connection = await connect()
  const methods = ['Submit', 'SubmitBatch', 'SubmitStream', 'Cancel', 'GetRequestStatus'].map(
    (name) => `InputGateway/${name}`,
  )
  for (const path of [...methods, 'OutputGateway/Receive', 'OutputGateway/GetResponse'])
    for (const [party, code, grpc] of [
      [nobody, 'PARTY_HEADER_MISSING', status.UNAUTHENTICATED],
      ['me', 'PARTY_HEADER_MALFORMED', status.UNAUTHENTICATED],
      ['00-00-00-00-00-00-00-01', 'PARTY_UNKNOWN', status.PERMISSION_DENIED],
    ] as const) {
      // Not one octet of a message is sent.
      const answer = await connection.call(path, {}, party).answer
      isNamed(t, answer, code, grpc, `${path} ${code}`)
      t.equal(answer.reset, 0, 'asked to stop sending, without an error')
    }
})

t.test('what a rejected call goes on sending is not kept', async (t) => {
  const { connect } = await start(t)
  const connection = await connect()
  const calls = Array.from({ length: 50 }, () =>
    connection.call('InputGateway/SubmitBatch', {}, nobody),
  )
  for (const call of calls) void call.send(framed(Buffer.alloc(mega), 4 * mega))
  for (const { answer } of calls) t.equal((await answer).code, 'PARTY_HEADER_MISSING')
  t.equal((await calls[0]!.answer).status, status.UNAUTHENTICATED)
})

t.test(
  'octets of unfinished messages are limited, on each connection and of each party',
  async (t) => {
    const { rig, connect } = await start(t)
    const connections = [await connect(), await connect(), await connect(), await connect()]
    const calls = connections.flatMap((connection) =>
      ['InputGateway/SubmitBatch', 'InputGateway/SubmitStream'].flatMap((path) =>
        Array.from({ length: 4 }, () => connection.call(path)),
      ),
    )
    let refused = 0
    for (const call of calls)
      void call.answer.then((answer) => {
        // Some stay until their connection closes.
        if (answer.code === undefined) return
        refused++
        isNamed(t, answer, 'BROKER_GATEWAY_BUSY', status.RESOURCE_EXHAUSTED)
      })
    await Promise.all(calls.map((call) => call.send(framed(Buffer.alloc(4 * mega - 1), 4 * mega))))
    // 32 of almost 4 MiB each: four connections of 8 MiB, one party of 16 MiB.
    while (refused < calls.length - limits.partyBytesInFlightMax / (4 * mega)) await turn()
    const [other] = [await connect()]
    const large = other.call('InputGateway/SubmitBatch', {}, gasSupplier)
    const message = SubmitBatchRequest.encode({
      requests: Array.from({ length: 900 }, () => requestOf()),
    }).finish()
    await large.send(framed(message))
    large.stream.end()
    t.equal((await large.answer).status, status.OK, 'another party has its own share')
    for (const connection of connections) connection.close()
    await Promise.all(calls.map(({ answer }) => answer))
    while (rig.gateway.bytesInFlight > 0) await turn()
    t.equal(rig.gateway.bytesInFlight, 0, 'all is given back')
  },
)

t.test('messages are as large as their method needs', async (t) => {
  const { connect } = await start(t)
  const connection = await connect()
  const short = limits.partyShortMessageBytesMax
  for (const [path, max, field] of [
    ['InputGateway/Submit', limits.requestBytesMax + 4, 'request'],
    ['InputGateway/SubmitBatch', limits.partyMessageBytesMax, 'requests'],
    ['InputGateway/SubmitStream', limits.partyMessageBytesMax, 'requests'],
    ['InputGateway/Cancel', short],
    ['InputGateway/GetRequestStatus', short],
    ['OutputGateway/GetResponse', short],
    ['OutputGateway/Receive', short],
    ['/grpc.health.v1.Health/Check', short],
    ['/grpc.health.v1.Health/Watch', short],
    ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', short],
  ] as const) {
    const call = connection.call(path)
    // The announcement is enough.
    await call.send(framed(Buffer.alloc(0), max + 1))
    const answer = await call.answer
    isNamed(t, answer, 'REQUEST_SIZE_EXCEEDED', status.INVALID_ARGUMENT, path)
    const details = Buffer.from(String(answer.headers['grpc-status-details-bin']), 'base64')
    t.equal(details.includes('google.rpc.BadRequest'), field !== undefined, path)
    const fits = connection.call(path)
    await fits.send(framed(Buffer.alloc(0), max))
    await fits.send(Buffer.alloc(10))
    fits.stream.end()
    isNamed(t, await fits.answer, 'REQUEST_WIRE_MALFORMED', status.INVALID_ARGUMENT, `${path} fits`)
  }
})

t.test(
  'a message that is not complete in time ends its call; one that waits for us does not',
  async (t) => {
    const clock = new SimClock()
    const { connect } = await start(t, { clock })
    const connection = await connect()
    const bytes = whole()
    const open = ['InputGateway/Submit', '/grpc.health.v1.Health/Check'].map((path) =>
      connection.call(path),
    )
    const begun = ['InputGateway/Submit', 'InputGateway/SubmitStream', 'OutputGateway/Receive'].map(
      (path) => connection.call(path),
    )
    for (const call of begun) await call.send(bytes.subarray(0, 9))
    const unended = connection.call('InputGateway/Submit')
    await unended.send(bytes)
    const quiet = connection.call('InputGateway/SubmitStream')
    await quiet.send(bytes)
    await new Promise((resolve) => quiet.stream.once('data', resolve))
    const all = [...open, ...begun, unended]
    let ended = 0
    for (const { answer } of all) void answer.then(() => ended++)
    while (ended < all.length) {
      clock.advanceBy(limits.callLookMs)
      await turn()
    }
    for (const { answer } of [...open, begun[0]!, unended])
      isNamed(t, await answer, 'CALL_MESSAGE_UNFINISHED', status.DEADLINE_EXCEEDED)
    t.equal((await begun[1]!.answer).code, 'CALL_MESSAGE_UNFINISHED', 'of a stream')
    await quiet.send(whole())
    await new Promise((resolve) => quiet.stream.once('data', resolve))
    t.pass('a stream between its messages may be silent for as long as it likes')
  },
)

t.test('messages that nobody takes are counted as long as they wait', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  // No host answers: the stream is full after 4,000 requests, and its messages wait.
  await rig.bus.serve('host.a', () => undefined)
  const connection = await new RawConnection(rig.address).opened()
  t.teardown(() => connection.close())
  const call = connection.call('InputGateway/SubmitStream')
  const message = (): Buffer =>
    framed(
      SubmitBatchRequest.encode({
        requests: Array.from({ length: 1_000 }, () =>
          requestOf({
            serviceReferenceVariant: '3.1',
            body: { $case: 'displayMessage', value: { text: 'x'.repeat(2_000) } },
          }),
        ),
      }).finish(),
    )
  let isOver = false
  void call.answer.then(() => (isOver = true))
  for (let sent = 0; sent < 12 && !isOver; sent++) {
    void call.send(message())
    await turn()
  }
  for (let i = 0; i < 300; i++) await turn()
  t.ok(
    rig.gateway.bytesInFlight <= limits.connectionBytesInFlightMax,
    `${rig.gateway.bytesInFlight} octets`,
  )
})

t.test('one format for what the framework finds wrong', async (t) => {
  const { connect } = await start(t)
  const connection = await connect()
  const bytes = whole()
  const content = bytes.subarray(5)
  type Case = [string, string, number, Buffer[], Record<string, string>?]
  const submit = 'InputGateway/Submit'
  const bad = 'REQUEST_WIRE_MALFORMED'
  const invalid = status.INVALID_ARGUMENT
  const cases: Case[] = [
    ['/busbar.v1.InputGateway/Nothing', 'CALL_METHOD_UNKNOWN', status.UNIMPLEMENTED, [bytes]],
    ['/nothing', 'CALL_METHOD_UNKNOWN', status.UNIMPLEMENTED, [bytes]],
    [submit, bad, invalid, []],
    [submit, bad, invalid, [bytes, bytes]],
    [submit, bad, invalid, [bytes.subarray(0, -1)]],
    [submit, bad, invalid, [bytes.subarray(0, 3)]],
    [submit, bad, invalid, [framed(content, content.length, 2)]],
    [submit, bad, invalid, [framed(content, content.length, 1)]],
    [submit, bad, invalid, [framed(content, content.length, 1)], { 'grpc-encoding': 'gzip' }],
    [
      submit,
      'CALL_COMPRESSION_UNSUPPORTED',
      status.UNIMPLEMENTED,
      [framed(content, content.length, 1)],
      { 'grpc-encoding': 'br' },
    ],
    ['InputGateway/SubmitStream', bad, invalid, [bytes.subarray(0, 9)]],
    [submit, 'CALL_HEADER_INVALID', invalid, [bytes], { 'grpc-timeout': 'soon' }],
    [submit, 'CALL_HEADER_INVALID', invalid, [bytes], { 'grpc-timeout': '123456789S' }],
    [
      submit,
      'CALL_HEADER_INVALID',
      invalid,
      [bytes],
      { much: 'x'.repeat(limits.callHeaderBytesMax) },
    ],
    [
      '/grpc.health.v1.Health/Check',
      'CALL_NAME_UNKNOWN',
      status.NOT_FOUND,
      [framed(Buffer.from('\x0a\x01x'))],
    ],
  ]
  for (const [path, code, grpc, messages, headers] of cases) {
    const call = connection.call(path, headers)
    for (const message of messages) await call.send(message)
    call.stream.end()
    isNamed(
      t,
      await call.answer,
      code,
      grpc,
      `${path} ${JSON.stringify(headers ?? {}).slice(0, 40)}`,
    )
  }
  const compressed = connection.call(submit, { 'grpc-encoding': 'gzip' })
  const zipped = gzipSync(content)
  await compressed.send(framed(zipped, zipped.length, 1))
  compressed.stream.end()
  t.equal((await compressed.answer).status, status.OK)
  const bomb = connection.call('InputGateway/SubmitBatch', { 'grpc-encoding': 'gzip' })
  const tight = gzipSync(Buffer.alloc(64 * mega))
  await bomb.send(framed(tight, tight.length, 1))
  bomb.stream.end()
  isNamed(t, await bomb.answer, 'REQUEST_SIZE_EXCEEDED', invalid, 'what grows too large')
})

t.test('a deadline of the client that comes first has our format, too', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await rig.bus.serve('host.a', () => undefined)
  const connection = await new RawConnection(rig.address).opened()
  t.teardown(() => connection.close())
  const call = connection.call('InputGateway/Submit', { 'grpc-timeout': '50m' })
  await call.send(whole())
  call.stream.end()
  isNamed(t, await call.answer, 'CALL_DEADLINE_EXCEEDED', status.DEADLINE_EXCEEDED)
})

t.test('what is no gRPC call gets an answer of HTTP', async (t) => {
  const { connect } = await start(t)
  const connection = await connect()
  for (const [headers, http] of [
    [{ 'content-type': 'application/json' }, 415],
    [{ ':method': 'GET' }, 405],
  ] as const) {
    const call = connection.call('InputGateway/Submit', headers)
    call.stream.end()
    const answer = await call.answer
    t.equal(answer.http, http)
    t.equal(answer.headers['content-type'], 'application/problem+json')
    t.match(JSON.parse(answer.body.toString()), { status: http, code: 'CALL_HEADER_INVALID' })
  }
})

t.test('floods end their connection: rejected calls, pings, settings, resets', async (t) => {
  // Time stands still: however slow the machine is, it is one flood.
  const { rig, connect } = await start(t, { clock: new SimClock() })
  const flood = async (act: (connection: RawConnection) => void): Promise<void> => {
    const connection = await connect()
    let isClosed = false
    void connection.closed.then(() => (isClosed = true))
    while (!isClosed) {
      if (!connection.session.destroyed && !connection.session.closed) act(connection)
      await turn()
    }
  }
  await flood((connection) => void connection.call('InputGateway/Submit', {}, nobody))
  t.pass('rejected calls')
  await flood(({ session }) => void session.ping(Buffer.alloc(8), () => undefined))
  t.pass('pings')
  let windowSize = 70_000
  await flood(({ session }) => {
    // node:http2 has ten of them on their way at most.
    if (!session.pendingSettingsAck) session.settings({ initialWindowSize: windowSize++ })
  })
  t.pass('settings')
  await flood((connection) => {
    for (let i = 0; i < 50; i++) {
      const { stream } = connection.call('InputGateway/SubmitStream')
      setImmediate(() => stream.close(8))
    }
  })
  t.pass('resets')
  t.equal((await rig.client().submit(requestOf())).responseCode, 'I99', 'others go on')
})

t.test('connections: so many without a call that is accepted, the oldest make way', async (t) => {
  const { rig } = await start(t)
  const client = rig.client()
  await client.submit(requestOf())
  const idle: RawConnection[] = []
  for (let i = 0; i < limits.addressConnectionsMax + 5; i++) {
    const connection = new RawConnection(rig.address)
    t.teardown(() => connection.close())
    idle.push(connection)
    if (i % 50 === 0) await connection.opened()
  }
  // One place is the client's.
  await Promise.all(idle.slice(0, 6).map(({ closed }) => closed))
  t.equal((await client.submit(requestOf())).responseCode, 'I99')
  t.equal((await rig.client().submit(requestOf())).responseCode, 'I99', 'and a new one gets in')
})

t.test('a connection that says nothing is closed', async (t) => {
  const clock = new SimClock()
  const rig = await makeRig({ clock })
  t.teardown(() => rig.close())
  const { connect } = await import('node:net')
  const [host, port] = rig.address.split(':')
  const socket = connect(Number(port), host)
  socket.on('error', () => undefined)
  let isClosed = false
  socket.once('close', () => (isClosed = true)).resume()
  while (!isClosed) {
    clock.advanceBy(limits.callLookMs)
    await turn()
  }
  t.pass()
})

t.test('calls of one party are limited', async (t) => {
  const { connect } = await start(t)
  const calls = []
  for (let at = 0; at < limits.partyCallsMax;) {
    const connection = await connect()
    for (let i = 0; i < 500; i++, at++) calls.push(connection.call('InputGateway/SubmitStream'))
  }
  const last = await connect()
  // Frames of one connection come in their order, those of several do not.
  for (;;) {
    const call = last.call('InputGateway/GetRequestStatus')
    const id = { originator: supplier, target: meter, counter: 1n }
    await call.send(framed(GetRequestStatusRequest.encode({ requestId: id }).finish()))
    call.stream.end()
    const answer = await call.answer
    if (answer.code !== 'BROKER_GATEWAY_BUSY') continue
    isNamed(t, answer, 'BROKER_GATEWAY_BUSY', status.RESOURCE_EXHAUSTED)
    break
  }
  const other = last.call('InputGateway/SubmitStream', {}, gasSupplier)
  await other.send(whole())
  await new Promise((resolve) => other.stream.once('data', resolve))
  t.pass('another party is served')
})

t.test('probes, which anybody may call, are limited apart from the calls of parties', async (t) => {
  const { connect } = await start(t)
  const connection = await connect()
  const watch = '/grpc.health.v1.Health/Watch'
  const probes = Array.from({ length: limits.probeStreamsMax }, () => connection.call(watch))
  isNamed(t, await connection.call(watch).answer, 'BROKER_GATEWAY_BUSY', status.RESOURCE_EXHAUSTED)
  const call = connection.call('InputGateway/Submit')
  await call.send(whole())
  call.stream.end()
  t.equal((await call.answer).status, status.OK, 'a party is served')
  probes[0]!.stream.close()
  await probes[0]!.answer
  // The one place is free once the door has seen the end.
  for (;;) {
    const check = connection.call('/grpc.health.v1.Health/Check')
    await check.send(framed(Buffer.alloc(0)))
    check.stream.end()
    const answer = await check.answer
    if (answer.code === 'BROKER_GATEWAY_BUSY') continue
    t.equal(answer.status, status.OK)
    break
  }
})
