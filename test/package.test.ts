/**
 * The packages as their users have them: packed, installed from the tarball into empty projects on
 * two versions of Node, then every command and door used there. Node 22 comes from the registry;
 * without a registry and its cache nothing can be installed, and that is said instead.
 */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { Consumer, ended, npmProgram } from './support/consumer.ts'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'busbar-package-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
  devDependencies: Record<string, string>
}
const tarball = join(folder, `busbar-${manifest.version}.tgz`)

/** Node 22 for this platform, or why there is none. */
async function obtainNode22(): Promise<{ node: string } | { why: string }> {
  const pins = JSON.parse(
    readFileSync(join(root, 'core/ops/pinned-node/package.json'), 'utf8'),
  ) as { optionalDependencies: Record<string, string> }
  const wanted = `${process.platform}-${process.arch}`
  const name = Object.keys(pins.optionalDependencies).find((one) => one.endsWith(wanted))
  if (name === undefined) return { why: `no package carries Node 22 for ${wanted}` }
  const place = new Consumer(join(folder, 'node22'), process.execPath)
  const { code, stderr } = await place.npm('install', '--prefer-offline', `${name}@^22.12.0`)
  if (code !== 0) return { why: `Node 22 could not be obtained: ${stderr.slice(-300)}` }
  return { node: join(place.folder, 'node_modules', name, 'bin/node') }
}

