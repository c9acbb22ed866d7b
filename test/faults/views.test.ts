/**
 * Views as a process of their own beside a deployment that works: what they answer over HTTP and to
 * the commands is what a supplier was told, also when they are killed in the middle, and when their
 * rows are lost.
 */
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { clusterStatus, formatStatus } from '../../actors/cli/operator/cluster-status.ts'
import { inventoryCommand, usageCommand } from '../../actors/cli/operator/views-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import type { InventoryJson, UsageJson } from '../../actors/views/queries.ts'
import { Deployment, kill, type Listening } from '../support/deployment.ts'
import { supplierText } from '../support/envelopes.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'

const main = fileURLToPath(new URL('../../actors/main.ts', import.meta.url))
const busbar = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [main, ...args])
    return { code: 0, out: stdout, err: stderr }
  } catch (fault) {
    const { code, stdout, stderr } = fault as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}
type Answer = {
  rows: unknown[]
  next: string | null
  lagTicks: number
  missing: unknown[]
  code: string
  message: string
}

t.test('inventory and usage of a deployment', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(40)
  let views = await deployment.startHost('views', 'views')
  t.teardown(() => views.stop())
  const opsOf = (): string => (views.said['listening'] as Listening).ops
  const ask = async (path: string): Promise<{ status: number; answer: Answer }> => {
    const response = await fetch(`http://${opsOf()}${path}`)
    return { status: response.status, answer: (await response.json()) as Answer }
  }

  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const rounds = 12
  for (let round = 1; round <= rounds; round++) {
    await supplier.submit(devices.map(({ eui64 }) => supplier.request(eui64, round, '11.2')))
    if (round % 6 !== 0) continue
    // In the middle of counting, or of saving.
    await kill(views)
    views = await deployment.startHost('views', 'views')
  }
  const total = rounds * devices.length
  await supplier.until(() => supplier.delivered.size === total)

  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  t.teardown(() => operator.close())
  const caughtUp = async (): Promise<void> => {
    const { ledger, bus, partitionCount } = operator
    const status = await polled(
      async () => clusterStatus({ ledger, bus, cursors: await operator.cursors(), partitionCount }),
      ({ views: all }) => all.length === 1 && all[0]!.lag === 0,
    )
    t.match(formatStatus(status).join('\n'), /^views [a-z0-9]+ {2}lag 0 {2}as of 20/m)
  }
  const counts = async (): Promise<Record<string, number>> => {
    const { answer } = await ask(`/v1/usage?party=${supplierText}`)
    t.same(answer.missing, [])
    const byOutcome: Record<string, number> = {}
    for (const { outcome, count, serviceReferenceVariant } of answer.rows as UsageJson[]) {
      t.equal(serviceReferenceVariant, '11.2')
      byOutcome[outcome] = (byOutcome[outcome] ?? 0) + count
    }
    return byOutcome
  }
  await caughtUp()
  t.same(await counts(), { REQUEST_ACCEPTED: total, OK: total }, 'killed twice')

  // Searched in pages.
  const found: InventoryJson[] = []
  for (let after = ''; ;) {
    const { answer } = await ask(`/v1/inventory?type=ESME&outcome=I0&limit=7${after}`)
    found.push(...(answer.rows as InventoryJson[]))
    if (answer.next === null) break
    t.equal(answer.rows.length, 7)
    after = `&after=${answer.next}`
  }
  t.same(
    found.map(({ eui64 }) => eui64),
    devices.map(({ eui64 }) => eui64).sort(),
  )
  t.match(found[0], {
    type: 'ESME',
    address: { host: '127.0.0.1', client: Number },
    openRequests: 0,
    lastOutcome: { outcome: 'OK', code: 'I0', at: String },
  })
  t.ok(Date.parse(found[0]!.since!) <= Date.now())
  t.notMatch(JSON.stringify(found), /secret/)
  t.equal((await ask('/v1/inventory?outcome=E20')).answer.rows.length, 0)
  t.equal((await ask('/v1/inventory?open=1')).answer.rows.length, 0)
  const one = devices[3]!.eui64
  t.match((await ask(`/v1/inventory/${one}`)).answer, { eui64: one })
  t.equal((await ask(`/v1/inventory?eui64=${one}`)).answer.rows.length, 1)
  t.equal((await ask(`/v1/inventory?eui64=${one.slice(0, 8)}`)).answer.rows.length, 40)
  t.match((await ask(`/v1/devices/${one}`)).answer, { eui64: one })
  t.same(await ask('/v1/devices?limit=3'), await ask('/v1/inventory?limit=3'))
  const unknown = await ask('/v1/inventory/00-00-00-00-00-00-00-07')
  t.match(unknown, { status: 404, answer: { code: 'DEVICE_UNKNOWN' } })
  for (const [path, fault] of [
    ['/v1/inventory?type=TOASTER&limit=0', /type must be one of ESME.*limit must be/],
    ['/v1/inventory?limit=1001', /from 1 to 1000/],
    ['/v1/inventory?outcome=E999', /outcome must be a code/],
    ['/v1/inventory?after=x&colour=red', /after must be an EUI-64; colour is not a parameter/],
    ['/v1/inventory/seven', /no EUI-64/],
    ['/v1/usage?from=2026-02-30', /from must be a day/],
    ['/v1/usage?from=2026-11-02&to=2026-11-01', /to must be behind from/],
    ['/v1/usage?party=me&after=zz', /party must be an EUI-64; after must be/],
  ] as const) {
    const { status, answer } = await ask(path)
    t.match({ status, ...answer }, { status: 400, code: 'VIEW_QUERY_INVALID', detail: fault })
  }
  const twice = await ask('/v1/inventory?type=ESME&type=GSME')
  t.match(twice, { status: 400, answer: { code: 'REQUEST_HTTP_MALFORMED' } })

  // The commands.
  const listed = await busbar('inventory', '--ops', opsOf(), '--type', 'ESME', '--limit', '3')
  t.equal(listed.out.split('\n').length, 1 + 3 + 1 + 1)
  t.match(listed.out, /^device +type +address[\s\S]*ESME +127\.0\.0\.1[\s\S]* I0 OK [\s\S]*more: /)
  const devicesListed = await busbar('devices', 'list', '--ops', opsOf(), '--limit', '2')
  t.match(devicesListed, { code: 0, out: /^device +type +address[\s\S]*127\.0\.0\.1[\s\S]*more: / })
  const shown = await busbar('devices', 'show', one, '--ops', opsOf(), '--json')
  t.match(JSON.parse(shown.out), { devices: [{ eui64: one, type: 'ESME' }] })
  const without = deployment.listening.ops
  const missing = await busbar('devices', 'show', one, '--ops', without)
  t.match(missing, { code: 1, err: /^busbar: the process at .* has no views/ })
  for (const path of ['/v1/devices', `/v1/devices/${one}`]) {
    const response = await fetch(`http://${without}${path}`)
    const problem = { code: 'REQUEST_PATH_UNKNOWN', detail: /has no views/ }
    t.equal(response.status, 404)
    t.match(await response.json(), problem)
  }
  const wrong = await busbar('usage', '--ops', opsOf(), '--from', 'monday')
  t.match(wrong, { code: 1, err: /^busbar: VIEW_QUERY_INVALID.*from must be a day/ })
  const said: string[] = []
  const print = (line: string): void => void said.push(line)
  const inventory = (ops: string, isJson: boolean): Promise<void> =>
    inventoryCommand(ops, { eui64: one, query: {}, limit: 1 }, print, isJson)
  await inventory(opsOf(), true)
  t.match(JSON.parse(said.pop()!), { devices: [{ eui64: one, openRequests: 0 }], next: null })
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  await usageCommand(opsOf(), { from: yesterday }, print, false)
  t.match(said.join('\n'), new RegExp(`${supplierText} +11\\.2 +I99 REQUEST_ACCEPTED +\\d+`))
  await usageCommand(opsOf(), { to: yesterday }, print, true)
  t.same(JSON.parse(said.pop()!), { usage: [], missing: [], lagTicks: 0 })
  await t.rejects(inventory(deployment.listening.ops, false), /has no views/)
  await t.rejects(inventory('127.0.0.1:1', false), /nobody answers/)

  // The rows are lost: the same come back.
  const everything = async (): Promise<unknown> => [
    (await ask('/v1/inventory?limit=1000')).answer.rows,
    (await ask('/v1/usage?limit=1000')).answer.rows,
  ]
  const before = await everything()
  await views.stop()
  rmSync(join(deployment.dataDir, 'views', 'views'), { recursive: true })
  views = await deployment.startHost('views', 'views')
  await supplier.submit([supplier.request(one, rounds + 1, '11.2')])
  await supplier.until(() => supplier.delivered.size === total + 1)
  await caughtUp()
  t.same(await counts(), { REQUEST_ACCEPTED: total + 1, OK: total + 1 })
  const [devicesBefore] = before as [InventoryJson[]]
  const [devicesAfter] = (await everything()) as [InventoryJson[]]
  const others = (rows: InventoryJson[]): InventoryJson[] =>
    rows.filter(({ eui64 }) => eui64 !== one)
  t.same(others(devicesAfter), others(devicesBefore))
  t.equal(
    (await fetch(`http://${opsOf()}/metrics`).then((r) => r.text())).includes(
      'busbar_views_devices 40',
    ),
    true,
  )
  t.equal((await fetch(`http://${opsOf()}/health/ready`)).status, 200)
})
