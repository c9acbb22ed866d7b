/**
 * Attackers on the way, against the client and the server as wholes: what is changed, cut, played
 * again, reflected, exchanged or weakened is refused by name, nothing is done, no counter is used
 * up, and the association ends or stays as it should.
 * [IEC 62056-5-3 ed. 3, 5.3 security and 5.7.2; the channel by itself is in security/channel.test.ts]
 */
import t from 'tap'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeApdu, encodeApdu, type ApduOf } from '../../../core/dlms/apdu/codec.ts'
import { DlmsClient, type ClientOptions } from '../../../core/dlms/client/client.ts'
import {
  Mechanism,
  blockCipherProof,
  CounterWindow,
  InvocationCounter,
  SecurityChannel,
  Shape,
  suites,
  type ChannelOptions,
} from '../../../core/dlms/security/index.ts'
import { DlmsServer } from '../../../core/dlms/server/server.ts'
import { SecretKey } from '../../../core/crypto/crypto.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { outcomeOf } from '../../support/dlms.ts'
import {
  both,
  clientTitle,
  exchange,
  meterTitle,
  objects,
  operations,
  pairOf,
  plainResults,
  type Pair,
} from '../../support/secured-pair.ts'

const get = operations.slice(0, 1)
const otherKey = SecretKey.random(seededRandom(99), 16)
const otherTitle = Buffer.from('4255534d000000ff', 'hex')
const shapes = Object.entries(Shape).filter(([, shape]) => shape !== Shape.PLAIN)
type Role = 'client' | 'server'

/** One APDU on its way to the victim, and what an attacker may have besides. */
type Scene = {
  pair: Pair
  shape: Shape
  /** As it was really sent, not delivered; and in the clear. */
  genuine: Buffer
  plain: Buffer
  /** The one before it, which was taken. */
  earlier: Buffer
  /** What the victim said last. */
  own: Buffer
  /** Where security control and counter stand in `genuine`. */
  headerAt: number
  windows: { client: CounterWindow; server: CounterWindow }
  /** Says something as the sender would, but for `more`, `counter` ahead of the genuine one. */
  forge: (
    plain: Buffer,
    more?: Partial<ChannelOptions> & { dedicated?: SecretKey; protection?: number; shape?: Shape },
    ahead?: number,
  ) => Buffer
}

function sceneOf(victim: Role, shape: Shape): Scene {
  const windows = { client: new CounterWindow(), server: new CounterWindow() }
  const base = pairOf(0, { shape, protection: both })
  const { security } = base.clientOptions
  const pair = pairOf(
    0,
    { shape, protection: both },
    {
      client: { security: { ...security!, windows: { unicast: windows.client } } },
      windows: windows.server,
    },
  )
  const seen: { apdu: Buffer; toServer: boolean }[] = []
  pair.onWire = (apdu, toServer) => (seen.push({ apdu: Buffer.from(apdu), toServer }), apdu)
  exchange(pair, get)
  const last = (toServer: boolean): Buffer =>
    seen.findLast((one) => one.toServer === toServer)!.apdu
  const [request, answer] = [last(true), last(false)]
  const next = Buffer.from(pair.client.begin(get))
  const isServer = victim === 'server'
  const genuine = isServer ? next : Buffer.from(pair.server.receive(next)!)
  const keys = (isServer ? pair.clientOptions : pair.serverOptions).security!.keys
  const [from, to] = isServer ? [clientTitle, meterTitle] : [meterTitle, clientTitle]
  const options = { suite: suites[0], keys, counters: {} }
  const receiver = new SecurityChannel({
    ...options,
    role: victim,
    ownTitle: to,
    peerTitle: from,
  })
  const dedicated = security!.dedicatedKey as SecretKey | undefined
  if (dedicated) receiver.setDedicatedKey(dedicated)
  const plain = Buffer.from(receiver.unprotect(genuine))
  const { invocationCounter } = receiver.received
  const header = Buffer.alloc(5)
  header[0] = receiver.received.securityControl
  header.writeUInt32BE(invocationCounter, 1)
  return {
    pair,
    shape,
    genuine,
    plain,
    earlier: isServer ? request : answer,
    own: isServer ? answer : next,
    headerAt: genuine.indexOf(header),
    windows,
    forge(content, more = {}, ahead = 0) {
      const { dedicated: another = dedicated, protection = both, shape: as = shape } = more
      const counter = new InvocationCounter(invocationCounter + ahead)
      const sender = new SecurityChannel({
        ...options,
        role: isServer ? 'client' : 'server',
        ownTitle: from,
        peerTitle: to,
        ...more,
        counters: { unicast: counter, broadcast: counter, session: counter },
      })
      if (another) sender.setDedicatedKey(another, counter)
      return Buffer.from(sender.protect(content, { shape: as, protection }))
    },
  }
}

