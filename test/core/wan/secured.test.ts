/**
 * Devices under security suites over every transport: associations that are kept, counters that are counted exactly, keys that change, what
 * is refused; and devices that dial in or push.
 */
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { pushBytes } from '../../../actors/simulator/outgoing.ts'
import { startFleet, type Fleet, type FleetOptions } from '../../../actors/simulator/fleet.ts'
import { deviceKeysOf } from '../../../actors/simulator/meter-keys.ts'
import { makeFault } from '../../../actors/simulator/faults.ts'
import { Lane } from '../../../core/base/lane.ts'
import { eui64Key, formatEui64Key, parseEui64, type Eui64Key } from '../../../core/base/eui64.ts'
import { decodeValue, Tag } from '../../../core/dlms/axdr.ts'
import { encodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { encodeDescriptor } from '../../../core/dlms/descriptor.ts'
import { KeyId } from '../../../core/dlms/security/index.ts'
import { Secret, SecretKey } from '../../../core/ports/crypto.ts'
import type { Metrics } from '../../../core/ports/metrics.ts'
import type {
  CosemOperation,
  DeviceAddress,
  DevicePush,
  ExchangeResult,
  ExchangeSecurity,
  Transport,
} from '../../../core/ports/wan.ts'
import type { WanOptions } from '../../../core/wan/options.ts'
import { SocketWan } from '../../../core/wan/pool.ts'
import { keyMarkOf } from '../../../core/ports/sealed-keys.ts'
import { deviceNamed } from '../../../core/wan/push-names.ts'
import { vault } from '../../support/keys.ts'

const get = (classId: number, instanceId: string, memberId: number): CosemOperation => ({
  kind: 'get',
  descriptor: encodeDescriptor({ classId, instanceId, memberId }),
})
const identity = get(1, '0-0:42.0.0.255', 2)
const profile = get(7, '1-0:99.1.0.255', 2)
const listed = [identity, get(8, '0-0:1.0.0.255', 2), get(3, '1-0:1.8.0.255', 2)]

const suiteIds = [0, 1, 2] as const
type SuiteId = (typeof suiteIds)[number]
const sharesOf = (suite: SuiteId): [number, number, number] => {
  const shares: [number, number, number] = [0, 0, 0]
  shares[suite] = 1
  return shares
}

/** Counters of refusals by code. */
class Counted implements Metrics {
  readonly values = new Map<string, number>()
  counter(name: string, _help: string, labels: Readonly<Record<string, string>> = {}) {
    const key = [name, ...Object.values(labels)].join(' ')
    return { add: (n = 1) => void this.values.set(key, (this.values.get(key) ?? 0) + n) }
  }
  gauge = () => ({ set() {} })
  histogram = () => ({ observe() {} })
  refused(code: string): number {
    return this.values.get(`busbar_wan_apdus_refused_total ${code}`) ?? 0
  }
}

class Trial {
  readonly fleet: Fleet
  readonly wan: SocketWan
  readonly metrics: Counted
  readonly pushes: DevicePush[] = []
  nameEnd = ''
  private readonly told = new Map<number, ExchangeSecurity['counters']>()
  private heard: (() => void) | undefined

  private constructor(fleet: Fleet, options: Partial<WanOptions>) {
    this.fleet = fleet
    this.metrics = new Counted()
    this.wan = new SocketWan({
      responseMs: 5_000,
      sweepMs: 5,
      deadAddressMs: 0,
      keys: vault,
      metrics: this.metrics,
      onPush: (push) => {
        this.pushes.push(push)
        this.heard?.()
      },
      ...options,
    })
  }

  static async start(
    test: Test,
    fleetOptions: Partial<FleetOptions>,
    options: Partial<WanOptions> = {},
  ): Promise<Trial> {
    const fleet = await startFleet({
      meters: 6,
      seed: 5,
      metersPerListener: 3,
      gasShare: 0,
      gasProxyShare: 0,
      secretShare: 0,
      ...fleetOptions,
    })
    const trial = new Trial(fleet, options)
    test.teardown(async () => {
      await trial.wan.close()
      await fleet.close()
    })
    return trial
  }

  deviceOf(index: number): Eui64Key {
    return eui64Key(parseEui64(this.fleet.device(index).eui64)!)
  }

  addressOf(index: number): DeviceAddress {
    const { address } = this.fleet.device(index).record
    return { ...address, host: address.host + this.nameEnd, device: this.deviceOf(index) }
  }

  /** What the ledger would say: counters from where the exchange before has left them. */
  securityOf(index: number, counters?: ExchangeSecurity['counters']): ExchangeSecurity | undefined {
    const { record, keys } = this.fleet.device(index)
    if (keys === undefined) return undefined
    const device = this.deviceOf(index)
    const sealedKeys = vault.seal(device, deviceKeysOf(keys, record.address.security!.suite))
    const told = counters ?? this.told.get(index) ?? { from: 0, to: 10_000, received: -1 }
    return { device, sealedKeys, counters: told }
  }

  async ask(
    index: number,
    operations: readonly CosemOperation[],
    security = this.securityOf(index),
    address = this.addressOf(index),
  ): Promise<ExchangeResult> {
    const result = await this.wan.exchange(address, operations, Lane.NORMAL, security)
    const { counters } = result
    if (counters !== undefined)
      this.told.set(index, { from: counters.next, to: 10_000, received: counters.received })
    return result
  }

  /** The next push, or one that has come already. */
  async push(): Promise<DevicePush> {
    while (this.pushes.length === 0)
      await new Promise<void>((resolve) => {
        this.heard = resolve
      })
    return this.pushes.shift()!
  }
}

function isItself(t: Test, index: number, result: ExchangeResult): void {
  if (!result.ok) return void t.fail(`${index}: ${result.code} ${result.detail}`)
  const { tag, value } = decodeValue(Buffer.from(result.results[0]!.value!)) as {
    tag: number
    value: Uint8Array
  }
  t.equal(tag, Tag.OCTET_STRING)
  t.equal(Buffer.from(value).toString('latin1'), `BSBE${String(index + 1).padStart(12, '0')}`)
}

for (const transport of ['tcp', 'udp', 'hdlc'] as const satisfies Transport[])
  for (const suite of suiteIds)
    t.test(`suite ${suite} over ${transport}`, async (t) => {
      const trial = await Trial.start(t, { transport, securityShares: sharesOf(suite) })
      const { fleet } = trial
      for (let round = 0; round < 3; round++) {
        const results = await Promise.all(
          Array.from({ length: 6 }, (_, index) => trial.ask(index, listed)),
        )
        for (const [index, result] of results.entries()) {
          isItself(t, index, result)
          // 0 was told as the last; then InitiateRequest, the proof and what it stands in, and one service an exchange; none that
          // nobody knows of.
          const { next, received } = result.counters!
          t.equal(next, 5 + round, `round ${round}`)
          t.equal(fleet.meter(index).security!.received, next - 1, 'the last was heard')
          t.ok(received > 0)
        }
      }
      const long = await trial.ask(1, [profile])
      if (!long.ok) return void t.fail(`${long.code} ${long.detail}`)
      t.ok(long.results[0]!.value!.length > 50_000, 'an answer of many blocks')
    })

t.test('each way to protect that a device profile names', async (t) => {
  const curves = ['one-pass-key', 'static-unified-key', 'signed-within', 'signed-around']
  const ways = [
    ...['one-by-one', 'all-lists', 'small-apdus', 'streaming', 'access', 'clear-release'],
    ...['general-ciphering', 'dedicated-key', 'general-dedicated-key', 'dedicated-key+streaming'],
    ...['identified-key', 'wrapped-key', ...curves],
  ]
  for (const suite of suiteIds) {
    const trial = await Trial.start(t, { securityShares: sharesOf(suite) })
    for (const profile of ways) {
      if (suite === 0 && curves.includes(profile)) continue
      const address = { ...trial.addressOf(0), profile }
      for (let round = 0; round < 2; round++) {
        t.comment(`suite ${suite}, ${profile}`)
        isItself(t, 0, await trial.ask(0, listed, trial.securityOf(0), address))
      }
    }
  }
})

t.test('in the clear and with a secret over UDP and HDLC', async (t) => {
  for (const transport of ['udp', 'hdlc'] as const) {
    const trial = await Trial.start(t, { transport, secretShare: 0.5 })
    for (let round = 0; round < 2; round++)
      for (let index = 0; index < 6; index++) isItself(t, index, await trial.ask(index, listed))
  }
})

t.test('a secret is sealed, too', async (t) => {
  const trial = await Trial.start(t, { secretShare: 1 })
  const { secret, ...address } = trial.addressOf(0)
  const device = trial.deviceOf(0)
  const security = {
    device,
    sealedKeys: vault.seal(device, { secret: new Secret(Buffer.from(secret!)) }),
    counters: { from: 0, to: 0, received: -1 },
  }
  const wrong = { ...security, device: trial.deviceOf(1) }
  const refused = await trial.ask(0, listed, wrong, address)
  t.match(refused, { ok: false, code: 'DEVICE_UNREACHABLE', detail: /KEYS_SEALED_UNREADABLE/ })
  isItself(t, 0, await trial.ask(0, listed, security, address))
})

t.test('a meter that was spoken to before tells which counter it was sent', async (t) => {
  const trial = await Trial.start(t, { securityShares: sharesOf(0) })
  const first = await trial.ask(0, listed)
  t.equal(first.counters!.next, 5)
  // Another head-end, which has reserved values from 0 on, and has never heard the meter.
  const anew = { from: 0, to: 100, received: -1 }
  const second = await trial.ask(0, listed, trial.securityOf(0, anew))
  isItself(t, 0, second)
  t.ok(second.counters!.next > 5, 'it went on above')
  // Without room above in what is reserved: the ledger must reserve more first.
  const few = { from: 0, to: 3, received: -1 }
  const third = await trial.ask(0, listed, trial.securityOf(0, few))
  t.match(third, { ok: false, code: 'DEVICE_ASSOCIATION_REFUSED' })
  const { next, expected } = third.counters!
  t.equal(next, 0, 'none was used')
  t.equal(expected, second.counters!.next)
  // Heard before, and yet behind: the meter refuses.
  const behind = { from: 0, to: 100, received: 1 }
  const fourth = await trial.ask(0, listed, trial.securityOf(0, behind))
  t.notOk(fourth.ok)
})

t.test('an association belongs to its keys', async (t) => {
  for (const transport of ['tcp', 'udp', 'hdlc'] as const) {
    const trial = await Trial.start(t, { transport, meters: 2, securityShares: sharesOf(0) })
    isItself(t, 0, await trial.ask(0, listed))
    const old = trial.securityOf(0)!
    const { master } = deviceKeysOf(trial.fleet.device(0).keys!, 0)
    t.ok(master)
    const fresh = new SecretKey(Buffer.alloc(16, 0x77))
    trial.fleet.meter(0).security!.replace(new Map([[KeyId.GLOBAL_UNICAST, fresh]]))
    // The association that is there goes on under the keys that it began with.
    isItself(t, 0, await trial.ask(0, listed, { ...old }))
    const keys = { ...deviceKeysOf(trial.fleet.device(0).keys!, 0), unicast: fresh }
    const sealedKeys = vault.seal(trial.deviceOf(0), keys)
    const counters = { from: 0, to: 100, received: -1 }
    const result = await trial.ask(0, listed, { ...old, sealedKeys, counters })
    isItself(t, 0, result)
    t.equal(result.counters!.next, 5, transport)
    const after = await trial.ask(0, listed, { ...old, counters: { ...old.counters, received: 5 } })
    t.notOk(after.ok, 'the old ones are of no use any more')
  }
})

t.test('what is not right is refused, counted by its code, and told', async (t) => {
  const trial = await Trial.start(t, { securityShares: sharesOf(0) }, { responseMs: 300 })
  const keys = deviceKeysOf(trial.fleet.device(0).keys!, 0)
  const sealed = (change: object): ExchangeSecurity => ({
    ...trial.securityOf(0)!,
    sealedKeys: vault.seal(trial.deviceOf(0), { ...keys, ...change }),
  })
  const wrong = new SecretKey(Buffer.alloc(16, 1))
  t.notOk((await trial.ask(0, listed, sealed({ unicast: wrong }))).ok, 'another unicast key')
  t.notOk((await trial.ask(0, listed, sealed({ authentication: wrong }))).ok)
  const missing = await trial.ask(0, listed, sealed({ unicast: undefined }))
  t.match(missing, { code: 'DEVICE_UNREACHABLE', detail: /DLMS_KEY_UNKNOWN/ })
  const address = { ...trial.addressOf(0), profile: 'no-such' }
  t.match(await trial.wan.exchange(address, listed, Lane.NORMAL, trial.securityOf(0)), {
    code: 'DEVICE_UNREACHABLE',
    detail: /DEVICE_RECORD_MALFORMED/,
  })
  const { security } = trial.addressOf(0)
  const other = Buffer.from(security!.deviceTitle!)
  other[7]! ^= 1
  const titled = { ...trial.addressOf(0), security: { ...security!, deviceTitle: other } }
  const impostor = await trial.ask(0, listed, trial.securityOf(0), titled)
  t.match(impostor, { ok: false, detail: /DLMS_SYSTEM_TITLE_WRONG/ })
  t.equal(trial.metrics.refused('DLMS_SYSTEM_TITLE_WRONG'), 1)
  const none = { from: 5, to: 5, received: 0 }
  const exhausted = await trial.ask(0, listed, trial.securityOf(0, none))
  t.match(exhausted, { code: 'DEVICE_UNREACHABLE', detail: /DLMS_COUNTER_EXHAUSTED/ })
  isItself(
    t,
    0,
    await trial.ask(0, listed, trial.securityOf(0, { from: 50, to: 99, received: -1 })),
  )
})

t.test('what is lost or late under a suite: no counter twice, and it goes on', async (t) => {
  for (const transport of ['tcp', 'udp', 'hdlc'] as const) {
    const trial = await Trial.start(
      t,
      { transport, securityShares: sharesOf(0) },
      { responseMs: 200, exchangeMs: 2_000 },
    )
    isItself(t, 0, await trial.ask(0, listed))
    trial.fleet.setFault(0, makeFault('silent'))
    const used = trial.securityOf(0)!.counters.from
    const lost = await trial.ask(0, listed)
    t.match(lost, { ok: false, code: 'DEVICE_SILENT' }, transport)
    t.ok(lost.counters!.next > used, 'it was sent with one')
    trial.fleet.setFault(0, undefined)
    isItself(t, 0, await trial.ask(0, listed))
    isItself(t, 1, await trial.ask(1, listed))
    trial.fleet.cutConnections()
    isItself(t, 0, await trial.ask(0, listed))
  }
})

t.test('devices that dial in', async (t) => {
  for (const announcement of ['identification', 'data', 'alarm'] as const)
    for (const suite of [undefined, 0] as const) {
      const securityShares: [number, number, number] = suite === undefined ? [0, 0, 0] : sharesOf(0)
      const trial = await Trial.start(t, { transport: 'dial-in', securityShares })
      const port = await trial.wan.listen('127.0.0.1', 0)
      // With an alarm comes an identifier of seventeen characters.
      if (announcement === 'alarm') trial.nameEnd = '0'
      const waiting = trial.ask(0, listed)
      const first = trial.fleet.dialIn(0, { host: '127.0.0.1', port }, announcement)
      const second = trial.fleet.dialIn(1, { host: '127.0.0.1', port }, announcement)
      isItself(t, 0, await waiting)
      isItself(t, 1, await trial.ask(1, listed))
      isItself(t, 0, await trial.ask(0, [identity, ...listed]))
      t.equal(trial.wan.counts.connections, 2)
      if (announcement === 'alarm') t.same((await trial.push()).alarmBytes, Buffer.of(0, 0, 0, 1))
      if (announcement === 'data') {
        const devices = [await trial.push(), await trial.push()].map(({ names }) =>
          deviceNamed(names),
        )
        t.same(new Set(devices), new Set([trial.deviceOf(0), trial.deviceOf(1)]))
      }
      // It comes back on another connection, while the old one seems to be there still.
      const again = trial.fleet.dialIn(0, { host: '127.0.0.1', port }, announcement)
      await once(first, 'close')
      isItself(t, 0, await trial.ask(0, listed))
      second.destroy()
      again.destroy()
    }
})

t.test('the end of the line behind a name may come late', async (t) => {
  const trial = await Trial.start(t, { meters: 1 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const ours = connect(port, '127.0.0.1')
  const theirs = connect(trial.fleet.ports[0]!, '127.0.0.1')
  for (const socket of [ours, theirs]) t.teardown(() => socket.destroy())
  ours.write('EQUIPMENT-7\r')
  while (trial.wan.counts.connections === 0) await new Promise((resolve) => setImmediate(resolve))
  ours.write('\n')
  ours.pipe(theirs).pipe(ours)
  const address = { ...trial.addressOf(0), transport: 'dial-in', host: 'EQUIPMENT-7' } as const
  isItself(t, 0, await trial.ask(0, listed, undefined, address))
})

t.test('a device that does not dial in is waited for, and told of', async (t) => {
  const trial = await Trial.start(t, { transport: 'dial-in' }, { exchangeMs: 50 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const result = await trial.ask(0, listed)
  t.match(result, { code: 'DEVICE_UNREACHABLE', detail: 'the device has not dialled in' })
  t.equal(trial.wan.counts.endpoints, 0, 'nothing is remembered of it')
  const other = new SocketWan({ keys: vault })
  t.teardown(() => other.close())
  await t.rejects(other.listen('127.0.0.1', port), { code: 'DIAL_IN_LISTEN_FAILED' })
})

t.test('no more connections than there may be', async (t) => {
  const trial = await Trial.start(t, { transport: 'dial-in' }, { connectionsMax: 1 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  await once(trial.fleet.dialIn(1, { host: '127.0.0.1', port }), 'close')
  t.equal(trial.metrics.refused('DIAL_IN_FULL'), 1)
  isItself(t, 0, await trial.ask(0, listed))
})

t.test('pushes: on connections of their own, in datagrams, between answers', async (t) => {
  const trial = await Trial.start(t, { secretShare: 0 })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const target = { host: '127.0.0.1', port }
  for (const framing of ['wrapper', 'hdlc', 'bare'] as const)
    for (const kind of ['data', 'event'] as const) {
      await trial.fleet.push(2, target, kind, framing)
      const { apduBytes, names, device } = await trial.push()
      t.equal(apduBytes[0], kind === 'data' ? 0x0f : 0xc2, `${kind} ${framing}`)
      t.equal(device, undefined)
      const known = deviceNamed(names)
      t.equal(known, kind === 'data' ? trial.deviceOf(2) : undefined)
    }
  const datagram = createSocket('udp4')
  t.teardown(() => datagram.close())
  const apdu = encodeApdu({
    type: 'data-notification',
    longInvokeIdAndPriority: 1,
    dateTimeView: Buffer.alloc(0),
    valueView: Buffer.of(
      9,
      16,
      ...Buffer.from(formatEui64Key(trial.deviceOf(4)).replaceAll('-', '')),
    ),
  })
  const header = Buffer.from([0, 1, 0, 1, 0, 102, 0, apdu.length])
  datagram.send(Buffer.concat([header, apdu]), port, '127.0.0.1')
  const push = await trial.push()
  t.match(push.address, { transport: 'udp', logicalDevice: 1, client: 102 })
  t.equal(deviceNamed(push.names), trial.deviceOf(4))
  datagram.send(Buffer.of(0, 9, 9), port, '127.0.0.1')
  while (
    trial.metrics.refused('DLMS_LENGTH_INVALID') + trial.metrics.refused('DLMS_WRAPPER_INVALID') ===
    0
  )
    await new Promise((resolve) => setImmediate(resolve))
  t.pass('rubbish is counted')
})

t.test('rubbish, silence and crowds at the door', async (t) => {
  const trial = await Trial.start(t, { transport: 'dial-in' })
  const port = await trial.wan.listen('127.0.0.1', 0)
  for (const octets of [
    Buffer.of(0xff, 1, 2),
    Buffer.of(0, 7, 0, 0, 0, 0, 0, 9),
    Buffer.alloc(3_000, 0x41),
  ]) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.end(octets)
    await once(socket, 'close')
  }
  t.ok(trial.metrics.refused('DLMS_TAG_UNKNOWN') >= 1)
  t.ok(trial.metrics.refused('DLMS_WRAPPER_INVALID') >= 1)
  t.ok(trial.metrics.refused('DLMS_SIZE_EXCEEDED') >= 1)
  const crowd = Array.from({ length: 40 }, () => connect(port, '127.0.0.1'))
  for (const socket of crowd) socket.on('error', () => undefined)
  await Promise.all(crowd.map((socket) => once(socket, 'connect')))
  trial.fleet.dialIn(3, { host: '127.0.0.1', port })
  isItself(t, 3, await trial.ask(3, listed))
  for (const socket of crowd) socket.destroy()
})

t.test('a ciphered push on an association is opened, and its counter told', async (t) => {
  const trial = await Trial.start(t, { transport: 'dial-in', securityShares: [1, 0, 0] })
  const port = await trial.wan.listen('127.0.0.1', 0)
  const socket = trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  const octets = pushBytes(trial.fleet.meter(0))
  socket.write(octets)
  const { apduBytes, protection, counter, device } = await trial.push()
  t.equal(apduBytes[0], 0x0f)
  t.equal(device, trial.deviceOf(0))
  t.equal(protection, 0x30)
  const { sealedKeys, counters } = trial.securityOf(0)!
  t.equal(counter?.mark, keyMarkOf(sealedKeys))
  t.ok(counter!.value > counters.received, `${counter!.value} after ${counters.received}`)
  socket.write(octets)
  while (trial.metrics.refused('DLMS_COUNTER_REPLAYED') === 0)
    await new Promise((resolve) => setImmediate(resolve))
  t.equal(trial.pushes.length, 0, 'and once only')
  isItself(t, 0, await trial.ask(0, listed))
})
