/**
 * Unsolicited messages of devices, from the process with their connections to the ledger, on
 * simulated twins: opened, believed or refused by name, delivered once.
 */
import { emptyDirectory } from '../../core/access/directory.ts'
import { deviceKind } from '../../actors/device/device-kind.ts'
import t, { type Test } from 'tap'
import { decide, evolve, park } from '../../actors/device/actor.ts'
import type { DeviceOutbox } from '../../actors/device/effects.ts'
import { readFact, type DeviceFact } from '../../actors/device/facts.ts'
import { isFreshPush } from '../../actors/device/keyring.ts'
import { emptyState } from '../../actors/device/state.ts'
import { packState, unpackState } from '../../actors/device/state-codec.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import { encodePush } from '../../core/envelope/device-push.ts'
import { readBodyView, readKind, readTarget } from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { encodeApdu } from '../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag } from '../../core/dlms/axdr/axdr.ts'
import {
  GeneralKey,
  InvocationCounter,
  SecurityChannel,
  Shape,
  suites,
  type ProtectionChoice,
} from '../../core/dlms/security/index.ts'
import type { DeviceKeys } from '../../core/crypto/key-vault.ts'
import { silentLog } from '../../core/ports/log.ts'
import type { Metrics } from '../../core/ports/metrics.ts'
import { keyMarkOf } from '../../core/crypto/sealed-keys.ts'
import { seededRandom } from '../../core/ports/random.ts'
import type { DevicePush } from '../../core/ports/wan.ts'
import { PushSender } from '../../core/wan/pushes/push-sender.ts'
import { throughLedger } from '../support/actor-trial.ts'
import {
  deviceKey,
  envelopeOf,
  plainRecord,
  registrationOf,
  supplier,
} from '../support/envelopes.ts'
import { otherKeys, securedRecord, suite0Keys, vault } from '../support/keys.ts'
import { clientTitle, meterTitle } from '../support/security.ts'
import { pass, partitionCount, settle, World, type WorldOptions } from '../support/world.ts'

const device = deviceKey(1)
const other = deviceKey(2)
const anotherParty = deviceKey(77)
const both = 0x30

/** The meter's side: what it sends, under its keys. */
class Pushing {
  private readonly channel: SecurityChannel
  constructor(keys: DeviceKeys = suite0Keys, next = 1, title: Buffer = meterTitle) {
    this.channel = new SecurityChannel({
      role: 'server',
      suite: suites[0],
      ownTitle: title,
      peerTitle: clientTitle,
      keys,
      counters: { unicast: new InvocationCounter(next), broadcast: new InvocationCounter(next) },
    })
  }
  apdu(value: number, choice: Partial<ProtectionChoice> = {}): Buffer {
    return this.ciphered(notification(value), choice)
  }
  ciphered(content: Buffer, choice: Partial<ProtectionChoice> = {}): Buffer {
    return this.channel.protect(content, {
      shape: Shape.GENERAL_GLOBAL,
      protection: both,
      ...choice,
    })
  }
}

const notification = (value: number): Buffer =>
  encodeApdu({
    type: 'data-notification',
    longInvokeIdAndPriority: 1,
    dateTimeView: Buffer.alloc(0),
    valueView: encodeValue({ tag: Tag.DOUBLE_LONG_UNSIGNED, value }),
  })

const pushOf = (apduBytes: Buffer, from: Partial<DevicePush> = {}): DevicePush => ({
  device,
  address: { host: '127.0.0.1', port: 1, logicalDevice: 1, client: 1 },
  names: [],
  apduBytes,
  protection: 0,
  ...from,
})

const secured: DeviceRecord = { ...securedRecord(device), alertsTo: [supplier] }
const plain: DeviceRecord = { ...plainRecord, alertsTo: [supplier, anotherParty] }

class Trial {
  readonly world: World
  readonly counted = new Map<string, number>()
  owner: string | undefined = 'a'
  repliesToLose = 0
  readonly sender: PushSender

