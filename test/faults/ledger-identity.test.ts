/**
 * A start on a ledger that is not the one which the data directory knows is refused by name and
 * changes nothing; a running broker stops being ready. Case B2-08 and its kind: an emptied store, a
 * wrong address, a store that was cut short, an older copy of a disk, a ledger without an identity.
 */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import t, { type Test } from 'tap'
import { backup } from '../../actors/cli/operator/backup.ts'
import { backupPortsOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { restoreInto } from '../../actors/cli/operator/restore.ts'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../actors/library/index.ts'
import { demoPartiesJson } from '../../core/access/parties.ts'
import type { BrokerError } from '../../core/base/broker-error.ts'
import { encodeCursor, deliveryIdOf } from '../../core/envelope/delivery-id.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { createCursorStore } from '../../core/ledger/cursors.ts'
import { decodeDeployment, labelKey } from '../../core/ledger/identity.ts'
import { readLedgerFile } from '../../core/ops/ledger-file.ts'
import { natsPlaces } from '../../core/ops/embedded-nats/nats-settings.ts'
import { startTestNats, type TestNats } from '../support/nats.ts'
import { polled } from '../support/polled.ts'

const root = mkdtempSync(join(tmpdir(), 'busbar-identity-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))

const doors = { grpc: '127.0.0.1:0', http: '127.0.0.1:0', ops: '127.0.0.1:0' }
const optionsOf = (name: string, more: BrokerOptions = {}): BrokerOptions => ({
  ...doors,
  ledgerBytes: '64MiB',
  partitions: 2,
  logLevel: 'silent',
  parties: demoPartiesJson,
  dataDir: join(root, name),
  ...more,
})

let devices = 0
/** Has the host write ticks: one a call at least. */
async function write(broker: RunningBroker, calls = 3): Promise<void> {
  await broker.ready
  for (let call = 0; call < calls; call++) {
    const list = Array.from({ length: 10 }, deviceEntry)
    // A partition that has just been taken may be busy: the same devices are given again.
    await polled(
      () => broker.register(list),
      ({ registered }) => registered === list.length,
    )
  }
}

const deviceEntry = () => ({
  eui64: (0x00db100000000000n + BigInt(++devices)).toString(16).padStart(16, '0'),
  type: 'ESME' as const,
  address: { host: '127.0.0.1', port: 4059, logicalDevice: 1, client: 16 },
})

/** Every file below `folder` but those that say who runs, with a hash of its content. */
function contentOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name)
    if (
      !statSync(path).isFile() ||
      /host-id|lock\.mdb|nats-server\.run|nats-server\.log/.test(name)
    )
      continue
    found[relative(folder, path)] = createHash('sha256').update(readFileSync(path)).digest('hex')
  }
  return found
}

const storesAside = (dataDir: string): string[] =>
  readdirSync(dataDir).filter((name) => /^(actors|views)\./.test(name))

async function refused(
  t: Test,
  options: BrokerOptions,
  code: string,
  detail: RegExp,
): Promise<void> {
  const before = contentOf(options.dataDir!)
  const fault = await startBroker(options).then(
    async (broker) => {
      await broker.stop()
      return undefined
    },
    (error: unknown) => error,
  )
  t.match(fault, { code }, `refused with ${code}`)
  t.match((fault as BrokerError | undefined)?.detail, detail)
  t.same(contentOf(options.dataDir!), before, 'nothing in the data directory has changed')
}

const streamsAt = async (url: string): Promise<string[]> => {
  const connection = await connectNats({ servers: url })
  const names: string[] = []
  for await (const { config } of (await jetstreamManager(connection)).streams.list())
    names.push(config.name)
  await connection.close()
  return names.sort()
}

/** A nats-server whose store this test can take away. */
async function natsOn(t: Test, name: string): Promise<{ nats: TestNats; store: string }> {
  const store = join(root, `${name}-store`)
  const nats = await startTestNats({ storeDir: store })
  t.teardown(() => nats.close())
  return { nats, store }
}

async function served(options: BrokerOptions, calls?: number): Promise<void> {
  const broker = await startBroker(options)
  await write(broker, calls)
  await broker.stop()
}

