/**
 * What real meters do that the standard does not say, or not so, and what our client makes of it:
 * taken, or refused by name. Each test names the habit. Those of blocks, floats, lists, SET and
 * ACTION in the clear are in client.test.ts, of single APDUs in apdu.test.ts, of date-times in
 * date-time.test.ts, of pushes in push.test.ts, of HDLC in hdlc/.
 */
import t from 'tap'
import { Conformance, conformanceSupported } from '../../../core/dlms/apdu/constants.ts'
import { decodeApdu, encodeApdu, type ApduOf } from '../../../core/dlms/apdu/codec.ts'
import { BlockControl } from '../../../core/dlms/apdu/general-block-transfer.ts'
import { DlmsClient } from '../../../core/dlms/client/client.ts'
import { encodeAare } from '../../support/acse.ts'
import {
  Mechanism,
  CounterWindow,
  InvocationCounter,
  SecurityChannel,
  Shape,
  standardProfile,
  suites,
  type SecurityProfile,
} from '../../../core/dlms/security/index.ts'
import { deviceProfileOf } from '../../../core/inventory/device-profiles.ts'
import { SecretKey } from '../../../core/crypto/crypto.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { outcomeOf } from '../../support/dlms.ts'
import {
  both,
  clientTitle,
  descriptor,
  exchange,
  meterTitle,
  operations,
  pairOf,
  plainResults,
  type Pair,
} from '../../support/secured-pair.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const get = operations.slice(0, 1)
const choice = { shape: Shape.GLOBAL, protection: both }
const aare = (conformance: number, pduBytesMax = 1024): Buffer =>
  encodeAare({ result: 0, diagnostic: 0, initiate: { conformance, pduBytesMax } })

t.test(
  'an AARE with a protocol version, diagnostic 0 for 14, no mechanism, no requirements',
  (t) => {
    for (const mechanism of [Mechanism.HIGH_SHA256, Mechanism.HIGH_GMAC]) {
      const credentials = { mechanism, secret: Buffer.from('Sixteen octets!!') } as const
      const pair = pairOf(0, choice, { client: credentials, server: credentials })
      pair.onWire = (apdu, toServer) => {
        if (toServer || apdu[0] !== 0x61) return apdu
        const answer = decodeApdu(apdu) as ApduOf<'aare'>
        return encodeApdu({
          ...answer,
          protocolVersion: '1',
          resultSourceDiagnostic: { source: 'acse-service-user', diagnostic: 0 },
          responderAcseRequirements: undefined,
          mechanismName: undefined,
        })
      }
      t.same(exchange(pair, operations), plainResults, `mechanism ${mechanism}`)
    }
    t.end()
  },
)

t.test("a meter's counters begin with 0", (t) => {
  const windows = new CounterWindow()
  const { serverOptions, clientOptions } = pairOf(0, choice)
  const counters = { unicast: new InvocationCounter(0) }
  const pair = pairOf(0, choice, {
    client: { security: { ...clientOptions.security!, windows: { unicast: windows } } },
    server: { security: { ...serverOptions.security!, counters } },
  })
  t.same(exchange(pair, get), [plainResults[0]])
  t.equal(windows.last, 1, '0 with the AARE, 1 with the response')
  t.end()
})

t.test('the counter is read as public client, and never goes back', (t) => {
  t.same(deviceProfileOf()!.invocationCounter, { obis: '0-0:43.1.0.255', client: 16 })
  const counter = new InvocationCounter(7)
  counter.raiseTo(3)
  t.equal(counter.take(), 7)
  counter.raiseTo(0x3eb)
  t.equal(counter.take(), 0x3eb)
  t.end()
})

t.test('a release: too short an RLRE, an exception, nothing but the end of the connection', (t) => {
  const answers: [string, string][] = [
    [
      'its user information four octets too short',
      `63248001 00be22 0421 281f30 ${'00'.repeat(28)}`,
    ],
    ['in the clear', '6303800100'],
    ['empty', '6300'],
    ['an exception', 'd80103'],
  ]
  for (const [what, answer] of answers) {
    const pair = pairOf(0, choice)
    exchange(pair, get)
    pair.client.release()
    t.same(pair.client.receive(hex(answer)), { released: true }, what)
    t.equal(pair.client.state, 'IDLE', what)
  }
  const pair = pairOf(0, choice)
  exchange(pair, get)
  pair.client.release()
  pair.client.abort()
  t.equal(pair.client.state, 'ENDED')
  t.end()
})

