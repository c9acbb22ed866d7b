/**
 * The device's actor: its rules one by one, and then as properties over random lives: every
 * accepted request ends exactly once, one is sent at a time, lanes and order hold, replay gives the
 * same state.
 */
import { emptyDirectory } from '../../core/access/directory.ts'
import fc from 'fast-check'
import t from 'tap'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { decide, evolve, park } from '../../actors/device/actor.ts'
import type { Acknowledge, DeliverResponse, ReportStatus } from '../../actors/kind/effects.ts'
import type { DeviceOutbox, Send } from '../../actors/device/effects.ts'
import type { DeviceFact } from '../../actors/device/facts.ts'
import { next, resume, wake } from '../../actors/kind/messages.ts'
import { type DeviceMessage } from '../../actors/device/messages.ts'
import { emptyState, type DeviceState, type OpenRequest } from '../../actors/device/state.ts'
import { nextWakeMs } from '../../actors/device/wakes.ts'
import { packState, unpackState } from '../../actors/device/state-codec.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { tryLife } from '../support/actor-trial.ts'
import {
  deviceKey,
  envelopeOf,
  plainRecord,
  registrationOf,
  supplier,
  type Wanted,
} from '../support/envelopes.ts'

/** What it wants done, answers and wakes included. */
type DeviceEffect = DeviceOutbox['effects'][number]

const device = deviceKey(1)
const start = 1_800_000_000_000

/** One device under test: feeds messages as the runtime does and keeps everything that came out. */
class Life {
  state: DeviceState = emptyState()
  now = start
  facts: DeviceFact[] = []
  deliveries: DeliverResponse[] = []
  effects: DeviceEffect[] = []

  feed(message: DeviceMessage): DeviceEffect[] {
    const before = this.effects.length
    if (this.step(message)) this.step(next)
    return this.effects.slice(before)
  }

  private step(message: DeviceMessage): boolean {
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    decide(this.state, message, this.now, emptyDirectory, out)
    for (const fact of out.facts) evolve(this.state, fact)
    this.facts.push(...out.facts)
    this.deliveries.push(...responsesOf(out))
    this.effects.push(...out.effects)
    return out.facts.length > 0 && message.type !== 'NEXT'
  }

  register(record?: DeviceRecord): this {
    const buffer = registrationOf(device, record)
    this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
    return this
  }

  /** The code of the acknowledgement. */
  submit(wanted: Wanted = {}): ErrorCode | undefined {
    const buffer = envelopeOf({ device, deadline: this.now + 120_000, ...wanted })
    return codeOf(this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined }))
  }

  answer(code: ErrorCode, request: OpenRequest | undefined = this.state.sent): void {
    if (request === undefined) throw new Error('nothing is on its way')
    const { originator, counter } = request
    this.feed({
      type: 'ANSWERED',
      originator,
      counter,
      outcome: errorId(code),
      bodyBytes: Buffer.from('body'),
    })
  }
}

const responsesOf = ({ deliveries }: DeviceOutbox): DeliverResponse[] =>
  deliveries.filter((one) => 'request' in one)

function codeOf(effects: DeviceEffect[]): ErrorCode | undefined {
  const acknowledged = effects.find((e): e is Acknowledge => e.type === 'ACKNOWLEDGE')
  return acknowledged && errorCodeOf(acknowledged.outcome)
}

const lastSend = (life: Life): Send | undefined =>
  life.effects.findLast((e): e is Send => e.type === 'SEND')
const counterOf = (request: Pick<OpenRequest, 'counter'> | undefined): number =>
  request === undefined ? -1 : Number(Buffer.from(request.counter, 'latin1').readBigUInt64BE())

t.test('a request is accepted, sent, answered, delivered', (t) => {
  const life = new Life().register()
  t.equal(life.submit({ counter: 7 }), 'REQUEST_ACCEPTED')
  t.equal(counterOf(lastSend(life)?.request), 7)
  life.answer('OK')
  t.equal(life.deliveries.length, 1)
  t.same(life.deliveries[0]?.bodyBytes, Buffer.from('body'))
  t.equal(life.deliveries[0]?.attempt, 1)
  t.equal(life.state.open.length, 0)
  t.equal(nextWakeMs(life.state, life.now), 0)
  t.end()
})

