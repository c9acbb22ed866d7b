/**
 * Protection of APDUs: published examples, identity of protect and unprotect over all shapes, and
 * everything that must be refused. Each seed of fast-check is printed when a property fails.
 */
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../../core/base/limits.ts'
import {
  authenticatedEncrypted,
  CounterWindow,
  GeneralKey,
  InvocationCounter,
  Protection,
  readSenderTitle,
  SecurityChannel,
  Shape,
  standardProfile,
  suites,
  type ChannelOptions,
  type ProtectionChoice,
  type SecurityProfile,
} from '../../../../core/dlms/security/index.ts'
import { wrapInPlace } from '../../../../core/dlms/framing/wrapper.ts'
import { SecretKey } from '../../../../core/crypto/crypto.ts'
import { seededRandom } from '../../../../core/ports/random.ts'
import { outcomeOf } from '../../../support/dlms.ts'
import { channelPair, clientTitle, meterTitle, secretKeys } from '../../../support/security.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const codeOf = (act: () => unknown): string | undefined => outcomeOf(act).code

/**
 * Keys, titles and counter of the examples of Green Book 9.2.7.4 and IEC 62056-5-3 annex on
 * encoding examples.
 */
const example: ChannelOptions = {
  role: 'client',
  suite: suites[0],
  ownTitle: hex('4d4d4d0000bc614e'),
  peerTitle: meterTitle,
  keys: {
    unicast: new SecretKey(hex('000102030405060708090a0b0c0d0e0f')),
    authentication: new SecretKey(hex('d0d1d2d3d4d5d6d7d8d9dadbdcdddedf')),
  },
  counters: {},
}
const from = (counter: number): Pick<ChannelOptions, 'counters'> => ({
  counters: { unicast: new InvocationCounter(counter) },
})
const getRequest = hex('c0010000080000010000ff0200')

t.test('published examples', async (t) => {
  // [Green Book 9.2.7.4, glo-get-request: authenticated, encrypted, both]
  const requests: [protection: number, apdu: string][] = [
    [0x10, 'c81e1001234567c0010000080000010000ff020006725d910f9221d263877516'],
    [0x20, 'c8122001234567411312ff935a47566827c467bc'],
    [0x30, 'c81e3001234567411312ff935a47566827c467bc7d825c3be4a77c3fcc056b6b'],
  ]
  const meter = new SecurityChannel({
    ...example,
    role: 'server',
    ownTitle: meterTitle,
    peerTitle: example.ownTitle,
  })
  for (const [protection, apdu] of requests) {
    const client = new SecurityChannel({ ...example, ...from(0x01234567) })
    t.same(client.protect(getRequest, { shape: Shape.GLOBAL, protection }).toString('hex'), apdu)
    const { code, value } = outcomeOf(() => meter.unprotect(hex(apdu)))
    if (protection === 0x10) {
      t.same(value, getRequest)
      t.match(meter.received, {
        shape: Shape.GLOBAL,
        protection,
        securityControl: 0x10,
        invocationCounter: 0x01234567,
        signature: 'none',
      })
    } else t.equal(code, 'DLMS_COUNTER_REPLAYED', 'the examples all have one counter')
  }
  // [Green Book 9.2.7, glo-initiate-request within an AARQ, with a dedicated key]
  const initiate = '01011000112233445566778899aabbccddeeff0000065f1f0400007e1f04b0'
  const client = new SecurityChannel({ ...example, ...from(0x01234567) })
  t.same(
    client.protect(hex(initiate), { shape: Shape.GLOBAL, protection: 0x30 }).toString('hex'),
    '21303001234567801302ff8a7874133d414ced25b42534d28db0047720606b175bd52211be6841db204d39ee6fdb8e356855',
  )
})

const plainTags = [1, 5, 6, 8, 12, 13, 14, 22, 24, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc7]
const plains = fc
  .tuple(
    fc.constantFrom(...plainTags, 0xd9, 0xda, 0x0f),
    fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 100, maxLength: 600 })),
  )
  .map(([tag, rest]) => Buffer.from([tag, ...rest]))

