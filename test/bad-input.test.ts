/**
 * Everything that the outside can do to Busbar, done to a whole deployment of real processes
 * through its real doors, as the hostile would: callers without manners, requests that make no
 * sense, octets that are none of ours, rubbish on the bus, receivers that do not read, clients that
 * vanish, and meters that lie. Each time: the named code with a sentence that says what to do,
 * well-behaved parties are served meanwhile, what was accepted ends exactly once, and the broker
 * goes on, saying nothing of readings or secrets. The meters' misdeeds take their time-outs, so
 * they are begun first and looked at last.
 */
import t, { type Test } from 'tap'
import { readFileSync } from 'node:fs'
import { constants } from 'node:http2'
import { once } from 'node:events'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import fc from 'fast-check'
import { errorTable, type ErrorCode } from '../core/base/error-table.ts'
import { limits } from '../core/base/limits.ts'
import { headerBytes, Kind, offsetOf } from '../core/envelope/layout.ts'
import { SupplierClient } from '../core/client/supplier-client.ts'
import {
  SubmitBatchRequest,
  SubmitRequest,
  SubmitStreamResponse,
} from '../proto/gen/busbar/v1/input_gateway.ts'
import { ReceiveRequest } from '../proto/gen/busbar/v1/output_gateway.ts'
import { ServiceRequest } from '../proto/gen/busbar/v1/service_request.ts'
import { Deployment } from './support/deployment.ts'
import { envelopeOf, supplierText } from './support/envelopes.ts'
import { InsistentSupplier } from './support/insistent-supplier.ts'
import {
  http,
  outcomeOfFault,
  RawGrpc,
  sayTo,
  stalledCall,
  streamMessage,
  throwAt,
  type Outcome,
} from './support/raw-doors.ts'

const metersPerListener = 5
const networkOperator = '90-B3-D5-1F-30-05-00-00'
const otherUser = '90-B3-D5-1F-30-07-00-00'
const loadController = '90-B3-D5-1F-30-08-00-00'
const stranger = '90-B3-D5-1F-30-99-00-00'
const displayText = 'Nothing of this may stand in a log'

const deployment = new Deployment({ logTo: 'broker.log', metersPerListener })
t.teardown(() => deployment.stop())
await deployment.start(50)
const { grpc, http: web, ops } = deployment.listening
const brokerProcess = deployment.broker!.process

/**
 * Meters with faults stand each behind a listener of their own; the last listener is for those who
 * behave.
 */
const esme = (listener: number, nth = 0): string =>
  esmeIndexes(listener).map((index) => deployment.devices[index]!.eui64)[nth]!
const esmeIndexes = (listener: number): number[] =>
  Array.from({ length: metersPerListener }, (_, i) => listener * metersPerListener + i).filter(
    (index) => deployment.devices[index]!.type === 'ESME',
  )
const gasProxy = deployment.devices.find(({ type }) => type === 'GPF')!.eui64
const healthy = esme(9)
const victim = esme(9, 1)

const supplier = new InsistentSupplier(grpc)
const bystander = new InsistentSupplier(grpc, networkOperator)
const raw = new RawGrpc(grpc)
t.teardown(() => {
  supplier.close()
  bystander.close()
  raw.close()
})
supplier.receive()
bystander.receive()

let counter = 1_000
const ask = (target: string, srv: string, more: object = {}): ServiceRequest =>
  ServiceRequest.fromPartial({
    requestId: { originator: supplierText, target, counter: BigInt(++counter) },
    serviceReferenceVariant: srv,
    ...more,
  })
const keyOf = ({ requestId }: ServiceRequest): string => InsistentSupplier.keyOf(requestId)
const period = (from: string, to: string): object => ({
  body: { $case: 'readPeriod', value: { startTime: new Date(from), endTime: new Date(to) } },
})

/** Somebody else asks somebody else's meter, and is answered. */
async function servedMeanwhile(t: Test): Promise<void> {
  const request = bystander.request(healthy, ++counter, '4.1.1')
  await bystander.submit([request])
  await bystander.until(() => bystander.responses.has(keyOf(request)))
  t.equal(
    bystander.responses.get(keyOf(request))?.responseCode,
    'I0',
    'a bystander is served meanwhile',
  )
}

/** The broker is the same process, and ready. */
async function goesOn(t: Test): Promise<void> {
  t.equal(brokerProcess.exitCode ?? brokerProcess.signalCode, null, 'the broker lives')
  const ready = await http(ops, 'GET', '/health/ready')
  t.same([ready.status, ready.body['reasons']], [200, []], 'and is ready')
}

