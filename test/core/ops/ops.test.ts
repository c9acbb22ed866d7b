/**
 * core/ops without servers of others: configuration and its defaults, metrics as text, the
 * operators' HTTP, logs.
 */
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { BrokerConfig } from '../../../core/ops/broker-config.ts'
import { loadConfig } from '../../../core/ops/config.ts'
import { settings, type Setting } from '../../../core/ops/settings.ts'
import { createLog } from '../../../core/ops/log.ts'
import { createMetrics } from '../../../core/ops/metrics.ts'
import { OperatorGate } from '../../../core/ops/operator-gate.ts'
import { startOpsServer, type OpsServer } from '../../../core/ops/server.ts'
import { version } from '../../../core/ops/version.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { silentLog } from '../../../core/ports/log.ts'
import type { Metrics } from '../../../core/ports/metrics.ts'

const load = (
  env: Record<string, string> = {},
  options: Record<string, string | number> = {},
): BrokerConfig => loadConfig({ env, options, workingDir: '/srv' })

t.test('config: the effective defaults, so that a changed one is seen in review', async (t) => {
  t.same(load(), {
    dataDir: '/srv/.busbar/data',
    roles: ['gateway', 'host', 'wan'],
    workerCount: 0,
    partitionCount: 16,
    grpc: { host: '127.0.0.1', port: 50_051 },
    http: { host: '127.0.0.1', port: 8_080 },
    ops: { host: '127.0.0.1', port: 9_464 },
    site: { hosts: [], origins: [] },
    pki: { folder: '/srv/.busbar/data/pki', isDevelopment: true },
    operators: { folder: '/srv/.busbar/data/operators', isDevelopment: true },
    partiesFile: '/srv/.busbar/data/parties.json',
    nats: { kind: 'embedded' },
    keyEncryption: { kind: 'none' },
    wanConnectionsMax: 8_192,
    dialInPerAddress: 1_024,
    dialIn: undefined,
    dialInNamesFile: undefined,
    ledgerBytesMax: 8_589_934_592,
    diskReserveBytes: 1024 ** 3,
    diskReservePercent: 10,
    replicas: 1,
    actorsAwakeMax: 100_000,
    deliveryKeepMs: 2_592_000_000,
    actorIdleMs: 300_000,
    registration: { folder: undefined, changePercentMax: 5, ageMsMax: 172_800_000 },
    logLevel: 'info',
  })
})

t.test('config: is frozen all the way down', async (t) => {
  const config = load()
  t.throws(() => ((config as { dataDir: string }).dataDir = 'x'), TypeError)
  t.throws(() => ((config.grpc as { port: number }).port = 1), TypeError)
})

t.test(
  'config: the command line wins over the environment, and that over the default',
  async (t) => {
    const env = {
      BUSBAR_PARTITIONS: '32',
      BUSBAR_GRPC: '[::1]:0',
      BUSBAR_LEDGER_BYTES: '512 MiB',
      BUSBAR_HTTP: '',
    }
    const config = load(env, {
      partitions: 64,
      actorIdle: '10m',
      dataDir: 'here',
      parties: 'p.json',
    })
    t.equal(config.partitionCount, 64)
    t.same(config.grpc, { host: '::1', port: 0 })
    t.equal(config.ledgerBytesMax, 512 * 1024 ** 2)
    t.equal(config.http.port, 8_080, 'an empty variable is none')
    t.equal(config.actorIdleMs, 600_000)
    t.equal(config.dataDir, '/srv/here')
    t.equal(config.partiesFile, '/srv/p.json')
    const dialIn = load({ BUSBAR_DIAL_IN: '0.0.0.0:4059' }, { dialInNames: 'names' })
    t.same(dialIn.dialIn, { host: '0.0.0.0', port: 4_059 })
    t.equal(dialIn.dialInNamesFile, '/srv/names')
    t.throws(() => load({ BUSBAR_DIAL_IN: '4059' }), { message: /BUSBAR_DIAL_IN: must look like/ })
    t.throws(() => load({ BUSBAR_DIAL_IN: '127.0.0.1:8080' }), { message: /HTTP, ops and dial-in/ })
    t.same(load({ BUSBAR_NATS_URL: 'nats://a:1,tls://b' }).nats, {
      kind: 'external',
      url: 'nats://a:1,tls://b',
    })
    t.same(
      load({ BUSBAR_GRPC: '0.0.0.0:0', BUSBAR_HTTP: '0.0.0.0:0' }).http,
      { host: '0.0.0.0', port: 0 },
      'two free ports are two',
    )
  },
)

