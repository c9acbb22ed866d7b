/**
 * Devices, thresholds and pages of quarantine, with the letters between them that have not come
 * yet. Letters between two actors come in order, as in a ledger; across pairs in any order.
 */
import { deviceKind } from '../../actors/device/device-kind.ts'
import type { DeviceState } from '../../actors/device/state.ts'
import type { ActorKind } from '../../actors/kind/actor-kind.ts'
import { isEnter, type Deliver } from '../../actors/kind/effects.ts'
import { isTell } from '../../actors/kind/letters.ts'
import { quarantinePageKind } from '../../actors/quarantine-page/quarantine-page-kind.ts'
import type { PageState } from '../../actors/quarantine-page/state.ts'
import { thresholdKind } from '../../actors/threshold/threshold-kind.ts'
import type { ThresholdState } from '../../actors/threshold/state.ts'
import { emptyDirectory, withRecord, type Directory } from '../../core/access/directory.ts'
import { pageActorOf, type QuarantineAction } from '../../core/access/quarantine-list.ts'
import { encodeThresholds, type ThresholdRules } from '../../core/access/thresholds.ts'
import {
  actorIdOf,
  ActorKindNumber,
  kindOfActor,
  octetsOfActor,
  type ActorId,
} from '../../core/base/actor-id.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { formatLatest } from '../../core/cluster/format.ts'
import { directorySubjectOf } from '../../core/cluster/directory-subject.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { ActorTrial } from './actor-trial.ts'
import { envelopeOf, registrationOf, type Wanted } from './envelopes.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- kinds of any state
type AnyTrial = ActorTrial<any, any, any, any>
type Letter = { from: ActorId; to: ActorId; bodyBytes: Buffer }

const kinds = new Map<number, ActorKind>([
  [ActorKindNumber.DEVICE, deviceKind as unknown as ActorKind],
  [ActorKindNumber.THRESHOLD, thresholdKind as unknown as ActorKind],
  [ActorKindNumber.QUARANTINE_PAGE, quarantinePageKind as unknown as ActorKind],
])

const someHash = 'ab'.repeat(32)

export class ThresholdTown {
  now: number
  readonly actors = new Map<ActorId, AnyTrial>()
  letters: Letter[] = []
  directory: Directory
  private sequence = 0
  private file = 0

  constructor(now: number, parties: readonly Eui64[]) {
    this.now = now
    const record = {
      revision: 1,
      status: 'active',
      role: 'IS',
      name: 'somebody',
      changedAtMs: 0,
      by: 'a test',
    } as const
    this.directory = {
      ...emptyDirectory,
      format: formatLatest,
      isInForce: true,
      records: new Map(parties.map((id) => [id, record])),
      parties: new Map(parties.map((id) => [id, { id, role: 'IS', name: 'somebody' }])),
    }
  }

  trial(id: ActorId): AnyTrial {
    const known = this.actors.get(id)
    const trial = known ?? new ActorTrial(kinds.get(kindOfActor(id)) as never, octetsOfActor(id))
    trial.directory = this.directory
    this.actors.set(id, trial)
    return trial
  }

  /** @returns the code of the acknowledgement */
  feed(id: ActorId, message: object): string | undefined {
    const trial = this.trial(id)
    const from = trial.effects.length
    trial.feed(message as never, this.now)
    const effects = trial.effects.slice(from) as Array<{ type: string }>
    for (const effect of effects) {
      if (isTell(effect))
        this.letters.push({ from: id, to: effect.to, bodyBytes: effect.bodyBytes })
      if (isEnter(effect)) {
        const subject = directorySubjectOf(id)
        const sequence = ++this.sequence
        this.directory = withRecord(this.directory, { subject, sequence, data: effect.bodyBytes })
      }
    }
    const answer = effects.find(({ type }) => type === 'ACKNOWLEDGE')
    return answer && errorCodeOf((answer as unknown as { outcome: number }).outcome)
  }

  arrive(kind: number, wanted: Wanted & { device: Eui64 }): string | undefined {
    const buffer = envelopeOf(wanted)
    return this.feed(actorIdOf(kind, wanted.device), { type: 'ARRIVED', buffer, at: 0 })
  }

  register(device: Eui64): void {
    this.feed(device, { type: 'ARRIVED', buffer: registrationOf(device), at: 0 })
  }

  submit(device: Eui64, wanted: Wanted): string | undefined {
    const deadline = this.now + 30 * 86_400_000
    return this.arrive(ActorKindNumber.DEVICE, { deadline, ...wanted, device })
  }

  resolve(device: Eui64, wanted: Wanted, action: QuarantineAction): string | undefined {
    const body = Buffer.from([action, ...Buffer.from('a test')])
    const kind = Kind.QUARANTINE_ACTION
    return this.arrive(ActorKindNumber.DEVICE, { ...wanted, kind, device, body })
  }

  /** Loads a file with rules for one party. */
  load(
    party: Eui64,
    rules: Partial<ThresholdRules>,
    file = ++this.file,
    fileHash = someHash,
  ): string | undefined {
    const change = { thresholds: [], valueLimits: [], ...rules, file, fileHash }
    const body = encodeThresholds({ ...change, changedAtMs: 0, by: 'a test' })
    const wanted = { kind: Kind.THRESHOLDS_CHANGE, device: party, body }
    return this.arrive(ActorKindNumber.THRESHOLD, wanted)
  }

  /** Delivers the oldest letter of some pair of actors. */
  deliver(index = 0): void {
    const chosen = this.letters[index % this.letters.length]!
    const letter = this.letters.find(({ from, to }) => from === chosen.from && to === chosen.to)!
    this.letters = this.letters.filter((one) => one !== letter)
    const { from, to, bodyBytes } = letter
    this.feed(to, { type: 'LETTER', from, bodyBytes, hops: 1 })
  }

  deliverAll(): void {
    while (this.letters.length > 0) this.deliver()
  }

  device(id: Eui64): DeviceState {
    return this.trial(id).state as DeviceState
  }

  thresholds(party: Eui64): ThresholdState {
    return this.trial(actorIdOf(ActorKindNumber.THRESHOLD, party)).state as ThresholdState
  }

  /** Events that the pages list, in their order. */
  listed(party: Eui64): number[] {
    return [...this.thresholds(party).pages.keys()]
      .flatMap((page) => {
        const id = actorIdOf(ActorKindNumber.QUARANTINE_PAGE, pageActorOf(party, page))
        return (this.trial(id).state as PageState).entries.map(({ event }) => event)
      })
      .sort((a, b) => a - b)
  }

  deliveriesTo(party: Eui64): Deliver[] {
    return [...this.actors.values()]
      .flatMap(({ deliveries }) => deliveries)
      .filter((one) => ('party' in one ? one.party : one.request.originator) === party)
  }

  /** Facts and states of every actor are read as they were written. */
  try(): void {
    for (const trial of this.actors.values()) trial.try()
  }
}