t.test('refusals say why and leave no fact', (t) => {
  const unknown = new Life()
  t.equal(unknown.submit(), 'DEVICE_UNKNOWN')
  const life = new Life().register()
  const facts = life.facts.length
  t.equal(life.submit({ deadline: life.now }), 'REQUEST_DEADLINE_PAST')
  t.equal(life.submit({ srv: '8.1.9' }), 'REQUEST_SRV_UNKNOWN')
  const broken = envelopeOf({ kind: Kind.DEVICE_REGISTRATION, device, body: Buffer.from([0xc1]) })
  t.equal(
    codeOf(life.feed({ type: 'ARRIVED', buffer: broken, at: 0, replyTo: undefined })),
    'DEVICE_RECORD_MALFORMED',
  )
  t.equal(life.facts.length, facts)
  t.end()
})

t.test('a registration repeated changes nothing', (t) => {
  const life = new Life().register().register()
  t.equal(life.facts.filter((f) => f.type === 'DEVICE_REGISTERED').length, 1)
  t.end()
})

t.test('a repeat returns the first acknowledgement and is not run twice', (t) => {
  const life = new Life().register()
  life.submit({ counter: 1, body: Buffer.from('x') })
  const firstAt = life.now
  life.now += 5_000
  const again = life.feed({
    type: 'ARRIVED',
    buffer: envelopeOf({ device, counter: 1, body: Buffer.from('x'), deadline: life.now + 99 }),
    at: 0,
    replyTo: undefined,
  })
  t.equal(codeOf(again), 'REQUEST_ACCEPTED')
  t.equal((again[0] as Acknowledge).time, firstAt)
  life.answer('OK')
  t.equal(life.submit({ counter: 1, body: Buffer.from('x') }), 'REQUEST_ACCEPTED')
  t.equal(life.submit({ counter: 1, body: Buffer.from('y') }), 'REQUEST_COUNTER_REUSED')
  t.equal(life.submit({ counter: 1, srv: '7.4', body: Buffer.from('x') }), 'REQUEST_COUNTER_REUSED')
  t.equal(life.effects.filter((e) => e.type === 'SEND').length, 1)
  t.end()
})

t.test('what is no longer remembered whole is acknowledged as at first, not run again', (t) => {
  const life = new Life().register()
  const perChunk = limits.deviceCountersPerChunk
  const last = limits.deviceRequestsRememberedMax + 1
  // Even counters only: odd ones were never used.
  for (let number = 1; number <= last; number++) {
    life.submit({ counter: number * 2 })
    life.answer('OK')
  }
  t.equal(life.submit({ counter: 2 }), 'REQUEST_ACCEPTED')
  t.equal(life.submit({ counter: perChunk * 2 }), 'REQUEST_ACCEPTED')
  t.equal(life.submit({ counter: 2, srv: '7.4' }), 'REQUEST_COUNTER_REUSED')
  t.equal(life.submit({ counter: perChunk * 2 + 2 }), 'REQUEST_ACCEPTED', 'still remembered whole')
  t.equal(life.effects.filter((e) => e.type === 'SEND').length, last)
  t.equal(life.submit({ counter: 1 }), 'REQUEST_ACCEPTED', 'never used, and above the floor')
  t.end()
})