  constructor(options: WorldOptions = {}) {
    this.world = new World({ keys: vault, ...options })
    const counter: Metrics['counter'] = (name, _help, labels) => ({
      add: () => {
        const key = labels?.['outcome'] ?? name
        this.counted.set(key, (this.counted.get(key) ?? 0) + 1)
      },
    })
    const { bus, clock } = this.world
    this.sender = new PushSender({
      bus: {
        serve: (...args) => bus.serve(...args),
        listen: (...args) => bus.listen(...args),
        announce: (...args) => bus.announce(...args),
        request: async (...args) => {
          const reply = await bus.request(...args)
          if (this.repliesToLose-- > 0) throw new BrokerError('BROKER_PARTITION_UNAVAILABLE')
          return reply
        },
      },
      clock,
      random: seededRandom(1),
      log: silentLog,
      directory: {
        partitionCount,
        ownerOf: () => this.owner,
        changed: () => Promise.resolve(),
      },
      metrics: { counter, gauge() {}, gauges() {}, histogram: () => ({ observe() {} }) },
      deviceCalled: (name) => (name === 'kitchen' ? other : undefined),
    })
  }

  static async start(record: DeviceRecord, isOnlyOne = true): Promise<Trial> {
    const trial = new Trial()
    await trial.world.start()
    await trial.world.ask([registrationOf(device, record, 1)])
    if (!isOnlyOne) await trial.world.ask([registrationOf(other, record, 1)])
    return trial
  }

  count(code: ErrorCode): number {
    return this.counted.get(code) ?? 0
  }

  get endedCount(): number {
    return [...this.counted.values()].reduce((sum, one) => sum + one, 0)
  }

  /** Sends them, and settles with what became of them when all is known. */
  async push(...pushes: DevicePush[]): Promise<Record<string, number>> {
    const before = new Map(this.counted)
    const expected = this.endedCount + pushes.length
    for (const push of pushes) this.sender.send(push)
    for (let turn = 0; turn < 10 && this.endedCount < expected; turn++) await settle()
    await pass(this.world, () => this.endedCount >= expected)
    const rise = Array.from(this.counted, ([code, count]) => [
      code,
      count - (before.get(code) ?? 0),
    ])
    return Object.fromEntries(rise.filter(([, count]) => count !== 0)) as Record<string, number>
  }

  /**
   * `party: device value` of all alerts in the ledger; the value is the last four octets of the
   * body.
   */
  alerts(): string[] {
    const found: string[] = []
    for (const { subject, data } of this.world.ledger.all()) {
      if (!subject.startsWith('log.')) continue
      readTickMessage(data, undefined, (party, frame) =>
        forEachEnvelope(frame, 0, (at) => {
          if (readKind(frame, at) !== Kind.ALERT) return
          const value = readBodyView(frame, at).subarray(-4).readUInt32BE()
          found.push(`${nameOf(party)}: ${nameOf(readTarget(frame, at))} ${value}`)
        }),
      )
    }
    return found
  }
}

const nameOf = (key: Eui64): string =>
  key === supplier ? 'supplier' : key === anotherParty ? 'another' : textOfEui64(key).slice(-2)

const accepted = (count = 1): Record<string, number> => ({ REQUEST_ACCEPTED: count })

t.test(
  'a secured push reaches its party, once, and what is not as it should be nobody',
  async (t) => {
    const trial = await Trial.start(secured)
    const meter = new Pushing()
    const first = meter.apdu(1)
    t.same(await trial.push(pushOf(first)), accepted())
    t.same(trial.alerts(), ['supplier: 01 1'])
    t.same(await trial.push(pushOf(first)), { DLMS_COUNTER_REPLAYED: 1 })
    const second = meter.apdu(2)
    const forged = Buffer.from(second)
    forged[forged.length - 1]! ^= 1
    t.same(await trial.push(pushOf(forged)), { DLMS_CIPHER_TAG_WRONG: 1 })
    t.same(await trial.push(pushOf(second)), accepted(), 'the genuine one is not lost by that')
    t.same(await trial.push(pushOf(notification(3))), { DLMS_PROTECTION_INSUFFICIENT: 1 })
    const alarm = { alarmBytes: Buffer.of(0, 0, 0, 1) }
    t.same(await trial.push(pushOf(Buffer.alloc(0), alarm)), { DLMS_PROTECTION_INSUFFICIENT: 1 })
    t.same(await trial.push(pushOf(meter.apdu(4, { protection: 0x10 }))), {
      DLMS_PROTECTION_INSUFFICIENT: 1,
    })
    const stranger = new Pushing(suite0Keys, 100, Buffer.from('4d45544552000008', 'hex'))
    t.same(await trial.push(pushOf(stranger.apdu(5))), { DLMS_SYSTEM_TITLE_WRONG: 1 })
    t.same(await trial.push(pushOf(new Pushing(otherKeys(7), 100).apdu(6))), {
      DLMS_CIPHER_TAG_WRONG: 1,
    })
    t.same(
      await trial.push(pushOf(meter.apdu(7, { protection: both | 0x40 }))),
      { DLMS_KEY_UNKNOWN: 1 },
      'the broadcast key is not one device’s',
    )
    const wrapped = { shape: Shape.GENERAL, generalKey: GeneralKey.BROADCAST }
    t.same(await trial.push(pushOf(meter.apdu(8, wrapped))), { DLMS_KEY_UNKNOWN: 1 })
    const shapes = [
      { shape: Shape.GENERAL, generalKey: GeneralKey.UNICAST },
      { shape: Shape.GENERAL_GLOBAL },
    ]
    for (const choice of shapes) t.same(await trial.push(pushOf(meter.apdu(9, choice))), accepted())
    t.same(await trial.push(pushOf(Buffer.of(0xdb, 0))), { DLMS_LENGTH_INVALID: 1 })
    t.same(
      trial.alerts(),
      ['1', '2', '9', '9'].map((value) => `supplier: 01 ${value}`),
    )
  },
)

