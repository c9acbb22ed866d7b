/**
 * Associations under security suites, both roles against one another: every mechanism, suite,
 * protection and shape; and what is refused.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  Conformance,
  conformanceSupported,
  DataAccessResult,
} from '../../../core/dlms/apdu/constants.ts'
import { decodeApdu, encodeApdu, type ApduOf } from '../../../core/dlms/apdu/codec.ts'
import { DlmsClient, type ClientOptions } from '../../../core/dlms/client/client.ts'
import {
  Mechanism,
  blockCipherProof,
  CounterWindow,
  GeneralKey,
  InvocationCounter,
  Protection,
  Shape,
  type ProtectionChoice,
  type ReceivedProtection,
} from '../../../core/dlms/security/index.ts'
import { DlmsServer, type ServerOptions } from '../../../core/dlms/server/server.ts'
import { SecretKey } from '../../../core/crypto/crypto.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { outcomeOf } from '../../support/dlms.ts'

import {
  both,
  descriptor,
  exchange,
  operations,
  pairOf,
  plainResults,
  type Pair,
} from '../../support/secured-pair.ts'
t.test('every suite, protection and shape', (t) => {
  for (const suiteId of [0, 1, 2] as const)
    for (const protection of [Protection.AUTHENTICATED, Protection.ENCRYPTED, both])
      for (const shape of [
        Shape.GLOBAL,
        Shape.DEDICATED,
        Shape.GENERAL_GLOBAL,
        Shape.GENERAL_DEDICATED,
        Shape.GENERAL,
      ]) {
        const pair = pairOf(suiteId, { shape, protection })
        const what = `suite ${suiteId}, protection ${protection}, shape ${shape}`
        t.same(exchange(pair, operations), plainResults, what)
        t.same(exchange(pair, operations), plainResults, `${what}, kept association`)
        t.same(pair.refused, [])
        const release = pair.client.release()
        t.same(pair.client.receive(pair.server.receive(release)!), { released: true })
      }
  t.end()
})

t.test('an answer has what the policy asks of answers, whatever the question had', (t) => {
  const { GLOBAL, GENERAL_GLOBAL, GENERAL, PLAIN } = Shape
  const cases: [ProtectionChoice, response: number, answered: Partial<ReceivedProtection>][] = [
    [{ shape: GLOBAL, protection: 0x10 }, 0x30, { shape: GLOBAL, protection: 0x30 }],
    [
      { shape: GENERAL_GLOBAL, protection: 0x20 },
      0x10,
      { shape: GENERAL_GLOBAL, protection: 0x30 },
    ],
    [{ shape: GENERAL, protection: 0x30 }, 0x10, { shape: GENERAL, protection: 0x30 }],
    [{ shape: GLOBAL, protection: 0x10 }, 0, { shape: GLOBAL, protection: 0x10 }],
    [{ shape: PLAIN, protection: 0 }, 0x30, { shape: GLOBAL, protection: 0x30 }],
    [{ shape: PLAIN, protection: 0 }, 0, { shape: PLAIN, protection: 0 }],
    [{ shape: GLOBAL, protection: 0x10 }, 0x130, { protection: 0x130, signature: 'around' }],
    [{ shape: PLAIN, protection: 0 }, 0x100, { shape: PLAIN, protection: 0x100 }],
    [
      { shape: GLOBAL, protection: 0x130, signature: 'within' },
      0x110,
      { protection: 0x130, signature: 'within' },
    ],
  ]
  for (const [choice, response, answered] of cases) {
    const pair = pairOf(1, choice)
    const security = { ...pair.serverOptions.security!, policy: { request: 0, response } }
    // Blocks show that the room for more protection than the question had is kept.
    const server = new DlmsServer({ ...pair.serverOptions, security, apduBytesMax: 260 })
    const sizes: number[] = []
    const onWire = (apdu: Buffer): Buffer => (sizes.push(apdu.length), apdu)
    const what = `${JSON.stringify(choice)} under ${response.toString(16)}`
    t.same(exchange({ ...pair, server, onWire }, operations), plainResults, what)
    t.match(pair.client.received, answered, what)
    t.ok(Math.max(...sizes.slice(2)) <= 260, `${what}: at most ${Math.max(...sizes.slice(2))}`)
  }
  t.end()
})

t.test(
  'nothing chosen: a ciphered context without protection, but never with a dedicated key',
  (t) => {
    const choice = { shape: Shape.PLAIN, protection: 0 }
    const pair = pairOf(0, choice)
    const seen: Buffer[] = []
    pair.onWire = (apdu) => (seen.push(Buffer.from(apdu)), apdu)
    t.same(exchange(pair, operations.slice(0, 1)), plainResults.slice(0, 1))
    t.match(decodeApdu(seen[0]!), { userInformation: { type: 'initiate-request' } })
    const { security } = pair.clientOptions
    const dedicatedKey = SecretKey.random(seededRandom(1), 16)
    const careless = new DlmsClient({ security: { ...security!, choice, dedicatedKey } })
    t.throws(() => careless.begin(operations), { code: 'DLMS_PROTECTION_INSUFFICIENT' })
    t.end()
  },
)

t.test('what goes before anything is agreed, and what says that nothing was done', (t) => {
  for (const shape of [Shape.GLOBAL, Shape.GENERAL_GLOBAL, Shape.GENERAL_DEDICATED]) {
    const pair = pairOf(0, { shape, protection: both })
    const seen: Buffer[] = []
    pair.onWire = (apdu) => (seen.push(Buffer.from(apdu)), apdu)
    exchange(pair, operations.slice(0, 1))
    const [aarq, aare] = seen.map((apdu) => decodeApdu(apdu))
    t.match(aarq, { userInformation: { type: 'glo-initiate-request' } }, 'AARQ in its own tag')
    t.match(aare, { userInformation: { type: 'glo-initiate-response' } })
    t.ok(pair.client.negotiated.conformance & Conformance.GENERAL_PROTECTION, 'is proposed')
    const release = decodeApdu(pair.client.release())
    t.match(release, { userInformation: { type: 'glo-initiate-request' } }, 'RLRQ, too')
  }
  const clear = new DlmsClient()
  const proposal = decodeApdu(clear.begin(operations))
  t.match(proposal, { userInformation: { proposedConformance: conformanceSupported } })
  // An exception has no ciphered form of its own: it goes in the clear, as meters send it, and
  // takes no counter.
  const conformance = conformanceSupported & ~Conformance.ACTION
  const pair = pairOf(0, { shape: Shape.GLOBAL, protection: both }, { server: { conformance } })
  const answers: Buffer[] = []
  pair.onWire = (apdu, toServer) => {
    if (!toServer) answers.push(Buffer.from(apdu))
    return apdu
  }
  const refused = { value: undefined, result: DataAccessResult.SCOPE_OF_ACCESS_VIOLATED }
  t.same(exchange(pair, [operations[2]!, operations[0]!]), [refused, plainResults[0]])
  t.equal(answers[1]!.toString('hex'), 'd80102')
  t.end()
})

const initiateRequest = {
  type: 'initiate-request',
  responseAllowed: true,
  proposedDlmsVersionNumber: 6,
  proposedConformance: conformanceSupported,
  clientMaxReceivePduSize: 500,
} as const
/** RLRQ without protection, as several makers' clients send it. */
const clearReleases = [
  encodeApdu({ type: 'rlrq', reason: 0 }),
  encodeApdu({ type: 'rlrq', reason: 0, userInformation: initiateRequest }),
]

