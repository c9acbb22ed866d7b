/**
 * Keys at rest in a real deployment: after a registration, exchanges, a replacement, a rotation and
 * kill -9, no key and no secret is in any file of the data directory, in any log, or in what
 * operators are told.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { suite0Keys } from '../support/keys.ts'
import type { SecretKey } from '../../core/crypto/crypto.ts'
import { startChild } from '../../actors/demo/children.ts'
import { Deployment } from '../support/deployment.ts'

const entry = fileURLToPath(new URL('../../actors/main.ts', import.meta.url))
const secret = Buffer.from('a secret of sixteen bytes')
const eui64 = '00-DB-99-00-00-00-00-01'
const keys = Object.entries(suite0Keys).map(([name, key]): [string, Buffer] => [
  name,
  (key as SecretKey).copyOfOctets(),
])
const record = {
  eui64,
  type: 'ESME',
  address: {
    host: '127.0.0.1',
    // Nobody listens there.
    port: 9,
    logicalDevice: 1,
    client: 1,
    secret: secret.toString('hex'),
    security: { suite: 0, mechanism: 5, protection: 48, clientTitle: '4d4d4d0000000001' },
  },
  keys: Object.fromEntries(keys.map(([name, octets]) => [name, octets.toString('hex')])),
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
}

t.test('no key and no secret is ever written', async (t) => {
  const deployment = new Deployment({ logTo: 'broker.log' })
  t.teardown(() => deployment.stop())
  await deployment.start(2)
  const { ops } = deployment.listening
  const post = async (path: string, body?: unknown): Promise<string> => {
    const response = await fetch(`http://${ops}${path}`, {
      method: 'POST',
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    })
    return response.text()
  }
  const busbar = (...args: string[]) =>
    spawnSync(process.execPath, [entry, ...args], { encoding: 'utf8' })
  const said: string[] = []
  said.push(await post('/v1/devices', record))
  t.same(JSON.parse(said[0]!), { registered: 1, refused: [] })
  const spoilt = { ...record.keys, unicast: `${record.keys['unicast']}0` }
  said.push(await post('/v1/devices', { ...record, keys: spoilt }))
  t.match(said[1], /keys\.unicast must be/)
  const replaced = busbar('keys', 'replace', eui64, '--ops', ops)
  t.match(replaced.stdout, /has new keys, which are on their way/)
  t.equal(replaced.status, 0)
  const refused = busbar('keys', 'replace', deployment.devices[0]!.eui64, 'no-eui', '--ops', ops)
  t.match(refused.stdout + refused.stderr, /KEYS_REPLACEMENT_UNFIT/)
  t.equal(refused.status, 1)
  const rotated = busbar('keys', 'rotate', '--key-encryption-key-file', deployment.keyFile)
  t.match(rotated.stdout, /has 2 keys, the first of them new/)
  const status = () => {
    const ran = busbar('keys', 'status', '--json', '--data-dir', deployment.brokerDir)
    said.push(ran.stdout, ran.stderr)
    return JSON.parse(ran.stdout) as { keyed: number; replacing: number; unreadable: number }
  }
  let seen = status()
  // Each takes a second; the host goes through its devices every few seconds.
  for (let turn = 0; turn < 60 && seen.replacing === 0; turn++) seen = status()
  t.match(seen, { replacing: 1, unreadable: 0 })
  t.match(
    busbar('keys', 'status', '--data-dir', deployment.brokerDir).stdout,
    /1 whose keys are being replaced/,
  )
  await deployment.killBroker()
  await deployment.startBroker()
  const other = { ...record.keys, unicast: '00'.repeat(16) }
  said.push(await post('/v1/devices', { ...record, keys: other }))
  t.match(said.at(-1), 'KEYS_REPLACEMENT_UNDERWAY', 'no answer has proved any yet')
  await deployment.broker!.stop()

  const secrets = [...keys.map(([, octets]) => octets), secret]
  const forms = secrets.flatMap((octets) => [
    octets,
    ...(['hex', 'base64'] as const).map((form) => Buffer.from(octets.toString(form))),
  ])
  const isInside = (octets: Buffer): boolean => forms.some((form) => octets.includes(form))
  t.ok(isInside(Buffer.from(JSON.stringify(record))), 'they would be found')
  const places = filesUnder(deployment.dataDir)
  t.ok(
    places.some((path) => path.endsWith('.blk')),
    'the ledger is among them',
  )
  t.ok(
    places.some((path) => path.endsWith('.mdb') || path.includes('actors')),
    'stores are, too',
  )
  t.ok(places.includes(deployment.logFile!))
  t.same(
    places.filter((path) => isInside(readFileSync(path))),
    [],
  )
  t.notOk(isInside(Buffer.from(said.join('\n'))))
})

t.test(
  'a broker without a key-encryption key refuses devices with keys, and takes all others',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'busbar-keys-'))
    writeFileSync(join(folder, 'parties.json'), JSON.stringify(demoPartiesJson))
    const parties = ['--parties', join(folder, 'parties.json')]
    const doors = ['--grpc', '127.0.0.1:0', '--http', '127.0.0.1:0', '--ops', '127.0.0.1:0']
    const broker = await startChild([
      ...['serve', '--data-dir', join(folder, 'data'), '--log-level', 'silent'],
      ...parties,
      ...doors,
    ])
    // The folder goes when nothing is written into it any more.
    t.teardown(async () => {
      await broker.stop()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    })
    const { ops } = broker.said['listening'] as { ops: string }
    const { host, port, logicalDevice, client } = record.address
    const plain = {
      eui64: '00-DB-99-00-00-00-00-02',
      type: 'ESME',
      address: { host, port, logicalDevice, client },
    }
    const response = await fetch(`http://${ops}/v1/devices`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([record, plain]),
    })
    t.match(await response.json(), {
      registered: 1,
      refused: [
        {
          index: 0,
          eui64,
          code: 'KEYS_ENCRYPTION_KEY_MISSING',
          message: /--key-encryption-key-file/,
        },
      ],
    })
  },
)
