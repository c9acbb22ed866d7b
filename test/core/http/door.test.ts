/**
 * A door of HTTP over raw sockets: every rejection in front of the routes is a problem with the
 * right status and headers, comes before content is read, and closes only what it must. Routes of
 * parties and operators are tested in their own folders.
 */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { BytesInFlight } from '../../../core/base/bytes-in-flight.ts'
import { ConnectionsPerAddress } from '../../../core/base/connections-per-address.ts'
import { limits } from '../../../core/base/limits.ts'
import { HttpDoor, type HttpDoorOptions } from '../../../core/http/door.ts'
import { problemOf } from '../../../core/http/problem.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { answersIn, RawConnection, say, type RawAnswer } from './raw-http.ts'

type Opened = { door: HttpDoor; port: number; handled: string[]; logged: object[] }

async function open(
  t: Test,
  options: Partial<HttpDoorOptions> = {},
  host = '127.0.0.1',
): Promise<Opened> {
  const handled: string[] = []
  const logged: object[] = []
  const door = new HttpDoor({
    name: 'HTTP',
    log: { ...silentLog, error: (fields) => void logged.push(fields) },
    ...options,
  })
  const { app } = door
  door.describeProblems()
  const content = { bytesMax: 100_000, itemsMax: 50, depthMax: 4 }
  app.addHook('preHandler', (request, _reply, done) => {
    handled.push(`${request.method} ${request.url}`)
    done()
  })
  app.get('/safe', { exposeHeadRoute: true }, async () => ({ is: 'safe' }))
  app.get('/unsafe', async () => ({ is: 'unsafe' }))
  app.delete('/safe', async () => ({ is: 'gone' }))
  app.post('/list', { config: { content } }, async ({ body }) => ({
    count: (body as unknown[]).length,
  }))
  app.post('/action', async ({ body }) => ({ got: body ?? null }))
  app.get('/fails', async () => {
    throw new TypeError('with a secret in it')
  })
  app.get('/refuses', async () => {
    throw new BrokerError('DEVICE_UNKNOWN', 'such a one')
  })
  app.get('/odd/:id', async ({ params }) => params as object)
  const port = await door.listen(host, 0)
  t.teardown(() => door.close())
  return { door, port, handled, logged }
}

const isProblem = (
  t: Test,
  answer: RawAnswer | undefined,
  status: number,
  code: string,
  what: string,
): void => {
  t.equal(answer?.status, status, what)
  if (answer === undefined) return
  t.equal(answer.headers['content-type'], 'application/problem+json', what)
  t.match(
    answer.json,
    {
      type: `/problems/${code}`,
      title: /\.$/,
      status,
      instance: /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/,
      code,
      responseCode: /^E\d+$/,
      message: /\.$/,
    },
    `${what}: ${answer.text}`,
  )
  t.equal(Number(answer.headers['content-length']), Buffer.byteLength(answer.text), what)
}

const host = 'Host: localhost\r\n'
const json = 'Content-Type: application/json\r\n'
const close = 'Connection: close\r\n'
const get = (path: string, headers = host): string =>
  `GET ${path} HTTP/1.1\r\n${headers}${close}\r\n`