/** A pair whose server takes only some RLRQ, associated. */
function pairReleasedBy(releases: 'protected' | 'clear' | undefined): Pair {
  const pair = pairOf(0, { shape: Shape.GLOBAL, protection: both })
  const security = { ...pair.serverOptions.security!, releases }
  const server = new DlmsServer({ ...pair.serverOptions, security })
  exchange(Object.assign(pair, { server }), operations.slice(0, 1))
  return pair
}

t.test('an RLRQ in the clear ends a ciphered association with an RLRE in the clear', (t) => {
  for (const rlrq of clearReleases) {
    const pair = pairReleasedBy(undefined)
    t.equal(pair.server.receive(Buffer.from(rlrq))!.toString('hex'), '6303800100')
    t.notOk(pair.server.isAssociated)
    t.same(pair.refused, [])
  }
  const strict = pairReleasedBy('clear')
  t.equal(strict.server.receive(strict.client.release())![0], 0xd8, 'a meter that wants it so')
  t.ok(strict.server.isAssociated)
  t.equal(strict.server.receive(Buffer.from(clearReleases[0]!))![0], 0x63)
  t.notOk(strict.server.isAssociated)
  t.end()
})

t.test('a proof under the dedicated key is taken, unless the meter wants the global key', (t) => {
  for (const isProofUnderGlobalKey of [false, true])
    for (const proofKey of ['dedicated', 'global'] as const) {
      const pair = pairOf(0, { shape: Shape.DEDICATED, protection: both })
      const mechanism = Mechanism.HIGH_GMAC
      const security = { ...pair.serverOptions.security!, isProofUnderGlobalKey }
      const server = new DlmsServer({ ...pair.serverOptions, mechanism, security })
      const own = { ...pair.clientOptions.security!, proofKey }
      const client = new DlmsClient({ ...pair.clientOptions, mechanism, security: own })
      const ask = () => exchange(Object.assign(pair, { server, client }), operations)
      const name = `${proofKey}, ${isProofUnderGlobalKey}`
      if (isProofUnderGlobalKey && proofKey === 'dedicated') {
        t.throws(ask, { code: 'DLMS_ASSOCIATION_REFUSED' }, name)
        t.same(pair.refused, ['DLMS_PROTECTION_INSUFFICIENT'])
      } else t.same(ask(), plainResults, name)
    }
  t.end()
})