t.test('a bad counter: an exception of 3 or 7 octets, four odd octets', (t) => {
  for (const [answer, expected] of [
    ['d80106', undefined],
    ['d80106 000003eb', 0x3eb],
  ] as const) {
    const pair = pairOf(0, choice)
    pair.client.begin(get)
    const { code } = outcomeOf(() => pair.client.receive(hex(answer)))
    t.equal(code, 'DLMS_ASSOCIATION_REFUSED', 'in answer to the AARQ')
    t.equal(pair.client.expectedCounter, expected)
    const later = pairOf(0, choice)
    exchange(later, get)
    later.client.begin(get)
    t.equal(outcomeOf(() => later.client.receive(hex(answer))).code, 'DLMS_EXCEPTION')
    t.equal(later.client.expectedCounter, expected)
    t.equal(later.client.state, 'ASSOCIATED')
  }
  for (const odd of ['000003eb', 'ffffffff', '01060000']) {
    const pair = pairOf(0, choice)
    pair.client.begin(get)
    t.equal(outcomeOf(() => pair.client.receive(hex(odd))).code, 'DLMS_SERVICE_UNEXPECTED', odd)
    t.equal(pair.client.state, 'ENDED')
    const later = pairOf(0, choice)
    exchange(later, get)
    later.client.begin(get)
    const { code } = outcomeOf(() => later.client.receive(hex(odd)))
    t.match(code, /^DLMS_(PROTECTION_INSUFFICIENT|SERVICE_UNEXPECTED)$/, odd)
    t.equal(later.client.state, 'ENDED')
  }
  t.end()
})

t.test('services that the meter leaves out of its conformance', (t) => {
  const long = { kind: 'set', descriptor, value: Buffer.concat([hex('0940'), Buffer.alloc(64)]) }
  for (const refusal of ['d80102', 'd80202']) {
    const client = new DlmsClient({ lists: new Set(['get', 'set', 'action']) })
    client.begin([...get, ...get, long as (typeof get)[0], { kind: 'action', descriptor }])
    const sent = (answer: string | Buffer): string => {
      const step = client.receive(typeof answer === 'string' ? hex(answer) : answer)
      return 'send' in step ? step.send.toString('hex', 0, 2) : JSON.stringify(step)
    }
    t.equal(sent(aare(Conformance.GET, 40)), 'c001', 'no list')
    t.equal(sent('c401c1 00 1101'), 'c001')
    t.equal(sent('c401c2 01 04'), 'c101', 'no blocks')
    t.equal(sent(refusal), 'c301')
    t.same(client.receive(hex(refusal)), {
      results: [
        { value: hex('1101'), result: 0 },
        { value: undefined, result: 4 },
        { value: undefined, result: 13 },
        { value: undefined, result: 13 },
      ],
    })
  }
  t.end()
})

t.test('what is missing or empty: denied or undefined, alone and in a list; null-data', (t) => {
  const client = new DlmsClient()
  client.begin([...get, ...get, ...get])
  client.receive(aare(conformanceSupported))
  t.same(client.receive(hex('c403c1 03 01 03 01 04 00 00')), {
    results: [
      { value: undefined, result: 3 },
      { value: undefined, result: 4 },
      { value: hex('00'), result: 0 },
    ],
  })
  // Cut short behind what is missing: the same ones again, one by one.
  client.begin([...get, ...get])
  const step = client.receive(hex('c403c2 02 00 1101 01'))
  t.ok('send' in step && step.send[1] === 1)
  t.end()
})

