/**
 * Proofs of high level security in both roles, passwords, certificates, key agreement, policies and
 * counters by themselves.
 */
import t from 'tap'
import { errorTable } from '../../../../core/base/error-table.ts'
import { limits } from '../../../../core/base/limits.ts'
import {
  blockCipherProof,
  CounterWindow,
  deriveKey,
  ephemeralUnifiedKey,
  HlsAuthentication,
  holderOf,
  InvocationCounter,
  isPassword,
  KeyId,
  Mechanism,
  noSecurity,
  openEphemeralKey,
  Protection,
  securityPolicyOf,
  securityPolicyValue,
  signedEphemeralKey,
  suites,
  type HlsOptions,
} from '../../../../core/dlms/security/index.ts'
import {
  PrivateKey,
  Secret,
  SecretKey,
  signEcdsa,
  wrapKey,
} from '../../../../core/crypto/crypto.ts'
import { seededRandom, systemRandom } from '../../../../core/ports/random.ts'
import {
  p256Anchor,
  p256Certificate,
  p256Point,
  p384Certificate,
  rsaCertificate,
} from '../../../support/certificates.ts'
import { outcomeOf } from '../../../support/dlms.ts'
import { clientTitle, meterTitle, secretKeys } from '../../../support/security.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const codeOf = (act: () => unknown): string | undefined => outcomeOf(act).code

/** Client's and meter's options of one handshake. */
function handshake(
  mechanism: Mechanism,
  suiteId: 0 | 1 | 2,
  challengeBytes: number,
): { client: HlsOptions; meter: HlsOptions } {
  const suite = suites[suiteId]
  const curve = suite.curve ?? 'P-256'
  const [clientKey, meterKey] = [PrivateKey.generate(curve), PrivateKey.generate(curve)]
  const [unicast, , authentication] = secretKeys(suite)
  const [ctos, stoc] = [systemRandom.bytes(challengeBytes), systemRandom.bytes(challengeBytes)]
  const shared = {
    mechanism,
    suite,
    secret: new Secret(Buffer.from('a secret')),
    makerProof: blockCipherProof,
  }
  return {
    client: {
      ...shared,
      ownTitle: clientTitle,
      peerTitle: meterTitle,
      ownChallenge: ctos,
      peerChallenge: stoc,
      keys: { unicast, authentication, signing: clientKey, peerSigning: meterKey.publicKey },
      counter: new InvocationCounter(5),
      window: new CounterWindow(),
    },
    meter: {
      ...shared,
      ownTitle: meterTitle,
      peerTitle: clientTitle,
      ownChallenge: stoc,
      peerChallenge: ctos,
      keys: { unicast, authentication, signing: meterKey, peerSigning: clientKey.publicKey },
      counter: new InvocationCounter(7),
      window: new CounterWindow(),
    },
  }
}

const handshakes: [mechanism: Mechanism, suite: 0 | 1 | 2, proofBytes: number][] = [
  [Mechanism.HIGH, 0, 16],
  [Mechanism.HIGH_MD5, 0, 16],
  [Mechanism.HIGH_SHA1, 0, 20],
  [Mechanism.HIGH_GMAC, 0, 17],
  [Mechanism.HIGH_GMAC, 1, 17],
  [Mechanism.HIGH_GMAC, 2, 17],
  [Mechanism.HIGH_SHA256, 1, 32],
  [Mechanism.HIGH_ECDSA, 1, 64],
  [Mechanism.HIGH_ECDSA, 2, 96],
]