t.test('only who is in a ciphered association ends it, where a device wants it so', (t) => {
  const pair = pairReleasedBy('protected')
  const release = pair.client.release()
  const changed = Buffer.from(release)
  changed[changed.length - 1]! ^= 1
  for (const rlrq of [...clearReleases, changed]) {
    t.equal(pair.server.receive(rlrq)![0], 0xd8, rlrq.toString('hex'))
    t.ok(pair.server.isAssociated)
  }
  const rlre = pair.server.receive(Buffer.from(release))!
  t.match(decodeApdu(rlre), {
    type: 'rlre',
    userInformation: { type: 'glo-initiate-response' },
  })
  t.notOk(pair.server.isAssociated)
  t.same(pair.client.receive(rlre), { released: true })
  // Opened without protection, as the policy lets it, it ends so.
  const open = pairOf(0, { shape: Shape.PLAIN, protection: 0 })
  exchange(open, operations.slice(0, 1))
  t.same(open.client.receive(open.server.receive(open.client.release())!), { released: true })
  exchange(open, operations.slice(0, 1))
  t.equal(
    open.server.receive(encodeApdu({ type: 'rlrq', reason: 0 }))!.toString('hex'),
    '6303800100',
  )
  t.end()
})

t.test('keys that come with the APDU, signatures', (t) => {
  for (const suiteId of [1, 2] as const) {
    for (const generalKey of [GeneralKey.WRAPPED, GeneralKey.ONE_PASS, GeneralKey.STATIC_UNIFIED]) {
      const transactionId = Buffer.from('0102030405060708', 'hex')
      const choice = { shape: Shape.GENERAL, protection: both, generalKey, transactionId } as const
      t.same(exchange(pairOf(suiteId, choice), operations), plainResults, `key ${generalKey}`)
    }
    for (const signature of ['within', 'around'] as const) {
      const choice = {
        shape: Shape.GENERAL,
        protection: both | Protection.SIGNED,
        signature,
        transactionId: Buffer.of(1),
      }
      t.same(exchange(pairOf(suiteId, choice), operations), plainResults, signature)
    }
  }
  t.end()
})

t.test('every mechanism of authentication', (t) => {
  const secret = Buffer.from('Sixteen octets!!')
  for (const mechanism of Object.values(Mechanism)) {
    const needsCurve = mechanism === Mechanism.HIGH_ECDSA
    for (const suiteId of needsCurve ? ([1, 2] as const) : ([0, 1, 2] as const)) {
      const credentials = { mechanism, secret, makerProof: blockCipherProof }
      const pair = pairOf(
        suiteId,
        { shape: Shape.GLOBAL, protection: both },
        { client: credentials, server: credentials },
      )
      const challenges: number[] = []
      pair.onWire = (apdu) => {
        if (apdu[0] === 0x60 || apdu[0] === 0x61) {
          const acse = decodeApdu(apdu) as ApduOf<'aarq'> | ApduOf<'aare'>
          const value =
            acse.type === 'aarq'
              ? acse.callingAuthenticationValue
              : acse.respondingAuthenticationValue
          if (value?.type === 'charstring') challenges.push(value.valueView.length)
        }
        return apdu
      }
      t.same(exchange(pair, operations), plainResults, `mechanism ${mechanism}, suite ${suiteId}`)
      // [Green Book, HLS authentication mechanisms: 8 to 64 octets, 32 to 64 for ECDSA]
      if (mechanism >= Mechanism.HIGH) t.same(challenges, needsCurve ? [32, 32] : [16, 16])
      // The same in the clear: keys only prove who one is.
      const clear = pairOf(
        suiteId,
        { shape: Shape.GLOBAL, protection: both },
        { client: credentials, server: credentials },
      )
      const { security } = clear.clientOptions
      const plain = new DlmsClient({
        ...credentials,
        random: seededRandom(3),
        security: { ...security!, isCiphered: false },
      })
      const server = new DlmsServer({
        ...clear.serverOptions,
        security: {
          ...clear.serverOptions.security!,
          isCipheringNeeded: false,
        },
      })
      t.same(
        exchange({ ...clear, client: plain, server }, operations),
        plainResults,
        'in the clear',
      )
    }
  }
  t.end()
})

