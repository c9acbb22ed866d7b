/**
 * Security against vectors and recorded conversations of other code bases, read in place: each
 * ciphered APDU is opened to its stated plaintext, and made again to the same octets where that can
 * be; each handshake of high level security is checked from both sides.
 */
import t, { type Test } from 'tap'
import {
  blockCipherProof,
  CounterWindow,
  deriveKey,
  GeneralKey,
  HlsAuthentication,
  InvocationCounter,
  KeyId,
  Mechanism,
  openSignedApdu,
  Protection,
  SecurityChannel,
  Shape,
  standardProfile,
  suites,
  type ChannelOptions,
  type SecurityProfile,
} from '../../../../core/dlms/security/index.ts'
import {
  openGcm,
  PrivateKey,
  PublicKey,
  sealGcm,
  Secret,
  SecretKey,
  tagBytes,
  unwrapKey,
  wrapKey,
} from '../../../../core/crypto/crypto.ts'
import { loadExchanges, loadVectors, outcomeOf, type Captured } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const vectors = loadVectors()
const exchanges = loadExchanges()
const absent =
  vectors === undefined || exchanges === undefined
    ? 'SKIPPED: ../shared/dlms is not there, so security is NOT tried against vectors of others'
    : false
if (absent !== false) t.comment(absent)

type Ciphered = {
  id: string
  kind: string
  hex: string
  valid: unknown
  note?: string
  plaintext?: string
  keys?: Record<string, string>
  meaning: { security_control?: { suite: number }; invocation_counter?: number }
}
const ciphered = (vectors ?? []).filter(
  ({ group }) => group === 'ciphered',
) as unknown as Ciphered[]
const crypto = (vectors ?? []).filter(({ group }) => group === 'crypto')
const someTitle = hex('5858580000000099')
const key = (text: string | undefined): SecretKey | undefined =>
  text === undefined ? undefined : new SecretKey(hex(text))
const privateKey = (text: string | undefined): PrivateKey | undefined =>
  text === undefined ? undefined : PrivateKey.of('P-256', hex(text))
const publicKey = (text: string | undefined): PublicKey | undefined =>
  text === undefined ? undefined : PublicKey.of('P-256', hex(text))

/**
 * Sender and receiver of a vector. Its encryption key is the unicast, broadcast and dedicated one.
 */
function ends(
  vector: Ciphered,
  profile: SecurityProfile,
): { sender: SecurityChannel; receiver: SecurityChannel } {
  const { keys = {}, meaning } = vector
  const titles = [keys.originator ?? keys.system_title, keys.recipient]
  const [sent, taken] = titles.map((title) => (title === undefined ? someTitle : hex(title)))
  const counter = new InvocationCounter(meaning.invocation_counter ?? 0)
  const encryption = key(keys.encryption_key)
  const shared = { unicast: encryption, broadcast: encryption }
  const authentication = key(keys.authentication_key)
  const suite = suites[meaning.security_control?.suite ?? (keys.client_sign_priv ? 1 : 0)]!
  const options: Pick<ChannelOptions, 'suite' | 'profile' | 'role'> = {
    suite,
    profile,
    role: 'client',
  }
  const sender = new SecurityChannel({
    ...options,
    ownTitle: sent!,
    peerTitle: taken,
    keys: {
      ...shared,
      authentication,
      signing: privateKey(keys.client_sign_priv),
      agreement: privateKey(keys.client_agree_priv),
      peerAgreement: publicKey(keys.server_agree_pub),
    },
    counters: { unicast: counter, broadcast: counter, session: counter },
  })
  const receiver = new SecurityChannel({
    ...options,
    ownTitle: taken!,
    peerTitle: sent,
    keys: {
      ...shared,
      authentication,
      peerSigning: publicKey(keys.client_sign_pub),
      agreement: privateKey(keys.server_agree_priv),
      peerAgreement: publicKey(keys.client_agree_pub),
    },
    counters: {},
  })
  if (encryption !== undefined) {
    sender.setDedicatedKey(encryption, counter)
    receiver.setDedicatedKey(encryption)
  }
  return { sender, receiver }
}

