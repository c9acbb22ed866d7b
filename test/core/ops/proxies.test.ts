/**
 * Variables that name a proxy change nothing for what goes to this machine: calls over gRPC and
 * over HTTP go there directly.
 */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import t from 'tap'
import { isLoopbackHost } from '../../../core/base/loopback.ts'
import { SupplierClient } from '../../../core/client/supplier-client.ts'
import { directFetch } from '../../../core/ops/direct-fetch.ts'

const names = ['http_proxy', 'https_proxy', 'all_proxy', 'grpc_proxy']
/** Nobody listens there. */
const proxied: Record<string, string> = {
  NODE_USE_ENV_PROXY: '1',
  ...Object.fromEntries(
    names.flatMap((name) => [
      [name, 'http://127.0.0.1:2'],
      [name.toUpperCase(), 'http://127.0.0.1:2'],
    ]),
  ),
}

if (process.argv[2] === 'child') await reach()
else await test()

/** With the variables set before Node started, as they are for a command. */
async function reach(): Promise<void> {
  const said: string[] = []
  for (const host of ['127.0.0.1', '127.0.0.5', '::1']) {
    const server = createServer((_request, response) => response.end('direct')).listen(0, host)
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const url = `http://${host === '::1' ? '[::1]' : host}:${port}/`
    said.push(await directFetch(url).then((answer) => answer.text(), String))
    server.close()
  }
  const elsewhere = directFetch('http://gateway.example:8080/')
  said.push(await elsewhere.then(String, (fault: Error) => String((fault.cause as Error).message)))
  const server = new Server()
  const port = await new Promise<number>((settle, refuse) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (fault, bound) =>
      fault ? refuse(fault) : settle(bound),
    ),
  )
  for (const address of [`127.0.0.1:${port}`, `localhost:${port}`, `ipv4:127.0.0.1:${port}`]) {
    const client = new SupplierClient({
      address,
      credentials: { party: '90-B3-D5-1F-30-01-00-00' },
    })
    const fault = await client.submitBatch([]).catch((why: { code: number }) => why)
    said.push(status[(fault as { code: number }).code]!)
    client.close()
  }
  process.stdout.write(JSON.stringify(said))
  process.exit(0)
}

async function test(): Promise<void> {
  t.test('hosts that are this machine', (t) => {
    for (const host of [
      '127.0.0.1',
      '127.1.2.3',
      '0.0.0.0',
      '::1',
      '[::1]',
      '0:0:0:0:0:0:0:1',
      '::ffff:127.0.0.1',
      '::',
      'localhost',
      'LOCALHOST.',
      'a.localhost',
    ])
      t.ok(isLoopbackHost(host), host)
    for (const host of [
      '128.0.0.1',
      '::2',
      '::ffff:10.0.0.1',
      'localhost.example',
      '127.0.0.1.example',
      '',
    ])
      t.notOk(isLoopbackHost(host), host)
    t.end()
  })

  for (const [name, more] of Object.entries({
    'every variable that names a proxy': {},
    'and an exception for others': { no_proxy: 'other.example', NO_PROXY: 'other.example' },
    'and an exception in capitals': { NO_PROXY: 'other.example' },
  }))
    t.test(name, (t) => {
      const { stdout, stderr } = spawnSync(
        process.execPath,
        [fileURLToPath(import.meta.url), 'child'],
        { env: { PATH: process.env['PATH'], ...proxied, ...more }, encoding: 'utf8' },
      )
      const said = JSON.parse(stdout || JSON.stringify([stderr])) as string[]
      t.strictSame(said.slice(0, 3), ['direct', 'direct', 'direct'])
      t.match(said[3], /127\.0\.0\.1:2/, 'another machine is reached over the proxy')
      t.strictSame(said.slice(4, 7), ['UNIMPLEMENTED', 'UNIMPLEMENTED', 'UNIMPLEMENTED'])
      t.end()
    })
}
