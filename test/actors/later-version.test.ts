/**
 * What a later version of Busbar has written: a process that meets it stops by name, skips nothing,
 * and takes nothing for damaged.
 */
import t from 'tap'
import { BrokerError } from '../../core/base/broker-error.ts'
import { checkEnvelope } from '../../core/envelope/envelope.ts'
import { chainLinkBytes, readChainLink, writeChainLink } from '../../core/envelope/frame.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import { emptyTick, partyFramesOf, readTickMessage } from '../../core/envelope/tick-message.ts'
import { LedgerAudit } from '../../actors/cli/operator/ledger-audit.ts'
import { deviceKey, envelopeOf } from '../support/envelopes.ts'
import { hostedTrial } from '../support/trial-kind.ts'
import { settle, World } from '../support/world.ts'

const laterTick = (): Buffer => {
  const tick = Buffer.from(emptyTick)
  tick.writeUInt16BE(2, 2)
  return tick
}
const later = { code: 'FORMAT_VERSION_LATER' }

t.test('ticks, chain links and envelopes of a later version are told from damage', async (t) => {
  t.throws(() => readTickMessage(laterTick(), undefined, undefined), later)
  t.throws(() => partyFramesOf(laterTick()), later, 'no deliveries would be skipped deliveries')
  const wider = laterTick()
  wider[0] = 0x94
  t.throws(() => partyFramesOf(wider), later, 'with more parts')
  const damaged = Buffer.from(emptyTick)
  damaged.writeUInt16BE(0xff02, 2)
  t.throws(() => readTickMessage(damaged, undefined, undefined), { code: 'FRAME_MALFORMED' })
  t.equal(partyFramesOf(damaged).size, 0)

  const link = Buffer.alloc(chainLinkBytes)
  writeChainLink(link, 0, { partition: 1, frameNumber: 1, previousHash: Buffer.alloc(32) })
  link.writeUInt16BE(2, 2)
  t.throws(() => readChainLink(link), later)

  const envelope = envelopeOf({})
  envelope[offsetOf.kind] = 2
  t.throws(() => checkEnvelope(envelope, 0), later, 'layout')
  const unknown = envelopeOf({})
  const kinds = new Set<number>(Object.values(Kind))
  const unassigned = Array.from({ length: 256 }, (_, number) => number).findLast(
    (number) => number > 0 && !kinds.has(number),
  )
  unknown[offsetOf.kind + 1] = unassigned!
  t.throws(() => checkEnvelope(unknown, 0), later, 'kind')
  envelope[offsetOf.kind] = 99
  t.throws(() => checkEnvelope(envelope, 0), { code: 'ENVELOPE_MALFORMED' })
})

t.test('a host that meets one serves nothing, says why, and goes on once it is gone', async (t) => {
  const world = new World()
  const first = await world.start()
  await world.register(2)
  t.equal(first.trouble, undefined)
  world.kill()
  const { ledger } = world
  await ledger.commit([{ subject: 'log.later', data: laterTick() }])
  const host = await world.start()
  t.strictSame(host.owned, [])
  t.match(host.trouble, /^FORMAT_VERSION_LATER: .*version 2, 1 is known/)
  t.equal(
    (await world.ask([envelopeOf({ device: deviceKey(0) })]))?.get(0),
    'BROKER_PARTITION_UNAVAILABLE',
  )
  const [hidden] = ledger.all().slice(-1)
  await ledger.forget('log.later', hidden!.sequence + 1)
  for (let turn = 0; turn < 20 && host.owned.length === 0; turn++) {
    world.clock.advanceBy(1_000)
    await settle()
  }
  t.ok(host.owned.length > 0, 'no partition was taken for damaged')
  t.equal(host.trouble, undefined)
})

t.test('a fact of a kind of actor that is not known here is one', async (t) => {
  const world = new World({ moreKinds: [hostedTrial] })
  await world.start()
  await world.register(1)
  const device = deviceKey(0)
  await world.ask([envelopeOf({ kind: Kind.TRIAL_ADD, device, counter: 1 })])
  world.kill()
  const earlier = new World()
  for (const { subject, data } of world.ledger.all())
    await earlier.ledger.commit([{ subject, data }])
  const host = await earlier.start()
  t.match(host.trouble, /FORMAT_VERSION_LATER: .*no kind of actor has the fact 248/)
})

t.test('an audit names it', async (t) => {
  const audit = new LedgerAudit({ through: 0, heads: new Map() })
  audit.read({ subject: 'log.a', sequence: 7, data: laterTick() })
  t.match(audit.result().faults, [/sequence 7: FORMAT_VERSION_LATER/])
  t.ok(new BrokerError('FORMAT_VERSION_LATER').message.includes('later version'))
})
