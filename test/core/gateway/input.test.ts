/**
 * The input gateway over real gRPC on loopback, with simulated hosts: every door, every way a
 * client can misbehave.
 */
import {
  Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  status,
  type ServiceError,
} from '@grpc/grpc-js'
import { service as healthService } from 'grpc-health-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { readKind } from '../../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../../core/envelope/frame.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { busbarCode } from '../../../core/client/supplier-client.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { hostSubject } from '../../../core/ports/bus.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SubmitBatchRequest, SubmitRequest } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import type { Acknowledgement } from '../../../proto/gen/busbar/v1/service_response.ts'
import {
  accepted,
  answerFrame,
  callRaw,
  fault,
  Inbox,
  makeRig,
  meter,
  raw,
  requestOf,
  serveHost,
  supplier,
  turn,
} from './rig.ts'

const submitPath = '/busbar.v1.InputGateway/Submit'

t.test('submit, batch and stream: one acknowledgement each, naming its request', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  const client = rig.client()
  const request = requestOf()
  const acknowledgement = await client.submit(request)
  t.match(acknowledgement, {
    requestId: request.requestId,
    responseCode: 'I99',
    reason: 'REQUEST_ACCEPTED',
  })
  t.ok(Math.abs(acknowledgement.time!.getTime() - Date.now()) < 60_000)
  const batch = [
    requestOf(),
    requestOf({ serviceReferenceVariant: '99.9' }),
    requestOf(),
    requestOf({ requestId: undefined }),
    requestOf(),
  ]
  const answers = await client.submitBatch(batch)
  t.same(
    answers.map((answer) => answer.reason),
    [
      'REQUEST_ACCEPTED',
      'REQUEST_SRV_UNKNOWN',
      'REQUEST_ACCEPTED',
      'REQUEST_ID_MALFORMED',
      'REQUEST_ACCEPTED',
    ],
  )
  t.same(
    answers.map((answer) => answer.requestId?.counter),
    batch.map((one) => one.requestId?.counter),
    'in the order of the requests',
  )
  t.same(await client.submitBatch([]), [])
  const inbox = new Inbox<Acknowledgement>()
  const stream = client.submitStream((list) => inbox.put(...list))
  const sent = Array.from({ length: 300 }, () => requestOf())
  for (let i = 0; i < 300; i += 30) stream.send(sent.slice(i, i + 30))
  await stream.end()
  t.equal(inbox.items.length, 300)
  t.same(
    new Set(inbox.items.map((one) => one.requestId!.counter)),
    new Set(sent.map((one) => one.requestId!.counter)),
  )
})

t.test(
  'a business refusal is an ordinary answer; want of room or of an owner is a status with a hint',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    let outcome: 'DEVICE_UNKNOWN' | 'DEVICE_QUEUE_FULL' = 'DEVICE_UNKNOWN'
    await serveHost(rig.bus, 'a', () => ({ outcome, retryMs: 2_500 }))
    const client = rig.client()
    t.match(await client.submit(requestOf()), { responseCode: 'E19', reason: 'DEVICE_UNKNOWN' })
    outcome = 'DEVICE_QUEUE_FULL'
    const error = (await fault(client.submit(requestOf()))) as ServiceError
    t.equal(error.code, status.RESOURCE_EXHAUSTED)
    t.equal(busbarCode(error), 'DEVICE_QUEUE_FULL')
    t.ok(Number(error.metadata.get('retry-after-ms')[0]) > 0)
    t.ok(
      (error.metadata.get('grpc-status-details-bin')[0] as Buffer).includes('google.rpc.RetryInfo'),
    )
    const [answer] = await client.submitBatch([requestOf()])
    t.match(answer, { reason: 'DEVICE_QUEUE_FULL', responseCode: 'E57' })
    t.ok(answer!.retryAfterMs > 2_000 && answer!.retryAfterMs <= 2_500)
  },
)

