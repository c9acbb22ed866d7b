/**
 * The runtime knows kinds of actor, never the device: a second kind lives beside it in the same
 * partitions, under the same eight octets, through crash, replay, store, sleep and wake.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  actorIdOf,
  ActorKindNumber,
  kindOfActor,
  octetsOfActor,
  textOfActor,
} from '../../../core/base/actor-id.ts'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { ActorKinds } from '../../../actors/kind/actor-kind.ts'
import { SnapshotReader, snapshotChunks } from '../../../actors/runtime/recovery/snapshot-codec.ts'
import { deviceKind } from '../../../actors/device/device-kind.ts'
import { deviceKey, envelopeOf } from '../../support/envelopes.ts'
import { hostedTrial, trialKind } from '../../support/trial-kind.ts'
import { numberOf, pass, settle, World } from '../../support/world.ts'

const add = (device: Eui64, counter: number, deadline = 0): Buffer =>
  envelopeOf({ kind: Kind.TRIAL_ADD, device, counter, deadline, correlation: counter })

/** What the store of the trial actor with the octets of `device` has, once it is saved. */
async function stored(world: World, device: Eui64): Promise<unknown> {
  const id = actorIdOf(ActorKindNumber.TRIAL, device)
  world.clock.advanceBy(2_000)
  await settle()
  const packed = world.stores.get(numberOf(device))?.load(id)
  return packed && trialKind.unpackState(packed)
}

t.test('an ActorId is a kind and eight octets; that of a device is its EUI-64', async (t) => {
  const octets = fc
    .uint8Array({ minLength: 8, maxLength: 8 })
    .map((view) => Buffer.from(view).toString('latin1') as Eui64)
  fc.assert(
    fc.property(octets, fc.integer({ min: 0, max: 255 }), (id, kind) => {
      const actor = actorIdOf(kind, id)
      return kindOfActor(actor) === kind && String(octetsOfActor(actor)) === id
    }),
  )
  t.equal<unknown>(actorIdOf(ActorKindNumber.DEVICE, deviceKey(1)), deviceKey(1))
  t.equal(textOfActor(actorIdOf(15, deviceKey(1))), `15/${textOfActor(deviceKey(1))}`)
})

t.test('blocks of envelope kinds belong to one kind of actor each', async (t) => {
  const kinds = new ActorKinds([deviceKind, trialKind])
  t.equal(kinds.ofMessage(Kind.SERVICE_REQUEST)?.name, 'device')
  t.equal(kinds.ofFact(Kind.REQUEST_ENDED)?.name, 'device')
  t.equal(kinds.ofMessage(Kind.TRIAL_ADD)?.name, 'trial')
  t.equal(kinds.ofFact(Kind.TRIAL_ADDED)?.name, 'trial')
  t.equal(kinds.ofFact(Kind.RESPONSE), undefined, 'a delivery is no fact')
  t.throws(
    () => new ActorKinds([deviceKind, { ...trialKind, factKinds: [[60, 70]] }]),
    /belongs to/,
  )
  t.equal(kinds.ofFact(192)?.name, 'device', 'its second block')
})

t.test('two kinds under the same octets, through crash, replay and store', async (t) => {
  const world = new World({ moreKinds: [hostedTrial] })
  await world.start()
  await world.register(2)
  const device = deviceKey(0)
  t.same(
    [...(await world.ask([add(device, 5), add(device, 7)]))!.values()],
    ['REQUEST_ACCEPTED', 'REQUEST_ACCEPTED'],
  )
  t.equal(await world.submit({ device, counter: 1 }), 'REQUEST_ACCEPTED')
  t.match(await stored(world, device), { sum: 12 })
  world.kill()
  await world.start()
  await world.ask([add(device, 3)])
  t.match(await stored(world, device), { sum: 15 }, 'from the store and the ledger')
  world.kill()
  world.stores.clear()
  await world.start()
  await world.ask([add(device, 1)])
  t.match(await stored(world, device), { sum: 16 }, 'from the ledger alone')
  t.equal(await world.submit({ device, counter: 1 }), 'REQUEST_ACCEPTED', 'known by its RequestID')
})

t.test('it is parked, refused and woken as any actor', async (t) => {
  const world = new World({ moreKinds: [hostedTrial], actorsAwakeMax: 1 })
  await world.start()
  await world.register(1)
  const device = deviceKey(0)
  t.same([...(await world.ask([add(device, 13)]))!.values()], ['DEVICE_ACTOR_PARKED'])
  const due = world.clock.now() + 90_000
  await world.ask([add(device, 1, due)])
  world.kill()
  await world.start()
  const wakesOf = async () => ((await stored(world, device)) as { wakes: number }).wakes
  t.equal(await wakesOf(), 0)
  await pass(world, () => world.clock.now() > due + 1_000)
  t.equal(await wakesOf(), 1, 'once, after a restart')
})

t.test('a host without the kind answers by name, and goes on', async (t) => {
  const world = new World()
  await world.start()
  await world.register(1)
  t.same([...(await world.ask([add(deviceKey(0), 1)]))!.values()], ['ENVELOPE_MALFORMED'])
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
})

t.test('a snapshot holds every kind; one of devices alone is as it always was', async (t) => {
  const state = Buffer.from('state')
  const records = [
    { actor: deviceKey(1), state, wakeAtMs: 1_800_000_000_000 },
    { actor: actorIdOf(ActorKindNumber.TRIAL, deviceKey(1)), state, wakeAtMs: 0 },
    { actor: actorIdOf(255, deviceKey(2)), state, wakeAtMs: 2 ** 53 - 1 },
  ]
  const octets = Buffer.concat([...snapshotChunks(records)])
  const found = new SnapshotReader().push(octets)
  t.same(
    found.map((one) => ({ ...one, state: Buffer.from(one.state) })),
    records,
  )
  const before = Buffer.alloc(20 + state.length)
  before.write(deviceKey(1), 0, 'latin1')
  before.writeBigUInt64BE(1_800_000_000_000n, 8)
  before.writeUInt32BE(state.length, 16)
  before.set(state, 20)
  t.same(Buffer.concat([...snapshotChunks(records.slice(0, 1))]), before)
})