t.test('counters are forgotten by age and by number, and raise the floor then', (t) => {
  const { deviceRequestsRememberedMax, deviceCountersRememberedMax } = limits
  const run = (pauseMs: number): number => {
    const life = new Life().register()
    const total = deviceRequestsRememberedMax + deviceCountersRememberedMax * 2
    for (let number = 1; number <= total; number++) {
      life.submit({ counter: number * 2 })
      life.answer('OK')
      life.now += pauseMs
      t.ok(life.state.past.length * limits.deviceCountersPerChunk <= deviceCountersRememberedMax)
    }
    const { floor } = life.state.originators[0]!
    t.equal(life.submit({ counter: 1 }), 'REQUEST_COUNTER_STALE')
    const again = total - deviceRequestsRememberedMax
    t.equal(life.submit({ counter: again * 2 }), 'REQUEST_ACCEPTED', 'the first acknowledgement')
    t.equal(life.submit({ counter: again * 2, srv: '7.4' }), 'REQUEST_COUNTER_REUSED')
    return Number(Buffer.from(floor ?? '', 'latin1').readBigUInt64BE()) / 2
  }
  t.equal(run(0), deviceCountersRememberedMax, 'the oldest, when there are too many')
  t.equal(
    run(limits.deviceCountersKeepMs),
    deviceCountersRememberedMax * 2 - limits.deviceCountersPerChunk,
  )
  t.end()
})

t.test('a party that repeats what was rejected for want of room loses no request (B2-03)', (t) => {
  // As many as the device remembers; the lowest counters are unlucky as long as there are others.
  const total = limits.deviceCountersRememberedMax
  const life = new Life().register()
  const waiting = new Set(Array.from({ length: total }, (_, index) => index + 1))
  const codes = new Map<string, number>()
  for (let round = 0; waiting.size > 0 && round < total; round++) {
    for (const counter of [...waiting].sort((a, b) => b - a)) {
      const code = life.submit({ counter, deadline: life.now + 1e9 })!
      codes.set(code, (codes.get(code) ?? 0) + 1)
      if (code === 'REQUEST_ACCEPTED') waiting.delete(counter)
    }
    life.now += limits.deviceRetryAfterMs
    while (life.state.sent !== undefined) life.answer('OK')
  }
  t.same([...codes.keys()].sort(), ['DEVICE_QUEUE_FULL', 'REQUEST_ACCEPTED'])
  t.equal(waiting.size, 0, 'all were accepted')
  t.equal(life.deliveries.length, total, 'each ran once')
  t.end()
})

t.test('a counter that would block the following ones is rejected', (t) => {
  const ns = (ms: number): bigint => BigInt(ms) * 1_000_000n
  const day = 86_400_000
  const trials: Array<[bigint | undefined, bigint, ErrorCode]> = [
    [undefined, ns(start), 'REQUEST_ACCEPTED'],
    [undefined, ns(start + day), 'REQUEST_ACCEPTED'],
    [undefined, ns(start + day) + 1n, 'REQUEST_COUNTER_TOO_HIGH'],
    [undefined, 2n ** 63n, 'REQUEST_COUNTER_TOO_HIGH'],
    [undefined, 2n ** 64n - 1n, 'REQUEST_COUNTER_TOO_HIGH'],
    [undefined, 1n, 'REQUEST_ACCEPTED'],
    [5n, 1_000_005n, 'REQUEST_ACCEPTED'],
    [5n, 1_000_006n, 'REQUEST_COUNTER_TOO_HIGH'],
    [5n, BigInt(start), 'REQUEST_COUNTER_TOO_HIGH'],
    [5n, 10n ** 18n, 'REQUEST_COUNTER_TOO_HIGH'],
    [5n, ns(start), 'REQUEST_ACCEPTED'],
    [BigInt(start) - 10_000_000n, BigInt(start), 'REQUEST_ACCEPTED'],
    [BigInt(start), BigInt(start + day * 2), 'REQUEST_COUNTER_TOO_HIGH'],
    [BigInt(start), ns(start), 'REQUEST_ACCEPTED'],
    [BigInt(start / 1000), BigInt(start / 1000) + 50_000n, 'REQUEST_ACCEPTED'],
    [BigInt(start / 1000), BigInt(start), 'REQUEST_COUNTER_TOO_HIGH'],
    [ns(start - 400 * day), ns(start - 2 * day), 'REQUEST_ACCEPTED'],
  ]
  for (const [highest, counter, wanted] of trials) {
    const life = new Life().register()
    if (highest !== undefined) t.equal(life.submit({ counter: highest }), 'REQUEST_ACCEPTED')
    t.equal(life.submit({ counter }), wanted, `${counter} after ${highest}`)
    if (wanted !== 'REQUEST_ACCEPTED' && highest !== undefined)
      t.equal(life.submit({ counter: highest + 1n }), 'REQUEST_ACCEPTED', 'the following one')
  }
  t.end()
})