function isNamed(t: Test, { code, message }: Outcome, expected: ErrorCode, what: string): void {
  t.equal(code, expected, what)
  const { meaning, action } = errorTable[expected]
  t.ok(
    message.includes(meaning) && message.includes(action),
    `${what}: a sentence that says what to do`,
  )
}

// ── meters that lie: begun first ──

type Trouble = { fault: string; request: ServiceRequest; codes: ErrorCode[] }
const troubles: Trouble[] = []
const fakes: Array<{ close(): void }> = []
t.teardown(() => fakes.forEach((fake) => fake.close()))

/** A meter of its own making behind a real socket. */
function fakeMeter(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    onSocket(socket)
  })
  fakes.push({
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
}

const behindFake = (number: number): string => `00-DB-99-00-00-00-00-0${number}`
const shortly = (): object => ({ deadline: new Date(Date.now() + 5_000) })

t.before(async () => {
  const lies: Array<[listener: number, fault: string, code: ErrorCode]> = [
    [0, 'silent', 'DEVICE_SILENT'],
    [1, 'drop', 'DEVICE_SILENT'],
    [2, 'garbage', 'DEVICE_ANSWER_INVALID'],
    [3, 'noise', 'DEVICE_ANSWER_INVALID'],
    [4, 'truncate', 'DEVICE_SILENT'],
    [5, 'wrong-invoke-id', 'DEVICE_ANSWER_INVALID'],
    [6, 'wrong-block-number', 'DEVICE_ANSWER_INVALID'],
    [7, 'too-much', 'DEVICE_ANSWER_INVALID'],
    [8, 'refuse-association', 'DEVICE_ASSOCIATION_REFUSED'],
  ]
  for (const [listener, fault, code] of lies) {
    const index = esmeIndexes(listener)[0]!
    await deployment.tellMeters(`${index} ${fault}`)
    troubles.push({
      fault,
      request: ask(deployment.devices[index]!.eui64, '4.1.1', shortly()),
      codes: [code],
    })
  }
  const exceptional = esmeIndexes(8)[1]!
  await deployment.tellMeters(`${exceptional} exception`)
  troubles.push({
    fault: 'exception',
    request: ask(deployment.devices[exceptional]!.eui64, '4.1.1', shortly()),
    codes: ['DEVICE_ANSWER_INVALID'],
  })

  const flood = Buffer.alloc(64 * 1024)
  const flooding = await fakeMeter((socket) => {
    const pour = (): void => {
      while (!socket.destroyed && socket.write(flood)) continue
    }
    socket.on('drain', pour)
    pour()
  })
  // A header that promises 65,535 octets, and one octet of them.
  const promising = await fakeMeter((socket) =>
    socket.write(Buffer.from('000100010010ffff00', 'hex')),
  )
  const chatting = await fakeMeter((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const gone = await fakeMeter(() => undefined)
  fakes.at(-1)!.close()
  const secretive = (
    readFileSync(deployment.devicesFile, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)) as Device[]
  ).findLast(({ address }) => address.secret !== undefined)!
  const places: Array<[fault: string, address: object, codes: ErrorCode[]]> = [
    ['floods', fakeAddress(flooding), ['DEVICE_ANSWER_INVALID']],
    ['promises', fakeAddress(promising), ['DEVICE_SILENT']],
    ['speaks HTTP', fakeAddress(chatting), ['DEVICE_ANSWER_INVALID']],
    ['nobody listens', fakeAddress(gone), ['DEVICE_UNREACHABLE']],
    [
      'wrong secret',
      { ...secretive.address, secret: '00'.repeat(16) },
      ['DEVICE_ASSOCIATION_REFUSED'],
    ],
  ]
  const records = places.map(([, address], index) => ({
    eui64: behindFake(index + 1),
    type: 'ESME',
    address,
  }))
  const registered = await http(ops, 'POST', '/v1/devices', JSON.stringify(records))
  t.same(registered.body, { registered: places.length, refused: [] })
  places.forEach(([fault, , codes], index) => {
    troubles.push({ fault, request: ask(behindFake(index + 1), '11.2', shortly()), codes })
  })
  await supplier.submit(troubles.map(({ request }) => request))
  for (const { request, fault } of troubles)
    t.ok(supplier.accepted.has(keyOf(request)), `${fault}: accepted`)
})

type Device = { address: { host: string; port: number; secret?: string } }
const fakeAddress = (port: number): object => ({
  host: '127.0.0.1',
  port,
  logicalDevice: 1,
  client: 16,
})

// ── who asks ──

t.test(
  'callers without a name, with a bad one, unknown ones, and those who speak for others',
  async (t) => {
    const who: Array<[party: string | undefined, code: ErrorCode, status: number]> = [
      [undefined, 'PARTY_HEADER_MISSING', 401],
      ['90-B3-D5-1F-30-01-00', 'PARTY_HEADER_MALFORMED', 401],
      [`${supplierText}0`, 'PARTY_HEADER_MALFORMED', 401],
      ['90-B3:D5-1F-30-01-00-00', 'PARTY_HEADER_MALFORMED', 401],
      [stranger, 'PARTY_UNKNOWN', 403],
      [otherUser, 'PARTY_ORIGINATOR_MISMATCH', 403],
    ]
    for (const [party, code, status] of who) {
      const door = new RawGrpc(grpc, party ?? '')
      const request = ask(victim, '11.2')
      isNamed(t, await door.submit(request), code, `gRPC ${party}`)
      door.close()
      const answer = await http(
        web,
        'POST',
        '/v1/service-requests',
        JSON.stringify(ServiceRequest.toJSON(request)),
        {
          'x-busbar-party': party ?? '',
        },
      )
      isNamed(t, answer, code, `HTTP ${party}`)
      t.equal(answer.status, status)
    }
    const incapable = new RawGrpc(grpc, loadController)
    const request = ask(victim, '4.1.1')
    request.requestId!.originator = loadController
    isNamed(t, await incapable.submit(request), 'PARTY_ROLE_INELIGIBLE', 'a role that may not')
    const stream = incapable.stream('OutputGateway/Receive')
    stream.write(
      Buffer.from(
        ReceiveRequest.encode({
          step: { $case: 'openReceiver', value: { credit: 0, onlyIfFree: false } },
        }).finish(),
      ),
    )
    const fault = await new Promise<unknown>((resolve) => stream.on('error', resolve).resume())
    isNamed(t, outcomeOfFault(fault), 'DELIVERY_CREDIT_INVALID', 'a receiver without credit')
    incapable.close()
    await servedMeanwhile(t)
  },
)

// ── what is asked ──

t.test('requests that make no sense, through every door', async (t) => {
  const from = '2026-03-01T00:00:00Z'
  const message = (text: string): object => ({ body: { $case: 'displayMessage', value: { text } } })
  const cases: Array<[what: string, request: ServiceRequest, code: ErrorCode, status: number]> = [
    ['unknown SRV', ask(victim, '99.9'), 'REQUEST_SRV_UNKNOWN', 400],
    ['SRV that is none', ask(victim, '4.1.1; DROP'), 'REQUEST_SRV_UNKNOWN', 400],
    ['no SRV', ask(victim, ''), 'REQUEST_SRV_UNKNOWN', 400],
    ['SRV not served', ask(victim, '1.1.1'), 'REQUEST_SRV_UNSUPPORTED', 501],
    ['unknown device', ask('00-DB-77-00-00-00-00-01', '4.1.1'), 'DEVICE_UNKNOWN', 404],
    ['device of another type', ask(gasProxy, '11.2'), 'DEVICE_TYPE_UNFIT', 409],
    ['malformed EUI-64', ask('00-DB-10-00-00-00-00-0G', '4.1.1'), 'REQUEST_ID_MALFORMED', 400],
    ['EUI-64 cut short', ask('00DB10000000000', '4.1.1'), 'REQUEST_ID_MALFORMED', 400],
    ['no target', ask('', '4.1.1'), 'REQUEST_ID_MALFORMED', 400],
    [
      'no RequestID',
      { ...ask(victim, '4.1.1'), requestId: undefined },
      'REQUEST_ID_MALFORMED',
      400,
    ],
    [
      'past deadline',
      ask(victim, '4.1.1', { deadline: new Date('2020-01-01') }),
      'REQUEST_DEADLINE_PAST',
      400,
    ],
    [
      'deadline in ten years',
      ask(victim, '4.1.1', { deadline: new Date('2036-01-01') }),
      'REQUEST_DEADLINE_PAST',
      400,
    ],
    [
      'a body where none is taken',
      ask(victim, '4.1.1', message('hello')),
      'REQUEST_BODY_MISMATCH',
      400,
    ],
    [
      'body of the wrong type',
      ask(victim, '4.8.1', message('hello')),
      'REQUEST_BODY_MISMATCH',
      400,
    ],
    ['no body', ask(victim, '4.8.1'), 'REQUEST_BODY_MISMATCH', 400],
    ['empty text', ask(victim, '3.1', message('')), 'REQUEST_BODY_MALFORMED', 400],
    [
      'a text that is too long',
      ask(victim, '3.1', message('x'.repeat(117))),
      'REQUEST_BODY_MALFORMED',
      400,
    ],
    [
      'range backwards',
      ask(victim, '4.8.1', period('2026-03-02T00:00:00Z', from)),
      'REQUEST_RANGE_BACKWARDS',
      400,
    ],
    [
      'range of years',
      ask(victim, '4.8.1', period('2020-01-01T00:00:00Z', from)),
      'REQUEST_RANGE_EXCEEDED',
      400,
    ],
    [
      'range of long ago',
      ask(victim, '4.8.1', period('2001-01-01T00:00:00Z', '2001-01-02T00:00:00Z')),
      'REQUEST_RANGE_EXCEEDED',
      400,
    ],
    [
      'half a range',
      ask(victim, '4.8.1', { body: { $case: 'readPeriod', value: { startTime: new Date(from) } } }),
      'REQUEST_BODY_MALFORMED',
      400,
    ],
  ]
  for (const [what, request, code, status] of cases) {
    isNamed(t, await raw.submit(request), code, `Submit, ${what}`)
    isNamed(t, await raw.submitInBatch(request), code, `SubmitBatch, ${what}`)
    const answer = await http(
      web,
      'POST',
      '/v1/service-requests',
      JSON.stringify(ServiceRequest.toJSON(request)),
    )
    isNamed(t, answer, code, `HTTP, ${what}`)
    t.equal(answer.status, status, what)
  }
  await servedMeanwhile(t)
  await goesOn(t)
})

t.test(
  'a counter used twice: the same again is the first acknowledgement, anything else is refused',
  async (t) => {
    const first = ask(victim, '3.1', {
      body: { $case: 'displayMessage', value: { text: displayText } },
    })
    await supplier.submit([first])
    await supplier.until(() => supplier.responses.has(keyOf(first)))
    const other = {
      ...first,
      body: { $case: 'displayMessage' as const, value: { text: 'another' } },
    }
    isNamed(t, await raw.submit(other), 'REQUEST_COUNTER_REUSED', 'another body')
    isNamed(
      t,
      await raw.submit({ ...first, serviceReferenceVariant: '11.2', body: undefined }),
      'REQUEST_COUNTER_REUSED',
      'another SRV',
    )
    isNamed(t, await raw.submit(first), 'REQUEST_ACCEPTED', 'the same')
    const late = ask(victim, '11.2', { deadline: new Date(Date.now() + 1_500) })
    await supplier.submit([late])
    const passing = ask(troubles[0]!.request.requestId!.target, '11.2', { deadline: late.deadline })
    await supplier.submit([passing])
    await supplier.until(() => supplier.responses.has(keyOf(passing)))
    t.equal(
      supplier.responses.get(keyOf(passing))?.reason,
      'REQUEST_EXPIRED',
      'a deadline that came while the device was busy',
    )
    isNamed(t, await raw.submit(late), 'REQUEST_ACCEPTED', 'the same, after its deadline')
    await servedMeanwhile(t)
    t.equal(supplier.delivered.get(keyOf(first))?.size, 1, 'run once')
    t.equal(supplier.delivered.get(keyOf(late))?.size, 1, 'run once')
    const unheard = { originator: supplierText, target: victim, counter: 5n }
    const client = new SupplierClient({ address: grpc, credentials: { party: supplierText } })
    isNamed(
      t,
      outcomeOfFault(await client.status(unheard).catch((error: unknown) => error)),
      'REQUEST_NOT_FOUND',
      'status of none',
    )
    t.equal((await client.cancel(unheard)).reason, 'REQUEST_NOT_FOUND')
    t.equal((await client.cancel(first.requestId!)).reason, 'REQUEST_ENDED', 'too late to cancel')
    client.close()
  },
)

t.test('all that a meter keeps in one answer', async (t) => {
  const now = Date.now()
  const all = ask(
    victim,
    '4.8.1',
    period(new Date(now - 399 * 86_400_000).toISOString(), new Date(now).toISOString()),
  )
  await supplier.submit([all])
  await supplier.until(() => supplier.responses.has(keyOf(all)))
  const { responseCode, body } = supplier.responses.get(keyOf(all))!
  t.equal(responseCode, 'I0')
  t.ok((body?.profiles[0]?.entries.length ?? 0) > 390 * 48, 'thirteen months of half hours')
})

// ── octets ──

t.test('garbage, cut and oversized protobuf', async (t) => {
  const good = SubmitRequest.encode({ request: ask(victim, '11.2') }).finish()
  isNamed(t, await raw.outcome('Submit', Buffer.alloc(0)), 'REQUEST_WIRE_MALFORMED', 'nothing')
  isNamed(
    t,
    await raw.outcome('Submit', Buffer.from('ffffffffffffffffffffff', 'hex')),
    'REQUEST_WIRE_MALFORMED',
    'an endless varint',
  )
  isNamed(
    t,
    await raw.outcome('Submit', Buffer.concat([good, good])),
    'REQUEST_WIRE_MALFORMED',
    'two requests in one',
  )
  for (let length = 1; length < good.length; length += 3) {
    isNamed(
      t,
      await raw.outcome('Submit', good.subarray(0, length)),
      'REQUEST_WIRE_MALFORMED',
      `cut at ${length}`,
    )
  }
  const fat = SubmitRequest.encode({
    request: ask(victim, 'x'.repeat(limits.requestBytesMax)),
  }).finish()
  isNamed(t, await raw.outcome('Submit', fat), 'REQUEST_SIZE_EXCEEDED', 'a request above 64 KiB')
  const many = Array.from({ length: limits.requestsPerBatchMax + 1 }, () => ask(victim, '11.2'))
  isNamed(
    t,
    await raw.outcome('SubmitBatch', SubmitBatchRequest.encode({ requests: many }).finish()),
    'REQUEST_SIZE_EXCEEDED',
    'a batch of 1,001',
  )
  const huge = await raw.outcome('Submit', Buffer.alloc(limits.partyMessageBytesMax + 1))
  t.equal(huge.code, 'REQUEST_SIZE_EXCEEDED', 'a message above 4 MiB')

  // Any octets come to a refusal with a code of the table, or to an acknowledgement.
  const calls: Promise<void>[] = []
  const any = fc.tuple(
    fc.boolean(),
    fc.uint8Array({ maxLength: 300 }),
    fc.nat(good.length - 1),
    fc.nat(255),
  )
  for (const [isChanged, octets, at, value] of fc.sample(any, { numRuns: 400, seed: 2 })) {
    const message = isChanged ? Buffer.from(good).fill(value, at, at + 1) : octets
    calls.push(
      raw.outcome('Submit', message).then(({ code }) => {
        if (!(code in errorTable)) t.fail(`${Buffer.from(message).toString('hex')} came to ${code}`)
      }),
    )
  }
  await Promise.all(calls)
  await servedMeanwhile(t)
  await goesOn(t)
})

t.test('rubbish in a stream ends that stream, after all before it is acknowledged', async (t) => {
  const requests = Array.from({ length: 3 }, () => ask(victim, '11.2'))
  const stream = raw.stream()
  const beside = raw.stream()
  const acknowledged: string[] = []
  stream.on('data', (octets: Buffer) => {
    acknowledged.push(
      ...SubmitStreamResponse.decode(octets).acknowledgements.map(({ reason }) => reason),
    )
  })
  const fault = new Promise<unknown>((resolve) => stream.on('error', resolve))
  stream.write(streamMessage(requests))
  stream.write(Buffer.from('0affffffff0f00', 'hex'))
  isNamed(t, outcomeOfFault(await fault), 'REQUEST_WIRE_MALFORMED', 'the stream')
  t.same(acknowledged, ['REQUEST_ACCEPTED', 'REQUEST_ACCEPTED', 'REQUEST_ACCEPTED'])
  const last = ask(victim, '7.4')
  const answered = new Promise<Buffer>((resolve) => beside.on('data', resolve))
  beside.write(streamMessage([last]))
  t.equal(
    SubmitStreamResponse.decode(await answered).acknowledgements[0]?.reason,
    'REQUEST_ACCEPTED',
    'the stream beside it',
  )
  beside.end()
  await supplier.until(() =>
    [...requests, last].every((request) => supplier.responses.has(keyOf(request))),
  )
})

t.test('garbage, cut and oversized JSON, and paths that do not exist', async (t) => {
  const request = JSON.stringify(ServiceRequest.toJSON(ask(victim, '11.2')))
  const bodies: Array<[what: string, body: string, code: ErrorCode, status: number]> = [
    ['nothing', '', 'REQUEST_JSON_MALFORMED', 400],
    ['not JSON', '}{', 'REQUEST_JSON_MALFORMED', 400],
    ['cut', request.slice(0, -9), 'REQUEST_JSON_MALFORMED', 400],
    ['null', 'null', 'REQUEST_JSON_MALFORMED', 400],
    ['a list', '[]', 'REQUEST_JSON_MALFORMED', 400],
    ['nested deep', '['.repeat(100_000) + ']'.repeat(100_000), 'REQUEST_JSON_MALFORMED', 400],
    [
      'a prototype',
      request.replace('{', '{"__proto__":{"isServed":true},'),
      'REQUEST_JSON_MALFORMED',
      400,
    ],
    [
      'a misspelt field',
      request.replace('{', '{"dedline":"2030-01-01T00:00:00Z",'),
      'REQUEST_JSON_MALFORMED',
      400,
    ],
    [
      'two bodies',
      request.replace('{', '{"displayMessage":{"text":"a"},"synchroniseClock":{},'),
      'REQUEST_JSON_MALFORMED',
      400,
    ],
    [
      'a counter above 64 bits',
      request.replace(/"counter":"\d+"/, '"counter":"99999999999999999999"'),
      'REQUEST_ID_MALFORMED',
      400,
    ],
    [
      'a counter that is not exact',
      request.replace(/"counter":"\d+"/, '"counter":1e300'),
      'REQUEST_ID_MALFORMED',
      400,
    ],
    [
      'a date that does not exist',
      request.replace('{', '{"deadline":"2026-13-41T99:00:00Z",'),
      'REQUEST_JSON_MALFORMED',
      400,
    ],
    [
      '1,001 requests',
      `{"requests":[${Array(1_001).fill(request).join(',')}]}`,
      'REQUEST_SIZE_EXCEEDED',
      413,
    ],
  ]
  for (const [what, body, code, status] of bodies) {
    const answer = await http(web, 'POST', '/v1/service-requests', body)
    isNamed(t, answer, code, what)
    t.equal(answer.status, status, what)
  }
  // Refused before it is sent: whoever sends it all the same may see a reset first.
  const announced = await sayTo(
    web,
    `POST /v1/service-requests HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nx-busbar-party: ${supplierText}\r\n` +
      `Content-Length: ${limits.partyMessageBytesMax + 1}\r\nConnection: close\r\n\r\n`,
  )
  t.match(announced, /^HTTP\/1.1 413 [^]*REQUEST_SIZE_EXCEEDED/, 'a body above 4 MiB')
  const form = await http(web, 'POST', '/v1/service-requests', 'a=b', {
    'content-type': 'application/x-www-form-urlencoded',
  })
  t.same([form.status, form.code], [415, 'REQUEST_JSON_MALFORMED'], 'a form')
  isNamed(t, await http(web, 'GET', '/v2/everything'), 'REQUEST_PATH_UNKNOWN', 'a path')
  isNamed(
    t,
    await http(web, 'GET', '/v1/service-requests/none'),
    'REQUEST_ID_MALFORMED',
    'an id in a path',
  )
  isNamed(
    t,
    await http(web, 'DELETE', `/v1/service-requests/${supplierText}:${victim}:5`),
    'REQUEST_NOT_FOUND',
    'a request that never was',
  )
  isNamed(
    t,
    await http(web, 'GET', '/v1/deliveries?waitMs=never'),
    'REQUEST_JSON_MALFORMED',
    'a wait',
  )
  isNamed(
    t,
    await http(
      web,
      'POST',
      '/v1/deliveries/acknowledgements',
      '{"deliveryId":"99999999999999999999"}',
    ),
    'DELIVERY_ACKNOWLEDGEMENT_INVALID',
    'a delivery',
  )
  const device = await http(ops, 'POST', '/v1/devices', '[{"eui64":"nobody","type":"TOASTER"}]')
  isNamed(t, device, 'DEVICE_RECORD_MALFORMED', 'a device of the inventory')

  const noise = Buffer.from(Array.from({ length: 4_096 }, (_, i) => (i * 193 + 7) & 255))
  for (const address of [grpc, web, ops]) {
    await throwAt(address, noise)
    await throwAt(address, Buffer.from('POST /v1/service-requests HTTP/1.1\r\nContent-Le'), true)
    await throwAt(address, Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04'), true)
  }
  await servedMeanwhile(t)
  await goesOn(t)
})

t.test('rubbish on the bus, from somebody who has the credentials', async (t) => {
  const { port, user, password } = JSON.parse(
    readFileSync(join(deployment.dataDir, 'data', 'nats-server.json'), 'utf8'),
  ) as { port: number; user: string; password: string }
  const hostId = String(deployment.broker!.said['hostId'])
  const nats = await connect({ servers: `127.0.0.1:${port}`, user, pass: password })
  const subject = `busbar.host.${hostId}`
  const device = Buffer.from(victim.replaceAll('-', ''), 'hex').toString('latin1') as never
  const good = envelopeOf({
    device,
    counter: ++counter,
    srv: '11.2',
    deadline: Date.now() + 60_000,
  })
  const changed = (change: (envelope: Buffer) => unknown): Buffer => {
    const envelope = Buffer.from(good)
    change(envelope)
    return envelope
  }
  const frames = [
    Buffer.alloc(0),
    Buffer.from([0xc1]),
    Buffer.alloc(1024 * 1024, 0xdd),
    good.subarray(0, headerBytes - 1),
    Buffer.concat([good, good.subarray(0, 20)]),
    changed((envelope) => envelope.writeUInt32BE(0xffff_ffff, offsetOf.body)),
    changed((envelope) => (envelope[offsetOf.kind] = 200)),
    changed((envelope) => (envelope[offsetOf.kind + 1] = Kind.RESPONSE)),
    changed((envelope) => envelope.fill(255, offsetOf.correlation, offsetOf.correlation + 8)),
    changed((envelope) => envelope.writeUInt32BE(0x630900, offsetOf.srv)),
    envelopeOf({ kind: Kind.DEVICE_REGISTRATION, device, body: Buffer.from('not a record') }),
    ...fc
      .sample(fc.uint8Array({ maxLength: 500 }), { numRuns: 200, seed: 3 })
      .map((octets) => Buffer.from(octets)),
  ]
  for (const frame of frames) {
    nats.publish(subject, frame, { reply: 'nobody' })
    nats.publish('busbar.alive.x', frame)
  }
  // A body that is invalid for its variant: accepted on the word of a gateway of ours, then put
  // aside; its party is told.
  const poison = envelopeOf({
    device,
    counter: ++counter,
    srv: '4.8.1',
    bodyType: 17,
    body: Buffer.from('ffff', 'hex'),
    deadline: Date.now() + 60_000,
  })
  // A lane that does not exist must not keep a request from its end.
  const laneless = changed((envelope) => {
    envelope[offsetOf.lane + 1] = 9
    envelope.writeBigUInt64BE(BigInt(++counter), offsetOf.counter)
    envelope.writeBigUInt64BE(BigInt(Date.now() + 3_000), offsetOf.deadline)
  })
  const [poisonKey, lanelessKey] = [`${victim}:${counter - 1}`, `${victim}:${counter}`]
  nats.publish(subject, poison)
  nats.publish(subject, laneless)
  await nats.drain()
  await servedMeanwhile(t)
  await supplier.until(
    () => supplier.responses.has(poisonKey) && supplier.responses.has(lanelessKey),
  )
  t.equal(supplier.responses.get(poisonKey)?.reason, 'DEVICE_ACTOR_PARKED')
  await goesOn(t)
})

// ── clients that stop, or vanish ──

t.test(
  'a client that vanishes in the middle of a stream: what was accepted goes on, and can be asked again',
  async (t) => {
    const requests = deployment.devices
      .filter((_, index) => esmeIndexes(9).includes(index))
      .flatMap(({ eui64 }) => Array.from({ length: 20 }, () => ask(eui64, '11.2')))
    const client = new SupplierClient({ address: grpc, credentials: { party: supplierText } })
    const first = new Promise<void>((resolve) => {
      const stream = client.submitStream(() => {
        resolve()
        stream.cancel()
      })
      for (const request of requests) stream.send([request])
    })
    await first
    client.close()
    await supplier.submit(requests)
    await supplier.until(() => requests.every((request) => supplier.responses.has(keyOf(request))))
    const answers = requests.map((request) => supplier.responses.get(keyOf(request))?.responseCode)
    t.ok(
      answers.every((code) => code === 'I0'),
      'each was carried out',
    )
    t.ok(
      requests.every((request) => supplier.delivered.get(keyOf(request))?.size === 1),
      'and ended once',
    )
  },
)

t.test(
  'a receiver that stops reading is cut off, loses nothing, and holds nobody up',
  async (t) => {
    const now = Date.now()
    const asking = new InsistentSupplier(grpc, otherUser)
    t.teardown(() => asking.close())
    const requests = [1, 2, 3, 4].flatMap((listener) =>
      [esme(listener, 1)].map((eui64) =>
        ServiceRequest.fromPartial({
          ...asking.request(eui64, ++counter, '4.8.1'),
          ...period(new Date(now - 399 * 86_400_000).toISOString(), new Date(now).toISOString()),
        }),
      ),
    )
    await asking.submit(requests)
    const open = ReceiveRequest.encode({
      step: { $case: 'openReceiver', value: { credit: 100, onlyIfFree: false } },
    }).finish()
    const stalled = await stalledCall(grpc, 'OutputGateway/Receive', otherUser, open)
    t.teardown(() => stalled.close())
    await servedMeanwhile(t)
    t.equal(
      await stalled.cut,
      constants.NGHTTP2_ENHANCE_YOUR_CALM,
      'cut off: RESOURCE_EXHAUSTED in the words of HTTP/2',
    )
    await servedMeanwhile(t)
    asking.receive()
    await asking.until(() => requests.every((request) => asking.responses.has(keyOf(request))))
    t.ok(
      requests.every((request) => asking.responses.get(keyOf(request))?.responseCode === 'I0'),
      'nothing is lost',
    )
  },
)

// ── meters that lie: what came of it ──

t.test('meters that lie: each request ends once, with the code that says how', async (t) => {
  for (const { fault, request, codes } of troubles) {
    await supplier.until(() => supplier.responses.has(keyOf(request)))
    const response = supplier.responses.get(keyOf(request))!
    t.ok(
      (codes as string[]).includes(response.reason),
      `${fault}: ${response.reason} after ${response.attempts} attempts`,
    )
    t.equal(response.responseCode, errorTable[response.reason as ErrorCode].duis)
    t.ok(response.message.length > 20, `${fault}: ${response.message}`)
    t.equal(supplier.delivered.get(keyOf(request))?.size, 1)
  }
  await deployment.tellMeters('')
  const again = troubles.slice(0, 10).map(({ request }) => ask(request.requestId!.target, '4.1.1'))
  await supplier.submit(again)
  await supplier.until(() => again.every((request) => supplier.responses.has(keyOf(request))))
  const left = again.filter(
    (request) => supplier.responses.get(keyOf(request))?.responseCode !== 'I0',
  )
  t.same(left, [], 'meters that behave again are served again')
  await servedMeanwhile(t)
})

t.test(
  'at the end: all that was accepted has ended once, and nothing private was said',
  async (t) => {
    t.equal(supplier.refused.size + bystander.refused.size, 0)
    for (const { accepted, delivered } of [supplier, bystander]) {
      const unequal = [...accepted].filter((key) => delivered.get(key)?.size !== 1)
      t.same(unequal, [], 'each accepted request has one delivery')
    }
    await goesOn(t)
    const metrics = await (await fetch(`http://${ops}/metrics`)).text()
    const log = readFileSync(deployment.logFile!, 'utf8')
    t.match(log, /an exchange failed/, 'the log is that of debug')
    const secrets = readFileSync(deployment.devicesFile, 'utf8').match(/(?<="secret":")[0-9a-f]+/g)!
    t.ok(secrets.length > 0)
    const { password } = JSON.parse(
      readFileSync(join(deployment.dataDir, 'data', 'nats-server.json'), 'utf8'),
    ) as { password: string }
    const readings = [...supplier.responses.values(), ...bystander.responses.values()]
      .flatMap(({ body }) => body?.readings ?? [])
      .map(({ value }) => value?.kind)
      .flatMap((kind) =>
        kind?.$case === 'unsignedInteger' || kind?.$case === 'integer' ? [String(kind.value)] : [],
      )
      // Shorter numbers stand in a log for other reasons.
      .filter((digits) => digits.length >= 6)
    t.ok(readings.length > 0)
    const words = [
      displayText,
      password,
      ...secrets,
      ...secrets.map((hex) => Buffer.from(hex, 'hex').toString('latin1')),
      ...readings,
    ]
    for (const [place, text] of [
      ['log', log],
      ['metrics', metrics],
    ] as const) {
      t.same(
        words.filter((word) => text.includes(word)),
        [],
        `nothing private in the ${place}`,
      )
    }
    t.notMatch(log, /^\s+at .*\.ts:\d+/m, 'and no stack trace')
  },
)

t.test('a client that never closes its side does not keep the broker from its end', async (t) => {
  const preface = Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from('000000040000000000', 'hex'),
  ])
  const clinging = await Promise.all(
    [grpc, web, ops].map(async (address) => {
      const [host, port] = address.split(':')
      const socket = connectTcp({ host: host!, port: Number(port), allowHalfOpen: true })
      socket.on('error', () => undefined).resume()
      await once(socket, 'connect')
      socket.write(address === grpc ? preface : 'POST / HTTP/1.1\r\n')
      return socket
    }),
  )
  t.teardown(() => clinging.forEach((socket) => socket.destroy()))
  await servedMeanwhile(t)
  await deployment.broker!.stop()
  t.equal(brokerProcess.exitCode, 0)
})
