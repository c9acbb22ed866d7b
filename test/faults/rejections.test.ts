/**
 * What a device rejects is on disk before the answer: kill -9 right behind it loses no record, and
 * doubles none.
 */
import t from 'tap'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { polled } from '../support/polled.ts'
import { Deployment } from '../support/deployment.ts'

type Json = any // oxlint-disable-line typescript/no-explicit-any

t.test('rejections through a kill of the broker', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(2)
  const party = demoPartiesJson[0]!.eui64
  const target = '00-DB-00-00-00-00-99-99'
  const counters = Array.from({ length: 6 }, (_, index) => String(index + 1))
  for (const counter of counters) {
    const answer = await fetch(`http://${deployment.listening.http}/v1/service-requests`, {
      method: 'POST',
      headers: { 'x-busbar-party': party, 'content-type': 'application/json' },
      body: JSON.stringify({
        requestId: { originator: party, target, counter },
        serviceReferenceVariant: '4.1.1',
      }),
    })
    t.match(await answer.json(), { responseCode: 'E19' })
  }
  await deployment.killBroker()
  await deployment.startBroker()
  const read = async (path: string): Promise<Json> =>
    (await fetch(`http://${deployment.listening.ops}${path}`)).json()
  const { rejections } = await polled(
    () => read('/v1/rejections?code=DEVICE_UNKNOWN'),
    (answer) => answer.rejections !== undefined,
  )
  t.same(
    rejections.map((one: Json) => one.requestId),
    counters.map((counter) => `${party}:${target}:${counter}`),
  )
  const id = encodeURIComponent(`${party}:${target}:3`)
  const { decisions } = await read(`/v1/requests/${id}/explanation`)
  t.match(decisions, [{ code: 'DEVICE_UNKNOWN', decidedBy: 'device' }])
  const check = decisions[0].checks.find((one: Json) => one.result === 'failed')
  t.match(check, { id: 'device', ground: 'the target is not in the inventory' })
})
