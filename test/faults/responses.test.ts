/**
 * GetResponse through real processes: from the ledger after kill -9 of the broker, and at a second
 * gateway.
 */
import t from 'tap'
import { busbarCode, SupplierClient } from '../../core/client/supplier-client.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { freePort } from '../support/free-port.ts'
import { startChild } from '../../actors/demo/children.ts'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { join } from 'node:path'

const party = demoPartiesJson[0]!.eui64

t.test('responses are read by RequestID, also after a restart and elsewhere', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(10)
  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const requests = [1, 2, 3].flatMap((counter) =>
    devices.map(({ eui64 }) => supplier.request(eui64, counter, '4.1.1')),
  )
  await supplier.submit(requests)
  let address = deployment.listening.grpc
  const readAll = async (): Promise<string[]> => {
    const client = new SupplierClient({ address, credentials: { party } })
    try {
      const deliveries = await Promise.all(
        requests.map(({ requestId }) => client.response(requestId!, { waitMs: 30_000 })),
      )
      return deliveries.map(({ deliveryId, content }, i) => {
        const response = content?.$case === 'response' ? content.value : undefined
        const { target, counter } = requests[i]!.requestId!
        t.match(response, { requestId: { target, counter }, responseCode: 'I0' })
        return String(deliveryId)
      })
    } finally {
      client.close()
    }
  }
  const ids = await readAll()
  t.equal(new Set(ids).size, requests.length)
  await deployment.killBroker()
  await deployment.startBroker()
  t.same(await readAll(), ids, 'the same after kill -9')

  const grpc = `127.0.0.1:${await freePort()}`
  const second = await startChild([
    'serve',
    '--roles',
    'gateway',
    '--data-dir',
    join(deployment.dataDir, 'second'),
    '--parties',
    join(deployment.dataDir, 'parties.json'),
    '--nats-url',
    deployment.natsUrl,
    '--grpc',
    grpc,
    '--http',
    '127.0.0.1:0',
    '--ops',
    '127.0.0.1:0',
    '--log-level',
    'silent',
  ])
  t.teardown(() => kill(second))
  address = grpc
  t.same(await readAll(), ids, 'the same at another gateway')
  const here = new SupplierClient({ address: deployment.listening.grpc, credentials: { party } })
  const there = new SupplierClient({ address: grpc, credentials: { party } })
  t.teardown(() => [here, there].forEach((client) => client.close()))
  let count = 0
  await new Promise<void>((resolve) => {
    const stream = here.receive(100, (list) => {
      stream.acknowledge(list.at(-1)!.deliveryId)
      count += list.length
      if (count === requests.length) resolve()
    })
  })
  t.same(await readAll(), ids, 'also when acknowledged')
  const refused = there.receive(100, () => {}, { onlyIfFree: true })
  const why = await refused.done.then(
    () => 'ended',
    (error: unknown) => busbarCode(error),
  )
  t.equal(why, 'DELIVERY_RECEIVER_PRESENT', 'the seat is known across gateways')
  const unknown = { ...requests[0]!.requestId!, counter: 999n }
  const code = await there.response(unknown).then(
    () => 'found',
    (error: unknown) => busbarCode(error),
  )
  t.equal(code, 'REQUEST_NOT_FOUND')
})
