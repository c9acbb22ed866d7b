/**
 * Two hosts as real processes over one nats-server, under load: one is killed, one is stopped past
 * its lease and goes on, one joins and one leaves in order. Whatever was acknowledged ends once,
 * and the ledger's chains hold.
 */
import t from 'tap'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import {
  clusterStatus,
  formatStatus,
  type ClusterStatus,
} from '../../actors/cli/operator/cluster-status.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { decodeLease, leaseSubject } from '../../core/cluster/lease-record.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'

const roundCount = 24
/** What core/PROMISES.md states. */
const takeoverMsMax = 5_000

t.test(
  'hosts join, are killed, stopped past their lease, and leave: nothing is lost or doubled',
  async (t) => {
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
    const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
    t.teardown(() => operator.close())
    /** Settles when the cluster is so. */
    const until = (isSo: (status: ClusterStatus) => boolean): Promise<ClusterStatus> =>
      polled(async () => clusterStatus({ ...operator, cursors: await operator.cursors() }), isSo)
    /**
     * When the last partition was taken, as its new owner has recorded it: what this test takes to
     * ask does not count.
     */
    const lastTakenAtMs = async (): Promise<number> => {
      const leases = await Promise.all(
        Array.from({ length: operator.partitionCount }, (_, partition) =>
          operator.ledger.lastOn(leaseSubject(partition)),
        ),
      )
      return Math.max(...leases.map((lease) => decodeLease(lease!.data).takenAtMs))
    }
    const isWhole = (count: number) => (status: ClusterStatus) =>
      status.hosts.length === count &&
      status.silent.length === 0 &&
      status.partitions.every(({ isAlive }) => isAlive) &&
      status.hosts.every(({ partitions }) => partitions.length > 0)

    let goOn = (): void => {}
    const submitting = (async () => {
      for (const [index, round] of rounds.entries()) {
        await supplier.submit(round)
        // Every phase below has load of its own.
        if (index % 4 === 3) await new Promise<void>((resolve) => (goOn = resolve))
      }
    })()
    const done = (share: number): Promise<void> =>
      supplier.until(() => supplier.accepted.size >= total * share)

    await done(1 / 6)
    goOn()
    let second = await deployment.startHost('second')
    const joined = await until(isWhole(2))
    t.ok(
      joined.hosts.every(({ partitions }) => partitions.length === 8),
      'half and half',
    )
    t.ok(formatStatus(joined).length > 16)

    await done(2 / 6)
    goOn()
    const killedAtMs = Date.now()
    await kill(second)
    await until(isWhole(1))
    t.comment(`seen whole ${Date.now() - killedAtMs} ms after kill -9`)
    t.ok(
      (await lastTakenAtMs()) - killedAtMs <= takeoverMsMax,
      'the partitions of a dead host are taken within 5 s (core/PROMISES.md)',
    )

    await done(3 / 6)
    goOn()
    second = await deployment.startHost('second')
    await until(isWhole(2))
    second.process.kill('SIGSTOP')
    await until(
      (status) => status.hosts.length === 1 && status.partitions.every(({ isAlive }) => isAlive),
    )
    await done(4 / 6)
    goOn()
    second.process.kill('SIGCONT')
    await until(isWhole(2))
    t.pass('the stale owner has come back, and has a share again')

    await done(5 / 6)
    goOn()
    const leavingAt = performance.now()
    await second.stop()
    await until(isWhole(1))
    t.comment(`left in order within ${Math.round(performance.now() - leavingAt)} ms`)
    await done(1)
    goOn()
    await submitting
    await supplier.until(() => supplier.delivered.size === total)

    t.equal(supplier.accepted.size, total, 'every request was accepted in the end')
    t.equal(supplier.refused.size, 0)
    t.same(
      [...supplier.delivered].filter(([, ids]) => ids.size !== 1),
      [],
      'each ended once: what came twice bears the same delivery id',
    )
    const audit = await auditOf(operator.ledger)
    t.same(audit.faults, [], 'every hash chain holds')
    t.equal(audit.accepted, total)
    t.equal(audit.ended, total)
    t.equal(audit.open, 0)
  },
)
