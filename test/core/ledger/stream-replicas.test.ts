/** What the leader of a stream says of its replicas is read as an operator would. */
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { streamReplicasIn } from '../../../core/ledger/stream-replicas.ts'

const ms = 1_000_000
const state = { last_seq: 7 }

const statesOf = (replicas: ReadonlyArray<{ server: string; state: string }>) =>
  replicas.map(({ server, state: its }) => `${server} ${its}`)

t.test('a single server is the only replica', async (t) => {
  const found = streamReplicasIn('LEDGER', { config: { num_replicas: 1 }, state }, 1, 'alone')
  t.equal(found.leader, 'alone')
  t.same(statesOf(found.replicas), ['alone current'])
  t.equal(found.counts.lastSequence, 7)
})

t.test('followers by what the leader says, and by when it heard them', async (t) => {
  const peers = [
    { name: 'n2', current: true, active: 900 * ms },
    { name: 'n3', current: true, active: (limits.replicaSilenceMsMax + 1) * ms },
    { name: 'n4', current: true, offline: true, active: 1 * ms },
    { name: 'n5', current: false, active: 1 * ms, lag: 3 },
    { name: 'n6', current: true, active: 1 * ms, lag: limits.replicaLagMessagesMax + 1 },
  ]
  const answer = { config: { num_replicas: 6 }, state, cluster: { leader: 'n1', replicas: peers } }
  const { replicas } = streamReplicasIn('LEDGER', answer, 3, 'n1')
  t.same(statesOf(replicas), [
    'n1 current',
    'n2 current',
    'n3 offline',
    'n4 offline',
    'n5 lagging',
    'n6 lagging',
  ])
  t.equal(replicas[4]!.lagMessages, 3)
})

t.test('replicas that no server has, and no leader', async (t) => {
  const peers = [{ name: 'n2', current: true, active: ms }]
  const short = { config: { num_replicas: 3 }, state, cluster: { leader: 'n1', replicas: peers } }
  t.same(statesOf(streamReplicasIn('LEDGER', short, 3, 'n1').replicas), [
    'n1 current',
    'n2 current',
    ' missing',
  ])
  const fewer = { config: { num_replicas: 1 }, state, cluster: { leader: 'n1' } }
  const found = streamReplicasIn('LEDGER', fewer, 3, 'n1')
  t.equal(found.configured, 1)
  t.equal(found.replicas.length, 3)
  const headless = { config: { num_replicas: 3 }, cluster: { leader: '', replicas: peers } }
  const none = streamReplicasIn('LEDGER', headless, 3, 'n1')
  t.equal(none.leader, undefined)
  t.same(statesOf(none.replicas), ['n2 current', ' missing', ' missing'])
  const refused = { error: { err_code: 10008, description: 'temporarily unavailable' } }
  t.equal(streamReplicasIn('LEDGER', refused, 3, 'n1').failure, '10008 temporarily unavailable')
})
