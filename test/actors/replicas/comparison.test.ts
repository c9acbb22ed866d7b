/** Copies of the ledger are compared: what differs is named by server, sequence and partition. */
import t from 'tap'
import { compareReplicas } from '../../../actors/replicas/comparison.ts'
import { mergeFaults } from '../../../actors/replicas/judgement.ts'
import { ReplicaAudit } from '../../../actors/replicas/replica-audit.ts'
import { limits } from '../../../core/base/limits.ts'
import { readTickMessage } from '../../../core/envelope/tick-message.ts'
import type { LedgerMessage } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import { formatReplicaFault } from '../../../core/ports/replicas.ts'
import { createMetrics } from '../../../core/ops/metrics.ts'
import { LedgerAuthor } from '../../support/ledger-author.ts'
import { hastyClock, ReplicasInMemory } from '../../support/replicas.ts'

const seed = 11
const servers = ['n1', 'n2', 'n3']

async function written(
  ticks: number,
): Promise<{ author: LedgerAuthor; messages: LedgerMessage[] }> {
  const author = new LedgerAuthor(seed)
  for (let tick = 0; tick < ticks; tick++) await author.tick(6)
  return { author, messages: await messagesOf(author) }
}

async function messagesOf(author: LedgerAuthor): Promise<LedgerMessage[]> {
  const messages: LedgerMessage[] = []
  for (const subject of ['log.*', 'lease.*', 'meta.*'])
    await author.ledger.read(subject, 1, (message) => void messages.push(message))
  return messages.sort((a, b) => a.sequence - b.sequence)
}

const partitionsIn = ({ data }: LedgerMessage): number[] => {
  const partitions: number[] = []
  readTickMessage(data, (partition) => partitions.push(partition), undefined)
  return partitions.sort((a, b) => a - b)
}

const compare = async (author: LedgerAuthor, source: ReplicasInMemory) =>
  (await compareReplicas({ ledger: author.ledger, source, clock: hastyClock(), restMs: 0 }))!

const { author, messages } = await written(3 * limits.replicaRangeMessages)
const last = messages.at(-1)!.sequence

t.test('three whole copies', async (t) => {
  const source = new ReplicasInMemory(servers, messages, seed)
  t.same(await compare(author, source), {
    compared: servers,
    notCompared: [],
    throughSequence: last,
    messages: messages.length,
    damaged: [],
    faults: [],
    moreFaults: 0,
  })
})

t.test('one copy with a bit flipped, in a frame, in its link, or in deliveries', async (t) => {
  for (const sequence of [1, 2, limits.replicaRangeMessages, last])
    for (const at of [5, 60, 1_000_003]) {
      const source = new ReplicasInMemory(servers, messages, seed)
      source.flip('n2', sequence, at)
      const { faults } = await compare(author, source)
      t.equal(faults.length, 1, `sequence ${sequence}, octet ${at}`)
      t.match(faults[0], { server: 'n2', what: 'different', from: sequence, through: sequence })
      t.same(faults[0]!.partitions, partitionsIn(messages[sequence - 1]!))
    }
})

t.test('copies that lost messages in the middle, at the end, or all', async (t) => {
  const source = new ReplicasInMemory(servers, messages, seed)
  source.lose('n1', 100, 400)
  source.lose('n3', last - 5, last)
  const { faults } = await compare(author, source)
  t.match(faults, [
    { server: 'n1', what: 'missing', from: 100, through: 400, partitions: [0, 1, 2, 3] },
    { server: 'n3', what: 'missing', from: last - 5, through: last },
  ])
  t.match(
    formatReplicaFault(faults[0]!),
    /^n1: sequences 100 to 400 \(partitions 0, 1, 2, 3\): miss/,
  )
  const empty = new ReplicasInMemory(servers, messages, seed)
  empty.lose('n2', 1, last)
  t.match((await compare(author, empty)).faults, [{ server: 'n2', from: 1, through: last }])
})

t.test('two of three damaged: the chains say which copy is right', async (t) => {
  const source = new ReplicasInMemory(servers, messages, seed)
  source.flip('n1', 50, 70)
  source.flip('n2', 50, 71)
  source.lose('n1', 300, 310)
  source.lose('n2', 305, 320)
  const { faults } = await compare(author, source)
  t.match(faults, [
    { server: 'n1', what: 'different', from: 50, through: 50 },
    { server: 'n2', what: 'different', from: 50, through: 50 },
    { server: 'n1', what: 'missing', from: 300, through: 310 },
    { server: 'n2', what: 'missing', from: 305, through: 320 },
  ])
  t.equal(faults.length, 4)
})

