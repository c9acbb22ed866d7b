/**
 * Meter points in a real broker: who is registered there may use the device that measures there,
 * from the moment on; the operators' door and commands show why.
 */
import { execFile, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t from 'tap'
import { busbarCode, ServiceRequest, SupplierClient } from '../../../actors/library/client.ts'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import { partyBroker } from '../../support/party-broker.ts'
import { polled } from '../../support/polled.ts'

const [importer] = demoPartiesJson
const losing = { ...importer!, participant: 'LOSE' }
const gaining = { ...importer!, eui64: '90-B3-D5-1F-30-01-00-77', name: 'B', participant: 'GAIN' }
const { folder, natsUrl, start } = await partyBroker(t, [losing, gaining])
let broker = await start()
t.teardown(() => broker.stop())

const device = '00-DB-12-34-56-00-00-01'
const point = 'mpan:1234567890126'

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

let counter = 0n

/** What a reading of registers is answered with when `party` asks for it. */
async function codeOf(party: string): Promise<string> {
  const client = new SupplierClient({ address: broker.grpcAddress, credentials: { party } })
  const requestId = {
    originator: party,
    target: device,
    counter: BigInt(Date.now()) * 1_000n + counter++,
  }
  try {
    const request = ServiceRequest.fromPartial({ requestId, serviceReferenceVariant: '4.1.1' })
    return (await client.submit(request)).responseCode
  } catch (fault) {
    return busbarCode(fault) ?? String(fault)
  } finally {
    client.close()
  }
}

const command = ['--disable-warning=ExperimentalWarning', resolve('actors/main.ts')]
const run = (...words: string[]): Promise<{ stdout: string }> =>
  promisify(execFile)(process.execPath, [...command, ...words])
const busbar = async (...words: string[]): Promise<string> =>
  (await run(...words, '--ops', broker.opsAddress)).stdout

t.test('a device names its meter point, and waits for its answer', async (t) => {
  const address = { host: '127.0.0.1', port: 9, logicalDevice: 1, client: 16 }
  const entry = { eui64: device, type: 'ESME', address, meterPoints: [point] }
  const [status, answer] = await ask('POST', '/v1/devices', [entry])
  t.equal(status, 200, JSON.stringify(answer))
  const rights = await polled(
    () => ask('GET', `/v1/devices/${device}/rights`),
    ([, { links }]) => links[0]?.version > 0,
  )
  t.same(rights[1].links, [{ meterPoint: point, version: 1, periods: [] }])
  t.equal(await codeOf(losing.eui64), 'E4')
})

t.test('who is registered may use it from then on, and nobody else', async (t) => {
  const items = [{ item: 'supplier', value: 'LOSE', from: 20200101 }]
  const [status, answer] = await ask('POST', '/v1/meter-points', [
    { meterPoint: point, by: 'ann', items },
    { meterPoint: 'mpan:1', by: 'ann', items },
    { meterPoint: point, by: 'ann', items: [{ ...items[0], value: 'x' }] },
  ])
  t.equal(status, 200)
  t.equal(answer.registered, 1)
  t.match(answer.refused, [
    { index: 1, code: 'REGISTRATION_MALFORMED', message: /a meter point is mpan:/ },
    { index: 2, code: 'REGISTRATION_MALFORMED', message: /market participant id/ },
  ])
  await polled(
    () => codeOf(losing.eui64),
    (code) => code === 'I99',
  )
  t.equal(await codeOf(gaining.eui64), 'E4')
})

t.test('a change of supplier, by a command; commands show who may', async (t) => {
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')
  t.match(
    await busbar('meter-points', 'register', point, '--supplier', 'GAIN', '--from', yesterday),
    `${point} registered`,
  )
  await polled(
    () => codeOf(gaining.eui64),
    (code) => code === 'I99',
  )
  t.equal(await codeOf(losing.eui64), 'E4')
  const shown = await busbar('meter-points', 'show', point)
  t.match(shown, /supplier +LOSE +20200101/)
  t.match(shown, new RegExp(`supplier +GAIN +${yesterday}`))
  t.match(shown, device)
  const may = (party: string): Promise<string> =>
    busbar('access', device, '--party', party, '--srv', '4.1.1').catch(
      (fault: { stdout: string }) => fault.stdout,
    )
  t.match(await may(gaining.eui64), /registration +passed +registered[^]*\ngranted\n$/)
  t.match(
    await may(losing.eui64),
    /type +passed[^]*registration +failed +not registered[^]*\nrefused: PARTY_NOT_REGISTERED\n$/,
  )
  t.match(await may('90-B3-D5-1F-30-01-00-99'), /party +failed[^]*\nrefused: PARTY_UNKNOWN\n$/)
  const rights = await busbar('rights', 'show', device)
  t.match(rights, /IS +LOSE +2020-01-01T00:00:00.000Z +\d/)
  t.match(rights, /IS +GAIN/)
  t.match(await busbar('rights', 'verify', device), /the rights of 1 meter points are as they are/)
  await t.rejects(busbar('meter-points', 'show', 'mprn:5'), { message: /METER_POINT_UNKNOWN/ })
  await t.rejects(busbar('rights', 'show', '00-DB-12-34-56-00-00-09'), {
    message: /DEVICE_UNKNOWN/,
  })
})

t.test('the ledger says who did what, and its chains hold', async (t) => {
  const args = [...command, 'ledger', 'tail', '--nats-url', natsUrl, '--from', '1']
  const tail = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => tail.kill())
  const wanted = [
    `${device}.* DEVICE_LINKED ${point}`,
    `${device}.* RIGHTS_RECEIVED of ${point}, version \\d`,
    `${point}.* METER_POINT_LINKED ${device} as its 1`,
    `${point}.* METER_POINT_REGISTERED supplier LOSE from 20200101, by "ann"`,
  ]
  for await (const line of createInterface({ input: tail.stdout })) {
    const index = wanted.findIndex((pattern) => new RegExp(pattern).test(line))
    if (index >= 0) wanted.splice(index, 1)
    if (wanted.length === 0) break
  }
  t.same(wanted, [])
  await run('ledger', 'verify', '--nats-url', natsUrl)
})

