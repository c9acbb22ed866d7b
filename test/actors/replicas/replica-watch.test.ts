/**
 * Replicas that are missing, offline or lagging are named, counted, and forgotten when they are
 * back.
 */
import t from 'tap'
import { ReplicaWatch, troubleOf } from '../../../actors/replicas/replica-watch.ts'
import { formatStatus, isInTrouble } from '../../../actors/cli/operator/cluster-status.ts'
import { limits } from '../../../core/base/limits.ts'
import { createMetrics } from '../../../core/ops/metrics.ts'
import { silentLog } from '../../../core/ports/log.ts'
import type { Replica, StreamReplicas } from '../../../core/ports/replicas.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { settle } from '../../support/world.ts'

const replica = (server: string, state: Replica['state'], lagMessages = 0): Replica => ({
  ...{ server, state, lagMessages },
  silentMs: state === 'offline' ? 9_000 : 0,
})
const counts = { firstSequence: 1, lastSequence: 9, messages: 9, deleted: 0 }
const stream = (replicas: Replica[], more: Partial<StreamReplicas> = {}): StreamReplicas => ({
  ...{ stream: 'LEDGER', wanted: 3, configured: 3, leader: 'n1', counts, replicas },
  ...more,
})
const whole = [replica('n1', 'current'), replica('n2', 'current'), replica('n3', 'current')]

t.test('what is said of a stream', async (t) => {
  t.same(troubleOf(stream(whole)), [])
  const missing = stream([
    replica('n1', 'current'),
    replica('n2', 'offline'),
    replica('', 'missing'),
  ])
  t.same(troubleOf(missing), [
    '1 of 3 replicas of LEDGER are on no server',
    'n2 is offline with its replica of LEDGER',
  ])
  const fewer = stream([replica('n1', 'current')], { configured: 1 })
  t.same(troubleOf(fewer), ['LEDGER is configured for 1 of 3 replicas'])
  const headless = stream([replica('n2', 'current')], { leader: undefined })
  t.same(troubleOf(headless), ['LEDGER has no leader'])
  t.same(troubleOf(stream([], { failure: 'no answer' })), ['LEDGER: no answer'])
})

t.test('the watch', async (t) => {
  const clock = new SimClock(1_800_000_000_000)
  const metrics = createMetrics({ withProcess: false })
  let now: StreamReplicas[] | Error = [stream(whole)]
  const ask = () => (now instanceof Error ? Promise.reject(now) : Promise.resolve(now))
  const watch = new ReplicaWatch({ ask, clock, log: silentLog, metrics })
  t.teardown(() => watch.close())
  const look = async (): Promise<void> => {
    clock.advanceBy(limits.replicaLookMs)
    await settle()
  }
  watch.start()
  await settle()
  t.equal(watch.trouble, undefined)
  t.match(await metrics.text(), /busbar_replicas\{stream="LEDGER",state="current"\} 3/)

  now = [stream([whole[0]!, whole[1]!, replica('n3', 'offline')])]
  await look()
  t.equal(watch.trouble, 'n3 is offline with its replica of LEDGER')
  t.match(await metrics.text(), /busbar_replicas\{stream="LEDGER",state="offline"\} 1/)

  now = [stream([whole[0]!, whole[1]!, replica('n3', 'lagging', 40)])]
  await look()
  t.equal(watch.trouble, undefined, 'it restarts and catches up')
  const text = await metrics.text()
  t.match(text, /busbar_replica_lag_messages\{stream="LEDGER",server="n3"\} 40/)
  for (let passed = 0; passed <= limits.replicaLagMsMax; passed += limits.replicaLookMs)
    await look()
  t.match(watch.trouble, /^n3 lags with its replica of LEDGER by 40 operations/)

  now = new Error('gone')
  await look()
  t.match(watch.trouble, /^n3 lags/, 'an answer that fails changes nothing')
  now = [stream(whole)]
  await look()
  t.equal(watch.trouble, undefined)
})

t.test('in the status of the cluster', async (t) => {
  const comparison = {
    ...{ atMs: 0, compared: ['n1', 'n2'], notCompared: ['n3'], throughSequence: 9 },
    faults: ['n2: sequence 5 (partition 1): missing'],
  }
  const status = {
    ...{ lastSequence: 9, wans: [], silent: [], views: [], partitions: [] },
    hosts: [{ hostId: 'a', roles: ['host'], partitions: [], comparison }],
    streams: [stream([whole[0]!, whole[1]!, replica('n3', 'offline')])],
  }
  const text = formatStatus(status).join('\n')
  t.match(text, /^stream LEDGER {2}2 of 3 replicas current {2}n1 leader, n2 current, n3 offline$/m)
  t.match(text, /^ledger of n1, n2, not n3 compared through 9 {2}1 FAULTS/m)
  t.match(text, /^LEDGER_REPLICA_DAMAGED {2}n2: sequence 5/m)
  t.match(text, /^REPLICAS {2}n3 is offline/m)
  t.ok(isInTrouble(status))
  t.notOk(isInTrouble({ ...status, hosts: [], streams: [stream(whole)] }))
  const lagging = stream([whole[0]!, whole[1]!, replica('n3', 'lagging')])
  t.notOk(isInTrouble({ ...status, hosts: [], streams: [lagging] }), 'it catches up by itself')
})