t.test('a counter below the highest that was never used is taken', (t) => {
  const life = new Life().register()
  life.submit({ counter: 10 })
  t.equal(life.submit({ counter: 5 }), 'REQUEST_ACCEPTED')
  t.end()
})

t.test('the queue is bounded and says when to come back', (t) => {
  const life = new Life().register()
  for (let counter = 1; counter <= limits.deviceQueueMax; counter++)
    t.equal(life.submit({ counter }), 'REQUEST_ACCEPTED')
  const buffer = envelopeOf({ device, counter: 1000, deadline: life.now + 1000 })
  const effects = life.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
  t.equal(codeOf(effects), 'DEVICE_QUEUE_FULL')
  t.equal((effects[0] as Acknowledge).notBefore, life.now + limits.deviceRetryAfterMs)
  t.end()
})

t.test(
  'urgent overtakes bulk, also one that waits for its next attempt; order holds within a lane',
  (t) => {
    const life = new Life().register()
    life.submit({ counter: 1, lane: Lane.BULK })
    life.submit({ counter: 2, lane: Lane.BULK })
    life.submit({ counter: 3, lane: Lane.URGENT })
    life.answer('DEVICE_SILENT')
    t.equal(counterOf(life.state.sent), 3)
    life.answer('OK')
    t.equal(
      life.state.sent,
      undefined,
      'bulk 2 waits behind bulk 1, which waits for its next attempt',
    )
    life.now = nextWakeMs(life.state, life.now)
    life.feed(wake)
    t.equal(counterOf(life.state.sent), 1)
    life.answer('OK')
    t.equal(counterOf(life.state.sent), 2)
    t.end()
  },
)

t.test('attempts go on until the deadline, and it ends with the last outcome', (t) => {
  const life = new Life().register()
  const lifetimeMs = 3_600_000
  life.submit({ deadline: life.now + lifetimeMs })
  let attempts = 0
  for (let delayMs = 0; ; attempts++) {
    life.answer(attempts % 2 === 0 ? 'DEVICE_UNREACHABLE' : 'DEVICE_SILENT')
    if (life.deliveries.length > 0) break
    const nextMs = nextWakeMs(life.state, life.now) - life.now
    t.ok(nextMs >= delayMs, `after attempt ${attempts + 1}`)
    delayMs = nextMs
    life.now += nextMs
    life.feed(wake)
  }
  t.ok(attempts > 2 * limits.attemptsMax, `${attempts} attempts`)
  t.ok(life.now > start + 0.8 * lifetimeMs && life.now <= start + lifetimeMs)
  const { outcome, attempt } = life.deliveries[0]!
  t.equal(errorCodeOf(outcome), attempts % 2 === 0 ? 'DEVICE_UNREACHABLE' : 'DEVICE_SILENT')
  t.equal(attempt, attempts + 1)
  t.end()
})

t.test('what the device answers is asked for three times', (t) => {
  const life = new Life().register()
  life.submit()
  for (let attempt = 1; attempt < limits.attemptsMax; attempt++) {
    life.answer('DEVICE_ANSWER_INVALID')
    t.equal(life.deliveries.length, 0)
    life.now = nextWakeMs(life.state, life.now)
    life.feed(wake)
  }
  life.answer('DEVICE_ANSWER_INVALID')
  t.equal(errorCodeOf(life.deliveries[0]!.outcome), 'DEVICE_ANSWER_INVALID')
  t.equal(life.deliveries[0]!.attempt, limits.attemptsMax)
  t.end()
})

