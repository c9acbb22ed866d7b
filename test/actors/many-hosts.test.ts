/**
 * Several hosts over one ledger: partitions spread, follow hosts that come and go, and are handed
 * over with what is open in them. On simulated twins; as processes in test/faults.
 */
import t from 'tap'
import { ledgerOver } from '../support/pass-through.ts'
import { nextMove, shareOf } from '../../actors/runtime/host/balance.ts'
import { hostedDevice } from '../../actors/device-effects/device-effects.ts'
import { Host } from '../../actors/runtime/host/host.ts'
import { Owners } from '../../core/bus/owners.ts'
import { partitionOf } from '../../core/envelope/partition.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { readOutcome } from '../../core/envelope/envelope.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { hostSubject, type Bus } from '../../core/ports/bus.ts'
import {
  decodeOffer,
  decodePrepared,
  encodeOffer,
  encodePrepared,
} from '../../core/cluster/handover-offer.ts'
import { tickSubject } from '../../core/ports/ledger.ts'
import { silentLog } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { seededRandom } from '../../core/ports/random.ts'
import { SimBus } from '../../core/ports/sim/bus.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import { SimCursorStore, SimLedger } from '../../core/ports/sim/ledger.ts'
import { SimSnapshotStore } from '../../core/ports/sim/snapshots.ts'
import { SimPartitionStore } from '../../core/ports/sim/store.ts'
import { SimWan, type SimExchange } from '../../core/ports/sim/wan.ts'
import { deviceKey, envelopeOf, registrationOf } from '../support/envelopes.ts'
import { endsOf } from '../support/ends.ts'
import { good, settle } from '../support/world.ts'

const partitionCount = 8

/** Live hosts by name on one ledger and bus. */
class Cluster {
  readonly clock = new SimClock(1_800_000_000_000)
  readonly bus = new SimBus({ clock: this.clock })
  readonly ledger = new SimLedger()
  readonly hosts = new Map<string, Host>()
  readonly snapshots = new SimSnapshotStore()
  readonly cursors = new SimCursorStore()
  readonly exchanges: SimExchange[] = []
  private readonly stores = new Map<string, SimPartitionStore>()
  private readonly lives = new Map<string, { isOver: boolean }>()
  owners!: Owners
  /** Ticks that the ledger refused, by host. */
  readonly refused = new Map<string, number>()
  private readonly isForgetful: boolean

  /**
   * A forgetful one is told that there is little room all the time: its ledger forgets what it may.
   */
  constructor({ isForgetful = false } = {}) {
    this.isForgetful = isForgetful
  }

  /** kill -9: it hears, writes and does nothing any more. */
  kill(hostId: string): void {
    this.lives.get(hostId)!.isOver = true
    this.hosts.delete(hostId)
  }

  async start(hostId: string): Promise<Host> {
    const life = { isOver: false }
    this.lives.set(hostId, life)
    const never = new Promise<never>(() => {})
    const clock: Clock = {
      now: () => this.clock.now(),
      elapsedMs: () => this.clock.elapsedMs(),
      at: (atMs, action) => this.clock.at(atMs, () => (life.isOver ? undefined : action())),
    }
    const bus: Bus = {
      request: (subject, frame, timeoutMs) => this.bus.request(subject, frame, timeoutMs),
      serve: (subject, onFrame) =>
        this.bus.serve(subject, (frame, reply) =>
          life.isOver ? undefined : onFrame(frame, reply),
        ),
      announce: (subject, data) => this.bus.announce(subject, data),
      listen: (subject, onData) => this.bus.listen(subject, onData),
    }
    const ledger = ledgerOver(this.ledger, {
      commit: async (entries) => {
        if (life.isOver) return never
        const outcome = await this.ledger.commit(entries)
        if (outcome.refused !== undefined && entries[0]!.subject === tickSubject(hostId))
          this.refused.set(hostId, (this.refused.get(hostId) ?? 0) + 1)
        return outcome
      },
      usage: async () =>
        this.isForgetful
          ? { ...(await this.ledger.usage()), bytes: 60_000_000, bytesMax: 100_000_000 }
          : this.ledger.usage(),
    })
    const owners = new Owners({ ledger, bus, clock, log: silentLog, partitionCount })
    await owners.start()
    this.owners = owners
    const ports = {
      clock,
      random: seededRandom(hostId.charCodeAt(0)),
      log: silentLog,
      metrics: noMetrics,
    }
    const wan = new SimWan((exchange) => void this.exchanges.push(exchange))
    const host = new Host({
      ...ports,
      kinds: [hostedDevice({ ...ports, wan })],
      hostId,
      partitionCount,
      ledger,
      bus,
      openStore: (number) => {
        const name = `${hostId}/${number}`
        const store = this.stores.get(name) ?? new SimPartitionStore()
        this.stores.set(name, store)
        return store
      },
      mayTakeFrom: (owner) => owners.isSilent(owner),
      peers: owners,
      ...(this.isForgetful && {
        snapshots: this.snapshots,
        cursors: this.cursors,
        snapshotTicks: 2,
        deliveryKeepMs: 1,
      }),
      actorsAwakeMax: 1_000,
      actorIdleMs: 60_000,
      checkpointIntervalMs: 1_000,
      onFault: (fault) => {
        throw fault
      },
    })
    this.hosts.set(hostId, host)
    await host.start()
    return host
  }

