/**
 * The last tenth of the ledger is kept for what must be written, and what is under way is counted.
 */
import t from 'tap'
import { LedgerRoom } from '../../actors/runtime/host/ledger-room.ts'
import { limits } from '../../core/base/limits.ts'
import { ledgerReserveOf } from '../../core/ports/ledger.ts'

const bytesMax = 1_000_000

t.test(
  'new requests are taken until nine tenths are used, octets written since the last look included',
  (t) => {
    const room = new LedgerRoom()
    t.equal(room.isForNew(0), true, 'before the first look nothing is known')
    t.equal(ledgerReserveOf(bytesMax), 100_000)
    room.look({ bytes: 899_000, bytesMax })
    t.equal(room.isForNew(0), true)
    room.onTick(1_000, 0)
    t.equal(room.isForNew(0), true, 'at the edge')
    room.onTick(1, 0)
    t.equal(room.isForNew(0), false)
    t.same(room.usage, { bytes: 899_000, bytesMax })
    room.look({ bytes: 800_000, bytesMax })
    t.equal(room.isForNew(0), true, 'looked at again, it has forgotten something')
    t.end()
  },
)

t.test('answers that are under way keep their room: what they have taken of late', (t) => {
  const room = new LedgerRoom()
  room.look({ bytes: 700_000, bytesMax })
  t.equal(room.isForNew(Math.floor(300_000 / limits.ledgerOutcomeBytes)), true)
  t.equal(room.isForNew(Math.ceil(300_000 / limits.ledgerOutcomeBytes) + 1), false)
  // Answers of 10 kB from now on.
  for (let tick = 0; tick < 200; tick++) room.onTick(100_000, 10)
  room.look({ bytes: 700_000, bytesMax })
  t.equal(room.isForNew(29), true)
  t.equal(room.isForNew(40), false)
  t.end()
})

t.test('a ledger that has refused is full until something is written', (t) => {
  const room = new LedgerRoom()
  room.look({ bytes: 0, bytesMax })
  room.fullUntil = 5_000
  t.equal(room.isForNew(0, 4_999), false)
  t.equal(room.isForNew(0, 5_000), true, 'something new is tried')
  t.equal(room.isForNew(0), false, 'and for readiness it is full')
  room.fullUntil = 0
  t.equal(room.isForNew(0), true)
  t.end()
})
