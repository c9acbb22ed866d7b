/**
 * A nats-server with less storage than the ledger, its snapshots and cursors may take says so by a
 * code of its own, with the numbers.
 */
import { connect } from '@nats-io/transport-node'
import t from 'tap'
import { createCursorStore } from '../../../core/ledger/cursors.ts'
import { createLedger } from '../../../core/ledger/jetstream.ts'
import { createSnapshotStore } from '../../../core/ledger/snapshots.ts'
import { startTestNats } from '../../support/nats.ts'

const GiB = 1024 ** 3

t.test('LEDGER_STORAGE_INSUFFICIENT, from the server and from the account', async (t) => {
  for (const account of [false, true]) {
    const moreConfig = (): string[] =>
      account
        ? [`accounts { A { jetstream { disk: ${GiB} }, users: [ { user: a, password: a } ] } }`]
        : []
    const server = await startTestNats({
      maxFileStoreBytes: account ? 100 * GiB : GiB,
      moreConfig,
    })
    t.teardown(() => server.close())
    const connection = await connect({
      servers: server.url,
      ...(account && { user: 'a', pass: 'a' }),
    })
    t.teardown(() => connection.close())
    const open = (bytesMax: number) => createLedger({ connection, bytesMax, partitionCount: 4 })
    await t.rejects(open(8 * GiB), {
      code: 'LEDGER_STORAGE_INSUFFICIENT',
      message: /max_file_store.*lower --ledger-bytes/,
      detail: /no room for 8589934592 octets of the ledger, stream LEDGER.*uses 0 octets/,
    })
    const ledger = await open(GiB / 2)
    await t.rejects(createSnapshotStore({ connection, bytesMax: GiB }), {
      code: 'LEDGER_STORAGE_INSUFFICIENT',
      detail: /no room for 1073741824 octets of snapshots, bucket SNAPSHOTS/,
    })
    await t.rejects(createCursorStore({ connection, bytesMax: GiB }), {
      code: 'LEDGER_STORAGE_INSUFFICIENT',
      detail: account ? /1073741824 are allowed/ : /the limit is max_file_store/,
    })
    await ledger.close()
  }
})
