/**
 * Signed requests at the device: without a signature nothing is accepted of a party that has to
 * sign, repeats included; the seal goes to the ledger with the acceptance, and to no state.
 */
import t from 'tap'
import { LedgerAudit } from '../../actors/cli/operator/ledger-audit.ts'
import { decide, evolve } from '../../actors/device/actor.ts'
import type { DeviceOutbox } from '../../actors/device/effects.ts'
import { contentHashOf, readFact, writeFact, type DeviceFact } from '../../actors/device/facts.ts'
import { packState } from '../../actors/device/state-codec.ts'
import { emptyState, type DeviceState } from '../../actors/device/state.ts'
import { emptyDirectory, type Directory } from '../../core/access/directory.ts'
import type { MustSign } from '../../core/access/signing.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { sealBytesOf, sealedBodyOf, sealViewOf } from '../../core/envelope/signed-request.ts'
import { untrimmed } from '../../core/ports/snapshot.ts'
import {
  deviceKey,
  envelopeOf,
  registrationOf,
  supplier,
  type Wanted,
} from '../support/envelopes.ts'
import { good, pass, World } from '../support/world.ts'

const now = 1_800_000_000_000
const device = deviceKey(1)

const directoryOf = (mustSign: MustSign | undefined): Directory => ({
  ...emptyDirectory,
  format: 3,
  isInForce: true,
  parties: new Map([
    [supplier, { id: supplier, role: 'IS', name: 'One', ...(mustSign && { mustSign }) }],
  ]),
})

const seal = {
  thumbprint: Buffer.alloc(32, 1),
  signature: Buffer.alloc(64, 2),
  further: Buffer.of(0x20, 1),
}
const text = Buffer.from('\n\u0005Hello', 'latin1')
const unsigned: Wanted = {
  device,
  counter: 1,
  srv: '3.1',
  bodyType: 16,
  body: text,
  deadline: now + 1_000,
}
const signed: Wanted = {
  ...unsigned,
  kind: Kind.SIGNED_REQUEST,
  body: sealedBodyOf(sealBytesOf(seal), text),
}

class Life {
  readonly state: DeviceState = emptyState()
  readonly facts: DeviceFact[] = []

  constructor() {
    this.feed(registrationOf(device), directoryOf(undefined))
  }

  /** The code of the answer. */
  feed(buffer: Buffer, directory: Directory): string | undefined {
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    decide(this.state, { type: 'ARRIVED', buffer, at: 0, replyTo: undefined }, now, directory, out)
    for (const fact of out.facts) evolve(this.state, fact)
    this.facts.push(...out.facts)
    const answer = out.effects.find((effect) => effect.type === 'ACKNOWLEDGE')
    return answer && errorCodeOf(answer.outcome)
  }
}

t.test('what has to be signed is refused without a signature, repeats too', async (t) => {
  for (const mustSign of [['all'], ['3.1']]) {
    const life = new Life()
    const before = life.facts.length
    const demanded = directoryOf(mustSign)
    t.equal(life.feed(envelopeOf(unsigned), demanded), 'REQUEST_SIGNATURE_MISSING')
    t.equal(life.facts.length, before, 'nothing has happened')
    t.equal(life.feed(envelopeOf(signed), demanded), 'REQUEST_ACCEPTED')
    t.equal(life.feed(envelopeOf(unsigned), demanded), 'REQUEST_SIGNATURE_MISSING', 'a repeat')
    t.equal(life.feed(envelopeOf(signed), demanded), 'REQUEST_ACCEPTED', 'a signed repeat')
    t.equal(life.feed(envelopeOf(unsigned), directoryOf(undefined)), 'REQUEST_ACCEPTED')
    t.equal(life.facts.length, before + 1, 'accepted once')
  }
  const life = new Life()
  const critical = directoryOf(['critical'])
  t.equal(life.feed(envelopeOf(unsigned), critical), 'REQUEST_ACCEPTED', '3.1 is not critical')
  const clock = envelopeOf({ ...unsigned, srv: '6.11', counter: 2 })
  t.equal(life.feed(clock, critical), 'REQUEST_SIGNATURE_MISSING', '6.11 is')
  const notInForce = { ...directoryOf(['all']), isInForce: false }
  t.equal(life.feed(envelopeOf({ ...unsigned, counter: 3 }), notInForce), 'REQUEST_ACCEPTED')
})

t.test('the acceptance has the seal, the state has not; the content is the same', async (t) => {
  t.equal(contentHashOf(envelopeOf(signed), 0), contentHashOf(envelopeOf(unsigned), 0))
  const other = { ...signed, body: sealedBodyOf(sealBytesOf(seal), Buffer.from('\n\u0005Hallo')) }
  t.not(contentHashOf(envelopeOf(other), 0), contentHashOf(envelopeOf(unsigned), 0))
  const [life, plain] = [new Life(), new Life()]
  t.equal(life.feed(envelopeOf(signed), directoryOf(['all'])), 'REQUEST_ACCEPTED')
  plain.feed(envelopeOf(unsigned), directoryOf(undefined))
  t.same(packState(life.state), packState(plain.state))
  const fact = life.facts.at(-1)!
  const frame = new FrameWriter()
  writeFact(frame, device, fact)
  const written = frame.take()
  t.same(sealViewOf(written, 0), sealBytesOf(seal))
  t.same(readFact(written, 0), fact)
  t.match(fact, { type: 'REQUEST_ACCEPTED', request: { bodyBytes: text } })
  const unsignedFrame = new FrameWriter()
  writeFact(unsignedFrame, device, plain.facts.at(-1)!)
  t.equal(written.length - unsignedFrame.take().length, 2 + 97 + 2, 'octets that it costs')
  const reused = { ...signed, body: sealedBodyOf(sealBytesOf(seal), Buffer.alloc(5)) }
  t.equal(life.feed(envelopeOf(reused), directoryOf(['all'])), 'REQUEST_COUNTER_REUSED')
})

t.test('in a host: it is carried out, replayed, and the ledger is whole', async (t) => {
  const world = new World({ onExchange: good, directory: directoryOf(['all']) })
  await world.start()
  await world.register(1)
  const at = deviceKey(0)
  const envelope = envelopeOf({ ...signed, device: at, deadline: 2 ** 45, correlation: 5 })
  t.equal((await world.ask([envelope]))?.get(5), 'REQUEST_ACCEPTED')
  const auditOf = () => {
    const audit = new LedgerAudit(untrimmed)
    for (const message of world.ledger.all()) audit.read(message)
    return audit.result()
  }
  await pass(world, () => auditOf().ended === 1)
  t.match(auditOf(), { faults: [], accepted: 1, ended: 1, open: 0 })
  world.kill()
  world.stores.clear()
  await world.start()
  t.equal((await world.ask([envelope]))?.get(5), 'REQUEST_ACCEPTED', 'known after a replay')
  t.match(auditOf(), { faults: [], accepted: 1, ended: 1, open: 0 })
})
