/**
 * A deployment on three nats-servers, one of which is killed, and later comes back with a damaged
 * copy of the ledger: readiness is degraded and says why, metrics and `cluster status` say it too,
 * requests go on, and after the repair all is well again.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  clusterStatus,
  formatStatus,
  isInTrouble,
} from '../../actors/cli/operator/cluster-status.ts'
import { verify } from '../../actors/cli/operator/ledger-commands.ts'
import { openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { Deployment } from '../support/deployment.ts'
import { Load } from '../support/load.ts'
import { startTestCluster } from '../support/nats-cluster.ts'
import { polled } from '../support/polled.ts'
import { damage } from '../support/store-damage.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
t.comment(`SEED=${seed}`)
const victim = seed % 3

const cluster = await startTestCluster()
t.teardown(() => cluster.close())
const deployment = new Deployment({ cluster: { url: cluster.url, replicas: 3 } })
t.teardown(() => deployment.stop())
await deployment.start(10)
const operator = await openOperatorLedger({ url: cluster.url })
t.teardown(() => operator.close())
const load = new Load(deployment)
t.teardown(() => load.close())
await load.progress()

type Health = { status: string; reasons: string[]; degraded: string[] }
const ask = (path: string): Promise<Response> => fetch(`http://${deployment.listening.ops}${path}`)

/** Settles with the readiness that `isIt` accepts. */
async function health(isIt: (health: Health, code: number) => boolean): Promise<Health> {
  const found = await polled(
    async () => {
      const answer = await ask('/health/ready').catch(() => undefined)
      return answer && { code: answer.status, health: (await answer.json()) as Health }
    },
    (one) => one !== undefined && isIt(one.health, one.code),
  )
  return found!.health
}
const status = async () =>
  clusterStatus({
    ...operator,
    cursors: await operator.cursors(),
    streams: await operator.replicas(),
  })
const name = cluster.nameOf(victim)

t.test('all three are there', async (t) => {
  await health(({ status: its }) => its === 'ready')
  const found = await status()
  t.same(
    found.streams.map(({ stream, replicas }) => [stream, replicas.length]),
    [
      ['LEDGER', 3],
      ['KV_CURSORS', 3],
      ['OBJ_SNAPSHOTS', 3],
    ],
  )
})

t.test('one is killed', async (t) => {
  await cluster.servers[victim]!.kill()
  const isNamed = ({ degraded }: Health): boolean =>
    ['LEDGER', 'KV_CURSORS', 'OBJ_SNAPSHOTS'].every((stream) =>
      degraded.join().includes(`${name} is offline with its replica of ${stream}`),
    )
  const found = await health((one, code) => code === 200 && isNamed(one))
  t.equal(found.status, 'degraded')
  await load.progress()
  const metrics = await (await ask('/metrics')).text()
  t.match(metrics, /^busbar_replicas\{stream="LEDGER",state="offline"\} 1$/m)
  t.match(metrics, /^busbar_degraded 1$/m)
  t.match(metrics, /^busbar_ready 1$/m)
  const line = `REPLICAS  ${name} is offline with its replica of LEDGER`
  t.ok(isInTrouble(await polled(status, (shown) => formatStatus(shown).join('\n').includes(line))))
  await cluster.servers[victim]!.start()
  await health(({ status: its }) => its === 'ready')
  // The servers tell the broker and the operator one after the other.
  const isTrouble = (line: string): boolean => line.startsWith('REPLICAS')
  await polled(status, (shown) => !formatStatus(shown).some(isTrouble))
})

t.test('one comes back with a bit flipped', async (t) => {
  // Its raft log must be compacted, or the server repairs itself from it.
  await load.progress()
  const server = cluster.servers[victim]!
  await server.stop()
  const { at, firstSequence } = damage(server.storeDir, 'LEDGER', 'flip', seed)
  t.comment(`${name}: octet ${at}, sequence ${firstSequence}`)
  await server.start()
  await load.progress()
  // The first comparison of a process begins with it.
  await deployment.killBroker()
  await deployment.startBroker()
  const sequence = new RegExp(
    `ledger: LEDGER_REPLICA_DAMAGED: ${name}: sequence ${firstSequence}\\b`,
  )
  const found = await health(
    ({ degraded }, code) => code === 200 && degraded.some((text) => sequence.test(text)),
  )
  t.equal(found.status, 'degraded')
  await load.progress()
  t.match(
    await (await ask('/metrics')).text(),
    new RegExp(`busbar_replica_faults\\{server="${name}"\\} 1`),
  )
  const shown = formatStatus(await status()).join('\n')
  t.match(
    shown,
    new RegExp(`^LEDGER_REPLICA_DAMAGED {2}${name}: sequence ${firstSequence}\\b`, 'm'),
  )
  const said: string[] = []
  const print = (line: string) => void said.push(line)
  t.equal(await verify(operator.ledger, print, false, operator.replicaSource), 1)
  t.match(said.join('\n'), new RegExp(`^FAULT {2}${name}: sequence ${firstSequence}\\b`, 'm'))
})

t.test('it is repaired', async (t) => {
  const server = cluster.servers[victim]!
  await server.stop()
  rmSync(join(server.storeDir, 'jetstream'), { recursive: true })
  await server.start()
  await health(({ status: its }) => its === 'ready')
  await load.finish()
  await load.check(t, operator.ledger)
  const said: string[] = []
  const print = (line: string) => void said.push(line)
  t.equal(await verify(operator.ledger, print, false, operator.replicaSource), 0, said.join('\n'))
  t.match(said.join('\n'), /replicas of n\d, n\d, n\d were compared through \d+/)
})
