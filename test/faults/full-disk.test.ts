/**
 * A disk that is filled by something else, under the ledger and everything beside it, as real
 * processes: new requests are rejected with a code of their own, the broker lives, and it serves
 * again by itself when there is space, as often as that happens. Nothing acknowledged is lost.
 */
import { join } from 'node:path'
import t from 'tap'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { SupplierClient } from '../../core/client/supplier-client.ts'
import { Deployment } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'
import { smallDisk, whyNoSmallDisk, type SmallDisk } from '../support/small-disk.ts'

const deviceCount = 20
/** By the arguments of the broker: how often the disk is filled. */
const cases: ReadonlyArray<[brokerArguments: readonly string[], rounds: number]> = [
  [[], 3],
  [['--workers', '1'], 1],
]
const skip = await whyNoSmallDisk()

for (const [brokerArguments, rounds] of cases)
  t.test(
    `a full disk rejects, and the broker serves again when there is space ${brokerArguments.join(' ')}`,
    { skip },
    async (t) => {
      const disk = (await smallDisk(64 * 1024 * 1024)) as SmallDisk
      t.teardown(() => disk.close())
      const deployment = new Deployment({ brokerFolder: join(disk.path, 'data'), brokerArguments })
      t.teardown(() => deployment.stop())
      await deployment.start(deviceCount)
      const { grpc, ops } = deployment.listening
      const devices = deployment.devices.filter(({ type }) => type === 'ESME')
      const supplier = new InsistentSupplier(grpc)
      t.teardown(() => supplier.close())
      supplier.receive()
      const client = new SupplierClient({ address: grpc, credentials: { party: supplier.party } })
      t.teardown(() => client.close())
      const accepted = new Set<string>()
      let counter = 0
      /** Submits one request a device; the codes of those that were not accepted. */
      const submit = async (): Promise<Set<string>> => {
        counter++
        const codes = new Set<string>()
        const requests = devices.map(({ eui64 }) => supplier.request(eui64, counter, '11.2'))
        try {
          for (const { requestId, responseCode, reason, retryAfterMs } of await client.submitBatch(
            requests,
          )) {
            if (responseCode === 'I99') accepted.add(InsistentSupplier.keyOf(requestId))
            else codes.add(reason)
            if (reason === 'BROKER_DISK_LOW') t.ok(retryAfterMs > 0, 'and when to come again')
          }
        } catch (fault) {
          // Of unknown fate, as parties must expect while the server fails: none of them is
          // acknowledged.
          codes.add(String((fault as { code?: unknown }).code))
        }
        return codes
      }
      const ready = async (): Promise<{ status: number; text: string }> => {
        const answer = await fetch(`http://${ops}/health/ready`)
        return { status: answer.status, text: await answer.text() }
      }
      const until = (isDone: () => Promise<boolean>): Promise<boolean> => polled(isDone, Boolean)

      for (let round = 0; round < rounds; round++) {
        await until(async () => (await submit()).size === 0)
        // In the middle of their work, so that answers find no space.
        disk.fill()
        const codes = new Set<string>()
        await until(async () => {
          for (const code of await submit()) codes.add(code)
          return codes.has('BROKER_DISK_LOW')
        })
        await until(async () => (await ready()).text.includes('BROKER_DISK_LOW'))
        const { status, text } = await ready()
        t.equal(status, 503)
        t.match(text, join(disk.path, 'data'), 'readiness names the disk')
        const metrics = await (await fetch(`http://${ops}/metrics`)).text()
        t.match(metrics, /busbar_disk_low\{path="[^"]+",uses="ledger,[^"]+"\} 1/)
        t.equal(deployment.broker!.process.exitCode, null, 'the broker lives')
        disk.free()
        const freedAt = performance.now()
        await until(async () => (await ready()).status === 200)
        const readyMs = Math.round(performance.now() - freedAt)
        await until(async () => (await submit()).size === 0)
        t.comment(
          `round ${round}: ready ${readyMs} ms after space was freed, serves after ${Math.round(performance.now() - freedAt)} ms; rejected before with ${[...codes].join()}`,
        )
      }
      // Below the reserve, and not full: what was accepted ends, nothing new is taken.
      await until(async () => (await submit()).size === 0)
      disk.fill(4 * 1024 * 1024)
      await until(async () => (await submit()).has('BROKER_DISK_LOW'))
      await supplier.until(() => [...accepted].every((key) => supplier.delivered.has(key)))
      // Each process looks at the disk by itself: a worker may have been first.
      await until(async () => (await ready()).text.includes('BROKER_DISK_LOW'))
      disk.free()
      await until(async () => (await submit()).size === 0)
      await supplier.until(() => [...accepted].every((key) => supplier.delivered.has(key)))
      t.ok(
        [...supplier.delivered.values()].every((ids) => ids.size === 1),
        'each ended once',
      )
      const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
      t.teardown(() => operator.close())
      t.same((await auditOf(operator.ledger)).faults, [])
    },
  )