t.test('each side is content with the other, and with nobody else', async (t) => {
  for (const [mechanism, suite, proofBytes] of handshakes)
    for (const challengeBytes of [8, 16, 64]) {
      const name = `mechanism ${mechanism}, suite ${suite}, ${challengeBytes} octets`
      const options = handshake(mechanism, suite, challengeBytes)
      const client = new HlsAuthentication(options.client)
      const meter = new HlsAuthentication(options.meter)
      const [passed3, passed4] = [client.proof(), meter.proof()]
      if (mechanism !== Mechanism.HIGH) t.equal(passed3.length, proofBytes, name)
      meter.check(passed3)
      client.check(passed4)
      const failed = 'DLMS_AUTHENTICATION_FAILED'
      t.equal(
        codeOf(() => client.check(passed3)),
        failed,
        `${name}: our own proof`,
      )
      for (let at = 0; at < passed4.length; at++) {
        const changed = Buffer.from(passed4)
        changed[at]! ^= 1
        if (codeOf(() => client.check(changed)) !== failed) t.fail(`${name}: octet ${at} changed`)
      }
      for (const wrong of [hex(''), passed4.subarray(1), Buffer.concat([passed4, hex('00')])])
        t.equal(
          codeOf(() => client.check(wrong)),
          failed,
          `${name}: ${wrong.length} octets`,
        )
      // The same secret and keys, but other challenges.
      const later = handshake(mechanism, suite, challengeBytes).client
      const again = new HlsAuthentication({ ...options.client, ownChallenge: later.ownChallenge })
      t.equal(
        codeOf(() => again.check(passed4)),
        failed,
        `${name}: an old proof`,
      )
    }
})

t.test('proofs of GMAC use the counters of the key', async (t) => {
  const { client, meter } = handshake(Mechanism.HIGH_GMAC, 0, 16)
  const ours = new HlsAuthentication(client)
  t.equal(ours.proof().readUInt32BE(1), 5)
  t.equal(ours.proof().readUInt32BE(1), 6, 'never one twice')
  ours.check(new HlsAuthentication(meter).proof())
  t.equal(client.window?.last, 7, 'and what was received is remembered')
  client.window?.remember(99)
  ours.check(new HlsAuthentication(meter).proof())
  t.equal(client.window?.last, 99, 'a proof within a later APDU does not go back')
})

t.test('challenges', async (t) => {
  const { client } = handshake(Mechanism.HIGH_MD5, 0, 16)
  t.equal(
    codeOf(() => new HlsAuthentication({ ...client, peerChallenge: client.ownChallenge })),
    'DLMS_CHALLENGE_REFLECTED',
  )
  for (const bytes of [0, 7, 65])
    t.equal(
      codeOf(() => new HlsAuthentication({ ...client, peerChallenge: Buffer.alloc(bytes, 1) })),
      'DLMS_VALUE_INVALID',
      `${bytes} octets`,
    )
})

t.test('what is missing is named', async (t) => {
  for (const [mechanism, suite] of handshakes) {
    const { client } = handshake(mechanism, suite, 16)
    const { ownChallenge, peerChallenge } = client
    const bare = new HlsAuthentication({
      mechanism,
      suite: suites[suite],
      ownChallenge,
      peerChallenge,
    })
    t.equal(
      codeOf(() => bare.proof()),
      'DLMS_KEY_UNKNOWN',
      `mechanism ${mechanism}`,
    )
    t.equal(
      codeOf(() => bare.check(Buffer.alloc(17))),
      'DLMS_KEY_UNKNOWN',
    )
  }
  const { client } = handshake(Mechanism.LOW, 0, 16)
  t.equal(
    codeOf(() => new HlsAuthentication(client).proof()),
    'DLMS_VALUE_INVALID',
  )
  t.equal(
    codeOf(() => blockCipherProof(new Secret(Buffer.alloc(17)), Buffer.alloc(16))),
    'DLMS_VALUE_INVALID',
  )
})

t.test('passwords', async (t) => {
  const password = new Secret(Buffer.from('12345678'))
  t.ok(isPassword(password, Buffer.from('12345678')))
  for (const wrong of ['12345679', '1234567', '123456789', ''])
    t.notOk(isPassword(password, Buffer.from(wrong)), wrong)
})