const post = (path: string, body: string, headers = host + json): string =>
  `POST ${path} HTTP/1.1\r\n${headers}${close}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

type Case = [what: string, octets: string | Buffer, status: number, code: string]
const malformed = 'REQUEST_HTTP_MALFORMED'

const heads: Case[] = [
  ['no Host', get('/safe', ''), 400, malformed],
  ['an empty Host', get('/safe', 'Host:\r\n'), 400, malformed],
  ['Host twice', get('/safe', host + host), 400, malformed],
  ['Host twice, one of them ours', get('/safe', `${host}hOST: evil.example\r\n`), 400, malformed],
  ['a Host with a user', get('/safe', 'Host: a@localhost\r\n'), 400, malformed],
  ['a Host with a path', get('/safe', 'Host: localhost/x\r\n'), 400, malformed],
  ['a Host with an escape', get('/safe', 'Host: %6cocalhost\r\n'), 400, malformed],
  ['two names in Host', get('/safe', 'Host: localhost, evil.example\r\n'), 400, malformed],
  ['another Host', get('/safe', 'Host: evil.example\r\n'), 421, 'REQUEST_HOST_UNKNOWN'],
  ['a longer name', get('/safe', 'Host: localhost.evil.example\r\n'), 421, 'REQUEST_HOST_UNKNOWN'],
  ['another address', get('/safe', 'Host: 192.0.2.1\r\n'), 421, 'REQUEST_HOST_UNKNOWN'],
  ['a target of another host', get('http://evil.example/safe'), 421, 'REQUEST_HOST_UNKNOWN'],
  ['a target without a path', get('safe'), 400, malformed],
  ['a target of a file', get('file:///safe'), 400, malformed],
  ['a version to come', 'GET /safe HTTP/3.0\r\n\r\n', 505, malformed],
  ['no version', 'GET /safe\r\n\r\n', 400, malformed],
  ['TLS', Buffer.from('160301020001', 'hex'), 400, malformed],
  ['an unknown method', `BREW /safe HTTP/1.1\r\n${host}\r\n`, 501, 'REQUEST_METHOD_UNSUPPORTED'],
  ['a tunnel', `CONNECT x:1 HTTP/1.1\r\n${host}\r\n`, 501, 'REQUEST_METHOD_UNSUPPORTED'],
  ['TRACE', `TRACE /safe HTTP/1.1\r\n${host}${close}\r\n`, 405, 'REQUEST_METHOD_UNSUPPORTED'],
  [
    'a page elsewhere',
    get('/safe', `${host}Origin: http://evil.example\r\n`),
    403,
    'REQUEST_ORIGIN_REFUSED',
  ],
  ['a page of a file', get('/safe', `${host}Origin: null\r\n`), 403, 'REQUEST_ORIGIN_REFUSED'],
  [
    'a page of another port',
    get('/safe', `${host}Origin: http://localhost:3000\r\n`),
    403,
    'REQUEST_ORIGIN_REFUSED',
  ],
  [
    'an image elsewhere',
    get('/safe', `${host}Sec-Fetch-Site: cross-site\r\n`),
    403,
    'REQUEST_ORIGIN_REFUSED',
  ],
  [
    'a sibling site',
    get('/safe', `${host}Sec-Fetch-Site: same-site\r\n`),
    403,
    'REQUEST_ORIGIN_REFUSED',
  ],
  [
    'Origin twice',
    get('/safe', `${host}${'Origin: http://localhost\r\n'.repeat(2)}`),
    400,
    malformed,
  ],
  [
    'many headers',
    get('/safe', host + 'X: y\r\n'.repeat(limits.httpHeadersMax)),
    431,
    'REQUEST_HEADERS_EXCEEDED',
  ],
  [
    'large headers',
    get('/safe', `${host}X: ${'y'.repeat(20_000)}\r\n`),
    431,
    'REQUEST_HEADERS_EXCEEDED',
  ],
  [
    'a long path',
    get(`/${'x'.repeat(limits.httpTargetBytesMax)}`),
    414,
    'REQUEST_HEADERS_EXCEEDED',
  ],
  ['a longer path', get(`/${'x'.repeat(20_000)}`), 414, 'REQUEST_HEADERS_EXCEEDED'],
  ['an expectation', get('/safe', `${host}Expect: the-unexpected\r\n`), 417, malformed],
  ['a parameter twice', get('/safe?a=1&b=2&a=1'), 400, malformed],
  ['a parameter twice, escaped', get('/safe?a=1&%61=2'), 400, malformed],
  ['a query that is not UTF-8', get('/safe?a=%ff'), 400, malformed],
  ['a query with half an escape', get('/safe?a=%2'), 400, malformed],
  ['a path that is not UTF-8', get('/odd/%ff'), 400, 'REQUEST_PATH_UNKNOWN'],
  ['an unknown path', get('/nowhere'), 404, 'REQUEST_PATH_UNKNOWN'],
  ['a slash behind', get('/safe/'), 404, 'REQUEST_PATH_UNKNOWN'],
  ['a long parameter', get(`/odd/${'x'.repeat(300)}`), 414, 'REQUEST_PATH_UNKNOWN'],
  [
    'another method',
    `PUT /safe HTTP/1.1\r\n${host}${close}\r\n`,
    405,
    'REQUEST_METHOD_UNSUPPORTED',
  ],
  ['a fault of ours', get('/fails'), 500, 'BROKER_GATEWAY_FAILED'],
  ['a refusal', get('/refuses'), 404, 'DEVICE_UNKNOWN'],
  ['a header without a name', `GET /safe HTTP/1.1\r\n${host}: x\r\n\r\n`, 400, malformed],
  ['a folded header', `GET /safe HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`, 400, malformed],
  ['a bare line feed', `GET /safe HTTP/1.1\nHost: localhost\n\n`, 400, malformed],
]

