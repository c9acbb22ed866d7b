/**
 * The HTTP doors, with an ordinary fetch: the same answers as over gRPC, strict JSON, statuses by
 * row, long polls.
 */
import { request as httpRequest } from 'node:http'
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { readKind, readBodyView } from '../../../core/envelope/envelope.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { hostSubject } from '../../../core/ports/bus.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import type { Delivery } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { ReadPeriod } from '../../../proto/gen/busbar/v1/service_request.ts'
import { ResponseBody } from '../../../proto/gen/busbar/v1/service_response.ts'
import { busbarCode } from '../../../core/client/supplier-client.ts'
import {
  accepted,
  answerFrame,
  deliver,
  fault,
  Inbox,
  makeRig,
  meter,
  serveHost,
  supplier,
  turn,
  WatchedLedger,
  type HostAnswer,
  type Rig,
} from './rig.ts'

type Answer = { status: number; json: Record<string, unknown>; retryAfter: string | null }

async function call(
  rig: Rig,
  path: string,
  options: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { body } = options
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(rig.httpUrl + path, {
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      'x-busbar-party': supplier,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(text === undefined ? {} : { body: text }),
  })
  return {
    status: response.status,
    json: (await response.json()) as Record<string, unknown>,
    retryAfter: response.headers.get('retry-after'),
  }
}

const submit = '/v1/service-requests'
let counter = 0
const requestJson = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  requestId: { originator: supplier, target: meter, counter: String(++counter) },
  serviceReferenceVariant: '4.1.1',
  ...fields,
})

t.test('one request, a batch, all spellings; the body reaches the host as protobuf', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const frames = await serveHost(rig.bus, 'a', () => accepted)
  const request = requestJson()
  const single = await call(rig, submit, { body: request })
  t.equal(single.status, 202)
  t.match(single.json, {
    requestId: request['requestId'],
    responseCode: 'I99',
    reason: 'REQUEST_ACCEPTED',
  })
  const period = { startTime: '2026-01-01T00:00:00Z', endTime: '2026-01-02T00:00:00.5+00:00' }
  const batch = await call(rig, submit, {
    body: {
      requests: [
        {
          request_id: { originator: supplier, target: meter, counter: 77 },
          service_reference_variant: '4.8.1',
          read_period: period,
          priority: 'PRIORITY_URGENT',
        },
        requestJson({ serviceReferenceVariant: '99.9' }),
        requestJson({ displayMessage: null, deadline: null }),
      ],
    },
  })
  t.equal(batch.status, 200)
  const acknowledgements = batch.json['acknowledgements'] as {
    reason: string
    requestId: { counter: string }
  }[]
  t.same(
    acknowledgements.map((one) => one.reason),
    ['REQUEST_ACCEPTED', 'REQUEST_SRV_UNKNOWN', 'REQUEST_ACCEPTED'],
  )
  t.equal(acknowledgements[0]!.requestId.counter, '77')
  t.same(ReadPeriod.decode(readBodyView(frames[1]!, 0)), {
    startTime: new Date(period.startTime),
    endTime: new Date(period.endTime),
  })
  t.same((await call(rig, submit, { body: { requests: [] } })).json, { acknowledgements: [] })
})

