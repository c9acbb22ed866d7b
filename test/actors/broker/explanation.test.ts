/**
 * A request explained from the ledger of a real broker, accepted or rejected, to operators and to
 * its party; rejections by the page; and through kill -9.
 */
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ServiceRequest, SupplierClient } from '../../../actors/library/client.ts'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import { limits } from '../../../core/base/limits.ts'
import { partyBroker } from '../../support/party-broker.ts'
import { polled } from '../../support/polled.ts'

const [importer] = demoPartiesJson
const losing = { ...importer!, participant: 'LOSE' }
const gaining = { ...importer!, eui64: '90-B3-D5-1F-30-01-00-77', name: 'B', participant: 'GAIN' }
const { natsUrl, start } = await partyBroker(t, [losing, gaining])
let broker = await start()
t.teardown(() => broker.stop())

const device = '00-DB-12-34-56-00-00-01'
const point = 'mpan:1234567890126'
type Json = any // oxlint-disable-line typescript/no-explicit-any

async function call(address: string, method: string, path: string, body?: unknown, party?: string) {
  const response = await fetch(`http://${address}${path}`, {
    method,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(party !== undefined && { 'x-busbar-party': party }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return [response.status, await response.json()] as [number, Json]
}
const ask = (method: string, path: string, body?: unknown): Promise<[number, Json]> =>
  call(broker.opsAddress, method, path, body)

const explained = (id: string): Promise<[number, Json]> =>
  ask('GET', `/v1/requests/${encodeURIComponent(id)}/explanation`)

let count = 0n
const nameOf = (party: string, target = device): string =>
  `${party}:${target}:${BigInt(Date.now()) * 1_000_000n + count++}`

/** Submits a reading of registers under this RequestID; the code of the answer. */
async function submit(id: string, srv = '4.1.1', party = id.split(':')[0]!): Promise<string> {
  const [originator, target, counter] = id.split(':')
  const [, answer] = await call(
    broker.httpAddress,
    'POST',
    '/v1/service-requests',
    { requestId: { originator, target, counter }, serviceReferenceVariant: srv },
    party,
  )
  return answer.responseCode
}

const checkOf = ({ decisions }: Json, id: string, index = 0): Json =>
  decisions[index].checks.find((one: Json) => one.id === id)

const command = ['--disable-warning=ExperimentalWarning', resolve('actors/main.ts')]
const run = async (...words: string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, [...command, ...words])).stdout
const busbar = (...words: string[]): Promise<string> => run(...words, '--ops', broker.opsAddress)

const accepted = nameOf(losing.eui64)
const refused = nameOf(gaining.eui64)
const atGateway = nameOf(losing.eui64)

t.test('accepted: each check with its fact and place', async (t) => {
  const address = { host: '127.0.0.1', port: 9, logicalDevice: 1, client: 16 }
  await ask('POST', '/v1/devices', [{ eui64: device, type: 'ESME', address, meterPoints: [point] }])
  const items = [{ item: 'supplier', value: 'LOSE', from: 20200101 }]
  await ask('POST', '/v1/meter-points', [
    { meterPoint: point, by: 'file', source: 'MPAS1', sequence: 12, instruction: 17, items },
  ])
  await polled(
    () => ask('GET', `/v1/devices/${device}/rights`),
    ([, { links }]) => links[0]?.periods.length > 0,
  )
  t.equal(await submit(accepted), 'I99')
  const [status, answer] = await explained(accepted)
  t.equal(status, 200)
  t.match(answer.decisions, [{ result: 'accepted', decidedBy: 'device', sentBy: losing.eui64 }])
  const registration = checkOf(answer, 'registration')
  t.match(registration, {
    result: 'passed',
    ground:
      /^registered supplier of mpan:1234567890126 since 2020-01-01 by file 12 of source MPAS1, record 17 \(ledger position \d+\)$/,
  })
  const positions = registration.facts.map((fact: Json) => fact.ledgerPosition)
  t.equal(positions.length, 3, 'the registration, the link, the rights')
  t.ok(positions.every((one: number) => one < answer.decisions[0].ledgerPosition))
  t.match(checkOf(answer, 'roleSrv'), { result: 'passed', facts: [{ what: /active, IS/ }] })
  t.match(checkOf(answer, 'type'), { facts: [{ what: 'the device is registered as ESME' }] })
  t.match(checkOf(answer, 'body'), { result: 'passed' })
})

t.test('rejected by the device, and by a gateway', async (t) => {
  t.equal(await submit(refused), 'E4')
  const [, answer] = await explained(refused)
  t.match(answer.decisions, [
    { result: 'rejected', code: 'PARTY_NOT_REGISTERED', decidedBy: 'device' },
  ])
  t.match(answer.decisions[0].contentHash, /^[0-9a-f]{32}$/)
  t.match(checkOf(answer, 'registration'), {
    result: 'failed',
    ground:
      /IS with the participant GAIN was not registered at mpan:.*supplier of mpan:.* was LOSE/,
  })
  t.match(checkOf(answer, 'capacity'), { result: 'not asked' })
  t.match(checkOf(answer, 'device'), { result: 'passed' })
  t.equal(await submit(atGateway, '6.5'), 'E2', 'a variant of other roles')
  const [, early] = await polled(
    () => explained(atGateway),
    ([status, found]) => status === 200 && found.decisions.length > 0,
  )
  t.match(early.decisions, [{ code: 'PARTY_ROLE_INELIGIBLE', decidedBy: 'gateway' }])
  t.match(checkOf(early, 'roleSrv'), { result: 'failed', ground: /the role is IS/ })
  t.match(checkOf(early, 'party'), { result: 'passed' })
  t.match(checkOf(early, 'registration'), { result: 'not asked', ground: /device was not asked/ })
})

t.test('a party sees its own requests, and nothing of others', async (t) => {
  const own = (id: string, party: string): Promise<[number, Json]> =>
    polled(
      () =>
        call(
          broker.httpAddress,
          'GET',
          `/v1/service-requests/${encodeURIComponent(id)}/explanation`,
          undefined,
          party,
        ),
      ([, { code }]) => code !== 'LEDGER_READERS_BUSY',
    )
  const [status, answer] = await own(refused, gaining.eui64)
  t.equal(status, 200)
  t.match(checkOf(answer, 'registration'), { ground: /was not registered/ })
  t.notMatch(JSON.stringify(answer), /LOSE/, 'who else is registered is not shown')
  const [forbidden, problem] = await own(refused, losing.eui64)
  t.equal(forbidden, 403)
  t.equal(problem.code, 'PARTY_ORIGINATOR_MISMATCH')
  const again = await call(
    broker.httpAddress,
    'GET',
    `/v1/service-requests/${encodeURIComponent(refused)}/explanation`,
    undefined,
    gaining.eui64,
  )
  t.match(again, [429, { code: 'LEDGER_READERS_BUSY' }], 'one in a while')
  const foreign = nameOf(losing.eui64)
  t.equal(await submit(foreign, '4.1.1', gaining.eui64), 'E1', 'in the name of another party')
  const [, seen] = await polled(
    () => explained(foreign),
    ([code, found]) => code === 200 && found.decisions.length > 0,
  )
  t.match(seen.decisions, [{ code: 'PARTY_ORIGINATOR_MISMATCH', sentBy: gaining.eui64 }])
  const [hidden] = await own(foreign, losing.eui64)
  t.equal(hidden, 404)
})

t.test('by the page, and above the rate in counts', async (t) => {
  for (let i = 0; i < 3; i++) t.equal(await submit(nameOf(gaining.eui64)), 'E4')
  const [, all] = await ask('GET', '/v1/rejections?code=PARTY_NOT_REGISTERED')
  t.equal(all.rejections.length, 4)
  const found: string[] = []
  let after: string | undefined
  do {
    const page = after === undefined ? '' : `&after=${after}`
    const [, answer] = await ask('GET', `/v1/rejections?party=${gaining.eui64}&limit=2${page}`)
    found.push(...answer.rejections.map((one: Json) => one.place))
    after = answer.next
  } while (after !== undefined)
  t.equal(found.length, 5)
  t.equal(new Set(found).size, 5)
  const many = limits.rejectionsPerSecondMax * 3
  const requests = Array.from({ length: many }, () => {
    const [originator, target, counter] = nameOf(gaining.eui64).split(':')
    return { requestId: { originator, target, counter }, serviceReferenceVariant: '4.1.1' }
  })
  await call(broker.httpAddress, 'POST', '/v1/service-requests', { requests }, gaining.eui64)
  const [, one] = await ask('GET', '/v1/rejections?code=PARTY_NOT_REGISTERED&limit=1000')
  t.ok(one.rejections.length < 4 + many, `${one.rejections.length} one by one`)
  t.ok(one.rejections.length >= 4 + limits.rejectionsPerSecondMax - 4)
  const [bad, why] = await ask('GET', '/v1/rejections?limit=0')
  t.same([bad, why.code], [400, 'VIEW_QUERY_INVALID'])
  const [none, notFound] = await explained(nameOf(losing.eui64, '00-DB-12-34-56-00-00-99'))
  t.same([none, notFound.code], [404, 'REQUEST_NOT_FOUND'])
  const [malformed, reason] = await explained('nonsense')
  t.same([malformed, reason.code], [400, 'REQUEST_ID_MALFORMED'])
})

t.test('callers that nobody knows are counted only', async (t) => {
  const stranger = '00-00-00-00-00-00-00-42'
  const [status] = await call(broker.httpAddress, 'GET', '/v1/deliveries', undefined, stranger)
  t.equal(status, 403)
  const client = new SupplierClient({
    address: broker.grpcAddress,
    credentials: { party: stranger },
  })
  t.teardown(() => client.close())
  const request = ServiceRequest.fromPartial({ serviceReferenceVariant: '4.1.1' })
  await t.rejects(client.submit(request))
})

t.test('a stop reports what was counted; afterwards all is as it was', async (t) => {
  const [, before] = await explained(refused)
  await broker.stop()
  broker = await start()
  const [, after] = await explained(refused)
  t.same(after.decisions, before.decisions)
  t.match(after.counted, [{ code: 'PARTY_NOT_REGISTERED' }])
  const [, counted] = await ask('GET', `/v1/rejections?party=${gaining.eui64}&limit=1000`)
  const sum = counted.rejections.reduce((total: number, one: Json) => total + (one.count ?? 1), 0)
  t.equal(sum, 5 + limits.rejectionsPerSecondMax * 3, 'counts and records add up')
  const [, { rejections }] = await ask('GET', '/v1/rejections?code=PARTY_UNKNOWN')
  t.match(rejections, [{ count: 2, addressFamily: 'ipv4' }])
  t.notOk('party' in rejections[0])
})

t.test('the commands', async (t) => {
  const shown = await busbar('explain', refused)
  t.match(shown, /rejected with PARTY_NOT_REGISTERED/)
  t.match(shown, /registration +failed +IS with the participant GAIN was not registered/)
  t.match(shown, /rights of mpan:1234567890126, version \d+ \(ledger position \d+\)/)
  t.match(JSON.parse(await busbar('explain', accepted, '--json')).decisions, [
    { result: 'accepted' },
  ])
  const only = await busbar('explain', nameOf(gaining.eui64))
  t.match(only, /no record of this request by itself[^]*PARTY_NOT_REGISTERED +\d+ times/)
  t.match(await busbar('rejections', 'list', '--limit', '2'), /^position[^]*more: --after \d+\.\d+/)
  t.match(await busbar('rejections', 'list', '--code', 'DEVICE_TYPE_UNFIT'), /^no rejections/)
  const exported = await run('audit', 'export', '--nats-url', natsUrl, '--meter-point', point)
  const lines = exported.trim().split('\n')
  t.match(JSON.parse(lines.at(-1)!), { export: { faults: [], isWhole: true } })
  t.ok(lines.some((line) => /METER_POINT_REGISTERED supplier LOSE/.test(line)))
})

t.test('the supplier of the export alone is told that this does not entitle it', async (t) => {
  const other = '00-DB-12-34-56-00-00-02'
  const [imported, exported] = ['mpan:1234567890205', 'mpan:1234567890302']
  const address = { host: '127.0.0.1', port: 9, logicalDevice: 1, client: 16 }
  const meterPoints = [imported, exported]
  await ask('POST', '/v1/devices', [{ eui64: other, type: 'ESME', address, meterPoints }])
  const from = 20200101
  const direction = { item: 'direction', value: 'E', from }
  const [, registered] = await ask('POST', '/v1/meter-points', [
    { meterPoint: imported, by: 'hand', items: [{ item: 'supplier', value: 'LOSE', from }] },
    {
      meterPoint: exported,
      by: 'hand',
      items: [direction, { item: 'supplier', value: 'GAIN', from }],
    },
  ])
  t.equal(registered.refused?.length ?? 0, 0, JSON.stringify(registered))
  await polled(
    () => ask('GET', `/v1/devices/${other}/rights`),
    ([, { links }]) => links.every(({ periods }: Json) => periods.length > 0),
  )
  const id = nameOf(gaining.eui64, other)
  t.equal(await submit(id), 'E4')
  const [, answer] = await explained(id)
  t.match(checkOf(answer, 'registration'), {
    result: 'failed',
    ground: /^registered supplier of the export of .*, which does not entitle to this request$/,
  })
})