t.test('heads that are rejected', async (t) => {
  const { port, handled, logged } = await open(t)
  for (const [what, octets, status, code] of heads) {
    const answers = await say(port, octets)
    t.equal(answers.length, 1, what)
    isProblem(t, answers[0], status, code, what)
    t.notMatch(answers[0]?.text, /secret|node_modules/)
  }
  t.same(handled, ['GET /fails', 'GET /refuses'], 'no other route ran')
  t.match(logged, [{ route: '/fails', reason: /secret/, instance: /^urn:uuid:/ }])
})

const bodies: Case[] = [
  [
    'text',
    post('/list', '[]', `${host}Content-Type: text/plain\r\n`),
    415,
    'REQUEST_JSON_MALFORMED',
  ],
  [
    'a form',
    post('/list', 'a=b', `${host}Content-Type: application/x-www-form-urlencoded\r\n`),
    415,
    'REQUEST_JSON_MALFORMED',
  ],
  ['no type', post('/list', '[]', host), 415, 'REQUEST_JSON_MALFORMED'],
  [
    'text that is empty',
    post('/action', '', `${host}Content-Type: text/plain\r\n`),
    415,
    'REQUEST_JSON_MALFORMED',
  ],
  [
    'another charset',
    post('/list', '[]', `${host}Content-Type: application/json; charset=latin1\r\n`),
    415,
    'REQUEST_JSON_MALFORMED',
  ],
  ['two types', post('/list', '[]', host + json + json), 400, malformed],
  [
    'gzip',
    post('/list', '[]', `${host}${json}Content-Encoding: gzip\r\n`),
    415,
    'REQUEST_JSON_MALFORMED',
  ],
  [
    'gzip within',
    post('/list', '[]', `${host}${json}Content-Encoding: identity, gzip\r\n`),
    415,
    'REQUEST_JSON_MALFORMED',
  ],
  [
    'content of GET',
    `GET /safe HTTP/1.1\r\n${host}${json}Content-Length: 2\r\n\r\n[]`,
    400,
    malformed,
  ],
  [
    'content of DELETE',
    `DELETE /safe HTTP/1.1\r\n${host}${json}Content-Length: 2\r\n\r\n[]`,
    400,
    malformed,
  ],
  ['content of an unknown path', post('/nowhere', '[]'), 404, 'REQUEST_PATH_UNKNOWN'],
  [
    'much content',
    `POST /list HTTP/1.1\r\n${host}${json}Content-Length: 100001\r\n\r\n`,
    413,
    'REQUEST_SIZE_EXCEEDED',
  ],
  [
    'much for an action',
    `POST /action HTTP/1.1\r\n${host}${json}Content-Length: 20000\r\n\r\n`,
    413,
    'REQUEST_SIZE_EXCEEDED',
  ],
  [
    'a length twice',
    `POST /list HTTP/1.1\r\n${host}${json}Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]`,
    400,
    malformed,
  ],
  [
    'two lengths',
    `POST /list HTTP/1.1\r\n${host}${json}Content-Length: 2, 2\r\n\r\n[]`,
    400,
    malformed,
  ],
  [
    'length and chunks',
    `POST /list HTTP/1.1\r\n${host}${json}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n`,
    400,
    malformed,
  ],
  [
    'another transfer coding',
    `POST /list HTTP/1.1\r\n${host}${json}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n`,
    501,
    malformed,
  ],
  [
    'chunks in HTTP/1.0',
    `POST /list HTTP/1.0\r\n${host}${json}Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n`,
    400,
    malformed,
  ],
  [
    'a malformed chunk',
    `POST /list HTTP/1.1\r\n${host}${json}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    400,
    malformed,
  ],
  [
    'extensions of chunks',
    `POST /list HTTP/1.1\r\n${host}${json}Transfer-Encoding: chunked\r\n\r\n2;x=${'y'.repeat(20_000)}`,
    413,
    'REQUEST_SIZE_EXCEEDED',
  ],
  [
    'many chunks',
    `POST /list HTTP/1.1\r\n${host}${json}Transfer-Encoding: chunked\r\n\r\n${'a\r\n[ ,,,,,,,,\r\n'.repeat(10_100)}`,
    413,
    'REQUEST_SIZE_EXCEEDED',
  ],
  ['nothing', post('/list', ''), 400, 'REQUEST_JSON_MALFORMED'],
  [
    'chunks of nothing',
    `POST /list HTTP/1.1\r\n${host}${json}${close}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    'REQUEST_JSON_MALFORMED',
  ],
  ['half of it', post('/list', '['), 400, 'REQUEST_JSON_MALFORMED'],
  ['a name twice', post('/action', '{"a":1,"a":2}'), 400, 'REQUEST_JSON_MALFORMED'],
  ['octets', post('/action', '"\u0000"'), 400, 'REQUEST_JSON_MALFORMED'],
  ['depth', post('/list', '[[[[[]]]]]'), 400, 'REQUEST_JSON_MALFORMED'],
  [
    'entries',
    post(
      '/list',
      `[${Array(60)
        .fill(`"${'x'.repeat(1_200)}"`)
        .join()}]`,
    ),
    413,
    'REQUEST_SIZE_EXCEEDED',
  ],
  ['one large entry', post('/list', `["${'x'.repeat(70_000)}"]`), 413, 'REQUEST_SIZE_EXCEEDED'],
]