/** Every choice that suite `id` has. */
function choicesOf(id: number): fc.Arbitrary<Required<ProtectionChoice>> {
  const isElliptic = id > 0
  return fc.record({
    shape: fc.constantFrom(...Object.values(Shape).filter((shape) => shape !== Shape.PLAIN)),
    protection: fc.constantFrom(0x10, 0x20, 0x30, 0x50, 0x60, 0x70),
    signature: fc.constantFrom<'none' | 'within' | 'around'>(
      'none',
      ...(isElliptic ? (['within', 'around'] as const) : []),
    ),
    generalKey: fc.constantFrom(
      ...Object.values(GeneralKey).filter((key) => isElliptic || key <= GeneralKey.WRAPPED),
    ),
    transactionId: fc.constantFrom(hex(''), hex('0123456789012345')),
  })
}

t.test('what is protected comes out as it was, in every suite, shape and mode', async (t) => {
  for (const suite of suites) {
    const { client, meter } = channelPair(suite)
    fc.assert(
      fc.property(plains, choicesOf(suite.id), (plain, choice) => {
        // A general-signing has no service-specific tag of its own: it goes in the general form.
        const apdu = client.protect(plain, choice)
        wrapInPlace(Buffer.from(apdu.buffer as ArrayBuffer, apdu.byteOffset, apdu.length), 1, 16)
        const opened = meter.unprotect(Buffer.from(apdu))
        t.ok(opened.equals(plain), 'the plaintext')
        const { received } = meter
        if (received.signature !== choice.signature) throw new Error(received.signature)
        const sealed = choice.protection & authenticatedEncrypted
        if ((received.protection & authenticatedEncrypted) !== sealed) throw new Error('protection')
        const isSpecific = choice.shape === Shape.GLOBAL || choice.shape === Shape.DEDICATED
        const hasTag = choice.signature !== 'within' && plainTags.includes(plain[0]!)
        if ((!isSpecific || hasTag) && received.shape !== choice.shape) throw new Error('shape')
        // The answer in the shape of the question, and nothing else said about it.
        const answer = meter.protect(plain, received)
        t.ok(client.unprotect(Buffer.from(answer)).equals(plain), 'the answer')
        if (client.received.shape !== received.shape) throw new Error('shape of the answer')
        if (client.received.signature !== received.signature) throw new Error('its signature')
      }),
      { numRuns: suite.id === 0 ? 400 : 120 },
    )
  }
})

t.test('one bit is enough to be refused, wherever it flips', async (t) => {
  const choices: ProtectionChoice[] = [
    { shape: Shape.GLOBAL, protection: 0x10 },
    { shape: Shape.GLOBAL, protection: 0x30 },
    { shape: Shape.GLOBAL, protection: 0x70 },
    { shape: Shape.DEDICATED, protection: 0x30 },
    { shape: Shape.GENERAL_GLOBAL, protection: 0x10 },
    { shape: Shape.GENERAL_GLOBAL, protection: 0x30 },
    { shape: Shape.GENERAL_DEDICATED, protection: 0x30 },
    ...Object.values(GeneralKey).flatMap((generalKey) =>
      [0x10, 0x30].map((protection) => ({
        shape: Shape.GENERAL,
        protection,
        generalKey,
        transactionId: hex('01020304'),
      })),
    ),
    { shape: Shape.GENERAL_GLOBAL, protection: 0x30, signature: 'within' },
    { shape: Shape.GLOBAL, protection: 0x30, signature: 'around' },
    { shape: Shape.PLAIN, protection: 0, signature: 'around', transactionId: hex('09') },
  ]
  let flips = 0
  for (const choice of choices) {
    const { client, meter } = channelPair(suites[1], {
      policy: {
        request:
          (choice.protection & authenticatedEncrypted) | (choice.signature ? Protection.SIGNED : 0),
        response: 0,
      },
    })
    const apdu = Buffer.from(client.protect(getRequest, choice))
    for (let bit = 0; bit < apdu.length * 8; bit++) {
      const changed = Buffer.from(apdu)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      const { code, value } = outcomeOf(() => meter.unprotect(changed))
      if (code === undefined)
        t.fail(`${JSON.stringify(choice)} bit ${bit} gave ${value.toString('hex')}`)
      flips++
    }
    t.same(meter.unprotect(apdu), getRequest, `no counter was used up by what was refused`)
  }
  t.ok(flips > 10_000, `${flips} bits`)
})