const typeUser = `import { startBroker, BrokerError, type BrokerOptions, type RunningBroker } from 'busbar'
import { ServiceRequest, SupplierClient, type Delivery } from 'busbar/client'
import { startSandbox, type Sandbox } from 'busbar/testing'
import { DlmsClient } from 'busbar/dlms'
import { nameOfObis } from 'busbar/dlms/cosem'
import { suites } from 'busbar/dlms/security'

const options: BrokerOptions = { grpc: '127.0.0.1:0', ledgerBytes: '64MiB', replicas: 3 }
export const broker: Promise<RunningBroker> = startBroker(options)
export async function take(): Promise<Delivery[]> {
  await using sandbox: Sandbox = await startSandbox({ meters: 3 })
  const client: SupplierClient = sandbox.client()
  const { responseCode } = await client.submit(ServiceRequest.fromPartial({}))
  const code: string = responseCode
  return code === '' ? [] : []
}
export const others = [DlmsClient, nameOfObis, suites, BrokerError]
// @ts-expect-error misspelt
void startBroker({ grcp: '127.0.0.1:0' })
`
const typeSettings = {
  compilerOptions: {
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    target: 'es2022',
    lib: ['es2022', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
  },
  files: ['types.ts'],
}

const embedding = `import { startBroker } from 'busbar'
import { ServiceRequest, SupplierClient } from 'busbar/client'
import { startSandbox } from 'busbar/testing'

const parties = [{ eui64: '90-B3-D5-1F-30-01-00-00', role: 'IS', name: 'Supplier' }]
const doors = { grpc: '127.0.0.1:0', http: '127.0.0.1:0', ops: '127.0.0.1:0' }
const broker = await startBroker({ ...doors, parties, dataDir: 'embedded', logLevel: 'silent', insecurePartyHeader: true, insecureOperators: true })
await broker.ready
const own = new SupplierClient({ address: broker.grpcAddress, credentials: { party: parties[0].eui64 } })
const refusal = await own.submit(ServiceRequest.fromPartial({}))
own.close()
await broker.stop()

const sandbox = await startSandbox({ meters: 5, securityShares: [0.5, 0, 0] })
const target = sandbox.devices.find(({ type }) => type === 'ESME').eui64
const originator = sandbox.parties[0].eui64
const client = sandbox.client()
const { promise: answered, resolve: answer } = Promise.withResolvers()
const { promise: alerted, resolve: alert } = Promise.withResolvers()
const receiver = client.receive(10, (deliveries) => {
  for (const { content, deliveryId } of deliveries) {
    if (content.$case === 'response') answer(content.value)
    else alert(content.$case)
    receiver.acknowledge(deliveryId)
  }
})
const requestId = { originator, target, counter: BigInt(Date.now()) * 1_000_000n }
const accepted = await client.submit(
  ServiceRequest.fromPartial({ requestId, serviceReferenceVariant: '4.1.1' }),
)
const response = await answered
await sandbox.push(sandbox.devices.find(({ keys }) => keys === undefined).eui64)
const alerts = await alerted
await sandbox.stop()
console.log(JSON.stringify({
  refusal: refusal.responseCode,
  accepted: accepted.responseCode,
  response: response.responseCode,
  readings: response.body.readings.length,
  alerts,
}))
`

/** Everything that an installation promises, on the Node of `place`. */
async function useInstalled(t: Test, place: Consumer): Promise<void> {
  const names = place.installed()
  // Dependencies bring these two along.
  const brought = ['@types/node', 'ajv']
  const tools = Object.keys(manifest.devDependencies).filter((name) => !brought.includes(name))
  t.same(
    names.filter((name) => tools.includes(name)),
    [],
    'no development tools',
  )
  t.notOk(readdirSync(join(place.folder, 'node_modules/.bin')).includes('node'), 'no second Node')

  const version = await place.npx('--version')
  t.same([version.code, version.stdout.trim()], [0, manifest.version], version.stderr)

  const embedded = await place.script('embedding.mjs', embedding)
  t.match(
    JSON.parse(embedded.stdout || '{}'),
    { refusal: /^E/, accepted: 'I99', response: 'I0', readings: 2, alerts: 'alert' },
    embedded.stderr,
  )
  t.equal(embedded.code, 0)
}

/** `busbar meters`, `meter` and `serve` with a worker. */
async function serveInstalled(t: Test, place: Consumer): Promise<void> {
  const meters = place.startBusbar('meters', '--meters', '2', '--ends-with-input')
  const metersEnded = ended(meters)
  const [line] = (await once(createInterface({ input: meters.stdout! }), 'line')) as [string]
  const { listening } = JSON.parse(line) as { listening: { ports: number[] } }
  const address = `127.0.0.1:${listening.ports[0]}`
  const read = await place.busbar('meter', 'read', address, '0-0:1.0.0.255')
  t.equal(read.code, 0, read.stderr)
  t.match(read.stdout, /20\d\d-/, 'the clock of a meter')
  meters.stdin!.end()
  t.equal((await metersEnded).code, 0)

  writeFileSync(
    join(place.folder, 'parties.json'),
    '[{"eui64":"90-B3-D5-1F-30-01-00-00","role":"IS","name":"Supplier"}]',
  )
  const anyPort = '127.0.0.1:0'
  const doors = ['--grpc', anyPort, '--http', anyPort, '--ops', anyPort]
  const own = ['--data-dir', 'data', '--parties', 'parties.json', '--log-level', 'info']
  const broker = place.startBusbar('serve', ...own, ...doors, '--workers', '1', '--ends-with-input')
  const brokerEnded = ended(broker)
  // A worker writes to the stderr of its broker; it serves when it has partitions.
  const workerServes = new Promise<void>((resolve) => {
    let hosts = 0
    createInterface({ input: broker.stderr! }).on('line', (text) => {
      if (text.includes('"busbar serves"') && ++hosts === 2) resolve()
    })
  })
  const [said] = (await once(createInterface({ input: broker.stdout! }), 'line')) as [string]
  const { listening: doorsOf } = JSON.parse(said) as { listening: { ops: string } }
  await Promise.race([workerServes, brokerEnded])
  const live = await fetch(`http://${doorsOf.ops}/health/live`)
  t.equal(live.status, 200)
  broker.stdin!.end()
  const { code, stderr } = await brokerEnded
  t.equal(code, 0, stderr)
  t.notOk(readdirSync(join(place.folder, 'data')).includes('nats-server.run'), 'nothing runs on')
}

/** What npm says when there is no way to a registry, and its cache has not what is needed. */
const unreachable = /E(NOTFOUND|AI_AGAIN|CONNREFUSED|NOTCACHED|TIMEDOUT|CONNRESET)|network/

t.test('packed, installed and used', async (t) => {
  if (npmProgram() === undefined) return t.pass('unchecked', { skip: 'there is no npm here' })
  const clone = new Consumer(join(folder, 'packing'), process.execPath)
  const obtaining = obtainNode22()
  const packed = await clone.npm('pack', root, '--json', '--pack-destination', folder)
  t.equal(packed.code, 0, packed.stderr)
  const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }]
  const paths = files.map(({ path }) => path)
  const besides =
    /^(dist\/(core|actors|proto)\/|core\/ops\/setup\/busbar\.mjs$|[A-Z]+(\.md)?$|package\.json$)/
  t.same(
    paths.filter((path) => !besides.test(path)),
    [],
    'nothing but compiled files and what they open',
  )
  t.same(
    paths.filter((path) => /(?<!\.d)\.ts$|\.test\.|(^|\/)test\//.test(path)),
    [],
    'no sources twice, no tests',
  )

  const newer = new Consumer(join(folder, 'newer'), process.execPath)
  const installed = await newer.npm('install', '--prefer-offline', tarball)
  if (installed.code !== 0 && unreachable.test(installed.stderr))
    return t.pass('unchecked', {
      skip: `neither the registry nor its cache has the dependencies: ${installed.stderr}`,
    })
  t.equal(installed.code, 0, installed.stderr)

  await t.test(`Node ${process.versions.node}`, async (t) => {
    await useInstalled(t, newer)
    writeFileSync(join(newer.folder, 'types.ts'), typeUser)
    writeFileSync(join(newer.folder, 'tsconfig.json'), JSON.stringify(typeSettings))
    const checked = await newer.program(join(root, 'node_modules/typescript/bin/tsc'), '-p', '.')
    t.equal(checked.code, 0, checked.stdout)

    const demo = await newer.busbar('demo', '--once', '--json', '--meters', '10', ...demoDoors)
    t.equal(demo.code, 0, demo.stderr)
    t.match(JSON.parse(demo.stdout || '{}'), {
      missing: 0,
      registered: { meterPoints: 18 },
      supplierChange: {
        losing: { code: 'PARTY_NOT_REGISTERED' },
        gaining: { responseCode: 'I0' },
      },
      schedule: { responseCode: 'I0' },
    })
  })

  const older = await obtaining
  if ('why' in older) {
    t.pass('Node 22', { skip: older.why })
    return serveInstalled(t, newer)
  }
  await t.test('Node 22', async (t) => {
    const place = new Consumer(join(folder, 'older'), older.node)
    const { code, stderr } = await place.npm('install', '--prefer-offline', tarball)
    t.equal(code, 0, stderr)
    await useInstalled(t, place)
    // The same files on both: once is enough.
    await serveInstalled(t, place)
  })
  return undefined
})
const demoDoors = ['grpc', 'http', 'ops'].flatMap((door) => [`--${door}`, '127.0.0.1:0'])