t.test(
  'who a call is from: missing, malformed, unknown, twice, and somebody else’s RequestID',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    const message = Buffer.from(SubmitRequest.encode({ request: requestOf() }).finish())
    const cases: [Record<string, string | Buffer>, string, number][] = [
      [{}, 'PARTY_HEADER_MISSING', status.UNAUTHENTICATED],
      [{ 'x-busbar-party': 'me' }, 'PARTY_HEADER_MALFORMED', status.UNAUTHENTICATED],
      [
        { 'x-busbar-party': `${supplier}, ${supplier}` },
        'PARTY_HEADER_MALFORMED',
        status.UNAUTHENTICATED,
      ],
      [{ 'x-busbar-party': '00-00-00-00-00-00-00-01' }, 'PARTY_UNKNOWN', status.PERMISSION_DENIED],
    ]
    for (const path of ['Submit', 'SubmitBatch', 'Cancel', 'GetRequestStatus']) {
      for (const [headers, code, grpc] of cases) {
        const error = await fault(
          callRaw(rig.address, `/busbar.v1.InputGateway/${path}`, message, headers),
        )
        t.equal(busbarCode(error), code, `${path} ${code}`)
        t.equal(error.code, grpc)
        t.match(error.details, new RegExp(`^${code}: .+\\.$`), 'a sentence that helps')
      }
    }
    const unknown = rig.client('00-00-00-00-00-00-00-01')
    t.equal(busbarCode(await fault(unknown.submitStream(() => {}).done)), 'PARTY_UNKNOWN')
    t.equal(busbarCode(await fault(unknown.receive(1, () => {}).done)), 'PARTY_UNKNOWN')
    const other = rig.client('90-B3-D5-1F-30-02-00-00')
    t.match(await other.submit(requestOf()), {
      reason: 'PARTY_ORIGINATOR_MISMATCH',
      responseCode: 'E1',
    })
  },
)

t.test(
  'garbage, truncated and oversized messages: a named status, and the gateway goes on',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    await serveHost(rig.bus, 'a', () => accepted)
    const whole = Buffer.from(SubmitRequest.encode({ request: requestOf() }).finish())
    for (const message of [
      Buffer.from('ffffffff', 'hex'),
      whole.subarray(0, whole.length - 3),
      Buffer.from([0x0b]),
      Buffer.alloc(0),
      Buffer.concat([whole, whole]),
    ]) {
      const error = await fault(callRaw(rig.address, submitPath, message))
      t.equal(busbarCode(error), 'REQUEST_WIRE_MALFORMED')
      t.equal(error.code, status.INVALID_ARGUMENT)
    }
    const large = requestOf({
      serviceReferenceVariant: '3.1',
      body: { $case: 'displayMessage', value: { text: 'x'.repeat(limits.requestBytesMax) } },
    })
    t.equal(busbarCode(await fault(rig.client().submit(large))), 'REQUEST_SIZE_EXCEEDED')
    const many = Buffer.from(
      SubmitBatchRequest.encode({
        requests: Array.from({ length: 1_001 }, () => requestOf()),
      }).finish(),
    )
    t.equal(
      busbarCode(await fault(callRaw(rig.address, '/busbar.v1.InputGateway/SubmitBatch', many))),
      'REQUEST_SIZE_EXCEEDED',
    )
    const huge = await fault(
      callRaw(rig.address, submitPath, Buffer.alloc(limits.partyMessageBytesMax + 1)),
    )
    t.equal(busbarCode(huge), 'REQUEST_SIZE_EXCEEDED')
    t.equal(huge.code, status.INVALID_ARGUMENT)
    t.equal((await rig.client().submit(requestOf())).responseCode, 'I99')
  },
)