const isSpecific = (shape: Shape): boolean => shape === Shape.GLOBAL || shape === Shape.DEDICATED
const isDedicated = (shape: Shape): boolean =>
  shape === Shape.DEDICATED || shape === Shape.GENERAL_DEDICATED

function changed(apdu: Buffer, at: number, change: (octet: number) => number): Buffer {
  const copy = Buffer.from(apdu)
  copy[at] = change(copy[at]!)
  return copy
}

/** What an attacker makes of the scene, and how it is refused. */
const attacks: Record<string, [(scene: Scene) => Buffer | undefined, (shape: Shape) => string]> = {
  'a changed authentication tag': [
    ({ genuine }) => changed(genuine, genuine.length - 1, (octet) => octet ^ 1),
    () => 'DLMS_CIPHER_TAG_WRONG',
  ],
  'changed content': [
    ({ genuine, headerAt }) => changed(genuine, headerAt + 6, (octet) => octet ^ 0x80),
    () => 'DLMS_CIPHER_TAG_WRONG',
  ],
  'a counter that was put ahead': [
    ({ genuine, headerAt }) => changed(genuine, headerAt + 1, () => 0x7f),
    () => 'DLMS_CIPHER_TAG_WRONG',
  ],
  'what was taken before': [({ earlier }) => earlier, () => 'DLMS_COUNTER_REPLAYED'],
  'the counter of what was taken before': [
    ({ plain, forge }) => forge(plain, {}, -1),
    () => 'DLMS_COUNTER_REPLAYED',
  ],
  'a lower counter': [
    // A dedicated key begins with 1, and has been used once.
    ({ plain, forge, shape }) => forge(plain, {}, isDedicated(shape) ? -1 : -50),
    () => 'DLMS_COUNTER_REPLAYED',
  ],
  'the content of another invocation': [
    ({ genuine, plain, forge, headerAt }) => {
      const other = forge(plain, {}, 1)
      return Buffer.concat([genuine.subarray(0, headerAt + 5), other.subarray(headerAt + 5)])
    },
    () => 'DLMS_CIPHER_TAG_WRONG',
  ],
  'the clear': [({ plain }) => plain, () => 'DLMS_PROTECTION_INSUFFICIENT'],
  'authentication without encryption': [
    ({ plain, forge }) => forge(plain, { protection: 0x10 }),
    () => 'DLMS_PROTECTION_INSUFFICIENT',
  ],
  'encryption without authentication': [
    ({ plain, forge }) => forge(plain, { protection: 0x20 }),
    () => 'DLMS_PROTECTION_INSUFFICIENT',
  ],
  'a control octet that says authenticated only': [
    ({ genuine, headerAt }) => changed(genuine, headerAt, (octet) => octet & ~0x20),
    () => 'DLMS_CIPHER_TAG_WRONG',
  ],
  'a control octet that says encrypted only': [
    // The same octets come out, and the tag behind them: nothing says that they are as they were.
    ({ genuine, headerAt }) => changed(genuine, headerAt, (octet) => octet & ~0x10),
    () => 'DLMS_PROTECTION_INSUFFICIENT',
  ],
  'a control octet that says nothing': [
    ({ genuine, headerAt }) => changed(genuine, headerAt, () => 0),
    () => 'DLMS_SECURITY_CONTROL_INVALID',
  ],
  'a control octet of another suite': [
    ({ genuine, headerAt }) => changed(genuine, headerAt, (octet) => octet | 1),
    () => 'DLMS_SECURITY_CONTROL_INVALID',
  ],
  'a control octet that says compressed': [
    ({ genuine, headerAt }) => changed(genuine, headerAt, (octet) => octet | 0x80),
    () => 'DLMS_COMPRESSION_UNSUPPORTED',
  ],
  'the other key set': [
    ({ genuine, headerAt }) => changed(genuine, headerAt, (octet) => octet | 0x40),
    (shape) =>
      isDedicated(shape) || shape === Shape.GENERAL
        ? 'DLMS_SECURITY_CONTROL_INVALID'
        : 'DLMS_KEY_UNKNOWN',
  ],
  'another encryption key': [
    ({ plain, forge, pair }) =>
      forge(plain, {
        keys: { ...pair.clientOptions.security!.keys, unicast: otherKey },
        dedicated: otherKey,
      }),
    () => 'DLMS_CIPHER_TAG_WRONG',
  ],
  'another authentication key': [
    ({ plain, forge, pair }) =>
      forge(plain, { keys: { ...pair.clientOptions.security!.keys, authentication: otherKey } }),
    () => 'DLMS_CIPHER_TAG_WRONG',
  ],
  'a key that nobody gave': [
    ({ plain, forge, shape }) =>
      isDedicated(shape)
        ? undefined
        : forge(plain, { shape: Shape.DEDICATED, dedicated: otherKey }, 1),
    () => 'DLMS_KEY_UNKNOWN',
  ],
  'the system title of another': [
    ({ plain, forge }) => forge(plain, { ownTitle: otherTitle }),
    (shape) => (isSpecific(shape) ? 'DLMS_CIPHER_TAG_WRONG' : 'DLMS_SYSTEM_TITLE_WRONG'),
  ],
  'the tag of another service': [
    ({ genuine, shape }) => (isSpecific(shape) ? changed(genuine, 0, (tag) => tag ^ 1) : undefined),
    () => 'DLMS_SERVICE_UNEXPECTED',
  ],
  'ciphering within ciphering': [
    ({ plain, forge, shape }) =>
      forge(
        forge(plain, {}, 2),
        { shape: isDedicated(shape) ? Shape.GENERAL_DEDICATED : Shape.GENERAL_GLOBAL },
        1,
      ),
    () => 'DLMS_NESTING_EXCEEDED',
  ],
}

