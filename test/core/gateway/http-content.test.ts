/** What the HTTP doors take as content, and how malformed calls name their fields. */
import t from 'tap'
import { readBodyView } from '../../../core/envelope/envelope.ts'
import { DisplayMessage } from '../../../proto/gen/busbar/v1/service_request.ts'
import { accepted, makeRig, meter, serveHost, supplier, type Rig } from './rig.ts'

const submit = '/v1/service-requests'
const acknowledge = '/v1/deliveries/acknowledgements'
const json = { 'content-type': 'application/json' }
const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

type Answer = { status: number; headers: Headers; json: Record<string, unknown> }

async function send(
  rig: Rig,
  body: string | Uint8Array | undefined,
  headers: Record<string, string> = json,
  [method, path]: [string, string] = ['POST', submit],
): Promise<Answer> {
  const response = await fetch(rig.httpUrl + path, {
    method,
    headers: { 'x-busbar-party': supplier, ...headers },
    // As octets: fetch names a content type of its own for text.
    ...(body !== undefined && {
      body: typeof body === 'string' ? utf8(body) : new Uint8Array(body),
    }),
  })
  const { status, headers: given } = response
  return { status, headers: given, json: (await response.json()) as Record<string, unknown> }
}

let counter = 0
const request = (fields: object = {}, srv = '4.1.1'): Record<string, unknown> => ({
  requestId: { originator: supplier, target: meter, counter: String(++counter) },
  serviceReferenceVariant: srv,
  ...fields,
})
const textRequest = (octets: Uint8Array | string): Buffer => {
  const [before, after] = JSON.stringify(request({ displayMessage: { text: '|' } }, '3.1')).split(
    '|',
  )
  return Buffer.concat([Buffer.from(before!), Buffer.from(octets as string), Buffer.from(after!)])
}

t.test('content types: JSON in UTF-8 alone, and the answer says so', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  for (const type of [
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'application/json; profile=x',
  ])
    t.equal(
      (await send(rig, JSON.stringify(request()), { 'content-type': type })).status,
      202,
      type,
    )
  for (const headers of [
    {},
    ...[
      'text/plain',
      'text/json',
      'application/x-www-form-urlencoded',
      'application/octet-stream',
      'application/jsonp',
      'application/vnd.api+json',
      'application/json; charset=iso-8859-1',
      'application/json; charset=utf-16',
      'json',
      '*/*',
    ].map((type) => ({ 'content-type': type })),
  ]) {
    const answer = await send(rig, JSON.stringify(request()), headers)
    const what = JSON.stringify(headers)
    t.equal(answer.status, 415, what)
    t.equal(answer.headers.get('accept-post'), 'application/json', what)
    t.match(answer.json, { code: 'REQUEST_JSON_MALFORMED', responseCode: 'E48' }, what)
  }
  const unknown = await send(rig, 'x', { 'content-type': 'text/plain' }, ['POST', '/v2'])
  t.same([unknown.status, unknown.json['code']], [404, 'REQUEST_PATH_UNKNOWN'])
})

t.test('a DELETE without a body may name a content type', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => ({ outcome: 'REQUEST_CANCELLED' }))
  for (const headers of [{}, json, { 'content-type': 'text/plain' }]) {
    const path = `${submit}/${supplier}:${meter}:7`
    const answer = await send(rig, undefined, headers, ['DELETE', path])
    t.match(answer, { status: 200, json: { reason: 'REQUEST_CANCELLED' } }, JSON.stringify(headers))
  }
})

t.test('compressed content is rejected with the codings that are taken', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  for (const coding of ['gzip', 'br', 'deflate', 'identity, gzip', 'GZIP', 'nonsense']) {
    for (const path of [submit, acknowledge]) {
      const headers = { ...json, 'content-encoding': coding }
      const answer = await send(rig, JSON.stringify(request()), headers, ['POST', path])
      t.equal(answer.status, 415, coding)
      t.equal(answer.headers.get('accept-encoding'), 'identity', coding)
      t.match(answer.json, { code: 'REQUEST_JSON_MALFORMED', detail: /compressed/ }, coding)
    }
  }
  const plain = await send(rig, JSON.stringify(request()), {
    ...json,
    'content-encoding': 'identity',
  })
  t.equal(plain.status, 202)
})

