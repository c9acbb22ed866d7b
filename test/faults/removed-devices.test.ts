/**
 * Operators remove devices of a running broker, over HTTP and with the command: open requests end,
 * lists show the device no more, and it stays removed through kill -9 until it is registered again.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { registerWholeFile } from '../../actors/cli/operator/device-registration.ts'
import { show } from '../../actors/cli/operator/ledger-commands.ts'
import { tail } from '../../actors/cli/operator/ledger-tail.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'

const main = fileURLToPath(new URL('../../actors/main.ts', import.meta.url))
const busbar = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [main, ...args])
    return { code: 0, out: stdout, err: stderr }
  } catch (fault) {
    const { code, stdout, stderr } = fault as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

t.test('devices are removed and come back', async (t) => {
  const deployment = new Deployment({ roles: 'gateway,host,wan,views' })
  t.teardown(() => deployment.stop())
  await deployment.start(4)
  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const [first, second] = deployment.devices.filter(({ type }) => type === 'ESME')
  const [one, two] = [first!.eui64, second!.eui64]
  const { ops } = deployment.listening
  const call = async (path: string, method = 'GET') => {
    const response = await fetch(`http://${ops}/v1/devices${path}`, { method })
    return { status: response.status, answer: (await response.json()) as Record<string, unknown> }
  }
  const listed = async (): Promise<string[]> => {
    const { answer } = await call('')
    return (answer['rows'] as { eui64: string }[]).map(({ eui64 }) => eui64)
  }

  await supplier.submit([supplier.request(one, 1, '11.2')])
  await supplier.until(() => supplier.delivered.size === 1)
  await polled(listed, (all) => all.length === 4)
  // Nobody answers: what follows waits for its next attempt.
  await kill(deployment.meters!)
  await supplier.submit([2, 3].map((counter) => supplier.request(one, counter, '11.2')))
  await supplier.submit([supplier.request(two, 1, '11.2')])

  t.match(await call(`/${one}`, 'DELETE'), {
    status: 400,
    answer: { code: 'VIEW_QUERY_INVALID', detail: /by must say who removes the device/ },
  })
  t.match(await call(`/${one}?by=ann&to=7`, 'DELETE'), { status: 400 })
  t.same(await call(`/${one}?by=ann`, 'DELETE'), {
    status: 200,
    answer: { removed: one, wasRemovedBefore: false },
  })
  await supplier.until(() => supplier.delivered.size === 3)
  for (const counter of [2, 3])
    t.match(supplier.responses.get(`${one}:${counter}`), {
      responseCode: 'E19',
      reason: 'DEVICE_REMOVED',
    })
  t.same(await call(`/${one}?by=ann`, 'DELETE'), {
    status: 200,
    answer: { removed: one, wasRemovedBefore: true },
  })
  const never = await call('/00-DB-10-00-00-7F-FF-FF?by=ann', 'DELETE')
  t.match(never, { status: 404, answer: { code: 'DEVICE_UNKNOWN' } })
  await supplier.submit([supplier.request(one, 4, '11.2')])
  t.match(supplier.refused.get(`${one}:4`), { reason: 'DEVICE_UNKNOWN' })
  await polled(listed, (all) => !all.includes(one))
  t.match(await call(`/${one}`), { status: 404, answer: { code: 'DEVICE_UNKNOWN' } })

  const unconfirmed = await busbar('devices', 'remove', two, '--ops', ops)
  t.equal(unconfirmed.code, 1)
  t.match(unconfirmed.err, /nothing is removed.*--yes/)
  t.ok((await listed()).includes(two))
  const confirmed = await busbar('devices', 'remove', two, '--yes', '--by', 'bob', '--ops', ops)
  t.match(confirmed, { code: 0, out: `${two} removed\n` })
  const again = await busbar('devices', 'remove', two, '--yes', '--json', '--ops', ops)
  t.equal(again.code, 0)
  t.same(JSON.parse(again.out), { removed: two, wasRemovedBefore: true })
  await supplier.until(() => supplier.delivered.size === 4)

  await deployment.killBroker()
  await deployment.startBroker()
  await supplier.submit([supplier.request(two, 2, '11.2')])
  t.match(supplier.refused.get(`${two}:2`), { reason: 'DEVICE_UNKNOWN' }, 'after kill -9')

  await deployment.startMeters()
  await registerWholeFile(deployment.devicesFile, ops)
  await polled(listed, (all) => all.length === 4)
  await supplier.submit([1, 2, 5].map((counter) => supplier.request(one, counter, '11.2')))
  await supplier.until(() => supplier.delivered.has(`${one}:5`))
  t.match(supplier.responses.get(`${one}:5`), { responseCode: 'I0' })
  t.equal(supplier.delivered.size, 5, 'repeats ran no second time')
  t.ok([...supplier.delivered.values()].every((ids) => ids.size === 1))

  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  const lines: string[] = []
  const print = (line: string): void => void lines.push(line)
  await show(operator.ledger, `${supplier.party}:${one}:2`, print)
  t.match(lines.join('\n'), /REQUEST_ENDED DEVICE_REMOVED/)
  const removals: string[] = []
  const { promise: both, resolve } = Promise.withResolvers<void>()
  await tail(operator.ledger, {
    from: 1,
    count: Infinity,
    print: (line) => {
      if (!line.includes('DEVICE_REMOVED by')) return
      if (removals.push(line) === 2) resolve()
    },
    until: both,
  })
  t.match(removals.join('\n'), new RegExp(`${one}.*by "ann"[^]*${two}.*by "bob"`))
  await operator.close()
})