t.test('an external nats-server whose store is empty', async (t) => {
  const { nats, store } = await natsOn(t, 'emptied')
  const options = optionsOf('emptied', {
    natsUrl: nats.url,
    roles: ['gateway', 'host', 'wan', 'views'],
  })
  await served(options)
  const known = readLedgerFile(options.dataDir!)!
  t.match(known, { ledger: /^[0-9a-f]{32}$/, partitionCount: 2, seen: { sequence: Number } })
  t.ok(known.createdAtMs > 1e12)
  await nats.kill()
  renameSync(store, `${store}.real`)
  await nats.start()

  await refused(
    t,
    options,
    'LEDGER_MISSING',
    new RegExp(`known is ledger ${known.ledger}, found is none`),
  )
  t.same(await streamsAt(nats.url), [], 'no stream was made')
  t.same(storesAside(options.dataDir!), [])

  await nats.kill()
  renameSync(store, `${store}.empty`)
  renameSync(`${store}.real`, store)
  await nats.start()
  await served(options)
  t.equal(
    readLedgerFile(options.dataDir!)!.ledger,
    known.ledger,
    'back on the right mount it starts',
  )

  await nats.kill()
  renameSync(store, `${store}.real`)
  renameSync(`${store}.empty`, store)
  await nats.start()
  await served({ ...options, newLedger: true })
  const made = readLedgerFile(options.dataDir!)!
  t.not(made.ledger, known.ledger, 'an operator may give the old one up')
  const aside = storesAside(options.dataDir!).toSorted()
  t.equal(aside.length, 2, 'the stores were set aside')
  for (const name of aside)
    t.match(name, new RegExp(`^(actors|views)\\.${known.ledger.slice(0, 8)}\\.\\d{8}T`))
  await served({ ...options, newLedger: true })
  t.equal(readLedgerFile(options.dataDir!)!.ledger, made.ledger, 'said again it changes nothing')
  t.equal(storesAside(options.dataDir!).length, 2)
})

t.test('an embedded nats-server whose store was removed', async (t) => {
  const options = optionsOf('embedded')
  await served(options)
  const { store } = natsPlaces(options.dataDir!)
  rmSync(store, { recursive: true })
  await refused(t, options, 'LEDGER_MISSING', /known is ledger [0-9a-f]{32}, and \S+ has no ledger/)
  await served({ ...options, newLedger: true })
  t.equal(storesAside(options.dataDir!).length, 1)
})

t.test('the address of another deployment, for every role', async (t) => {
  const one = await natsOn(t, 'one')
  const other = await natsOn(t, 'other')
  const first = optionsOf('of-one', { natsUrl: one.nats.url })
  await served(first, 1)
  await served(optionsOf('of-other', { natsUrl: other.nats.url }), 1)
  for (const role of ['gateway', 'host', 'wan', 'views'] as const) {
    const options = optionsOf(`role-${role}`, { natsUrl: other.nats.url, roles: [role] })
    mkdirSync(options.dataDir!)
    copyFileSync(join(first.dataDir!, 'ledger.json'), join(options.dataDir!, 'ledger.json'))
    await refused(
      t,
      options,
      'LEDGER_IDENTITY_MISMATCH',
      /known is ledger \w+, found is ledger \w+, in stream LEDGER/,
    )
  }
})

t.test('blocks of the stream are cut short', async (t) => {
  const { nats, store } = await natsOn(t, 'cut')
  const options = optionsOf('cut', { natsUrl: nats.url })
  await served(options, 10)
  await nats.kill()
  const messages = join(store, 'jetstream', '$G', 'streams', 'LEDGER', 'msgs')
  const copy = `${messages}.copy`
  cpSync(messages, copy, { recursive: true })
  rmSync(join(messages, 'index.db'), { force: true })
  const block = join(messages, '1.blk')
  truncateSync(block, Math.floor(statSync(block).size * 0.7))
  await nats.start()
  await refused(
    t,
    options,
    'LEDGER_ROLLED_BACK',
    /sequence \d+ was acknowledged, and the ledger ends at \d+/,
  )

  t.comment('another process that knew nothing of it goes on writing')
  await served(optionsOf('cut-other', { natsUrl: nats.url }), 20)
  await refused(
    t,
    options,
    'LEDGER_ROLLED_BACK',
    /another message was acknowledged|the tick with sequence|folded from another tick/,
  )
  await served({ ...options, newLedger: true })
  t.equal(storesAside(options.dataDir!).length, 1)
  await served(options)
})