t.test('garbage on a stream ends it after the requests before it are answered', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  const client = new Client(rig.address, credentials.createInsecure())
  t.teardown(() => client.close())
  const metadata = new Metadata()
  metadata.set('x-busbar-party', supplier)
  const call = client.makeBidiStreamRequest(
    '/busbar.v1.InputGateway/SubmitStream',
    raw,
    raw,
    metadata,
  )
  const messages = new Inbox<Buffer>()
  call.on('data', messages.put)
  const ended = new Promise<ServiceError>((resolve) => call.on('error', resolve))
  call.write(
    Buffer.from(
      SubmitBatchRequest.encode({
        requests: [requestOf(), requestOf({ serviceReferenceVariant: '9.9' })],
      }).finish(),
    ),
  )
  call.write(Buffer.from('0a7f00', 'hex'))
  t.equal(busbarCode(await ended), 'REQUEST_WIRE_MALFORMED')
  t.ok(Buffer.concat(messages.items).includes('REQUEST_ACCEPTED'))
  t.ok(Buffer.concat(messages.items).includes('REQUEST_SRV_UNKNOWN'))
})

t.test(
  'a client that vanishes: what it handed in goes on, its slots come free, nobody else waits',
  async (t) => {
    const bus = new SimBus({ clock: systemClock })
    const rig = await makeRig({ bus })
    t.teardown(() => rig.close())
    const held = new Inbox<{ frame: Buffer; reply: (frame: Uint8Array) => void }>()
    await bus.serve(hostSubject('a'), (frame, reply) => held.put({ frame, reply }))
    const stream = rig.client().submitStream(() => {})
    stream.send(Array.from({ length: 50 }, () => requestOf()))
    await held.until(1)
    t.equal(rig.gateway.intake.requestsInFlight, 50)
    stream.cancel()
    await fault(stream.done)
    const other = rig.client().submit(requestOf())
    await held.until(2)
    for (const { frame, reply } of held.items) reply(answerFrame(frame, () => accepted))
    t.equal((await other).responseCode, 'I99')
    t.equal(rig.gateway.intake.requestsInFlight, 0)
  },
)

t.test('a full stream is not read further until acknowledgements come', async (t) => {
  const bus = new SimBus({ clock: systemClock })
  const rig = await makeRig({ bus })
  t.teardown(() => rig.close())
  const held = new Inbox<{ frame: Buffer; reply: (frame: Uint8Array) => void }>()
  let isHolding = true
  await bus.serve(hostSubject('a'), (frame, reply) => {
    if (isHolding) held.put({ frame, reply })
    else reply(answerFrame(frame, () => accepted))
  })
  const inbox = new Inbox<Acknowledgement>()
  const stream = rig.client().submitStream((list) => inbox.put(...list))
  const total = limits.streamRequestsInFlightMax * 2
  let refused = 0
  for (let sent = 0; sent < total; sent += 500)
    stream.send(Array.from({ length: 500 }, () => requestOf()))
  const count = (): number => {
    let requests = 0
    for (const { frame } of held.items) forEachEnvelope(frame, 0, () => requests++)
    return requests
  }
  while (rig.gateway.intake.requestsInFlight < limits.streamRequestsInFlightMax) await turn()
  for (let i = 0; i < 200; i++) await turn()
  t.ok(
    rig.gateway.intake.requestsInFlight <= limits.streamRequestsInFlightMax + 500,
    `${rig.gateway.intake.requestsInFlight} in flight`,
  )
  t.ok(count() <= limits.streamRequestsInFlightMax + 500)
  isHolding = false
  for (const { frame, reply } of held.items) reply(answerFrame(frame, () => accepted))
  await inbox.until(total)
  for (const { reason } of inbox.items) if (reason !== 'REQUEST_ACCEPTED') refused++
  t.equal(refused, 0, 'waiting is not refusing')
  await stream.end()
})