t.test('content that is rejected', async (t) => {
  const { port, handled } = await open(t)
  for (const [what, octets, status, code] of bodies) {
    const answers = await say(port, octets)
    t.equal(answers.length, 1, what)
    isProblem(t, answers[0], status, code, what)
    if (status === 415) {
      const header = /gzip/.test(what) ? 'accept-encoding' : 'accept-post'
      t.ok(answers[0]?.headers[header], `${what}: ${header}`)
    }
  }
  t.same(handled, [], 'no route ran')
})

t.test('what a door takes', async (t) => {
  const { port } = await open(t)
  const cases: Array<[what: string, octets: string, status: number, text: RegExp]> = [
    ['a path', get('/safe'), 200, /safe/],
    ['a port in Host', get('/safe', `Host: 127.0.0.1:${port}\r\n`), 200, /safe/],
    ['another loopback', get('/safe', 'Host: 127.1.2.3\r\n'), 200, /safe/],
    ['IPv6', get('/safe', 'Host: [0:0::1]:80\r\n'), 200, /safe/],
    ['a name with a dot', get('/safe', 'Host: LOCALHOST.\r\n'), 200, /safe/],
    ['an absolute target', get('http://localhost:80/safe'), 200, /safe/],
    ['HTTP/1.0 without Host', 'GET /safe HTTP/1.0\r\n\r\n', 200, /safe/],
    [
      'our own page',
      get('/safe', `${host}Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n`),
      200,
      /safe/,
    ],
    [
      'our own page behind TLS',
      get('/safe', `${host}Origin: https://localhost:443\r\n`),
      200,
      /safe/,
    ],
    ['an address bar', get('/safe', `${host}Sec-Fetch-Site: none\r\n`), 200, /safe/],
    ['escapes', get('/%73afe'), 200, /safe/],
    ['other parameters', get('/safe?a=1&b=1&c'), 200, /safe/],
    ['a list', post('/list', '[1,2]'), 200, /"count":2/],
    ['a mark', post('/list', '\uFEFF[1]'), 200, /"count":1/],
    ['identity', post('/list', '[1]', `${host}${json}Content-Encoding: identity\r\n`), 200, /1/],
    [
      'chunks',
      `POST /list HTTP/1.1\r\n${host}${json}${close}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n`,
      200,
      /"count":2/,
    ],
    ['an action without content', post('/action', '', host), 200, /null/],
    [
      'a large list',
      post(
        '/list',
        `[${Array(40)
          .fill(`"${'é'.repeat(1_000)}"`)
          .join(' , ')}]`,
      ),
      200,
      /"count":40/,
    ],
    ['a problem explained', get('/problems/REQUEST_HOST_UNKNOWN'), 200, /"status":421/],
  ]
  for (const [what, octets, status, text] of cases) {
    const [answer] = await say(port, octets)
    t.equal(answer?.status, status, `${what}: ${answer?.text}`)
    t.match(answer?.text, text, what)
  }
})