t.test(
  'several notifications under one counter, and a telegram, reach the party whole',
  async (t) => {
    const trial = await Trial.start(secured)
    const meter = new Pushing()
    const several = Buffer.concat([notification(1), Buffer.from('e6e700', 'hex'), notification(2)])
    const rest = Buffer.from('99887766', 'hex')
    t.same(await trial.push(pushOf(meter.ciphered(Buffer.concat([several, rest])))), accepted())
    t.same(trial.alerts(), ['supplier: 01 1', 'supplier: 01 2'])
    const text = '/ABC5\\Meter\r\n\r\n1-0:1.8.0(000123.4*kWh)\r\n!\r\n'
    t.same(await trial.push(pushOf(meter.ciphered(Buffer.from(text, 'latin1')))), accepted())
    t.equal(trial.alerts().length, 3)
  },
)

t.test('a profile may say that pushes come in the clear', async (t) => {
  const address = { ...secured.address, profile: 'clear-pushes' }
  const trial = await Trial.start({ ...secured, address })
  t.same(await trial.push(pushOf(notification(1)), pushOf(new Pushing().apdu(2))), accepted(2))
  const twice = new Pushing(suite0Keys, 9).apdu(3)
  t.same(await trial.push(pushOf(twice), pushOf(twice)), {
    ...accepted(),
    DLMS_COUNTER_REPLAYED: 1,
  })
  t.equal(trial.alerts().length, 3)
  const unsigned = new Pushing(suite0Keys, 0xffff_fff0).apdu(4, { protection: 0x20 })
  t.same(await trial.push(pushOf(unsigned)), { DLMS_PROTECTION_INSUFFICIENT: 1 })
  t.same(await trial.push(pushOf(new Pushing(suite0Keys, 20).apdu(5))), accepted())
})

t.test('a counter that nobody has signed counts nothing', async (t) => {
  const security = { ...secured.address.security!, protection: 0x20 as const }
  const trial = await Trial.start({ ...secured, address: { ...secured.address, security } })
  const high = new Pushing(suite0Keys, 0xffff_fff0).apdu(1, { protection: 0x20 })
  t.same(await trial.push(pushOf(high)), accepted())
  t.same(
    await trial.push(pushOf(new Pushing(suite0Keys, 5).apdu(2))),
    accepted(),
    'nobody is shut out',
  )
  const mark = keyMarkOf(secured.sealedKeys!)
  const opened = { protection: 0x20, counter: { mark, value: 0xffff_fff1 } }
  t.same(await trial.push(pushOf(notification(3), opened)), accepted())
  t.same(await trial.push(pushOf(new Pushing(suite0Keys, 6).apdu(4))), accepted())
})

