/**
 * The last octets of a ledger: what may still be written there, and what is refused with a tick.
 */
import t from 'tap'
import { directorySubjectOf } from '../../../core/cluster/directory-subject.ts'
import { leaseSubject } from '../../../core/cluster/lease-record.ts'
import { lettersSubject } from '../../../core/cluster/letters-subject.ts'
import { emptyTick } from '../../../core/envelope/tick-message.ts'
import { RecordsReserve } from '../../../core/ledger/records-reserve.ts'
import { ledgerRecordsReserveOf, tickSubject } from '../../../core/ports/ledger.ts'
import { supplier } from '../../support/envelopes.ts'

const bytesMax = 100_000
const entry = (subject: string, bytes: number) => ({ subject, data: Buffer.alloc(bytes) })
const tick = entry(tickSubject('a'), 500)

t.test('a tick, and what goes with it, leaves the octets of records free', async (t) => {
  const reserve = new RecordsReserve()
  t.equal(reserve.refusal([tick]), undefined, 'nothing is known yet')
  t.equal(reserve.isLookDue, true, 'a process that has just started looks before it writes')
  reserve.look(bytesMax - ledgerRecordsReserveOf(bytesMax) - 600, bytesMax)
  t.equal(reserve.refusal([tick]), undefined)
  reserve.written(200)
  t.match(reserve.refusal([tick]), /are kept for leases/)
  for (const subject of [lettersSubject(3), directorySubjectOf(supplier)])
    t.match(reserve.refusal([tick, entry(subject, 10)]), /are kept for leases/, subject)
})

t.test('leases, seals and records take them', async (t) => {
  const reserve = new RecordsReserve()
  reserve.look(bytesMax - 100, bytesMax)
  const seal = { subject: tickSubject('a'), data: emptyTick }
  t.equal(reserve.refusal([seal]), undefined)
  t.equal(reserve.refusal([entry(leaseSubject(1), 50), seal]), undefined)
  t.equal(reserve.refusal([entry('meta.trimmed', 50)]), undefined)
})