t.test('each refusal has its name', async (t) => {
  const choice = { shape: Shape.GENERAL_GLOBAL, protection: 0x30 }
  const { client, meter } = channelPair(suites[1], { policy: { request: 0x30, response: 0x30 } })
  const first = Buffer.from(client.protect(getRequest, choice))
  const second = Buffer.from(client.protect(getRequest, choice))
  meter.unprotect(second)
  t.equal(
    codeOf(() => meter.unprotect(second)),
    'DLMS_COUNTER_REPLAYED',
    'the same again',
  )
  t.equal(
    codeOf(() => meter.unprotect(first)),
    'DLMS_COUNTER_REPLAYED',
    'an earlier one',
  )

  for (const protection of [0x10, 0x20])
    t.equal(
      codeOf(() => meter.unprotect(client.protect(getRequest, { ...choice, protection }))),
      'DLMS_PROTECTION_INSUFFICIENT',
      `downgraded to ${protection}`,
    )
  t.equal(
    codeOf(() => meter.unprotect(getRequest)),
    'DLMS_PROTECTION_INSUFFICIENT',
    'in the clear',
  )
  for (const allowed of ['d8010203', 'd80106000003eb', '600100', '6303800100', '0e010203', 'e0'])
    t.same(meter.unprotect(hex(allowed)), hex(allowed), `${allowed} may come in the clear`)
  t.equal(
    codeOf(() => meter.unprotect(client.protect(hex('d8010203'), { ...choice, protection: 0x20 }))),
    'DLMS_PROTECTION_INSUFFICIENT',
    'but not half protected',
  )

  const stranger = channelPair(suites[1], { ownTitle: hex('5858580000000001') }).client
  t.equal(
    codeOf(() => meter.unprotect(stranger.protect(getRequest, choice))),
    'DLMS_SYSTEM_TITLE_WRONG',
  )
  t.equal(
    codeOf(() =>
      channelPair(suites[1]).meter.unprotect(
        stranger.protect(getRequest, { shape: Shape.GLOBAL, protection: 0x30 }),
      ),
    ),
    'DLMS_CIPHER_TAG_WRONG',
    'a service-specific one names no title, but has it in its vector',
  )
  t.equal(
    codeOf(() => client.unprotect(client.protect(getRequest, choice))),
    'DLMS_SYSTEM_TITLE_WRONG',
    'our own, sent back',
  )
  const toAnother = channelPair(suites[1], { peerTitle: hex('5858580000000001') }).client
  t.equal(
    codeOf(() =>
      meter.unprotect(toAnother.protect(getRequest, { shape: Shape.GENERAL, protection: 0x30 })),
    ),
    'DLMS_SYSTEM_TITLE_WRONG',
    'for somebody else',
  )
  t.equal(
    codeOf(() => meter.setPeerTitle(hex('5858580000000001'))),
    'DLMS_SYSTEM_TITLE_WRONG',
    'it was another',
  )
  t.equal(
    codeOf(() => meter.setPeerTitle(meterTitle)),
    'DLMS_SYSTEM_TITLE_WRONG',
    'ours',
  )
  t.equal(
    codeOf(() => meter.setPeerTitle(hex('585858'))),
    'DLMS_SYSTEM_TITLE_WRONG',
    'short',
  )
  const unknown = new SecurityChannel({ ...example, peerTitle: undefined })
  t.equal(
    codeOf(() => unknown.unprotect(first)),
    'DLMS_SYSTEM_TITLE_WRONG',
    'not known yet',
  )

  const bare = new SecurityChannel({ ...example, keys: {} })
  for (const shape of [Shape.GLOBAL, Shape.DEDICATED])
    t.equal(
      codeOf(() => bare.protect(getRequest, { shape, protection: 0x30 })),
      'DLMS_KEY_UNKNOWN',
    )
  const noAuthentication = new SecurityChannel({
    ...example,
    ...from(1),
    keys: { unicast: example.keys.unicast },
  })
  t.equal(
    codeOf(() => noAuthentication.protect(getRequest, choice)),
    'DLMS_KEY_UNKNOWN',
  )
  t.equal(
    codeOf(() => bare.setDedicatedKey(new SecretKey(Buffer.alloc(32)))),
    'DLMS_VALUE_INVALID',
    'a dedicated key of another suite',
  )
  const noCounter = new SecurityChannel(example)
  t.equal(
    codeOf(() => noCounter.protect(getRequest, choice)),
    'DLMS_KEY_UNKNOWN',
  )

  const controlled = (control: number, tag = 'c8'): Buffer =>
    hex(`${tag}1e${control.toString(16).padStart(2, '0')}${'00'.repeat(29)}`)
  for (const control of [0x30, 0x32, 0x3f, 0x01, 0x41])
    t.equal(
      codeOf(() => meter.unprotect(controlled(control))),
      'DLMS_SECURITY_CONTROL_INVALID',
      `${control}`,
    )
  t.equal(
    codeOf(() => meter.unprotect(controlled(0x71, 'd0'))),
    'DLMS_SECURITY_CONTROL_INVALID',
    'broadcast with the dedicated key',
  )
  t.equal(
    codeOf(() => meter.unprotect(controlled(0xb1))),
    'DLMS_COMPRESSION_UNSUPPORTED',
  )
  t.equal(
    codeOf(() => client.protect(getRequest, { ...choice, protection: 0xb0 })),
    'DLMS_COMPRESSION_UNSUPPORTED',
  )
  t.equal(
    codeOf(() => meter.unprotect(hex('c80431000000'))),
    'DLMS_LENGTH_INVALID',
    'no security header',
  )
  t.equal(
    codeOf(() => meter.unprotect(hex('c808310000ffffaabbcc'))),
    'DLMS_LENGTH_INVALID',
    'no tag',
  )
  t.equal(
    codeOf(() => meter.unprotect(hex(''))),
    'DLMS_LENGTH_INVALID',
    'nothing',
  )
  t.equal(
    codeOf(() => meter.unprotect(Buffer.concat([client.protect(getRequest, choice), hex('00')]))),
    'DLMS_LENGTH_INVALID',
    'octets left over',
  )

  const inGet = Buffer.from(client.protect(getRequest, { shape: Shape.GLOBAL, protection: 0x30 }))
  inGet[0] = 0xc9
  t.equal(
    codeOf(() => meter.unprotect(inGet)),
    'DLMS_SERVICE_UNEXPECTED',
    'a get-request as glo-set-request',
  )

  const twice = client.protect(client.protect(getRequest, choice), choice)
  t.equal(
    codeOf(() => meter.unprotect(twice)),
    'DLMS_NESTING_EXCEEDED',
    'ciphered twice',
  )
  const signed = { shape: Shape.PLAIN, protection: 0, signature: 'around' } as const
  let layers = getRequest
  for (let i = 0; i <= limits.protectionLayersMax; i++) layers = client.protect(layers, signed)
  t.equal(
    codeOf(() => meter.unprotect(layers)),
    'DLMS_NESTING_EXCEEDED',
    'signed too often',
  )
})

