/**
 * Files of nats-servers are damaged on one and on two of three: bits flipped, blocks cut short,
 * blocks lost, and a block whose checksums are right and whose octets are not. Every copy that is
 * not whole is named by server and sequence, every copy that is not named is whole, and one server
 * after the other is repaired from the rest.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { verify } from '../../actors/cli/operator/ledger-commands.ts'
import { compareReplicas } from '../../actors/replicas/comparison.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { createLedger, type JetStreamLedger } from '../../core/ledger/jetstream.ts'
import { ReplicaReader } from '../../core/ledger/replica-reader.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import { systemClock } from '../../core/ports/clock.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import type { ReplicaComparison } from '../../core/ports/replicas.ts'
import { authorPartitions, LedgerAuthor } from '../support/ledger-author.ts'
import { startTestCluster } from '../support/nats-cluster.ts'
import { startTestNats } from '../support/nats.ts'
import { polled } from '../support/polled.ts'
import { blockFiles, Damage, damage } from '../support/store-damage.ts'

const ticks = 60
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
t.comment(`SEED=${seed}`)

const cluster = await startTestCluster()
t.teardown(() => cluster.close())
const connection = await connectNats(natsConnectOptions({ url: cluster.url }))
t.teardown(() => connection.close())

type Case = {
  name: string
  what: Damage | 'foreign'
  /** Indexes of the servers whose files are damaged. */
  where: number[]
  ledger: JetStreamLedger
  reader: ReplicaReader
}
const victim = seed % 3
const minority = [victim]
const majority = [victim, (victim + 1) % 3]

const author = new LedgerAuthor(seed)
for (let tick = 0; tick < ticks; tick++) await author.tick()
const written: LedgerMessage[] = []
await author.ledger.read('log.*', 1, (message) => void written.push(message))

async function write(ledger: JetStreamLedger, messages: readonly LedgerMessage[]): Promise<void> {
  for (const { subject, data } of messages) {
    const { refused } = await ledger.commit([{ subject, data }])
    if (refused !== undefined) throw new Error(refused)
  }
}

async function open(name: string, what: Case['what'], where: number[]): Promise<Case> {
  const names = { streamName: name, subjectPrefix: name }
  const options = { ...names, bytesMax: 64 * 1024 ** 2, partitionCount: authorPartitions }
  const ledger = await createLedger({ ...options, connection, replicas: 3 })
  t.teardown(() => ledger.close())
  await write(ledger, written)
  const reader = new ReplicaReader({ connection, wanted: 3, ...names })
  return { name, what, where, ledger, reader }
}

/** A block of a stream of the same name with one octet changed; its checksums are right. */
async function foreignBlock(name: string): Promise<{ file: string; sequence: number }> {
  const alone = await startTestNats()
  t.teardown(() => alone.close())
  const itsConnection = await connectNats(natsConnectOptions({ url: alone.url }))
  const ledger = await createLedger({
    connection: itsConnection,
    ...{ streamName: name, subjectPrefix: name },
    ...{ bytesMax: 64 * 1024 ** 2, partitionCount: authorPartitions },
  })
  const index = seed % ticks
  const changed = written.map((message, at) => {
    const data = Buffer.from(message.data)
    if (at === index) data[data.length - 1]! ^= 1
    return { ...message, data }
  })
  await write(ledger, changed)
  await ledger.close()
  await itsConnection.close()
  await alone.stop()
  // The deployment record is the first message.
  return { file: blockFiles(alone.storeDir, name)[0]!, sequence: index + 2 }
}

const digestOf = (messages: readonly LedgerMessage[]): string => {
  const hash = createHash('sha256')
  for (const { subject, data } of messages)
    if (subject.startsWith('log.')) hash.update(data).update('.')
  return hash.digest('hex')
}
const wholeDigest = digestOf(written)

/** What one server has of the ledger, whatever the others have. */
async function copyOf({ reader }: Case, server: string): Promise<LedgerMessage[]> {
  const messages: LedgerMessage[] = []
  for (let from = 1; ;) {
    const range = await reader.read(from)
    if (range?.server !== server) continue
    messages.push(...range.messages)
    if (range.isEnd) return messages
    from = messages.at(-1)!.sequence + 1
  }
}

