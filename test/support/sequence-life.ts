/** A device whose parties send sequences, and requests for a later time. Not a test. */
import { deviceKind } from '../../actors/device/device-kind.ts'
import type { Acknowledge } from '../../actors/kind/effects.ts'
import { resume } from '../../actors/kind/messages.ts'
import { emptyDirectory } from '../../core/access/directory.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readStatusState, writeStatusBody } from '../../core/envelope/status-body.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { futureBodyOf } from '../../core/envelope/future-request.ts'
import { sequencedBodyOf } from '../../core/envelope/sequenced-request.ts'
import { formatLatest } from '../../core/cluster/format.ts'
import { DccAlert } from '../../proto/gen/busbar/v1/dcc_alert.ts'
import { ActorTrial, replay, throughStore } from './actor-trial.ts'
import { deviceKey, envelopeOf, registrationOf, supplier, type Wanted } from './envelopes.ts'

export const sequenceDevice = deviceKey(1)

export function counterOf(number: number): RequestCounter {
  const octets = Buffer.alloc(8)
  octets.writeUInt32BE(number, 4)
  return readRequestCounter(octets)
}
const numberOf = (counter: RequestCounter): number => Buffer.from(counter, 'latin1').readUInt32BE(4)

/** What a request names: nothing, that it is the first, or the counter of its predecessor. */
export type Named = Wanted & {
  first?: boolean
  after?: number
  afterOf?: Eui64
  afterAt?: Eui64
  /** The execution time, UTC ms. */
  executeAt?: number
}

export class SequenceLife {
  readonly trial = new ActorTrial(deviceKind, sequenceDevice)
  now = 1_800_000_000_000

  constructor() {
    this.trial.directory = { ...emptyDirectory, format: formatLatest }
    this.arrive(registrationOf(sequenceDevice))
  }

  arrive(buffer: Buffer): ErrorCode | undefined {
    const before = this.trial.effects.length
    this.trial.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined }, this.now)
    const answer = this.trial.effects
      .slice(before)
      .find((effect): effect is Acknowledge => effect.type === 'ACKNOWLEDGE')
    return answer && errorCodeOf(answer.outcome)
  }

  submit({
    first = false,
    after,
    afterOf,
    afterAt,
    executeAt,
    ...wanted
  }: Named): ErrorCode | undefined {
    const preceding =
      after === undefined
        ? undefined
        : {
            originator: afterOf ?? wanted.originator ?? supplier,
            target: afterAt ?? sequenceDevice,
            counter: counterOf(after),
          }
    const rest = wanted.body ?? emptyBytes
    const isSequenced = first || after !== undefined
    return this.arrive(
      envelopeOf({
        deadline: this.now + 600_000,
        ...wanted,
        ...(isSequenced && {
          kind: Kind.SEQUENCED_REQUEST,
          body: sequencedBodyOf({ isFirst: first, preceding }, rest, false),
        }),
        ...(executeAt !== undefined && {
          kind: Kind.FUTURE_REQUEST,
          body: futureBodyOf(executeAt, rest, false),
        }),
      }),
    )
  }

  cancel(counter: number): ErrorCode | undefined {
    return this.arrive(envelopeOf({ kind: Kind.CANCEL, counter }))
  }

  /** The device answers what is on its way. */
  answer(code: ErrorCode = 'OK'): void {
    const { sent } = this.trial.state
    if (sent === undefined) throw new Error('nothing is on its way')
    const { originator, counter } = sent
    const outcome = errorId(code)
    this.trial.feed(
      { type: 'ANSWERED', originator, counter, outcome, bodyBytes: emptyBytes },
      this.now,
    )
    this.wake()
  }

  /** As the runtime wakes it when its time has come. */
  wake(): void {
    for (let count = 0; count < 100; count++) {
      const wakeAt = deviceKind.nextWakeMs(this.trial.state, this.now)
      const last = this.trial.effects.findLast((effect) => effect.type === 'WAKE_AT')
      const at = last?.type === 'WAKE_AT' ? last.at : wakeAt
      if (at === 0 || at > this.now + 1) return
      const before = this.trial.facts.length
      this.trial.feed({ type: 'WAKE' }, this.now)
      if (this.trial.facts.length === before) return
    }
    throw new Error('it never comes to rest')
  }

  advance(ms: number): void {
    this.now += ms
    this.trial.feed({ type: 'WAKE' }, this.now)
    this.wake()
  }

  restart(from: 'store' | 'ledger'): void {
    const { trial } = this
    trial.state =
      from === 'store'
        ? throughStore(deviceKind, trial.state)
        : replay(deviceKind, sequenceDevice, trial.facts)
    trial.feed(resume, this.now)
    this.wake()
  }

  get sent(): number | undefined {
    const { sent } = this.trial.state
    return sent && numberOf(sent.counter)
  }

  get open(): number[] {
    return this.trial.state.open.map(({ counter }) => numberOf(counter))
  }

  /** Counter and code of each response, in order. */
  get responses(): [number, ErrorCode | undefined][] {
    return this.trial.deliveries.flatMap((one): [number, ErrorCode | undefined][] =>
      'request' in one ? [[numberOf(one.request.counter), errorCodeOf(one.outcome)]] : [],
    )
  }

  get alerts(): DccAlert[] {
    return this.trial.deliveries.flatMap((one) =>
      'isOfDcc' in one ? [DccAlert.decode(one.bodyBytes)] : [],
    )
  }

  /** The state that a status query gives. */
  status(counter: number): number | undefined {
    const before = this.trial.effects.length
    this.arrive(envelopeOf({ kind: Kind.STATUS_QUERY, counter }))
    const report = this.trial.effects.slice(before).find(({ type }) => type === 'REPORT_STATUS')
    if (report?.type !== 'REPORT_STATUS') return undefined
    const envelope = envelopeOf({ kind: Kind.STATUS, body: Buffer.alloc(9) })
    writeStatusBody(envelope, 0, report.state, report.acceptedAt)
    return readStatusState(envelope, 0)
  }
}