t.test('refusals by row: status, code, sentence, Retry-After', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  let answer: HostAnswer = accepted
  await serveHost(rig.bus, 'a', () => answer)
  const rows: [NonNullable<HostAnswer>, number, string | null][] = [
    [{ outcome: 'DEVICE_UNKNOWN' }, 404, null],
    [{ outcome: 'DEVICE_TYPE_UNFIT' }, 409, null],
    [{ outcome: 'REQUEST_COUNTER_REUSED' }, 409, null],
    [{ outcome: 'DEVICE_QUEUE_FULL', retryMs: 1_500 }, 429, '2'],
    [{ outcome: 'BROKER_LEDGER_UNAVAILABLE', retryMs: 500 }, 503, '1'],
  ]
  for (const [hostAnswer, status, retryAfter] of rows) {
    answer = hostAnswer
    const result = await call(rig, submit, { body: requestJson() })
    t.equal(result.status, status, hostAnswer.outcome)
    t.equal(result.json['code'], hostAnswer.outcome)
    t.equal(result.retryAfter, retryAfter)
    t.match(result.json, { responseCode: /^E\d+$/, message: /\.$/, requestId: { target: meter } })
  }
  for (const [party, status, code] of [
    ['', 401, 'PARTY_HEADER_MISSING'],
    ['zz', 401, 'PARTY_HEADER_MALFORMED'],
    ['00-00-00-00-00-00-00-01', 403, 'PARTY_UNKNOWN'],
    ['90-B3-D5-1F-30-02-00-00', 403, 'PARTY_ORIGINATOR_MISMATCH'],
  ] as const) {
    const result = await call(rig, submit, {
      body: requestJson(),
      headers: { 'x-busbar-party': party },
    })
    t.same([result.status, result.json['code']], [status, code])
  }
})

t.test('JSON that is not ours: a named error that says where, never a crash', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  const id = { originator: supplier, target: meter }
  const cases: [unknown, RegExp][] = [
    ['{nope', /JSON/],
    ['', /empty/],
    ['[]', /object/],
    ['null', /object|JSON/],
    [requestJson({ dedline: '2026-01-01T00:00:00Z' }), /dedline/],
    [requestJson({ deadline: 5 }), /deadline/],
    [requestJson({ deadline: '2026-13-45T00:00:00Z' }), /time/],
    [requestJson({ requestId: { ...id, counter: '1', extra: 1 } }), /extra/],
    [requestJson({ priority: 'PRIORITY_HIGHEST' }), /priority/],
    [requestJson({ displayMessage: { text: 'a' }, readPeriod: {} }), /one body/],
    [requestJson({ synchroniseClock: { toleranceSeconds: '5' } }), /toleranceSeconds/],
    [{ requests: [requestJson(), 5] }, /requests\/1/],
    [{ requests: [requestJson()], more: 1 }, /more/],
    ['{"__proto__": {"x": 1}}', /JSON|proto/],
  ]
  for (const [body, detail] of cases) {
    const result = await call(rig, submit, { body })
    t.equal(result.status, 400, JSON.stringify(body).slice(0, 60))
    t.equal(result.json['code'], 'REQUEST_JSON_MALFORMED')
    t.match(result.json['detail'], detail)
  }
  t.same(
    (await call(rig, submit, { body: requestJson({ requestId: { ...id, target: 'x' } }) })).json[
      'code'
    ],
    'REQUEST_ID_MALFORMED',
  )
  const large = await call(rig, submit, { body: 'x'.repeat(limits.partyMessageBytesMax + 1) })
  t.same([large.status, large.json['code']], [413, 'REQUEST_SIZE_EXCEEDED'])
  const many = await call(rig, submit, {
    body: { requests: Array.from({ length: 1_001 }, () => requestJson()) },
  })
  t.same([many.status, many.json['code']], [413, 'REQUEST_SIZE_EXCEEDED'])
  const type = await call(rig, submit, { body: 'a=1', headers: { 'content-type': 'text/csv' } })
  t.same([type.status, type.json['code']], [415, 'REQUEST_JSON_MALFORMED'])
  for (const [path, method, status, code] of [
    ['/v2', 'GET', 404, 'REQUEST_PATH_UNKNOWN'],
    [submit, 'PUT', 405, 'REQUEST_METHOD_UNSUPPORTED'],
    ['/v1/deliveries', 'POST', 405, 'REQUEST_METHOD_UNSUPPORTED'],
  ] as const) {
    const wrong = await call(rig, path, { method })
    t.same([wrong.status, wrong.json['code']], [status, code])
  }
  t.equal((await call(rig, submit, { body: requestJson() })).status, 202)
})