t.test(
  'text that is not Unicode is rejected as over gRPC; all other text arrives as sent',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    const frames = await serveHost(rig.bus, 'a', () => accepted)
    for (const [octets, detail] of [
      [Uint8Array.of(0x61, 0xff, 0xfe, 0x62), /not UTF-8/],
      [Uint8Array.of(0xc0, 0xaf), /not UTF-8/],
      [Uint8Array.of(0xed, 0xa0, 0x80), /not UTF-8/],
      ['a\\ud800b', /surrogate/],
      ['\\udc00', /surrogate/],
    ] as const) {
      const answer = await send(rig, textRequest(octets))
      t.equal(answer.status, 400)
      t.match(answer.json, {
        code: 'REQUEST_BODY_MALFORMED',
        detail,
        violations: [{ field: 'displayMessage.text', description: detail }],
      })
      const list = Buffer.concat([
        Buffer.from('{"requests":['),
        textRequest(octets),
        Buffer.from(']}'),
      ])
      t.match((await send(rig, list)).json, {
        code: 'REQUEST_BODY_MALFORMED',
        violations: [{ field: 'requests[0].displayMessage.text' }],
      })
    }
    t.equal(frames.length, 0, 'nothing of it reached a host')
    for (const text of ['Grüße 😀 ﷽', '\\ud83d\\ude00']) {
      t.equal((await send(rig, textRequest(text))).status, 202)
      const { text: arrived } = DisplayMessage.decode(readBodyView(frames.at(-1)!, 0))
      t.equal(arrived, JSON.parse(`"${text}"`) as string)
    }
    const marked = `\uFEFF${JSON.stringify(request())}`
    t.equal((await send(rig, marked)).status, 202, 'a byte order mark')
  },
)

t.test('violations name the fields of a rejected request', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  const id = { originator: supplier, target: meter, counter: '1' }
  const day = '2026-01-01T00:00:00Z'
  type Case = [body: unknown, code: string, violations: Array<[string, RegExp]>]
  const cases: Case[] = [
    [{ ...request(), dedline: day }, 'REQUEST_JSON_MALFORMED', [['dedline', /unknown/]]],
    [request({ priority: 'HIGH' }), 'REQUEST_JSON_MALFORMED', [['priority', /./]]],
    ...[
      '2026-02-29T00:00:00Z',
      '2027-06-31T00:00:00Z',
      '2027-01-01T24:00:00Z',
      '0000-01-01T00:00:00Z',
    ]
      .concat('2027-01-01T00:00:60Z', '2027-01-01T00:00:00+24:00', '2027-01-00T00:00:00-01:00')
      .map((deadline): Case => [
        request({ deadline }),
        'REQUEST_JSON_MALFORMED',
        [['deadline', /exist/]],
      ]),
    [
      request({ deadline: '2026-02-30T00:00:00Z' }),
      'REQUEST_JSON_MALFORMED',
      [['deadline', /exist/]],
    ],
    [
      request({ readPeriod: { startTime: day, endTime: '2026-13-01T00:00:00Z' } }, '4.8.1'),
      'REQUEST_JSON_MALFORMED',
      [['readPeriod.endTime', /exist/]],
    ],
    [
      request({ synchroniseClock: { toleranceSeconds: '5' } }),
      'REQUEST_JSON_MALFORMED',
      [['synchroniseClock.toleranceSeconds', /integer/]],
    ],
    [
      { requests: [request(), { requestId: { ...id, colour: 1 } }] },
      'REQUEST_JSON_MALFORMED',
      [['requests[1].requestId.colour', /unknown/]],
    ],
    [
      request({ displayMessage: { text: 'a' }, readPeriod: {} }),
      'REQUEST_JSON_MALFORMED',
      [['readPeriod', /one body/]],
    ],
    [
      `{"requestId":${JSON.stringify(id)},"serviceReferenceVariant":"4.1.1","serviceReferenceVariant":"4.2"}`,
      'REQUEST_JSON_MALFORMED',
      [['serviceReferenceVariant', /twice/]],
    ],
    [
      `{"requestId":{"originator":"${supplier}","target":"${meter}","counter":9007199254740993}}`,
      'REQUEST_ID_MALFORMED',
      [['requestId.counter', /text, in quotation marks/]],
    ],
    [
      `{"requestId":{"originator":"${supplier}","target":"${meter}","counter":9007199254740991.4}}`,
      'REQUEST_ID_MALFORMED',
      [['requestId.counter', /text, in quotation marks/]],
    ],
    [
      request({ requestId: { ...id, counter: 0 } }),
      'REQUEST_ID_MALFORMED',
      [['requestId.counter', /missing/]],
    ],
    [
      request({ requestId: { originator: supplier, target: '00-11', counter: '5' } }),
      'REQUEST_ID_MALFORMED',
      [['requestId.target', /not an EUI-64/]],
    ],
    [
      request({ requestId: { counter: '5' } }),
      'REQUEST_ID_MALFORMED',
      [
        ['requestId.originator', /missing/],
        ['requestId.target', /missing/],
      ],
    ],
    [request({}, '99.9'), 'REQUEST_SRV_UNKNOWN', [['serviceReferenceVariant', /catalogue/]]],
    [request({}, ''), 'REQUEST_SRV_UNKNOWN', [['serviceReferenceVariant', /missing/]]],
    [
      request({ displayMessage: { text: 'a' } }),
      'REQUEST_BODY_MISMATCH',
      [['displayMessage', /no body/]],
    ],
    [
      request({ displayMessage: { text: 'a' } }, '4.8.1'),
      'REQUEST_BODY_MISMATCH',
      [['displayMessage', /another/]],
    ],
    [request({}, '4.8.1'), 'REQUEST_BODY_MISMATCH', [['readPeriod', /missing/]]],
    [
      request({ displayMessage: {} }, '3.1'),
      'REQUEST_BODY_MALFORMED',
      [['displayMessage.text', /1 to 116/]],
    ],
    [
      request({ readPeriod: { startTime: day } }, '4.8.1'),
      'REQUEST_BODY_MALFORMED',
      [['readPeriod.endTime', /missing/]],
    ],
    [
      request({ synchroniseClock: { toleranceSeconds: 86_401 } }, '6.11'),
      'REQUEST_BODY_MALFORMED',
      [['synchroniseClock.toleranceSeconds', /86,400/]],
    ],
    [
      request({ deadline: '2099-01-01T00:00:00Z' }),
      'REQUEST_DEADLINE_PAST',
      [['deadline', /30 days/]],
    ],
  ]
  for (const [body, code, violations] of cases) {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await send(rig, text)
    t.equal(answer.status, 400, text)
    t.equal(answer.json['code'], code, text)
    t.match(
      answer.json['violations'],
      violations.map(([field, description]) => ({ field, description })),
      text,
    )
    t.equal((answer.json['violations'] as unknown[]).length, violations.length, text)
  }
})