  async pass(isDone: () => boolean): Promise<boolean> {
    for (let turn = 0; turn < 400 && !isDone(); turn++) {
      this.clock.advanceBy(100)
      await settle()
    }
    return isDone()
  }

  counts(): number[] {
    return [...this.hosts.values()].map((host) => host.owned.length)
  }

  isWhole(): boolean {
    const owned = [...this.hosts.values()].flatMap((host) => host.owned)
    return owned.length === partitionCount && new Set(owned).size === partitionCount
  }

  /** As a gateway does: asks the owner, and the next one when it is not served there any more. */
  async ask(device: Eui64, envelope: Buffer): Promise<ErrorCode | undefined> {
    const partition = partitionOf(device, partitionCount)
    for (let turn = 0; turn < 50; turn++) {
      let code: ErrorCode | undefined
      let isAnswered = false
      this.bus.request(hostSubject(this.owners.ownerOf(partition) ?? ''), envelope, 5_000).then(
        (frame) => {
          isAnswered = true
          code = errorCodeOf(readOutcome(frame, 0))
        },
        () => (isAnswered = true),
      )
      await this.pass(() => isAnswered)
      if (code !== undefined && code !== 'BROKER_PARTITION_UNAVAILABLE') return code
      this.clock.advanceBy(100)
      await settle()
    }
    return undefined
  }
}

t.test(
  'partitions spread over the hosts that are there, and come back when one leaves',
  async (t) => {
    const cluster = new Cluster()
    await cluster.start('a')
    t.same(cluster.counts(), [partitionCount], 'the first takes all')
    await cluster.start('b')
    t.ok(await cluster.pass(() => cluster.counts().join() === '4,4' && cluster.isWhole()))
    await cluster.start('c')
    t.ok(await cluster.pass(() => cluster.isWhole() && Math.min(...cluster.counts()) >= 2))
    const leaving = cluster.hosts.get('b')!
    let isClosed = false
    void leaving.close().then(() => (isClosed = true))
    t.ok(await cluster.pass(() => isClosed))
    cluster.hosts.delete('b')
    t.ok(cluster.isWhole(), 'what it had was with the others when it ended')
  },
)

t.test('a hand-over takes open requests along, and each ends once', async (t) => {
  const cluster = new Cluster()
  const first = await cluster.start('a')
  const devices = Array.from({ length: 24 }, (_, index) => deviceKey(index))
  for (const [index, device] of devices.entries())
    t.equal(await cluster.ask(device, registrationOf(device, undefined, index)), 'REQUEST_ACCEPTED')
  const request = (device: Eui64, counter: number): Buffer =>
    envelopeOf({
      srv: '11.2',
      device,
      counter,
      deadline: cluster.clock.now() + 600_000,
      correlation: 0,
    })
  for (const device of devices)
    t.equal(await cluster.ask(device, request(device, 1)), 'REQUEST_ACCEPTED')
  await cluster.start('b')
  t.ok(await cluster.pass(() => cluster.isWhole() && first.owned.length === 4))
  for (const device of devices) {
    t.equal(
      await cluster.ask(device, request(device, 1)),
      'REQUEST_ACCEPTED',
      'known at the new owner',
    )
    t.equal(await cluster.ask(device, request(device, 2)), 'REQUEST_ACCEPTED')
  }
  const statusOf = (): number =>
    [...cluster.hosts.values()].reduce((sum, host) => sum + host.status().partitions.length, 0)
  t.equal(statusOf(), partitionCount)
  for (let round = 0; round < 6; round++) {
    for (const exchange of cluster.exchanges.splice(0)) good(exchange)
    await settle()
  }
  const ends = endsOf(cluster.ledger.all())
  t.equal(ends.size, devices.length * 2)
  t.same(
    [...ends.values()].filter((count) => count !== 1),
    [],
  )
})