t.test('each party gets it; a device that is unknown, or tells nobody, is refused', async (t) => {
  const trial = await Trial.start(plain)
  t.same(await trial.push(pushOf(notification(7))), accepted())
  t.same(trial.alerts().sort(), ['another: 01 7', 'supplier: 01 7'])
  t.same(await trial.push(pushOf(notification(7), { device: other })), { DEVICE_UNKNOWN: 1 })
  t.same(await trial.push(pushOf(new Pushing().apdu(1))), { DLMS_KEY_UNKNOWN: 1 })
  t.same(await trial.push(pushOf(Buffer.of(0xd8, 1, 1))), { DLMS_SERVICE_UNEXPECTED: 1 })
  await trial.world.ask([registrationOf(device, plainRecord, 1)])
  t.same(await trial.push(pushOf(notification(8))), { DEVICE_ALERT_UNADDRESSED: 1 })
  t.equal(trial.alerts().length, 2)
})

t.test('whose it is: what the WAN knows, a name of the file, an EUI-64', async (t) => {
  const trial = await Trial.start({ ...plainRecord, alertsTo: [supplier] }, false)
  const named = (names: string[]): DevicePush =>
    pushOf(notification(1), { device: undefined, names })
  const bare = textOfEui64(device).replaceAll('-', '')
  t.same(await trial.push(named(['x', bare])), accepted())
  t.same(await trial.push(named(['kitchen', bare])), accepted())
  t.same(trial.alerts(), ['supplier: 01 1', 'supplier: 02 1'])
  t.same(await trial.push(named(['127.0.0.1'])), { DEVICE_PUSH_UNATTRIBUTED: 1 })
  t.same(await trial.push(named([])), { DEVICE_PUSH_UNATTRIBUTED: 1 })
  const large = Buffer.alloc(limits.pushBytesMax)
  t.same(await trial.push(pushOf(large)), { DLMS_SIZE_EXCEEDED: 1 })
})

t.test('a device that says too much is cut off for a while', async (t) => {
  const trial = await Trial.start({ ...plainRecord, alertsTo: [supplier] })
  const many = Array.from({ length: limits.deviceAlertsMax + 5 }, (_, i) => pushOf(notification(i)))
  t.same(await trial.push(...many), {
    ...accepted(limits.deviceAlertsMax),
    DEVICE_ALERTS_EXCEEDED: 5,
  })
  t.equal(trial.alerts().length, limits.deviceAlertsMax)
  trial.world.clock.advanceBy(limits.deviceAlertsMs)
  t.same(await trial.push(pushOf(notification(1))), accepted())
})

t.test('what an association has opened counts with the rest', async (t) => {
  const trial = await Trial.start(secured)
  const mark = keyMarkOf(secured.sealedKeys!)
  const opened = (value: number): DevicePush =>
    pushOf(notification(value), { protection: both, counter: { mark, value } })
  const meter = new Pushing(suite0Keys, 5)
  const fifth = meter.apdu(5)
  t.same(await trial.push(opened(6)), accepted())
  t.same(await trial.push(pushOf(fifth)), accepted(), 'overtaken, and no replay')
  t.same(await trial.push(opened(5), opened(6), pushOf(fifth)), { DLMS_COUNTER_REPLAYED: 3 })
  t.same(await trial.push(opened(7)), accepted())
  const formerKeys = { mark: keyMarkOf(vault.seal(device, otherKeys(7))), value: 7 }
  t.same(
    await trial.push(pushOf(notification(8), { protection: both, counter: formerKeys })),
    accepted(),
  )
  t.equal(trial.alerts().length, 4)
})

t.test('keys that are on their way to the device open it, too', async (t) => {
  const trial = await Trial.start(secured)
  const asked = { kind: Kind.KEYS_REPLACEMENT, device, correlation: 1 }
  t.equal((await trial.world.ask([envelopeOf(asked)]))?.get(1), 'REQUEST_ACCEPTED')
  let fresh: Buffer | undefined
  for (const { data, subject } of trial.world.ledger.all())
    if (subject.startsWith('log.'))
      readTickMessage(
        data,
        (_, frame) =>
          forEachEnvelope(frame, chainLinkBytes, (at) => {
            const fact = readFact(frame, at)
            if (fact.type === 'KEYS_PENDING') fresh = fact.sealedKeys
          }),
        undefined,
      )
  const keys = vault.open(device, fresh!)
  t.same(await trial.push(pushOf(new Pushing(keys).apdu(1))), accepted())
  t.same(await trial.push(pushOf(new Pushing().apdu(2))), accepted())
  t.same(await trial.push(pushOf(new Pushing(keys).apdu(3))), { DLMS_COUNTER_REPLAYED: 1 })
  t.same(trial.alerts(), ['supplier: 01 1', 'supplier: 01 2'])
})

