/**
 * The party's actor: its rules one by one, what it writes, and in a host: the record that goes to
 * the directory in the commit of its fact.
 */
import t from 'tap'
import { LedgerAudit } from '../../actors/cli/operator/ledger-audit.ts'
import { decide, evolve, type PartyOutbox } from '../../actors/party/actor.ts'
import { readFact, writeFact } from '../../actors/party/facts.ts'
import { hostedParty, partyKind } from '../../actors/party/party-kind.ts'
import type { PartyState } from '../../actors/party/state.ts'
import { emptyDirectory, withRecord, type Directory } from '../../core/access/directory.ts'
import { encodePartyChange, type PartyChange } from '../../core/access/party-change.ts'
import {
  decodePartyRecord,
  encodePartyRecord,
  type PartyRecord,
} from '../../core/access/party-record.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { ActorKindNumber, actorIdOf } from '../../core/base/actor-id.ts'
import { directorySubjectOf, directorySubjects } from '../../core/cluster/directory-subject.ts'
import { formatLatest } from '../../core/cluster/format.ts'
import { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import { silentLog } from '../../core/ports/log.ts'
import { envelopeOf, supplier } from '../support/envelopes.ts'
import { World } from '../support/world.ts'

const now = 1_800_000_000_000
const raised: Directory = { ...emptyDirectory, format: formatLatest }
const added = { change: 'add', revision: 0, role: 'IS', name: 'One', by: 'ann' } as const

const changeOf = (change: unknown): Buffer =>
  envelopeOf({
    kind: Kind.PARTY_CHANGE,
    device: supplier,
    body: encodePartyChange(change as PartyChange),
    correlation: 1,
  })

class Life {
  state: PartyState = { record: undefined }

  /** The code of the answer, and how many facts there were. */
  change(change: unknown, directory = raised): [ErrorCode | undefined, number] {
    const out: PartyOutbox = { facts: [], deliveries: [], effects: [] }
    const buffer = changeOf(change)
    decide(
      this.state,
      { type: 'ARRIVED', buffer, at: 0, replyTo: undefined } as never,
      now,
      directory,
      out,
    )
    const entered = out.effects.filter((effect) => effect.type === 'ENTER')
    t.same(
      entered.map(({ bodyBytes }) => decodePartyRecord(bodyBytes)),
      out.facts.map((fact) => fact.type === 'PARTY_CHANGED' && fact.record),
      'what is a fact is in the directory',
    )
    for (const fact of out.facts) evolve(this.state, fact)
    const answer = out.effects.find((effect) => effect.type === 'ACKNOWLEDGE')
    return [answer && errorCodeOf(answer.outcome), out.facts.length]
  }
}

t.test('added, suspended, resumed, removed, added again', async (t) => {
  const life = new Life()
  t.same(life.change(added), ['REQUEST_ACCEPTED', 1])
  t.match(life.state.record, { status: 'active', role: 'IS', name: 'One', by: 'ann', revision: 1 })
  t.same(life.change(added), ['REQUEST_ACCEPTED', 0], 'twice is once')
  t.same(life.change({ ...added, revision: 1, name: 'Two' }), ['REQUEST_ACCEPTED', 1])
  t.same(life.change({ change: 'suspend', revision: 2, by: 'bob' }), ['REQUEST_ACCEPTED', 1])
  t.same(life.change({ change: 'suspend', revision: 2, by: 'bob' }), ['REQUEST_ACCEPTED', 0])
  t.match(life.state.record, { status: 'suspended', name: 'Two', by: 'bob', changedAtMs: now })
  t.same(life.change({ ...added, revision: 3, role: 'ES' }), ['REQUEST_ACCEPTED', 1])
  t.match(life.state.record, { status: 'suspended', role: 'ES' }, 'another role ends no suspension')
  t.same(life.change({ change: 'resume', revision: 4, by: 'bob' }), ['REQUEST_ACCEPTED', 1])
  t.same(life.change({ change: 'remove', revision: 5, by: 'bob' }), ['REQUEST_ACCEPTED', 1])
  t.same(life.change({ change: 'suspend', revision: 6, by: 'bob' }), ['PARTY_UNKNOWN', 0])
  t.same(life.change({ ...added, change: 'import' }), ['REQUEST_ACCEPTED', 0])
  t.match(life.state.record, { status: 'removed' }, 'a start brings no party back')
  t.same(life.change({ ...added, revision: 6 }), ['REQUEST_ACCEPTED', 1])
  t.match(life.state.record, { status: 'active', role: 'IS', revision: 7 })
})

t.test('which requests a party has to sign', async (t) => {
  const life = new Life()
  const demand = (mustSign: unknown, revision: number) =>
    life.change({ change: 'require-signatures', mustSign, revision, by: 'ann' })
  t.same(demand(['all'], 0), ['PARTY_UNKNOWN', 0])
  life.change(added)
  t.same(demand(['critical', '4.1.1'], 1), ['REQUEST_ACCEPTED', 1])
  t.match(life.state.record, { mustSign: ['4.1.1', 'critical'], revision: 2, by: 'ann' })
  t.same(demand(['4.1.1', 'critical'], 2), ['REQUEST_ACCEPTED', 0], 'the same')
  t.same(demand([], 1), ['PARTY_CHANGED_MEANWHILE', 0])
  for (const wrong of [['some'], ['9.9.9'], ['4.01.1'], ['all', 'all'], 'all', undefined])
    t.same(demand(wrong, 2), ['PARTY_RECORD_MALFORMED', 0], JSON.stringify(wrong))
  t.same(life.change({ ...added, revision: 2, name: 'Two' }), ['REQUEST_ACCEPTED', 1])
  t.match(life.state.record, { mustSign: ['4.1.1', 'critical'], name: 'Two' }, 'it is kept')
  t.same(life.change({ change: 'remove', revision: 3, by: 'ann' }), ['REQUEST_ACCEPTED', 1])
  t.same(demand(['all'], 4), ['PARTY_UNKNOWN', 0])
  t.same(life.change({ ...added, revision: 4 }), ['REQUEST_ACCEPTED', 1])
  t.match(life.state.record, { mustSign: ['4.1.1', 'critical'] }, 'brought back as it was')
  t.same(decodePartyRecord(encodePartyRecord(life.state.record!)), life.state.record)
  const entered = withRecord(raised, {
    subject: directorySubjectOf(actorIdOf(ActorKindNumber.PARTY, supplier)),
    sequence: 1,
    data: encodePartyRecord(life.state.record!),
  })
  t.same(entered.parties.get(supplier)?.mustSign, ['4.1.1', 'critical'])
  t.same(demand([], 5), ['REQUEST_ACCEPTED', 1])
  t.notOk('mustSign' in life.state.record!)
  const early = { ...raised, format: 2 }
  const change = { change: 'require-signatures', mustSign: ['all'], revision: 6, by: 'ann' }
  t.same(life.change(change, early), ['FORMAT_NOT_RAISED', 0])
  const damaged = encodePartyRecord({ ...life.state.record!, mustSign: ['x'] })
  t.throws(() => decodePartyRecord(damaged), { code: 'ENVELOPE_MALFORMED' })
})

t.test('a change that comes late, or beside another one, is rejected', async (t) => {
  const life = new Life()
  life.change(added)
  life.change({ change: 'suspend', revision: 1, by: 'ann' })
  life.change({ change: 'resume', revision: 2, by: 'ann' })
  t.same(life.change({ change: 'suspend', revision: 1, by: 'ann' }), ['PARTY_CHANGED_MEANWHILE', 0])
  t.same(life.change({ ...added, name: 'Other' }), ['PARTY_CHANGED_MEANWHILE', 0])
  t.match(life.state.record, { status: 'active', revision: 3 })
})

t.test('what is not valid, too many, or too early', async (t) => {
  const life = new Life()
  t.same(life.change({ change: 'suspend', revision: 0, by: 'ann' }), ['PARTY_UNKNOWN', 0])
  for (const wrong of [
    { ...added, role: 'XX' },
    { ...added, name: '' },
    { ...added, name: 'n'.repeat(limits.partyNameCharactersMax + 1) },
    { ...added, by: '' },
    { ...added, by: 'b'.repeat(limits.operatorNameBytesMax + 1) },
    { ...added, revision: -1 },
    { ...added, change: 'praise' },
    null,
    'x',
  ])
    t.same(life.change(wrong), ['PARTY_RECORD_MALFORMED', 0], JSON.stringify(wrong))
  t.same(life.change(added, emptyDirectory), ['FORMAT_NOT_RAISED', 0])
  const records = new Map(
    Array.from({ length: limits.partiesMax }, (_, index) => [`p${index}`, {} as PartyRecord]),
  )
  t.same(life.change(added, { ...raised, records } as never), ['PARTY_LIMIT_EXCEEDED', 0])
  t.same(life.state, { record: undefined })
})

t.test('facts and states are read as they were written; a later version is told', async (t) => {
  const record: PartyRecord = {
    revision: 3,
    status: 'suspended',
    role: 'OU',
    name: 'Übrige',
    changedAtMs: now,
    by: 'ann@desk',
  }
  const frame = new FrameWriter()
  writeFact(frame, supplier, { type: 'PARTY_CHANGED', record })
  t.same(readFact(frame.take(), 0), { type: 'PARTY_CHANGED', record })
  t.same(partyKind.unpackState(partyKind.packState({ record })), { record })
  const withParticipant = { ...record, participant: 'AAAA' }
  t.same(partyKind.unpackState(partyKind.packState({ record: withParticipant })), {
    record: withParticipant,
  })
  t.match(
    encodePartyRecord(withParticipant).toString(),
    '"version":2',
    'versions before stop at it',
  )
  t.match(encodePartyRecord(record).toString(), '"version":1', 'and read all others')
  const { by, ...rest } = record
  t.same(
    encodePartyRecord({ by, ...rest }),
    encodePartyRecord(record),
    'in whatever order it was put together',
  )
  const later = Buffer.from(
    encodePartyRecord(record).toString().replace('"version":1', '"version":4'),
  )
  t.throws(() => partyKind.unpackState(later), { code: 'FORMAT_VERSION_LATER' })
  t.throws(() => partyKind.unpackState(Buffer.from('{}')), { code: 'STORE_DAMAGED' })
})

t.test('in a host the record is in the directory when the change is acknowledged', async (t) => {
  const world = new World({ moreKinds: [hostedParty], directory: raised })
  await world.start()
  const ask = async (change: unknown): Promise<unknown> =>
    (await world.ask([changeOf(change)]))?.get(1)
  t.equal(await ask(added), 'REQUEST_ACCEPTED')
  t.equal(await ask({ change: 'suspend', revision: 1, by: 'ann' }), 'REQUEST_ACCEPTED')
  const { clock, ledger } = world
  const reader = new DirectoryReader({ ledger, clock, log: silentLog })
  await reader.start()
  t.match(reader.known.get(supplier), { role: 'IS', name: 'One', isSuspended: true })
  const records: string[] = []
  await ledger.read(directorySubjects, 1, ({ subject }) => void records.push(subject))
  t.strictSame(records, ['directory.2-90B3D51F30010000'], 'what it replaces is forgotten')
  const lines: string[] = []
  const audit = new LedgerAudit(
    { through: 0, heads: new Map() } as never,
    ({ device, what }) => void lines.push(`${device} ${what}`),
  )
  for (const message of ledger.all()) audit.read(message)
  t.strictSame(lines, [
    '90-B3-D5-1F-30-01-00-00 PARTY_CHANGED active, IS "One", by "ann"',
    '90-B3-D5-1F-30-01-00-00 PARTY_CHANGED suspended, IS "One", by "ann"',
  ])
  world.kill()
  world.stores.clear()
  await world.start()
  t.equal(await ask({ change: 'resume', revision: 2, by: 'ann' }), 'REQUEST_ACCEPTED', 'replayed')
  await reader.refresh()
  t.equal(reader.known.get(supplier)?.isSuspended, undefined)
  await reader.close()
})
