/**
 * The whole of Busbar as real processes, with kill -9 in the middle of load: of the broker, of
 * nats-server, of the meters. Whatever was acknowledged ends exactly once, and what is delivered
 * twice bears the same delivery id.
 */
import t from 'tap'
import { Deployment } from './support/deployment.ts'
import { InsistentSupplier } from './support/insistent-supplier.ts'

const roundCount = 12

t.test('kill -9 of everything in turn loses and doubles nothing', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(60)
  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const rounds = Array.from({ length: roundCount }, (_, round) =>
    devices.map(({ eui64 }) =>
      supplier.request(eui64, round + 1, round % 3 === 0 ? '4.1.1' : '11.2'),
    ),
  )
  const total = roundCount * devices.length

  const submitting = (async () => {
    for (const round of rounds) await supplier.submit(round)
  })()
  await supplier.until(() => supplier.delivered.size > total * 0.1)
  await deployment.killBroker()
  await deployment.startBroker()
  await supplier.until(() => supplier.delivered.size > total * 0.4)
  deployment.killNats()
  await supplier.until(() => supplier.delivered.size > total * 0.6)
  await deployment.killBroker()
  await deployment.startBroker()
  await submitting
  await supplier.until(() => supplier.delivered.size === total)

  t.equal(supplier.accepted.size, total, 'every request was accepted in the end')
  t.equal(supplier.refused.size, 0)
  const twice = [...supplier.delivered].filter(([, ids]) => ids.size !== 1)
  t.same(twice, [], 'each ended once: what came twice bears the same delivery id')
  t.equal(
    [...supplier.responses.values()].filter(({ responseCode }) => responseCode !== 'I0').length,
    0,
    'all were carried out',
  )
})