t.test('short names under every mechanism', (t) => {
  const secret = Buffer.from('Sixteen octets!!')
  const name = 0x2008
  const shortNames = (): number => name
  const memberOf = (asked: number) =>
    asked === name ? ({ kind: 'attribute', descriptor } as const) : undefined
  for (const mechanism of Object.values(Mechanism)) {
    const credentials = { mechanism, secret, makerProof: blockCipherProof }
    const pair = pairOf(
      mechanism === Mechanism.HIGH_ECDSA ? 1 : 0,
      { shape: Shape.GLOBAL, protection: both },
      { client: { ...credentials, shortNames }, server: { ...credentials, memberOf } },
    )
    const get = operations.slice(0, 1)
    t.same(exchange(pair, get), plainResults.slice(0, 1), `mechanism ${mechanism}`)
  }
  t.end()
})

t.test('a wrong secret, a wrong key, another meter', (t) => {
  const choice = { shape: Shape.GLOBAL, protection: both }
  const wrong = (mechanism: number, more: Partial<ClientOptions>) =>
    outcomeOf(() =>
      exchange(
        pairOf(0, choice, {
          client: {
            mechanism,
            secret: Buffer.from('right'),
            makerProof: blockCipherProof,
            ...more,
          } as ClientOptions,
          server: {
            mechanism,
            secret: Buffer.from('right'),
            makerProof: blockCipherProof,
          } as Partial<ServerOptions>,
        }),
        operations,
      ),
    ).code
  for (const mechanism of [1, 2, 3, 4, 6])
    t.equal(
      wrong(mechanism, { secret: Buffer.from('wrong') }),
      'DLMS_ASSOCIATION_REFUSED',
      `mechanism ${mechanism}`,
    )
  const { security } = pairOf(0, choice).clientOptions
  const otherKeys = { ...security!.keys, authentication: SecretKey.random(seededRandom(99), 16) }
  t.equal(
    wrong(Mechanism.HIGH_GMAC, { security: { ...security!, keys: otherKeys } }),
    'DLMS_ASSOCIATION_REFUSED',
    'another authentication key',
  )
  t.equal(
    wrong(0, { security: { ...security!, peerTitle: Buffer.alloc(8, 9) } }),
    'DLMS_SYSTEM_TITLE_WRONG',
  )
  t.end()
})

t.test('small APDUs: blocks of both kinds under protection', (t) => {
  const blocks =
    Conformance.BLOCK_TRANSFER_WITH_GET |
    Conformance.BLOCK_TRANSFER_WITH_SET |
    Conformance.BLOCK_TRANSFER_WITH_ACTION
  for (const conformance of [conformanceSupported, conformanceSupported & ~blocks])
    for (const shape of [Shape.GLOBAL, Shape.GENERAL_GLOBAL, Shape.GENERAL]) {
      const sizes: number[] = []
      const pair = pairOf(
        0,
        { shape, protection: both },
        { client: { apduBytesMax: 120 }, server: { apduBytesMax: 128, conformance } },
      )
      pair.onWire = (apdu) => (sizes.push(apdu.length), apdu)
      t.same(exchange(pair, operations), plainResults)
      t.ok(
        Math.max(...sizes.slice(2)) <= 128,
        `the largest APDU has ${Math.max(...sizes.slice(2))}`,
      )
    }
  t.end()
})

t.test('counters are never used twice, over associations too', (t) => {
  const seen = new Set<string>()
  const counter = new InvocationCounter(1)
  const windows = new CounterWindow()
  const note = (apdu: Buffer, toServer: boolean): Buffer => {
    // glo-get-request: tag, length, security control, counter.
    if (toServer && apdu[0] === 0xc8) {
      const used = apdu.subarray(3, 7).toString('hex')
      t.notOk(seen.has(used), `counter ${used}`)
      seen.add(used)
    }
    return apdu
  }
  for (let association = 0; association < 3; association++) {
    const pair = pairOf(0, { shape: Shape.GLOBAL, protection: both }, { windows })
    const { security } = pair.clientOptions
    const client = new DlmsClient({ security: { ...security!, counters: { unicast: counter } } })
    const going = { ...pair, client, onWire: note }
    for (let i = 0; i < 3; i++) exchange(going, operations.slice(0, 1))
  }
  t.equal(seen.size, 9)
  t.end()
})

t.test('any octets in a ciphered association: an answer, a step or a named error', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (all) => {
      const pair = pairOf(0, { shape: Shape.GLOBAL, protection: both })
      exchange(pair, operations.slice(0, 1))
      for (const octets of all) {
        pair.server.receive(Buffer.from(octets))
        outcomeOf(() => pair.client.receive(Buffer.from(octets)))
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
  t.end()
})