t.test('all blocks of the stream are lost, its settings are not', async (t) => {
  const { nats, store } = await natsOn(t, 'lost')
  const options = optionsOf('lost', { natsUrl: nats.url })
  await served(options)
  await nats.kill()
  rmSync(join(store, 'jetstream', '$G', 'streams', 'LEDGER', 'msgs'), { recursive: true })
  await nats.start()
  await refused(t, options, 'LEDGER_MISSING', /an emptied stream of ledger [0-9a-f]{32}/)
  t.comment('nor does a data directory that knows none take it')
  await t.rejects(startBroker(optionsOf('lost-fresh', { natsUrl: nats.url })), {
    code: 'LEDGER_MISSING',
    detail: /this data directory knows none/,
  })
})

t.test('an older copy of the disk', async (t) => {
  const { nats, store } = await natsOn(t, 'older')
  const options = optionsOf('older', { natsUrl: nats.url })
  await served(options)
  await nats.stop()
  cpSync(store, `${store}.copy`, { recursive: true })
  await nats.start()
  await served(options)
  await nats.stop()
  rmSync(store, { recursive: true })
  renameSync(`${store}.copy`, store)
  await nats.start()
  await refused(t, options, 'LEDGER_ROLLED_BACK', /was acknowledged, and the ledger ends at/)

  t.comment('accepted on purpose it is a new incarnation, and no cursor points behind its end')
  const connection = await connectNats({ servers: nats.url })
  t.teardown(() => connection.close())
  const cursors = await createCursorStore({ connection })
  const { eui64 } = demoPartiesJson[0]!
  const party = eui64.replaceAll('-', '')
  const far = deliveryIdOf(1_000_000, 0)
  await cursors.put(party, encodeCursor(far))
  await cursors.put('views.x', Buffer.from(JSON.stringify({ sequence: 1_000_000, atMs: 1 })))
  const before = readLedgerFile(options.dataDir!)!
  await served({ ...options, newLedger: true })
  const after = readLedgerFile(options.dataDir!)!
  t.equal(after.ledger, before.ledger)
  t.not(after.incarnation, before.incarnation)
  t.ok(Buffer.from((await cursors.get(party))!).readBigUInt64BE(0) < BigInt(far))
  t.notMatch(Buffer.from((await cursors.get('views.x'))!).toString(), /1000000/)
})

t.test(
  'a stream that is deleted under a running broker, and one that takes its place',
  async (t) => {
    const { nats } = await natsOn(t, 'deleted')
    const options = optionsOf('deleted', {
      natsUrl: nats.url,
      roles: ['gateway', 'host', 'wan', 'views'],
    })
    const broker = await startBroker(options)
    t.teardown(() => broker.stop())
    await write(broker)
    const connection = await connectNats({ servers: nats.url })
    t.teardown(() => connection.close())
    const { streams } = await jetstreamManager(connection)
    await streams.delete('LEDGER')
    const until = async (wanted: RegExp): Promise<void> => {
      await polled(
        () => broker.reasons(),
        (reasons) => reasons.some((reason) => wanted.test(reason)),
      )
    }
    await until(/LEDGER_MISSING/)
    const ready = await fetch(`http://${broker.opsAddress}/health/ready`)
    t.equal(ready.status, 503)
    t.match(await ready.text(), /LEDGER_MISSING/)
    t.notOk((await streamsAt(nats.url)).includes('LEDGER'), 'it is not made again')

    const other = await startBroker(optionsOf('taken', { natsUrl: nats.url }))
    t.teardown(() => other.stop())
    t.match(await broker.failed, /LEDGER_IDENTITY_MISMATCH/)
    const { registered } = await broker.register([deviceEntry()])
    t.equal(registered, 0, 'nothing is written to the other ledger')
    await broker.stop()
    await write(other)
    t.comment('cursors and snapshots of the old one stay where they are')
    const names = await streamsAt(nats.url)
    t.ok(names.includes('KV_CURSORS'))
    t.ok(names.some((name) => /^KV_CURSORS_[0-9a-f]{8}$/.test(name)))
  },
)