t.test('methods: HEAD only where it is safe, OPTIONS, Allow', async (t) => {
  const { port, handled } = await open(t)
  const ask = async (method: string, path: string): Promise<RawAnswer> => {
    const text = `${method} ${path} HTTP/1.1\r\n${host}${close}\r\n`
    return (await say(port, text, method === 'HEAD'))[0]!
  }
  const head = await ask('HEAD', '/safe')
  t.match(head, { status: 200, text: '', headers: { 'content-length': '13' } })
  const unsafe = await ask('HEAD', '/unsafe')
  t.match(unsafe, { status: 405, text: '', headers: { allow: 'GET, OPTIONS' } })
  t.same(handled, ['HEAD /safe'])
  t.equal((await ask('PUT', '/safe?x')).headers['allow'], 'DELETE, GET, HEAD, OPTIONS')
  t.match(await ask('OPTIONS', '/list'), { status: 204, headers: { allow: 'OPTIONS, POST' } })
  t.match(await ask('OPTIONS', '*'), { status: 204, headers: { allow: /GET.*POST/ } })
  t.equal((await ask('OPTIONS', '/nowhere')).status, 404)
})

t.test('names and origins of the operator', async (t) => {
  const { port } = await open(t, {
    hosts: ['busbar.example', 'other.example:81'],
    origins: ['https://console.example'],
  })
  for (const [name, status] of [
    ['busbar.example', 200],
    ['BUSBAR.example:8080', 200],
    ['other.example:81', 200],
    ['other.example:82', 421],
    ['x.busbar.example', 421],
  ] as const)
    t.equal((await say(port, get('/safe', `Host: ${name}\r\n`)))[0]?.status, status, name)
  const from = `${host}Origin: https://console.example\r\nSec-Fetch-Site: cross-site\r\n`
  const allowed = 'access-control-allow-origin'
  const [answer] = await say(port, get('/safe', from))
  t.match(answer, {
    status: 200,
    headers: { [allowed]: 'https://console.example', vary: 'origin' },
  })
  const [preflight] = await say(port, `OPTIONS /list HTTP/1.1\r\n${from}${close}\r\n`)
  t.match(preflight, {
    status: 204,
    headers: { [allowed]: 'https://console.example', 'access-control-allow-methods': /POST/ },
  })
  const [own] = await say(port, get('/safe'))
  t.equal(own?.headers[allowed], undefined)
})

t.test('a door on all addresses takes every address, but no name', async (t) => {
  const { port } = await open(t, {}, '0.0.0.0')
  for (const [name, status] of [
    ['192.0.2.7:8080', 200],
    ['[2001:db8::1]', 200],
    ['localhost', 200],
    ['evil.example', 421],
  ] as const)
    t.equal((await say(port, get('/safe', `Host: ${name}\r\n`)))[0]?.status, status, name)
})

