/**
 * The HTTP door of parties over raw sockets: who calls is known before anything is read, and the
 * checks of core/http stand in front of every route. The checks themselves are tested there.
 */
import t from 'tap'
import { RawConnection, say } from '../http/raw-http.ts'
import { accepted, makeRig, meter, serveHost, supplier } from './rig.ts'

const submit = '/v1/service-requests'
const host = 'Host: localhost\r\n'
const json = 'Content-Type: application/json\r\n'
const party = `X-Busbar-Party: ${supplier}\r\n`
const close = 'Connection: close\r\n'

t.test('a call without a valid party is answered before its content comes', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const port = Number(new URL(rig.httpUrl).port)
  for (const [header, status, code] of [
    ['', 401, 'PARTY_HEADER_MISSING'],
    ['X-Busbar-Party: zz\r\n', 401, 'PARTY_HEADER_MALFORMED'],
    ['X-Busbar-Party: 00-00-00-00-00-00-00-01\r\n', 403, 'PARTY_UNKNOWN'],
    [party + party, 400, 'REQUEST_HTTP_MALFORMED'],
  ] as const)
    for (const path of [submit, '/v1/deliveries/acknowledgements'])
      for (const [what, length] of [
        ['a length', 'Content-Length: 1000\r\n'],
        ['chunks', 'Transfer-Encoding: chunked\r\n'],
        ['patience', 'Content-Length: 1000\r\nExpect: 100-continue\r\n'],
      ] as const) {
        const connection = await RawConnection.open(port)
        connection.write(`POST ${path} HTTP/1.1\r\n${host}${json}${header}${length}\r\n`)
        const [answer] = await connection.answers(1)
        t.equal(answer?.status, status, `${code} with ${what}`)
        t.match(answer?.json, { code, status, type: `/problems/${code}` })
        t.equal(answer?.headers['connection'], 'close')
        t.equal(answer?.headers['www-authenticate'] !== undefined, status === 401)
        connection.socket.destroy()
      }
})

t.test('limits by route', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const port = Number(new URL(rig.httpUrl).port)
  for (const [path, length, status] of [
    ['/v1/deliveries/acknowledgements', 1_025, 413],
    [submit, 4 * 1024 * 1024 + 1, 413],
  ] as const) {
    const head = `POST ${path} HTTP/1.1\r\n${host}${json}${party}Content-Length: ${length}\r\n\r\n`
    const [answer] = await say(port, head)
    t.match(answer, { status, json: { code: 'REQUEST_SIZE_EXCEEDED' } }, path)
  }
})

t.test('four mebibytes of a party end with a fault, or with all acknowledgements', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const port = Number(new URL(rig.httpUrl).port)
  await serveHost(rig.bus, 'a', () => accepted)
  const post = async (body: string): Promise<unknown> => {
    const head = `${host}${json}${party}${close}Content-Length: ${body.length}\r\n\r\n`
    const [answer] = await say(port, `POST ${submit} HTTP/1.1\r\n${head}${body}`)
    return { status: answer?.status, ...answer?.json }
  }
  const size = 4 * 1024 * 1024
  t.match(await post(`[${'{},'.repeat(size / 3 - 10)}{}]`), {
    status: 413,
    code: 'REQUEST_SIZE_EXCEEDED',
  })
  t.match(await post('['.repeat(size)), { status: 400, code: 'REQUEST_JSON_MALFORMED' })
  t.match(await post(`"${'x'.repeat(size - 2)}"`), { status: 413, code: 'REQUEST_SIZE_EXCEEDED' })
  const requests = Array.from({ length: 1_000 }, (_, i) =>
    JSON.stringify({
      requestId: { originator: supplier, target: meter, counter: String(i + 1) },
      serviceReferenceVariant: '4.1.1',
    }).padEnd(4_000),
  )
  const all = (await post(`{"requests":[${requests.join()}]}`)) as { acknowledgements: unknown[] }
  t.equal(all.acknowledgements.length, 1_000)
  requests[700] = requests[700]!.replace('4.1.1"', '4.1.1","dedline":1')
  t.match(await post(`{"requests":[${requests.join()}]}`), {
    status: 400,
    code: 'REQUEST_JSON_MALFORMED',
    violations: [{ field: 'requests[700].dedline' }],
  })
})

t.test('pages of other sites, other names, and methods', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const port = Number(new URL(rig.httpUrl).port)
  const frames = await serveHost(rig.bus, 'a', () => accepted)
  const body = JSON.stringify({
    requestId: { originator: supplier, target: meter, counter: '1' },
    serviceReferenceVariant: '4.1.1',
  })
  const call = async (headers: string): Promise<unknown> => {
    const head = `${headers}${party}${close}Content-Length: ${body.length}\r\n\r\n`
    const [answer] = await say(port, `POST ${submit} HTTP/1.1\r\n${head}${body}`)
    return [answer?.status, answer?.json['code']]
  }
  t.same(await call(`Host: evil.example\r\n${json}`), [421, 'REQUEST_HOST_UNKNOWN'])
  t.same(await call(`${host}${json}Origin: http://evil.example\r\n`), [
    403,
    'REQUEST_ORIGIN_REFUSED',
  ])
  t.same(await call(`${host}Content-Type: text/plain\r\n`), [415, 'REQUEST_JSON_MALFORMED'])
  t.equal(frames.length, 0)
  t.same(await call(`${host}${json}Origin: http://localhost\r\n`), [202, undefined])
  for (const [method, path, allow] of [
    ['HEAD', '/v1/deliveries', 'GET, OPTIONS'],
    ['PUT', submit, 'OPTIONS, POST'],
    ['GET', submit, 'OPTIONS, POST'],
    ['TRACE', `${submit}/x`, 'DELETE, GET, HEAD, OPTIONS'],
  ] as const) {
    const text = `${method} ${path} HTTP/1.1\r\n${host}${party}${close}\r\n`
    const [answer] = await say(port, text, method === 'HEAD')
    t.match(answer, { status: 405, headers: { allow } }, `${method} ${path}`)
  }
  const [head] = await say(port, `HEAD /openapi.json HTTP/1.1\r\n${host}${close}\r\n`, true)
  t.equal(head?.status, 200)
})
