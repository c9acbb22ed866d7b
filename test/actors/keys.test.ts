/**
 * Keys of a device: counters that are reserved ahead and never used twice, whatever crashes;
 * registrations that bring keys; the replacement of keys, with a crash at every step, by a meter
 * that has applied the change or has not.
 */
import { emptyDirectory } from '../../core/access/directory.ts'
import { deviceKind } from '../../actors/device/device-kind.ts'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { decide, evolve, park } from '../../actors/device/actor.ts'
import { nextWakeMs, storedWakeMs } from '../../actors/device/wakes.ts'
import type { Acknowledge } from '../../actors/kind/effects.ts'
import type { DeviceOutbox } from '../../actors/device/effects.ts'
import { isWritten, type DeviceFact } from '../../actors/device/facts.ts'
import { countersEnd, isFreshPush, isInDoubt } from '../../actors/device/keyring.ts'
import { next, resume, wake } from '../../actors/kind/messages.ts'
import { type DeviceMessage } from '../../actors/device/messages.ts'
import { emptyState, isUnfinished, loaded, type DeviceState } from '../../actors/device/state.ts'
import { packState, unpackState } from '../../actors/device/state-codec.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { Secret } from '../../core/crypto/crypto.ts'
import { SealingVault } from '../../core/crypto/key-vault-sealing.ts'
import { keyMarkOf } from '../../core/crypto/sealed-keys.ts'
import { throughLedger } from '../support/actor-trial.ts'
import { deviceKey, envelopeOf, plainRecord, registrationOf } from '../support/envelopes.ts'
import { kekOf, otherKeys, securedRecord, suite0Keys, vault } from '../support/keys.ts'

/** What it wants done, answers and wakes included. */
type DeviceEffect = DeviceOutbox['effects'][number]

const device = deviceKey(1)
const start = 1_800_000_000_000
const markOf = (fill: number): string => keyMarkOf(vault.seal(device, otherKeys(fill)))
const firstMark = keyMarkOf(vault.seal(device, suite0Keys))

/** Through the ledger: what was written is what is read. */
const through = (fact: DeviceFact): DeviceFact => throughLedger(deviceKind, device, fact)

type Sent = Extract<DeviceEffect, { type: 'SEND' | 'SEND_KEY_STEP' }>

/**
 * One device, its ledger, and a meter that notes every counter. A crash forgets what is not in the
 * ledger.
 */
class Life {
  state: DeviceState = emptyState()
  now = start
  readonly ledger: DeviceFact[] = []
  effects: DeviceEffect[] = []
  /** What is on its way. */
  sent: Sent | undefined
  /** `mark counter` of all that was sent with. */
  readonly used = new Set<string>()
  /** The set that the meter has. */
  mark = firstMark
  private counter = 0
  /** How often the ledger was restored. */
  restores = 0

  feed(message: DeviceMessage): DeviceEffect[] {
    this.effects = []
    if (this.step(message)) this.step(next)
    const sent = this.effects.find((one): one is Sent => one.type.startsWith('SEND'))
    if (sent !== undefined) this.sent = sent
    return this.effects
  }

