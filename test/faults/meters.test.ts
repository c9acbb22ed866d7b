/**
 * kill -9 of all meters at once, under load. Those that come back within a request's attempts carry
 * it out; for those that stay away each request ends all the same, once, as one that could not be
 * carried out.
 */
import t from 'tap'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { Load } from '../support/load.ts'

t.test('meters are killed, come back, and are killed again for longer', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(40)
  const load = new Load(deployment)
  t.teardown(() => load.close())
  await load.progress()
  await load.outage(async () => {
    await kill(deployment.meters!)
    await deployment.startMeters()
  })
  await load.progress()
  t.same(load.failures, [], 'a meter that comes back at once is asked again')

  await kill(deployment.meters!)
  const { responses } = load.supplier
  await load.supplier.until(() => load.failures.length > 0)
  await deployment.startMeters()
  await load.progress()
  await load.finish()

  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  t.teardown(() => operator.close())
  await load.check(t, operator.ledger, false)
  const codes = new Map<string, number>()
  for (const { responseCode } of responses.values())
    codes.set(responseCode, (codes.get(responseCode) ?? 0) + 1)
  t.same(
    [...codes.keys()].filter((code) => !['I0', 'E20', 'E21'].includes(code)),
    [],
  )
  t.comment([...codes].join(' '))
})
