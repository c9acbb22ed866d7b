/**
 * The source's actor: which file is applied next, what waits, and what a repeat, a second load or
 * an operator does to it, one rule after the other; and any order of arrival.
 */
import fc from 'fast-check'
import t from 'tap'
import { sourceKind } from '../../actors/source/source-kind.ts'
import { emptyDirectory, withRecord, type Directory } from '../../core/access/directory.ts'
import { actorIdOf, ActorKindNumber } from '../../core/base/actor-id.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { directorySubjectOf } from '../../core/cluster/directory-subject.ts'
import { formatLatest } from '../../core/cluster/format.ts'
import { Kind } from '../../core/envelope/layout.ts'
import {
  decodeSourceChange,
  encodeSourceChange,
  type SourceChange,
} from '../../core/registration/source-change.ts'
import { isSource, parseSource, textOfSource } from '../../core/registration/source-id.ts'
import {
  dataSinceMs,
  decodeSourceReport,
  type SourceRecord,
} from '../../core/registration/source-report.ts'
import {
  changedShare,
  missingOf,
  nextHeld,
  type FileProgress,
  type SourceFile,
  type SourceState,
} from '../../core/registration/source-state.ts'
import { ActorTrial } from '../support/actor-trial.ts'
import { envelopeOf } from '../support/envelopes.ts'

const now = Date.UTC(2026, 11, 1, 12)
const source = parseSource('electricity:EELC')!
const raised: Directory = { ...emptyDirectory, format: formatLatest }

const fileOf = (sequence: number, more: Partial<SourceFile> = {}): SourceFile => ({
  file: `F${sequence}`,
  kind: 'update',
  sequence,
  created: now - 60_000,
  records: 3,
  digest: sequence.toString(16).padStart(64, '0'),
  checkDigit: true,
  keeper: 'one',
  ...more,
})
const refreshOf = (sequence: number): SourceFile => fileOf(sequence, { kind: 'refresh' })
const done: FileProgress = { done: 3, rejected: 1, changed: 1, added: 1 }
const ofFile = ({ sequence, digest, keeper }: SourceFile) => ({ sequence, digest, keeper })

/** What the source answers: its state, or the code of a refusal. */
class Life extends ActorTrial<any, any, any, any> {
  // oxlint-disable-line typescript/no-explicit-any
  now = now

  constructor() {
    super(sourceKind, source)
    this.directory = raised
  }

  ask(change: SourceChange | object): SourceState | string | undefined {
    const body = encodeSourceChange(change as SourceChange)
    return this.arrive(envelopeOf({ kind: Kind.SOURCE_CHANGE, device: source, body }))
  }

  arrive(buffer: Buffer): SourceState | string | undefined {
    const from = this.effects.length
    this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined }, this.now)
    const effects = this.effects.slice(from)
    const refusal = effects.find(({ type }) => type === 'ACKNOWLEDGE')
    if (refusal !== undefined) return errorCodeOf(refusal.outcome)
    return decodeSourceReport(effects.find(({ type }) => type === 'REPORT').bodyBytes)
  }

  open(file: SourceFile): SourceState | string | undefined {
    return this.ask({ change: 'open', file })
  }

  end(file: SourceFile, progress = done): SourceState | string | undefined {
    return this.ask({ change: 'end', of: ofFile(file), progress })
  }

  /** Takes the update from its beginning to its end. */
  apply(sequence: number): void {
    this.open(fileOf(sequence))
    this.end(fileOf(sequence))
  }

  get source(): SourceState {
    return this.state.source
  }

  get heldNumbers(): number[] {
    return this.source.held.map(({ sequence }) => sequence)
  }
}

t.test('names of sources', async (t) => {
  for (const text of ['electricity:A', 'electricity:EELC', 'gas:7', 'gas:0000012345']) {
    const id = parseSource(text)!
    t.equal(id.length, 8)
    t.equal(textOfSource(id), text)
    t.ok(isSource(id))
  }
  for (const text of ['EELC', 'electricity:', 'electricity:EELCX', 'gas:x', 'gas:1:2', 'water:1'])
    t.equal(parseSource(text), undefined, text)
  t.notOk(isSource('\0\0\0\0\0\0\0\0'))
})