/**
 * What the victim does with `octets`: the code of the refusal. Its state is as it should be behind
 * it.
 */
function refusalBy(scene: Scene, victim: Role, octets: Buffer): string | undefined {
  const { pair } = scene
  if (victim === 'client') return outcomeOf(() => pair.client.receive(octets)).code
  const before = pair.refused.length
  const answer = pair.server.receive(octets)
  if (answer === undefined || answer[0] !== 0xd8) return undefined
  if (pair.refused.length === before) return decodeApdu(answer).type
  const code = pair.refused.at(-1)!
  // A lower counter is told which one is expected, everything else that it could not be deciphered.
  const isExpected = code === 'DLMS_COUNTER_REPLAYED' ? answer[2] === 6 : answer[2] === 5
  return isExpected ? code : `${code} as ${answer.toString('hex')}`
}

/** What must not change when something is refused. */
const countersOf = ({ pair, windows }: Scene) => ({
  clientLeft: (pair.clientOptions.security!.counters.unicast as InvocationCounter).left,
  serverLeft: (pair.serverOptions.security!.counters.unicast as InvocationCounter).left,
  clientHeard: windows.client.last,
  serverHeard: windows.server.last,
})

t.test('each attack, each shape, both roles', (t) => {
  for (const [name, [forge, codeOf]] of Object.entries(attacks))
    for (const [shapeName, shape] of shapes)
      for (const victim of ['server', 'client'] as const) {
        const scene = sceneOf(victim, shape)
        const octets = forge(scene)
        if (octets === undefined) continue
        const what = `${victim} is sent ${name}, ${shapeName}`
        const before = countersOf(scene)
        const { pair, genuine } = scene
        const code = refusalBy(scene, victim, octets)
        t.equal(code, codeOf(shape), what)
        t.same(countersOf(scene), before, `${what}: no counter is used up`)
        if (victim === 'server') {
          t.ok(pair.server.isAssociated, `${what}: the association stays`)
          t.same(pair.client.receive(pair.server.receive(genuine)!), {
            results: [plainResults[0]],
          })
        } else t.equal(pair.client.state, 'ENDED', `${what}: the association ends`)
      }
  t.end()
})

