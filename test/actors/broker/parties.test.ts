/**
 * The directory in real brokers: the parties file comes into it once, operators change it at the
 * door, and every gateway and host goes by it without a restart.
 */
import fs, { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  startBroker,
  type BrokerOptions,
  type RunningBroker,
} from '../../../actors/library/index.ts'
import { busbarCode, ServiceRequest, SupplierClient } from '../../../actors/library/client.ts'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import type { Log } from '../../../core/ports/log.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { startTestNats } from '../../support/nats.ts'
import { polled } from '../../support/polled.ts'

const [first, second, third] = demoPartiesJson
const folder = mkdtempSync(join(tmpdir(), 'busbar-parties-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const file = join(folder, 'parties.json')
const nats = await startTestNats({ syncAlways: true })
t.teardown(() => nats.close())

const warnings: string[] = []
const log: Log = {
  ...silentLog,
  warn: (fields, text) => void warnings.push(`${text} ${JSON.stringify(fields)}`),
}
const start = (name: string, more: BrokerOptions = {}): Promise<RunningBroker> =>
  startBroker({
    grpc: '127.0.0.1:0',
    http: '127.0.0.1:0',
    ops: '127.0.0.1:0',
    partitions: 2,
    ledgerBytes: '64MiB',
    natsUrl: nats.url,
    dataDir: join(folder, name),
    parties: file,
    insecurePartyHeader: true,
    insecureOperators: true,
    log,
    ...more,
  })

type Answer = {
  status: number
  json: Record<string, unknown> & { parties?: Array<{ eui64: string }> }
}

async function ask(
  broker: RunningBroker,
  method: string,
  path: string,
  body?: object,
): Promise<Answer> {
  const response = await fetch(`http://${broker.opsAddress}/v1/parties${path}`, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: response.status, json: (await response.json()) as Answer['json'] }
}

/** What the gateway says to an empty request of `party`: E48 when it may ask at all. */
async function codeOf(broker: RunningBroker, party: string): Promise<string> {
  const client = new SupplierClient({ address: broker.grpcAddress, credentials: { party } })
  try {
    return (await client.submit(ServiceRequest.fromPartial({}))).responseCode
  } catch (fault) {
    return busbarCode(fault) ?? String(fault)
  } finally {
    client.close()
  }
}

const isInForce = ({ json }: Answer): boolean => json['isInForce'] === true
const by = 'ann@desk'

t.test('the parties of the file are in the directory, once', async (t) => {
  writeFileSync(file, JSON.stringify([first, second]))
  const { readFileSync } = fs
  let reads = 0
  fs.readFileSync = ((...given: Parameters<typeof readFileSync>) => {
    if (given[0] === file) reads++
    return readFileSync(...given)
  }) as typeof readFileSync
  syncBuiltinESMExports()
  const broker = await start('one')
  fs.readFileSync = readFileSync
  syncBuiltinESMExports()
  t.equal(reads, 1, 'the file is read once')
  t.teardown(() => broker.stop())
  await broker.ready
  const { json } = await polled(() => ask(broker, 'GET', ''), isInForce)
  t.match(json.parties, [
    { eui64: first!.eui64, role: 'IS', name: first!.name, status: 'active', changedBy: 'start' },
    { eui64: second!.eui64, role: 'ES' },
  ])
  t.equal(await codeOf(broker, first!.eui64), 'E48')
  t.equal(await codeOf(broker, third!.eui64), 'PARTY_UNKNOWN')
  await broker.stop()

  writeFileSync(file, JSON.stringify([first, { ...second, role: 'GS' }, third]))
  const again = await start('one')
  t.teardown(() => again.stop())
  await again.ready
  t.equal(
    await codeOf(again, third!.eui64),
    'PARTY_UNKNOWN',
    'a file that is changed later does not count',
  )
  const warning = await polled(
    () => warnings.find((line) => line.includes('the directory has these parties otherwise')),
    (line) => line !== undefined,
  )
  t.match(warning, `"parties":"${second!.eui64},${third!.eui64}"`)
  t.match(warnings.join('\n'), /no TLS: everybody on this machine can name any party/)
  await again.stop()
})

t.test('a change counts at once, at every gateway, for what is open too', async (t) => {
  const one = await start('one')
  t.teardown(() => one.stop())
  const two = await start('two', { roles: ['gateway'] })
  t.teardown(() => two.stop())
  await Promise.all([one.ready, two.ready])
  await polled(() => ask(two, 'GET', ''), isInForce)
  const party = first!.eui64
  const client = new SupplierClient({ address: two.grpcAddress, credentials: { party } })
  t.teardown(() => client.close())
  const receiving = client.receive(10, () => undefined)
  const streamed: string[] = []
  const stream = client.submitStream((list) => streamed.push(...list.map((a) => a.responseCode)))
  stream.send([ServiceRequest.fromPartial({})])
  await polled(
    () => streamed.length,
    (count) => count === 1,
  )

  const suspended = await ask(one, 'POST', `/${party}/suspend`, { by })
  t.match(suspended, { status: 200, json: { status: 'suspended', changedBy: by } })
  t.equal(await codeOf(one, party), 'PARTY_SUSPENDED', 'at the gateway that was told')
  const fault: unknown = await receiving.done.catch((error: unknown) => error)
  t.equal(busbarCode(fault), 'PARTY_SUSPENDED', 'its receiver at the other gateway is closed')
  const requestId = { originator: party, target: first!.eui64, counter: 1n }
  stream.send([ServiceRequest.fromPartial({ requestId, serviceReferenceVariant: '4.1.1' })])
  await polled(
    () => streamed.length,
    (count) => count === 2,
  )
  t.strictSame(streamed, ['E48', 'E3'], 'what it sends on an open stream is rejected')
  t.equal(await codeOf(two, party), 'PARTY_SUSPENDED')
  const headers = { 'x-busbar-party': party }
  const poll = await fetch(`http://${two.httpAddress}/v1/deliveries`, { headers })
  t.match([poll.status, await poll.json()], [403, { code: 'PARTY_SUSPENDED', responseCode: 'E3' }])

  t.match(await ask(two, 'POST', `/${party}/resume`, { by }), { json: { status: 'active' } })
  t.equal(await codeOf(two, party), 'E48')
  await polled(
    () => codeOf(one, party),
    (code) => code === 'E48',
  )

  const waiting = fetch(`http://${two.httpAddress}/v1/deliveries?waitMs=30000`, { headers })
  // The poll has the seat when another one finds it taken.
  const probe = `http://${two.httpAddress}/v1/deliveries?onlyIfFree=true`
  await polled(
    async () => (await fetch(probe, { headers })).status,
    (status) => status === 409,
  )
  t.match(await ask(one, 'DELETE', `/${party}?by=${by}`), { json: { status: 'removed' } })
  t.match(await (await waiting).json(), { code: 'PARTY_UNKNOWN' }, 'a long poll ends')
  await stream.end()
})

t.test('parties are added, changed, listed; a program brings its own at each start', async (t) => {
  const more = { parties: demoPartiesJson }
  const broker = await start('one', more)
  t.teardown(() => broker.stop())
  await broker.ready
  const isThere = ({ json }: Answer): boolean => (json.parties?.length ?? 0) >= 7
  const { json } = await polled(() => ask(broker, 'GET', ''), isThere)
  t.notOk(
    json.parties!.some(({ eui64 }) => eui64 === first!.eui64),
    'one that was removed stays so',
  )
  t.equal((await ask(broker, 'GET', '?all=true')).json.parties!.length, 8)
  const added = { eui64: '90b3d51f300a0000', role: 'IS', name: 'New', by }
  const expected = { eui64: '90-B3-D5-1F-30-0A-00-00', name: 'New', role: 'IS', status: 'active' }
  t.match(await ask(broker, 'POST', '', added), { status: 200, json: expected })
  t.match(await ask(broker, 'GET', '/90-B3-D5-1F-30-0A-00-00'), { json: expected })
  t.equal(await codeOf(broker, added.eui64), 'E48')
  t.match(await ask(broker, 'POST', '', { ...added, role: 'GS' }), { json: { role: 'GS' } })
})

t.test('what is wrong is said, with its code', async (t) => {
  const broker = await start('one')
  t.teardown(() => broker.stop())
  await broker.ready
  const party = second!.eui64
  const unknown = '90-B3-D5-1F-30-7F-00-00'
  const cases: Array<[string, string, object | undefined, string]> = [
    ['POST', '', { eui64: 'x', role: 'IS', name: 'n', by }, 'PARTY_RECORD_MALFORMED'],
    ['POST', '', { eui64: party, role: 'XX', name: 'n', by }, 'PARTY_RECORD_MALFORMED'],
    ['POST', '', { eui64: party, role: 'IS', name: 'n' }, 'PARTY_RECORD_MALFORMED'],
    ['POST', '', [], 'PARTY_RECORD_MALFORMED'],
    ['POST', '', { ...second, by, colour: 'red' }, 'PARTY_RECORD_MALFORMED'],
    ['POST', '', { ...second, by, revision: 7 }, 'PARTY_RECORD_MALFORMED'],
    ['POST', `/${party}/suspend`, { by, reason: 'debt' }, 'PARTY_RECORD_MALFORMED'],
    ['DELETE', `/${party}?by=x&reason=debt`, undefined, 'VIEW_QUERY_INVALID'],
    ['POST', `/${party}/suspend`, {}, 'PARTY_RECORD_MALFORMED'],
    ['POST', `/${unknown}/suspend`, { by }, 'PARTY_UNKNOWN'],
    ['DELETE', `/${unknown}?by=x`, undefined, 'PARTY_UNKNOWN'],
    ['DELETE', `/${party}`, undefined, 'PARTY_RECORD_MALFORMED'],
    ['GET', `/${unknown}`, undefined, 'PARTY_UNKNOWN'],
    ['GET', '?all=perhaps', undefined, 'VIEW_QUERY_INVALID'],
    ['GET', '?some=1', undefined, 'VIEW_QUERY_INVALID'],
  ]
  for (const [method, path, body, code] of cases)
    t.match((await ask(broker, method, path, body)).json, { code }, `${method} ${path}`)
  const { json } = await ask(broker, 'POST', `/${party}/suspend`, { by, reason: 'debt' })
  t.match(json['detail'], /reason is not a field here/)
  t.match((await ask(broker, 'GET', `/${party}`)).json, { status: 'active' }, 'nothing was changed')
})