t.test('a counter is used up by what was verified and good enough only', async (t) => {
  const { client, meter } = channelPair(suites[0], {
    policy: { request: Protection.AUTHENTICATED, response: 0 },
  })
  // Without authentication anybody can make one, with the last counter there is.
  const forged = hex('c81220ffffffff411312ff935a47566827c467bc')
  t.match(
    codeOf(() => meter.unprotect(forged)),
    /PROTECTION_INSUFFICIENT|SERVICE_UNEXPECTED/,
  )
  t.same(
    meter.unprotect(client.protect(getRequest, { shape: Shape.GLOBAL, protection: 0x30 })),
    getRequest,
  )
  const policed = channelPair(suites[0], { policy: { request: 0x30, response: 0 } })
  const weak = policed.client.protect(hex('d9aa'), {
    shape: Shape.GENERAL_GLOBAL,
    protection: 0x20,
  })
  weak.writeUInt32BE(0xffff_fff0, 12)
  t.equal(
    codeOf(() => policed.meter.unprotect(weak)),
    'DLMS_PROTECTION_INSUFFICIENT',
  )
  const strong = policed.client.protect(hex('d9aa'), {
    shape: Shape.GENERAL_GLOBAL,
    protection: 0x30,
  })
  t.same(policed.meter.unprotect(strong), hex('d9aa'))
})

