/**
 * A host with devices that have keys, on simulated twins: exchanges under them, their replacement,
 * and sealing again after a rotation.
 */
import t from 'tap'
import { readFact, type DeviceFact } from '../../actors/device/facts.ts'
import { registerDevices } from '../../actors/broker/registration.ts'
import { deviceEntryOf, type DeviceEntry } from '../../core/inventory/device-record.ts'
import { decodeValue, type AxdrValue } from '../../core/dlms/index.ts'
import { Lane } from '../../core/base/lane.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { Secret, unwrapKey } from '../../core/crypto/crypto.ts'
import { SealingVault } from '../../core/crypto/key-vault-sealing.ts'
import { kekNameOf } from '../../core/crypto/sealed-keys.ts'
import { deviceKey, envelopeOf, plainRecord, registrationOf } from '../support/envelopes.ts'
import { kekOf, securedRecord, suite0Keys, vault } from '../support/keys.ts'
import { good, numberOf, partitionCount, pass, text, World } from '../support/world.ts'

const device = deviceKey(1)

function factsOf(world: World): DeviceFact[] {
  const facts: DeviceFact[] = []
  for (const { subject, data } of world.ledger.all()) {
    if (!subject.startsWith('log.')) continue
    const onPartition = (_: number, frame: Buffer): void =>
      forEachEnvelope(frame, chainLinkBytes, (at) => void facts.push(readFact(frame, at)))
    readTickMessage(data, onPartition, undefined)
  }
  return facts
}
const typesOf = (world: World): string[] => factsOf(world).map(({ type }) => type)

t.test(
  'counters are on the ledger before they go out, and come back with the answer',
  async (t) => {
    const world = new World({ keys: vault })
    await world.start()
    await world.ask([registrationOf(device, securedRecord(device), 1)])
    await world.submit({ device, counter: 1 })
    const { security } = world.exchanges[0]!
    t.same(security!.device, device)
    t.same(security!.counters, { from: 0, to: 16_384, received: -1 })
    t.ok(typesOf(world).includes('COUNTERS_RESERVED'))
    const results = [{ value: text, result: 0 }]
    world.exchanges[0]!.answer({ ok: true, results, counters: { next: 5, received: 3 } })
    await pass(world, () => world.deliveries().length > 0)
    world.kill()
    await world.start()
    await world.submit({ device, counter: 2 })
    t.same(world.exchanges[0]!.security!.counters, { from: 5, to: 16_384, received: 3 })
    t.equal(typesOf(world).filter((type) => type === 'COUNTERS_RESERVED').length, 1)
  },
)

t.test('new keys reach the device wrapped under its master key, and are proved', async (t) => {
  const world = new World({ keys: vault })
  await world.start()
  await world.ask([registrationOf(device, securedRecord(device), 1)])
  const asked = { kind: Kind.KEYS_REPLACEMENT, device, correlation: 1 }
  t.equal((await world.ask([envelopeOf(asked)]))?.get(1), 'REQUEST_ACCEPTED')
  const [transfer] = world.exchanges
  t.equal(transfer!.lane, Lane.NORMAL)
  t.equal(transfer!.command.cosem![0]!.kind, 'action')
  const keys = elementsOf(decodeValue(Buffer.from(transfer!.command.cosem![0]!.value!)))
  t.same(
    keys.map((one) => (elementsOf(one)[0] as { value: number }).value),
    [0, 1, 2],
  )
  const pending = factsOf(world).find(({ type }) => type === 'KEYS_PENDING')
  const sealed = pending?.type === 'KEYS_PENDING' ? pending.sealedKeys : Buffer.alloc(0)
  const opened = vault.open(device, sealed)
  const wrapped = (elementsOf(keys[0]!)[1] as { value: Buffer }).value
  t.ok(unwrapKey(suite0Keys.master!, wrapped)!.equals(opened.unicast!))
  t.notOk(opened.unicast!.equals(suite0Keys.unicast!))
  t.ok(opened.master!.equals(suite0Keys.master!), 'the rest of the set stays')
  good(transfer!)
  await pass(world, () => world.exchanges.length > 1)
  t.same(world.exchanges[1]!.security!.sealedKeys, sealed)
  t.equal(world.exchanges[1]!.command.cosem![0]!.kind, 'get')
  good(world.exchanges[1]!)
  await pass(world, () => typesOf(world).includes('KEYS_PROVED'))
  await world.submit({ device, counter: 1 })
  t.same(world.exchanges[2]!.security!.sealedKeys, sealed)
})

