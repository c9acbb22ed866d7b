/** The bus over a real nats-server, and the directory of owners over ledger and bus. */
import t from 'tap'
import { NatsBus } from '../../../core/bus/nats-bus.ts'
import { Owners } from '../../../core/bus/owners.ts'
import { aliveSubject, announceAlive } from '../../../core/cluster/alive.ts'
import { connectNats } from '../../../core/nats/connection.ts'
import { takeLease } from '../../../core/ledger/lease.ts'
import { limits } from '../../../core/base/limits.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimLedger } from '../../../core/ports/sim/ledger.ts'
import { busContract } from '../../contracts/bus.ts'
import { startTestNats } from '../../support/nats.ts'

const nats = await startTestNats()
const connection = await connectNats({ servers: nats.url })
const elsewhere = await connectNats({ servers: nats.url })
t.teardown(async () => {
  await connection.close()
  await elsewhere.close()
  await nats.close()
})

t.test('contract', (t) => {
  const bus = new NatsBus({ connection })
  busContract(
    t,
    () => bus,
    (answer) => answer,
  )
  t.teardown(() => bus.close())
  t.end()
})

t.test('requests are bounded, and what waits at close is told', async (t) => {
  const bus = new NatsBus({ connection, requestsInFlightMax: 2, subjectPrefix: 'bounded' })
  const server = new NatsBus({ connection: elsewhere, subjectPrefix: 'bounded' })
  const served = await server.serve('host.a', () => {})
  const waiting = [
    bus.request('host.a', Buffer.alloc(1), 60_000),
    bus.request('host.a', Buffer.alloc(1), 60_000),
  ]
  t.equal(bus.inFlightCount, 2)
  await t.rejects(bus.request('host.a', Buffer.alloc(1), 60_000), { code: 'BROKER_GATEWAY_BUSY' })
  await t.rejects(
    new NatsBus({ connection }).request('host.a', Buffer.alloc(9 * 1024 * 1024), 1_000),
    { code: 'REQUEST_SIZE_EXCEEDED' },
    'a frame over which the server would hang up',
  )
  bus.close()
  for (const answer of waiting) await t.rejects(answer, { code: 'BROKER_PARTITION_UNAVAILABLE' })
  t.equal(bus.inFlightCount, 0)
  await served.close()
})

t.test('a prefix keeps deployments apart', async (t) => {
  const one = new NatsBus({ connection, subjectPrefix: 'one' })
  const two = new NatsBus({ connection: elsewhere, subjectPrefix: 'two' })
  const served = await one.serve('host.a', (_frame, reply) => reply(Buffer.from('one')))
  await t.rejects(two.request('host.a', Buffer.alloc(1), 5_000), {
    code: 'BROKER_PARTITION_UNAVAILABLE',
  })
  await served.close()
})

t.test('a bus on a closed connection', async (t) => {
  const own = await connectNats({ servers: nats.url })
  const bus = new NatsBus({ connection: own })
  await own.close()
  await t.rejects(bus.request('host.a', Buffer.alloc(1), 1_000), {
    code: 'BROKER_PARTITION_UNAVAILABLE',
  })
  bus.announce('alive.x', Buffer.alloc(0))
})

t.test('owners: leases and heartbeats', async (t) => {
  const clock = new SimClock(1_000_000)
  const ledger = new SimLedger()
  const bus = new SimBus({ clock })
  await takeLease(ledger, 1, 'east', { clock })
  await ledger.commit([{ subject: 'lease.3', data: Buffer.from('{"nonsense":true}') }])
  await ledger.commit([{ subject: 'lease.99', data: Buffer.from('out of range') }])
  const owners = new Owners({ ledger, bus, clock, log: silentLog, partitionCount: 8 })
  await owners.start()
  t.equal(owners.ownerOf(1), 'east')
  t.equal(owners.ownerOf(2), undefined)
  t.equal(owners.ownerOf(3), undefined, 'a malformed record names nobody')

  t.notOk(owners.isSilent('east'), 'just started: nobody is silent yet')
  const quiet = announceAlive(bus, clock, aliveSubject('east'), 'east')
  clock.advanceBy(limits.leaseSilenceMsMax)
  await Promise.resolve()
  t.notOk(owners.isSilent('east'))
  t.ok(owners.isSilent('west'))
  quiet()
  clock.advanceBy(limits.leaseSilenceMsMax)
  t.ok(owners.isSilent('east'))

  const changed = owners.changed(1, 'east', 60_000)
  t.match(
    await takeLease(ledger, 1, 'west', { clock, mayTakeFrom: (owner) => owners.isSilent(owner) }),
    { taken: true },
  )
  await changed
  t.equal(owners.ownerOf(1), 'west')
  await owners.changed(1, 'east', 60_000)
  const never = owners.changed(1, 'west', 500)
  clock.advanceBy(500)
  await never
  t.equal(owners.ownerOf(1), 'west', 'only the time was up')
  const cut = owners.changed(1, 'west', 60_000)
  await owners.close()
  await cut
})

t.test('owners: names on the bus are bounded, and the silent ones make room', async (t) => {
  const clock = new SimClock(1_000_000)
  const bus = new SimBus({ clock })
  const ledger = new SimLedger()
  const owners = new Owners({ ledger, bus, clock, log: silentLog, partitionCount: 8 })
  await owners.start()
  const say = (hostId: string): void => bus.announce('alive.x', Buffer.from(hostId, 'latin1'))
  say('no host\0at all')
  await Promise.resolve()
  t.same(owners.aliveHosts, [], 'a name that no host can have')
  for (let host = 0; host < limits.hostsMax; host++) say(`host-${host}`)
  say('one-too-many')
  await Promise.resolve()
  t.equal(owners.aliveHosts.length, limits.hostsMax)
  t.notOk(owners.aliveHosts.includes('one-too-many'))
  clock.advanceBy(limits.leaseSilenceMsMax)
  say('one-too-many')
  await Promise.resolve()
  t.same(owners.aliveHosts, ['one-too-many'])
  await owners.close()
})