t.test('counters end', async (t) => {
  const client = new SecurityChannel({ ...example, ...from(0xffff_ffff) })
  const choice = { shape: Shape.GLOBAL, protection: 0x30 }
  t.equal(client.protect(getRequest, choice).readUInt32BE(3), 0xffff_ffff, 'the last')
  t.equal(
    codeOf(() => client.protect(getRequest, choice)),
    'DLMS_COUNTER_EXHAUSTED',
  )
  t.equal(
    codeOf(() => client.protect(getRequest, choice)),
    'DLMS_COUNTER_EXHAUSTED',
    'for good',
  )
})

t.test('keys that come with APDUs', async (t) => {
  const general = (generalKey: GeneralKey): ProtectionChoice => ({
    shape: Shape.GENERAL,
    protection: 0x30,
    generalKey,
    transactionId: hex('0102'),
  })
  const { client, meter, options } = channelPair(suites[1])
  for (const generalKey of [GeneralKey.WRAPPED, GeneralKey.ONE_PASS, GeneralKey.STATIC_UNIFIED]) {
    const apdu = Buffer.from(client.protect(getRequest, general(generalKey)))
    t.same(meter.unprotect(apdu), getRequest)
    t.equal(meter.received.generalKey, generalKey)
    t.same(meter.received.transactionId, hex('0102'))
    t.equal(
      codeOf(() => meter.unprotect(apdu)),
      'DLMS_COUNTER_REPLAYED',
      `${generalKey} again`,
    )
  }
  const identified = Buffer.from(client.protect(getRequest, general(GeneralKey.UNICAST)))
  t.same(identified.subarray(24, 27), hex('010000'))
  const unsaid = Buffer.concat([identified.subarray(0, 24), hex('00'), identified.subarray(27)])
  t.same(meter.unprotect(unsaid), getRequest, 'without key information it is the unicast key')
  for (const wrong of ['020000', '010300', '010002', '010101']) {
    const other = Buffer.from(client.protect(getRequest, general(GeneralKey.UNICAST)))
    hex(wrong).copy(other, 24)
    t.equal(
      codeOf(() => meter.unprotect(other)),
      'DLMS_VALUE_INVALID',
      wrong,
    )
  }
  // Offset of the key data: tag, 3 + 9 + 9 + 2 of the header, presence, choice, …
  const wrapped = Buffer.from(client.protect(getRequest, general(GeneralKey.WRAPPED)))
  wrapped[24 + 5]! ^= 1
  t.equal(
    codeOf(() => meter.unprotect(wrapped)),
    'DLMS_KEY_WRAP_WRONG',
  )
  const onePass = Buffer.from(client.protect(getRequest, general(GeneralKey.ONE_PASS)))
  onePass[24 + 8]! ^= 1
  t.equal(
    codeOf(() => meter.unprotect(onePass)),
    'DLMS_SIGNATURE_WRONG',
  )
  const scheme = Buffer.from(client.protect(getRequest, general(GeneralKey.ONE_PASS)))
  t.equal(scheme[24 + 3], 1)
  scheme[24 + 3] = 3
  t.equal(
    codeOf(() => meter.unprotect(scheme)),
    'DLMS_KEY_AGREEMENT_INVALID',
  )
  const signed = { shape: Shape.PLAIN, protection: 0, signature: 'around' } as const
  const wrongly = Buffer.from(client.protect(getRequest, signed))
  wrongly[wrongly.length - 1]! ^= 1
  t.equal(
    codeOf(() => meter.unprotect(wrongly)),
    'DLMS_SIGNATURE_WRONG',
  )

  const suite0 = channelPair(suites[0])
  t.equal(
    codeOf(() => suite0.client.protect(getRequest, general(GeneralKey.ONE_PASS))),
    'DLMS_KEY_UNKNOWN',
    'suite 0 has no keys to agree with',
  )
  const mixed = new SecurityChannel({ ...suite0.options, keys: { ...options.keys } })
  for (const key of [GeneralKey.ONE_PASS, GeneralKey.STATIC_UNIFIED])
    t.equal(
      codeOf(() => mixed.protect(getRequest, general(key))),
      'DLMS_KEY_AGREEMENT_INVALID',
    )
  const counters = { ...options.counters, session: undefined }
  const noCounter = new SecurityChannel({ ...options, counters })
  t.equal(
    codeOf(() => noCounter.protect(getRequest, general(GeneralKey.STATIC_UNIFIED))),
    'DLMS_KEY_UNKNOWN',
    'one key for long needs a counter that is kept',
  )
  t.same(
    channelPair(suites[1]).meter.unprotect(
      noCounter.protect(getRequest, general(GeneralKey.WRAPPED)),
    ),
    getRequest,
  )
})

