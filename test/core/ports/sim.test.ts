/**
 * The simulated twins pass the suites of the real ones, and do what simulations ask of them beside.
 */
import t from 'tap'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimCursorStore, SimLedger } from '../../../core/ports/sim/ledger.ts'
import { SimSnapshotStore } from '../../../core/ports/sim/snapshots.ts'
import { SimPartitionStore } from '../../../core/ports/sim/store.ts'
import { SimWan, type SimExchange } from '../../../core/ports/sim/wan.ts'
import { busContract } from '../../contracts/bus.ts'
import { cursorStoreContract, ledgerContract } from '../../contracts/ledger.ts'
import { snapshotContract } from '../../contracts/snapshots.ts'
import { storeContract } from '../../contracts/store.ts'

t.test('contracts', (t) => {
  ledgerContract(t, () => Promise.resolve(new SimLedger()))
  cursorStoreContract(t, () => Promise.resolve(new SimCursorStore()))
  storeContract(t, () => new SimPartitionStore())
  snapshotContract(t, () => Promise.resolve(new SimSnapshotStore()))
  const clock = new SimClock()
  busContract(
    t,
    () => new SimBus({ clock }),
    (answer) => {
      clock.advanceBy(30)
      return answer
    },
  )
  t.end()
})

t.test('clock: actions run at their time, in order, and those they ask for too', (t) => {
  const clock = new SimClock(1_000)
  const ran: string[] = []
  const note = (name: string) => () => void ran.push(`${name} ${clock.now()}`)
  clock.at(1_300, note('late'))
  clock.at(1_100, note('first'))
  clock.at(1_100, note('second'))
  clock.at(500, note('past'))
  const callOff = clock.at(1_200, note('never'))
  clock.at(1_150, () => {
    callOff()
    clock.at(1_160, note('nested'))
  })
  t.equal(clock.nextMs(), 500)
  clock.advanceTo(1_299)
  t.strictSame(ran, ['past 1000', 'first 1100', 'second 1100', 'nested 1160'])
  t.equal(clock.now(), 1_299)
  clock.advanceBy(1)
  t.equal(ran.at(-1), 'late 1300')
  t.equal(clock.nextMs(), undefined)
  t.end()
})

t.test('ledger: faults that are asked for', async (t) => {
  const faults = [{ refuse: 'full' }, 'lose-answer', undefined] as const
  let call = 0
  const ledger = new SimLedger({ onCommit: () => faults[call++], bytesMax: 10 })
  const entry = { subject: 'log.1', data: Buffer.from('four') }
  t.equal((await ledger.commit([entry])).refused, 'full')
  t.equal(ledger.lastSequence, 0)
  t.equal((await ledger.commit([entry])).refused, 'unknown')
  t.equal(ledger.lastSequence, 1, 'written all the same')
  t.strictSame(await ledger.commit([entry]), { firstSequence: 2 })
  t.equal((await ledger.commit([entry])).refused, 'full', 'of its own')
  t.equal(ledger.all().length, 2)
  const cursors = new SimCursorStore()
  cursors.isDown = true
  await t.rejects(cursors.get('a'), { code: 'BROKER_LEDGER_UNAVAILABLE' })
  await t.rejects(cursors.put('a', Buffer.alloc(1)), { code: 'BROKER_LEDGER_UNAVAILABLE' })
})

t.test('bus: frames that are lost, late and doubled', async (t) => {
  const clock = new SimClock()
  let delays: number[] = []
  const bus = new SimBus({
    clock,
    onSend: (_subject, frame) => (frame.toString().startsWith('ask') ? delays : [0]),
  })
  const seen: string[] = []
  await bus.serve('host.a', (frame, reply) => {
    seen.push(frame.toString())
    reply(Buffer.from('answer'))
  })
  const lost = bus.request('host.a', Buffer.from('ask'), 100)
  clock.advanceBy(100)
  await t.rejects(lost, { code: 'BROKER_PARTITION_UNAVAILABLE' }, 'told by the clock only')
  t.strictSame(seen, [])
  delays = [50, 70]
  const late = bus.request('host.a', Buffer.from('ask late'), 100)
  delays = [0]
  t.equal((await bus.request('host.a', Buffer.from('ask'), 100)).toString(), 'answer')
  clock.advanceBy(60)
  t.equal((await late).toString(), 'answer')
  clock.advanceBy(60)
  t.strictSame(seen, ['ask', 'ask late', 'ask late'])
})

t.test('wan: answers from a script, later, or never until closed', async (t) => {
  const open: SimExchange[] = []
  const wan = new SimWan((exchange) => void open.push(exchange))
  const address = { host: 'a', port: 1, logicalDevice: 1, client: 16 }
  const first = wan.exchange(address, { cosem: [] }, 1)
  const second = wan.exchange(address, { cosem: [] }, 0)
  t.equal(wan.openCount, 2)
  open[1]?.answer({ ok: true, results: [] })
  t.strictSame(await second, { ok: true, results: [] })
  await wan.close()
  t.match(await first, { ok: false, code: 'DEVICE_UNREACHABLE' })
  t.equal(wan.openCount, 0)
})