  private step(message: DeviceMessage): boolean {
    const { restores } = this
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [], restores }
    decide(this.state, message, this.now, emptyDirectory, out)
    for (const fact of out.facts) {
      if (isWritten(fact)) this.ledger.push(through(fact))
      evolve(this.state, fact)
    }
    this.effects.push(...out.effects)
    return out.facts.length > 0 && message.type !== 'NEXT'
  }

  /** The process dies; another one reads the ledger, or a store and the rest of it. */
  crash(storedAt = 0): void {
    this.sent = undefined
    let state = emptyState()
    for (const [index, fact] of this.ledger.entries()) {
      evolve(state, fact)
      if (index < storedAt) state = unpackState(packState(state))
    }
    loaded(state, device)
    this.state = state
    this.feed(resume)
  }

  ask(kind: Kind, body?: Buffer): ErrorCode | undefined {
    const buffer = envelopeOf({ kind, device, ...(body && { body }) })
    return codeOf(this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined }))
  }

  register(record: DeviceRecord = securedRecord(device)): ErrorCode | undefined {
    const buffer = registrationOf(device, record)
    return codeOf(this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined }))
  }

  submit(): void {
    const wanted = { device, counter: ++this.counter, deadline: this.now + 3_600_000 }
    this.feed({ type: 'ARRIVED', buffer: envelopeOf(wanted), at: 0, replyTo: undefined })
  }

  /** The operator's door and the runtime's edge at once. */
  replace(fill: number): void {
    const made = this.replacementOf(fill)
    if (made !== undefined) this.feed(made)
  }

  private replacementOf(fill: number): DeviceMessage | undefined {
    this.ask(Kind.KEYS_REPLACEMENT)
    const wanted = this.effects.find((one) => one.type === 'MAKE_KEYS')
    if (wanted?.type !== 'MAKE_KEYS') return undefined
    const sealedKeys = vault.seal(device, otherKeys(fill))
    return { type: 'KEYS_MADE', number: wanted.number, sealedKeys, replyTo: undefined }
  }

  /** `count` counters go out. */
  use(count: number): number {
    const { keys } = this.sent!
    const { from, to } = keys!.counters
    const end = Math.min(to, from + count)
    for (let value = from; value < end; value++) {
      const name = `${keyMarkOf(keys!.sealedKeys)} ${value}`
      if (this.used.has(name)) throw new Error(`used twice: ${value}`)
      this.used.add(name)
    }
    return end
  }

  /** The exchange comes back; `next` undefined when nobody knows what was sent. */
  answer(code: ErrorCode, nextCounter?: number, expected?: number, isRead?: boolean): void {
    const { sent } = this
    if (sent === undefined) throw new Error('nothing is on its way')
    this.sent = undefined
    const outcome = errorId(code)
    const { number, counters } = sent.keys!
    const { from, to } = counters
    const used = { number, from, next: nextCounter ?? to, received: -1, expected, isRead }
    if (sent.type === 'SEND') {
      const { originator, counter } = sent.request
      const bodyBytes = Buffer.alloc(0)
      this.feed({ type: 'ANSWERED', originator, counter, outcome, bodyBytes, counters: used })
    } else this.feed({ type: 'KEY_STEP_ANSWERED', step: sent.step, outcome, counters: used })
  }

  /** What the meter does with what is on its way; false when it refuses the keys. */
  carryOut(isApplying = true): boolean {
    const sent = this.sent!
    if (keyMarkOf(sent.keys!.sealedKeys) !== this.mark) return false
    if (sent.type === 'SEND_KEY_STEP' && sent.step.stage === 'TRANSFER' && isApplying)
      this.mark = keyMarkOf(sent.newSealedKeys)
    return true
  }

  /** Lets the meter answer everything until nothing is due any more. */
  settle(): void {
    for (let turn = 0; turn < 40; turn++) {
      if (this.sent !== undefined) {
        const end = this.use(7)
        this.answer(this.carryOut() ? 'OK' : 'DEVICE_ASSOCIATION_REFUSED', end)
        continue
      }
      const at = nextWakeMs(this.state, this.now)
      if (!isUnfinished(this.state) || at === 0) return
      this.now = at
      this.feed(wake)
    }
  }
}

function codeOf(effects: DeviceEffect[]): ErrorCode | undefined {
  const acknowledged = effects.find((one): one is Acknowledge => one.type === 'ACKNOWLEDGE')
  return acknowledged && errorCodeOf(acknowledged.outcome)
}
const alarms = (life: Life): string[] =>
  life.effects.flatMap((one) => (one.type === 'ALARM' ? [one.code] : []))
const current = (life: Life) => life.state.keyring!.current!
const factCount = (life: Life, type: DeviceFact['type']): number =>
  life.ledger.filter((fact) => fact.type === type).length

// ── counters ──

t.test('one reservation for many exchanges, and what was used comes with the answer', async (t) => {
  const life = new Life()
  t.equal(life.register(), 'REQUEST_ACCEPTED')
  for (let exchange = 0; exchange < 100; exchange++) {
    life.submit()
    life.answer('OK', life.use(50))
  }
  t.equal(factCount(life, 'COUNTERS_RESERVED'), 1)
  t.equal(current(life).next, 5_000)
  life.crash()
  t.equal(current(life).next, 5_000, 'a quiet restart burns nothing')
  life.submit()
  t.same(life.sent!.keys!.counters, { from: 5_000, to: limits.countersReserved, received: -1 })
})