t.test('a file is begun, goes on, and ends; each of it twice does no harm', async (t) => {
  const life = new Life()
  for (const time of ['once', 'again']) {
    t.match(life.open(fileOf(1)), { taken: 0, open: { stage: 'loading' } }, time)
    const progress = { done: 2, rejected: 0, changed: 1, added: 1 }
    life.ask({ change: 'progress', of: ofFile(fileOf(1)), progress })
    t.same(life.source.open?.progress, progress, time)
    life.ask({ change: 'progress', of: ofFile(fileOf(1)), progress: { ...progress, done: 1 } })
    t.same(life.source.open?.progress, progress, 'a note that comes late changes nothing')
  }
  t.match(life.end(fileOf(1)), { taken: 1, open: undefined, known: 1 })
  const count = life.facts.length
  t.match(life.end(fileOf(1)), { taken: 1 })
  t.match(life.open(fileOf(1)), { taken: 1, open: undefined }, 'a repeat is no load')
  t.equal(life.facts.length, count)
  t.match(life.source.ended, [{ sequence: 1, outcome: 'applied', progress: done }])
  t.equal(life.open(fileOf(1, { digest: 'f'.repeat(64) })), 'SOURCE_FILE_DIFFERENT')
  life.try()
})

t.test('a gap holds later files until the missing one comes', async (t) => {
  const life = new Life()
  life.apply(1)
  t.match(life.open(fileOf(3)), { taken: 1, open: undefined, held: [{ sequence: 3 }] })
  t.match(life.open(fileOf(4)), { held: [{ sequence: 3 }, { sequence: 4 }] })
  t.equal(missingOf(life.source), 2)
  t.equal(nextHeld(life.source), undefined)
  t.equal(life.open(fileOf(4, { digest: 'f'.repeat(64) })), 'SOURCE_FILE_DIFFERENT')
  life.open(fileOf(2))
  t.equal(missingOf(life.source), undefined)
  t.match(life.open(fileOf(3)), { open: { file: { sequence: 2 } } }, 'one at a time')
  life.end(fileOf(2))
  t.equal(nextHeld(life.source)?.sequence, 3)
  t.match(life.open(fileOf(3)), { open: { file: { sequence: 3 } }, held: [{ sequence: 4 }] })
  life.try(3)
})

t.test('an operator releases a gap, no further', async (t) => {
  const life = new Life()
  life.apply(1)
  for (const sequence of [4, 7]) life.open(fileOf(sequence))
  const release = (through: number) => life.ask({ change: 'release', through, by: 'ann' })
  t.equal(release(4), 'SOURCE_FILE_NOT_WAITING', 'that would leave file 4 out')
  t.match(release(3), { taken: 3 })
  t.equal(nextHeld(life.source)?.sequence, 4)
  t.match(release(2), { taken: 3 }, 'twice is once')
  life.open(fileOf(4))
  t.equal(release(6), 'SOURCE_BUSY')
  life.end(fileOf(4))
  t.match(release(6), { taken: 6 })
  life.apply(7)
  t.equal(release(9), 'SOURCE_FILE_NOT_WAITING', 'nothing waits')
  life.try()
})

