/**
 * A thousand ciphered meters whose ledger was restored from an old backup: each has seen higher
 * invocation counters than the ledger knows of, refuses the next one, and is reached all the same;
 * every request is answered.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { backup } from '../../actors/cli/operator/backup.ts'
import {
  addressOf,
  backupPortsOf,
  openOperatorLedger,
} from '../../actors/cli/operator/operator-ledger.ts'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { restoreInto } from '../../actors/cli/operator/restore.ts'
import { limits } from '../../core/base/limits.ts'
import { Deployment } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'

const metersCount = 1_000
/** Proxies of gas meters are among them, which take other requests. */
const simulatedCount = 1_500
const perBatch = 250

t.test('a fleet behind a ledger that was restored from an old backup', async (t) => {
  const deployment = new Deployment({
    metersPerListener: 100,
    meterArguments: ['--security-shares', '1,0,0'],
  })
  t.teardown(() => deployment.stop())
  const folder = mkdtempSync(join(tmpdir(), 'busbar-restored-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  await deployment.start(simulatedCount)
  const meters = deployment.devices.filter(({ type }) => type === 'ESME' || type === 'GSME')
  const devices = meters.slice(0, metersCount)
  t.equal(devices.length, metersCount)
  t.ok(devices.every(({ address }) => address.security?.suite === 0))

  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const round = async (counter: number): Promise<void> => {
    const requests = devices.map(({ eui64 }) => supplier.request(eui64, counter, '4.1.1'))
    for (let at = 0; at < requests.length; at += perBatch)
      await supplier.submit(requests.slice(at, at + perBatch))
    const keys = requests.map(({ requestId }) => InsistentSupplier.keyOf(requestId))
    await supplier.until(() => keys.every((key) => supplier.responses.has(key)))
    const failed = keys.flatMap((key) => {
      const { responseCode, reason, message } = supplier.responses.get(key)!
      return responseCode === 'I0' ? [] : [`${key} ${responseCode} ${reason} ${message}`]
    })
    t.same(failed.slice(0, 5), [], `every request of round ${counter} is carried out`)
  }
  await round(1)
  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  await backup(await backupPortsOf(operator), join(folder, 'old'))
  await operator.close()
  // More counters than a request has attempts.
  const movedOn = 2 * limits.attemptsMax
  for (let counter = 2; counter <= movedOn; counter++) await round(counter)

  await deployment.broker!.stop()
  rmSync(deployment.brokerDir, { recursive: true })
  await restoreInto({ dataDir: deployment.brokerDir }, join(folder, 'old'))
  await deployment.startBroker()
  // The restored ledger knows nothing of the rounds since: a party goes on above what it has used.
  await round(movedOn + 1)
  await round(movedOn + 2)
  const restored = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  t.teardown(() => restored.close())
  const { open, faults } = await auditOf(restored.ledger)
  t.same({ open, faults }, { open: 0, faults: [] })
})
