/**
 * What the gateway counts: rejections by code from any decider, the time to acceptance, and nothing
 * in flight when idle.
 */
import t from 'tap'
import { createMetrics } from '../../../../core/ops/metrics.ts'
import { makeIntake, turnOver, wire } from '../held-intake.ts'
import { accepted } from '../rig.ts'

t.test('rejections by code, acceptance time, requests in flight', async (t) => {
  const metrics = createMetrics({ withProcess: false })
  const { bus, clock, intake, account, answers } = makeIntake({ metrics })
  for (let tag = 0; tag < 3; tag++) {
    const view = wire()
    intake.submit(account, view, 0, view.length, answers, tag)
  }
  const garbage = Buffer.from([0xff])
  intake.submit(account, garbage, 0, garbage.length, answers, 3)
  await bus.until(1)
  await turnOver()
  t.match(await metrics.text(), 'busbar_gateway_requests_in_flight 3\n')
  clock.advanceTo(clock.now() + 30)
  let n = 0
  bus.sent[0]!.answer(() => (n++ === 0 ? { outcome: 'DEVICE_UNKNOWN' } : accepted))
  await answers.until(4)
  const text = await metrics.text()
  t.match(text, 'busbar_gateway_requests_in_flight 0\n', 'idle: not the last busy value')
  t.match(text, 'busbar_gateway_requests_total 3\n')
  t.match(text, 'busbar_gateway_rejections_total{code="DEVICE_UNKNOWN"} 1\n')
  t.match(text, 'busbar_gateway_rejections_total{code="REQUEST_WIRE_MALFORMED"} 1\n')
  t.match(text, 'busbar_request_acceptance_seconds_count 2\n')
  t.match(text, 'busbar_request_acceptance_seconds_bucket{le="0.025"} 0\n')
  t.match(text, 'busbar_request_acceptance_seconds_bucket{le="0.05"} 2\n')
})