t.test('what a dead host had is taken when it has been silent, within the limit', async (t) => {
  const cluster = new Cluster()
  await cluster.start('a')
  const second = await cluster.start('b')
  t.ok(await cluster.pass(() => cluster.counts().join() === '4,4'))
  cluster.kill('a')
  const diedAt = cluster.clock.now()
  t.ok(await cluster.pass(() => second.owned.length === partitionCount))
  t.ok(cluster.clock.now() - diedAt <= 5_000)
})

t.test(
  'a host that writes nothing for long is refused no tick when its last is forgotten',
  async (t) => {
    const cluster = new Cluster({ isForgetful: true })
    await cluster.start('a')
    const devices = Array.from({ length: 24 }, (_, index) => deviceKey(index))
    for (const [index, device] of devices.entries())
      t.equal(
        await cluster.ask(device, registrationOf(device, undefined, index)),
        'REQUEST_ACCEPTED',
      )
    const quiet = await cluster.start('b')
    t.ok(await cluster.pass(() => cluster.isWhole() && quiet.owned.length === 4))
    const ownerOf = (device: Eui64): string | undefined =>
      cluster.owners.ownerOf(partitionOf(device, partitionCount))
    const busyOne = devices.find((device) => ownerOf(device) === 'a')!
    const quietOne = devices.find((device) => ownerOf(device) === 'b')!
    const ask = (device: Eui64, counter: number): Promise<ErrorCode | undefined> =>
      cluster.ask(
        device,
        envelopeOf({
          srv: '11.2',
          device,
          counter,
          deadline: cluster.clock.now() + 600_000,
          correlation: 0,
        }),
      )
    const lastOfQuiet = (await cluster.ledger.lastOn(tickSubject('b')))!.sequence
    let counter = 0
    while (!cluster.ledger.isForgotten(lastOfQuiet) && counter < 100) {
      t.equal(await ask(busyOne, ++counter), 'REQUEST_ACCEPTED')
      for (const exchange of cluster.exchanges.splice(0)) good(exchange)
      await cluster.pass(() => cluster.exchanges.length > 0)
    }
    t.ok(cluster.ledger.isForgotten(lastOfQuiet))
    t.equal(await ask(quietOne, 1), 'REQUEST_ACCEPTED')
    t.equal(cluster.refused.get('b'), undefined)
    t.ok((await cluster.ledger.lastOn(tickSubject('b')))!.sequence > lastOfQuiet)
  },
)

t.test('moves bring each to its share and then stop', (t) => {
  const counts = new Map([
    ['a', 16],
    ['b', 0],
    ['c', 0],
  ])
  for (let turn = 0; turn < 20; turn++) {
    for (const host of counts.keys()) {
      const move = nextMove(host, counts)
      if (move === undefined) continue
      counts.set(host, counts.get(host)! - move.count)
      counts.set(move.target, counts.get(move.target)! + move.count)
    }
  }
  t.same([...counts.values()].sort(), [5, 5, 6])
  for (const host of counts.keys()) t.equal(nextMove(host, counts), undefined)
  t.equal(shareOf(16, 3), 6)
  t.end()
})

t.test('offers are hostile until parsed', (t) => {
  t.same(decodeOffer(encodeOffer({ from: 'a', partitions: [1, 2] })), {
    from: 'a',
    partitions: [1, 2],
  })
  t.same(decodePrepared(encodePrepared([{ partition: 1, nonce: 'n' }])), [
    { partition: 1, nonce: 'n' },
  ])
  const rubbish = [
    '',
    '{',
    '7',
    'null',
    '{"from":"a b","partitions":[]}',
    '{"from":"a","partitions":[-1]}',
    '{"prepared":[{}]}',
    '{"prepared":[{"partition":1,"nonce":7}]}',
    `"${'x'.repeat(200_000)}"`,
  ]
  for (const text of rubbish)
    for (const decode of [decodeOffer, decodePrepared])
      t.throws(() => decode(Buffer.from(text)), BrokerError, text.slice(0, 40))
  t.ok(limits.handoverPartitionsMax > 0)
  t.end()
})