t.test('after a restore the counter of a device is unknown until it was read', async (t) => {
  const life = new Life()
  life.register()
  life.submit()
  t.equal(life.sent!.keys!.isCounterUnknown, undefined)
  life.answer('OK', life.use(50))
  life.restores = 1
  life.crash()
  life.submit()
  t.equal(life.sent!.keys!.isCounterUnknown, true)
  life.answer('DEVICE_UNREACHABLE', life.sent!.keys!.counters.from)
  life.now = nextWakeMs(life.state, life.now)
  life.feed(wake)
  t.equal(life.sent!.keys!.isCounterUnknown, true, 'a failure has read nothing')
  const { from } = life.sent!.keys!.counters
  life.answer('OK', from + 500, undefined, true)
  life.crash(life.ledger.length)
  life.submit()
  t.equal(life.sent!.keys!.isCounterUnknown, undefined, 'it is read once, whatever crashes')
  t.equal(life.sent!.keys!.counters.from, from + 500)
  life.answer('OK', from + 510)

  t.comment(
    'each restore asks for it again; a counter of the operator will do, no counter will not',
  )
  life.restores = 2
  life.crash(life.ledger.length)
  t.equal(life.ask(Kind.COUNTER_ACCEPTANCE, Buffer.alloc(5)), 'REQUEST_ACCEPTED')
  life.submit()
  t.equal(life.sent!.keys!.isCounterUnknown, true)
  life.answer('DEVICE_SILENT')
  const body = Buffer.alloc(5)
  body.writeUIntBE(70_000, 0, 5)
  t.equal(life.ask(Kind.COUNTER_ACCEPTANCE, body), 'REQUEST_ACCEPTED')
  life.now = nextWakeMs(life.state, life.now)
  life.feed(wake)
  t.equal(life.sent!.keys!.isCounterUnknown, undefined)
  life.answer('OK', life.use(10))

  t.comment('keys that were made after it have no counter to read, those before them have')
  life.restores = 3
  life.replace(9)
  t.match(life.sent, { step: { stage: 'TRANSFER' }, keys: { isCounterUnknown: true } })
  life.answer('OK', life.use(5), undefined, true)
  t.match(life.sent, { step: { stage: 'PROVE_NEW' }, keys: { isCounterUnknown: undefined } })
})

t.test('with something under way a restart burns all that was reserved', async (t) => {
  const life = new Life()
  life.register()
  life.submit()
  life.use(50)
  life.crash()
  t.equal(life.sent!.keys!.counters.from, limits.countersReserved)
  t.equal(factCount(life, 'COUNTERS_RESERVED'), 2)
})

t.test(
  'so does an answer that does not say what was used, and a request that was parked',
  async (t) => {
    const life = new Life()
    life.register()
    life.submit()
    life.answer('DEVICE_SILENT')
    t.equal(current(life).next, limits.countersReserved)
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    life.now += 600_000
    life.feed(wake)
    park(life.state, wake, life.now, out)
    for (const fact of out.facts) evolve(life.state, fact)
    t.equal(current(life).next, current(life).reservedTo)
  },
)

t.test(
  'a step of a replacement that was parked goes on, and no request is put aside for it',
  async (t) => {
    const life = new Life()
    life.register()
    life.submit()
    life.answer('OK', 10)
    life.replace(4)
    const { step, keys } = life.sent as Extract<Sent, { type: 'SEND_KEY_STEP' }>
    const { from, to } = keys.counters
    const counters = { number: keys.number, from, next: to, received: -1 }
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    const answered = { type: 'KEY_STEP_ANSWERED', step, outcome: errorId('OK'), counters } as const
    park(life.state, answered, life.now, out)
    t.match(
      out.facts.map(({ type }) => type),
      ['KEYS_TRIED'],
    )
    t.same(out.deliveries, [])
    for (const fact of out.facts) {
      life.ledger.push(through(fact))
      evolve(life.state, fact)
    }
    life.sent = undefined
    life.feed(wake)
    t.equal((life.sent as Sent | undefined)?.type, 'SEND_KEY_STEP', 'the next one is on its way')
    const made = {
      type: 'KEYS_MADE',
      number: 1,
      sealedKeys: Buffer.alloc(0),
      replyTo: undefined,
    } as const
    const sealed = {
      type: 'KEYS_SEALED',
      number: 1,
      before: Buffer.alloc(0),
      sealedKeys: Buffer.alloc(0),
    } as const
    const others: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    park(life.state, made, life.now, others)
    park(life.state, sealed, life.now, others)
    t.same([others.facts, others.deliveries], [[], []])
    t.equal(codeOf(others.effects), 'DEVICE_ACTOR_PARKED', 'who asked for keys is told')
  },
)