t.test('a device without meter points is open, and says so', async (t) => {
  const open = '00-DB-12-34-56-00-00-02'
  const address = { host: '127.0.0.1', port: 9, logicalDevice: 1, client: 16 }
  await ask('POST', '/v1/devices', [{ eui64: open, type: 'ESME', address }])
  const shown = await busbar('access', open, '--party', losing.eui64, '--srv', '4.1.1')
  t.match(shown, /registration +not asked +the device has no meter point[^]*\ngranted\n$/)
})

t.test('a device that is suspended takes little; its status is shown', async (t) => {
  t.match(await busbar('devices', 'status', device), `${device} Commissioned`)
  t.match(await busbar('devices', 'status', device, '--to', 'Suspended'), `${device} Suspended`)
  t.equal(await codeOf(gaining.eui64), 'E5')
  t.match(await busbar('rights', 'show', device), /status: Suspended/)
  await t.rejects(busbar('devices', 'status', device, '--to', 'Whitelisted'), {
    message: /DEVICE_STATUS_NOT_NEXT/,
  })
  const [status] = await ask('POST', `/v1/devices/${device}/status`, {
    status: 'Asleep',
    by: 'ann',
  })
  t.equal(status, 400)
  t.match(
    await busbar('devices', 'status', device, '--to', 'Commissioned'),
    `${device} Commissioned`,
  )
  t.equal(await codeOf(gaining.eui64), 'I99')
})

t.test('a registration file is loaded, and loaded again; its faults are answered', async (t) => {
  const file = join(folder, 'update.txt')
  const response = join(folder, 'response.txt')
  const lines = [
    'ZHV|F0000001|R0001001|P|EELC|Z|DCCX|20260105010203||||OPER|',
    'R01|1|',
    'R10|12|2000000000015||',
    'R11|GAIN|20250101||',
    'R12|DIST|20000101||',
    'R10|13|2000000000016||',
    'R11|GAIN|20250101||',
    'ZPT|F0000001|6||1|20260105010203|',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const load = (): Promise<string> => busbar('meter-points', 'load', file, '--response', response)
  for (const time of ['once', 'again']) {
    const printed = await load().catch((fault: { stdout: string }) => fault.stdout)
    t.match(
      printed,
      /update 1 of EELC: 1 records registered.*\n {2}line 6 {2}901: .*\n1 records rejected/,
      time,
    )
  }
  t.match(
    readFileSync(response, 'latin1'),
    /\n85H\|901\|\nR86\|6\|[^]*\n357\|2\|RGTO\|\d{8}\|F0000001\|2\|1\|1\|/,
  )
  const [, point] = await ask('GET', '/v1/meter-points/mpan:2000000000015')
  t.equal(point.version, 1, 'a file that was loaded before changes nothing')
  t.match(point.items, [
    { item: 'supplier', value: 'GAIN', from: 20250101 },
    { item: 'network-operator', value: 'DIST' },
  ])
  writeFileSync(file, `${lines.slice(0, 5).join('\n')}\n`)
  await t.rejects(load(), { message: /REGISTRATION_FILE_MALFORMED/ }, 'a file that is cut short')
})

t.test('after a restart it is the same', async (t) => {
  const [, before] = await ask('GET', `/v1/devices/${device}/rights`)
  t.equal(before.links[0].periods.length, 2)
  await broker.stop()
  broker = await start()
  t.same((await ask('GET', `/v1/devices/${device}/rights`))[1], before)
  t.equal(await codeOf(losing.eui64), 'E4')
  t.equal(await codeOf(gaining.eui64), 'I99')
  const [status, answer] = await ask('POST', `/v1/devices/${device}/rights/check?by=ann`)
  t.same([status, answer.differing], [200, []])
})