t.test('busbar-dlms has no dependencies and the same code', async (t) => {
  if (npmProgram() === undefined) return t.pass('unchecked', { skip: 'there is no npm here' })
  const place = new Consumer(join(folder, 'dlms'), process.execPath)
  const source = join(folder, 'busbar-dlms')
  const built = await place.program(
    join(root, 'core/ops/setup/build.mjs'),
    '--dlms',
    '--out',
    source,
  )
  t.equal(built.code, 0, built.stderr)
  const packed = await place.npm('pack', source, '--json', '--pack-destination', folder)
  t.equal(packed.code, 0, packed.stderr)
  const { code, stderr } = await place.npm(
    'install',
    '--offline',
    join(folder, `busbar-dlms-${manifest.version}.tgz`),
  )
  t.equal(code, 0, stderr)
  t.same(place.installed(), ['busbar-dlms'])
  const used = await place.script(
    'use.mjs',
    `import { decodeApdu, DlmsClient } from 'busbar-dlms'
import { nameOfObis } from 'busbar-dlms/cosem'
import { suites } from 'busbar-dlms/security'
const apdu = decodeApdu(Buffer.from('c001c100030100010800ff0200', 'hex'))
console.log(JSON.stringify([apdu.type, nameOfObis('1-0:1.8.0.255'), suites.length, typeof DlmsClient]))
`,
  )
  t.match(
    JSON.parse(used.stdout || '[]'),
    ['get-request-normal', /energy/, 3, 'function'],
    used.stderr,
  )
  const compiled = readdirSync(join(source, 'dist'), { recursive: true }) as string[]
  const scripts = compiled.filter((path) => path.endsWith('.js'))
  t.ok(scripts.length > 50, `${scripts.length} files`)
  t.same(
    scripts.filter(
      (path) =>
        readFileSync(join(source, 'dist', path), 'utf8') !==
        readFileSync(join(root, 'dist/core', path), 'utf8'),
    ),
    [],
    'as busbar/dlms has them',
  )
  return undefined
})