t.test('what the victim said itself comes back', (t) => {
  for (const [shapeName, shape] of shapes)
    for (const victim of ['server', 'client'] as const) {
      const scene = sceneOf(victim, shape)
      const before = countersOf(scene)
      const code = refusalBy(scene, victim, scene.own)
      const codes = isSpecific(shape)
        ? ['DLMS_CIPHER_TAG_WRONG', 'DLMS_COUNTER_REPLAYED']
        : ['DLMS_SYSTEM_TITLE_WRONG']
      t.ok(codes.includes(code ?? ''), `${victim}, ${shapeName}: ${code}`)
      t.same(countersOf(scene), before)
    }
  t.end()
})

t.test('cut at each octet, and each octet changed', (t) => {
  for (const [shapeName, shape] of shapes) {
    const scene = sceneOf('server', shape)
    const { pair, genuine } = scene
    const before = countersOf(scene)
    for (let at = 0; at < genuine.length; at++) {
      const cut = refusalBy(scene, 'server', genuine.subarray(0, at))
      if (at === 0) t.equal(cut, undefined, 'nothing at all is not answered')
      else if (!cut?.startsWith('DLMS_')) t.fail(`${shapeName} cut at ${at}: ${cut}`)
      for (const bit of [1, 0x80]) {
        const code = refusalBy(
          scene,
          'server',
          changed(genuine, at, (octet) => octet ^ bit),
        )
        if (code === undefined) t.fail(`${shapeName} changed at ${at}: taken`)
      }
    }
    t.same(countersOf(scene), before, `${shapeName}: no counter is used up`)
    t.same(pair.client.receive(pair.server.receive(genuine)!), { results: [plainResults[0]] })
  }
  // A client ends with the first of them: each needs one of its own.
  for (const [shapeName, shape] of shapes) {
    const { length } = sceneOf('client', shape).genuine
    const places = [...Array(40).keys(), 150, length - 12, length - 1]
    for (const at of places) {
      const scene = sceneOf('client', shape)
      const before = countersOf(scene)
      const cut = refusalBy(scene, 'client', scene.genuine.subarray(0, at))
      if (!cut?.startsWith('DLMS_')) t.fail(`${shapeName} cut at ${at}: ${cut}`)
      t.equal(scene.pair.client.state, cut === 'DLMS_EXCEPTION' ? 'ASSOCIATED' : 'ENDED')
      t.same(countersOf(scene), before)
      const second = sceneOf('client', shape)
      const flipped = changed(second.genuine, at, (octet) => octet ^ 1)
      const code = refusalBy(second, 'client', flipped)
      if (!code?.startsWith('DLMS_')) t.fail(`${shapeName} changed at ${at}: ${code}`)
    }
  }
  t.end()
})

// ── getting in ──

/**
 * Both AARQ and AARE of an association that is about to be made; `tamper` changes the one to the
 * victim.
 */
function associate(
  pair: Pair,
  tamper: { aarq?: (apdu: Buffer) => Buffer; aare?: (apdu: Buffer) => Buffer },
): { code: string | undefined; aare: ApduOf<'aare'> } {
  const { aarq = (apdu: Buffer) => apdu, aare = (apdu: Buffer) => apdu } = tamper
  const answer = pair.server.receive(aarq(Buffer.from(pair.client.begin(get))))!
  const { code } = outcomeOf(() => pair.client.receive(aare(Buffer.from(answer))))
  return { code, aare: decodeApdu(answer) as ApduOf<'aare'> }
}