t.test('a fault of ours is named as such, without its stack', async (t) => {
  const rig = await makeRig({})
  t.teardown(() => rig.close())
  rig.directory.ownerOf = () => {
    throw new TypeError('a bug of ours')
  }
  const { status, json } = await call(rig, '/v1/service-requests', { body: requestJson() })
  t.equal(status, 500)
  t.equal(json['code'], 'BROKER_GATEWAY_FAILED')
  t.notMatch(JSON.stringify(json), /a bug of ours|at .*\.ts/)
})

t.test('any JSON value gives an answer of the table', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  const field = fc.oneof(
    fc.constantFrom(
      'requestId',
      'counter',
      'originator',
      'deadline',
      'readPeriod',
      'from',
      'requests',
      'priority',
    ),
    fc.string(),
  )
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      fc.jsonValue(),
      fc.dictionary(field, tie('any')),
      fc.array(tie('any'), { maxLength: 3 }),
    ),
  })).any
  await fc.assert(
    fc.asyncProperty(fc.dictionary(field, value), async (body) => {
      const { status, json } = await call(rig, submit, { body })
      return (
        (status === 400 && typeof json['code'] === 'string') ||
        (status === 200 && 'acknowledgements' in json)
      )
    }),
    { numRuns: 60 },
  )
})

t.test('status and cancel by path', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', (frame, at) =>
    readKind(frame, at) === Kind.STATUS_QUERY
      ? {
          outcome: 'OK',
          status: { state: 3, acceptedMs: 1_700_000_000_000, endedMs: 1_700_000_001_000 },
        }
      : { outcome: 'REQUEST_CANCELLED' },
  )
  for (const target of [meter, meter.replaceAll('-', ''), meter.replaceAll('-', ':')]) {
    const path = `${submit}/${supplier}:${target}:7`
    const status = await call(rig, path)
    t.equal(status.status, 200)
    t.match(status.json, {
      requestId: { target: meter, counter: '7' },
      state: 'REQUEST_STATE_ENDED',
      responseCode: 'I0',
      endedAt: '2023-11-14T22:13:21.000Z',
    })
    const cancelled = await call(rig, path, { method: 'DELETE' })
    t.match(cancelled, { status: 200, json: { reason: 'REQUEST_CANCELLED' } })
  }
  for (const path of [
    '/x',
    `/${supplier}:7`,
    `/${supplier}:${meter}:99999999999999999999`,
    `/${'a'.repeat(150)}`,
  ]) {
    t.equal((await call(rig, submit + path)).json['code'], 'REQUEST_ID_MALFORMED')
  }
})