t.test('counters of keys that come with APDUs, as the profile says', async (t) => {
  const choice = { shape: Shape.GENERAL, protection: 0x30, generalKey: GeneralKey.WRAPPED }
  // A sender that begins again with each key.
  const random = seededRandom(9)
  const sendOne = (): Buffer => {
    const counters = { session: new InvocationCounter(1) }
    return Buffer.from(
      channelPair(suites[0], { counters, random }).client.protect(getRequest, choice),
    )
  }
  const running = channelPair(suites[0]).meter
  running.unprotect(sendOne())
  t.equal(
    codeOf(() => running.unprotect(sendOne())),
    'DLMS_COUNTER_REPLAYED',
  )
  const profile: SecurityProfile = { ...standardProfile, sessionKeyCounters: 'per-key' }
  const perKey = channelPair(suites[0], { profile }).meter
  const first = sendOne()
  perKey.unprotect(first)
  for (let i = 1; i < limits.sessionKeysMax; i++) perKey.unprotect(sendOne())
  t.equal(
    codeOf(() => perKey.unprotect(first)),
    'DLMS_COUNTER_REPLAYED',
    'it is remembered',
  )
  perKey.unprotect(sendOne())
  t.same(perKey.unprotect(first), getRequest, 'and forgotten at last: that is the price')
})

