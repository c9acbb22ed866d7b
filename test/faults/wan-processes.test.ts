/**
 * Gateway, host and connections to devices as processes of their own over one nats-server, under
 * load: one of two wan processes is killed, one ends in order, one joins. Whatever was acknowledged
 * ends once.
 */
import t from 'tap'
import {
  clusterStatus,
  formatStatus,
  heardWanIds,
  type ClusterStatus,
} from '../../actors/cli/operator/cluster-status.ts'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import type { Child } from '../../actors/demo/children.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'

const roundCount = 12

/** A sum over the metrics of a process by name, whatever their labels. */
async function metricOf(child: Child, name: string): Promise<number> {
  const { ops } = child.said['listening'] as { ops: string }
  const text = await (await fetch(`http://${ops}/metrics`)).text()
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

async function readinessOf(child: Child): Promise<string> {
  const { ops } = child.said['listening'] as { ops: string }
  return (await fetch(`http://${ops}/health/ready`)).text()
}

t.test('gateway, host and two wan processes: one is killed, one leaves, one joins', async (t) => {
  // Several addresses, so that both wan processes have some.
  const deployment = new Deployment({ roles: 'gateway', metersPerListener: 4 })
  t.teardown(() => deployment.stop())
  let host: Child | undefined
  await deployment.start(60, '', async () => {
    host = await deployment.startHost('host', 'host')
    t.teardown(() => host?.stop())
  })
  t.match(await readinessOf(host!), /wan: no process with the role wan is alive/)
  const startWan = async (name: string): Promise<Child> => {
    const child = await deployment.startHost(name, 'wan')
    t.teardown(() => child.stop())
    return child
  }
  const [first, second] = await Promise.all([startWan('wan-1'), startWan('wan-2')])
  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  t.teardown(() => operator.close())
  const statusNow = async (wanIds: string[]): Promise<ClusterStatus> =>
    clusterStatus({ ...operator, cursors: await operator.cursors(), wanIds })
  const wanIds = await heardWanIds(operator.bus, systemClock)
  const status = await statusNow(wanIds)
  t.same(status.hosts[0]?.roles, ['host'])
  t.same([status.hosts.length, status.wans.length, status.silent.length], [1, 2, 0])
  t.ok(formatStatus(status).some((line) => /^wan \S+ {2}wan {2}\d+ connections/.test(line)))
  t.match(await readinessOf(host!), /"ready"/)

  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  let round = 0
  const submitRounds = async (count: number): Promise<void> => {
    for (const end = round + count; round < end; round++)
      await supplier.submit(devices.map(({ eui64 }) => supplier.request(eui64, round + 1, '11.2')))
  }
  const allEnded = (): Promise<void> =>
    supplier.until(() => supplier.delivered.size === round * devices.length)
  /** Settles when exchanges are under way there. */
  const isBusy = (child: Child): Promise<number> =>
    polled(
      () => metricOf(child, 'busbar_wan_exchanges_under_way'),
      (count) => count > 0,
    )
  const lost = (): Promise<number> => metricOf(host!, 'busbar_wan_bus_exchanges_lost_total')

  await submitRounds(4)
  await allEnded()
  const carried = 'busbar_wan_carried_exchanges_total'
  const shares = [await metricOf(first, carried), await metricOf(second, carried)]
  t.ok(Math.min(...shares) > 0, `both have addresses: ${shares.join(' and ')} exchanges`)
  t.equal(await lost(), 0)

  await deployment.tellMeters('slow=2s')
  await submitRounds(2)
  await isBusy(first)
  await kill(first)
  const killedAt = performance.now()
  await deployment.tellMeters('')
  await submitRounds(2)
  await allEnded()
  const lostByKill = await lost()
  t.ok(lostByKill > 0, `${lostByKill} exchanges were under way where it was killed`)
  t.comment(`all home ${Math.round(performance.now() - killedAt)} ms after kill -9`)

  await startWan('wan-1')
  await deployment.tellMeters('slow=2s')
  await submitRounds(2)
  await isBusy(second)
  const stopped = second.stop()
  await submitRounds(2)
  await stopped
  await allEnded()
  t.equal(await lost(), lostByKill, 'one that ends in order loses nothing')

  const total = roundCount * devices.length
  t.equal(supplier.accepted.size, total)
  t.same(
    [...supplier.delivered].filter(([, ids]) => ids.size !== 1),
    [],
    'each ended once: what came twice bears the same delivery id',
  )
  const codes = new Set(Array.from(supplier.responses.values(), (one) => one.responseCode))
  t.same([...codes], ['I0'], 'retries have brought all of them home')
  const audit = await auditOf(operator.ledger)
  t.same(audit.faults, [])
  t.same([audit.accepted, audit.ended, audit.open], [total, total, 0])
  const frames = await metricOf(host!, 'busbar_wan_bus_frames_total')
  t.comment(
    `${await metricOf(host!, 'busbar_wan_bus_exchanges_total')} exchanges, ${frames} frames`,
  )
})