t.test('after kill -9 nothing comes twice, and nothing that was accepted is gone', async (t) => {
  const trial = await Trial.start(secured)
  const meter = new Pushing()
  const octets = Array.from({ length: 6 }, (_, i) => meter.apdu(i))
  t.same(await trial.push(...octets.slice(0, 3).map((one) => pushOf(one))), accepted(3))
  trial.world.kill()
  const ended = trial.push(...octets.slice(3).map((one) => pushOf(one)))
  await trial.world.start()
  t.same(await ended, accepted(3), 'those that nobody answered for are sent again')
  const replayed = octets.map((one) => pushOf(one))
  t.same(await trial.push(...replayed), { DLMS_COUNTER_REPLAYED: 6 })
  trial.world.kill()
  await trial.world.start()
  t.same(await trial.push(...replayed), { DLMS_COUNTER_REPLAYED: 6 })
  t.same(
    trial.alerts(),
    [0, 1, 2, 3, 4, 5].map((value) => `supplier: 01 ${value}`),
  )
})

t.test(
  'what wants to be confirmed is confirmed when it is on disk, and known when it is said again',
  async (t) => {
    const trial = await Trial.start({ ...plainRecord, alertsTo: [supplier] })
    const confirmed: number[] = []
    const asking = (value: number): DevicePush =>
      pushOf(notification(value), { confirm: () => void confirmed.push(value) })
    trial.repliesToLose = 1
    t.same(await trial.push(asking(1)), accepted(), 'the answer was lost, and it was sent again')
    t.same(await trial.push(asking(1)), accepted(), 'the confirmation was lost')
    t.same(confirmed, [1, 1])
    t.same(await trial.push(asking(2)), accepted())
    t.same(trial.alerts(), ['supplier: 01 1', 'supplier: 01 2'])
    const stranger = { ...asking(3), device: deviceKey(99) }
    t.same(await trial.push(stranger), { DEVICE_UNKNOWN: 1 })
    t.same(confirmed, [1, 1, 2], 'not what nobody gets')
    trial.world.clock.advanceBy(limits.deviceAlertRepeatMs)
    t.same(await trial.push(asking(2)), accepted())
    t.equal(trial.alerts().length, 3, 'the same octets later on are another event')
  },
)

t.test('what was written, with nobody told, is not delivered again', async (t) => {
  for (const isCiphered of [true, false]) {
    const trial = await Trial.start(isCiphered ? secured : { ...plain, alertsTo: [supplier] })
    trial.repliesToLose = 1
    const push = pushOf(isCiphered ? new Pushing().apdu(1) : notification(1))
    t.match(
      await trial.push(push),
      isCiphered ? accepted() : { DEVICE_PUSH_DROPPED: 1 },
      'sent again where it is known again',
    )
    t.same(trial.alerts(), ['supplier: 01 1'])
  }
})

t.test(
  'what is decided again because nobody knows whether it was written is delivered once',
  async (t) => {
    for (const isCiphered of [true, false]) {
      let isLosing = false
      const trial = new Trial({ onCommit: () => (isLosing ? 'lose-answer' : undefined) })
      await trial.world.start()
      const record = isCiphered ? secured : { ...plain, alertsTo: [supplier] }
      await trial.world.ask([registrationOf(device, record, 1)])
      isLosing = true
      const ended = trial.push(pushOf(isCiphered ? new Pushing().apdu(1) : notification(1)))
      await settle()
      isLosing = false
      t.same(await ended, accepted())
      t.same(trial.alerts(), ['supplier: 01 1'])
    }
  },
)

t.test('no owner, no room: waited for, then dropped', async (t) => {
  const trial = await Trial.start({ ...plainRecord, alertsTo: [supplier] })
  trial.owner = undefined
  const ended = trial.push(pushOf(notification(1)))
  await settle()
  t.equal(trial.endedCount, 0)
  trial.owner = 'a'
  t.same(await ended, accepted())
  trial.owner = 'nobody'
  t.same(await trial.push(pushOf(notification(2))), { DEVICE_PUSH_DROPPED: 1 })
  trial.owner = undefined
  t.same(await trial.push(pushOf(new Pushing().apdu(1))), { DEVICE_PUSH_DROPPED: 1 })
  for (let i = 0; i < limits.pushesWaitingMax; i++) trial.sender.send(pushOf(notification(i)))
  t.equal(trial.count('DEVICE_PUSH_DROPPED'), 2)
  trial.sender.send(pushOf(notification(0)))
  t.equal(trial.count('DEVICE_PUSH_DROPPED'), 3)
  trial.sender.close()
  t.equal(trial.count('DEVICE_PUSH_DROPPED'), 3 + limits.pushesWaitingMax)
  trial.sender.send(pushOf(notification(0)))
  t.equal(trial.count('DEVICE_PUSH_DROPPED'), 4 + limits.pushesWaitingMax)
})

