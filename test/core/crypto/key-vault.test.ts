/**
 * Keys at rest: what is sealed opens for its device only, says nothing of itself, and survives a
 * rotation.
 */
import fc from 'fast-check'
import t from 'tap'
import { suites } from '../../../core/dlms/security/index.ts'
import { PrivateKey, Secret, SecretKey } from '../../../core/crypto/crypto.ts'
import { kekNameFor, SealingVault } from '../../../core/crypto/key-vault-sealing.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'
import {
  isSealedKeys,
  kekNameOf,
  keyMarkOf,
  sealedBytesMax,
} from '../../../core/crypto/sealed-keys.ts'
import { deviceKey } from '../../support/envelopes.ts'
import { secretKeys } from '../../support/security.ts'

const [unicast, broadcast, authentication, master] = secretKeys(suites[2])
const [signing, agreement, theirs] = Array.from({ length: 3 }, () => PrivateKey.generate('P-384'))
const whole: DeviceKeys = {
  unicast: unicast!,
  broadcast: broadcast!,
  authentication: authentication!,
  master: master!,
  secret: new Secret(Buffer.from('low-level')),
  signing: signing!,
  agreement: agreement!,
  peerSigning: theirs!.publicKey,
  peerAgreement: theirs!.publicKey,
}
const kekOf = (fill: number): SecretKey => new SecretKey(Buffer.alloc(32, fill))
const device = deviceKey(1)

t.test('what is sealed is opened; the same keys give the same octets', async (t) => {
  const vault = new SealingVault(() => [kekOf(1)])
  const sealed = vault.seal(device, whole)
  t.ok(isSealedKeys(sealed))
  t.ok(sealed.length < sealedBytesMax, `${sealed.length} octets`)
  t.same(vault.seal(device, whole), sealed)
  // Another vault, so that nothing comes from what was remembered.
  const opened = new SealingVault(() => [kekOf(1)]).open(device, sealed)
  for (const name of ['unicast', 'broadcast', 'authentication', 'master', 'secret'] as const)
    t.ok(opened[name]!.equals(whole[name]!), name)
  t.same(opened.signing!.copyOfScalar(), signing!.copyOfScalar())
  t.same(opened.agreement!.publicKey.pointBytes, agreement!.publicKey.pointBytes)
  t.same(opened.peerSigning!.pointBytes, theirs!.publicKey.pointBytes)
  t.equal(vault.open(device, sealed), vault.open(device, sealed), 'opened once')
  t.same(new SealingVault(() => [kekOf(1)]).open(device, vault.seal(device, {})), {})
})

t.test('nothing of the keys is in the sealed octets', async (t) => {
  const sealed = new SealingVault(() => [kekOf(1)]).seal(device, whole)
  for (const key of [unicast, broadcast, authentication, master, whole.secret])
    t.notOk(sealed.includes(key!.copyOfOctets().subarray(0, 4)))
  t.notOk(sealed.includes(signing!.copyOfScalar().subarray(0, 4)))
})

t.test('no copy of a key stays behind when it has been sealed', async (t) => {
  const vault = new SealingVault(() => [kekOf(1)])
  const [signingScalar, agreementScalar] = [signing, agreement].map((key) => key!.copyOfScalar())
  const octets = [unicast, broadcast, authentication, master, whole.secret].map((key) =>
    key!.copyOfOctets(),
  )
  const ofSecrets = t.capture(Secret.prototype, 'copyOfOctets', Secret.prototype.copyOfOctets)
  const ofKeys = t.capture(PrivateKey.prototype, 'copyOfScalar', PrivateKey.prototype.copyOfScalar)
  const joined = t.capture(Buffer, 'concat', Buffer.concat)
  vault.seal(device, whole)
  const copies = [...ofSecrets(), ...ofKeys(), ...joined()].flatMap((call) =>
    'returned' in call ? [call.returned as Buffer] : [],
  )
  t.ok(copies.length > 9, `${copies.length} copies`)
  for (const secret of [...octets, signingScalar!, agreementScalar!])
    t.notOk(copies.some((copy) => copy.includes(secret)))
  t.ok(
    whole.peerSigning!.pointBytes.some((octet) => octet !== 0),
    "a key's own octets stay",
  )
})

t.test('any octet changed, cut short, or for another device: KEYS_SEALED_UNREADABLE', async (t) => {
  const vault = new SealingVault(() => [kekOf(1)])
  const sealed = vault.seal(device, whole)
  const refused = { code: 'KEYS_SEALED_UNREADABLE' }
  t.throws(() => vault.open(deviceKey(2), sealed), refused)
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at]! ^= 1
    t.throws(() => vault.open(device, changed), refused, `octet ${at}`)
    t.throws(() => vault.open(device, sealed.subarray(0, at)), refused, `cut at ${at}`)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      t.throws(() => vault.open(device, octets), refused)
    }),
    { numRuns: 200 },
  )
})

t.test('marks tell the same unicast key, whatever it is sealed with and under', async (t) => {
  const [before, after] = [1, 2].map((fill) => new SealingVault(() => [kekOf(fill)]))
  const mark = (vault: SealingVault, keys: DeviceKeys, of = device): string =>
    keyMarkOf(vault.seal(of, keys))
  t.equal(mark(before!, whole), mark(after!, { unicast: unicast! }))
  t.not(mark(before!, whole), mark(before!, { ...whole, unicast: master! }))
  t.not(mark(before!, whole), mark(before!, whole, deviceKey(2)))
  t.equal(mark(before!, {}), mark(before!, { master: master! }), 'without a unicast key')
})

t.test('rotation: the first seals, all open; one that is gone is named', async (t) => {
  let keks = [kekOf(1)]
  const vault = new SealingVault(() => keks)
  const old = vault.seal(device, whole)
  t.equal(vault.currentName(), kekNameFor(kekOf(1)))
  const reader = new SealingVault(() => keks)
  keks = [kekOf(2), kekOf(1)]
  t.equal(vault.currentName(), kekNameFor(kekOf(2)), 'looked for')
  const renewed = vault.seal(device, vault.open(device, old))
  t.equal(kekNameOf(renewed), kekNameFor(kekOf(2)))
  t.ok(reader.open(device, renewed).unicast!.equals(unicast!), 'one not known yet is looked for')
  keks = [kekOf(2)]
  const late = new SealingVault(() => keks)
  t.throws(() => late.open(device, old), {
    code: 'KEYS_SEALED_UNREADABLE',
    detail: `sealed under the key-encryption key ${kekNameOf(old)}`,
  })
})

t.test('without a key-encryption key nothing is sealed', async (t) => {
  const vault = new SealingVault(() => [])
  t.equal(vault.currentName(), undefined)
  t.throws(() => vault.seal(device, whole), { code: 'KEYS_ENCRYPTION_KEY_MISSING' })
})