t.test('keys that rest are tried again, with what else the device has now', async (t) => {
  const world = new World({ keys: vault })
  await world.start()
  await world.ask([registrationOf(device, securedRecord(device), 1)])
  const replace = (): Promise<unknown> =>
    world.ask([envelopeOf({ kind: Kind.KEYS_REPLACEMENT, device, correlation: 1 })])
  await replace()
  world.exchanges[0]!.answer({ ok: true, results: [{ result: 3 }] })
  await pass(world, () => world.exchanges.length > 1)
  world.exchanges[1]!.answer({ ok: false, code: 'DEVICE_ASSOCIATION_REFUSED', detail: '' })
  await pass(world, () => world.exchanges.length > 2)
  good(world.exchanges[2]!)
  const stages = (): string[] => factsOf(world).map((f) => (f.type === 'KEYS_TRIED' ? f.stage : ''))
  await pass(world, () => stages().includes('RESTING'))
  const master = kekOf(7)
  await world.ask([registrationOf(device, securedRecord(device, { ...suite0Keys, master }), 1)])
  await replace()
  const [first, second] = factsOf(world).flatMap((f) =>
    f.type === 'KEYS_PENDING' ? [vault.open(device, f.sealedKeys)] : [],
  )
  t.ok(first!.unicast!.equals(second!.unicast!))
  t.ok(second!.master!.equals(master))
  t.same(
    world.exchanges.at(-1)!.command.cosem![0]!.kind,
    'get',
    'the new ones are asked about before anything else',
  )
})

const elementsOf = (value: AxdrValue): AxdrValue[] => ('elements' in value ? value.elements : [])

t.test('without a master key, or a vault that opens them, keys are not replaced', async (t) => {
  const world = new World({ keys: vault })
  await world.start()
  const { unicast, authentication } = suite0Keys
  const without = securedRecord(device, { unicast: unicast!, authentication: authentication! })
  const foreign = deviceKey(2)
  const elsewhere = new SealingVault(() => [kekOf(9)]).seal(foreign, suite0Keys)
  await world.ask([
    registrationOf(device, without, 1),
    registrationOf(foreign, { ...securedRecord(foreign), sealedKeys: elsewhere }, 2),
  ])
  const asked = (target: typeof device, correlation: number): Buffer =>
    envelopeOf({ kind: Kind.KEYS_REPLACEMENT, device: target, correlation })
  const codes = await world.ask([asked(device, 1), asked(foreign, 2)])
  t.equal(codes?.get(1), 'KEYS_REPLACEMENT_UNFIT')
  t.equal(codes?.get(2), 'KEYS_SEALED_UNREADABLE')
})

