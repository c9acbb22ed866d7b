/**
 * The storage of an external nats-server, whose disk the broker cannot see. An account with a limit
 * of its own: new requests are rejected before the server refuses answers, readiness and metrics
 * say why, and the broker serves again by itself. A server whose limit no client is told refuses
 * the ledger's writes: they are refused as a full ledger, and go on once there is room.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager, JetStreamApiError } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { ServiceRequest, SupplierClient } from '../../../actors/library/client.ts'
import { startBroker } from '../../../actors/library/index.ts'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import { createLedger } from '../../../core/ledger/jetstream.ts'
import { startTestNats } from '../../support/nats.ts'
import { polled } from '../../support/polled.ts'

const mebi = 1024 ** 2
const ledgerBytes = 16 * mebi
const party = demoPartiesJson[0]!.eui64
const target = '00-DB-12-34-56-78-90-A0'

/** A stream without a limit of its own, which takes what the account or the server has. */
async function otherStream(connection: NatsConnection) {
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: 'OTHER', subjects: ['other'] })
  const client = jetstream(connection)
  return {
    /** Publishes until `isEnough`, or the server refuses: then by its code. */
    async fill(octets: number, isEnough: () => Promise<boolean>): Promise<number | undefined> {
      try {
        while (!(await isEnough())) await client.publish('other', new Uint8Array(octets))
        return undefined
      } catch (fault) {
        return fault instanceof JetStreamApiError ? fault.code : Number.NaN
      }
    },
    empty: () => manager.streams.purge('OTHER'),
  }
}

t.test('an account that others fill rejects new requests by name, and recovers', async (t) => {
  // Room for the ledger, and for the least that snapshots and cursors reserve.
  const accountBytes = 340 * mebi
  const server = await startTestNats({
    moreConfig: () => [
      `accounts { A { jetstream { disk: ${accountBytes} }, users: [ { user: a, password: a } ] } }`,
    ],
  })
  t.teardown(() => server.close())
  const dataDir = mkdtempSync(join(tmpdir(), 'busbar-account-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const broker = await startBroker({
    ...{ grpc: '127.0.0.1:0', http: '127.0.0.1:0', ops: '127.0.0.1:0', logLevel: 'silent' },
    natsUrl: server.url.replace('://', '://a:a@'),
    parties: demoPartiesJson,
    insecurePartyHeader: true,
    insecureOperators: true,
    partitions: 2,
    ...{ dataDir, ledgerBytes },
  })
  t.teardown(() => broker.stop())
  await broker.ready
  const client = new SupplierClient({ address: broker.grpcAddress, credentials: { party } })
  t.teardown(() => client.close())
  let counter = 0n
  const ask = async () => {
    const requestId = { originator: party, target, counter: ++counter }
    const request = ServiceRequest.fromPartial({ requestId, serviceReferenceVariant: '4.1.1' })
    // Of a batch, rejections are acknowledgements too.
    const [acknowledgement] = await client.submitBatch([request])
    return acknowledgement!
  }
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`http://${broker.opsAddress}/metrics`)).text()
    return Number(new RegExp(`^busbar_account_storage_${name} (\\d+)$`, 'm').exec(text)?.[1])
  }
  t.equal((await ask()).reason, 'DEVICE_UNKNOWN', 'the host decides')
  t.equal(await metric('max_bytes'), accountBytes)
  t.equal(await metric('low'), 0)

  const connection = await connect({ servers: server.url, user: 'a', pass: 'a' })
  t.teardown(() => connection.close())
  const others = await otherStream(connection)
  const hasLess = (octets: number) => async (): Promise<boolean> => {
    const reply = await connection.request('$JS.API.INFO')
    return accountBytes - reply.json<{ storage: number }>().storage < octets
  }
  const fills = [
    await others.fill(4 * mebi, hasLess(6 * mebi)),
    await others.fill(mebi / 2, hasLess(ledgerBytes / 10)),
  ]
  t.same(fills, [undefined, undefined], 'the server has refused nothing yet')
  const refused = await polled(ask, ({ reason }) => reason === 'BROKER_STORAGE_LOW')
  t.equal(refused.responseCode, 'E57')
  t.ok(refused.retryAfterMs > 0, 'and when to come again')
  const ready = await fetch(`http://${broker.opsAddress}/health/ready`)
  t.equal(ready.status, 503)
  t.match(await ready.text(), /BROKER_STORAGE_LOW: the account .* uses \d+ of 356515840 octets/)
  t.equal(await metric('low'), 1)
  t.ok((await metric('used_bytes')) > accountBytes - ledgerBytes / 10)

  await others.empty()
  await polled(ask, ({ reason }) => reason === 'DEVICE_UNKNOWN')
  t.same(
    await polled(
      async () => broker.reasons(),
      ({ length }) => length === 0,
    ),
    [],
  )
})

t.test(
  'refusals of the server for want of storage are a full ledger until there is room',
  async (t) => {
    const commits = async (t: Test, isOfAccount: boolean, code: number): Promise<void> => {
      const server = await startTestNats({
        syncAlways: false,
        maxFileStoreBytes: (isOfAccount ? 64 : 24) * mebi,
        moreConfig: () =>
          isOfAccount
            ? [
                `accounts { A { jetstream { disk: ${24 * mebi} }, users: [ { user: a, password: a } ] } }`,
              ]
            : [],
      })
      t.teardown(() => server.close())
      const user = isOfAccount ? { user: 'a', pass: 'a' } : {}
      const connection = await connect({ servers: server.url, ...user })
      t.teardown(() => connection.close())
      const ledger = await createLedger({ connection, bytesMax: ledgerBytes, partitionCount: 2 })
      t.teardown(() => ledger.close())
      const commit = () => ledger.commit([{ subject: 'log.a', data: Buffer.alloc(mebi) }])
      const others = await otherStream(connection)
      t.equal(await others.fill(mebi, async () => false), code, 'what others are told')
      const outcome = await commit()
      t.match(outcome, { refused: 'full', detail: String(code) }, 'in the room reserved for it')
      await others.empty()
      t.equal((await polled(commit, (outcome) => outcome.refused === undefined)).refused, undefined)
    }
    await t.test('of the account', (t) => commits(t, true, 10002))
    await t.test('of the server', (t) => commits(t, false, 10023))
  },
)
