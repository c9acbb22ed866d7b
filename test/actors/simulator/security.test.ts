/**
 * Simulated meters under security suites: associations, counters that outlive them, new keys by
 * transfer and by agreement.
 */
import t, { type Test } from 'tap'
import { makeFault } from '../../../actors/simulator/network/faults.ts'
import {
  clientKeyOctets,
  deviceKeysOf,
  simulatedClientTitle,
} from '../../../actors/simulator/model/meter-keys.ts'
import { Meter } from '../../../actors/simulator/meter.ts'
import { suiteOf } from '../../../actors/simulator/model/population.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { decodeValue, encodeValue, Tag } from '../../../core/dlms/axdr/axdr.ts'
import { DlmsClient } from '../../../core/dlms/client/client.ts'
import {
  ephemeralUnifiedKey,
  InvocationCounter,
  KeyId,
  openEphemeralKey,
  signedEphemeralKey,
  suites,
} from '../../../core/dlms/security/index.ts'
import { PrivateKey, SecretKey, wrapKey } from '../../../core/crypto/crypto.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { managerOf, MeterLine } from '../../support/meter-line.ts'

type SuiteId = 0 | 1 | 2
const seed = 3
const op = (kind: CosemOperation['kind'], text: string, value?: Buffer): CosemOperation => ({
  kind,
  descriptor: Buffer.from(text.replaceAll(' ', ''), 'hex'),
  ...(value && { value }),
})
const name = op('get', '0001 00002a0000ff 02')
const told = op('get', '0001 00002b0100ff 02')
const setup = '0040 00002b0000ff'

/** One meter of a suite behind its connection, and a client with keys. */
class Trial {
  readonly meter: Meter
  readonly line: MeterLine
  readonly counter = new InvocationCounter(1)
  keys: DeviceKeys

  constructor(suiteId: SuiteId) {
    const securityShares: [number, number, number] = [0, 0, 0]
    securityShares[suiteId] = 1
    const population = {
      seed,
      gasShare: 0,
      gasProxyShare: 0,
      solarShare: 0,
      secretShare: 1,
      securityShares,
    }
    const clock = new SimClock(Date.UTC(2026, 5, 1))
    this.meter = new Meter({ population, clock }, 6)
    this.keys = deviceKeysOf(clientKeyOctets(seed, this.meter.seed, suiteId), suiteId)
    this.line = new MeterLine([this.meter])
  }

  client(port: number): DlmsClient {
    return port === 16 ? new DlmsClient() : managerOf(this.meter, this.counter, this.keys)
  }

  /** A whole exchange on a client of its own; undefined when no answer comes. */
  ask(operations: CosemOperation[], port = 1): CosemResult[] | undefined {
    return this.on(this.client(port), operations, port)
  }

  on(client: DlmsClient, operations: CosemOperation[], port = 1): CosemResult[] | undefined {
    return this.line.exchange(client, operations, port)
  }
}

const nameOf = (results: CosemResult[] | undefined): string =>
  Buffer.from(results![0]!.value!).subarray(2).toString('latin1')
const uint32 = (results: CosemResult[] | undefined): number =>
  Buffer.from(results![0]!.value!).readUInt32BE(1)

const transfer = (keys: DeviceKeys, fresh: [KeyId, SecretKey][]): CosemOperation =>
  op(
    'action',
    `${setup} 02`,
    encodeValue({
      tag: Tag.ARRAY,
      elements: fresh.map(([id, key]) => ({
        tag: Tag.STRUCTURE,
        elements: [
          { tag: Tag.ENUM, value: id },
          { tag: Tag.OCTET_STRING, value: wrapKey(keys.master!, key) },
        ],
      })),
    }),
  )

const refusedWith = (t: Test, act: () => unknown, what: string): void => {
  try {
    act()
    t.fail(what)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    t.pass(`${what}: ${error.code}`)
  }
}