t.test('a device that dials in is waited for up to the deadline, and only then', (t) => {
  const { type, address } = plainRecord
  const life = new Life().register({ type, address: { ...address, transport: 'dial-in' } })
  life.submit({ deadline: life.now + 600_000 })
  let waits = 0
  while (life.deliveries.length === 0) {
    life.now += 30_000
    life.answer('DEVICE_UNREACHABLE')
    if (life.deliveries.length > 0) break
    waits++
    life.now = nextWakeMs(life.state, life.now)
    life.feed(wake)
  }
  t.ok(waits > 10, `${waits} times`)
  t.ok(life.now <= start + 600_000 + 30_000)
  t.equal(errorCodeOf(life.deliveries[0]!.outcome), 'DEVICE_UNREACHABLE')
  life.deliveries = []
  life.submit({ counter: 9, deadline: life.now + 600_000 })
  life.answer('DEVICE_UNREACHABLE')
  for (let attempt = 1; attempt <= limits.attemptsMax; attempt++) {
    life.now = nextWakeMs(life.state, life.now)
    life.feed(wake)
    life.answer('DEVICE_ANSWER_INVALID')
  }
  t.equal(life.deliveries[0]?.attempt, limits.attemptsMax, 'one that is there has its attempts')
  t.end()
})

t.test(
  'the deadline ends what waits, with E30 before the first attempt and the last outcome after it',
  (t) => {
    const life = new Life().register()
    life.submit({ counter: 1, deadline: life.now + 120_000 })
    life.submit({ counter: 2, deadline: life.now + 1_000 })
    life.now += 1_000
    life.feed(wake)
    t.equal(errorCodeOf(life.deliveries[0]!.outcome), 'REQUEST_EXPIRED')
    t.equal(counterOf(life.state.sent), 1, 'what is on its way ends by its own time-outs')
    const other = new Life().register()
    other.submit({ counter: 1, deadline: other.now + 1_000 })
    other.answer('DEVICE_SILENT')
    t.equal(
      errorCodeOf(other.deliveries[0]!.outcome),
      'DEVICE_SILENT',
      'the next attempt would come too late',
    )
    t.end()
  },
)

t.test('cancel and status', (t) => {
  const life = new Life().register()
  life.submit({ counter: 1 })
  life.submit({ counter: 2 })
  const ask = (kind: Kind, counter: number): DeviceEffect[] =>
    life.feed({
      type: 'ARRIVED',
      buffer: envelopeOf({ kind, device, counter }),
      at: 0,
      replyTo: undefined,
    })
  t.equal((ask(Kind.STATUS_QUERY, 1)[0] as ReportStatus).state, 2)
  t.equal((ask(Kind.STATUS_QUERY, 2)[0] as ReportStatus).state, 1)
  t.equal(codeOf(ask(Kind.CANCEL, 1)), 'REQUEST_ENDED', 'it is on its way')
  t.equal(codeOf(ask(Kind.CANCEL, 2)), 'REQUEST_CANCELLED')
  t.equal(codeOf(ask(Kind.CANCEL, 2)), 'REQUEST_CANCELLED', 'asked twice, answered alike')
  t.equal(codeOf(ask(Kind.CANCEL, 3)), 'REQUEST_NOT_FOUND')
  t.equal(codeOf(ask(Kind.STATUS_QUERY, 3)), 'REQUEST_NOT_FOUND')
  t.equal(life.deliveries.length, 1)
  life.answer('OK')
  t.equal((ask(Kind.STATUS_QUERY, 1)[0] as ReportStatus).outcome, errorId('OK'))
  t.equal(codeOf(ask(Kind.CANCEL, 1)), 'REQUEST_ENDED')
  t.end()
})

t.test('a late or foreign answer changes nothing', (t) => {
  const life = new Life().register()
  life.submit({ counter: 1 })
  const first = life.state.sent
  life.answer('OK')
  const facts = life.facts.length
  life.answer('OK', first)
  t.equal(life.facts.length, facts)
  t.end()
})