t.test('cancel and status', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  let ended = false
  await serveHost(rig.bus, 'a', (frame, at) =>
    readKind(frame, at) === Kind.STATUS_QUERY
      ? {
          outcome: 'DEVICE_SILENT',
          status: {
            state: ended ? 3 : 1,
            acceptedMs: 1_700_000_000_000,
            endedMs: ended ? 1_700_000_005_000 : 0,
          },
        }
      : { outcome: readKind(frame, at) === Kind.CANCEL ? 'REQUEST_CANCELLED' : 'REQUEST_ACCEPTED' },
  )
  const client = rig.client()
  const requestId = { originator: supplier, target: meter, counter: 2n ** 63n + 1n }
  t.match(await client.cancel(requestId), {
    requestId,
    responseCode: 'I0',
    reason: 'REQUEST_CANCELLED',
  })
  t.match(await client.status(requestId), {
    requestId,
    state: 1,
    responseCode: '',
    acceptedAt: new Date(1_700_000_000_000),
    endedAt: undefined,
  })
  ended = true
  t.match(await client.status(requestId), {
    state: 3,
    responseCode: 'E21',
    reason: 'DEVICE_SILENT',
    endedAt: new Date(1_700_000_005_000),
    attempts: 2,
  })
  t.equal(
    busbarCode(await fault(client.status({ ...requestId, originator: '90-B3-D5-1F-30-02-00-00' }))),
    'PARTY_ORIGINATOR_MISMATCH',
  )
})

t.test(
  'a request that is not remembered: status NOT_FOUND, cancel an acknowledgement that says so',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    await serveHost(rig.bus, 'a', () => ({ outcome: 'REQUEST_NOT_FOUND' }))
    const requestId = { originator: supplier, target: meter, counter: 1n }
    const error = await fault(rig.client().status(requestId))
    t.equal(error.code, status.NOT_FOUND)
    t.equal(busbarCode(error), 'REQUEST_NOT_FOUND')
    t.match(await rig.client().cancel(requestId), {
      reason: 'REQUEST_NOT_FOUND',
      responseCode: 'E49',
    })
  },
)

t.test(
  'health says SERVING, then NOT_SERVING while it drains; reflection names the services',
  async (t) => {
    const bus = new SimBus({ clock: systemClock })
    const rig = await makeRig({ bus })
    const held = new Inbox<{ frame: Buffer; reply: (frame: Uint8Array) => void }>()
    await bus.serve(hostSubject('a'), (frame, reply) => held.put({ frame, reply }))
    const Health = loadPackageDefinition({ Health: healthService })['Health'] as unknown as new (
      ...rest: ConstructorParameters<typeof Client>
    ) => Client & {
      check(
        request: { service: string },
        done: (error: Error | null, answer: { status: string }) => void,
      ): void
    }
    const health = new Health(rig.address, credentials.createInsecure())
    const check = (): Promise<string> =>
      new Promise((resolve, reject) =>
        health.check({ service: 'busbar.v1.InputGateway' }, (error, answer) =>
          error ? reject(error) : resolve(answer.status),
        ),
      )
    t.equal(await check(), 'SERVING')
    // ServerReflectionRequest { list_services: "" }
    const client = new Client(rig.address, credentials.createInsecure())
    const call = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      raw,
      raw,
    )
    const described = new Inbox<Buffer>()
    call.on('data', described.put)
    call.write(Buffer.from('3a00', 'hex'))
    // { file_containing_symbol: "busbar.v1.Acknowledgement" }
    call.write(Buffer.concat([Buffer.from([0x22, 25]), Buffer.from('busbar.v1.Acknowledgement')]))
    const [list, file] = await described.until(2)
    for (const name of [
      'busbar.v1.InputGateway',
      'busbar.v1.OutputGateway',
      'grpc.health.v1.Health',
    ])
      t.ok(list!.includes(name), name)
    t.ok(file!.includes('retry_after_ms'))
    call.end()
    const open = rig.client().submit(requestOf())
    await held.until(1)
    const closing = rig.gateway.close()
    t.equal(await check(), 'NOT_SERVING')
    t.equal(busbarCode(await fault(rig.client().submit(requestOf()))), 'BROKER_DRAINING')
    held.items[0]!.reply(answerFrame(held.items[0]!.frame, () => accepted))
    t.equal((await open).responseCode, 'I99', 'what was open is still answered')
    health.close()
    client.close()
    await closing
    await rig.close()
  },
)