t.test('what no server has is a chain that breaks behind it', async (t) => {
  const source = new ReplicasInMemory(servers, messages, seed)
  for (const server of servers) source.lose(server, 200, 201)
  const { faults } = await compare(author, source)
  t.ok(faults.length > 0)
  for (const fault of faults) {
    t.equal(fault.server, undefined)
    t.equal(fault.what, 'chain')
    t.ok(fault.from > 201)
  }
  const lost = [...partitionsIn(messages[199]!), ...partitionsIn(messages[200]!)]
  const named = faults.flatMap(({ partitions }) => partitions)
  t.same(new Set(named), new Set(lost), 'each partition once')
  t.match(formatReplicaFault(faults[0]!), /^every replica: .* the hash chain is broken/)
  const sole = new ReplicasInMemory(['n1'], messages, seed)
  sole.lose('n1', 200, 201)
  t.equal((await compare(author, sole)).faults[0]!.server, 'n1', 'the only copy has a name')
})

t.test('a lease that no server gives, though its leader counts it', async (t) => {
  const other = new LedgerAuthor(seed)
  for (let tick = 0; tick < 20; tick++) await other.tick()
  await other.ledger.commit([{ subject: 'lease.3', data: Buffer.from('a lease') }])
  await other.tick()
  const whole = await messagesOf(other)
  t.equal(whole.length, 22)
  const source = new ReplicasInMemory(['n1'], whole, seed)
  t.same((await compare(other, source)).faults, [])
  source.lose('n1', 21, 21)
  t.same((await compare(other, source)).faults, [], 'one that was deleted is no fault')
  source.unreadable = 1
  const { faults } = await compare(other, source)
  t.match(faults, [{ server: 'n1', what: 'unreadable', from: 21, through: 21, count: 1 }])
  t.match(formatReplicaFault(faults[0]!), /^n1: sequence 21: 1 messages .* cannot be read$/)
})

t.test('a follower that catches up, and a server that does not answer', async (t) => {
  const source = new ReplicasInMemory(servers, messages, seed)
  const whole = source.copies.get('n2')!
  source.lose('n2', last - 20, last)
  source.silent.add('n3')
  const clock = hastyClock()
  const result = (await compareReplicas({
    ledger: author.ledger,
    source,
    clock: {
      ...clock,
      at(atMs, action) {
        if (atMs - clock.now() === limits.replicaConfirmMs) source.copies.set('n2', whole)
        return clock.at(atMs, action)
      },
    },
    restMs: 0,
  }))!
  t.same(result.faults, [], 'what is gone a moment later is no fault')
  t.same(result.notCompared, ['n3'])
  t.same(result.compared, ['n1', 'n2'])
})

t.test('a ledger that is trimmed, before and while it is compared', async (t) => {
  const { author: other, messages: before } = await written(300)
  const source = new ReplicasInMemory(servers, before, seed)
  let reads = 0
  source.onRead = () => {
    if (++reads !== 2) return
    // Trimmed by the leader, and not yet by the others.
    source.lose('n1', 1, 299)
  }
  await other.snapshot()
  await other.acknowledge()
  await other.trim(0)
  t.same((await compare(other, source)).faults, [])
})

t.test(
  'the audit names new damage once, moves the leader away, and notices the repair',
  async (t) => {
    const source = new ReplicasInMemory(servers, messages, seed)
    source.flip('n1', 50, 70)
    const said: string[] = []
    const note = (fields: object, message: string) =>
      void said.push(`${message} ${JSON.stringify(fields)}`)
    const log: Log = { debug: note, info: note, warn: note, error: note }
    const metrics = createMetrics({ withProcess: false })
    let isOurs = true
    let passes = 0
    const reached: Array<{ passes: number; resolve: () => void }> = []
    const audit = new ReplicaAudit({
      ledger: {
        lastOn: (subject) => {
          if (subject === '*.*') passes++
          for (const one of reached) if (passes >= one.passes) one.resolve()
          return author.ledger.lastOn(subject)
        },
      },
      source,
      clock: hastyClock(),
      log,
      metrics,
      isOurs: () => isOurs,
      restMs: 0,
    })
    t.teardown(() => audit.close())
    /** Settles when so many more comparisons have begun: those before have ended. */
    const more = (count: number) =>
      new Promise<void>((resolve) => reached.push({ passes: passes + count, resolve }))
    audit.start()
    await more(3)
    t.match(audit.trouble, /^LEDGER_REPLICA_DAMAGED: n1: sequence 50 \(partition/)
    t.not(source.leader, 'n1', 'the leader is an intact one')
    t.equal(said.filter((line) => /a replica of the ledger is damaged/.test(line)).length, 1)
    t.match(await metrics.text(), /busbar_replica_faults\{server="n1"\} 1/)
    source.flip('n1', 50, 70)
    await more(3)
    t.equal(audit.trouble, undefined)
    t.ok(said.some((line) => /the replicas of the ledger agree/.test(line)))
    isOurs = false
    t.equal(audit.status, undefined, 'another process compares')
  },
)

t.test('faults at adjacent places are one', async (t) => {
  const fault = (from: number, partitions: number[]) => ({
    server: 'n1',
    what: 'missing' as const,
    ...{ from, through: from, partitions },
  })
  t.same(mergeFaults([fault(1, [2]), fault(2, [1]), fault(4, [3])]), [
    { ...fault(1, [1, 2]), through: 2 },
    fault(4, [3]),
  ])
})