t.test('certificates', async (t) => {
  const now = Date.UTC(2027, 0, 1)
  const holder = holderOf(p256Certificate, now, p256Anchor)
  t.same(holder.systemTitle, hex('4d4d4d0000bc614e'))
  t.same(holder.publicKey.pointBytes, p256Point)
  t.equal(holderOf(p384Certificate, now).publicKey.curve, 'P-384')
  const pem = `-----BEGIN CERTIFICATE-----\n${p256Certificate.toString('base64')}\n-----END CERTIFICATE-----\n`
  t.same(holderOf(Buffer.from(pem), now).systemTitle, holder.systemTitle, 'as PEM')
  const refused: [name: string, act: () => unknown][] = [
    ['rubbish', () => holderOf(hex('30030201'), now)],
    ['not yet', () => holderOf(p256Certificate, Date.UTC(2020, 0, 1))],
    ['not any more', () => holderOf(p256Certificate, Date.UTC(2130, 0, 1))],
    ['no time', () => holderOf(p256Certificate, Number.NaN)],
    ['another issuer', () => holderOf(p384Certificate, now, p256Anchor)],
    ['an anchor that may issue nothing', () => holderOf(p256Certificate, now, p384Certificate)],
    ['rubbish for an anchor', () => holderOf(p256Certificate, now, hex('00'))],
    ['another kind of key', () => holderOf(rsaCertificate, now)],
    ['no system title', () => holderOf(p256Anchor, now)],
  ]
  for (const [name, act] of refused) t.equal(codeOf(act), 'DLMS_CERTIFICATE_INVALID', name)
})

t.test('ephemeral unified key agreement', async (t) => {
  const titles = { client: clientTitle, server: meterTitle }
  for (const suite of [suites[1], suites[2]] as const) {
    const [client, meter] = [suite.curve!, suite.curve!].map((curve) => ({
      signing: PrivateKey.generate(curve),
      ephemeral: PrivateKey.generate(curve),
    }))
    for (const keyId of Object.values(KeyId)) {
      const sent = signedEphemeralKey(keyId, client!.ephemeral.publicKey, client!.signing)
      const answered = signedEphemeralKey(
        keyId,
        meter!.ephemeral.publicKey,
        meter!.signing,
        'key-alone',
      )
      const atMeter = openEphemeralKey(suite, keyId, sent, client!.signing.publicKey)
      const atClient = openEphemeralKey(suite, keyId, answered, meter!.signing.publicKey)
      const ours = ephemeralUnifiedKey(suite, keyId, client!.ephemeral, atClient, titles)
      const theirs = ephemeralUnifiedKey(suite, keyId, meter!.ephemeral, atMeter, titles)
      t.ok(ours.equals(theirs), `suite ${suite.id}, key ${keyId}`)
      t.equal(ours.bytes, suite.keyBytes)
      const other = keyId === KeyId.MASTER ? KeyId.GLOBAL_UNICAST : KeyId.MASTER
      t.equal(
        codeOf(() => openEphemeralKey(suite, other, sent, client!.signing.publicKey)),
        'DLMS_SIGNATURE_WRONG',
        'signed for another key',
      )
    }
    const { signing } = client!
    const point = Buffer.alloc(suite.keyBytes === 16 ? 64 : 96, 5)
    const offCurve = Buffer.concat([point, signEcdsa(signing, point)])
    t.equal(
      codeOf(() => openEphemeralKey(suite, 0, offCurve, signing.publicKey)),
      'DLMS_KEY_AGREEMENT_INVALID',
      'signed, but not on the curve',
    )
    t.equal(
      codeOf(() => openEphemeralKey(suite, 0, point, signing.publicKey)),
      'DLMS_LENGTH_INVALID',
    )
    const foreign = PrivateKey.generate(suite.id === 1 ? 'P-384' : 'P-256')
    t.equal(
      codeOf(() => ephemeralUnifiedKey(suite, 0, foreign, foreign.publicKey, titles)),
      'DLMS_KEY_AGREEMENT_INVALID',
      'of the other curve',
    )
  }
  t.equal(
    codeOf(() => openEphemeralKey(suites[0], 0, hex(''), PrivateKey.generate('P-256').publicKey)),
    'DLMS_KEY_AGREEMENT_INVALID',
    'suite 0',
  )
})

t.test('derived keys differ by what they are for, and by suite', async (t) => {
  const z = Buffer.alloc(32, 7)
  const keys = [suites[1], suites[2]].flatMap((suite) =>
    [KeyId.GLOBAL_UNICAST, KeyId.MASTER].map((id) =>
      deriveKey(suite, id, z, clientTitle, meterTitle),
    ),
  )
  t.same(
    keys.map(({ bytes }) => bytes),
    [16, 16, 32, 32],
  )
  t.notOk(keys[0]!.equals(keys[1]!))
  t.notOk(keys[2]!.equals(keys[3]!))
  const random = seededRandom(3)
  const made = SecretKey.random(random, 32)
  t.equal(wrapKey(keys[3]!, made).length, 40, 'a master key of suite 2 wraps keys of suite 2')
})