t.test(
  'after a rotation every device is sealed again, and the status counts what is not',
  async (t) => {
    let keks = [kekOf(1)]
    const rotating = new SealingVault(() => keks)
    const world = new World({ keys: rotating })
    const host = await world.start()
    const secured = Array.from({ length: 5 }, (_, index) => deviceKey(10 + index))
    await world.ask(secured.map((one, index) => registrationOf(one, securedRecord(one), index)))
    const counts = (): { keyed: number; older: number } => {
      const sum = { keyed: 0, older: 0 }
      for (const { keys } of host.status().partitions) {
        sum.keyed += keys.keyed
        sum.older += keys.older
      }
      return sum
    }
    const under = (): Set<string> => new Set(host.status().partitions.map((one) => one.keys.under))
    t.same([...under()], [''], 'not gone through yet')
    await pass(world, () => counts().keyed === 5 && !under().has(''))
    t.same(counts(), { keyed: 5, older: 0 })
    t.same([...under()], [rotating.currentName()])
    keks = [kekOf(2), kekOf(1)]
    const sealed = (): DeviceFact[] => factsOf(world).filter((f) => f.type === 'DEVICE_KEYS_SEALED')
    await pass(world, () => sealed().length === 5)
    for (const fact of sealed())
      t.equal(
        fact.type === 'DEVICE_KEYS_SEALED' && kekNameOf(fact.sealedKeys),
        rotating.currentName(),
      )
    t.same(counts(), { keyed: 5, older: 5 }, 'as they were found')
    await pass(world, () => counts().older === 0)
    t.same([...under()], [rotating.currentName()])
    t.same(counts(), { keyed: 5, older: 0 })
    t.equal(sealed().length, 5, 'each once')
    keks = [kekOf(2)]
    world.kill()
    world.stores.clear()
    await world.start()
    await world.submit({ device: secured[0]! })
    const { sealedKeys } = world.exchanges.at(-1)!.security!
    t.ok(rotating.open(secured[0]!, sealedKeys), 'replayed and opened without the old key')
  },
)

t.test('keys under a key-encryption key that is gone are counted', async (t) => {
  const world = new World({ keys: new SealingVault(() => [kekOf(2)]) })
  const host = await world.start()
  await world.ask([registrationOf(device, securedRecord(device), 1)])
  const { keys } = host.status().partitions.find(({ number }) => number === numberOf(device))!
  t.equal(keys.keyed, 0, 'nobody has looked yet')
  await pass(world, () => host.status().partitions.some((one) => one.keys.unreadable === 1))
  t.pass('found')
})

t.test(
  'the door seals keys and secrets, and refuses them without a key-encryption key',
  async (t) => {
    const world = new World({ keys: vault })
    await world.start()
    const { bus, clock } = world
    const directory = {
      partitionCount,
      ownerOf: () => 'a',
      changed: () => Promise.resolve(),
    } as unknown as Parameters<typeof registerDevices>[1]['directory']
    const hex = (key: Secret): string => key.copyOfOctets().toString('hex')
    const address = { ...plainRecord.address, security: { suite: 0, mechanism: 5, protection: 48 } }
    const json = {
      eui64: '00-DB-00-00-00-00-00-01',
      type: 'ESME',
      address: {
        ...address,
        secret: '3132333435363738',
        security: { ...address.security, clientTitle: '4d4d4d0000000001' },
      },
      keys: { unicast: hex(suite0Keys.unicast!), master: hex(suite0Keys.master!) },
    }
    const entry = deviceEntryOf(json) as DeviceEntry
    const low = { ...entry, key: deviceKey(2), record: plainRecord }
    const without = await registerDevices([entry, low], {
      bus,
      clock,
      directory,
      keys: new SealingVault(() => []),
    })
    t.same(without, {
      registered: 0,
      refused: [
        { index: 0, eui64: '00-DB-00-00-00-00-00-01', code: 'KEYS_ENCRYPTION_KEY_MISSING' },
        { index: 1, eui64: '00-DB-00-00-00-00-00-02', code: 'KEYS_ENCRYPTION_KEY_MISSING' },
      ],
    })
    const registering = registerDevices([entry], { bus, clock, directory, keys: vault })
    await pass(world, () => typesOf(world).includes('DEVICE_REGISTERED'))
    t.equal((await registering).registered, 1)
    await world.submit({ device: entry.key, counter: 1 })
    const { address: reached, security } = world.exchanges[0]!
    t.equal(reached.secret, undefined)
    const opened = vault.open(entry.key, security!.sealedKeys)
    t.ok(opened.secret!.equals(new Secret(Buffer.from('12345678'))))
    t.ok(opened.unicast!.equals(suite0Keys.unicast!))
    for (const { data } of world.ledger.all()) {
      t.notOk(data.includes('12345678'))
      t.notOk(data.includes(suite0Keys.unicast!.copyOfOctets()))
    }
    t.notMatch(JSON.stringify(entry), hex(suite0Keys.unicast!))
  },
)