t.test('nothing is read of a caller who is not known', async (t) => {
  const { port, handled } = await open(t, {
    identify: ({ headers }) =>
      headers['x-who'] === 'me' ? undefined : problemOf('PARTY_HEADER_MISSING'),
  })
  const announced = `POST /list HTTP/1.1\r\n${host}${json}Content-Length: 90000\r\n`
  const [answer] = await (await RawConnection.open(port)).write(`${announced}\r\n`).answers(1)
  isProblem(t, answer, 401, 'PARTY_HEADER_MISSING', 'the content has not begun')
  t.match(answer?.headers, { connection: 'close', 'www-authenticate': /x-busbar-party/ })
  const all = await say(port, `${announced}\r\n${'x'.repeat(90_000)}`)
  t.equal(all.length, 1, 'the answer arrives though all of the content is sent')
  isProblem(t, all[0], 401, 'PARTY_HEADER_MISSING', 'with content')
  const smuggled = await say(
    port,
    `${announced}\r\n${'x'.repeat(90_000)}${get('/safe', `${host}X-Who: me\r\n`)}`,
  )
  t.equal(smuggled.length, 1, 'nothing behind it is a call')
  const patient = await RawConnection.open(port)
  const [now] = await patient.write(`${announced}Expect: 100-continue\r\n\r\n`).answers(1)
  isProblem(t, now, 401, 'PARTY_HEADER_MISSING', 'without 100')
  t.same(handled, [])
  const known = await RawConnection.open(port)
  known.write(
    `POST /list HTTP/1.1\r\n${host}${json}X-Who: me\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n`,
  )
  t.equal((await known.answers(1))[0]?.status, 100)
  t.match((await known.write('[1]').answers(2))[1], { status: 200, json: { count: 1 } })
  known.socket.destroy()
  for (const one of ['GET /safe', 'HEAD /safe']) {
    const kept = await RawConnection.open(port)
    kept.write(`${one} HTTP/1.1\r\n${host}\r\n${get('/safe', `${host}X-Who: me\r\n`)}`)
    const answers = await kept.rest(one.startsWith('HEAD'))
    t.equal(answers.at(-1)?.status, one.startsWith('GET') ? 200 : answers.at(-1)?.status)
    t.equal(answers[0]?.status, 401, 'without content the connection stays')
  }
})

t.test('calls one behind the other are answered in their order', async (t) => {
  const { port } = await open(t)
  const calls = Array.from({ length: 20 }, (_, i) => `GET /odd/${i} HTTP/1.1\r\n${host}\r\n`)
  const answers = await say(port, calls.join('') + get('/odd/last'))
  t.same(
    answers.map(({ json: { id } }) => id),
    [...Array.from({ length: 20 }, (_, i) => String(i)), 'last'],
  )
  const broken = await say(port, `${calls.slice(0, 3).join('')}nonsense\r\n\r\n`)
  t.same(
    broken.map(({ status }) => status),
    [200, 200, 200, 400],
    'what cannot be read is answered last',
  )
})

t.test('a connection has only so many calls without an answer', async (t) => {
  const door = new HttpDoor({ name: 'HTTP', log: silentLog })
  let answer: () => void = () => undefined
  const held = new Promise<void>((resolve) => (answer = resolve))
  door.app.get('/slow', async () => held.then(() => ({ is: 'slow' })))
  const port = await door.listen('127.0.0.1', 0)
  t.teardown(() => door.close())
  const count = limits.httpPipelinedCallsMax
  const connection = await RawConnection.open(port)
  connection.write(`GET /slow HTTP/1.1\r\n${host}\r\n`.repeat(count + 5))
  // An answer on another connection comes behind all that was read before it.
  await say(port, get('/nowhere'))
  answer()
  const answers = await connection.rest()
  t.equal(answers.length, count + 1)
  isProblem(t, answers[count], 429, 'BROKER_GATEWAY_BUSY', 'one too many')
})

t.test('deadlines: headers, content, silence', async (t) => {
  const { port } = await open(t, { times: { headersMs: 100, requestMs: 300, lookMs: 20 } })
  const slow: Array<[what: string, octets: string]> = [
    ['nothing', ''],
    ['half a line', 'GET /sa'],
    ['half of the headers', `GET /safe HTTP/1.1\r\n${host}`],
    ['half of the content', `POST /list HTTP/1.1\r\n${host}${json}Content-Length: 10\r\n\r\n[`],
    [
      'half a chunk',
      `POST /list HTTP/1.1\r\n${host}${json}Transfer-Encoding: chunked\r\n\r\n5\r\n[`,
    ],
  ]
  await Promise.all(
    slow.map(async ([what, octets]) => {
      const answers = await say(port, octets)
      isProblem(t, answers[0], 408, 'REQUEST_TIMED_OUT', what)
    }),
  )
  const idle = await open(t, { times: { idleMs: 50, silenceMs: 200, lookMs: 20 } })
  const connection = await RawConnection.open(idle.port)
  connection.write(`GET /safe HTTP/1.1\r\n${host}\r\n`)
  t.same(
    (await connection.rest()).map(({ status }) => status),
    [200],
    'then it is closed',
  )
})

