/**
 * What reaches the disk, and when: flushes of nats-server as the kernel sees them, far fewer than
 * requests and never fewer than ticks; no acknowledgement while the server stands still; and what
 * was acknowledged is there when the server is killed at that very moment.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { Deployment } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { startTestNats } from '../support/nats.ts'

/**
 * Counts fsync and fdatasync of a process until it is called off; undefined where the machine
 * cannot.
 */
async function countFlushes(pid: number): Promise<(() => Promise<number>) | undefined> {
  if (spawnSync('strace', ['-V']).status !== 0) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'busbar-strace-'))
  const file = join(folder, 'calls')
  const tracer = spawn(
    'strace',
    ['-f', '-e', 'trace=fsync,fdatasync', '-o', file, '-p', String(pid)],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const ended = once(tracer, 'exit')
  const isAttached = await Promise.race([
    once(tracer.stderr, 'data').then(([said]) => /attached/.test(String(said))),
    ended.then(() => false),
  ])
  if (!isAttached) return undefined
  return async () => {
    tracer.kill('SIGINT')
    await ended
    const calls = readFileSync(file, 'utf8').match(/\b(fsync|fdatasync)\(/g) ?? []
    rmSync(folder, { recursive: true })
    return calls.length
  }
}

t.test('group commit, and acknowledgements behind it', async (t) => {
  const nats = await startTestNats()
  t.teardown(() => nats.close())
  const deployment = new Deployment({ cluster: { url: nats.url, replicas: 1 } })
  t.teardown(() => deployment.stop())
  await deployment.start(40)
  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const operator = await openOperatorLedger({ url: nats.url })
  t.teardown(() => operator.close())

  const requests = Array.from({ length: 20 }, (_, round) =>
    devices.map(({ eui64 }) => supplier.request(eui64, round + 1, '11.2')),
  ).flat()
  const before = await auditOf(operator.ledger)
  const flushesOf = await countFlushes(nats.pid!)
  await supplier.submit(requests)
  await supplier.until(() => supplier.delivered.size === requests.length)
  const flushes = await flushesOf?.()
  const ticks = (await auditOf(operator.ledger)).ticks - before.ticks
  if (flushes === undefined)
    t.comment('SKIPPED: flushes are not counted, strace is missing or may not attach')
  else {
    t.comment(`${requests.length} requests there and back: ${ticks} ticks, ${flushes} flushes`)
    t.ok(flushes >= ticks, 'each tick was flushed')
    t.ok(flushes < requests.length, 'many requests share a flush')
  }

  nats.freeze()
  const late = devices.map(({ eui64 }) => supplier.request(eui64, 100, '11.2'))
  const submitting = supplier.submit(late)
  for (let why = ''; !why.includes('no connection to nats-server');) {
    why = await (await fetch(`http://${deployment.listening.ops}/health/ready`)).text()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.equal(supplier.accepted.size, requests.length, 'nothing is acknowledged that is not on disk')
  nats.thaw()
  await submitting
  t.equal(supplier.accepted.size, requests.length + late.length)

  const last = supplier.request(devices[0]!.eui64, 101, '11.2')
  await supplier.submit([last])
  await nats.kill()
  await nats.start()
  const found: string[] = []
  await auditOf(operator.ledger, ({ requestId, what }) => {
    if (requestId?.endsWith(':101')) found.push(what)
  })
  t.equal(found[0], 'REQUEST_ACCEPTED 11.2', 'killed behind the acknowledgement')
  await supplier.until(() => supplier.delivered.size === requests.length + late.length + 1)
})