t.test('a list of methods, answered without the optional octets, and cut short', (t) => {
  const methods = [1, 2, 3].map(() => ({ kind: 'action', descriptor }) as const)
  const resultsOf = (answer: string): unknown => {
    const client = new DlmsClient({ lists: new Set(['action']) })
    client.begin(methods)
    client.receive(aare(conformanceSupported))
    const step = client.receive(hex(answer))
    return 'results' in step ? step.results.map(({ result }) => result) : step
  }
  t.same(resultsOf('c703c1 03 00 00 03 00 0b 00'), [0, 3, 11])
  t.same(resultsOf('c703c1 03 00 03 0b'), [0, 3, 11], 'bare results')
  t.same(
    resultsOf('c703c1 03 00 00 03 00'),
    [0, 3, 250],
    'the last one is missing, and not asked again',
  )
  t.same(resultsOf('c703c1 02 00 00 03 00'), [0, 3, 250], 'fewer than were asked for')
  t.end()
})

t.test('a meter that begins general block transfer by itself, with streaming and a window', (t) => {
  const value = Buffer.concat([hex('0982 012c'), Buffer.alloc(300, 7)])
  const response = Buffer.concat([hex('c401c1 00'), value])
  const { STREAMING, LAST_BLOCK } = BlockControl
  const block = (blockNumber: number, control: number, from: number, to: number): Buffer =>
    encodeApdu({
      type: 'general-block-transfer',
      blockControl: control | 3,
      blockNumber,
      blockNumberAck: 0,
      blockDataView: response.subarray(from, to),
    })
  const client = new DlmsClient()
  client.begin(get)
  client.receive(aare(conformanceSupported))
  t.same(client.receive(block(1, STREAMING, 0, 100)), { wait: true })
  t.same(client.receive(block(2, STREAMING, 100, 200)), { wait: true })
  t.same(client.receive(block(3, LAST_BLOCK, 200, 308)), { results: [{ value, result: 0 }] })
  t.end()
})

t.test('silence to a long SET: nothing is repeated, and the client can be given up', (t) => {
  const client = new DlmsClient()
  client.begin([{ kind: 'set', descriptor, value: Buffer.concat([hex('0940'), Buffer.alloc(64)]) }])
  client.receive(aare(conformanceSupported & ~Conformance.GENERAL_BLOCK_TRANSFER, 40))
  t.equal(client.remind(), undefined)
  client.abort()
  t.equal(client.state, 'ENDED')
  t.end()
})

t.test('answers in every shape, and questions that are answered in theirs', (t) => {
  const dedicatedKey = SecretKey.random(seededRandom(21), 16)
  const { clientOptions, serverOptions } = pairOf(0, choice)
  const pairAsking = (shape: Shape): Pair =>
    pairOf(0, choice, {
      client: {
        security: { ...clientOptions.security!, dedicatedKey, choice: { shape, protection: both } },
      },
    })
  const shapes = [Shape.GLOBAL, Shape.GENERAL_GLOBAL, Shape.DEDICATED, Shape.GENERAL_DEDICATED]
  for (const asked of shapes) {
    const pair = pairAsking(asked)
    const tags: number[] = []
    pair.onWire = (apdu) => (tags.push(apdu[0]!), apdu)
    t.same(exchange(pair, get), [plainResults[0]])
    const [request, answer] = tags.slice(2)
    // A service's own tag is four higher in the answer, a general one the same.
    t.equal(answer, request! >= 0xdb ? request : request! + 4, `the server in shape ${asked}`)
    // The meter's place is taken by a channel that protects its answers as it likes.
    const counter = new InvocationCounter(500)
    const meter = new SecurityChannel({
      role: 'server',
      suite: suites[0],
      ownTitle: meterTitle,
      peerTitle: clientTitle,
      keys: serverOptions.security!.keys,
      counters: { unicast: counter },
    })
    meter.setDedicatedKey(dedicatedKey, counter)
    for (const answered of shapes) {
      pair.client.begin(get)
      const invokeId = Buffer.of(0xc0 | pair.client.invokeIdLast)
      const plain = Buffer.concat([hex('c401'), invokeId, hex('001101')])
      t.same(
        pair.client.receive(meter.protect(plain, { shape: answered, protection: both })),
        { results: [{ value: hex('1101'), result: 0 }] },
        `shape ${answered} in answer to ${asked}`,
      )
    }
  }
  t.end()
})