t.test(
  'config: all faults at once, by the name that was given, and no secret in them',
  async (t) => {
    const env = {
      BUSBAR_PARTITIONS: '0',
      BUSBAR_GRPC: 'localhost',
      BUSBAR_HTTP: '127.0.0.1:70000',
      BUSBAR_LEDGER_BYTES: '8 elephants',
      BUSBAR_NATS_URL: 'http://user:hunter2@host',
    }
    t.throws(() => load(env, { actorIdle: '1s', logLevel: 'loud' }), { code: 'CONFIG_INVALID' })
    try {
      load(env, { actorIdle: '1s', logLevel: 'loud' })
    } catch (error) {
      const { detail = '' } = error as BrokerError
      for (const name of [...Object.keys(env), '--actor-idle', '--log-level'])
        t.match(detail, `${name}: `)
      t.notMatch(detail, 'hunter2')
    }
    t.throws(() => load({ BUSBAR_GRPC: '127.0.0.1:8080' }), /127\.0\.0\.1:8080 is given to two/)
  },
)

t.test('config: any text gives a configuration or CONFIG_INVALID', async (t) => {
  const all: Setting[] = Object.values(settings)
  fc.assert(
    fc.property(
      fc.constantFrom(...all),
      fc.oneof(
        fc.string(),
        fc.string({ unit: fc.constantFrom(...'0123456789.:[]msGiB '.split('')) }),
      ),
      (setting, text) => {
        try {
          load({ [setting.env]: text })
        } catch (error) {
          if (!(error instanceof BrokerError && error.code === 'CONFIG_INVALID')) throw error
        }
      },
    ),
    { numRuns: 2_000 },
  )
  t.equal(new Set(all.map(({ env }) => env)).size, all.length)
  t.equal(new Set(all.map(({ option }) => option)).size, all.length)
  for (const { env, unit, reason, consequence } of all)
    t.ok(unit && reason.endsWith('.') && consequence.endsWith('.'), `${env} is explained`)
})

t.test('metrics: counters, gauges and histograms as Prometheus reads them', async (t) => {
  const metrics = createMetrics({ withProcess: false })
  const accepted = metrics.counter('busbar_requests_total', 'Requests.', { outcome: 'accepted' })
  t.equal(metrics.counter('busbar_requests_total', 'Requests.', { outcome: 'accepted' }), accepted)
  metrics.counter('busbar_requests_total', 'Requests.', { outcome: 'ref"used\n' }).add(2)
  accepted.add()
  accepted.add(41)
  let awake = 1
  metrics.gauge('busbar_actors', 'Awake.', () => awake)
  metrics.gauge('busbar_actors', 'Awake.', () => 5)
  metrics.gauges('busbar_pending', 'Pending.', async () => [
    { labels: { party: 'A' }, value: awake },
    { labels: { party: 'B' }, value: 0 },
  ])
  await metrics.text()
  awake = 2
  const wait = metrics.histogram('busbar_wait_ms', 'Waits.', [1, 10])
  for (const value of [0, 1, 1.5, 10, 11, 1e9]) wait.observe(value)
  const text = await metrics.text()
  t.match(
    text,
    '# TYPE busbar_requests_total counter\nbusbar_requests_total{outcome="accepted"} 42\n',
  )
  t.match(text, 'busbar_requests_total{outcome="ref\\"used\\n"} 2\n')
  t.match(text, '# TYPE busbar_actors gauge\nbusbar_actors 7\n', 'read when it is collected')
  t.match(
    text,
    '# TYPE busbar_pending gauge\nbusbar_pending{party="A"} 2\nbusbar_pending{party="B"} 0\n',
  )
  t.match(
    text,
    [
      '# TYPE busbar_wait_ms histogram',
      'busbar_wait_ms_bucket{le="1"} 2',
      'busbar_wait_ms_bucket{le="10"} 4',
      'busbar_wait_ms_bucket{le="+Inf"} 6',
      'busbar_wait_ms_sum 1000000023.5',
      'busbar_wait_ms_count 6',
    ].join('\n'),
  )
  t.throws(() => metrics.gauge('busbar_requests_total', 'Requests.', () => 0), /in two ways/)
  t.throws(
    () => metrics.counter('busbar_requests_total', 'Requests.', { other: 'x' }),
    /in two ways/,
  )
  t.throws(() => metrics.counter('Busbar-Requests', 'Requests.'), /snake_case/)
  t.match(await createMetrics().text(), /process_resident_memory_bytes \d/)
})