t.test('a request that ends by its deadline after a restart burns as well', async (t) => {
  const life = new Life()
  life.register()
  life.submit()
  life.use(50)
  life.now += 3_600_000
  life.crash()
  life.feed(wake)
  t.equal(life.state.open.length, 0)
  life.crash()
  life.submit()
  t.ok(life.sent!.keys!.counters.from >= limits.countersReserved)
  life.use(50)
})

t.test('no counter is used twice with a key, whatever crashes', async (t) => {
  const seed = 1 + Math.floor(Math.random() * 1e9)
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('submit' as const) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('answer' as const),
        count: fc.integer({ min: 0, max: 6_000 }),
        code: fc.constantFrom<ErrorCode>('OK', 'DEVICE_SILENT', 'DEVICE_ASSOCIATION_REFUSED'),
        isKnown: fc.boolean(),
        ahead: fc.option(fc.integer({ min: 0, max: 40_000 }), { nil: undefined }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('crash' as const),
        count: fc.integer({ min: 0, max: 6_000 }),
        stored: fc.integer({ min: 0, max: 60 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('register' as const),
        fill: fc.integer({ min: 0, max: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('replace' as const),
        fill: fc.integer({ min: 10, max: 200 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('wait' as const),
        ms: fc.integer({ min: 1, max: 400_000 }),
      }),
    },
  )
  let madeCount = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const life = new Life()
      life.register()
      const fills = new Set<number>()
      for (const one of steps) {
        switch (one.do) {
          case 'submit':
            life.submit()
            break
          case 'answer': {
            if (life.sent === undefined) break
            const end = life.use(one.count)
            life.carryOut()
            const expected = one.ahead === undefined ? undefined : end + one.ahead
            life.answer(one.code, one.isKnown ? end : undefined, expected)
            break
          }
          case 'crash':
            if (life.sent !== undefined) life.use(one.count)
            life.crash(one.stored)
            break
          case 'register':
            life.register(securedRecord(device, one.fill === 0 ? suite0Keys : otherKeys(one.fill)))
            break
          case 'replace':
            // New keys are random: never the same ones twice.
            if (fills.has(one.fill)) break
            fills.add(one.fill)
            madeCount++
            life.replace(one.fill)
            break
          case 'wait':
            life.now += one.ms
            life.feed(wake)
        }
      }
    }),
    { numRuns: 400, seed },
  )
  t.ok(madeCount > 20, `${madeCount} replacements, seed ${seed}`)
})

t.test('the counter that a device expects is believed up to a limit', async (t) => {
  const life = new Life()
  life.register()
  life.submit()
  life.answer('DEVICE_ASSOCIATION_REFUSED', life.use(1), 70_000)
  t.equal(life.sent!.keys!.counters.from, 70_000, 'tried again at once')
  life.answer('DEVICE_ASSOCIATION_REFUSED', life.use(1), 70_001 + limits.counterJumpMax + 1)
  t.same(alarms(life), ['KEYS_COUNTER_AHEAD'])
  t.equal(current(life).next, 70_001)
})

t.test('near its end a counter raises an alarm, at its end requests are refused', async (t) => {
  const life = new Life()
  life.register()
  current(life).next = current(life).reservedTo = countersEnd - limits.invocationCountersLeftMin
  life.submit()
  t.same(alarms(life), ['KEYS_COUNTER_NEAR_END'])
  life.answer('OK', life.use(1))
  current(life).next = current(life).reservedTo = countersEnd - limits.countersReserved
  life.submit()
  t.equal(life.sent, undefined)
  const ended = life.ledger.at(-1)!
  t.equal(ended.type === 'REQUEST_ENDED' && errorCodeOf(ended.outcome), 'DLMS_COUNTER_EXHAUSTED')
  life.replace(9)
  t.equal(life.sent!.type, 'SEND_KEY_STEP', 'what is left is for new keys')
  life.settle()
  t.equal(life.mark, markOf(9))
  life.submit()
  t.equal(life.sent!.keys!.counters.from, 7, 'which begin again')
})

