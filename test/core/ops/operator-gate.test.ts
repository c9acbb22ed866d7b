/**
 * The operators' door with authentication: every route of a broker is in the table and closed to
 * callers without the role, failed attempts are counted, and the list may change while it serves.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { isRoleEnough, OperatorRole, operatorRoutes } from '../../../core/access/operator-rules.ts'
import { addConsentRoutes } from '../../../actors/broker/consent-door.ts'
import { addExplainRoutes, type Explainer } from '../../../actors/broker/explain-door.ts'
import { addSourceRoutes, type SourceDoorPorts } from '../../../actors/broker/source-door.ts'
import { addStatusFileRoute } from '../../../actors/broker/status-file-door.ts'
import { addThresholdRoutes } from '../../../actors/broker/threshold-door.ts'
import { addAccessRoutes } from '../../../actors/broker/access-door.ts'
import { addApprovalRoutes, TwoPersons } from '../../../actors/broker/approvals-door.ts'
import { addCounterRoutes } from '../../../actors/broker/counters-door.ts'
import { addDeviceRoutes } from '../../../actors/broker/device-door.ts'
import { addMeterPointRoutes } from '../../../actors/broker/meter-point-door.ts'
import { addScheduleRoutes } from '../../../actors/broker/schedule-door.ts'
import { addPartyRoutes } from '../../../actors/broker/party-door.ts'
import { addMissingViewsRoutes } from '../../../actors/broker/views-role.ts'
import { limits } from '../../../core/base/limits.ts'
import { loadConfig } from '../../../core/ops/config.ts'
import { createMetrics } from '../../../core/ops/metrics.ts'
import { operatorHeaders } from '../../../core/ops/operator-credentials.ts'
import { OperatorGate, operatorOf } from '../../../core/ops/operator-gate.ts'
import {
  developmentTokenPath,
  ensureDevelopmentOperator,
  issueToken,
  OperatorsWatch,
  operatorsFolderIn,
  readOperators,
  readToken,
  removeOperator,
} from '../../../core/ops/operators-folder.ts'
import { startOpsServer } from '../../../core/ops/server.ts'
import { silentLog, type Log } from '../../../core/ports/log.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'

type Said = { text: string; fields: object }

async function makeDoor(
  t: Test,
  { isLoopback = true, routes }: { isLoopback?: boolean; routes?: (app: FastifyInstance) => void },
) {
  const folder = t.testdir({})
  const tokens = new Map<string, string>()
  for (const role of OperatorRole) {
    const tokenFile = join(folder, `${role}.token`)
    issueToken(folder, { name: `a-${role}`, role, isRenewal: false, tokenFile }, systemRandom)
    tokens.set(role, readToken(tokenFile))
  }
  const said: Said[] = []
  const note = (fields: object, text: string): void => void said.push({ text, fields })
  const log: Log = { ...silentLog, warn: note, info: note, error: note }
  const clock = new SimClock(1_000_000)
  const watch = new OperatorsWatch(folder, { clock, log })
  const metrics = createMetrics({ withProcess: false })
  const operators = () => watch.current
  const gate = new OperatorGate({ operators, isLoopback, clock, log, metrics })
  const listen = { host: '127.0.0.1', port: 0 }
  const server = await startOpsServer({ listen, metrics, log, gate, ...(routes && { routes }) })
  t.teardown(async () => {
    watch.close()
    await server.close()
  })
  const call = async (method: string, path: string, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch(`${server.url}${path}`, { method, headers })
    const text = await response.text()
    const code = /"code":"(\w+)"/.exec(text)?.[1]
    return { status: response.status, code, challenge: response.headers.get('www-authenticate') }
  }
  return { call, clock, folder, metrics, said, tokens, watch }
}

/** Every route of a broker, with handlers that are not reached without the role. */
function addEveryRoute(app: FastifyInstance): void {
  const ports = {} as Parameters<typeof addCounterRoutes>[1]
  const reader = {} as Parameters<typeof addPartyRoutes>[2]
  const persons = new TwoPersons({ random: systemRandom } as never, true)
  addDeviceRoutes(app, ports, async () => ({ registered: 0, refused: [] }), persons)
  addApprovalRoutes(app, persons)
  addCounterRoutes(app, ports)
  addAccessRoutes(app, ports, reader, 0)
  addExplainRoutes(app, {} as Explainer)
  addSourceRoutes(app, {} as SourceDoorPorts)
  addStatusFileRoute(app, ports, undefined)
  addConsentRoutes(app, ports)
  addThresholdRoutes(app, ports, reader, persons)
  addMeterPointRoutes(app, ports)
  addScheduleRoutes(app, ports)
  addPartyRoutes(app, ports, reader, persons)
  addMissingViewsRoutes(app)
  persons.expectEvery()
}