t.test('ciphered vectors, both ways', { skip: absent }, async (t) => {
  let opened = 0
  let remade = 0
  for (const vector of ciphered) {
    const { id, plaintext, valid, kind } = vector
    const apdu = hex(vector.hex)
    if (vector.keys === undefined) {
      // The keys of these were not published: that they are well formed is all that can
      // be seen.
      const { receiver } = ends(
        { ...vector, keys: { system_title: '00'.repeat(8) } },
        standardProfile,
      )
      t.match(outcomeOf(() => receiver.unprotect(apdu)).code, /KEY_UNKNOWN|SYSTEM_TITLE_WRONG/, id)
      continue
    }
    const deviation = valid === 'bad-tag' || valid === 'producer-specific'
    const { receiver } = ends(vector, standardProfile)
    if (deviation || (valid === false && !vector.note?.startsWith('tag verifies'))) {
      const refusal = outcomeOf(() => receiver.unprotect(apdu)).code
      if (refusal !== undefined) {
        const named = /^DLMS_(CIPHER_TAG_WRONG|LENGTH_INVALID|SIGNATURE_WRONG)$/
        t.match(refusal, named, `${id} is refused`)
      } else {
        // Encrypted only, with another vector: what comes out is rubbish, and nothing can tell.
        t.equal(receiver.received.protection, Protection.ENCRYPTED, id)
      }
      if (valid === false) continue
    }
    const profile: SecurityProfile = {
      ...standardProfile,
      ...(valid === 'bad-tag' ? { authenticationOnly: 'enciphered' } : {}),
      ...(valid === 'producer-specific'
        ? { agreedKeyCounter: 'zero', generalHeader: 'not-authenticated' }
        : {}),
    }
    const { sender, receiver: second } = ends(vector, profile)
    const outcome = outcomeOf(() => second.unprotect(apdu))
    if (outcome.value === undefined) {
      t.fail(`${id} (${kind}): ${outcome.code}`)
      continue
    }
    if (plaintext !== undefined) t.same(outcome.value.toString('hex'), plaintext, id)
    opened++
    if (vector.meaning.invocation_counter !== undefined)
      t.equal(second.received.invocationCounter, vector.meaning.invocation_counter)
    const { received } = second
    const isRepeatable =
      received.signature === 'none' &&
      received.generalKey !== GeneralKey.ONE_PASS &&
      !(received.generalKey === GeneralKey.STATIC_UNIFIED && received.transactionId.length === 0)
    if (!isRepeatable) continue
    t.same(sender.protect(outcome.value, received).toString('hex'), vector.hex, `${id} again`)
    remade++
  }
  t.comment(`${opened} of ${ciphered.length} opened, ${remade} made again`)
  t.ok(opened >= 165 && remade >= 150, `${opened} opened, ${remade} made again`)
})

t.test('the signatures of general-signing are over what is said', { skip: absent }, async (t) => {
  const signed = ciphered.filter(({ kind, valid }) => kind === 'general-signing' && valid === true)
  t.equal(signed.length, 2)
  for (const { hex: text, keys = {}, meaning } of signed) {
    const { content } = openSignedApdu(publicKey(keys.client_sign_pub)!, hex(text))
    t.same(content.toString('hex'), (meaning as { content?: string }).content)
  }
})