t.test('security policies of class 64', async (t) => {
  const { AUTHENTICATED: a, ENCRYPTED: e, SIGNED: s } = Protection
  t.same(securityPolicyOf(0, 0), noSecurity)
  t.same(securityPolicyOf(0, 1), { request: a, response: a })
  t.same(securityPolicyOf(0, 2), { request: e, response: e })
  t.same(securityPolicyOf(0, 3), { request: a | e, response: a | e })
  t.same(securityPolicyOf(1, 0x04), { request: a, response: 0 })
  t.same(securityPolicyOf(1, 0x08), { request: e, response: 0 })
  t.same(securityPolicyOf(1, 0x10), { request: s, response: 0 })
  t.same(securityPolicyOf(1, 0xe0), { request: 0, response: a | e | s })
  for (let value = 0; value < 0x100; value += 4)
    t.equal(securityPolicyValue(1, securityPolicyOf(1, value)), value)
  for (let value = 0; value < 4; value++)
    t.equal(securityPolicyValue(0, securityPolicyOf(0, value)), value)
  for (const [version, value] of [
    [0, 4],
    [0, -1],
    [0, 1.5],
    [1, 1],
    [1, 2],
    [1, 0x100],
  ] as const)
    t.equal(
      codeOf(() => securityPolicyOf(version, value)),
      'DLMS_VALUE_INVALID',
      `${version}: ${value}`,
    )
})

t.test('counters for sending', async (t) => {
  const counter = new InvocationCounter(0)
  t.same([counter.take(), counter.take()], [0, 1])
  counter.raiseTo(1000)
  counter.raiseTo(10)
  t.equal(counter.take(), 1000, 'it goes on, never back')
  t.notOk(counter.isNearEnd)
  counter.raiseTo(0xffff_ffff - limits.invocationCountersLeftMin)
  t.notOk(counter.isNearEnd)
  counter.take()
  counter.take()
  t.ok(counter.isNearEnd, 'the alarm')
  counter.raiseTo(0xffff_fffe)
  t.same(
    [counter.take(), counter.left, counter.take(), counter.left],
    [0xffff_fffe, 1, 0xffff_ffff, 0],
  )
  t.equal(
    codeOf(() => counter.take()),
    'DLMS_COUNTER_EXHAUSTED',
  )
  t.equal(errorTable.DLMS_COUNTER_EXHAUSTED.retry, 'never')
})

t.test('counters received', async (t) => {
  const strict = new CounterWindow()
  t.ok(strict.isFresh(0), 'a first counter may be 0')
  strict.remember(0)
  t.same(
    [0, 1, 0xffff_ffff].map((value) => strict.isFresh(value)),
    [false, true, true],
  )
  strict.remember(0xffff_ffff)
  t.same(
    [0, 0xffff_fffe, 0xffff_ffff].map((value) => strict.isFresh(value)),
    [false, false, false],
  )

  const seed = Number(process.env['SEED'] ?? 11)
  const random = seededRandom(seed)
  for (const window of [0, 1, 5, 31]) {
    const windowed = new CounterWindow({ window })
    const seen = new Set<number>()
    let highest = -1
    for (let i = 0; i < 5_000; i++) {
      const value = Math.max(0, highest + Math.floor((random.fraction() - 0.6) * 60))
      const expected = value > highest || (highest - value <= window && !seen.has(value))
      if (windowed.isFresh(value) !== expected) t.fail(`seed ${seed}, window ${window}, step ${i}`)
      if (!expected || random.fraction() < 0.3) continue
      windowed.remember(value)
      seen.add(value)
      highest = Math.max(highest, value)
    }
    t.equal(windowed.last, highest)
  }
  const restored = new CounterWindow({ highest: 50, window: 10 })
  t.same(
    [50, 45, 51].map((value) => restored.isFresh(value)),
    [false, false, true],
    'what came before is not known',
  )
  restored.remember(53)
  t.same(
    [50, 51, 52, 53].map((value) => restored.isFresh(value)),
    [false, true, true, false],
  )
})
