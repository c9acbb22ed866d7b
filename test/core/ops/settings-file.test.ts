/**
 * Files that operators write: text in every form of their tools, the settings file, misspelt
 * variables, data directories.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { settingsText } from '../../../actors/cli/operator/broker-folder.ts'
import { limits } from '../../../core/base/limits.ts'
import { loadConfig } from '../../../core/ops/config.ts'
import { settings, type Setting } from '../../../core/ops/settings.ts'
import { explainDataDirFault, makeDataDir } from '../../../core/ops/data-dir.ts'
import { readNamesFile } from '../../../core/ops/dial-in-names.ts'
import { readKeyFile } from '../../../core/ops/key-encryption-keys.ts'
import {
  applySettingsFile,
  knownVariables,
  readSettingsFile,
  unknownVariables,
} from '../../../core/ops/settings-file.ts'
import { linesOfFile, readTextFile } from '../../../core/ops/text-file.ts'

const bom = '\uFEFF'

async function all(path: string): Promise<Array<[number, string]>> {
  const found: Array<[number, string]> = []
  for await (const { number, text } of linesOfFile(path)) found.push([number, text])
  return found
}

t.test('text files: byte-order mark, CRLF, no end of line, other encodings', async (t) => {
  const path = join(t.testdir({}), 'file')
  writeFileSync(path, `${bom}ä\r\n\r\nb\nc`)
  t.equal(readTextFile(path), 'ä\r\n\r\nb\nc')
  t.same(await all(path), [
    [1, 'ä'],
    [2, ''],
    [3, 'b'],
    [4, 'c'],
  ])
  const long = `${'é'.repeat(100_000)}\n`
  writeFileSync(path, long + long)
  t.equal((await all(path)).map(([, text]) => text.length).join(), '100000,100000', 'over chunks')
  writeFileSync(path, '')
  t.same(await all(path), [])
  for (const [octets, what] of [
    [Buffer.from(`${bom}a\n`, 'utf16le'), /UTF-16 text; save it as UTF-8/],
    [Buffer.from([0x61, 0xff, 0x0a]), /not UTF-8 text/],
    [Buffer.from([0x61, 0xc3]), /not UTF-8 text/],
  ] as const) {
    writeFileSync(path, octets)
    t.throws(() => readTextFile(path), { code: 'CONFIG_INVALID', message: what })
    await t.rejects(all(path), { code: 'CONFIG_INVALID', message: what })
  }
  writeFileSync(path, `a\n${'x'.repeat(limits.partyMessageBytesMax + 70_000)}`)
  await t.rejects(all(path), { code: 'CONFIG_INVALID', message: /line 2 is longer/ })
  await t.rejects(all(join(path, 'no')), { code: 'ENOTDIR' })
})

t.test('key files and names of devices are read past a byte-order mark', async (t) => {
  const folder = t.testdir({ names: `${bom}# north\r\nM1 00DB000000000001\r\n` })
  t.equal(readNamesFile(join(folder, 'names')).size, 1)
  const keys = join(folder, 'keys')
  writeFileSync(keys, `${bom}# ours\r\n${'ab'.repeat(32)}\r\n\r\n`, { mode: 0o600 })
  t.equal(readKeyFile(keys).length, 1)
})

t.test('the settings file: values, paths, quotes, and every fault with its line', async (t) => {
  const folder = t.testdir({
    'busbar.env': [
      `${bom}# comment`,
      '',
      'BUSBAR_DATA_DIR=data',
      'export BUSBAR_GRPC="[::1]:1"',
      "BUSBAR_PARTIES='/etc/p q.json'",
      'BUSBAR_ROLES =  gateway,host ',
      'BUSBAR_NATS_URL=nats://u:p#w@h:1',
      'NATS_SERVER_BIN=/usr/bin/nats-server',
    ].join('\r\n'),
    wrong: [
      'BUSBAR_HTTP=1',
      'nonsense',
      'BUSBAR_HTTP=2',
      'BUSBAR_DATADIR=x',
      'PATH=/bin',
      'BUSBAR_OPS="1',
      'BUSBAR_GRPC=127.0.0.1:1 # mine',
    ].join('\n'),
  })
  const file = readSettingsFile(folder)
  t.same(file.faults, [])
  t.same(Object.fromEntries(file.values), {
    BUSBAR_DATA_DIR: join(folder, 'data'),
    BUSBAR_GRPC: '[::1]:1',
    BUSBAR_PARTIES: '/etc/p q.json',
    BUSBAR_ROLES: 'gateway,host',
    BUSBAR_NATS_URL: 'nats://u:p#w@h:1',
    NATS_SERVER_BIN: '/usr/bin/nats-server',
  })
  const env = { BUSBAR_ROLES: 'wan', BUSBAR_GRPC: '' }
  applySettingsFile(file, env)
  t.match(env, { BUSBAR_ROLES: 'wan', BUSBAR_GRPC: '[::1]:1' }, 'the environment wins')

  const { faults, values, places } = readSettingsFile(join(folder, 'wrong'))
  const wanted = [
    /line 2: must look like/,
    /line 3: BUSBAR_HTTP is given twice, first in .*line 1/,
    /line 4: BUSBAR_DATADIR is not a setting; did you mean BUSBAR_DATA_DIR\?/,
    /line 5: PATH is not a setting$/,
    /line 6: the value of BUSBAR_OPS begins with a quote/,
    /line 7: a comment must stand on a line of its own/,
  ]
  t.equal(faults.length, wanted.length)
  for (const [index, pattern] of wanted.entries()) t.match(faults[index], pattern)
  t.throws(
    () => loadConfig({ env: Object.fromEntries(values), places, faults, workingDir: '/srv' }),
    {
      code: 'CONFIG_INVALID',
      message: /line 2: .*line 7: .*BUSBAR_HTTP \(.*wrong, line 1\): must/,
    },
    'faults of lines and of values together',
  )
  t.throws(() => readSettingsFile(join(folder, 'none')), {
    code: 'CONFIG_INVALID',
    message: /none cannot be read \(ENOENT\).*busbar init/,
  })
})

t.test('the file of busbar init has every setting, and gives the defaults', async (t) => {
  const folder = t.testdir({ 'busbar.env': settingsText() })
  const { values, faults } = readSettingsFile(folder)
  t.same(faults, [])
  t.same([...values.keys()].toSorted(), [
    'BUSBAR_DATA_DIR',
    'BUSBAR_KEY_ENCRYPTION_KEY_FILE',
    'BUSBAR_PARTIES',
  ])
  const everything = settingsText().replaceAll(/^#(?=BUSBAR_)/gm, '')
  writeFileSync(join(folder, 'busbar.env'), everything)
  const uncommented = readSettingsFile(folder)
  t.same(uncommented.faults, [])
  t.equal(uncommented.values.size, Object.keys(settings).length)
  const config = loadConfig({ env: Object.fromEntries(uncommented.values), workingDir: '/srv' })
  const plain = loadConfig({ env: Object.fromEntries(values), workingDir: '/srv' })
  t.same(config, plain)
  for (const line of settingsText().split('\n')) t.ok(line.length <= 100, line)
})

t.test(
  'variables that do not exist: likely misspellings are faults, others warnings',
  async (t) => {
    const { faults, warnings } = unknownVariables({
      BUSBAR_DATA_DIR: 'a',
      BUSBAR_GATWAY: 'x',
      BUSBAR_KEY_ENCRYPTION_KEYFILE: 'x',
      BUSBAR_SOMETHING_ELSE: 'x',
      BUSBAR_PARITES: '',
      BUSBAR_PORT: 'tcp://10.0.0.1:8080',
      BUSBAR_SERVICE_HOST: '10.0.0.1',
      BUSBAR_PORT_8080_TCP_ADDR: '10.0.0.1',
      BUSBAR_HTTP_SERVICE_PORT_WEB: '80',
      HOME: '/',
    })
    t.same(faults, [
      'the environment variable BUSBAR_GATWAY does not exist; did you mean BUSBAR_GATEWAY?',
      'the environment variable BUSBAR_KEY_ENCRYPTION_KEYFILE does not exist; did you mean BUSBAR_KEY_ENCRYPTION_KEY_FILE?',
    ])
    t.same(warnings, ['the environment variable BUSBAR_SOMETHING_ELSE has no effect'])
    t.same(unknownVariables(Object.fromEntries(knownVariables.map((name) => [name, 'x']))), {
      faults: [],
      warnings: [],
    })
  },
)

t.test('every variable that the program reads is known', async (t) => {
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  const named = new Set<string>()
  for (const folder of ['core', 'actors']) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|mjs)$/.test(name)) continue
      const text = readFileSync(join(root, folder, name), 'utf8')
      for (const [, variable] of text.matchAll(/['"`](BUSBAR_[A-Z_]*[A-Z])['"`]/g))
        named.add(variable!)
    }
  }
  t.ok(named.size > 20)
  t.same(
    [...named].filter((name) => !knownVariables.includes(name)),
    [],
  )
})

t.test('every setting says what it is', async (t) => {
  for (const { env, what } of Object.values<Setting>(settings)) t.ok(what.endsWith('.'), env)
})

t.test('to join: one place of the NATS, and a data directory of its own', async (t) => {
  const load = (env: Record<string, string>) => loadConfig({ env, workingDir: '/srv' })
  t.same(load({ BUSBAR_JOIN: 'data', BUSBAR_DATA_DIR: 'views' }).nats, {
    kind: 'joined',
    dataDir: '/srv/data',
  })
  t.throws(() => load({ BUSBAR_JOIN: 'a', BUSBAR_NATS_URL: 'nats://h' }), /both given/)
  t.throws(() => load({ BUSBAR_JOIN: '/srv/a', BUSBAR_DATA_DIR: 'a' }), /needs a data directory/)
})

t.test('a data directory that cannot be used is a fault of its setting', async (t) => {
  const folder = t.testdir({ file: '' })
  const wanted = { code: 'CONFIG_INVALID', message: /--data-dir or BUSBAR_DATA_DIR/ }
  t.throws(() => makeDataDir(join(folder, 'file')), wanted)
  t.throws(() => makeDataDir(join(folder, 'file', 'data')), wanted)
  makeDataDir(join(folder, 'new', 'data'))
  makeDataDir(join(folder, 'new', 'data'))
  if (process.getuid?.() !== 0) {
    mkdirSync(join(folder, 'shut'))
    chmodSync(join(folder, 'shut'), 0o500)
    t.throws(() => makeDataDir(join(folder, 'shut')), /this user may not write there \(EACCES\)/)
  }
  const denied = Object.assign(new Error('no'), { code: 'EACCES', path: join(folder, 'host-id') })
  t.match(explainDataDirFault(folder, denied), wanted)
  t.match(String(explainDataDirFault(folder, denied)), /host-id: this user may not write/)
  t.equal(explainDataDirFault(join(folder, 'other'), denied), denied)
  t.equal(explainDataDirFault(folder, 'text'), 'text')
})