t.test('parking ends the request and tells its party', (t) => {
  const life = new Life().register()
  life.submit({ counter: 1 })
  const { originator, counter } = life.state.sent!
  const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
  park(
    life.state,
    { type: 'ANSWERED', originator, counter, outcome: 0, bodyBytes: Buffer.alloc(0) },
    life.now,
    out,
  )
  for (const fact of out.facts) evolve(life.state, fact)
  t.equal(life.state.open.length, 0)
  t.equal(errorCodeOf(responsesOf(out)[0]!.outcome), 'DEVICE_ACTOR_PARKED')
  t.end()
})

t.test('parking what came about an open request ends that with its one delivery', (t) => {
  const life = new Life().register()
  life.submit({ counter: 1 })
  life.submit({ counter: 2 })
  const buffer = envelopeOf({ kind: Kind.CANCEL, device, counter: 2 })
  const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
  park(life.state, { type: 'ARRIVED', buffer, at: 0, replyTo: undefined }, life.now, out)
  for (const fact of out.facts) evolve(life.state, fact)
  t.strictSame(life.state.open.map(counterOf), [1])
  t.strictSame(
    responsesOf(out).map(({ request }) => counterOf(request)),
    [2],
  )
  t.equal(errorCodeOf(responsesOf(out)[0]!.outcome), 'DEVICE_ACTOR_PARKED')
  t.end()
})

type Step =
  | { do: 'submit'; counter: number; lane: Lane; body: string; lifetimeMs: number }
  | { do: 'answer'; code: ErrorCode }
  | { do: 'cancel'; counter: number }
  | { do: 'later'; ms: number }

const steps = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant('submit' as const),
      counter: fc.integer({ min: 0, max: 40 }),
      lane: fc.constantFrom(Lane.URGENT, Lane.NORMAL, Lane.BULK),
      body: fc.constantFrom('', 'a'),
      lifetimeMs: fc.integer({ min: 1, max: 30_000 }),
    }),
    fc.record({
      do: fc.constant('answer' as const),
      code: fc.constantFrom<ErrorCode>(
        'OK',
        'DEVICE_SILENT',
        'DEVICE_UNREACHABLE',
        'DEVICE_REFUSED',
      ),
    }),
    fc.record({ do: fc.constant('cancel' as const), counter: fc.integer({ min: 0, max: 40 }) }),
    fc.record({ do: fc.constant('later' as const), ms: fc.integer({ min: 1, max: 8_000 }) }),
  ),
  { maxLength: 200 },
)

function live(life: Life, step: Step): void {
  if (step.do === 'submit') {
    const { counter, lane, lifetimeMs } = step
    life.submit({ counter, lane, body: Buffer.from(step.body), deadline: life.now + lifetimeMs })
  } else if (step.do === 'answer') {
    if (life.state.sent !== undefined) life.answer(step.code)
  } else if (step.do === 'cancel') {
    const buffer = envelopeOf({ kind: Kind.CANCEL, device, counter: step.counter })
    life.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
  } else {
    life.now += step.ms
    const at = nextWakeMs(life.state, life.now - step.ms)
    if (at !== 0 && at <= life.now) life.feed(wake)
  }
}

/** Answers and wakes until nothing is open. */
function drain(life: Life): void {
  for (let turn = 0; life.state.open.length > 0; turn++) {
    if (turn > 10_000) throw new Error('does not drain')
    if (life.state.sent !== undefined) life.answer('OK')
    else {
      life.now = Math.max(life.now, nextWakeMs(life.state, life.now))
      life.feed(wake)
    }
  }
}