t.test('crypto vectors', { skip: absent }, async (t) => {
  let seen = 0
  for (const { id, kind, hex: text, meaning } of crypto) {
    const m = meaning as Record<string, string>
    seen++
    switch (kind) {
      case 'aes-key-wrap': {
        t.same(wrapKey(key(m.kek)!, key(m.key)!).toString('hex'), text, id)
        t.ok(unwrapKey(key(m.kek)!, hex(text))?.equals(key(m.key)!), id)
        break
      }
      case 'aes-gcm': {
        const plain = hex(m.plaintext!)
        const sealed = Buffer.alloc(plain.length + tagBytes)
        const context = { key: key(m.key)!, ivView: hex(m.iv!), aad: hex(m.aad!) }
        sealGcm(context, plain, sealed, 0)
        // The vectors have tags of 16 octets.
        t.same(sealed, hex(text).subarray(0, sealed.length), id)
        const content = sealed.subarray(0, plain.length)
        const tag = sealed.subarray(plain.length)
        t.same(openGcm(context, content, tag), plain, id)
        break
      }
      case 'kdf-sha256': {
        const [u, v] = [hex(m.party_u!), hex(m.party_v!)]
        const derived = deriveKey(suites[1], KeyId.GLOBAL_UNICAST, hex(m.z!), u, v)
        t.same(derived.copyOfOctets().toString('hex'), text, id)
        break
      }
      case 'hls-gmac': {
        const hls = new HlsAuthentication({
          mechanism: Mechanism.HIGH_GMAC,
          suite: suites[0],
          ownTitle: hex(m.system_title!),
          ownChallenge: Buffer.alloc(8),
          peerChallenge: hex(m.challenge!),
          keys: { unicast: key(m.encryption_key), authentication: key(m.authentication_key) },
          counter: new InvocationCounter(Number(m.ic)),
        })
        t.same(hls.proof().toString('hex'), text, id)
        break
      }
      default: {
        const mechanisms: Record<string, Mechanism> = {
          'hls-high': Mechanism.HIGH,
          'hls-high-sha1': Mechanism.HIGH_SHA1,
          'hls-high-sha256': Mechanism.HIGH_SHA256,
          'hls-high-gmac': Mechanism.HIGH_GMAC,
        }
        const mechanism = mechanisms[kind]
        if (mechanism === undefined) t.fail(`${id}: ${kind} is not known here`)
        else checkHandshake(t, id, mechanism, m)
      }
    }
  }
  t.equal(seen, crypto.length)
})

type Handshake = Record<string, string | null | undefined>

/**
 * Client's and server's side: each makes the proof that was recorded, and each is content with the
 * other's.
 */
function checkHandshake(t: Test, id: string, mechanism: Mechanism, m: Handshake): void {
  const bytes = (name: string): Buffer => hex(m[name] ?? '')
  const [passed3, passed4] = [bytes('pass3_client_token'), bytes('pass4_server_token')]
  const isGmac = mechanism === Mechanism.HIGH_GMAC
  const sideOf = (own: 'client' | 'server'): (() => HlsAuthentication) => {
    const isClient = own === 'client'
    const proof = isClient ? passed3 : passed4
    return () =>
      new HlsAuthentication({
        mechanism,
        suite: suites[isGmac ? ((passed3[0]! & 0x0f) as 0 | 1 | 2) : 0]!,
        ownTitle: bytes(isClient ? 'client_title' : 'server_title'),
        peerTitle: bytes(isClient ? 'server_title' : 'client_title'),
        ownChallenge: bytes(isClient ? 'c_to_s' : 's_to_c'),
        peerChallenge: bytes(isClient ? 's_to_c' : 'c_to_s'),
        secret: new Secret(bytes('secret')),
        makerProof: blockCipherProof,
        keys: {
          unicast: key(m.encryption_key ?? undefined),
          authentication: key(m.authentication_key ?? undefined),
        },
        counter: isGmac ? new InvocationCounter(proof.readUInt32BE(1)) : undefined,
        window: new CounterWindow(),
      })
  }
  if (m.c_to_s === m.s_to_c) {
    // One maker's client and server really did that, and one proof was good for both.
    t.equal(outcomeOf(sideOf('client')).code, 'DLMS_CHALLENGE_REFLECTED', `${id} is refused`)
    return
  }
  const [client, server] = [sideOf('client')(), sideOf('server')()]
  t.same(client.proof().toString('hex'), passed3.toString('hex'), `${id}: the client's proof`)
  t.same(server.proof().toString('hex'), passed4.toString('hex'), `${id}: the server's proof`)
  server.check(passed3)
  client.check(passed4)
  for (const side of [client, server])
    for (const at of [0, passed3.length - 1]) {
      const changed = Buffer.from(side === client ? passed4 : passed3)
      changed[at]! ^= 0x80
      const { code } = outcomeOf(() => side.check(changed))
      t.equal(code, 'DLMS_AUTHENTICATION_FAILED', `${id}: octet ${at} changed`)
    }
}

/** Keys of the recorded conversations. @source ../shared/dlms, README */
const encryption = new SecretKey(hex('000102030405060708090a0b0c0d0e0f'))
const authentication = new SecretKey(hex('d0d1d2d3d4d5d6d7d8d9dadbdcdddedf'))
const secretText = '4775727578'

