/**
 * `startBroker` as a program has it that embeds a broker: options, what it leaves alone, several in
 * one process.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  startBroker,
  type BrokerOptions,
  type RunningBroker,
} from '../../../actors/library/index.ts'
import { ServiceRequest, SupplierClient } from '../../../actors/library/client.ts'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import { readPartyFiles } from '../../../core/ops/pki-folder.ts'
import { settings, type Setting } from '../../../core/ops/settings.ts'
import { startTestNats } from '../../support/nats.ts'

const folder = mkdtempSync(join(tmpdir(), 'busbar-embedded-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const doors = { grpc: '127.0.0.1:0', http: '127.0.0.1:0', ops: '127.0.0.1:0' }
const small = { ledgerBytes: '64MiB', partitions: 2, logLevel: 'silent' } as const
const optionsOf = (name: string, more: BrokerOptions = {}): BrokerOptions => ({
  ...doors,
  ...small,
  dataDir: join(folder, name),
  parties: demoPartiesJson,
  ...more,
})
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException', 'unhandledRejection'] as const
const listeners = (): number[] => signals.map((name) => process.listenerCount(name))

/** What the gateway says to an empty request. */
async function ask(broker: RunningBroker, dataDir: string): Promise<string> {
  const party = demoPartiesJson[0]!.eui64
  const tls = readPartyFiles(join(dataDir, 'pki'), party)
  const client = new SupplierClient({ address: broker.grpcAddress, credentials: { party, tls } })
  try {
    const { responseCode } = await client.submit(ServiceRequest.fromPartial({}))
    return responseCode
  } finally {
    client.close()
  }
}

t.test('every setting is an option, by the name of its long option', async (t) => {
  const text = readFileSync(new URL('../../../actors/library/options.ts', import.meta.url), 'utf8')
  const body = text.slice(text.indexOf('export type BrokerOptions'))
  const written = [...body.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, name]) => name)
  const known = (Object.values(settings) as Setting[]).map(({ option }) => option)
  t.same(written.toSorted(), [...known, 'natsServer', 'log', 'newLedger'].toSorted())
})

t.test('all faults of the options are named at once, as the caller wrote them', async (t) => {
  const wrong = { grpc: 'nowhere', partitions: 0, keyEncryptionKey: 'x', datadir: 'typo' }
  const fault = await startBroker({ ...wrong, parties: [] } as BrokerOptions).catch(
    (error: unknown) => error,
  )
  t.match(fault, { code: 'CONFIG_INVALID' })
  const { message } = fault as Error
  for (const word of [
    'grpc: ',
    'partitions: ',
    'keyEncryptionKey: ',
    'datadir is not',
    'parties: ',
  ])
    t.ok(message.includes(word), `${word} in ${message}`)
  t.notMatch(message, /--|BUSBAR_/)
})

t.test('a nats-server that is none is refused before anything starts', async (t) => {
  const natsServer = join(folder, 'no-server')
  await t.rejects(startBroker(optionsOf('none', { natsServer })), { code: 'NATS_SERVER_MISSING' })
})

t.test('two brokers in one process; a third on the same folder is refused', async (t) => {
  const before = listeners()
  const one = await startBroker(optionsOf('one', { keyEncryptionKey: 'ab'.repeat(32) }))
  const two = await startBroker(optionsOf('two'))
  t.not(one.grpcAddress, two.grpcAddress)
  await Promise.all([one.ready, two.ready])
  t.same(one.reasons(), [])
  await t.rejects(startBroker(optionsOf('one')), { code: 'DATA_DIR_TAKEN' })
  t.same(listeners(), before, 'no handlers of signals or faults')
  t.match(await ask(one, join(folder, 'one')), /^E\d\d/)
  t.match(await ask(two, join(folder, 'two')), /^E\d\d/)
  await t.rejects(one.register([{ eui64: 'x', type: 'ESME', address: {} }]), {
    code: 'DEVICE_RECORD_MALFORMED',
  })
  const address = { host: '127.0.0.1', port: 4059, logicalDevice: 1, client: 16 }
  const list = Array.from({ length: 1_500 }, (_, index) => ({
    eui64: `00-DB-10-00-00-00-${(index >> 8).toString(16).padStart(2, '0')}-${(index & 255).toString(16).padStart(2, '0')}`,
    type: 'ESME' as const,
    address,
  }))
  t.same(await one.register(list), { registered: 1_500, refused: [] })
  await Promise.all([one.stop(), two.stop()])
  await one.stop()
  await t.rejects(fetch(`http://${one.opsAddress}/health/live`), 'nobody listens any more')
  const again = await startBroker(optionsOf('one', { keyEncryptionKey: 'ab'.repeat(32) }))
  await again.ready
  t.equal(again.hostId, one.hostId)
  await again[Symbol.asyncDispose]()
})

t.test(
  'brokers over one NATS keep their folders apart; one that stops early is not ready',
  async (t) => {
    const nats = await startTestNats({ syncAlways: true })
    t.teardown(() => nats.close())
    const natsUrl = nats.url
    const first = await startBroker(optionsOf('outside', { natsUrl }))
    t.teardown(() => first.stop())
    await t.rejects(startBroker(optionsOf('outside', { natsUrl })), { code: 'DATA_DIR_TAKEN' })
    await first.ready
    // Without a host that has partitions it waits for one.
    const waiting = await startBroker(
      optionsOf('gateway', { natsUrl: nats.url, roles: ['gateway'], partitions: 2 }),
    )
    await waiting.ready
    await first.stop()
    await waiting.stop()
    const alone = await startBroker(optionsOf('alone', { natsUrl, roles: ['host'] }))
    await alone.stop()
    await t.rejects(alone.ready, { code: 'BROKER_NOT_READY' })
  },
)
