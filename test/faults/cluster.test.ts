/**
 * Two hosts over a cluster of three nats-servers, every write on three disks, under load: servers
 * are killed (the leader of the ledger, the one that the broker is connected to) and cut off.
 * Whatever was acknowledged ends once, and in the end all three have the same.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import t from 'tap'
import { backup } from '../../actors/cli/operator/backup.ts'
import { clusterStatus } from '../../actors/cli/operator/cluster-status.ts'
import { backupPortsOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { restoreInto } from '../../actors/cli/operator/restore.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { createLedger } from '../../core/ledger/jetstream.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import { ledgerContract } from '../contracts/ledger.ts'
import { Deployment } from '../support/deployment.ts'
import { Load } from '../support/load.ts'
import { startTestCluster } from '../support/nats-cluster.ts'
import { polled } from '../support/polled.ts'

type StreamState = { messages: number; bytes: number; first_seq: number; last_seq: number }
type Stream = { name: string; state: StreamState; cluster?: { leader?: string } }

const cluster = await startTestCluster()
t.teardown(() => cluster.close())

/** The ledger as each server has it on its own disk. */
async function ledgerOf(index: number): Promise<Stream | undefined> {
  const { account_details: accounts = [] } = (await cluster.monitor(
    index,
    '/jsz?accounts=true&streams=true',
  )) as { account_details?: Array<{ stream_detail?: Stream[] }> }
  return accounts
    .flatMap(({ stream_detail: streams = [] }) => streams)
    .find(({ name }) => name === 'LEDGER')
}

t.test('the contract holds on three replicas', async (t) => {
  const connection = await connectNats(natsConnectOptions({ url: cluster.url }))
  t.teardown(() => connection.close())
  let count = 0
  ledgerContract(t, () => {
    const name = `d${count++}`
    return createLedger({
      connection,
      streamName: name,
      subjectPrefix: name,
      bytesMax: 64 * 1024 ** 2,
      partitionCount: 16,
      replicas: 3,
    })
  })
})

t.test('servers are killed and cut off under load', async (t) => {
  const deployment = new Deployment({ cluster: { url: cluster.url, replicas: 3 } })
  t.teardown(() => deployment.stop())
  await deployment.start(40)
  const second = await deployment.startHost('second')
  t.teardown(() => second.stop())
  const operator = await openOperatorLedger({ url: cluster.url })
  t.teardown(() => operator.close())

  const leader = async (): Promise<number> => {
    const found = await polled(
      async () => {
        for (const index of cluster.servers.keys()) {
          const stream = await ledgerOf(index).catch(() => undefined)
          if (stream?.cluster?.leader === cluster.nameOf(index)) return index
        }
      },
      (index) => index !== undefined,
    )
    return found!
  }
  /** Settles when all three have the same, and gives it. */
  const agreed = async (): Promise<StreamState> => {
    const [state] = await polled(
      () =>
        Promise.all(
          [...cluster.servers.keys()].map((index) =>
            ledgerOf(index).then(
              (stream) => stream?.state,
              () => undefined,
            ),
          ),
        ),
      (states) => {
        const texts = states.map(
          (one) => one && [one.messages, one.bytes, one.first_seq, one.last_seq].join(),
        )
        return states[0] !== undefined && new Set(texts).size === 1
      },
    )
    return state!
  }
  /** The server that the broker commits over. */
  const broker = async (): Promise<number> => {
    const name = `busbar ${String(deployment.broker!.said['hostId'])}`
    for (const index of cluster.servers.keys()) {
      const { connections } = (await cluster.monitor(index, '/connz')) as {
        connections: Array<{ name?: string }>
      }
      if (connections.some((one) => one.name === name)) return index
    }
    throw new Error('the broker is connected to none')
  }

  const load = new Load(deployment)
  t.teardown(() => load.close())
  await load.progress()
  const phase = async (what: string, fault: () => Promise<() => unknown>): Promise<void> => {
    const startedAt = performance.now()
    const undo = await fault()
    await load.progress()
    const servedAt = performance.now()
    await undo()
    await load.progress()
    t.comment(
      `${what}: ${Math.round(servedAt - startedAt)} ms to two rounds, undone: ${Math.round(performance.now() - servedAt)} ms`,
    )
  }
  const killed = async (index: number): Promise<() => unknown> => {
    await cluster.servers[index]!.kill()
    return () => cluster.servers[index]!.start()
  }
  await phase('leader killed', async () => killed(await leader()))
  await load.still(agreed)
  await phase('the broker’s server killed', async () => killed(await broker()))
  await load.still(agreed)
  for (const from of ['servers', 'everybody'] as const) {
    await phase(`leader cut off from ${from}`, async () => {
      const index = await leader()
      cluster.cutOff(index, from)
      return () => cluster.reconnect(index)
    })
    await load.still(agreed)
  }
  await load.finish()
  await load.check(t, operator.ledger)
  const state = await agreed()
  t.equal(state.last_seq, (await operator.ledger.lastOn('*.*'))?.sequence)
  await polled(
    async () => clusterStatus({ ...operator, cursors: await operator.cursors() }),
    ({ silent, hosts }) =>
      silent.length === 0 &&
      hosts.length === 2 &&
      hosts.every(({ partitions }) => partitions.length === 8),
  )
  t.pass('half and half again')

  // A backup of it comes back on another cluster, on three disks again.
  const folder = mkdtempSync(join(tmpdir(), 'busbar-backup-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { audit } = await backup(await backupPortsOf(operator), join(folder, 'one'))
  t.same(audit.faults, [])
  const other = await startTestCluster()
  t.teardown(() => other.close())
  t.same(await restoreInto({ natsUrl: other.url }, join(folder, 'one'), 3), audit)
  const connection = await connectNats(natsConnectOptions({ url: other.url }))
  t.teardown(() => connection.close())
  const manager = await jetstreamManager(connection)
  for await (const { config } of manager.streams.list())
    t.equal(config.num_replicas, 3, `${config.name} has three replicas`)
})