t.test('violations of parameters, paths and delivery ids', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const cases: Array<
    [method: string, path: string, body: string | undefined, field: string, description: RegExp]
  > = [
    ['GET', '/v1/deliveries?waitMs=never', undefined, 'waitMs', /pattern/],
    ['GET', '/v1/deliveries?colour=red', undefined, 'colour', /unknown/],
    ['GET', `${submit}/x`, undefined, 'id', /originator:target:counter/],
    ['DELETE', `${submit}/x`, undefined, 'id', /originator:target:counter/],
    ['GET', `${submit}/x/response`, undefined, 'id', /originator:target:counter/],
    ['POST', acknowledge, '{}', 'deliveryId', /missing/],
    ['POST', acknowledge, '{"deliveryId":null}', 'deliveryId', /missing/],
    ['POST', acknowledge, '{"deliveryId":9007199254740993}', 'deliveryId', /above 2\^53.*as text/],
    [
      'POST',
      acknowledge,
      '{"deliveryId":18446744073709551615}',
      'deliveryId',
      /above 2\^53.*as text/,
    ],
    ['POST', acknowledge, '{"deliveryId":1.5}', 'deliveryId', /whole/],
    ['POST', acknowledge, '{"deliveryId":"-1"}', 'deliveryId', /negative/],
    ['POST', acknowledge, '{"deliveryId":"1","delivery_id":"2"}', 'deliveryId', /twice/],
    ['POST', acknowledge, '{"deliveryId":"99999999999999999999"}', 'deliveryId', /never sent/],
    ['POST', acknowledge, '{"deliveryId":"4096"}', 'deliveryId', /never sent/],
  ]
  for (const [method, path, body, field, description] of cases) {
    const headers = body === undefined ? {} : json
    const { status, json: answer } = await send(rig, body, headers, [method, path])
    t.equal(status, 400, `${path} ${body}`)
    t.match(answer, { violations: [{ field, description }] }, `${path} ${body}`)
  }
  const url = await fetch(`${rig.httpUrl}${submit}/%ff`, {
    headers: { 'x-busbar-party': supplier },
  })
  t.equal(url.status, 400)
  t.match(await url.json(), { code: 'REQUEST_PATH_UNKNOWN', message: /path/ })
})