t.test('deviations are refused, and let through by the profile that names them', async (t) => {
  const deviations: Partial<SecurityProfile>[] = [
    { authenticationOnly: 'apdu-tag' },
    { authenticationOnly: 'enciphered' },
    { generalHeader: 'not-authenticated' },
    { agreedKeyCounter: 'zero' },
    { agreementNonce: 'without-length' },
    { ephemeralSignature: 'identified' },
  ]
  for (const deviation of deviations) {
    const profile = { ...standardProfile, ...deviation }
    const name = JSON.stringify(deviation)
    const protection = deviation.authenticationOnly === undefined ? 0x30 : 0x10
    const shape = deviation.authenticationOnly === undefined ? Shape.GENERAL : Shape.GLOBAL
    const isSignature = deviation.ephemeralSignature !== undefined
    const generalKey = isSignature ? GeneralKey.ONE_PASS : GeneralKey.STATIC_UNIFIED
    const choice = { shape, protection, generalKey, transactionId: hex('0102') }
    const { client, meter } = channelPair(suites[1], { profile })
    const apdu = Buffer.from(client.protect(getRequest, choice))
    const strict = channelPair(suites[1]).meter
    const { code, value } = outcomeOf(() => strict.unprotect(apdu))
    if (isSignature) t.same(value, getRequest, `${name} is taken either way`)
    else t.equal(code, 'DLMS_CIPHER_TAG_WRONG', `${name} is refused`)
    t.same(meter.unprotect(apdu), getRequest, `${name} is let through`)
  }
  const { meter: pushing } = channelPair(suites[1], {
    profile: { ...standardProfile, agreedKeyCounter: 'zero' },
  })
  t.equal(
    codeOf(() =>
      pushing.protect(getRequest, {
        shape: Shape.GENERAL,
        protection: 0x30,
        generalKey: GeneralKey.STATIC_UNIFIED,
      }),
    ),
    'DLMS_KEY_AGREEMENT_INVALID',
    'one key and one vector for everything are never sent',
  )
  const profile = { ...standardProfile, agreedKeyCounter: 'zero' } as const
  const agreed = channelPair(suites[1], { profile, random: seededRandom(5) })
  const choice = {
    shape: Shape.GENERAL,
    protection: 0x30,
    generalKey: GeneralKey.STATIC_UNIFIED,
    transactionId: Buffer.alloc(8, 1),
  }
  const asked = [1, 2, 3].map(() => agreed.client.protect(getRequest, choice))
  const ids = asked.map((apdu) => apdu.toString('hex', 0, 10))
  t.equal(new Set(ids).size, 3, 'each question has an id of its own')
  for (const apdu of asked) {
    t.same(agreed.meter.unprotect(apdu), getRequest)
    const { shape, protection, generalKey, transactionId } = agreed.meter.received
    const asAsked = { shape, protection, generalKey, transactionId: Buffer.from(transactionId) }
    const answer = hex('c4010000 1101')
    t.same(agreed.client.unprotect(agreed.meter.protect(answer, asAsked)), answer)
    t.equal(
      codeOf(() => agreed.meter.protect(answer, asAsked)),
      'DLMS_KEY_AGREEMENT_INVALID',
      'and one answer',
    )
  }
})

t.test('windows for transports that change the order', async (t) => {
  const windows = { unicast: new CounterWindow({ highest: 9, window: 4 }) }
  const { client, meter } = channelPair(suites[0], {
    windows,
    counters: { unicast: new InvocationCounter(8) },
  })
  const apdus = Array.from({ length: 8 }, () =>
    Buffer.from(client.protect(getRequest, { shape: Shape.GLOBAL, protection: 0x30 })),
  )
  const order = [0, 1, 2, 4, 3, 3, 7, 6, 5, 2, 4, 6]
  const taken = order.map((index) => codeOf(() => meter.unprotect(apdus[index]!)) === undefined)
  t.same(taken, [false, false, true, true, true, false, true, true, true, false, false, false])
  t.equal(windows.unicast.last, 15)
})

t.test('who sent it can be read before any key is known', async (t) => {
  const { client } = channelPair(suites[1])
  for (const shape of [Shape.GENERAL_GLOBAL, Shape.GENERAL_DEDICATED, Shape.GENERAL])
    t.same(readSenderTitle(client.protect(getRequest, { shape, protection: 0x30 })), clientTitle)
  const signed = client.protect(getRequest, {
    shape: Shape.PLAIN,
    protection: 0,
    signature: 'around',
  })
  t.same(readSenderTitle(signed), clientTitle)
  for (const text of ['c81e30', 'db00053000000001', '', '6000'])
    t.equal(readSenderTitle(hex(text)), undefined, text)
  t.equal(
    codeOf(() => readSenderTitle(hex('db0841'))),
    'DLMS_LENGTH_INVALID',
  )
  const { meter } = channelPair(suites[0])
  const full = Buffer.from(
    channelPair(suites[0]).client.protect(getRequest, {
      shape: Shape.GENERAL_GLOBAL,
      protection: 0x30,
    }),
  )
  const untitled = Buffer.concat([hex('db00'), full.subarray(10)])
  t.same(meter.unprotect(untitled), getRequest, 'a title that both know may be left out')
})

