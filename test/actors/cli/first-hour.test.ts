/**
 * The first hour of an operator with real processes: the folder of `busbar init`, a broker on it,
 * an inventory with faults, requests and their answers as JSON, a second process on the same
 * embedded nats-server, and what each command says when something is wrong.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { devicesCommand } from '../../../actors/cli/operator/devices-commands.ts'
import { initFolder } from '../../../actors/cli/operator/broker-folder.ts'
import { runningAddressOf } from '../../../actors/cli/operator/operator-ledger.ts'
import { startChild } from '../../../actors/demo/children.ts'
import { operatorHeaders } from '../../../core/ops/operator-credentials.ts'
import { freePort } from '../../support/free-port.ts'

const entry = fileURLToPath(new URL('../../../actors/main.ts', import.meta.url))
type Listening = { http: string; ops: string }
const device = '00-DB-10-00-00-00-00-01'

/** The data directory of the broker that is called, whose token the command finds. */
const callIn = (dataDir: string): void => void (process.env['BUSBAR_DATA_DIR'] = dataDir)
t.teardown(() => delete process.env['BUSBAR_DATA_DIR'])

/** What the command `busbar devices` prints, and its exit code, in this process. */
async function devices(file: string, ops: string, isJson = false) {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await devicesCommand(file, ops, isJson, {
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
  })
  return { code, out, err, rows: isJson ? out.map((line) => JSON.parse(line) as unknown) : [] }
}

t.test('from an empty folder to an answer', async (t) => {
  const cwd = t.testdir({})
  const folder = join(cwd, 'broker')
  const data = join(folder, 'data')
  const env: NodeJS.ProcessEnv = { ...process.env }
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [entry, ...args], { cwd, env, encoding: 'utf8' })

  const made = run('init', 'broker')
  t.equal(made.status, 0, made.stderr)
  t.match(made.stdout, 'npx busbar serve --config broker\n')
  t.match(made.stdout, 'npx busbar devices broker/devices.jsonl --config broker\n')
  const modeOf = (name: string): number => statSync(join(folder, name)).mode & 0o777
  t.equal(modeOf('key-encryption-keys'), 0o600)
  t.equal(modeOf('busbar.env'), 0o600)
  const before = readFileSync(join(folder, 'key-encryption-keys'), 'utf8')
  t.throws(() => initFolder(folder), /has busbar\.env, parties\.json, key-encryption-keys already/)
  t.equal(readFileSync(join(folder, 'key-encryption-keys'), 'utf8'), before)
  t.throws(() => initFolder(join(folder, 'busbar.env', 'x')), /ENOTDIR.*busbar init FOLDER/)
  await t.rejects(runningAddressOf({ join: data }), {
    code: 'CONFIG_INVALID',
    message: /is not the data directory of a broker/,
  })

  // As Windows tools leave it, with addresses of this test.
  const settings = readFileSync(join(folder, 'busbar.env'), 'utf8')
  const [grpc, ops] = [`[::1]:${await freePort()}`, `[::1]:${await freePort()}`]
  const own = `BUSBAR_GRPC=${grpc}\nBUSBAR_HTTP=[::1]:0\nBUSBAR_OPS=${ops}\n`
  writeFileSync(join(folder, 'busbar.env'), `\uFEFF${settings}${own}`.replaceAll('\n', '\r\n'))
  const parties = readFileSync(join(folder, 'parties.json'), 'utf8')
  writeFileSync(join(folder, 'parties.json'), `\uFEFF${parties}`.replaceAll('\n', '\r\n'))

  const fleet = await startChild(['meters', '--meters', '4', '--devices', join(cwd, 'devices')])
  t.teardown(() => fleet.stop())
  const broker = await startChild(['serve', '--config', folder, '--log-level', 'silent'])
  t.teardown(() => broker.stop())
  t.match(broker.said['listening'], { grpc, ops, http: /^\[::1\]:\d+$/ })

  callIn(data)
  const lines = readFileSync(join(cwd, 'devices'), 'utf8').trim().split('\n')
  const faulty = { eui64: '00-DB-10-00-00-00-00-77', type: 'ESME', address: { host: '[::1]' } }
  const text = [lines[0], '', '{', JSON.stringify(faulty), lines[1], lines[2], lines[3], '', '']
  const file = join(cwd, 'devices.jsonl')
  writeFileSync(file, `\uFEFF${text.join('\r\n')}`)
  const listed = run('devices', 'devices.jsonl', '--config', 'broker')
  t.equal(listed.status, 1)
  t.equal(listed.stdout, '4 devices registered\n', 'the others are registered')
  t.match(listed.stderr, /line 3 {2}- {2}DEVICE_RECORD_MALFORMED: the line is not JSON\n/)
  t.match(
    listed.stderr,
    /line 4 {2}00-DB-10-00-00-00-00-77 {2}DEVICE_RECORD_MALFORMED: .*\(address\.port/,
  )
  t.match(listed.stderr, /2 lines of devices\.jsonl rejected/)
  t.match(await devices(file, ops, true), {
    code: 1,
    rows: [
      { line: 3, eui64: null, code: 'DEVICE_RECORD_MALFORMED' },
      { line: 4, eui64: '00-DB-10-00-00-00-00-77', message: /address\.port must be/ },
      { registered: 4, refused: 2 },
    ],
  })
  writeFileSync(file, JSON.stringify(faulty))
  t.match((await devices(file, ops, true)).rows, [{ line: 1 }, { registered: 0, refused: 1 }])
  await t.rejects(devices(file, '127.0.0.1:1'), /nobody answers.*BUSBAR_OPS/)
  await t.rejects(
    devices(file, String((broker.said['listening'] as Listening).http)),
    /not the op|nobody answers/,
  )
  await t.rejects(devices(join(cwd, 'none'), ops), { code: 'ENOENT' })

  env['BUSBAR_GATEWAY'] = grpc
  const submitted = run(
    'submit',
    '--pki',
    'broker/data/pki',
    '--device',
    device,
    '--srv',
    '4.1.1',
    '--wait',
  )
  t.equal(submitted.status, 0, submitted.stderr)
  t.match(submitted.stdout, /1-0:1\.8\.0\.255 +Electricity, active energy import .*: \d+ Wh/)

  const joined = await startChild([
    'serve',
    ...['--config', folder, '--join', data, '--data-dir', join(cwd, 'views')],
    ...['--roles', 'views', '--ops', '[::1]:0', '--log-level', 'silent'],
  ])
  t.teardown(() => joined.stop())
  const viewsOps = (joined.said['listening'] as Listening).ops
  t.match(viewsOps, /^\[::1\]:\d+$/)
  t.match(await runningAddressOf({ join: data }), { user: 'busbar' })
  await joined.stop()
  await broker.stop()
  await t.rejects(runningAddressOf({ join: data }), {
    code: 'NATS_UNREACHABLE',
    message: /broker\/data does not run; start its broker: busbar serve --data-dir/,
  })
  const late = run('serve', '--config', 'broker', '--join', 'broker/data', '--data-dir', 'late')
  t.equal(late.status, 1)
  t.match(late.stderr, /NATS_UNREACHABLE.*does not run/)
})

