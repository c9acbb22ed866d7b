/**
 * The broker as a process at a nats-server that is not its own: the address may ask for TLS and
 * carry a token, and when the ledger cannot be followed any more the process ends by itself, with a
 * code that a supervisor acts on.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import { startTestNats } from '../../support/nats.ts'

const folder = mkdtempSync(join(tmpdir(), 'busbar-broker-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, 'parties.json'), JSON.stringify(demoPartiesJson))

/** A certificate of our own for 127.0.0.1; undefined without openssl. */
function selfSigned(): { certificate: string; key: string } | undefined {
  const certificate = join(folder, 'certificate.pem')
  const key = join(folder, 'key.pem')
  const made = spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=busbar-test',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-keyout',
    key,
    '-out',
    certificate,
  ])
  return made.status === 0 ? { certificate, key } : undefined
}

function startBroker(
  natsUrl: string,
  name: string,
  env: Record<string, string> = {},
): ChildProcess {
  const places = ['--data-dir', join(folder, name), '--parties', join(folder, 'parties.json')]
  const doors = ['--grpc', '127.0.0.1:0', '--http', '127.0.0.1:0', '--ops', '127.0.0.1:0']
  return spawn(
    process.execPath,
    [
      'actors/main.ts',
      'serve',
      ...places,
      ...doors,
      '--log-level',
      env['BUSBAR_LOG_LEVEL'] ?? process.env['BUSBAR_LOG_LEVEL'] ?? 'silent',
    ],
    {
      cwd: join(import.meta.dirname, '../../..'),
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env, BUSBAR_NATS_URL: natsUrl },
    },
  )
}

const textOf = async (stream: NodeJS.ReadableStream): Promise<string> => {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}

const made = selfSigned()
const tls = { skip: made === undefined && 'no openssl to make a certificate with' }

t.test(
  'TLS and a token in the address; a ledger that cannot be followed any more ends the process',
  tls,
  async (t) => {
    let token = 'first-token'
    const nats = await startTestNats({
      moreConfig: () => [
        `authorization { token: "${token}" }`,
        `tls { cert_file: "${made?.certificate}", key_file: "${made?.key}" }`,
      ],
    })
    t.teardown(() => nats.close())
    const url = `tls://${token}@127.0.0.1:${nats.port}`
    const broker = startBroker(url, 'one', { NODE_EXTRA_CA_CERTS: made?.certificate ?? '' })
    t.teardown(() => broker.kill('SIGKILL'))
    const ended = once(broker, 'exit')
    const complaint = textOf(broker.stderr!)
    const started = once(createInterface({ input: broker.stdout! }), 'line').then(([text]) =>
      String(text),
    )
    const line = await Promise.race([started, ended.then(() => complaint)])
    const { listening } = JSON.parse(line) as { listening: { nats: string; ops: string } }
    t.equal(listening.nats, `tls://127.0.0.1:${nats.port}`, 'shown without its token')

    // It is not let in any more: the client gives up, and with it everything that follows the
    // ledger.
    await nats.kill()
    token = 'second-token'
    await nats.start()
    const [code] = (await ended) as [number | null]
    t.equal(code, 1)
    t.match(
      await complaint,
      /^busbar: it cannot go on: (the connection to NATS is closed|\S+ is not followed any more)/m,
    )
  },
)

t.test('an address that lets nobody in is one clear message', async (t) => {
  const nats = await startTestNats({ moreConfig: () => ['authorization { token: "right" }'] })
  t.teardown(() => nats.close())
  const broker = startBroker(`nats://wrong@127.0.0.1:${nats.port}`, 'two')
  t.teardown(() => broker.kill('SIGKILL'))
  const complaint = textOf(broker.stderr!)
  const [code] = (await once(broker, 'exit')) as [number | null]
  t.equal(code, 1)
  t.match(await complaint, /^busbar: NATS_UNREACHABLE: .*127\.0\.0\.1:\d+: authorization/i)
  t.notMatch(await complaint, /wrong/)
})

t.test('health, and a signal that comes while it starts', async (t) => {
  const nats = await startTestNats()
  t.teardown(() => nats.close())
  const broker = startBroker(nats.url, 'three', { BUSBAR_LOG_LEVEL: 'info' })
  t.teardown(() => broker.kill('SIGKILL'))
  const ended = once(broker, 'exit')
  const errors = createInterface({ input: broker.stderr! })
  const output = textOf(broker.stdout!)
  // The ledger is made in the middle of the start: nothing listens yet.
  for await (const line of errors) {
    if (!line.includes('"ledger created"')) continue
    broker.kill('SIGTERM')
    break
  }
  broker.stderr!.resume()
  t.same(await ended, [0, null], 'it ends in order, not of the signal')
  await output

  const again = startBroker(nats.url, 'three')
  t.teardown(() => again.kill('SIGKILL'))
  const [line] = (await once(createInterface({ input: again.stdout! }), 'line')) as [string]
  const { ops } = (JSON.parse(line) as { listening: { ops: string } }).listening
  const health = async (...args: string[]): Promise<[number | null, string, string]> => {
    const child = spawn(process.execPath, ['actors/main.ts', 'health', ...args], {
      cwd: join(import.meta.dirname, '../../..'),
      env: { ...process.env, BUSBAR_OPS: ops },
    })
    const texts = Promise.all([textOf(child.stdout), textOf(child.stderr)])
    const [code] = (await once(child, 'exit')) as [number | null]
    return [code, ...(await texts)]
  }
  t.same(await health('--live'), [0, 'live\n', ''])
  const [code, said] = await health()
  t.ok(code === 0 ? said === 'ready\n' : /^\w+: /.test(said), `${code} ${said}`)
  again.kill('SIGTERM')
  await once(again, 'exit')
  const [gone, , why] = await health()
  t.equal(gone, 1)
  t.match(why, /nobody answers at .*--ops/)
})
