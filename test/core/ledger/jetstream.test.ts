/**
 * The ledger on a real nats-server: the contract, the settings, and which servers are none for it.
 * What happens when the server is killed: lease.test.ts.
 */
import { createServer } from 'node:net'
import { jetstreamManager } from '@nats-io/jetstream'
import t from 'tap'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { createCursorStore } from '../../../core/ledger/cursors.ts'
import { connectNats } from '../../../core/nats/connection.ts'
import { createLedger } from '../../../core/ledger/jetstream.ts'
import { createSnapshotStore } from '../../../core/ledger/snapshots.ts'
import { ledgerStreamConfig } from '../../../core/ledger/stream-settings.ts'
import { emptyTick } from '../../../core/envelope/tick-message.ts'
import { cursorStoreContract, ledgerContract } from '../../contracts/ledger.ts'
import { readWhole, snapshotContract } from '../../contracts/snapshots.ts'
import { startTestNats } from '../../support/nats.ts'

const nats = await startTestNats()
const connection = await connectNats({ servers: nats.url })
t.teardown(async () => {
  await connection.close()
  await nats.close()
})

let deployments = 0
const bytesMax = 64 * 1024 * 1024
/** A ledger of its own, on a stream of its own. */
const fresh = (options: { bytesMax?: number; partitionCount?: number; name?: string } = {}) => {
  const name = options.name ?? `d${deployments++}`
  return createLedger({
    connection,
    streamName: name,
    subjectPrefix: name,
    bytesMax: options.bytesMax ?? bytesMax,
    partitionCount: options.partitionCount ?? 16,
  })
}

const freshSnapshots = (bytesMax?: number) =>
  createSnapshotStore({ connection, bucketName: `S${deployments++}`, bytesMax })

t.test('contract', (t) => {
  ledgerContract(t, () => fresh())
  cursorStoreContract(t, () => createCursorStore({ connection, bucketName: 'TEST' }))
  snapshotContract(t, () => freshSnapshots())
  t.end()
})

t.test(
  'a snapshot that was changed or broken off is refused; fragments make room again',
  async (t) => {
    const snapshots = await freshSnapshots(4 * 1024 * 1024)
    const name = `S${deployments - 1}`
    const ofBytes = async function* (bytes: number): AsyncGenerator<Uint8Array> {
      for (let left = bytes; left > 0; left -= 500_000)
        yield Buffer.alloc(Math.min(left, 500_000), left)
    }
    await snapshots.put('1.1.a', ofBytes(2_000_000))
    const manager = await jetstreamManager(connection)
    const { state } = await manager.streams.info(`OBJ_${name}`, { subjects_filter: '>' })
    const [chunks] = Object.keys(state.subjects!).filter((subject) => subject.includes('.C.'))
    // What a process leaves behind that dies in the middle.
    const { jetstream } = await import('@nats-io/jetstream')
    for (let i = 0; i < 4; i++)
      await jetstream(connection).publish(`$O.${name}.C.fragment`, Buffer.alloc(400_000))
    await t.rejects(snapshots.put('2.1.a', ofBytes(1_500_000)), {
      code: 'BROKER_LEDGER_UNAVAILABLE',
    })
    await snapshots.put('2.1.a', ofBytes(1_500_000))
    t.equal((await readWhole(snapshots, '2.1.a')).length, 1_500_000)
    const message = (await manager.streams.getMessage(`OBJ_${name}`, { last_by_subj: chunks! }))!
    await manager.streams.purge(`OBJ_${name}`, { filter: chunks!, keep: 3 })
    await jetstream(connection).publish(chunks!, Buffer.alloc(message.data.length))
    await t.rejects(readWhole(snapshots, '1.1.a'), { code: 'SNAPSHOT_DAMAGED' })
  },
)