t.test(
  'each route of a broker needs the role of the table, and no route is left out',
  async (t) => {
    const found = new Set<string>()
    const { call, clock, tokens } = await makeDoor(t, {
      routes(app) {
        app.addHook('onRoute', ({ method, url }) => {
          for (const one of [method].flat()) if (one !== 'HEAD') found.add(`${one} ${url}`)
        })
        addEveryRoute(app)
      },
    })
    const ofBroker = operatorRoutes.filter(({ path }) => path.startsWith('/v1/'))
    t.same(
      [...found].toSorted(),
      ofBroker.map(({ method, path }) => `${method} ${path}`).toSorted(),
      'the table has the routes of the broker, and no others',
    )
    for (const { method, path, need } of operatorRoutes) {
      const target = path.replaceAll(/:\w+/g, 'x')
      await t.test(`${method} ${path}`, async (t) => {
        clock.advanceBy(limits.operatorAttemptsMs)
        const { code, status, challenge } = await call(method, target)
        const isOpen = need.startsWith('anybody')
        t.equal(code === 'OPERATOR_CREDENTIALS_MISSING', !isOpen)
        if (!isOpen) t.same([status, challenge], [401, 'Bearer realm="busbar operators"'])
        for (const role of OperatorRole) {
          const answer = await call(method, target, tokens.get(role)!)
          const isRefused = !isOpen && !isRoleEnough(role, need as OperatorRole)
          t.equal(answer.code === 'OPERATOR_ROLE_INSUFFICIENT', isRefused, role)
          if (isRefused) t.equal(answer.status, 403)
          else t.notOk([401, 403].includes(answer.status), `${role}: ${answer.status}`)
        }
      })
    }
  },
)

t.test('a route that is not in the table stops the start', async (t) => {
  await t.rejects(
    makeDoor(t, { routes: (app) => void app.get('/v1/new', async () => ({})) }),
    /GET \/v1\/new is in operator-rules/,
  )
})

t.test('beyond loopback metrics need a viewer; health never does', async (t) => {
  const { call, tokens } = await makeDoor(t, { isLoopback: false })
  t.equal((await call('GET', '/metrics')).code, 'OPERATOR_CREDENTIALS_MISSING')
  t.equal((await call('GET', '/metrics', tokens.get('viewer'))).status, 200)
  t.equal((await call('GET', '/health/ready')).status, 200)
})

t.test('failed attempts are logged and counted, so many one by one', async (t) => {
  const { call, clock, metrics, said, tokens } = await makeDoor(t, { routes: addEveryRoute })
  const codes: Array<string | undefined> = []
  for (let attempt = 0; attempt < limits.operatorAttemptsMax + 3; attempt++)
    codes.push((await call('GET', '/v1/parties', 'x'.repeat(43))).code)
  t.equal(
    codes.filter((code) => code === 'OPERATOR_CREDENTIALS_UNKNOWN').length,
    limits.operatorAttemptsMax,
  )
  t.same(codes.slice(-3), Array<string>(3).fill('OPERATOR_ATTEMPTS_EXCEEDED'))
  const refusals = said.filter(({ text }) => text.includes('was refused'))
  t.equal(refusals.length, limits.operatorAttemptsMax, 'no line for those above')
  t.match(refusals[0]?.fields, { address: /127\.0\.0\.1/, act: 'GET /v1/parties' })
  t.notMatch(JSON.stringify(said), 'xxxxxxxx', 'no token is logged')
  t.match(
    await metrics.text(),
    /busbar_operator_calls_refused_total\{code="OPERATOR_ATTEMPTS_EXCEEDED"\} 3/,
  )
  const good = await call('DELETE', '/v1/devices/x', tokens.get('security-officer'))
  t.equal(good.code, 'DEVICE_UNKNOWN', 'valid credentials pass all the same')
  clock.advanceTo(clock.now() + limits.operatorAttemptsMs + 1)
  t.equal((await call('GET', '/v1/parties', 'y')).code, 'OPERATOR_CREDENTIALS_UNKNOWN')
})

t.test('each act is logged with who did it, and a look is not', async (t) => {
  const { call, said, tokens } = await makeDoor(t, {
    routes(app) {
      addEveryRoute(app)
    },
  })
  const path = '/v1/devices/00-DB-12-34-56-78-90-A0/status'
  await call('POST', path, tokens.get('operator'))
  await call('GET', '/v1/parties', tokens.get('viewer'))
  const acts = said.filter(({ text }) => text === 'an operator acted')
  t.match(acts, [
    {
      fields: {
        operator: 'a-operator',
        act: 'POST /v1/devices/:eui64/status',
        of: '00-DB-12-34-56-78-90-A0',
      },
    },
  ])
  t.equal(acts.length, 1)
})