const choice = { shape: Shape.GLOBAL, protection: both }
const high = (mechanism: number): Partial<ClientOptions> => ({
  mechanism: mechanism as Mechanism,
  secret: Buffer.from('Sixteen octets!!'),
  makerProof: blockCipherProof,
})
const highMechanisms = Object.values(Mechanism).filter((mechanism) => mechanism >= Mechanism.HIGH)
const pairUnder = (mechanism: number): Pair =>
  pairOf(mechanism === Mechanism.HIGH_ECDSA ? 1 : 0, choice, {
    client: high(mechanism),
    server: high(mechanism) as object,
  })

t.test('an AARQ that was changed, weakened or played again is refused, and counted', (t) => {
  const edit =
    (change: Partial<ApduOf<'aarq'>>) =>
    (apdu: Buffer): Buffer =>
      Buffer.from(encodeApdu({ ...(decodeApdu(apdu) as ApduOf<'aarq'>), ...change }))
  const initiate = {
    type: 'initiate-request',
    responseAllowed: true,
    proposedDlmsVersionNumber: 6,
    proposedConformance: 0x1d,
    clientMaxReceivePduSize: 0xffff,
  } as const
  const changes: [string, (apdu: Buffer) => Buffer, number][] = [
    ['a changed tag', (apdu) => changed(apdu, apdu.length - 1, (octet) => octet ^ 1), 13],
    ['the title of another', edit({ callingApTitleView: otherTitle }), 13],
    ['the title of the meter', edit({ callingApTitleView: meterTitle }), 13],
    ['no title', edit({ callingApTitleView: undefined }), 3],
    ['an InitiateRequest in the clear', edit({ userInformation: initiate }), 13],
    ['a context without ciphering', edit({ applicationContextName: 1 }), 2],
    ['no mechanism', edit({ mechanismName: undefined }), 14],
    ['a weaker mechanism', edit({ mechanismName: Mechanism.LOW }), 11],
  ]
  for (const [what, aarq, diagnostic] of changes) {
    const pair = pairUnder(Mechanism.HIGH_GMAC)
    const { code, aare } = associate(pair, { aarq })
    t.equal(code, 'DLMS_ASSOCIATION_REFUSED', what)
    t.match(aare, { result: 1, resultSourceDiagnostic: { diagnostic } }, what)
    t.notOk(pair.server.isAssociated, what)
    if (diagnostic === 13) t.equal(pair.refused.length, 1, `${what} is counted`)
  }
  const windows = new CounterWindow()
  const pair = pairOf(0, choice, { windows })
  let recorded: Buffer | undefined
  associate(pair, { aarq: (apdu) => (recorded = apdu) })
  const heard = windows.last
  pair.server.abort()
  t.match(decodeApdu(pair.server.receive(recorded!)!), { type: 'aare', result: 1 }, 'played again')
  t.same(pair.refused, ['DLMS_COUNTER_REPLAYED'])
  t.equal(windows.last, heard)
  t.end()
})

t.test('a dedicated key of any other length than the suite has is refused', (t) => {
  for (const bytes of [0, 5, 15, 24, 32]) {
    const pair = pairOf(0, choice)
    const { security } = pair.clientOptions
    const channel = new SecurityChannel({
      role: 'client',
      suite: suites[0],
      ownTitle: clientTitle,
      keys: security!.keys,
      counters: security!.counters,
    })
    const initiate = encodeApdu({
      type: 'initiate-request',
      dedicatedKeyView: Buffer.alloc(bytes, 1),
      responseAllowed: true,
      proposedDlmsVersionNumber: 6,
      proposedConformance: 0x1d,
      clientMaxReceivePduSize: 0xffff,
    })
    const userInformation = decodeApdu(
      channel.protect(initiate, choice),
    ) as ApduOf<'glo-initiate-request'>
    const answer = pair.server.receive(
      encodeApdu({
        type: 'aarq',
        applicationContextName: 3,
        callingApTitleView: clientTitle,
        userInformation,
      }),
    )!
    t.match(decodeApdu(answer), { type: 'aare', result: 1 }, `${bytes} octets`)
    t.same(pair.refused, ['DLMS_VALUE_INVALID'])
  }
  t.end()
})