for (const suiteId of [0, 1, 2] as const) {
  t.test(
    `suite ${suiteId}: reads, counts on, and tells the public client where it stands`,
    async (t) => {
      const trial = new Trial(suiteId)
      t.equal(suiteOf(trial.meter.model.population, trial.meter.seed), suiteId)
      t.equal(uint32(trial.ask([told], 16)), 0, 'never heard')
      t.equal(nameOf(trial.ask([name])), 'BSBE000000000007')
      const last = uint32(trial.ask([told], 16))
      t.ok(last >= 3, `AARQ, proof, request: ${last}`)
      t.equal(nameOf(trial.ask([name])), 'BSBE000000000007', 'a further association goes on')
      t.equal(trial.ask([name], 16)?.[0]?.result, 0)
      t.equal(trial.ask([op('get', `${setup} 03`)], 16)?.[0]?.result, 3, 'no more for the public')
      const [suite, client, server, policy] = trial
        .ask([3, 4, 5, 2].map((attribute) => op('get', `${setup} 0${attribute}`)))!
        .map(({ value }) => decodeValue(Buffer.from(value!)))
      t.match(suite, { value: suiteId })
      t.match(client, { value: simulatedClientTitle })
      t.match(server, { value: trial.meter.security!.title })
      t.match(policy, { value: 0b0110_1100 }, 'authenticated and encrypted both ways')
      // An old counter: as if this client had been restored from a backup.
      const old = new Trial(suiteId)
      old.ask([name])
      Object.assign(old, { counter: new InvocationCounter(1) })
      refusedWith(t, () => old.ask([name]), 'an old counter')
    },
  )

  t.test(`suite ${suiteId}: keys transferred hold from the next association on`, async (t) => {
    const trial = new Trial(suiteId)
    const { keyBytes } = suites[suiteId]
    const fresh = SecretKey.random(seededRandom(5), keyBytes)
    const client = trial.client(1)
    const wrong: DeviceKeys = { ...trial.keys, master: SecretKey.random(seededRandom(6), keyBytes) }
    t.equal(trial.on(client, [transfer(wrong, [[KeyId.GLOBAL_UNICAST, fresh]])])![0]!.result, 3)
    t.equal(trial.meter.security!.replacements, 0)
    t.equal(
      trial.on(client, [transfer(trial.keys, [[KeyId.GLOBAL_UNICAST, fresh]])])![0]!.result,
      0,
    )
    t.equal(nameOf(trial.on(client, [name])), 'BSBE000000000007', 'this one goes on as it was')
    refusedWith(t, () => trial.ask([name]), 'the old key')
    trial.keys = { ...trial.keys, unicast: fresh }
    Object.assign(trial, { counter: new InvocationCounter(0) })
    t.equal(nameOf(trial.ask([name])), 'BSBE000000000007', 'the new one, counted from the start')
    t.ok(trial.line.counts.refused > 0 || trial.line.counts.answers > 0)
  })
}

t.test('an answer about new keys that is lost: they hold all the same', async (t) => {
  const trial = new Trial(0)
  trial.line.board.set('all', [makeFault('lose-key-answer')])
  const fresh = SecretKey.random(seededRandom(5), 16)
  t.equal(nameOf(trial.ask([name])), 'BSBE000000000007', 'nothing else is lost')
  t.equal(trial.ask([transfer(trial.keys, [[KeyId.AUTHENTICATION, fresh]])]), undefined)
  t.equal(trial.meter.security!.replacements, 1)
  trial.keys = { ...trial.keys, authentication: fresh }
  t.equal(nameOf(trial.ask([name])), 'BSBE000000000007')
})

for (const suiteId of [1, 2] as const) {
  t.test(`suite ${suiteId}: keys agreed`, async (t) => {
    const trial = new Trial(suiteId)
    const suite = suites[suiteId]
    const own = PrivateKey.generate(suite.curve!)
    const agree = (signing: PrivateKey): CosemOperation =>
      op(
        'action',
        `${setup} 03`,
        encodeValue({
          tag: Tag.ARRAY,
          elements: [
            {
              tag: Tag.STRUCTURE,
              elements: [
                { tag: Tag.ENUM, value: KeyId.GLOBAL_UNICAST },
                {
                  tag: Tag.OCTET_STRING,
                  value: signedEphemeralKey(KeyId.GLOBAL_UNICAST, own.publicKey, signing),
                },
              ],
            },
          ],
        }),
      )
    t.equal(trial.ask([agree(own)])![0]!.result, 3, 'not our signature')
    const [answer] = trial.ask([agree(trial.keys.signing!)])!
    t.equal(answer!.result, 0)
    const array = decodeValue(Buffer.from(answer!.value!))
    if (array.tag !== Tag.ARRAY) throw new Error('an array of what was agreed')
    const [agreed] = array.elements
    if (agreed?.tag !== Tag.STRUCTURE) throw new Error('a structure of id and key')
    const [, content] = agreed.elements
    if (content?.tag !== Tag.OCTET_STRING) throw new Error('a signed key')
    const theirs = openEphemeralKey(suite, 0, content.value, trial.keys.peerSigning!)
    const { title } = trial.meter.security!
    const unicast = ephemeralUnifiedKey(suite, 0, own, theirs, {
      client: simulatedClientTitle,
      server: title,
    })
    refusedWith(t, () => trial.ask([name]), 'the old key')
    trial.keys = { ...trial.keys, unicast }
    t.equal(nameOf(trial.ask([name])), 'BSBE000000000007')
  })
}

t.test('meters without security keep no keys and have no such objects', async (t) => {
  const clock = new SimClock(0)
  const population = { seed, gasShare: 0, gasProxyShare: 0, solarShare: 0, secretShare: 0 }
  const meter = new Meter({ population, clock }, 1)
  t.equal(meter.security, undefined)
  t.equal(meter.get(op('get', `${setup} 02`).descriptor as Buffer, undefined), 4)
})