t.test('any octets give a value or a BrokerError', async (t) => {
  const random = seededRandom(7)
  const { client, meter } = channelPair(suites[1])
  const tags = fc.constantFrom(0xc8, 0xd0, 0xdb, 0xdc, 0xdd, 0xdf, 0x21, 0x41, 0xcf, 0)
  fc.assert(
    fc.property(tags, fc.uint8Array({ maxLength: 120 }), (tag, rest) => {
      outcomeOf(() => meter.unprotect(Buffer.from([tag, ...rest])))
      outcomeOf(() => readSenderTitle(Buffer.from([tag, ...rest])))
    }),
    { numRuns: 3_000 },
  )
  for (const shape of Object.values(Shape).slice(1)) {
    const apdu = client.protect(getRequest, {
      shape,
      protection: 0x30,
      transactionId: random.bytes(4),
    })
    for (let end = 0; end < apdu.length; end++)
      t.match(
        codeOf(() => meter.unprotect(Buffer.from(apdu.subarray(0, end)))),
        /^DLMS_/,
        `${shape} cut at ${end}`,
      )
  }
})

t.test('keys appear nowhere', async (t) => {
  const { client, meter, options } = channelPair(suites[1])
  const secrets = secretKeys(suites[1]).flatMap((key) => {
    const octets = key.copyOfOctets()
    return [
      octets.toString('hex'),
      octets.toString('base64'),
      [...octets].join(','),
      [...octets].join(', '),
    ]
  })
  const errors: unknown[] = []
  for (const text of ['c81e31' + '00'.repeat(29), 'db', 'dd00', 'c8053100000001'])
    try {
      meter.unprotect(hex(text))
    } catch (error) {
      errors.push(error)
    }
  const apdu = Buffer.from(client.protect(getRequest, { shape: Shape.GLOBAL, protection: 0x30 }))
  meter.unprotect(apdu)
  const everything = [client, meter, options, errors]
  const shown = [
    JSON.stringify(everything, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    ),
    inspect(everything, { depth: 20, showHidden: true, maxArrayLength: null, getters: true }),
    ...errors.map(String),
  ].join('\n')
  t.ok(shown.length > 2_000 && errors.length === 4)
  for (const secret of secrets) t.notOk(shown.includes(secret), 'no key in what is shown')
})

t.test('a wrong key under encryption without authentication is named as the likely cause', (t) => {
  const suite = suites[0]
  const wrong = new SecretKey(Buffer.alloc(suite.keyBytes, 7))
  for (const shape of [Shape.GLOBAL, Shape.DEDICATED])
    for (const protection of [Protection.ENCRYPTED, authenticatedEncrypted]) {
      const { client, options } = channelPair(suite)
      const apdu = client.protect(getRequest, { shape, protection })
      const meter = new SecurityChannel({
        ...options,
        role: 'server',
        ownTitle: meterTitle,
        peerTitle: clientTitle,
        counters: {},
        keys: { ...options.keys, unicast: wrong },
      })
      meter.setDedicatedKey(wrong)
      const isNamed = protection === Protection.ENCRYPTED
      t.throws(() => meter.unprotect(apdu), {
        code: isNamed ? 'DLMS_SERVICE_UNEXPECTED' : 'DLMS_CIPHER_TAG_WRONG',
        ...(isNamed && { detail: /the unicast key is probably wrong/ }),
      })
    }
  t.end()
})
