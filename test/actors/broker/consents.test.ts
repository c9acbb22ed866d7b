/**
 * Consents in a real broker: by commands and at the operators' door a third party may use a device,
 * and may not any more; one question leads from a RequestID to the evidence.
 */
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { busbarCode, ServiceRequest, SupplierClient } from '../../../actors/library/client.ts'
import { partyBroker } from '../../support/party-broker.ts'
import { polled } from '../../support/polled.ts'

const third = '90-B3-D5-1F-30-02-00-01'
const supplier = '90-B3-D5-1F-30-02-00-02'
const { start } = await partyBroker(t, [
  { eui64: third, name: 'Advice', role: 'OU' },
  { eui64: supplier, name: 'Power', role: 'IS', participant: 'POWR' },
])
let broker = await start()
t.teardown(() => broker.stop())

const device = '00-DB-12-34-56-00-00-01'
const point = 'mpan:1234567890126'
const evidence = 'ab'.repeat(32)
const dayMs = 86_400_000
const daysAgo = (days: number): Date => new Date(Date.now() - days * dayMs)

async function ask(method: string, path: string, body?: unknown): Promise<[number, any]> {
  // oxlint-disable-line typescript/no-explicit-any
  const response = await fetch(`http://${broker.opsAddress}${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  })
  return [response.status, await response.json()]
}

let counter = BigInt(Date.now()) * 1_000n
const lastRequestId = (party: string): string => `${party}:${device}:${counter}`

/** What a request of `party` is answered with; with `days` it reads that many days of a profile. */
async function codeOf(party: string, serviceReferenceVariant: string, days = 0): Promise<string> {
  const client = new SupplierClient({ address: broker.grpcAddress, credentials: { party } })
  const requestId = { originator: party, target: device, counter: ++counter }
  const body = {
    $case: 'readPeriod',
    value: { startTime: daysAgo(days), endTime: daysAgo(0) },
  } as const
  try {
    const request = { requestId, serviceReferenceVariant, ...(days > 0 && { body }) }
    return (await client.submit(ServiceRequest.fromPartial(request))).responseCode
  } catch (fault) {
    return busbarCode(fault) ?? String(fault)
  } finally {
    client.close()
  }
}
const codeWhen = (code: string, ...request: Parameters<typeof codeOf>): Promise<string> =>
  polled(
    () => codeOf(...request),
    (found) => found === code,
  )

const command = ['--disable-warning=ExperimentalWarning', resolve('actors/main.ts')]
const busbar = async (...words: string[]): Promise<string> => {
  const args = [...command, ...words, '--ops', broker.opsAddress]
  return (await promisify(execFile)(process.execPath, args)).stdout
}
const failing = (...words: string[]): Promise<string> =>
  busbar(...words).catch((fault: { stdout: string; stderr: string }) => fault.stdout + fault.stderr)
/** The RequestID of a request that was accepted by a consent. */
let accepted = ''
const access = (srv: string): Promise<string> =>
  failing('access', device, '--party', third, '--srv', srv)

const grant = (id: string, ...more: string[]): string[] => [
  ...['consents', 'grant', point, '--id', id, '--party', third],
  ...['--categories', 'consumption,tariff', '--granularity', 'half-hourly'],
  ...['--purpose', 'advice', '--evidence', evidence, ...more],
]

t.test('without a consent a third party gets nothing, and is told why', async (t) => {
  const address = { host: '127.0.0.1', port: 9, logicalDevice: 1, client: 16 }
  const entry = { eui64: device, type: 'ESME', address, meterPoints: [point] }
  t.equal((await ask('POST', '/v1/devices', [entry]))[0], 200)
  const items = [{ item: 'supplier', value: 'POWR', from: 20200101 }]
  await ask('POST', '/v1/meter-points', [{ meterPoint: point, by: 'ann', items }])
  t.equal(await codeWhen('I99', supplier, '11.2'), 'I99')
  t.equal(await codeOf(third, '11.2'), 'E4')
  t.match(
    await access('4.8.1'),
    /registration +failed +no consent; 4.8.1 needs a consent for consumption, half-hourly\n/,
  )
  t.match(await access('4.8.1'), /refused: CONSENT_MISSING\n$/)
  // 9.1, with which a third party sees that the people live there, is served by no device yet.
  t.match(
    await access('9.1'),
    /served +failed +9.1 is not served yet[^]*REQUEST_SRV_UNSUPPORTED\n$/,
  )
})

t.test('by a consent it may, as far back as the consent goes', async (t) => {
  const from = daysAgo(10).toISOString()
  t.match(await busbar(...grant('c1', '--from', from)), `consent c1 of ${point} granted\n`)
  t.match(await busbar(...grant('c1', '--from', from)), 'granted', 'once more')
  t.match(await failing(...grant('c1', '--from', daysAgo(9).toISOString())), 'CONSENT_ID_USED')
  t.match(await failing(...grant('c 2', '--from', from)), 'CONSENT_MALFORMED')
  t.equal(await codeWhen('I99', third, '4.8.1', 20), 'I99')
  accepted = lastRequestId(third)
  const shown = await busbar('consents', 'evidence', accepted)
  t.match(shown, new RegExp(`by the rights of ${point}, version \\d+\nwhat it asked for before`))
  t.match(shown, evidence)
  const [status, answer] = await ask('GET', `/v1/consents/evidence?request=${lastRequestId(third)}`)
  t.equal(status, 200)
  t.match(answer, { consentId: 'c1', consent: { id: 'c1', evidence, purpose: 'advice' } })
  t.equal(Date.parse(answer.readFrom), Date.parse(from) + 1000)
  t.match(await access('4.8.1'), /consent c1 of mpan:1234567890126, reads from [^]*granted\n$/)
  t.match(await busbar('rights', 'show', device), /c1 +90-B3[^]*consumption,tariff +half-hourly/)
  t.match(await busbar('rights', 'verify', device), 'the rights of 1 meter points are as they are')
  t.equal(await codeOf(third, '7.11'), 'E50', 'not served')
  await codeOf(supplier, '11.2')
  t.match(await failing('consents', 'evidence', lastRequestId(supplier)), 'GRANT_UNKNOWN')
  t.match(await failing('consents', 'evidence', 'x'), 'VIEW_QUERY_INVALID')
})

t.test('after a restart it is the same', async (t) => {
  const [, before] = await ask('GET', `/v1/meter-points/${point}/consents`)
  await broker.stop()
  broker = await start()
  t.same((await ask('GET', `/v1/meter-points/${point}/consents`))[1], before)
  t.match(await busbar('consents', 'evidence', accepted), evidence)
  t.equal(await codeOf(third, '4.8.1', 5), 'I99')
})

t.test('a consent that is withdrawn ends at once', async (t) => {
  const withdraw = ['consents', 'withdraw', point]
  t.match(await failing(...withdraw, 'c9', '--reason', 'asked'), 'CONSENT_UNKNOWN')
  t.match(await busbar(...withdraw, 'c1', '--reason', 'asked'), `consent c1 of ${point} withdrawn`)
  t.equal(await codeWhen('E4', third, '11.2'), 'E4')
  t.match(await busbar('consents', 'list', point), /c1 +90-B3[^]* withdrawn /)
  t.match(await busbar('consents', 'show', point, 'c1'), /withdrawn .* by .*: asked\n$/)
  t.match(await failing('consents', 'show', point, 'c9'), 'CONSENT_UNKNOWN')
})

t.test('another tenancy ends the consents from before', async (t) => {
  await busbar(...grant('c2', '--from', daysAgo(10).toISOString()))
  t.equal(await codeWhen('I99', third, '11.2'), 'I99')
  const moved = daysAgo(1).toISOString()
  t.match(await busbar('meter-points', 'tenancy', point, '--from', moved), 'a tenancy at')
  t.equal(await codeWhen('E4', third, '11.2'), 'E4')
  t.match(await busbar('consents', 'list', point), /c2 .* ended by tenancy /)
  const early = grant('c3', '--from', daysAgo(2).toISOString())
  t.match(await failing(...early), 'CONSENT_BEFORE_TENANCY')
  await busbar(...grant('c3', '--from', moved))
  t.equal(await codeWhen('I99', third, '4.8.1', 5), 'I99')
  t.match(
    await busbar('consents', 'evidence', lastRequestId(third)),
    `what it asked for before ${new Date(Date.parse(moved) + 1000).toISOString()} is left out`,
  )
  t.match(await failing('meter-points', 'tenancy', point, '--from', 'soon'), 'CONSENT_MALFORMED')
  t.match(await failing('consents', 'list', 'mprn:9'), 'METER_POINT_UNKNOWN')
})
