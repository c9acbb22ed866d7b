/** What every command of operators says of the door that it asks. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { askDoor } from '../../../../actors/cli/operator/ask-door.ts'
import { registerFile } from '../../../../actors/cli/operator/device-registration.ts'
import { replaceKeysCommand } from '../../../../actors/cli/operator/keys-commands.ts'
import { inventoryCommand } from '../../../../actors/cli/operator/views-commands.ts'

type Seen = { method: string | undefined; url: string | undefined; type?: string; body: string }

t.test('a problem, something else, and nobody', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-door-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'inventory.jsonl')
  writeFileSync(file, '{"eui64":"00-DB-10-00-00-00-00-01"}\n')
  const seen: Seen[] = []
  let answer: [status: number, text: string] = [200, '{}']
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const { method, url } = request
      seen.push({ method, url, body })
      response.writeHead(answer[0], { connection: 'close' }).end(answer[1])
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const ops = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const none = (): void => undefined
  const device = '00-DB-10-00-00-00-00-01'
  const commands: Record<string, () => Promise<unknown>> = {
    keys: () => replaceKeysCommand(ops, [device], none),
    views: () => inventoryCommand(ops, { eui64: device, query: {}, limit: 1 }, none, true),
    registration: () => registerFile(file, ops),
    any: () => askDoor(ops, 'DELETE', '/v1/any'),
  }
  answer = [503, '{"code":"BROKER_LEDGER_FULL","detail":"no room"}']
  for (const [name, command] of Object.entries(commands))
    await t.rejects(command(), { message: /^BROKER_LEDGER_FULL: .*no room/ }, name)
  t.match(seen, [
    { method: 'POST', url: `/v1/devices/${device}/keys`, body: '' },
    { method: 'GET', url: `/v1/inventory/${device}?` },
    { method: 'POST', url: '/v1/devices', body: `[{"eui64":"${device}"}]` },
    { method: 'DELETE', url: '/v1/any', body: '' },
  ])
  answer = [404, 'no JSON']
  const others: Array<[string, RegExp]> = [
    ['keys', /^HTTP 404 from 127/],
    ['views', /has no views/],
    ['registration', /not the operators' door of a broker \(HTTP 404\)/],
    ['any', /^HTTP 404 from 127/],
  ]
  for (const [name, message] of others) await t.rejects(commands[name]!(), { message }, name)
  answer = [400, '{"registered":0,"refused":[{"index":0,"code":"DEVICE_UNKNOWN"}]}']
  t.match(await registerFile(file, ops), { refused: [{ line: 1, code: 'DEVICE_UNKNOWN' }] })
  await t.rejects(askDoor('127.0.0.1:1', 'GET', '/v1/any'), {
    message: /^nobody answers at 127\.0\.0\.1:1\. .*--ops host:port or BUSBAR_OPS/,
  })
})