t.test('a refresh is taken over a gap; one that changes too much waits', async (t) => {
  const life = new Life()
  life.apply(1)
  for (const sequence of [3, 9]) life.open(fileOf(sequence))
  const refresh = refreshOf(5)
  t.match(life.open(refresh), { open: { stage: 'comparing' } })
  t.equal(life.end(refresh), 'SOURCE_FILE_NOT_WAITING', 'nothing is applied before')
  const counts = { known: 100, changed: 4, added: 1, missing: 1 }
  const compared = { change: 'compared', of: ofFile(refresh), counts, percentMax: 5 } as const
  t.match(life.ask(compared), { open: { stage: 'waiting', counts } })
  t.equal(changedShare(counts), 6)
  t.match(life.open(fileOf(2)), { open: { stage: 'waiting' } })
  t.same(life.heldNumbers, [2, 3, 9], 'what comes meanwhile waits')
  t.equal(life.ask({ change: 'approve', sequence: 9, by: 'ann' }), 'SOURCE_FILE_NOT_WAITING')
  t.match(life.ask({ change: 'approve', sequence: 5, by: 'ann' }), { open: { stage: 'loading' } })
  t.match(life.end(refresh), { taken: 5, known: 2, createdMs: now - 60_000, appliedAtMs: now })
  t.same(life.heldNumbers, [9], 'files before it are out of date')
  life.try(4)
})

t.test(
  'a refresh within its share does not wait; one that is rejected leaves nothing',
  async (t) => {
    const life = new Life()
    const counts = { known: 100, changed: 5, added: 0, missing: 0 }
    life.open(refreshOf(1))
    const of = ofFile(refreshOf(1))
    t.match(life.ask({ change: 'compared', of, counts, percentMax: 5 }), {
      open: { stage: 'loading' },
    })
    life.end(refreshOf(1))
    const reject = (sequence: number) => life.ask({ change: 'reject', sequence, by: 'ann' })
    t.equal(reject(1), 'SOURCE_FILE_NOT_WAITING')
    const ask = (sequence: number) => {
      life.open(refreshOf(sequence))
      life.ask({ change: 'compared', of: ofFile(refreshOf(sequence)), counts, percentMax: 1 })
    }
    ask(2)
    t.match(reject(2), { taken: 2, open: undefined, known: 2 }, 'its number was the next one')
    ask(7)
    t.match(reject(7), { taken: 2, open: undefined }, 'what is missing before it may come')
    life.open(fileOf(4))
    t.match(reject(4), { held: [] }, 'a file that waits is rejected by name')
    t.match(life.source.ended.at(-1), { sequence: 4, outcome: 'rejected' })
    life.try()
  },
)

t.test('two loads of one file: the second is refused until the first is silent', async (t) => {
  const life = new Life()
  const [first, second] = [fileOf(1), fileOf(1, { keeper: 'two' })]
  life.open(first)
  t.equal(life.open(second), 'SOURCE_BUSY')
  life.now += limits.sourceSilenceMsMax - 1
  life.ask({ change: 'progress', of: ofFile(first), progress: { ...done, done: 1 } })
  life.now += limits.sourceSilenceMsMax - 1
  t.equal(life.open(second), 'SOURCE_BUSY', 'it has gone on')
  life.now += 1
  t.match(life.open(second), { open: { file: { keeper: 'two' }, progress: { done: 0 } } })
  t.equal(life.end(first), 'SOURCE_BUSY', 'the first one has lost it')
  t.match(life.end(second), { taken: 1 })
  t.match(life.end(first), { taken: 1 }, 'and learns that it has ended')
  life.try()
})

t.test('only so many files wait, sources are, and ends are remembered', async (t) => {
  const life = new Life()
  for (let i = 0; i < limits.registrationFilesHeldMax; i++) life.open(fileOf(3 + i))
  t.equal(life.open(fileOf(1_000)), 'SOURCE_FILES_HELD')
  t.match(life.open(fileOf(1)), { open: { file: { sequence: 1 } } }, 'the missing one is taken')
  t.ok(sourceKind.packState(life.state).length < 64 * 1024)
  const many = new Life()
  for (let i = 1; i <= limits.sourceFilesEndedMax + 5; i++) many.apply(i)
  t.equal(many.source.ended.length, limits.sourceFilesEndedMax)
  t.match(many.open(fileOf(1, { digest: 'f'.repeat(64) })), { open: undefined }, 'forgotten')
  const full = new Life()
  const sources = new Map(
    Array.from({ length: limits.sourcesMax }, (_, index) => [`s${index}`, {} as SourceRecord]),
  )
  full.directory = { ...raised, sources } as never
  t.equal(full.open(fileOf(1)), 'SOURCE_LIMIT_EXCEEDED')
  many.directory = full.directory
  t.match(many.open(fileOf(100)), { held: [{ sequence: 100 }] }, 'a known one goes on')
})