t.test('the partition count is recorded once', async (t) => {
  await (await fresh({ name: 'once', partitionCount: 8 })).close()
  await (await fresh({ name: 'once', partitionCount: 8 })).close()
  await t.rejects(fresh({ name: 'once', partitionCount: 16 }), {
    code: 'LEDGER_DEPLOYMENT_MISMATCH',
  })
  const both = await Promise.allSettled([
    fresh({ name: 'race', partitionCount: 4 }),
    fresh({ name: 'race', partitionCount: 5 }),
  ])
  t.strictSame(
    both.map(({ status }) => status).toSorted(),
    ['fulfilled', 'rejected'],
    'two at once: one of them wins',
  )
})

t.test('a stream with unsafe settings is refused', async (t) => {
  const manager = await jetstreamManager(connection)
  const unsafe = [
    { discard: 'old' },
    { storage: 'memory' },
    { max_age: 3_600_000_000_000 },
    { max_msgs: 10 },
    { max_msgs_per_subject: 1 },
    { allow_atomic: false },
    { max_bytes: -1 },
    { retention: 'interest' },
    { subjects: ['unsafe.log.*', 'unsafe.lease.*'] },
    { persist_mode: 'async', allow_atomic: false },
  ]
  for (const settings of unsafe) {
    const config = {
      ...ledgerStreamConfig({
        streamName: 'unsafe',
        subjectPrefix: 'unsafe',
        replicas: 1,
        bytesMax,
      }),
      ...settings,
    }
    // The library's types know less than the server.
    await manager.streams.add(config as unknown as Parameters<typeof manager.streams.add>[0])
    await t.rejects(
      fresh({ name: 'unsafe' }),
      { code: 'LEDGER_SETTINGS_UNSAFE' },
      JSON.stringify(settings),
    )
    await manager.streams.delete('unsafe')
  }
})

t.test('answers leave room for leases, seals and records', async (t) => {
  const ledger = await fresh({ bytesMax: 1024 * 1024 })
  for (const bytes of [50_000, 1_000, 100]) {
    const tick = { subject: 'log.a', data: Buffer.alloc(bytes, 7) }
    for (;;) {
      // As a host looks now and then.
      const { bytes: used, bytesMax } = await ledger.usage()
      const { refused } = await ledger.commit([tick])
      if (refused === undefined) continue
      t.equal(refused, 'full', `${used} of ${bytesMax} octets`)
      break
    }
  }
  const record = { subject: 'lease.1', data: Buffer.alloc(1_000, 7) }
  t.equal((await ledger.commit([record])).refused, undefined)
  const seal = { subject: 'log.a', data: emptyTick }
  t.equal((await ledger.commit([seal, record])).refused, undefined)
  t.equal((await ledger.commit([seal, seal])).refused, undefined)
  await ledger.close()
})

t.test('what other hosts write is seen before a tick takes the last room', async (t) => {
  const one = await fresh({ name: 'two-hosts', bytesMax: 1024 * 1024 })
  const other = await fresh({ name: 'two-hosts', bytesMax: 1024 * 1024 })
  const tick = (subject: string, bytes: number) => [{ subject, data: Buffer.alloc(bytes, 7) }]
  t.equal((await one.commit(tick('log.a', 950_000))).refused, undefined)
  await one.usage()
  await other.usage()
  // Of this the first knows nothing but what it asks.
  while ((await other.commit(tick('log.b', 1_000))).refused === undefined);
  const { refused } = await one.commit(tick('log.a', 10_000))
  t.equal(refused, 'full')
  t.equal((await one.commit(tick('lease.1', 1_000))).refused, undefined)
  await one.close()
  await other.close()
})

