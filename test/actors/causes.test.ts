/**
 * Why requests fail, from the answer of the WAN to facts, state, the alarm and the party's
 * response; and an operator who accepts the counter of a device as it is now.
 */
import { emptyDirectory } from '../../core/access/directory.ts'
import t from 'tap'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { decide, evolve } from '../../actors/device/actor.ts'
import {
  decodeCause,
  encodeCause,
  textOfCause,
  type FailureCause,
} from '../../actors/device/cause.ts'
import type { Deliver } from '../../actors/kind/effects.ts'
import type { DeviceOutbox } from '../../actors/device/effects.ts'
import { isWritten, type DeviceFact } from '../../actors/device/facts.ts'
import { countersEnd } from '../../actors/device/keyring.ts'
import { usingIn } from '../../actors/device/keys-facts.ts'
import { next } from '../../actors/kind/messages.ts'
import { type Answered, type DeviceMessage } from '../../actors/device/messages.ts'
import { emptyState, type DeviceState } from '../../actors/device/state.ts'
import { packState, unpackState } from '../../actors/device/state-codec.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { throughLedger } from '../support/actor-trial.ts'
import { deviceKey, envelopeOf, plainRecord, registrationOf } from '../support/envelopes.ts'
import { securedRecord } from '../support/keys.ts'

/** What it wants done, answers and wakes included. */
type DeviceEffect = DeviceOutbox['effects'][number]

const device = deviceKey(1)
const replayed: FailureCause = {
  code: 'DLMS_COUNTER_REPLAYED',
  detail: '7 after 41',
  counterReceived: 7,
  counterExpected: 42,
}

class Life {
  state: DeviceState = emptyState()
  now = 1_800_000_000_000
  facts: DeviceFact[] = []
  effects: DeviceEffect[] = []
  deliveries: Deliver[] = []
  private counter = 0

  constructor(record = securedRecord(device)) {
    this.feed({
      type: 'ARRIVED',
      buffer: registrationOf(device, record),
      at: 0,
      replyTo: undefined,
    })
  }

  feed(message: DeviceMessage): void {
    this.facts = []
    this.effects = []
    this.deliveries = []
    this.step(message)
    if (this.facts.length > 0) this.step(next)
  }

  private step(message: DeviceMessage): void {
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    decide(this.state, message, this.now, emptyDirectory, out)
    for (const fact of out.facts) {
      this.facts.push(isWritten(fact) ? through(fact) : fact)
      evolve(this.state, fact)
    }
    this.effects.push(...out.effects)
    this.deliveries.push(...out.deliveries)
  }

  submit(): void {
    const buffer = envelopeOf({ device, counter: ++this.counter, deadline: this.now + 3_600_000 })
    this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
  }

  /** The request that is on its way. */
  get sent() {
    const sent = this.effects.find((one) => one.type === 'SEND')
    return sent?.type === 'SEND' ? sent : undefined
  }

  /** Submits one, and fails every attempt at it. */
  failAll(cause: FailureCause): void {
    this.submit()
    this.failRest(cause, limits.attemptsMax)
  }

  failRest(cause: FailureCause, attempts: number): void {
    for (let left = attempts; left > 0; left--) {
      if (this.sent === undefined) {
        this.now += 10 * 60_000
        this.feed({ type: 'WAKE' })
      }
      this.answer('DEVICE_ANSWER_INVALID', { cause })
    }
  }

  answer(outcome: ErrorCode, more: Partial<Answered> = {}): void {
    const { request, keys } = this.sent!
    const { originator, counter } = request
    const { from = 0, received = -1 } = keys?.counters ?? {}
    const counters = { number: keys?.number ?? 0, from, next: from + 3, received }
    const about = { originator, counter, outcome: errorId(outcome), bodyBytes: Buffer.alloc(0) }
    this.feed({ type: 'ANSWERED', ...about, ...(keys && { counters }), ...more })
  }

  accept(body = Buffer.alloc(5)): ErrorCode | undefined {
    const buffer = envelopeOf({ kind: Kind.COUNTER_ACCEPTANCE, device, body })
    this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
    const answer = this.effects.find((one) => one.type === 'ACKNOWLEDGE')
    return answer?.type === 'ACKNOWLEDGE' ? errorCodeOf(answer.outcome) : undefined
  }

  get alarms() {
    return this.effects.filter((one) => one.type === 'ALARM')
  }
}

/** Through the ledger: what was written is what is read. */
const through = (fact: DeviceFact): DeviceFact => throughLedger(deviceKind, device, fact)

t.test('a cause stands in both facts, in the state and in the delivery', async (t) => {
  for (const record of [securedRecord(device), plainRecord]) {
    const life = new Life(record)
    life.submit()
    life.answer('DEVICE_ANSWER_INVALID', { cause: replayed })
    t.match(life.facts[0], { type: 'ATTEMPT_FAILED', cause: replayed })
    t.equal(life.alarms.length, 0, 'an attempt is repeated: no alarm yet')
    t.same(life.state.fault, { ...replayed, time: life.now, isTold: false })
    t.same(unpackState(packState(life.state)).fault, life.state.fault)

    life.failRest(replayed, limits.attemptsMax - 1)
    const ended = life.facts.find(({ type }) => type === 'REQUEST_ENDED')
    t.match(ended, { cause: replayed, outcome: errorId('DEVICE_ANSWER_INVALID') })
    t.match(life.deliveries[0], { isCause: true })
    t.equal(life.deliveries[0]!.bodyBytes.toString(), textOfCause(replayed))
    t.same(life.alarms, [{ type: 'ALARM', code: replayed.code, cause: replayed, isKnown: false }])
    t.equal(life.state.fault?.isTold, true)
  }
})

