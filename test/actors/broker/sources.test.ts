/**
 * Registration files in a real broker, by commands and at the operators' door: gaps, repeats, a
 * refresh that changes too much, two loads at once, and files that are not whole.
 */
import { execFile } from 'node:child_process'
import { appendFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { SourceJson, SourcesJson, UploadAnswer } from '../../../actors/broker/source-door.ts'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import { partyBroker } from '../../support/party-broker.ts'
import { polled } from '../../support/polled.ts'
import {
  electricityFile,
  mpanOf,
  suppliersOf,
  type TestFile,
} from '../../support/registration-files.ts'

const watchedIn = (folder: string): string => join(folder, 'watched')
const { folder, start } = await partyBroker(t, demoPartiesJson, (folder) => ({
  ledgerBytes: '256MiB',
  roles: ['gateway', 'host', 'wan', 'views'],
  registrationFiles: watchedIn(folder),
}))
const watched = watchedIn(folder)
let broker = await start()
t.teardown(() => broker.stop())

const door = (path: string): string => `http://${broker.opsAddress}${path}`
const get = async <T>(path: string): Promise<T> => (await fetch(door(path))).json() as Promise<T>
const show = (source = 'electricity:EELC'): Promise<SourceJson> => get(`/v1/sources/${source}`)

type Answer = UploadAnswer & { code?: string; detail?: string; response?: string }

async function upload(file: TestFile | string, type = 'application/octet-stream'): Promise<Answer> {
  const response = await fetch(door('/v1/registration-files'), {
    method: 'POST',
    headers: { 'content-type': type },
    body: typeof file === 'string' ? file : electricityFile(file),
  })
  return (await response.json()) as Answer
}

/** Settles when files through `sequence` have been taken. */
const taken = (sequence: number, source?: string): Promise<SourceJson> =>
  polled(
    () => show(source),
    (found) => found.taken >= sequence && found.open === undefined,
  )

async function supplierOf(number: number): Promise<string | undefined> {
  const { items } = await get<{ items?: Array<{ value: string }> }>(
    `/v1/meter-points/mpan:${mpanOf(number)}`,
  )
  return items?.at(-1)?.value
}

type Run = { stdout: string; stderr: string; code: number }
const command = ['--disable-warning=ExperimentalWarning', resolve('actors/main.ts')]
async function busbar(...words: string[]): Promise<Run> {
  const args = [...command, ...words, '--ops', broker.opsAddress]
  try {
    return { ...(await promisify(execFile)(process.execPath, args)), code: 0 }
  } catch (fault) {
    return fault as Run
  }
}

t.test('files are applied in sequence; a gap holds what is behind it', async (t) => {
  t.match(await upload({ sequence: 1, suppliers: suppliersOf(0, 3, 'AAAA') }), {
    source: 'electricity:EELC',
    kind: 'update',
    sequence: 1,
    records: 3,
  })
  await taken(1)
  t.equal(await supplierOf(2), 'AAAA')
  const third = { sequence: 3, suppliers: suppliersOf(0, 1, 'CCCC') }
  t.match(await upload(third), { state: 'held', missing: 2 })
  t.match(await upload(third), { state: 'held', missing: 2 }, 'a repeat')
  t.match(await upload({ ...third, suppliers: suppliersOf(0, 1, 'DDDD') }), {
    code: 'SOURCE_FILE_DIFFERENT',
  })
  t.equal(await supplierOf(0), 'AAAA')
  t.match(await show(), { taken: 1, missing: 2, held: [{ sequence: 3 }] })
  await upload({ sequence: 2, suppliers: suppliersOf(0, 1, 'BBBB') })
  const { ended, meterPoints } = await taken(3)
  t.match(ended, [{ sequence: 3 }, { sequence: 2 }, { sequence: 1 }])
  t.match(ended[2], {
    outcome: 'applied',
    progress: { done: 3, rejected: 0, changed: 0, added: 3 },
  })
  t.equal(meterPoints, 3)
  t.equal(await supplierOf(0), 'CCCC')
  t.match(await upload(third), { state: 'repeat' }, 'after it was taken')
  const files = readdirSync(join(folder, 'data', 'registration-files'))
  t.same(
    files.filter((name) => /\.(file|json|part)$/.test(name)),
    [],
    'files that were applied are not kept',
  )
})

t.test('an operator goes on without what is missing', async (t) => {
  const file = join(folder, 'six.txt')
  writeFileSync(file, electricityFile({ sequence: 6, suppliers: suppliersOf(5, 1, 'FFFF') }))
  const held = await busbar('meter-points', 'load', file)
  t.equal(held.code, 3)
  t.match(held.stdout, /update 6 of EELC: held, file 4 is missing/)
  t.match((await busbar('sources', 'list')).stdout, /electricity:EELC +3 +1 +\d+ /)
  t.match(
    (await busbar('sources', 'show', 'electricity:EELC')).stdout,
    /update 6 held, 1 records\nfile 4 is missing/,
  )
  t.match(
    (await busbar('sources', 'release', 'electricity:EELC', '--through', '6')).stderr,
    /SOURCE_FILE_NOT_WAITING/,
  )
  t.match((await busbar('sources', 'release', 'electricity:EELC')).stdout, /taken through 5/)
  await taken(6)
  t.equal(await supplierOf(5), 'FFFF')
  const again = await busbar('meter-points', 'load', file)
  t.equal(again.code, 0)
  t.match(again.stdout, /1 records registered, 0 meter points changed, 1 new; it was taken before/)
})

t.test('a refresh that changes too much waits for an operator, who sees the share', async (t) => {
  const source = 'GRID'
  const first = { sequence: 5, source, isRefresh: true, suppliers: suppliersOf(100, 40, 'AAAA') }
  await upload(first)
  t.match(await taken(5, 'electricity:GRID'), { meterPoints: 40 }, 'the first one does not wait')
  const suppliers = new Map([...first.suppliers, ...suppliersOf(100, 2, 'BBBB')])
  const file = join(folder, 'refresh.txt')
  writeFileSync(file, electricityFile({ ...first, sequence: 9, suppliers }))
  t.match(
    (await busbar('meter-points', 'load', file)).stdout,
    /1 records|40 records registered, 2 meter points changed/,
  )
  suppliers.delete(139)
  for (const number of [102, 103, 200]) suppliers.set(number, 'CCCC')
  writeFileSync(file, electricityFile({ ...first, sequence: 10, suppliers }))
  const waits = await busbar('meter-points', 'load', file)
  t.equal(waits.code, 3)
  t.match(waits.stdout, /refresh 10 of GRID: waits for an operator; it would change 10\.00 % of 40/)
  t.match(await show('electricity:GRID'), {
    open: { stage: 'waiting', changes: { known: 40, changed: 2, added: 1, missing: 1, share: 10 } },
  })
  t.equal(await supplierOf(102), 'AAAA', 'nothing of it is applied')
  const rejected = await busbar('sources', 'reject', 'electricity:GRID', '10')
  t.match(rejected.stdout, /refresh 10 rejected/)
  t.match(await upload(electricityFile({ ...first, sequence: 11, suppliers })), { kind: 'refresh' })
  await polled(
    () => show('electricity:GRID'),
    ({ open }) => open?.stage === 'waiting',
  )
  t.equal(await supplierOf(102), 'AAAA')
  await broker.stop()
  broker = await start()
  t.match(await show('electricity:GRID'), { open: { stage: 'waiting' } }, 'after a restart, too')
  t.match(
    (await busbar('sources', 'approve', 'electricity:GRID', '11')).stdout,
    /refresh 11 loading/,
  )
  t.match(await taken(11, 'electricity:GRID'), { meterPoints: 40 })
  t.equal(await supplierOf(102), 'CCCC')
  t.match(
    (await busbar('sources', 'approve', 'electricity:GRID', '11')).stderr,
    /SOURCE_FILE_NOT_WAITING/,
  )
})

t.test('the second of two loads of a file is refused', async (t) => {
  const large = { sequence: 1, source: 'TWIN', suppliers: suppliersOf(10_000, 4_000, 'AAAA') }
  const [one, other] = await Promise.all([upload(large), upload(large)])
  const codes = [one.code ?? one.state, other.code ?? other.state].toSorted()
  t.same(codes, ['SOURCE_BUSY', 'applying'])
  const { ended } = await taken(1, 'electricity:TWIN')
  t.match(ended, [{ sequence: 1, progress: { done: 4_000, added: 4_000 } }])
})

t.test('what is not a whole file leaves nothing, and is answered', async (t) => {
  const whole = electricityFile({ sequence: 7, suppliers: suppliersOf(7, 2, 'GGGG') })
  const half = await upload(whole.slice(0, whole.lastIndexOf('ZPT')))
  t.match(half, { code: 'REGISTRATION_FILE_MALFORMED', detail: /^line 7: the file ends before/ })
  t.match(half.response, /^ZHV\|F7\|R0003001\|Z\|DCCX\|P\|EELC[^]*\|900\|\nR86\|7\|/)
  t.match(await upload('nonsense\n'), { code: 'REGISTRATION_FILE_MALFORMED', response: undefined })
  t.match(await upload(whole, 'text/plain'), { code: 'REQUEST_JSON_MALFORMED' })
  t.match(await upload('', 'application/octet-stream'), { code: 'REQUEST_JSON_MALFORMED' })
  t.match(await show(), { taken: 6, open: undefined, held: [] })
  const file = join(folder, 'half.txt')
  const response = join(folder, 'half.response')
  writeFileSync(file, whole.slice(0, 100))
  const loaded = await busbar('meter-points', 'load', file, '--response', response)
  t.match(loaded.stderr, /REGISTRATION_FILE_MALFORMED/)
  t.match(readFileSync(response, 'latin1'), /\|900\|/)
  t.match(await get('/v1/sources/electricity:NONE'), { code: 'SOURCE_UNKNOWN' })
  t.match(await get('/v1/sources/water:1'), { code: 'SOURCE_UNKNOWN' })
  const { sources } = await get<SourcesJson>('/v1/sources')
  t.same(
    sources.map(({ source }) => source),
    ['electricity:EELC', 'electricity:GRID', 'electricity:TWIN'],
  )
  const metrics = await (await fetch(door('/metrics'))).text()
  t.match(metrics, /busbar_source_age_seconds\{source="electricity:EELC"\} \d+/)
  const health = await get<{ degraded: string[] }>('/health/ready')
  t.match(
    health.degraded.join(),
    /registration: data of electricity:\w+ are \d+ h old, and those of 2/,
  )
})

t.test('files in the watched folder are taken when they are complete', async (t) => {
  const source = 'WTCH'
  const textOf = (sequence: number, supplier: string): string =>
    electricityFile({ sequence, source, suppliers: suppliersOf(300, 2, supplier) })
  const drop = (name: string, text: string): void => {
    writeFileSync(join(watched, `${name}.part`), text)
    renameSync(join(watched, `${name}.part`), join(watched, name))
  }
  const whole = textOf(1, 'AAAA')
  // The later file is there first; the first one is written in two parts.
  drop('b.txt', textOf(2, 'BBBB'))
  writeFileSync(join(watched, '.hidden'), 'x')
  writeFileSync(join(watched, 'a.txt'), whole.slice(0, 100))
  appendFileSync(join(watched, 'a.txt'), whole.slice(100))
  await taken(2, 'electricity:WTCH')
  t.equal(await supplierOf(301), 'BBBB')
  drop('half.txt', whole.slice(0, 120))
  drop('other.txt', textOf(2, 'CCCC'))
  drop('b.txt', textOf(2, 'BBBB'))
  const names = (of: string): string[] => readdirSync(join(watched, of)).toSorted()
  await polled(
    () => [...names('rejected'), ...names('taken')],
    (all) => all.length === 7 && !all.some((name) => name.endsWith('.part')),
  )
  t.same(names('taken'), ['a.txt', 'b.txt', 'b.txt.2'])
  t.same(names('rejected'), ['half.txt', 'half.txt.reason', 'other.txt', 'other.txt.reason'])
  const reason = (name: string): string => readFileSync(join(watched, 'rejected', name), 'utf8')
  t.match(reason('half.txt.reason'), /REGISTRATION_FILE_MALFORMED: line 6: the file ends/)
  t.match(reason('other.txt.reason'), /SOURCE_FILE_DIFFERENT/)
  await polled(
    () => names('responses'),
    (all) => all.length === 3 && !all.some((name) => name.endsWith('.part')),
  )
  const response = (name: string): string =>
    readFileSync(join(watched, 'responses', name), 'latin1')
  t.match(response('a.txt.response'), /\n357\|1\|RGTO\|\d{8}\|F1\|2\|2\|0\|/)
  t.match(response('half.txt.response'), /\|900\|/)
  t.same(
    readdirSync(watched).filter((name) => name.endsWith('.txt')),
    [],
  )
})

t.test('a status file has the flag of each meter point with a meter', async (t) => {
  const address = { host: '127.0.0.1', port: 9, logicalDevice: 1, client: 16 }
  const eui64 = (number: number): string => `00-DB-12-34-56-00-00-0${number}`
  const mpan = (number: number): string => `mpan:${mpanOf(number)}`
  const devices = [
    { eui64: eui64(1), type: 'ESME', meterPoints: [mpan(0)] },
    { eui64: eui64(2), type: 'ESME', meterPoints: [mpan(1)] },
    // The point of the second meter, too; and a display, which is no meter.
    { eui64: eui64(3), type: 'ESME', meterPoints: [mpan(1)] },
    { eui64: eui64(4), type: 'IHD', meterPoints: [mpan(2)] },
    // Of another source.
    { eui64: eui64(5), type: 'ESME', meterPoints: [mpan(100)] },
  ].map((one) => ({ ...one, address }))
  const post = (path: string, body: unknown): Promise<Response> =>
    fetch(door(path), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  t.equal((await post('/v1/devices', devices)).status, 200)
  const to = { by: 'ann' }
  await post(`/v1/devices/${eui64(1)}/status`, { ...to, status: 'InstalledNotCommissioned' })
  await post(`/v1/devices/${eui64(2)}/status`, { ...to, status: 'Decommissioned' })
  type Rows = { rows?: unknown[]; lagTicks?: number }
  await polled(
    () => get<Rows>('/v1/inventory'),
    ({ rows, lagTicks }) => rows?.length === devices.length && lagTicks === 0,
  )
  const flags = async (): Promise<string[]> => {
    const text = await (
      await fetch(door('/v1/sources/electricity:EELC/status-file?sequence=4'))
    ).text()
    return [...text.matchAll(/^82H\|\d+\|FLAG\|(\d+)\|(\w)\|\d{8}\|(\w*)\|$/gm)]
      .map(([, number, flag, supplier]) => `${number} ${flag} ${supplier}`)
      .toSorted()
  }
  // Links arrive by letters.
  const found = await polled(flags, (all) => all.length === 2)
  t.same(found, [`${mpanOf(0)} I CCCC`, `${mpanOf(1)} A AAAA`])
  await post(`/v1/devices/${eui64(3)}/status`, { ...to, status: 'Decommissioned' })
  t.same(await flags(), [`${mpanOf(0)} I CCCC`, `${mpanOf(1)} N AAAA`])
  const file = join(folder, 'status.txt')
  const made = await busbar(
    'sources',
    'status-file',
    'electricity:EELC',
    '--sequence',
    '5',
    '--to',
    file,
  )
  t.match(made.stdout, /status\.txt has the service flags of electricity:EELC/)
  t.match(
    readFileSync(file, 'latin1'),
    /^ZHV\|S0000005\|D0350001\|Z\|DCCX\|P\|EELC[^]*\nZPT\|S0000005\|3\|/,
  )
  t.match(await get('/v1/sources/electricity:EELC/status-file?sequence=0'), {
    code: 'VIEW_QUERY_INVALID',
  })
})

t.test('a decision about a device names the sources whose data are old', async (t) => {
  const [{ eui64: party } = { eui64: '' }] = demoPartiesJson
  const device = '00-DB-12-34-56-00-00-01'
  const query = new URLSearchParams({ party, device, srv: '4.1.1' })
  const answer = await get<{ oldData: object[] }>(`/v1/access?${query}`)
  const old = { meterPoint: `mpan:${mpanOf(0)}`, source: 'electricity:EELC' }
  t.match(answer.oldData, [{ ...old, dataSince: '2026-01-05T01:02:03.000Z' }])
  t.match(
    (await busbar('access', device, '--party', party, '--srv', '4.1.1')).stdout,
    /old data: mpan:\d+, electricity:EELC has sent nothing since 2026-01-05T/,
  )
  const fresh = {
    meterPoint: 'mpan:2000000000015',
    by: 'ann',
    items: [{ item: 'direction', value: 'I', from: 20260101 }],
  }
  const headers = { 'content-type': 'application/json' }
  await fetch(door('/v1/meter-points'), { method: 'POST', headers, body: JSON.stringify([fresh]) })
  const other = '00-DB-12-34-56-00-00-06'
  const address = { host: '127.0.0.1', port: 9, logicalDevice: 1, client: 16 }
  const entry = { eui64: other, type: 'ESME', address, meterPoints: ['mpan:2000000000015'] }
  await fetch(door('/v1/devices'), { method: 'POST', headers, body: JSON.stringify([entry]) })
  query.set('device', other)
  t.match(
    await get(`/v1/access?${query}`),
    { oldData: [] },
    'what an operator registers has no age',
  )
})
