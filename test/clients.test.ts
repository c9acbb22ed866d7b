/**
 * Clients in other languages against a real broker: what the contract says is enough to write one.
 * A client whose language or libraries are not on this machine is skipped, and the skip says what
 * is missing.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { demoPartiesJson } from '../core/access/parties.ts'
import { Deployment } from './support/deployment.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const clients = join(root, 'test', 'clients')
const protos = join(root, 'proto')
/** Generous: Go compiles gRPC first. */
const runMsMax = 300_000

type Result = { isGood: boolean; out: string; err: string }
type Environment = Readonly<Record<string, string>>

function run(
  command: string,
  args: readonly string[],
  cwd = root,
  env: Environment = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const options = { cwd, env: { ...process.env, ...env }, timeout: runMsMax }
    execFile(command, args, options, (error, out, err) =>
      resolve({ isGood: error === null, out, err: `${err}${error?.message ?? ''}` }),
    )
  })
}

const deployment = new Deployment()
t.before(() => deployment.start(4))
t.teardown(() => deployment.stop())

const party = demoPartiesJson[0]!.eui64
const target = (): string => deployment.devices.find(({ type }) => type === 'ESME')!.eui64

function checkStory(t: Test, { isGood, out, err }: Result, field: string): void {
  t.ok(isGood, err)
  const { counter, readings, ...story } = JSON.parse(out) as Record<string, unknown>
  t.same(story, {
    acknowledged: 'I99',
    repeated: 'I99',
    response: 'I0',
    received: true,
    rejected: 'REQUEST_ID_MALFORMED',
    fields: [field],
  })
  t.ok(BigInt(String(counter)) > 0n, 'the gateway has assigned a counter')
  t.ok(Number(readings) > 0)
}

t.test('Python over HTTP, with its standard library alone', async (t) => {
  const { isGood } = await run('python3', ['-c', 'import sys; assert sys.version_info >= (3, 8)'])
  if (!isGood) return t.plan(0, 'needs Python 3.8 or newer as python3')
  const file = join(clients, 'python', 'http_client.py')
  checkStory(
    t,
    await run('python3', [file, deployment.listening.http, party, target()]),
    'requestId.target',
  )
})

t.test('Python over gRPC', async (t) => {
  const { isGood } = await run('python3', ['-c', 'import grpc, grpc_tools.protoc'])
  if (!isGood) return t.plan(0, 'needs grpcio and grpcio-tools for python3')
  const file = join(clients, 'python', 'grpc_client.py')
  const result = await run('python3', [file, deployment.listening.grpc, party, target(), protos])
  checkStory(t, result, 'request_id.target')
})

/**
 * Why the Go client cannot be built here, or undefined. Nothing is fetched: modules come from the
 * cache of Go.
 */
async function goFault(folder: string, env: Environment): Promise<string | undefined> {
  for (const command of ['go', 'protoc-gen-go', 'protoc-gen-go-grpc']) {
    const { isGood } = await run(command, [command === 'go' ? 'version' : '--version'])
    if (!isGood) return `needs ${command} on the PATH`
  }
  const { isGood } = await run('go', ['mod', 'download'], folder, env)
  return isGood
    ? undefined
    : 'needs the modules of test/clients/go/go.mod in the cache: go mod download'
}

/** Stubs in `folder`, as the module named busbar has them. */
function generateGo(folder: string): Promise<Result> {
  const buf = join(
    dirname(createRequire(import.meta.url).resolve('@bufbuild/buf/package.json')),
    'bin',
    'buf',
  )
  const plugins = ['protoc-gen-go', 'protoc-gen-go-grpc'].map((local) => ({
    local,
    out: '.',
    opt: 'module=busbar',
  }))
  const template = join(folder, 'buf.gen.json')
  writeFileSync(template, JSON.stringify({ version: 'v2', plugins }))
  return run(
    process.execPath,
    [buf, 'generate', '--template', template, '--output', folder],
    protos,
  )
}

t.test('Go over gRPC', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-go-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(clients, 'go'), folder, { recursive: true })
  const env = { GOPROXY: 'off', GOSUMDB: 'off', GOFLAGS: '-mod=mod' }
  const fault = await goFault(folder, env)
  if (fault !== undefined) return t.plan(0, fault)
  const generated = await generateGo(folder)
  t.ok(generated.isGood, generated.err)
  const args = ['run', '.', deployment.listening.grpc, party, target()]
  checkStory(t, await run('go', args, folder, env), 'request_id.target')
})