t.test('an exhausted set is skipped, and the new keys are asked about', async (t) => {
  const life = new Life()
  life.register()
  life.replace(9)
  life.use(1)
  life.carryOut()
  current(life).next = current(life).reservedTo = countersEnd
  life.answer('DEVICE_SILENT', countersEnd)
  life.answer('DEVICE_SILENT', life.use(1))
  life.now += 1
  life.feed(wake)
  life.settle()
  t.notOk(isInDoubt(life.state.keyring))
  t.equal(keyMarkOf(current(life).sealedKeys), life.mark)
})

// ── registrations ──

t.test(
  'the same keys keep their counters, also sealed under another key-encryption key',
  async (t) => {
    const life = new Life()
    life.register()
    life.submit()
    life.answer('OK', life.use(50))
    const facts = life.ledger.length
    life.register()
    t.equal(life.ledger.length, facts, 'nothing has changed')
    const later = new SealingVault(() => [kekOf(2)])
    const { type, address } = securedRecord(device)
    life.register({ type, address, sealedKeys: later.seal(device, suite0Keys) })
    t.equal(current(life).next, 50)
    life.register({ type, address: { ...address, port: 4_060 } })
    t.equal(current(life).next, 50, 'without keys those that it has stay')
    t.equal(life.state.record!.address.port, 4_060)
  },
)

t.test('other keys begin again, earlier ones where they were', async (t) => {
  const life = new Life()
  life.register()
  life.submit()
  life.answer('OK', life.use(50))
  life.register(securedRecord(device, otherKeys(3)))
  t.equal(current(life).next, 0)
  life.register()
  t.equal(current(life).next, limits.countersReserved)
  for (let fill = 20; fill < 20 + 2 * limits.keysRememberedMax; fill += 2)
    life.register(securedRecord(device, otherKeys(fill)))
  life.register()
  t.equal(current(life).next, limits.countersReserved, 'forgotten ones are above all forgotten')
})

t.test('what was heard under keys before counts when they come back', async (t) => {
  for (const isStored of [false, true]) {
    const life = new Life()
    life.register()
    life.submit()
    const { number, counters } = life.sent!.keys!
    const { originator, counter } = life.state.sent!
    const used = { number, from: counters.from, next: life.use(5), received: 90 }
    const [outcome, bodyBytes] = [errorId('OK'), Buffer.alloc(0)]
    life.feed({ type: 'ANSWERED', originator, counter, outcome, bodyBytes, counters: used })
    life.register(securedRecord(device, otherKeys(3)))
    t.match(current(life), { received: -1, pushFloor: -1 }, 'other keys begin at nothing')
    life.crash(isStored ? life.ledger.length : 0)
    life.register()
    t.match(current(life), { received: 90, pushFloor: 90 }, 'what was recorded earlier is a replay')
    t.notOk(isFreshPush(current(life), 90))
    t.ok(isFreshPush(current(life), 91))
  }
})

t.test('what needs keys and has none is refused; without a suite they go', async (t) => {
  const { type, address } = securedRecord(device)
  const life = new Life()
  t.equal(life.register({ type, address }), 'DEVICE_RECORD_MALFORMED')
  life.register()
  life.register(plainRecord)
  t.equal(life.state.keyring!.current, undefined)
  life.submit()
  t.equal(life.sent!.keys, undefined)
  const secret = vault.seal(device, { secret: new Secret(Buffer.from('12345678')) })
  const low = new Life()
  low.register({ ...plainRecord, sealedKeys: secret })
  low.submit()
  t.same(low.sent!.keys, {
    number: 1,
    sealedKeys: secret,
    counters: { from: 0, to: 0, received: -1 },
  })
  t.equal(factCount(low, 'COUNTERS_RESERVED'), 0)
  // As it cannot be registered any more, but may stand in an old ledger.
  low.state.record = { type, address }
  low.state.keyring = undefined
  low.submit()
  low.answer('OK', 0)
  const ended = low.ledger.at(-1)!
  t.equal(ended.type === 'REQUEST_ENDED' && errorCodeOf(ended.outcome), 'DLMS_KEY_UNKNOWN')
})