t.test(
  'any life: each accepted request ends exactly once, and faults over, everything drains',
  (t) => {
    fc.assert(
      fc.property(steps, (all) => {
        const life = new Life().register()
        for (const step of all) {
          live(life, step)
          if (life.state.sent !== undefined && !life.state.open.includes(life.state.sent))
            throw new Error('sent but not open')
        }
        drain(life)
        const accepted = life.facts
          .filter((f) => f.type === 'REQUEST_ACCEPTED')
          .map((f) => f.request.counter)
        const ended = life.facts.filter((f) => f.type === 'REQUEST_ENDED').map((f) => f.counter)
        const delivered = life.deliveries.map((d) => d.request.counter)
        return (
          new Set(accepted).size === accepted.length &&
          ended.length === accepted.length &&
          JSON.stringify(ended) === JSON.stringify(delivered) &&
          JSON.stringify([...ended].sort()) === JSON.stringify([...accepted].sort())
        )
      }),
      { numRuns: 300 },
    )
    t.end()
  },
)

t.test('any life: replayed from the ledger, or through the store, it gives the same state', (t) => {
  fc.assert(
    fc.property(steps, fc.nat(), (all, cut) => {
      const life = new Life().register()
      for (const step of all) live(life, step)
      // A checkpoint at any place must not show.
      tryLife(deviceKind, device, life, cut % 50)
    }),
    { numRuns: 300 },
  )
  t.end()
})

t.test('resume sends again what was on its way', (t) => {
  const life = new Life().register()
  life.submit({ counter: 1 })
  life.state = unpackState(packState(life.state))!
  t.equal(life.state.sent, undefined)
  life.feed(resume)
  t.equal(counterOf(life.state.sent), 1)
  t.equal(life.effects.filter((e) => e.type === 'SEND').length, 2)
  t.end()
})

t.test('what is too late is ended before a later one of its lane goes', (t) => {
  const life = new Life().register()
  life.submit({ counter: 1 })
  life.submit({ counter: 2, deadline: life.now + 1_000 })
  life.submit({ counter: 3 })
  // A host that starts again finds the second one too late.
  life.state.sent = undefined
  life.answer('OK', life.state.open[0])
  life.now += 2_000
  life.state.sent = undefined
  const set = life.now
  t.equal(life.feed(resume).filter(({ type }) => type === 'SEND').length, 0)
  t.ok(nextWakeMs(life.state, life.now) <= life.now)
  life.now -= 1_500
  const [sent] = life.feed(resume).filter((effect): effect is Send => effect.type === 'SEND')
  t.equal(counterOf(sent?.request), 2, 'the clock was set back: it goes first')
  life.state.sent = undefined
  life.now = set
  life.feed(wake)
  t.equal(counterOf(life.state.sent), 3)
  t.end()
})

t.test('parties are bounded', (t) => {
  const life = new Life().register()
  for (let index = 0; index <= limits.deviceOriginatorsMax; index++) {
    const code = life.submit({ originator: deviceKey(1000 + index), counter: 1 })
    t.equal(
      code,
      index < limits.deviceOriginatorsMax ? 'REQUEST_ACCEPTED' : 'DEVICE_ORIGINATORS_FULL',
    )
    if (life.state.sent !== undefined) life.answer('OK')
  }
  t.equal(life.submit({ originator: supplier, counter: 1 }), 'DEVICE_ORIGINATORS_FULL')
  t.end()
})

t.test('a status query says whether the RequestID may ever have been accepted', (t) => {
  const life = new Life().register()
  const isNever = (counter: number): boolean | undefined => {
    const [effect] = life.feed({
      type: 'ARRIVED',
      buffer: envelopeOf({ kind: Kind.STATUS_QUERY, device, counter }),
      at: 0,
      replyTo: undefined,
    })
    return effect?.type === 'ACKNOWLEDGE' ? effect.isNeverAccepted === true : undefined
  }
  t.equal(isNever(5), true, 'the party is not known at all')
  const last = limits.deviceRequestsRememberedMax + 2 * limits.deviceCountersPerChunk
  for (let counter = 10; counter <= 10 + last; counter++) {
    life.submit({ counter })
    life.answer('OK')
  }
  t.equal(isNever(10), false, 'ended a while ago')
  t.equal(isNever(10 + last), undefined, 'one of the last')
  t.equal(isNever(5), true, 'between those that were accepted, and without a floor')
  t.equal(isNever(11 + last), true, 'above all')
  t.end()
})