t.test('metrics: a bucket counts what is at or under its bound', async () => {
  const bounds = [0.5, 1, 2, 4, 8]
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { maxLength: 50 }),
      async (values) => {
        const metrics = createMetrics({ withProcess: false })
        const histogram = metrics.histogram('h', 'h', bounds)
        for (const value of values) histogram.observe(value)
        const text = await metrics.text()
        return bounds.every((bound) =>
          text.includes(
            `h_bucket{le="${bound}"} ${values.filter((value) => value <= bound).length}\n`,
          ),
        )
      },
    ),
    { numRuns: 50 },
  )
})

type Answer = { status: number; body: string; type: string }

function ask(
  server: OpsServer,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  return new Promise((settle, refuse) => {
    const { body, ...others } = options
    const call = request(`${server.url}${path}`, others, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        settle({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString(),
          type: response.headers['content-type'] ?? '',
        })
      })
    })
    call.on('error', refuse)
    call.end(body)
  })
}

/** Lets everybody call whatever route there is. */
const openGate = (metrics: Metrics): OperatorGate =>
  new OperatorGate({
    operators: undefined,
    isLoopback: true,
    needOf: () => 'anybody',
    clock: systemClock,
    log: silentLog,
    metrics,
  })

t.test('ops server: metrics, health with reasons, routes of the broker', async (t) => {
  const metrics = createMetrics({ withProcess: false })
  metrics.counter('busbar_things_total', 'Things.').add(3)
  const faults: string[] = []
  const server = await startOpsServer({
    listen: { host: '127.0.0.1', port: 0 },
    metrics,
    log: { ...silentLog, error: (fields) => faults.push(String(fields['route'])) },
    gate: openGate(metrics),
    routes(app) {
      app.post('/v1/things', async (call) => ({ got: call.body }))
      app.get('/v1/refused', async () => {
        throw new BrokerError('DEVICE_UNKNOWN', 'such a one')
      })
      app.get('/v1/broken', async () => {
        throw new Error('with a secret in it')
      })
    },
  })
  t.teardown(() => server.close())
  t.ok(server.port > 0)

  const text = await ask(server, '/metrics')
  t.match(text, { status: 200, type: /text\/plain/, body: /^busbar_things_total 3$/m })
  t.same(JSON.parse((await ask(server, '/health/live')).body), { status: 'live' })
  t.match(await ask(server, '/health/ready'), { status: 200 })

  let reason: string | undefined = 'no lease yet'
  const takeAway = server.addCheck('partitions', () => reason)
  const unready = await ask(server, '/health/ready')
  t.equal(unready.status, 503)
  t.equal(unready.type, 'application/problem+json')
  t.match(JSON.parse(unready.body), {
    code: 'BROKER_UNREADY',
    reasons: ['partitions: no lease yet'],
    degraded: [],
  })
  t.equal((await ask(server, '/health/live')).status, 200, 'not ready is alive')
  reason = undefined
  t.equal((await ask(server, '/health/ready')).status, 200)
  reason = 'again'
  takeAway()
  t.same(server.reasons(), [])
  t.match(await metrics.text(), /^busbar_degraded 0$/m)
  const repaired = server.addDegradation('replicas', () => 'n3 is offline')
  const degraded = await ask(server, '/health/ready')
  t.equal(degraded.status, 200, 'it serves: a load balancer goes on sending it work')
  t.same(JSON.parse(degraded.body), {
    status: 'degraded',
    reasons: [],
    degraded: ['replicas: n3 is offline'],
  })
  t.match(await metrics.text(), /^busbar_degraded 1$/m)
  repaired()
  t.equal(JSON.parse((await ask(server, '/health/ready')).body).status, 'ready')

  const json = { 'content-type': 'application/json' }
  const posted = await ask(server, '/v1/things', { method: 'POST', headers: json, body: '{"a":1}' })
  t.same(JSON.parse(posted.body), { got: { a: 1 } })
  t.equal(
    (await ask(server, '/v1/things', { method: 'POST', headers: json, body: '{"a":' })).status,
    400,
  )
  t.equal(
    (
      await ask(server, '/v1/things', {
        method: 'POST',
        headers: { 'content-type': 'text/plain' },
        body: '{"a":1}',
      })
    ).status,
    415,
  )
  const large = { method: 'POST', headers: json, body: `"${'x'.repeat(5 * 1024 * 1024)}"` }
  t.equal((await ask(server, '/v1/things', large).catch(() => ({ status: 413 }))).status, 413)
  t.match(await ask(server, '/v1/refused'), { status: 404, body: /"code":"DEVICE_UNKNOWN"/ })
  const broken = await ask(server, '/v1/broken')
  t.equal(broken.status, 500)
  t.notMatch(broken.body, 'secret')
  t.same(faults, ['/v1/broken'])
  t.equal((await ask(server, '/nowhere')).status, 404)
  t.equal(
    (await ask(server, '/metrics', { headers: { host: 'evil.example' } })).status,
    421,
    'a name pointed at loopback is not us',
  )

  await t.rejects(
    startOpsServer({
      listen: { host: '127.0.0.1', port: server.port },
      metrics,
      log: silentLog,
      gate: openGate(metrics),
    }),
    { code: 'CONFIG_INVALID' },
  )
})

