/**
 * Everything is stopped in order and started again, one after the other, under load: no
 * acknowledged request fails or is lost.
 */
import t from 'tap'
import { openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { Deployment } from '../support/deployment.ts'
import { Load } from '../support/load.ts'
import { startTestNats } from '../support/nats.ts'

t.test('a rolling restart of meters, hosts, gateway and nats-server', async (t) => {
  const nats = await startTestNats()
  t.teardown(() => nats.close())
  const deployment = new Deployment({ cluster: { url: nats.url, replicas: 1 } })
  t.teardown(() => deployment.stop())
  await deployment.start(40)
  let second = await deployment.startHost('second')
  t.teardown(() => second.stop())
  const load = new Load(deployment)
  t.teardown(() => load.close())
  await load.progress()

  await second.stop()
  second = await deployment.startHost('second')
  await load.progress()
  await deployment.broker!.stop()
  await deployment.startBroker()
  await load.progress()
  await load.outage(async () => {
    await deployment.meters!.stop()
    await deployment.startMeters()
  })
  await load.progress()
  await nats.stop()
  await nats.start()
  await load.progress()
  await load.finish()

  const operator = await openOperatorLedger({ url: nats.url })
  t.teardown(() => operator.close())
  await load.check(t, operator.ledger)
})