t.test('an AARE that was changed or weakened ends the client', (t) => {
  const edit =
    (change: Partial<ApduOf<'aare'>>) =>
    (apdu: Buffer): Buffer =>
      Buffer.from(encodeApdu({ ...(decodeApdu(apdu) as ApduOf<'aare'>), ...change }))
  const initiate = {
    type: 'initiate-response',
    negotiatedDlmsVersionNumber: 6,
    negotiatedConformance: 0x1d,
    serverMaxReceivePduSize: 0xffff,
    vaaName: 7,
  } as const
  const changes: [string, (apdu: Buffer) => Buffer, string][] = [
    [
      'a changed tag',
      (apdu) => changed(apdu, apdu.length - 1, (octet) => octet ^ 1),
      'DLMS_CIPHER_TAG_WRONG',
    ],
    ['another title', edit({ respondingApTitleView: otherTitle }), 'DLMS_CIPHER_TAG_WRONG'],
    ['our title', edit({ respondingApTitleView: clientTitle }), 'DLMS_SYSTEM_TITLE_WRONG'],
    ['no title', edit({ respondingApTitleView: undefined }), 'DLMS_SYSTEM_TITLE_WRONG'],
    [
      'an InitiateResponse in the clear',
      edit({ userInformation: initiate }),
      'DLMS_PROTECTION_INSUFFICIENT',
    ],
    ['no InitiateResponse', edit({ userInformation: undefined }), 'DLMS_PROTECTION_INSUFFICIENT'],
    [
      'no challenge',
      edit({ respondingAuthenticationValue: undefined }),
      'DLMS_AUTHENTICATION_FAILED',
    ],
  ]
  for (const [what, aare, code] of changes) {
    const pair = pairUnder(Mechanism.HIGH_GMAC)
    t.equal(associate(pair, { aare }).code, code, what)
    t.equal(pair.client.state, 'ENDED', what)
  }
  t.end()
})

t.test('challenges and proofs that come back', (t) => {
  for (const mechanism of highMechanisms) {
    // Our own challenge, for us to answer.
    const echo = pairUnder(mechanism)
    let challenge: Buffer | undefined
    const { code } = associate(echo, {
      aarq(apdu) {
        challenge = (decodeApdu(apdu) as ApduOf<'aarq'>).callingAuthenticationValue!.valueView
        return apdu
      },
      aare(apdu) {
        const aare = decodeApdu(apdu) as ApduOf<'aare'>
        const respondingAuthenticationValue = { type: 'charstring', valueView: challenge! } as const
        return Buffer.from(encodeApdu({ ...aare, respondingAuthenticationValue }))
      },
    })
    t.equal(code, 'DLMS_CHALLENGE_REFLECTED', `mechanism ${mechanism}`)
    t.equal(echo.client.state, 'ENDED')
    // Our own proof, as the meter's. In the clear, so that nothing but the proof is in the way.
    const plain = pairUnder(mechanism)
    const client = new DlmsClient({
      ...plain.clientOptions,
      security: { ...plain.clientOptions.security!, isCiphered: false },
    })
    const server = new DlmsServer({
      ...plain.serverOptions,
      security: { ...plain.serverOptions.security!, isCipheringNeeded: false },
    })
    const step = client.receive(server.receive(client.begin(get))!)
    const ours = 'send' in step ? decodeApdu(step.send) : undefined
    if (ours?.type !== 'action-request-normal') return t.fail('no proof was sent')
    const reflected = encodeApdu({
      type: 'action-response-normal',
      invokeIdAndPriority: ours.invokeIdAndPriority,
      result: 0,
      returned: { type: 'data', valueView: ours.parametersView! },
    })
    t.equal(
      outcomeOf(() => client.receive(reflected)).code,
      'DLMS_AUTHENTICATION_FAILED',
      `mechanism ${mechanism}: our own proof`,
    )
    t.equal(client.state, 'ENDED')
  }
  t.end()
})