t.test(
  'authentication alone, as makers have it: refused and named, let through by profile',
  (t) => {
    const authenticated = { shape: Shape.GLOBAL, protection: 0x10 }
    for (const name of ['tag-authenticated', 'authenticated-enciphered'] as const) {
      const deviation = deviceProfileOf(name)!.security!
      const profile: SecurityProfile = { ...standardProfile, ...deviation }
      const { serverOptions, clientOptions } = pairOf(0, authenticated)
      const between = (client: SecurityProfile): Pair =>
        pairOf(0, authenticated, {
          client: { security: { ...clientOptions.security!, profile: client } },
          server: { security: { ...serverOptions.security!, profile } },
        })
      t.same(exchange(between(profile), operations), plainResults, `${name}: by profile`)
      // The meter is the same, and the client knows nothing of its habit.
      const pair = between(standardProfile)
      pair.client.begin(get)
      const answer = pair.server.receive(between(profile).client.begin(get))!
      t.throws(
        () => pair.client.receive(answer),
        { code: 'DLMS_CIPHER_TAG_WRONG', detail: new RegExp(`: ${deviation.authenticationOnly}$`) },
        `${name}: it is said which`,
      )
      t.equal(pair.client.state, 'ENDED')
    }
    t.end()
  },
)

/**
 * A pair whose client makes a dedicated key for each association, where it has one, and those keys.
 */
function forgetting(shape: Shape): { pair: Pair; keys: string[] } {
  const random = seededRandom(31)
  const keys: string[] = []
  const nextKey = (): SecretKey => {
    const key = SecretKey.random(random, 16)
    keys.push(key.copyOfOctets().toString('hex'))
    return key
  }
  const pair = pairOf(0, { shape, protection: both })
  const security = pair.clientOptions.security!
  const isDedicated = security.dedicatedKey !== undefined
  const options = { ...security, dedicatedKey: isDedicated ? nextKey : undefined }
  return {
    pair: { ...pair, client: new DlmsClient({ ...pair.clientOptions, security: options }) },
    keys,
  }
}

t.test('a meter that has forgotten a ciphered association', (t) => {
  for (const said of ['d80101', 'd80103'])
    for (const shape of [Shape.GLOBAL, Shape.GENERAL_DEDICATED, Shape.DEDICATED]) {
      const { pair } = forgetting(shape)
      exchange(pair, get)
      pair.server.abort()
      let first = true
      pair.onWire = (apdu, toServer) => {
        if (toServer || !first) return apdu
        first = false
        return hex(said)
      }
      t.same(exchange(pair, get), plainResults.slice(0, 1), `${said}, shape ${shape}`)
      t.same(exchange(pair, operations), plainResults, 'and goes on')
    }
  // Our own says so, too.
  const pair = pairOf(0, { shape: Shape.GLOBAL, protection: both })
  exchange(pair, get)
  pair.server.abort()
  t.same(exchange(pair, get), plainResults.slice(0, 1))
  for (const [said, what] of [
    ['d80106000003eb', 'a wrong counter is that'],
    ['d80202', 'and a service that is not known is not'],
  ] as const) {
    const other = pairOf(0, { shape: Shape.GLOBAL, protection: both })
    exchange(other, get)
    other.onWire = (apdu, toServer) => (toServer ? apdu : hex(said))
    t.equal(outcomeOf(() => exchange(other, get)).code, 'DLMS_EXCEPTION', what)
  }
  t.end()
})

t.test('a dedicated key serves one association', (t) => {
  const { pair, keys } = forgetting(Shape.DEDICATED)
  for (let times = 1; times <= 3; times++) {
    t.same(exchange(pair, get), plainResults.slice(0, 1))
    pair.client.receive(pair.server.receive(pair.client.release())!)
    t.equal(new Set(keys).size, times)
  }
  const once = pairOf(0, { shape: Shape.DEDICATED, protection: both })
  exchange(once, get)
  once.client.receive(once.server.receive(once.client.release())!)
  t.throws(() => once.client.begin(get), { code: 'DLMS_KEY_UNKNOWN' })
  t.end()
})