t.test('without a key-encryption key that is the first message', async (t) => {
  const cwd = t.testdir({ 'parties.json': '[{"eui64":"90B3D51F30010000","role":"IS","name":"S"}]' })
  const file = join(cwd, 'devices.jsonl')
  const fleet = await startChild([
    ...['meters', '--meters', '4', '--security-shares', '0.5,0,0', '--devices', file],
  ])
  t.teardown(() => fleet.stop())
  const broker = await startChild([
    ...['serve', '--data-dir', join(cwd, 'data'), '--parties', join(cwd, 'parties.json')],
    ...['--grpc', '127.0.0.1:0', '--http', '127.0.0.1:0', '--ops', '127.0.0.1:0'],
    ...['--log-level', 'silent'],
  ])
  t.teardown(() => broker.stop())
  const { ops } = broker.said['listening'] as { ops: string }
  callIn(join(cwd, 'data'))
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, `nonsense\n${text}`)
  const { code, err } = await devices(file, ops)
  t.equal(code, 1)
  t.match(err[0], /^KEYS_ENCRYPTION_KEY_MISSING: .*--key-encryption-key-file FILE/)
  t.match(err.join('\n'), /line \d {2}00-DB-\S+ {2}KEYS_ENCRYPTION_KEY_MISSING: A device brings/)
  const response = await fetch(`http://${ops}/v1/devices`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...operatorHeaders('127.0.0.1', { BUSBAR_DATA_DIR: join(cwd, 'data') }),
    },
    body: '[{"eui64":"x"}]',
  })
  t.equal(response.status, 400)
  t.match(await response.json(), {
    code: 'DEVICE_RECORD_MALFORMED',
    registered: 0,
    refused: [{ index: 0, eui64: 'x', code: 'DEVICE_RECORD_MALFORMED' }],
  })
})

t.test('the help of serve, and names that do not exist', async (t) => {
  const run = (args: string[], env = {}) =>
    spawnSync(process.execPath, [entry, ...args], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    })
  const help = run(['serve', '--help']).stdout.replaceAll(/\s+/g, ' ')
  t.match(help, /--workers <value> .*Default: 0\..*\(env: BUSBAR_WORKERS\)/)
  t.match(help, /BUSBAR_KEY_ENCRYPTION_KEY Key-encryption keys/)
  const option = run(['serve', '--grcp', 'x'])
  t.equal(option.status, 2)
  t.match(option.stderr, /Did you mean --grpc\?/)
  const misspelt = run(['serve', '--grpc', 'x'], { BUSBAR_DATADIR: 'x' })
  t.equal(misspelt.status, 1)
  t.match(
    misspelt.stderr,
    /BUSBAR_DATADIR does not exist; did you mean BUSBAR_DATA_DIR\?.*--grpc: /,
  )
  t.match(
    run(['status', '--device', device, '--counter', '1'], { BUSBAR_PARTIE: 'x' }).stderr,
    /PART/,
  )
  const blocked = run(['serve', '--data-dir', entry, '--parties', 'none'])
  t.match(blocked.stderr, /no parties file .*busbar init/)
})
