/**
 * What operators do to a deployment that runs: backup under load and restore, verify, show, tail;
 * local stores lost in every way.
 */
import { readFileSync, rmSync, truncateSync, writeFileSync, cpSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { backup, readManifest } from '../../actors/cli/operator/backup.ts'
import {
  addressOf,
  backupPortsOf,
  openOperatorLedger,
} from '../../actors/cli/operator/operator-ledger.ts'
import { show, verify } from '../../actors/cli/operator/ledger-commands.ts'
import { tail } from '../../actors/cli/operator/ledger-tail.ts'
import { restoreInto } from '../../actors/cli/operator/restore.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { Deployment } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { statesIn } from '../support/state-hash.ts'

t.test('backup under load, restore, and stores lost in every way', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(40)
  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const requests = Array.from({ length: 8 }, (_, round) =>
    devices.map(({ eui64 }) => supplier.request(eui64, round + 1, '11.2')),
  )
  const submitting = (async () => {
    for (const round of requests) await supplier.submit(round)
  })()
  const total = 8 * devices.length
  await supplier.until(() => supplier.delivered.size > total / 4)

  const folder = mkdtempSync(join(tmpdir(), 'busbar-backup-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const open = () => openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  const operator = await open()
  const manifest = await backup(await backupPortsOf(operator), join(folder, 'one'))
  t.same(manifest.audit.faults, [])
  t.ok(manifest.audit.accepted > 0)
  await t.rejects(backup(await backupPortsOf(operator), join(folder, 'one')), BrokerError)
  await submitting
  await supplier.until(() => supplier.delivered.size === total)

  const said: string[] = []
  const print = (line: string): void => void said.push(line)
  t.equal(await verify(operator.ledger, print, false), 0)
  t.match(said.at(-1), /every hash chain holds/)
  const id = requests[0]![0]!.requestId!
  t.equal(await show(operator.ledger, `${id.originator}:${id.target}:${id.counter}`, print), 0)
  t.match(said.slice(2).join('\n'), /REQUEST_ACCEPTED 11\.2[\s\S]*REQUEST_ENDED OK[\s\S]*DELIVERY/)
  t.equal(await show(operator.ledger, 'no:such:1', print), 1)
  const lines: string[] = []
  await tail(operator.ledger, {
    from: 1,
    count: 5,
    print: (line) => void lines.push(line),
    until: new Promise(() => {}),
  })
  t.equal(lines.length, 5)
  await operator.close()

  // Restored elsewhere: the same messages at the same sequences.
  const elsewhere = join(folder, 'restored')
  const restored = await restoreInto({ dataDir: elsewhere }, join(folder, 'one'))
  t.same(restored, manifest.audit)
  await t.rejects(restoreInto({ dataDir: elsewhere }, join(folder, 'one')), {
    code: 'LEDGER_DEPLOYMENT_MISMATCH',
  })
  const records = join(folder, 'one', 'ledger.backup')
  const octets = readFileSync(records)
  octets[octets.length >> 1]! ^= 1
  writeFileSync(records, octets)
  await t.rejects(readManifest(join(folder, 'one')), { code: 'BACKUP_DAMAGED' })

  // The local store: as it was, then wiped, cut, and an older copy; each start gives the same
  // states.
  const stopped = async (): Promise<Map<string, string>> => {
    await deployment.broker!.stop()
    return statesIn(join(deployment.brokerDir, 'actors'), 16)
  }
  const store = join(deployment.brokerDir, 'actors')
  const older = join(folder, 'older')
  const before = await stopped()
  t.ok(before.size >= devices.length)
  cpSync(store, older, { recursive: true })
  const again = async (how: string, change: () => void): Promise<void> => {
    change()
    await deployment.startBroker()
    t.same(await stopped(), before, how)
  }
  await again('wiped', () => rmSync(store, { recursive: true }))
  await again('cut', () => truncateSync(join(store, 'data.mdb'), 9_000))
  // A little more load, so that the copy is older than the ledger.
  await deployment.startBroker()
  const more = devices.map(({ eui64 }) => supplier.request(eui64, 100, '11.2'))
  await supplier.submit(more)
  await supplier.until(() => supplier.delivered.size === total + devices.length)
  const later = await stopped()
  t.notSame(later, before)
  rmSync(store, { recursive: true })
  cpSync(older, store, { recursive: true })
  await deployment.startBroker()
  t.same(await stopped(), later, 'an older copy')
})