/** Settles when each server has answered for its copy. */
async function compared({ ledger, reader }: Case): Promise<ReplicaComparison> {
  const ports = { ledger, source: reader, clock: systemClock, restMs: 0 }
  const found = await polled(
    () => compareReplicas(ports).catch(() => undefined),
    (one) => one?.notCompared.length === 0 && one.compared.length === 3,
  )
  return found!
}

const plans: Array<[string, Case['what'], number[]]> = [
  ...Damage.flatMap((what): Array<[string, Case['what'], number[]]> => [
    [`one-${what}`, what, minority],
    [`two-${what}`, what, majority],
  ]),
  ['one-foreign', 'foreign', minority],
]
const cases = await Promise.all(plans.map(([name, what, where]) => open(name, what, where)))
const foreign = await foreignBlock('one-foreign')

t.test('whole copies', async (t) => {
  for (const one of cases) t.same((await compared(one)).faults, [], one.name)
})

t.test('damaged copies', async (t) => {
  // In order, so that their raft logs are compacted and cannot repair what is damaged by
  // themselves.
  for (const server of cluster.servers) await server.stop()
  for (const [index, { name, what, where }] of cases.entries())
    for (const server of where) {
      const { storeDir } = cluster.servers[server]!
      if (what === 'foreign') copyFileSync(foreign.file, blockFiles(storeDir, name)[0]!)
      else {
        const { at, firstSequence } = damage(storeDir, name, what, seed + 10 * index + server)
        t.comment(`${name}: ${cluster.nameOf(server)}, octet ${at}, sequence ${firstSequence}`)
      }
    }
  await Promise.all(cluster.servers.map((server) => server.start()))
  for (const one of cases) {
    const { faults } = await compared(one)
    const named = new Set(faults.map(({ server }) => server))
    const damaged = new Set(one.where.map(cluster.nameOf))
    t.comment(`${one.name}: ${faults.map((fault) => JSON.stringify(fault)).join() || 'healed'}`)
    let wholeCount = 0
    for (const index of cluster.servers.keys()) {
      const server = cluster.nameOf(index)
      const isWhole = digestOf(await copyOf(one, server)) === wholeDigest
      if (isWhole) wholeCount++
      t.equal(
        named.has(server) || named.has(undefined),
        !isWhole,
        `${one.name}: the copy of ${server} is ${isWhole ? 'whole' : 'named'}`,
      )
      t.ok(
        isWhole || damaged.has(server) || one.where.length > 1,
        'damage does not spread from one',
      )
    }
    t.ok(wholeCount >= 1 || named.size > 0, `${one.name}: nothing is lost silently`)
    const said: string[] = []
    const code = await verify(one.ledger, (line) => void said.push(line), false, one.reader)
    t.equal(code, faults.length > 0 ? 1 : 0, `${one.name}: ledger verify`)
    for (const server of named) t.match(said.join('\n'), `FAULT  ${server ?? 'every replica'}`)
    if (one.what === 'foreign')
      t.ok(
        faults.some(
          ({ server, what, from }) =>
            server === cluster.nameOf(victim) && what === 'different' && from === foreign.sequence,
        ),
        'the message that another ledger has in its place is named',
      )
  }
})

t.test('the server with damaged copies is repaired', async (t) => {
  const server = cluster.servers[victim]!
  await server.stop()
  const single = cases.filter(({ where }) => where === minority)
  // All of it: the raft logs beside the streams hold snapshots of the damaged state.
  rmSync(join(server.storeDir, 'jetstream'), { recursive: true })
  await server.start()
  for (const one of single) {
    await polled(
      () => compared(one),
      ({ faults }) => faults.length === 0,
    )
    t.pass(`${one.name} is whole on every server`)
    t.equal((await one.ledger.lastOn('log.*'))!.sequence, ticks + 1)
    await write(one.ledger, written.slice(0, 1))
  }
})