t.test('connections of one address, and of all', async (t) => {
  const counts = new ConnectionsPerAddress({ address: 2, door: 3 })
  const { port, door } = await open(t, { connections: counts })
  const first = await RawConnection.open(port)
  const second = await RawConnection.open(port)
  t.equal((await first.write(`GET /safe HTTP/1.1\r\n${host}\r\n`).answers(1))[0]?.status, 200)
  t.equal((await second.write(`GET /safe HTTP/1.1\r\n${host}\r\n`).answers(1))[0]?.status, 200)
  const third = await (await RawConnection.open(port)).rest()
  isProblem(t, third[0], 429, 'CONNECTIONS_EXCEEDED', 'of one address')
  const other = await RawConnection.open(port, '127.0.0.9')
  t.equal((await other.write(`GET /safe HTTP/1.1\r\n${host}\r\n`).answers(1))[0]?.status, 200)
  const fifth = await (await RawConnection.open(port, '127.0.0.8')).rest()
  isProblem(t, fifth[0], 503, 'CONNECTIONS_EXCEEDED', 'of all')
  first.socket.destroy()
  while (door.openConnections > 2) await new Promise((resolve) => setImmediate(resolve))
  t.equal((await say(port, get('/safe')))[0]?.status, 200, 'a place is free again')
})

t.test('bytes in flight are counted while content is read, and given back', async (t) => {
  const bytes = new BytesInFlight({ connection: 50_000, party: 50_000, process: 80_000 })
  const { port } = await open(t, { bytes })
  const begun = `POST /list HTTP/1.1\r\n${host}${json}Content-Length: 90000\r\n\r\n`
  const large = await say(port, begun + ' '.repeat(60_000))
  isProblem(t, large[0], 429, 'BROKER_GATEWAY_BUSY', 'of one connection')
  while (bytes.used > 0) await new Promise((resolve) => setImmediate(resolve))
  const holding = await RawConnection.open(port)
  holding.write(begun + ' '.repeat(40_000))
  while (bytes.used < 40_000) await new Promise((resolve) => setImmediate(resolve))
  const other = await RawConnection.open(port)
  other.write(begun + ' '.repeat(45_000))
  isProblem(t, (await other.rest())[0], 429, 'BROKER_GATEWAY_BUSY', 'of the process')
  holding.socket.destroy()
  while (bytes.used > 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal((await say(port, post('/list', '[1]')))[0]?.status, 200)
  while (bytes.used > 0) await new Promise((resolve) => setImmediate(resolve))
})

t.test('whatever is sent, an answer is whole and every error is a problem', async (t) => {
  const { port, logged } = await open(t, { times: { headersMs: 200, requestMs: 300, lookMs: 20 } })
  const piece = fc.oneof(
    fc.constantFrom(...heads.map(([, octets]) => octets), ...bodies.map(([, octets]) => octets)),
    fc.constantFrom(
      'GET ',
      'POST ',
      '/list',
      '/safe',
      ' HTTP/1.1\r\n',
      host,
      json,
      '\r\n',
      '[1]',
      '0',
    ),
    fc.uint8Array({ maxLength: 20 }).map((octets) => Buffer.from(octets)),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 6 }), fc.nat(400), async (pieces, cut) => {
      const octets = Buffer.concat(pieces.map((one) => Buffer.from(one)))
      const connection = await RawConnection.open(port)
      connection.write(octets.subarray(0, Math.max(0, octets.length - cut)))
      connection.socket.end()
      await connection.rest()
      for (const answer of answersIn(connection.octets)) {
        if (answer.status >= 500 && ![501, 505].includes(answer.status)) {
          if (answer.json['code'] !== 'BROKER_GATEWAY_FAILED') return false
        }
        if (answer.status >= 400 && answer.text !== '' && answer.json['code'] === undefined)
          return false
      }
      return true
    }),
    { numRuns: 100 },
  )
  t.ok(logged.every((fields) => JSON.stringify(fields).includes('secret')))
  t.equal((await say(port, get('/safe')))[0]?.status, 200)
})