t.test(
  'while the ledger is full nothing is delivered, and what waits for long is dropped',
  async (t) => {
    let isFull = false
    const trial = new Trial({ onCommit: () => (isFull ? { refuse: 'full' } : undefined) })
    await trial.world.start()
    await trial.world.ask([registrationOf(device, secured, 1)])
    const meter = new Pushing()
    isFull = true
    t.same(await trial.push(pushOf(meter.apdu(1))), { DEVICE_PUSH_DROPPED: 1 })
    const ended = trial.push(pushOf(meter.apdu(2)))
    await settle()
    isFull = false
    t.same(await ended, accepted())
    t.same(trial.alerts(), ['supplier: 01 2'])
  },
)

/** The facts through the ledger and the state through the store. */
t.test('facts and states: what is noted of a push stays noted', (t: Test) => {
  const state = emptyState()
  const arrive = (buffer: Buffer): DeviceOutbox => {
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    decide(state, { type: 'ARRIVED', buffer, at: 0, replyTo: undefined }, 5, emptyDirectory, out)
    for (const fact of out.facts) evolve(state, through(fact))
    return out
  }
  arrive(registrationOf(device, secured))
  const body = encodePush(pushOf(notification(1)))
  const [effect] = arrive(envelopeOf({ kind: Kind.DEVICE_PUSH, device, body, time: 3 })).effects
  t.match(effect, { type: 'OPEN_PUSH', receivedAt: 3, keys: [{ number: 1, pushFloor: -1 }] })
  const set = state.keyring!.current!
  for (let counter = 0; counter < 100; counter++) {
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    const opened = { number: set.number, counter: counter * 2 }
    const bodies = [{ bodyBytes: Buffer.of(1), alertCode: 0 }]
    const id = numberKey(counter)
    const message = {
      type: 'PUSH_OPENED',
      id,
      outcome: 0,
      opened,
      receivedAt: 3,
      bodies,
    } as const
    const now = counter * limits.deviceAlertsMs
    decide(state, { ...message, replyTo: undefined }, now, emptyDirectory, out)
    t.match(out.deliveries, [{ party: supplier, receivedAt: 3, time: now }])
    for (const fact of out.facts) evolve(state, through(fact))
    t.notOk(isFreshPush(set, counter * 2))
  }
  t.equal(set.received, 198)
  t.equal(set.pushed.length, limits.pushCountersRememberedMax)
  t.ok(isFreshPush(set, 197), 'not seen, and near')
  t.notOk(isFreshPush(set, 3), 'who remembers')
  const stored = unpackState(packState(state)).keyring!.current!
  t.notOk(isFreshPush(stored, 197))
  t.notOk(isFreshPush(stored, 198))
  t.ok(isFreshPush(stored, 199))
  const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
  const broken = envelopeOf({ kind: Kind.DEVICE_PUSH, device, body: Buffer.of(1) })
  const message = { type: 'ARRIVED', buffer: broken, at: 0, replyTo: undefined } as const
  t.throws(() => decide(state, message, 5, emptyDirectory, out), { code: 'ENVELOPE_MALFORMED' })
  park(state, message, 5, out)
  t.same([out.facts, out.deliveries], [[], []], 'no request is put aside for it')
  t.match(
    out.effects.map((one) => 'outcome' in one && errorCodeOf(one.outcome)),
    ['DEVICE_ACTOR_PARKED'],
  )
  t.end()
})

function numberKey(number: number): RequestCounter {
  const octets = Buffer.alloc(8)
  octets.writeUInt32BE(number, 4)
  return readRequestCounter(octets, 0)
}

/** Through the ledger: what was written is what is read. */
const through = (fact: DeviceFact): DeviceFact => throughLedger(deviceKind, device, fact)