t.test('an alarm is said once while the cause is the same, and counted each time', async (t) => {
  const life = new Life()
  const told = (cause: FailureCause) => {
    life.failAll(cause)
    return life.alarms.map((one) => one.type === 'ALARM' && one.isKnown)
  }
  t.same(told(replayed), [false])
  t.same(told({ ...replayed, counterReceived: 9 }), [true])
  t.same(told({ code: 'DEVICE_SILENT', detail: '' }), [false])
  t.same(told(replayed), [false])
  life.submit()
  life.answer('OK')
  t.equal(life.state.fault, undefined, 'a success ends it')
  t.same(told(replayed), [false])
})

t.test('octets of a cause', async (t) => {
  for (const cause of [replayed, { code: 'DEVICE_SILENT', detail: '' } as const])
    t.same(decodeCause(encodeCause(cause)), cause)
  const long = decodeCause(encodeCause({ code: 'DEVICE_SILENT', detail: 'é'.repeat(1_000) }))
  t.equal(long!.detail, 'é'.repeat(limits.causeDetailBytesMax / 2))
  const odd = decodeCause(encodeCause({ code: 'DEVICE_SILENT', detail: `x${'é'.repeat(1_000)}` }))
  t.match(odd!.detail, /^xé+$/, 'no half a character')
  const newer = encodeCause(replayed)
  newer.writeUInt16BE(0xfff0, 0)
  t.match(decodeCause(newer), { detail: /outcome 65520 of a newer Busbar; 7 after 41/ })
  t.equal(
    textOfCause(replayed),
    'DLMS_COUNTER_REPLAYED: 7 after 41 (counter received 7, counter expected 42)',
  )
  // Facts of before there were causes: nothing, or counters alone.
  t.same(usingIn(Buffer.alloc(0)), {})
  const counters = Buffer.from('00000002000000000900000000 05'.replace(' ', ''), 'hex')
  t.same(usingIn(counters), { counters: { number: 2, next: 9, received: 4 } })
  t.throws(() => usingIn(Buffer.alloc(20)), { code: 'ENVELOPE_MALFORMED' })
})

t.test('an operator accepts a counter that went back', async (t) => {
  const life = new Life()
  life.submit()
  const { number, from } = { number: life.sent!.keys!.number, from: life.sent!.keys!.counters.from }
  life.answer('OK', { counters: { number, from, next: from + 3, received: 900 } })
  t.equal(life.state.keyring!.current!.received, 900)
  life.submit()
  // While an exchange is on its way that brought the old one along.
  const underway = life.sent!
  t.equal(underway.keys!.counters.received, 900)
  t.equal(life.accept(), 'REQUEST_ACCEPTED')
  const [fact] = life.facts
  t.match(fact, { type: 'COUNTER_ACCEPTED', number, next: Number })
  const { received, pushFloor } = life.state.keyring!.current!
  t.same({ received, pushFloor }, { received: -1, pushFloor: -1 })
  life.effects = [underway]
  life.answer('DEVICE_ANSWER_INVALID', {
    cause: replayed,
    counters: { number, from: underway.keys!.counters.from, next: from + 6, received: -1 },
  })
  life.now += 3_600_000 / 2
  life.feed({ type: 'WAKE' })
  const again = life.sent!.keys!.counters
  t.equal(again.received, -1, 'it is asked for its counter, as if for the first time')
  t.ok(again.from >= underway.keys!.counters.to, 'nothing that may be on its way is used twice')
})

t.test('an operator names the counter to go on with', async (t) => {
  const life = new Life()
  const body = Buffer.alloc(5)
  body.writeUIntBE(500_000_000, 0, 5)
  t.equal(life.accept(body), 'REQUEST_ACCEPTED')
  life.submit()
  t.equal(life.sent!.keys!.counters.from, 500_000_000)
  body.writeUIntBE(countersEnd - 1, 0, 5)
  t.equal(life.accept(body), 'DLMS_COUNTER_EXHAUSTED')
  t.equal(life.accept(Buffer.alloc(3)), 'DLMS_COUNTER_EXHAUSTED', 'no counter')
  const keyless = new Life(plainRecord)
  t.equal(keyless.accept(), 'DLMS_KEY_UNKNOWN')
})

t.test('a counter that was moved on is worth one attempt more, and an alarm', async (t) => {
  const life = new Life()
  life.submit()
  for (let attempt = 1; attempt < limits.attemptsMax; attempt++) {
    life.answer('DEVICE_SILENT', { cause: { code: 'DEVICE_SILENT', detail: '' } })
    life.now += 10 * 60_000
    life.feed({ type: 'WAKE' })
  }
  const { number, counters } = life.sent!.keys!
  const { from, received } = counters
  life.answer('DEVICE_ASSOCIATION_REFUSED', {
    counters: { number, from, next: from + 1, received, expected: from + 500_000 },
  })
  t.same(life.alarms, [{ type: 'ALARM', code: 'KEYS_COUNTER_RAISED' }])
  t.equal(life.sent?.keys?.counters.from, from + 500_000, 'at once')
  const last = life.sent!.keys!.counters
  life.answer('DEVICE_ASSOCIATION_REFUSED', {
    counters: { number, from: last.from, next: last.from, received, expected: last.from + 9_000 },
  })
  t.match(life.facts, [{ type: 'REQUEST_ENDED' }], 'a device cannot ask for ever')
})