t.test('the list counts as it is now; one that is faulty changes nothing', async (t) => {
  const { call, clock, folder, tokens, watch } = await makeDoor(t, { routes: addEveryRoute })
  const ask = async () =>
    (await call('DELETE', '/v1/devices/x', tokens.get('security-officer'))).code
  const look = () => clock.advanceTo(clock.now() + limits.certificateLookMs)
  const before = readFileSync(join(folder, 'operators'), 'utf8')
  t.equal(await ask(), 'DEVICE_UNKNOWN')
  removeOperator(folder, 'a-security-officer')
  look()
  t.equal(await ask(), 'OPERATOR_CREDENTIALS_UNKNOWN')
  writeFileSync(join(folder, 'operators'), `${before}\nnonsense`)
  look()
  t.match(watch.trouble, /line \d+ is not NAME ROLE HASH/)
  t.equal(await ask(), 'OPERATOR_CREDENTIALS_UNKNOWN')
  writeFileSync(join(folder, 'operators'), before)
  look()
  t.equal(watch.trouble, undefined)
  t.equal(await ask(), 'DEVICE_UNKNOWN')
})

t.test('files: private, the hash alone in the list, no name twice', async (t) => {
  const folder = join(t.testdir({}), 'new')
  const tokenFile = join(folder, 'ann.token')
  const wanted = { name: 'ann', role: 'viewer', isRenewal: false, tokenFile } as const
  issueToken(folder, wanted, systemRandom)
  const token = readToken(tokenFile)
  t.match(token, /^[\w-]{43}$/)
  t.notMatch(readFileSync(join(folder, 'operators'), 'utf8'), token)
  for (const name of ['operators', 'ann.token'])
    t.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name)
  t.throws(() => issueToken(folder, wanted, systemRandom), { code: 'OPERATOR_NAME_TAKEN' })
  t.equal(readToken(tokenFile), token, 'nothing was overwritten')
  issueToken(folder, { ...wanted, isRenewal: true }, systemRandom)
  t.not(readToken(tokenFile), token)
  t.equal(readOperators(folder).size, 1)
  t.throws(() => removeOperator(folder, 'bob'), { code: 'OPERATOR_UNKNOWN' })
  t.throws(() => readOperators(join(folder, 'nowhere')), { code: 'OPERATORS_FILE_INVALID' })
})

t.test('for development: made once, and found by commands on this machine alone', async (t) => {
  const dataDir = t.testdir({})
  t.ok(ensureDevelopmentOperator(operatorsFolderIn(dataDir), systemRandom))
  t.notOk(ensureDevelopmentOperator(operatorsFolderIn(dataDir), systemRandom))
  const path = developmentTokenPath(dataDir)
  const bearer = { authorization: `Bearer ${readToken(path)}` }
  t.same(operatorHeaders('127.0.0.1', { BUSBAR_DATA_DIR: dataDir }), bearer)
  t.same(operatorHeaders('localhost', { BUSBAR_DATA_DIR: 'x', BUSBAR_JOIN: dataDir }), bearer)
  t.same(operatorHeaders('busbar.example', { BUSBAR_DATA_DIR: dataDir }), {})
  t.same(operatorHeaders('127.0.0.1', { BUSBAR_DATA_DIR: join(dataDir, 'none') }), {})
  t.same(operatorHeaders('busbar.example', { BUSBAR_OPERATOR_TOKEN_FILE: path }), bearer)
  t.throws(() => operatorHeaders('127.0.0.1', { BUSBAR_OPERATOR_TOKEN_FILE: `${path}x` }), {
    code: 'OPERATORS_FILE_INVALID',
  })
  t.throws(() => operatorOf({ operator: undefined } as never), {
    code: 'OPERATOR_CREDENTIALS_MISSING',
  })
})

t.test('settings: a door that others reach has operators of its own', async (t) => {
  const configOf = (env: Record<string, string>) => loadConfig({ env, workingDir: '/busbar' })
  const wide = { BUSBAR_OPS: '0.0.0.0:7' }
  const fault = { code: 'CONFIG_INVALID', message: /operators token/ }
  t.throws(() => configOf(wide), fault)
  t.throws(() => configOf({ ...wide, BUSBAR_INSECURE_OPERATORS: 'true' }), fault)
  t.same(configOf({ ...wide, BUSBAR_OPERATORS: 'people' }).operators, {
    folder: '/busbar/people',
    isDevelopment: false,
  })
  t.same(configOf({ BUSBAR_JOIN: 'first', BUSBAR_DATA_DIR: 'second' }).operators, {
    folder: '/busbar/first/operators',
    isDevelopment: true,
  })
  t.equal(configOf({ BUSBAR_INSECURE_OPERATORS: 'true' }).operators, undefined)
})
