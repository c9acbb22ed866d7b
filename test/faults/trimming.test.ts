/**
 * A small ledger under a long load, as real processes: it forgets what is in snapshots and was
 * acknowledged, goes on without refusing, keeps what an absent party has not fetched, and a host
 * that comes without a store takes its partitions from the snapshots.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { backup } from '../../actors/cli/operator/backup.ts'
import { clusterStatus } from '../../actors/cli/operator/cluster-status.ts'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import {
  addressOf,
  backupPortsOf,
  openOperatorLedger,
} from '../../actors/cli/operator/operator-ledger.ts'
import { restoreInto } from '../../actors/cli/operator/restore.ts'
import { trimRecordOf } from '../../actors/runtime/recovery/trimmed-history.ts'
import { Deployment } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'
import { statesIn } from '../support/state-hash.ts'

process.env['BUSBAR_LEDGER_BYTES'] = '16MiB'

const deviceCount = 40
/** An other user, who may read profiles. */
const absentParty = '90-B3-D5-1F-30-07-00-00'

t.test('a ledger of 16 MiB takes more than it holds', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(deviceCount)
  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  t.teardown(() => operator.close())

  const to = new Date()
  const from = new Date(to.getTime() - 7 * 86_400_000)
  const week = { $case: 'readPeriod', value: { startTime: from, endTime: to } } as const
  let counter = 0
  /** Four requests a device, each with an answer of a week of half hours. */
  const load = async (by = supplier, count = 4): Promise<void> => {
    const requests = Array.from({ length: count }, () => {
      counter++
      return devices.map(({ eui64 }) => by.request(eui64, counter, '4.8.1', week))
    })
    await by.submit(requests.flat())
    if (by === supplier)
      await supplier.until(() => supplier.delivered.size === supplier.accepted.size)
    // Weeks of readings, which nobody looks at and which the collector would go through each time.
    supplier.responses.clear()
  }
  const through = async (): Promise<number> => (await trimRecordOf(operator.ledger)).through

  await load()
  const first = (await operator.ledger.usage()).bytes
  let times = 1
  while (times * first < 1.5 * 16 * 1024 * 1024) {
    await load()
    times++
  }
  t.equal(supplier.refused.size, 0, `${times * 4 * devices.length} requests, none refused`)
  t.ok((await through()) > 0)

  // A party that is away: what it is owed stays, and the ledger fills up behind it.
  const absent = new InsistentSupplier(deployment.listening.grpc, absentParty)
  t.teardown(() => absent.close())
  await load(absent, 1)
  const owed = absent.accepted.size
  t.equal(owed, devices.length)
  const owedFrom = (await operator.ledger.lastOn('log.*'))!.sequence
  for (let more = 0; more < 4; more++) await load()
  const stopped = await through()
  t.ok(stopped <= owedFrom, 'nothing behind what is owed was forgotten')
  absent.receive()
  await absent.until(() => absent.delivered.size === owed)
  t.same(
    [...absent.delivered.values()].filter((ids) => ids.size !== 1),
    [],
  )
  for (let more = 0; more < 4; more++) await load()
  while ((await through()) === stopped) await load()
  t.pass('fetched, it is forgotten')

  // What is left is verified, backed up and restored like a whole one.
  const audit = await auditOf(operator.ledger)
  t.same(audit.faults, [])
  t.ok(audit.forgottenThrough > stopped)
  const folder = mkdtempSync(join(tmpdir(), 'busbar-backup-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const manifest = await backup(await backupPortsOf(operator), join(folder, 'one'))
  t.ok(manifest.audit.forgottenThrough > 0)
  t.same(
    await restoreInto({ dataDir: join(folder, 'restored') }, join(folder, 'one')),
    manifest.audit,
  )

  // Another host comes without a store, and takes its half from the snapshots.
  const second = await deployment.startHost('second')
  await polled(
    async () => clusterStatus({ ...operator, cursors: await operator.cursors() }),
    ({ hosts }) => hosts.length === 2 && hosts.every(({ partitions }) => partitions.length === 8),
  )
  await load()
  await second.stop()
  await load()
  t.equal(supplier.refused.size, 0)
  await operator.close()

  // The store is lost: the same states come from snapshots and ledger. And again from the backup,
  // before all that.
  const statesOf = async (): Promise<Map<string, string>> => {
    await deployment.broker!.stop()
    return statesIn(join(deployment.brokerDir, 'actors'), 16)
  }
  const before = await statesOf()
  t.ok(before.size >= devices.length)
  rmSync(join(deployment.brokerDir, 'actors'), { recursive: true })
  await deployment.startBroker()
  t.same(await statesOf(), before)
})
