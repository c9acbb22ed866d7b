/**
 * Devices under security suites over every transport: associations that are kept, counters that are
 * counted exactly, keys that change, what is refused.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { deviceKeysOf } from '../../../actors/simulator/model/meter-keys.ts'
import { makeFault } from '../../../actors/simulator/network/faults.ts'
import { Lane } from '../../../core/base/lane.ts'
import { KeyId } from '../../../core/dlms/security/index.ts'
import { Secret, SecretKey } from '../../../core/crypto/crypto.ts'
import type { ExchangeSecurity, Transport } from '../../../core/ports/wan.ts'
import { vault } from '../../support/keys.ts'
import { FleetTrial, isItself, listed, profile, sharesOf, suiteIds } from './fleet-trial.ts'

for (const transport of ['tcp', 'udp', 'hdlc'] as const satisfies Transport[])
  for (const suite of suiteIds)
    t.test(`suite ${suite} over ${transport}`, async (t) => {
      const trial = await FleetTrial.start(t, { transport, securityShares: sharesOf(suite) })
      const { fleet } = trial
      for (let round = 0; round < 3; round++) {
        const results = await Promise.all(
          Array.from({ length: 6 }, (_, index) => trial.ask(index, listed)),
        )
        for (const [index, result] of results.entries()) {
          isItself(t, index, result)
          // 0 was told as the last; then InitiateRequest, the proof and what it stands in, and one
          // service an exchange; none that nobody knows of.
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
    const trial = await FleetTrial.start(t, { securityShares: sharesOf(suite) })
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
    const trial = await FleetTrial.start(t, { transport, secretShare: 0.5 })
    for (let round = 0; round < 2; round++)
      for (let index = 0; index < 6; index++) isItself(t, index, await trial.ask(index, listed))
  }
})

t.test('a secret is sealed, too', async (t) => {
  const trial = await FleetTrial.start(t, { secretShare: 1 })
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
  const trial = await FleetTrial.start(t, { securityShares: sharesOf(0) })
  const first = await trial.ask(0, listed)
  t.equal(first.counters!.next, 5)
  // Another head-end, which has reserved values from 0 on, and has never heard the meter.
  const again = { from: 0, to: 100, received: -1 }
  const second = await trial.ask(0, listed, trial.securityOf(0, again))
  isItself(t, 0, second)
  t.ok(second.counters!.next > 5, 'it went on above')
  // Without room above in what is reserved: the ledger must reserve more first.
  const few = { from: 0, to: 3, received: -1 }
  const third = await trial.ask(0, listed, trial.securityOf(0, few))
  t.match(third, { ok: false, code: 'DEVICE_ASSOCIATION_REFUSED' })
  const { next, expected } = third.counters!
  t.equal(next, 0, 'none was used')
  t.equal(expected, second.counters!.next)
  // Heard before, and yet behind: the meter refuses, and is asked for its counter.
  const behind = { from: 0, to: 100, received: 1 }
  const fourth = await trial.ask(0, listed, trial.securityOf(0, behind))
  isItself(t, 0, fourth)
  t.ok(fourth.counters!.next > second.counters!.next)
})

t.test('after a restore the counter is read before anything is protected', async (t) => {
  const trial = await FleetTrial.start(t, { securityShares: sharesOf(0) })
  const first = await trial.ask(0, listed)
  const last = first.counters!.next - 1
  const unknown = {
    ...trial.securityOf(0, { from: 2, to: 100, received: 1 })!,
    isCounterUnknown: true,
  }
  const second = await trial.ask(0, listed, unknown)
  isItself(t, 0, second)
  t.match(second.counters, { isRead: true })
  t.equal(trial.fleet.meter(0).security!.received, second.counters!.next - 1)
  t.ok(second.counters!.next > last + 1, 'above what the meter has told')
  t.comment('one that does not tell it, and one whose record names no place for it')
  const received = trial.fleet.meter(1).security!.received
  const other = {
    ...trial.securityOf(1, { from: 2, to: 100, received: 1 })!,
    isCounterUnknown: true,
  }
  for (const change of [{ counter: { obis: '0-0:43.1.9.255' } }, { profile: 'no-counter' }]) {
    const address = { ...trial.addressOf(1), ...change }
    const refused = await trial.ask(1, listed, other, address)
    t.match(refused, { ok: false, cause: { code: 'KEYS_COUNTER_UNKNOWN' }, counters: { next: 2 } })
  }
  t.equal(trial.fleet.meter(1).security!.received, received, 'nothing went out under the keys')
})

t.test('an association belongs to its keys', async (t) => {
  for (const transport of ['tcp', 'udp', 'hdlc'] as const) {
    const trial = await FleetTrial.start(t, { transport, meters: 2, securityShares: sharesOf(0) })
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
  const trial = await FleetTrial.start(t, { securityShares: sharesOf(0) }, { responseMs: 300 })
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
  t.match(await trial.wan.exchange(address, { cosem: listed }, Lane.NORMAL, trial.securityOf(0)), {
    code: 'DEVICE_UNREACHABLE',
    detail: /DEVICE_RECORD_MALFORMED/,
  })
  const { security } = trial.addressOf(0)
  const other = Buffer.from(security!.deviceTitle!)
  other[7]! ^= 1
  const titled = { ...trial.addressOf(0), security: { ...security!, deviceTitle: other } }
  const impostor = await trial.ask(0, listed, trial.securityOf(0), titled)
  t.match(impostor, { ok: false, detail: /DLMS_SYSTEM_TITLE_WRONG/ })
  t.equal(trial.metrics.refused('DLMS_SYSTEM_TITLE_WRONG'), 2, 'on a connection of its own, too')
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
    const trial = await FleetTrial.start(
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

t.test('a notification in the clear is told as that, and is no answer', async (t) => {
  const trial = await FleetTrial.start(t, { meters: 1, securityShares: sharesOf(0) })
  // A data-notification from the meter to its client, in front of each answer.
  const notification = Buffer.of(0, 1, 0, 1, 0, 1, 0, 9, 0x0f, 0, 0, 0, 1, 0, 9, 1, 0x41)
  const server = createServer((near) => {
    const far = connect(trial.fleet.ports[0]!, '127.0.0.1')
    near.pipe(far)
    far.on('data', (octets) => void near.write(Buffer.concat([notification, octets])))
    for (const socket of [near, far]) socket.on('close', () => far.destroy())
    near.on('close', () => server.close())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  // Heard once, so that nothing is asked in the clear any more.
  isItself(t, 0, await trial.ask(0, listed))
  trial.ports.set(trial.fleet.ports[0]!, port)
  isItself(t, 0, await trial.ask(0, listed))
  t.ok(trial.pushes.length > 1)
  for (const { protection, device } of trial.pushes)
    t.match({ protection, device }, { protection: 0, device: trial.deviceOf(0) })
})