t.test('a full ledger refuses, and takes again when there is room', async (t) => {
  const ledger = await fresh({ name: 'small', bytesMax: 1024 * 1024 })
  const data = Buffer.alloc(100_000, 7)
  let written = 0
  let outcome = await ledger.commit([
    { subject: 'log.1', data },
    { subject: 'log.1', data },
  ])
  while (outcome.refused === undefined) {
    written += 2
    outcome = await ledger.commit([
      { subject: 'log.1', data },
      { subject: 'log.1', data },
    ])
  }
  t.equal(outcome.refused, 'full')
  t.equal(
    (await ledger.commit([{ subject: 'log.1', data: Buffer.alloc(200_000) }])).refused,
    'full',
    'alone as well',
  )
  let found = 0
  await ledger.read('log.1', 1, () => void found++)
  t.equal(found, written, 'a refused batch leaves nothing')
  const manager = await jetstreamManager(connection)
  await manager.streams.purge('small', { filter: 'small.log.1' })
  t.equal(
    (
      await ledger.commit([
        { subject: 'log.1', data },
        { subject: 'log.1', data },
      ])
    ).refused,
    undefined,
  )
  await ledger.close()
})

t.test('without a server', async (t) => {
  await t.rejects(connectNats({ servers: 'nats://127.0.0.1:1' }), {
    code: 'NATS_UNREACHABLE',
  })
  const fault = await connectNats({ servers: 'nats://127.0.0.1:1' }).catch(
    (error: unknown) => error,
  )
  t.ok(fault instanceof BrokerError)
})

t.test('a server that takes no frame of ours is refused before anything is written', async (t) => {
  const small = await startTestNats({ maxPayloadBytes: 1024 * 1024 })
  const own = await connectNats({ servers: small.url })
  await t.rejects(createLedger({ connection: own, bytesMax, partitionCount: 4 }), {
    code: 'LEDGER_SETTINGS_UNSAFE',
    detail: /^max_payload of the nats-server is 1048576 octets, at least \d+ are needed$/,
  })
  const { streams } = await (await jetstreamManager(own)).getAccountInfo()
  t.equal(streams, 0)
  await own.close()
  await small.close()
})

t.test('a server that is too old is refused by its own code', async (t) => {
  // The version that a server tells stands in its first line.
  const old = createServer((socket) => {
    socket.on('error', () => {})
    const info = { server_id: 'old', version: '2.10.4', proto: 1, max_payload: 1024, headers: true }
    socket.write(`INFO ${JSON.stringify(info)}\r\n`)
    socket.on('data', (chunk) => chunk.includes('PING') && socket.write('PONG\r\n'))
  })
  await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve))
  const { port } = old.address() as { port: number }
  await t.rejects(connectNats({ servers: `127.0.0.1:${port}` }), {
    code: 'NATS_SERVER_TOO_OLD',
    detail: /2\.10\.4/,
  })
  old.close()
})

t.test('a closed connection settles everything, and nothing hangs', async (t) => {
  const own = await connectNats({ servers: nats.url })
  const ledger = await createLedger({
    connection: own,
    streamName: 'gone',
    subjectPrefix: 'gone',
    bytesMax,
    partitionCount: 4,
  })
  const commits = Array.from({ length: 20 }, () =>
    ledger.commit([{ subject: 'log.1', data: Buffer.alloc(100) }]),
  )
  await own.close()
  for (const outcome of await Promise.all(commits))
    t.ok(outcome.refused === undefined || outcome.refused === 'unknown')
  t.equal((await ledger.commit([{ subject: 'log.1', data: Buffer.alloc(1) }])).refused, 'unknown')
  await t.rejects(ledger.lastOn('log.1'), { code: 'BROKER_LEDGER_UNAVAILABLE' })
  await t.rejects(
    ledger.read('log.1', 1, () => {}),
    { code: 'BROKER_LEDGER_UNAVAILABLE' },
  )
  await ledger.close()
})

t.test('a handler of follow that throws stops its follower and is heard of', async (t) => {
  const heard = new Promise<unknown>((resolve) => {
    void (async () => {
      const ledger = await createLedger({
        connection,
        streamName: 'faulty',
        subjectPrefix: 'faulty',
        bytesMax,
        partitionCount: 4,
        onFollowFault: (_subject, fault) => resolve(fault),
      })
      await ledger.follow('log.1', 1, () => {
        throw new Error('of the handler')
      })
      await ledger.commit([{ subject: 'log.1', data: Buffer.alloc(1) }])
    })()
  })
  t.match(await heard, { message: 'of the handler' })
})
