/**
 * A ledger that is full to its last octet, as real processes and through gRPC: new requests are
 * refused with a clear code, accepted ones survive, and service goes on by itself when there is
 * room.
 */
import t from 'tap'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { SupplierClient } from '../../core/client/supplier-client.ts'
import type { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import { Deployment } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { polled } from '../support/polled.ts'

process.env['BUSBAR_LEDGER_BYTES'] = '16MiB'

const deviceCount = 40

t.test('a full ledger refuses, keeps what it has, and goes on when there is room', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(deviceCount)
  const { grpc, ops } = deployment.listening
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  t.teardown(() => operator.close())
  // A party that asks and does not fetch: what it is owed may not be forgotten.
  const supplier = new InsistentSupplier(grpc)
  t.teardown(() => supplier.close())
  const client = new SupplierClient({ address: grpc, credentials: { party: supplier.party } })
  t.teardown(() => client.close())
  const to = new Date()
  const month = {
    $case: 'readPeriod',
    value: { startTime: new Date(to.getTime() - 30 * 86_400_000), endTime: to },
  } as const
  const accepted = new Set<string>()
  let counter = 0
  /** Submits one request a device; the codes of those that were not accepted. */
  const submit = async (srv: string, body?: ServiceRequest['body']): Promise<Set<string>> => {
    counter++
    const requests = devices.map(({ eui64 }) => supplier.request(eui64, counter, srv, body))
    const codes = new Set<string>()
    for (const { requestId, responseCode, reason, retryAfterMs } of await client.submitBatch(
      requests,
    )) {
      if (responseCode === 'I99') accepted.add(InsistentSupplier.keyOf(requestId))
      else codes.add(reason)
      if (reason === 'BROKER_LEDGER_FULL') t.ok(retryAfterMs > 0, 'and when to come again')
    }
    return codes
  }
  const ready = async (): Promise<string> => (await fetch(`http://${ops}/health/ready`)).text()

  // Months of half hours until no tick with an answer fits, then small ones until nothing does.
  for (const [srv, body] of [
    ['4.8.1', month],
    ['11.2', undefined],
  ] as const) {
    let refusedInRow = 0
    while (refusedInRow < 10) {
      const codes = await submit(srv, body)
      codes.delete('DEVICE_QUEUE_FULL')
      refusedInRow = codes.has('BROKER_LEDGER_FULL') ? refusedInRow + 1 : 0
      t.same(
        [...codes].filter((code) => code !== 'BROKER_LEDGER_FULL'),
        [],
        'nothing but want of room is told',
      )
    }
  }
  t.match(await ready(), /BROKER_LEDGER_FULL/, 'and readiness says why')
  const { bytes, bytesMax } = await operator.ledger.usage()
  t.comment(`${bytes} of ${bytesMax} octets, ${accepted.size} requests accepted`)
  const before = await auditOf(operator.ledger)
  t.same(before.faults, [])

  // It fetches what it is owed: there is room again, without anybody's help.
  supplier.receive()
  await supplier.until(() => supplier.delivered.size === accepted.size)
  t.same(
    [...supplier.delivered].filter(([key, ids]) => ids.size !== 1 || !accepted.has(key)),
    [],
    'each that was accepted ended once, and nothing else',
  )
  await polled(
    () => submit('11.2'),
    (codes) => codes.size === 0,
  )
  await supplier.until(() => supplier.delivered.size === accepted.size)
  await polled(ready, (text) => !/BROKER_LEDGER_FULL/.test(text))
  const after = await auditOf(operator.ledger)
  t.same(after.faults, [])
  t.ok(after.forgottenThrough > 0, 'what was fetched was forgotten')
  t.equal(after.open, 0)
})
