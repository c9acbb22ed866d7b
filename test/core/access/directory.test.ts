/** The directory: the fold of its records, and how parties stand by it. */
import t from 'tap'
import { emptyDirectory, standingOf, withRecord } from '../../../core/access/directory.ts'
import { identify } from '../../../core/access/identity.ts'
import { encodePartyRecord, type PartyRecord } from '../../../core/access/party-record.ts'
import { actorIdOf, ActorKindNumber } from '../../../core/base/actor-id.ts'
import {
  directoryInForceSubject,
  directorySubjectOf,
  recordOfSubject,
} from '../../../core/cluster/directory-subject.ts'
import { supplier, supplierText } from '../../support/envelopes.ts'

const record: PartyRecord = {
  revision: 1,
  status: 'active',
  role: 'IS',
  name: 'One',
  changedAtMs: 1,
  by: 'ann',
}
const subject = directorySubjectOf(actorIdOf(ActorKindNumber.PARTY, supplier))
const message = (sequence: number, more: Partial<PartyRecord> = {}) => ({
  subject,
  sequence,
  data: encodePartyRecord({ ...record, ...more }),
})
const inForce = { subject: directoryInForceSubject, sequence: 2, data: Buffer.from('{}') }

t.test('the subject of a record names the kind and the octets of its actor', async (t) => {
  t.equal(subject, 'directory.2-90B3D51F30010000')
  t.same(recordOfSubject(subject), { kind: 2, octets: Buffer.from(supplier, 'latin1') })
  t.equal(recordOfSubject(directoryInForceSubject), undefined)
})

t.test('the last record of a party counts; an older one changes nothing', async (t) => {
  const one = withRecord(emptyDirectory, message(1))
  t.match(one.parties.get(supplier), { role: 'IS', name: 'One' })
  t.equal(emptyDirectory.parties.size, 0, 'the one before is not changed')
  const two = withRecord(one, message(5, { status: 'suspended' }))
  t.equal(two.sequence, 5)
  t.equal(two.parties.get(supplier)?.isSuspended, true)
  t.equal(withRecord(two, message(4)), two)
  t.equal(withRecord(two, message(5)), two)
  const three = withRecord(two, message(6, { status: 'removed' }))
  t.equal(three.parties.has(supplier), false)
  t.equal(three.records.get(supplier)?.status, 'removed')
})

t.test('it refuses nobody before it is in force', async (t) => {
  t.equal(standingOf(emptyDirectory, supplier), undefined)
  const suspended = withRecord(emptyDirectory, message(1, { status: 'suspended' }))
  t.equal(standingOf(suspended, supplier), undefined)
  const counting = withRecord(suspended, inForce)
  t.equal(standingOf(counting, supplier), 'PARTY_SUSPENDED')
  t.equal(standingOf(withRecord(counting, message(3)), supplier), undefined)
  t.equal(standingOf(withRecord(emptyDirectory, inForce), supplier), 'PARTY_UNKNOWN')
})

t.test('a gateway looks again when the parties have changed', async (t) => {
  const one = withRecord(emptyDirectory, message(1))
  t.match(identify(supplierText, one.parties), { name: 'One' })
  const two = withRecord(one, message(2, { status: 'suspended' }))
  t.equal(identify(supplierText, two.parties), 'PARTY_SUSPENDED')
  const three = withRecord(two, message(3, { name: 'New' }))
  t.match(identify(supplierText, three.parties), { name: 'New' })
  const four = withRecord(three, message(4, { status: 'removed' }))
  t.equal(identify(supplierText, four.parties), 'PARTY_UNKNOWN')
})

t.test('records of later versions and unknown kinds are told by name', async (t) => {
  const later = { code: 'FORMAT_VERSION_LATER' }
  const unknown = { ...message(1), subject: 'directory.9-90B3D51F30010000' }
  t.throws(() => withRecord(emptyDirectory, unknown), later)
  t.throws(() => withRecord(emptyDirectory, { ...message(1), subject: 'directory.x' }), later)
  const data = Buffer.from(message(1).data.toString().replace('"version":1', '"version":4'))
  t.throws(() => withRecord(emptyDirectory, { ...message(1), data }), later)
  for (const text of ['', 'x', 'null', '{"version":1}', '[]'])
    t.throws(() => withRecord(emptyDirectory, { ...message(1), data: Buffer.from(text) }), {
      code: 'ENVELOPE_MALFORMED',
    })
})
