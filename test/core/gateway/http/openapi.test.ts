/** The OpenAPI document: whole, valid, and true of what the doors take and answer. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import fastify from 'fastify'
import t from 'tap'
import { readKind } from '../../../../core/envelope/envelope.ts'
import { Kind } from '../../../../core/envelope/layout.ts'
import { serveOpenApi } from '../../../../core/gateway/http/openapi.ts'
import { accepted, deliver, makeRig, meter, serveHost, supplier, type Rig } from '../rig.ts'

type Content = Record<string, { schema: object }>
type Operation = {
  operationId: string
  summary: string
  security?: object[]
  parameters?: Array<{
    name: string
    in: string
    required: boolean
    description: string
    schema: object
  }>
  requestBody?: { required: boolean; content: Content }
  responses: Record<string, { description: string; headers?: object; content: Content }>
}
type OpenApi = {
  openapi: string
  info: { title: string; version: string }
  security: object[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object>; headers: object; securitySchemes: object }
}

const requests = '/v1/service-requests'
const routes = [
  'get /openapi.json',
  'get /problems/{code}',
  `post ${requests}`,
  `get ${requests}/{id}`,
  `delete ${requests}/{id}`,
  `get ${requests}/{id}/explanation`,
  `post ${requests}/{id}/quarantine/release`,
  `post ${requests}/{id}/quarantine/delete`,
  `get ${requests}/{id}/response`,
  'get /v1/deliveries',
  'post /v1/deliveries/acknowledgements',
]

const documentOf = async (rig: Rig): Promise<OpenApi> => {
  const answer = await fetch(`${rig.httpUrl}/openapi.json`)
  t.equal(answer.status, 200, 'no party is needed')
  t.match(answer.headers.get('content-type'), /^application\/json/)
  return (await answer.json()) as OpenApi
}

const operationsOf = ({
  paths,
}: OpenApi): Array<[path: string, method: string, operation: Operation]> =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [
      path,
      method,
      operation,
    ]),
  )

/** Compiles a schema of the document, its references included. */
function check(document: OpenApi, schema: object): (value: unknown) => string[] {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
  ajv.addSchema({ $id: 'doc:/', components: document.components })
  const local = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"doc:/#/')) as object
  const validate = ajv.compile(local)
  return (value) =>
    validate(value) ? [] : (validate.errors ?? []).map((one) => JSON.stringify(one))
}

/** All values of members named `$ref`. */
function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  const own = '$ref' in value && typeof value.$ref === 'string' ? [value.$ref] : []
  return [...own, ...Object.values(value).flatMap(referencesIn)]
}

t.test('every route is there, and every part is whole', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const document = await documentOf(rig)
  t.match(document, { openapi: /^3\.1\.\d$/, info: { title: 'Busbar', version: 'v1' } })
  const operations = operationsOf(document)
  t.same(operations.map(([path, method]) => `${method} ${path}`).sort(), [...routes].sort())
  t.equal(new Set(operations.map(([, , { operationId }]) => operationId)).size, operations.length)
  for (const reference of referencesIn(document)) {
    const target = reference
      .slice(2)
      .split('/')
      .reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], document)
    t.type(target, 'object', reference)
  }
  for (const [path, method, operation] of operations) {
    const what = `${method} ${path}`
    const { parameters = [], requestBody, responses, summary } = operation
    t.ok(summary.length > 0, what)
    const inPath = parameters.filter((one) => one.in === 'path').map(({ name }) => name)
    t.same(
      inPath,
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      what,
    )
    for (const { name, description } of parameters)
      t.ok(description, `${what}: ${name} is described`)
    // What is to be done with a request in quarantine is in the path.
    const hasBody = method === 'post' && !path.includes('/quarantine/')
    t.equal(requestBody !== undefined, hasBody, what)
    if (requestBody) t.ok(responses['415'], `${what} says which content it takes`)
    if (operation.security === undefined) t.ok(responses['401'] && responses['500'], what)
    const answers = Object.entries(responses).map(([status, { content }]) => ({
      content,
      type: Number(status) < 400 ? 'application/json' : 'application/problem+json',
    }))
    const asked = requestBody && [{ content: requestBody.content, type: 'application/json' }]
    for (const { content, type } of [...(asked ?? []), ...answers]) {
      t.same(Object.keys(content), [type], what)
      const { schema } = content[type]!
      t.doesNotThrow(() => check(document, schema), `${what}: a schema of JSON Schema 2020-12`)
      t.notMatch(JSON.stringify(schema), /nullable/)
    }
  }
  t.same(document.security, [{ certificate: [] }, { party: [] }])
  t.match(document.components.securitySchemes, {
    party: { type: 'apiKey', in: 'header', name: 'x-busbar-party' },
  })
})