t.test('a ledger and a data directory of a version without an identity', async (t) => {
  const { nats, store } = await natsOn(t, 'unnamed')
  const options = optionsOf('unnamed', { natsUrl: nats.url })
  await served(options)
  await asBefore(nats.url)
  rmSync(join(options.dataDir!, 'ledger.json'))
  await nats.stop()
  cpSync(store, `${store}.copy`, { recursive: true })
  await nats.start()

  await served(options)
  const adopted = readLedgerFile(options.dataDir!)!
  t.match(adopted.ledger, /^[0-9a-f]{32}$/, 'it is adopted')
  t.same(storesAside(options.dataDir!), [], 'with its stores')
  await served(options)
  t.equal(readLedgerFile(options.dataDir!)!.ledger, adopted.ledger, 'once')

  t.comment('its stores say that there was a ledger, though no file names it')
  rmSync(join(options.dataDir!, 'ledger.json'))
  const empty = await startTestNats()
  t.teardown(() => empty.close())
  await refused(
    t,
    { ...options, natsUrl: empty.url },
    'LEDGER_MISSING',
    /known is a ledger of an earlier version/,
  )
  await served(optionsOf('unnamed-other', { natsUrl: empty.url }), 40)
  await refused(
    t,
    { ...options, natsUrl: empty.url },
    'LEDGER_IDENTITY_MISMATCH',
    /folded from another ledger/,
  )
  await nats.stop()
  rmSync(store, { recursive: true })
  renameSync(`${store}.copy`, store)
  await nats.start()
  await refused(t, options, 'LEDGER_ROLLED_BACK', /a ledger of an earlier version: sequence/)
})

t.test('a restored backup is taken on purpose, and its later past is not', async (t) => {
  const { nats, store } = await natsOn(t, 'restored')
  const options = optionsOf('restored', { natsUrl: nats.url })
  const folder = join(root, 'backup')
  await served(options)
  const operator = await openOperatorLedger({ url: nats.url })
  const manifest = await backup(await backupPortsOf(operator), folder)
  await operator.close()
  const before = readLedgerFile(options.dataDir!)!
  t.equal(manifest.ledger, before.ledger)
  await served(options)
  await nats.stop()
  cpSync(store, `${store}.copy`, { recursive: true })
  rmSync(store, { recursive: true })
  await nats.start()
  await restoreInto({ natsUrl: nats.url }, folder)
  await served(options)
  const after = readLedgerFile(options.dataDir!)!
  t.equal(after.ledger, before.ledger)
  t.not(after.incarnation, before.incarnation)
  t.equal(storesAside(options.dataDir!).length, 1, 'the stores were set aside')
  await served(options)
  t.equal(storesAside(options.dataDir!).length, 1, 'once')

  await nats.stop()
  rmSync(store, { recursive: true })
  renameSync(`${store}.copy`, store)
  await nats.start()
  await refused(
    t,
    options,
    'LEDGER_ROLLED_BACK',
    /its incarnation \w+ is known, and not in the ledger found/,
  )
})

t.test('a damaged record in the data directory, and a bucket of another ledger', async (t) => {
  const { nats } = await natsOn(t, 'damaged')
  const options = optionsOf('damaged', { natsUrl: nats.url })
  await served(options)
  const file = join(options.dataDir!, 'ledger.json')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.slice(0, 20))
  await refused(t, options, 'LEDGER_IDENTITY_UNREADABLE', /ledger\.json is damaged/)
  writeFileSync(file, text)
  const connection = await connectNats({ servers: nats.url })
  t.teardown(() => connection.close())
  const { streams } = await jetstreamManager(connection)
  const { metadata } = (await streams.info('KV_CURSORS')).config
  await streams.update('KV_CURSORS', { metadata: { ...metadata, [labelKey]: 'ab'.repeat(16) } })
  await refused(t, options, 'LEDGER_IDENTITY_MISMATCH', /KV_CURSORS belongs to ledger abab/)
})

/**
 * Writes the record of the deployment as the version before this one did, and takes the names away.
 */
async function asBefore(url: string): Promise<void> {
  const connection = await connectNats({ servers: url })
  const { streams } = await jetstreamManager(connection)
  const last = await streams.getMessage('LEDGER', { last_by_subj: 'busbar.meta.deployment' })
  const { partitionCount } = decodeDeployment(Buffer.from(last!.data))
  connection.publish('busbar.meta.deployment', JSON.stringify({ version: 1, partitionCount }))
  await connection.flush()
  for (const name of ['LEDGER', 'KV_CURSORS', 'OBJ_SNAPSHOTS']) {
    const { metadata = {} } = (await streams.info(name)).config
    delete metadata[labelKey]
    await streams.update(name, { metadata })
  }
  await connection.close()
}