/** First match of `pattern` in the APDUs of one side. */
function found(session: Captured[], dir: string, pattern: RegExp): string | undefined {
  for (const { apdu, plaintext, dir: from } of session) {
    const match = from === dir ? (pattern.exec(plaintext ?? '') ?? pattern.exec(apdu)) : null
    if (match?.[1] !== undefined) return match[1]
  }
  return undefined
}

t.test('recorded conversations', { skip: absent }, async (t) => {
  let opened = 0
  let handshakes = 0
  for (const [name, session] of exchanges!) {
    const stated = session.filter(({ plaintext }) => plaintext !== undefined)
    const titles = {
      'client>server': found(session, 'client>server', /^60..*?a60a0408(.{16})/),
      'server>client': found(session, 'server>client', /^61..*?a40a0408(.{16})/),
    }
    if (stated.length > 0) {
      // Suite 1 where the security control octet says so, right in the initiate-request.
      const control = found(session, 'client>server', /^60.*be..04..21..(..)/)
      const channelOf = (own: string, peer: string, role: 'client' | 'server'): SecurityChannel =>
        new SecurityChannel({
          role,
          suite: suites[control === '31' ? 1 : 0],
          ownTitle: hex(own),
          peerTitle: hex(peer),
          keys: { unicast: encryption, authentication },
          counters: {},
          policy: { request: 0x30, response: 0x30 },
        })
      const [client, server] = [titles['client>server']!, titles['server>client']!]
      const channels: Record<string, SecurityChannel> = {
        'client>server': channelOf(server, client, 'server'),
        'server>client': channelOf(client, server, 'client'),
      }
      for (const { dir, apdu, plaintext } of stated) {
        // The ciphered initiate of AARQ and AARE is the octet string of the user information.
        const protectedHex = /^6[012].*be..04..((?:21|28).*)$/.exec(apdu)?.[1] ?? apdu
        const { value, code } = outcomeOf(() => channels[dir]!.unprotect(hex(protectedHex)))
        t.equal(value?.toString('hex') ?? code, plaintext, `${name}: ${apdu.slice(0, 60)}`)
        opened++
      }
    }
    const proof3 = found(session, 'client>server', /^c301..000f0000280000ff010109..(.*)$/)
    const proof4 = found(session, 'server>client', /^c701..000100?09..(.*)$/)
    const mechanism = found(session, 'client>server', /^60.*8b07608574050802(..)/)
    if (proof3 === undefined || proof4 === undefined || mechanism === undefined) continue
    checkHandshake(t, name, Number(mechanism) as Mechanism, {
      c_to_s: found(session, 'client>server', /^60.*ac128010(.{32})/),
      s_to_c: found(session, 'server>client', /^61.*aa128010(.{32})/),
      secret: secretText,
      encryption_key: '000102030405060708090a0b0c0d0e0f',
      authentication_key: 'd0d1d2d3d4d5d6d7d8d9dadbdcdddedf',
      client_title: titles['client>server'],
      server_title: titles['server>client'],
      pass3_client_token: proof3,
      pass4_server_token: proof4,
    })
    handshakes++
  }
  t.comment(`${opened} ciphered messages opened, ${handshakes} handshakes checked`)
  t.equal(opened, 497)
  t.ok(handshakes >= 5, `${handshakes} handshakes`)
})

t.test('shapes are told by the tag', { skip: absent }, async (t) => {
  const shapes: Record<string, Shape> = {
    'general-glo-ciphering': Shape.GENERAL_GLOBAL,
    'general-ded-ciphering': Shape.GENERAL_DEDICATED,
    'general-ciphering': Shape.GENERAL,
    'ded-get-request': Shape.DEDICATED,
  }
  for (const vector of ciphered.filter(({ valid, keys }) => valid === true && keys)) {
    if (vector.kind === 'general-signing') continue
    const { receiver } = ends(vector, standardProfile)
    receiver.unprotect(hex(vector.hex))
    t.equal(receiver.received.shape, shapes[vector.kind] ?? Shape.GLOBAL, vector.id)
  }
})