t.test('keys sealed again take the place of the same ones only', async (t) => {
  const life = new Life()
  life.register()
  const before = current(life).sealedKeys
  const sealedKeys = new SealingVault(() => [kekOf(2)]).seal(device, suite0Keys)
  const again = { type: 'KEYS_SEALED', number: 1, sealedKeys } as const
  life.feed({ ...again, before: sealedKeys })
  t.same(current(life).sealedKeys, before, 'they were others meanwhile')
  life.feed({ ...again, before })
  t.same(current(life).sealedKeys, sealedKeys)
  life.crash()
  t.same(current(life).sealedKeys, sealedKeys, 'from the ledger, which needs no old key for that')
})

// ── replacement ──

t.test('new keys: written, transferred, proved; requests wait meanwhile', async (t) => {
  const life = new Life()
  life.register()
  life.replace(9)
  t.equal(factCount(life, 'KEYS_PENDING'), 1, 'before anything is sent')
  life.submit()
  t.equal(life.sent!.type, 'SEND_KEY_STEP')
  t.equal(life.register(securedRecord(device, otherKeys(3))), 'KEYS_REPLACEMENT_UNDERWAY')
  t.equal(life.register(plainRecord), 'KEYS_REPLACEMENT_UNDERWAY')
  t.equal(life.ask(Kind.KEYS_REPLACEMENT), 'REQUEST_ACCEPTED', 'asked for twice')
  life.settle()
  t.equal(life.mark, markOf(9))
  t.equal(keyMarkOf(current(life).sealedKeys), life.mark)
  t.equal(life.state.open.length, 0, 'the request has gone under the new keys')
  t.equal(life.register(), 'REQUEST_ACCEPTED')
  t.same(alarms(life), ['KEYS_SUPERSEDED'])
  t.equal(keyMarkOf(current(life).sealedKeys), life.mark, 'an old inventory changes nothing')
  life.crash(3)
  t.equal(keyMarkOf(current(life).sealedKeys), life.mark)
})

t.test('devices whose keys cannot be replaced say so', async (t) => {
  const life = new Life()
  t.equal(life.ask(Kind.KEYS_REPLACEMENT), 'DEVICE_UNKNOWN')
  life.register(plainRecord)
  t.equal(life.ask(Kind.KEYS_REPLACEMENT), 'KEYS_REPLACEMENT_UNFIT')
  life.register()
  const { type, address } = securedRecord(device)
  const security = { ...address.security!, mechanism: 7, protection: 0 }
  life.register({ type, address: { ...address, security } })
  t.equal(life.ask(Kind.KEYS_REPLACEMENT), 'KEYS_REPLACEMENT_UNFIT', 'a signature proves no key')
  life.register()
  const sealedKeys = vault.seal(device, otherKeys(9))
  life.feed({ type: 'KEYS_MADE', number: 7, sealedKeys, replyTo: undefined })
  t.equal(codeOf(life.effects), 'KEYS_REPLACEMENT_UNFIT', 'made for keys that it has no more')
})

t.test(
  'a meter that says no keeps its keys, and the new ones are tried first next time',
  async (t) => {
    const life = new Life()
    life.register()
    life.replace(9)
    life.answer('DEVICE_REFUSED', life.use(1))
    life.answer('DEVICE_ASSOCIATION_REFUSED', life.use(1))
    life.answer('OK', life.use(1))
    t.same(alarms(life), ['KEYS_REPLACEMENT_REFUSED'])
    t.notOk(isInDoubt(life.state.keyring))
    life.submit()
    t.equal(life.sent!.type, 'SEND', 'requests go on')
    life.answer('OK', life.use(1))
    life.crash()
    life.submit()
    life.answer('OK', life.use(1))
    const master = otherKeys(50).unicast
    const corrected = securedRecord(device, { ...suite0Keys, master })
    t.equal(life.register(corrected), 'REQUEST_ACCEPTED')
    const made = { type: 'KEYS_MADE', number: current(life).number, replyTo: undefined } as const
    const facts = life.ledger.length
    life.feed({ ...made, sealedKeys: vault.seal(device, otherKeys(60)) })
    t.equal(life.ledger.length, facts, 'others do not take their place')
    life.replace(9)
    t.equal(life.sent!.type === 'SEND_KEY_STEP' && life.sent!.step.stage, 'PROVE_NEW')
    life.settle()
    t.equal(life.mark, markOf(9))
    t.equal(keyMarkOf(current(life).sealedKeys), life.mark)
  },
)