t.test(
  'a server with a wrong proof before it: nothing is served, and there is no second try',
  (t) => {
    for (const mechanism of highMechanisms) {
      const { clientOptions, serverOptions, refused } = pairUnder(mechanism)
      const client = new DlmsClient({
        ...clientOptions,
        security: { ...clientOptions.security!, isCiphered: false },
      })
      let asked = 0
      const server = new DlmsServer({
        ...serverOptions,
        objects: { ...objects, get: (...all) => (asked++, objects.get(...all)) },
        security: { ...serverOptions.security!, isCipheringNeeded: false },
      })
      const step = client.receive(server.receive(client.begin(get))!)
      if (!('send' in step)) return t.fail('no proof was sent')
      const proof = Buffer.from(step.send)
      const request = Buffer.concat([
        Buffer.from('c001c1', 'hex'),
        get[0]!.descriptor,
        Buffer.of(0),
      ])
      t.equal(server.receive(request)![0], 0xd8, 'before the proof')
      const wrong = changed(proof, proof.length - 1, (octet) => octet ^ 1)
      t.match(decodeApdu(server.receive(wrong)!), {
        type: 'action-response-normal',
        result: DataAccessResult.READ_WRITE_DENIED,
      })
      t.notOk(server.isAssociated, `mechanism ${mechanism}: the association is over`)
      t.equal(server.receive(proof)![0], 0xd8, 'the right proof comes too late')
      t.equal(server.receive(request)![0], 0xd8)
      t.equal(asked, 0, 'nothing was read')
      t.same(refused, ['DLMS_AUTHENTICATION_FAILED'], 'it is counted')
    }
    t.end()
  },
)

t.test('a proof that is cut at each octet is answered, and is none', (t) => {
  const { clientOptions, serverOptions } = pairUnder(Mechanism.HIGH_GMAC)
  const asked = (): { server: DlmsServer; proof: Buffer } => {
    const client = new DlmsClient({
      ...clientOptions,
      security: { ...clientOptions.security!, isCiphered: false },
    })
    const server = new DlmsServer({
      ...serverOptions,
      security: { ...serverOptions.security!, isCipheringNeeded: false },
    })
    const step = client.receive(server.receive(client.begin(get))!)
    return { server, proof: 'send' in step ? Buffer.from(step.send) : Buffer.alloc(0) }
  }
  const { length } = asked().proof
  t.ok(length > 30)
  for (let at = 1; at < length; at++) {
    const { server, proof } = asked()
    const answer = decodeApdu(server.receive(proof.subarray(0, at))!)
    const isRefused =
      answer.type === 'exception-response' ||
      (answer.type === 'action-response-normal' && answer.result !== 0)
    t.ok(isRefused, `cut at ${at}: ${answer.type}`)
  }
  t.end()
})

t.test('between questions: what comes unsolicited, and blocks that were changed', (t) => {
  const windows = new CounterWindow()
  const { clientOptions } = pairOf(0, choice)
  const security = { ...clientOptions.security!, windows: { unicast: windows } }
  const pair = pairOf(0, choice, { client: { security } })
  exchange(pair, get)
  const heard = windows.last
  const push = Buffer.from('0f0000000100020 0'.replaceAll(' ', ''), 'hex')
  const { code } = outcomeOf(() => pair.client.openUnasked(push))
  t.equal(code, 'DLMS_PROTECTION_INSUFFICIENT', 'a notification in the clear')
  t.equal(pair.client.state, 'ASSOCIATED', 'which anybody may send, and changes nothing')
  t.equal(windows.last, heard)
  t.same(exchange(pair, get), [plainResults[0]])
  // General blocks are in the clear around what is ciphered as a whole.
  for (const toServer of [true, false]) {
    const small = pairOf(0, choice, {
      client: { apduBytesMax: 120, prefersGeneralBlocks: true },
      server: { apduBytesMax: 128 },
    })
    exchange(small, get)
    let blocks = 0
    small.onWire = (apdu, way) => {
      if (way !== toServer || apdu[0] !== 0xe0 || apdu.length < 30 || blocks++ > 0) return apdu
      return changed(apdu, 25, (octet) => octet ^ 1)
    }
    const outcome = outcomeOf(() => exchange(small, toServer ? operations.slice(1, 2) : get))
    t.equal(outcome.code, toServer ? 'DLMS_EXCEPTION' : 'DLMS_CIPHER_TAG_WRONG')
    if (toServer) t.same(small.refused, ['DLMS_CIPHER_TAG_WRONG'])
  }
  t.end()
})