t.test(
  'a poll gives what waits, the same until acknowledged, and waits when there is nothing',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    const body = Buffer.from(
      ResponseBody.encode(
        ResponseBody.create({
          readings: [
            {
              obis: '7-0:3.0.0.255',
              value: { kind: { $case: 'integer', value: 5n } },
              unit: 14 as never,
            },
          ],
        }),
      ).finish(),
    )
    await deliver(rig.ledger, supplier, 1, 7, 3, body)
    const counters = ({ json }: Answer): number[] =>
      (json['deliveries'] as { response: { requestId: { counter: string } } }[]).map((one) =>
        Number(one.response.requestId.counter),
      )
    const ids = ({ json }: Answer): string[] =>
      (json['deliveries'] as { deliveryId: string }[]).map((one) => one.deliveryId)
    const first = await call(rig, '/v1/deliveries?max=5')
    t.same(counters(first), [1, 2, 3, 4, 5])
    t.match(first.json, {
      deliveries: [{ response: { body: { readings: [{ unit: 14, value: { integer: '5' } }] } } }],
    })
    t.same(ids(await call(rig, '/v1/deliveries?max=5')), ids(first), 'nothing is acknowledged yet')
    const acknowledgement = await call(rig, '/v1/deliveries/acknowledgements', {
      body: { deliveryId: ids(first)[3] },
    })
    t.same(acknowledgement.json, { deliveryId: ids(first)[3] })
    t.same(counters(await call(rig, '/v1/deliveries')), [5, 6, 7])
    const all = await call(rig, '/v1/deliveries?waitMs=20000')
    await call(rig, '/v1/deliveries/acknowledgements', { body: { deliveryId: ids(all).at(-1) } })
    t.same(counters(await call(rig, '/v1/deliveries?waitMs=10')), [])
    const waiting = call(rig, '/v1/deliveries?waitMs=20000')
    await deliver(rig.ledger, supplier, 8, 9)
    t.same(counters(await waiting), [8, 9])
    for (const wrong of ['999999999999', '18446744073709551615']) {
      t.equal(
        (await call(rig, '/v1/deliveries/acknowledgements', { body: { deliveryId: wrong } })).json[
          'code'
        ],
        'DELIVERY_ACKNOWLEDGEMENT_INVALID',
      )
    }
    t.equal((await call(rig, '/v1/deliveries?max=x')).json['code'], 'REQUEST_JSON_MALFORMED')
    t.equal(
      (await call(rig, '/v1/deliveries/acknowledgements', { body: {} })).json['code'],
      'REQUEST_JSON_MALFORMED',
    )
    rig.cursors.isDown = true
    t.match(await call(rig, '/v1/deliveries'), {
      status: 503,
      json: { code: 'BROKER_LEDGER_UNAVAILABLE' },
    })
    t.match(await call(rig, '/v1/deliveries/acknowledgements', { body: { deliveryId: '4096' } }), {
      status: 503,
    })
  },
)

t.test('a poll is a receiver: newest wins; a client that hangs up leaves nothing', async (t) => {
  const ledger = new WatchedLedger()
  const rig = await makeRig({ ledger })
  t.teardown(() => rig.close())
  const inbox = new Inbox<Delivery>()
  const stream = rig.client().receive(10, (list) => inbox.put(...list))
  await deliver(ledger, supplier, 1, 1)
  await inbox.until(1)
  t.match(await call(rig, '/v1/deliveries'), { status: 200 })
  t.equal(busbarCode(await fault(stream.done)), 'DELIVERY_RECEIVER_SUPERSEDED')
  await call(rig, '/v1/deliveries/acknowledgements', { body: { deliveryId: '4096' } })
  while (ledger.following > 0) await turn()
  const poll = call(rig, '/v1/deliveries?waitMs=30000')
  while (ledger.following === 0) await turn()
  const newer = rig.client().receive(10, () => {})
  t.match(await poll, { status: 409, json: { code: 'DELIVERY_RECEIVER_SUPERSEDED' } })
  await newer.end()
  while (ledger.following > 0) await turn()
  const gone = httpRequest(`${rig.httpUrl}/v1/deliveries?waitMs=30000`, {
    headers: { 'x-busbar-party': supplier },
  })
  gone.on('error', () => {})
  gone.end()
  while (ledger.following === 0) await turn()
  gone.destroy()
  while (ledger.following > 0) await turn()
  await deliver(ledger, supplier, 2, 2)
  t.match(await call(rig, '/v1/deliveries'), { status: 200 })
})

t.test('closing answers what is open', async (t) => {
  const bus = new SimBus({ clock: systemClock })
  const rig = await makeRig({ bus })
  const held = new Inbox<{ frame: Buffer; reply: (frame: Uint8Array) => void }>()
  await bus.serve(hostSubject('a'), (frame, reply) => held.put({ frame, reply }))
  const open = call(rig, submit, { body: requestJson() })
  await held.until(1)
  const closing = rig.gateway.close()
  t.match(await call(rig, submit, { body: requestJson() }), {
    status: 503,
    json: { code: 'BROKER_DRAINING' },
  })
  held.items[0]!.reply(answerFrame(held.items[0]!.frame, () => accepted))
  t.equal((await open).status, 202)
  await closing
  await rig.close()
})
