/** Metrics of a whole deployment under load and at rest: what an operator's dashboard shows. */
import t from 'tap'
import { Deployment } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'

t.test(
  'after the load every gauge of work is zero, and the histograms have every request',
  async (t) => {
    const deployment = new Deployment()
    t.teardown(() => deployment.stop())
    await deployment.start(20)
    const supplier = new InsistentSupplier(deployment.listening.grpc)
    t.teardown(() => supplier.close())
    const devices = deployment.devices.filter(({ type }) => type === 'ESME')
    const total = devices.length * 2
    const valueOf = async (series: string): Promise<number> => {
      const text = await (await fetch(`http://${deployment.listening.ops}/metrics`)).text()
      const line = text.split('\n').find((one) => one.startsWith(`${series} `))
      return line === undefined ? Number.NaN : Number(line.slice(series.length + 1))
    }
    const until = async (series: string, wanted: number): Promise<void> => {
      await polled(
        () => valueOf(series),
        (value) => value === wanted,
      )
      t.pass(`${series} is ${wanted}`)
    }
    for (const round of [1, 2])
      await supplier.submit(devices.map(({ eui64 }) => supplier.request(eui64, round, '11.2')))
    const pending = 'busbar_party_deliveries_pending{party="90-B3-D5-1F-30-01-00-00"}'
    await until('busbar_request_completion_seconds_count', total)
    t.equal(await valueOf(pending), total, 'nobody has fetched a delivery')
    t.ok((await valueOf(pending.replace('deliveries_pending', 'delivery_age_seconds'))) >= 0)
    supplier.receive()
    await until(pending, 0)
    for (const gauge of [
      'busbar_gateway_requests_in_flight',
      'busbar_exchanges_under_way',
      'busbar_mailbox_messages',
      'busbar_wan_exchanges_under_way',
    ])
      await until(gauge, 0)
    t.equal(await valueOf('busbar_request_acceptance_seconds_count'), total)
    t.equal(await valueOf('busbar_requests_ended_total{code="OK"}'), total)
    t.equal(await valueOf('busbar_ready'), 1)
    t.equal(await valueOf('busbar_nats_server_up'), 1)
  },
)