t.test('what is not valid, not known, or too early changes nothing', async (t) => {
  const life = new Life()
  const query = envelopeOf({ kind: Kind.SOURCE_QUERY, device: source, body: Buffer.alloc(0) })
  t.equal(life.arrive(query), 'SOURCE_UNKNOWN')
  t.equal(life.ask({ change: 'release', through: 1, by: 'ann' }), 'SOURCE_UNKNOWN')
  for (const wrong of [
    null,
    {},
    { change: 'praise' },
    { change: 'open' },
    { change: 'open', file: fileOf(0) },
    { change: 'open', file: fileOf(1, { digest: 'x' }) },
    { change: 'open', file: fileOf(1, { keeper: '' }) },
    { change: 'open', file: fileOf(1, { file: 'a|b' }) },
    { change: 'open', file: fileOf(1, { records: -1 }) },
    { change: 'progress', of: ofFile(fileOf(1)), progress: {} },
    { change: 'compared', of: ofFile(fileOf(1)), counts: {}, percentMax: 5 },
    { change: 'approve', sequence: 1, by: '' },
    { change: 'reject', sequence: 1.5, by: 'ann' },
  ])
    t.equal(life.ask(wrong as never), 'SOURCE_CHANGE_MALFORMED', JSON.stringify(wrong))
  life.directory = emptyDirectory
  t.equal(life.open(fileOf(1)), 'FORMAT_NOT_RAISED')
  t.same(life.facts, [])
  t.throws(() => decodeSourceChange(Buffer.of(0x92, 9, 0x80)), { code: 'FORMAT_VERSION_LATER' })
})

t.test('the directory has what every process must know, without progress', async (t) => {
  const life = new Life()
  life.open(fileOf(1))
  life.ask({ change: 'progress', of: ofFile(fileOf(1)), progress: done })
  life.end(fileOf(1))
  life.open(fileOf(3))
  const entered = life.effects.filter(({ type }) => type === 'ENTER')
  t.equal(entered.length, 3)
  const subject = directorySubjectOf(actorIdOf(ActorKindNumber.SOURCE, source))
  const { sources } = withRecord(raised, { subject, sequence: 9, data: entered.at(-1).bodyBytes })
  const record = sources.get(source)!
  t.same(record, {
    taken: 1,
    held: 1,
    createdMs: now - 60_000,
    appliedAtMs: now,
    sinceMs: now,
  })
  t.equal(dataSinceMs(record), now - 60_000)
  t.equal(dataSinceMs({ ...record, appliedAtMs: 0 }), now)
})

t.test('whatever the order of arrival, each file is applied once and in sequence', async () => {
  const arrivals = fc
    .integer({ min: 1, max: 20 })
    .chain((count) => {
      const all = Array.from({ length: count }, (_, i) => i + 1)
      return fc.tuple(
        fc.shuffledSubarray(all, { minLength: count }),
        fc.array(fc.constantFrom(...all)),
      )
    })
    .map(([all, repeats]) => [...all, ...repeats])
  fc.assert(
    fc.property(arrivals, (sequences) => {
      const life = new Life()
      for (const sequence of sequences) {
        life.open(fileOf(sequence))
        // The keeper ends what is open, and goes on with what waits.
        while (life.source.open !== undefined) {
          life.end(life.source.open.file)
          const next = nextHeld(life.source)
          if (next !== undefined) life.open(next)
        }
      }
      life.try()
      const begun = life.facts.filter(({ type }) => type === 'SOURCE_FILE_BEGUN')
      const numbers = begun.map(({ file }) => file.sequence)
      return (
        life.source.taken === Math.max(...sequences) &&
        life.source.held.length === 0 &&
        numbers.every((one, i) => one === i + 1)
      )
    }),
    { numRuns: 50 },
  )
})