t.test('a meter that loses every transfer: offered so often, then left', async (t) => {
  const life = new Life()
  life.register()
  life.replace(9)
  for (let turn = 0; isInDoubt(life.state.keyring) && turn < 100; turn++) {
    if (life.sent === undefined) {
      life.now = nextWakeMs(life.state, life.now)
      life.feed(wake)
      continue
    }
    const end = life.use(1)
    const isOwn = life.carryOut(false)
    const isTransfer = life.sent.type === 'SEND_KEY_STEP' && life.sent.step.stage === 'TRANSFER'
    life.answer(isTransfer ? 'DEVICE_SILENT' : isOwn ? 'OK' : 'DEVICE_ASSOCIATION_REFUSED', end)
  }
  t.equal(life.state.keyring!.replacement!.transfers, limits.keyTransfersMax)
  t.equal(life.state.keyring!.replacement!.stage, 'RESTING')
})

/**
 * The steps up to `stepIndex` go well; that one is cut short as `how` says; then everything is well
 * again.
 */
function cutAt(
  stepIndex: number,
  how: { isApplied: boolean; isCrash: boolean; isHeard: boolean },
): Life {
  const life = new Life()
  life.register()
  life.replace(9)
  life.submit()
  for (let index = 0; life.sent !== undefined && index < stepIndex; index++) {
    const end = life.use(7)
    life.answer(life.carryOut() ? 'OK' : 'DEVICE_ASSOCIATION_REFUSED', end)
  }
  if (life.sent !== undefined) {
    const end = life.use(7)
    if (how.isHeard) life.carryOut(how.isApplied)
    if (!how.isCrash) life.answer(how.isHeard ? 'DEVICE_SILENT' : 'DEVICE_UNREACHABLE', end)
  }
  if (how.isCrash) life.crash()
  life.settle()
  return life
}

t.test('whatever is cut short at any step, the meter is never locked out', async (t) => {
  const check = (t: Test, life: Life, what: string): void => {
    t.notOk(isInDoubt(life.state.keyring), `${what}: settled`)
    t.equal(keyMarkOf(current(life).sealedKeys), life.mark, `${what}: the right keys`)
    t.equal(life.state.open.length, 0, `${what}: the request is carried out`)
  }
  for (let stepIndex = 0; stepIndex < 4; stepIndex++)
    for (const isCrash of [true, false])
      for (const isHeard of [true, false])
        for (const isApplied of [true, false]) {
          const how = { isCrash, isHeard, isApplied }
          check(t, cutAt(stepIndex, how), `step ${stepIndex} ${JSON.stringify(how)}`)
        }
})

t.test('a crash behind every fact, too', async (t) => {
  for (let cut = 0; cut < 12; cut++) {
    const life = new Life()
    life.register()
    life.replace(9)
    life.submit()
    while (life.ledger.length < cut && life.sent !== undefined)
      life.answer(life.carryOut() ? 'OK' : 'DEVICE_ASSOCIATION_REFUSED', life.use(7))
    life.crash(cut)
    life.settle()
    t.notOk(isInDoubt(life.state.keyring))
    t.equal(keyMarkOf(current(life).sealedKeys), life.mark)
  }
})

t.test('a step that is on its way is found after a restart', async (t) => {
  const life = new Life()
  life.register()
  life.replace(9)
  t.ok(storedWakeMs(life.state) > life.now, 'it stands in the index of wakes')
  life.now = nextWakeMs(life.state, life.now) || life.now
  life.answer('DEVICE_SILENT', life.use(1))
  life.answer('DEVICE_UNREACHABLE', life.use(1))
  life.answer('DEVICE_UNREACHABLE', life.use(1))
  t.equal(life.sent, undefined)
  t.ok(nextWakeMs(life.state, life.now) > life.now, 'it is tried again after a while')
  life.now -= 10 * limits.keysRetryMsMax
  life.feed(wake)
  t.ok(life.sent, 'and at once when the clock was set back')
})