t.test(
  'what the document lists exists; a route that says nothing keeps the server from starting',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    await serveHost(rig.bus, 'a', () => accepted)
    for (const route of routes) {
      const [method, path] = route.split(' ') as [string, string]
      const url = rig.httpUrl + path.replace('{id}', 'x').replace('{code}', 'PARTY_UNKNOWN')
      const answer = await fetch(url, {
        method: method.toUpperCase(),
        headers: { 'x-busbar-party': supplier },
      })
      t.not(((await answer.json()) as { code?: string }).code, 'REQUEST_PATH_UNKNOWN', route)
    }
    const server = fastify()
    serveOpenApi(server)
    server.get('/silent', (_request, reply) => reply.send('x'))
    await t.rejects(Promise.resolve(server.ready()), /\/silent does not say/)
  },
)

t.test('answers are as described, and their members are known', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const document = await documentOf(rig)
  await serveHost(rig.bus, 'a', (frame, at) =>
    readKind(frame, at) === Kind.STATUS_QUERY
      ? {
          outcome: 'OK',
          status: { state: 3, acceptedMs: 1_700_000_000_000, endedMs: 1_700_000_001_000 },
        }
      : accepted,
  )
  await deliver(rig.ledger, supplier, 1, 7, 3)
  const one = {
    requestId: { originator: supplier, target: meter, counter: '5' },
    serviceReferenceVariant: '4.1.1',
  }
  const calls: Array<
    [method: string, path: string, template: string, status: number, body?: unknown]
  > = [
    ['POST', requests, requests, 202, one],
    [
      'POST',
      requests,
      requests,
      200,
      { requests: [one, { ...one, serviceReferenceVariant: 'x' }] },
    ],
    ['POST', requests, requests, 400, { ...one, dedline: 1 }],
    ['POST', requests, requests, 400, { ...one, serviceReferenceVariant: 'x' }],
    ['GET', `${requests}/${supplier}:${meter}:7`, `${requests}/{id}`, 200],
    ['GET', `${requests}/x`, `${requests}/{id}`, 400],
    [
      'POST',
      `${requests}/${supplier}:${meter}:7/quarantine/release`,
      `${requests}/{id}/quarantine/release`,
      200,
    ],
    ['POST', `${requests}/x/quarantine/delete`, `${requests}/{id}/quarantine/delete`, 400],
    ['GET', '/v1/deliveries', '/v1/deliveries', 200],
    ['GET', '/v1/deliveries?max=x', '/v1/deliveries', 400],
    ['POST', '/v1/deliveries/acknowledgements', '/v1/deliveries/acknowledgements', 400, {}],
  ]
  for (const [method, path, template, status, body] of calls) {
    const what = `${method} ${path} ${status}`
    const answer = await fetch(rig.httpUrl + path, {
      method,
      headers: {
        'x-busbar-party': supplier,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const json: unknown = await answer.json()
    t.equal(answer.status, status, `${what} ${JSON.stringify(json)}`)
    const { responses } = document.paths[template]![method.toLowerCase()]!
    const type = status < 400 ? 'application/json' : 'application/problem+json'
    t.equal(answer.headers.get('content-type')?.split(';')[0], type, what)
    const { schema } = responses[status]!.content[type]!
    t.same(check(document, schema)(json), [], what)
    // In an answer unknown members are allowed, because a newer gateway may have more; this one has
    // none.
    const closed = JSON.parse(
      JSON.stringify(document).replaceAll(
        '"properties":',
        '"unevaluatedProperties":false,"properties":',
      ),
    ) as OpenApi
    const strict = JSON.parse(
      JSON.stringify(schema).replaceAll(
        '"properties":',
        '"unevaluatedProperties":false,"properties":',
      ),
    ) as object
    t.same(check(closed, strict)(json), [], `${what}: its members`)
  }
})

t.test('the schema of a submission takes what the door takes', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const document = await documentOf(rig)
  const schema = document.paths[requests]!['post']!.requestBody!.content['application/json']!.schema
  const faults = check(document, schema)
  const requestId = { originator: supplier, target: meter, counter: '5' }
  for (const good of [
    { requestId, serviceReferenceVariant: '4.1.1', deadline: null },
    {
      request_id: { ...requestId, counter: 5 },
      service_reference_variant: '3.1',
      display_message: { text: 'x' },
    },
    { requests: [{ requestId, priority: 'PRIORITY_URGENT' }] },
  ])
    t.same(faults(good), [], JSON.stringify(good))
  for (const bad of [
    { dedline: 1 },
    [],
    { requests: [{ x: 1 }] },
    { deadline: 'tomorrow' },
    { priority: 'HIGH' },
  ])
    t.not(faults(bad).length, 0, JSON.stringify(bad))
})