t.test('ops server: no page of another site reaches it, and errors are problems', async (t) => {
  const done: string[] = []
  const metrics = createMetrics({ withProcess: false })
  const server = await startOpsServer({
    listen: { host: '127.0.0.1', port: 0 },
    metrics,
    log: silentLog,
    site: { hosts: ['busbar.example'], origins: [] },
    gate: openGate(metrics),
    routes(app) {
      app.post('/v1/devices/:eui64/keys', async () => {
        done.push('keys')
        return {}
      })
    },
  })
  t.teardown(() => server.close())
  const path = '/v1/devices/00-DB-12-34-56-78-90-A0/keys'
  const cases: Array<[headers: Record<string, string>, body: string, status: number]> = [
    [{ host: 'evil.example' }, '', 421],
    [{ origin: 'http://evil.example' }, '', 403],
    [{ origin: 'null' }, '', 403],
    [{ 'sec-fetch-site': 'cross-site' }, '', 403],
    [{ 'content-type': 'text/plain' }, '', 415],
    [{ 'content-type': 'text/plain' }, '{}', 415],
    [{ 'content-type': 'application/x-www-form-urlencoded' }, 'a=b', 415],
    [{ 'content-type': 'multipart/form-data; boundary=x' }, '--x--', 415],
  ]
  for (const [headers, body, status] of cases) {
    const answer = await ask(server, path, { method: 'POST', headers, body })
    t.equal(answer.status, status, JSON.stringify(headers))
    t.equal(answer.type, 'application/problem+json')
  }
  t.same(done, [])
  for (const headers of [{}, { host: 'busbar.example' }, { origin: server.url }])
    t.equal((await ask(server, path, { method: 'POST', headers })).status, 200)
  t.equal(done.length, 3)
  for (const place of ['/metrics', '/health/live', '/health/ready'])
    t.match(await ask(server, place, { method: 'HEAD' }), { status: 200, body: '' }, place)
  t.match(await ask(server, '/metrics', { method: 'POST' }), { status: 405 })
})

t.test('log: one JSON object a line, above its level, secrets withheld', async (t) => {
  const lines: string[] = []
  const log = createLog('info', { write: (line: string) => void lines.push(line) })
  log.debug({ a: 1 }, 'not this')
  log.info({ device: '90-B3', count: 2, password: 'hunter2' }, 'this')
  log.error({ code: 'DEVICE_UNKNOWN' }, 'and this')
  t.equal(lines.length, 2)
  t.match(JSON.parse(lines[0]!), {
    level: 'info',
    device: '90-B3',
    count: 2,
    msg: 'this',
    time: /^\d{4}-.*Z$/,
  })
  t.notMatch(lines[0], 'hunter2')
  t.match(JSON.parse(lines[1]!), { level: 'error', code: 'DEVICE_UNKNOWN' })
})

t.test('the version in the code is the one of package.json', async (t) => {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  t.equal(version, (JSON.parse(text) as { version: string }).version)
})
