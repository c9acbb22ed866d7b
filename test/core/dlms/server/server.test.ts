/**
 * Both roles against each other over every combination, and the device's side against what no
 * client of ours sends.
 */
import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../../../core/base/broker-error.ts'
import { limits } from '../../../../core/base/limits.ts'
import { decodeAare, encodeAarq } from '../../../support/acse.ts'
import type { Aarq } from '../../../../core/dlms/apdu/acse.ts'
import { decodeApdu, encodeApdu } from '../../../../core/dlms/apdu/codec.ts'
import {
  Conformance,
  conformanceShortName,
  conformanceSupported,
  DataAccessResult,
} from '../../../../core/dlms/apdu/constants.ts'
import type { ShortNames } from '../../../../core/dlms/client/short-name.ts'
import type { MemberOf } from '../../../../core/dlms/server/short-name.ts'
import { encodeValue, Tag } from '../../../../core/dlms/axdr/axdr.ts'
import { DlmsClient, type ClientOptions } from '../../../../core/dlms/client/client.ts'
import {
  DlmsServer,
  type CosemObjects,
  type ServerOptions,
} from '../../../../core/dlms/server/server.ts'
import { wrapInPlace, WrapperReader } from '../../../../core/dlms/framing/wrapper.ts'
import type { CosemOperation, CosemResult } from '../../../../core/ports/wan.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/**
 * Objects in a map by descriptor; a selection gives itself as an octet-string, a method its
 * parameter.
 */
class MapObjects implements CosemObjects {
  readonly values = new Map<string, Buffer>()

  get(descriptor: Buffer, selection: Buffer | undefined): Buffer | number {
    if (selection !== undefined)
      return encodeValue({ tag: Tag.OCTET_STRING, value: Buffer.from(selection) })
    return this.values.get(descriptor.toString('hex')) ?? DataAccessResult.OBJECT_UNDEFINED
  }

  set(descriptor: Buffer, selection: Buffer | undefined, valueView: Buffer): number {
    if (selection !== undefined) return DataAccessResult.TYPE_UNMATCHED
    this.values.set(descriptor.toString('hex'), Buffer.from(valueView))
    return DataAccessResult.SUCCESS
  }

  invoke(
    descriptor: Buffer,
    parameterView: Buffer | undefined,
  ): { result: number; value?: Buffer } {
    if (!this.values.has(descriptor.toString('hex')))
      return { result: DataAccessResult.OBJECT_UNDEFINED }
    return parameterView === undefined
      ? { result: 0 }
      : { result: 0, value: Buffer.from(parameterView) }
  }
}

const descriptor = (index: number): Buffer => Buffer.of(0, 3, 1, 0, 1, 8, index, 255, 2)
const octetString = (bytes: number): Buffer =>
  encodeValue({ tag: Tag.OCTET_STRING, value: Buffer.alloc(bytes, bytes) })

/** Carries `operations` out over both wrappers; counts APDUs. */
function exchange(
  client: DlmsClient,
  server: DlmsServer,
  operations: readonly CosemOperation[],
): { results: CosemResult[]; apdus: number } {
  const towardsServer = new WrapperReader()
  const towardsClient = new WrapperReader()
  const over = (reader: WrapperReader, frame: Buffer): Buffer => {
    reader.push(frame)
    return reader.next()!.apduView
  }
  let apdus = 0
  /** What is on its way; `undefined` is nobody's turn any more. */
  const answers: Buffer[] = []
  const toServer = (first: Buffer): void => {
    for (let apdu: Buffer | undefined = first; apdu !== undefined; apdu = client.more()) {
      apdus++
      const answer = server.receive(over(towardsServer, wrapInPlace(apdu, 16, 1)))
      if (answer === undefined) continue
      answers.push(answer)
      for (let more = server.more(); more !== undefined; more = server.more()) answers.push(more)
    }
  }
  toServer(client.begin(operations))
  for (let answer = answers.shift(); answer !== undefined; answer = answers.shift()) {
    const step = client.receive(over(towardsClient, wrapInPlace(answer, 1, 16)))
    if ('send' in step) toServer(step.send)
    else if ('results' in step) return { results: step.results, apdus }
    else if ('released' in step) throw new Error('released')
  }
  throw new Error('nobody has anything to say')
}

/** What `operations` give when the objects are asked without anything between. */
function expected(
  objects: MapObjects,
  operations: readonly CosemOperation[],
  agreed: number,
): CosemResult[] {
  return operations.map((operation) => {
    const at = Buffer.from(operation.descriptor)
    const { kind, selection, value } = operation
    if (kind === 'get') {
      const result =
        selection === undefined || agreed & Conformance.SELECTIVE_ACCESS
          ? objects.get(at, selection && Buffer.from(selection))
          : DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
      return typeof result === 'number'
        ? { value: undefined, result }
        : { value: result, result: 0 }
    }
    if (!(agreed & (kind === 'set' ? Conformance.SET : Conformance.ACTION))) {
      return { value: undefined, result: DataAccessResult.SCOPE_OF_ACCESS_VIOLATED }
    }
    if (kind === 'set')
      return { value: undefined, result: objects.set(at, undefined, Buffer.from(value!)) }
    const { result, value: returned } = objects.invoke(at, value && Buffer.from(value))
    return { value: returned, result }
  })
}

const operations: fc.Arbitrary<CosemOperation[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .nat(9)
        .map((index): CosemOperation => ({ kind: 'get', descriptor: descriptor(index) })),
    },
    fc.tuple(fc.nat(9), fc.nat(60)).map(([index, bytes]): CosemOperation => ({
      kind: 'get',
      descriptor: descriptor(index),
      selection: Buffer.concat([Buffer.of(2), octetString(bytes)]),
    })),
    fc.tuple(fc.nat(9), fc.nat(400)).map(([index, bytes]): CosemOperation => ({
      kind: 'set',
      descriptor: descriptor(index),
      value: octetString(bytes),
    })),
    fc.nat(9).map((index): CosemOperation => ({ kind: 'action', descriptor: descriptor(index) })),
    fc
      .tuple(fc.nat(9), fc.oneof(fc.nat(20), fc.nat(400)))
      .map(([index, bytes]): CosemOperation => ({
        kind: 'action',
        descriptor: descriptor(index),
        value: octetString(bytes),
      })),
  ),
  { minLength: 1, maxLength: 12 },
)

const inServiceBlocks =
  Conformance.BLOCK_TRANSFER_WITH_GET |
  Conformance.BLOCK_TRANSFER_WITH_SET |
  Conformance.BLOCK_TRANSFER_WITH_ACTION

/** Ways in which a client may go about it. */
const ways: fc.Arbitrary<Omit<ClientOptions, 'secret'>> = fc.record({
  lists: fc.constantFrom(new Set(['get']), new Set(['get', 'set', 'action'])) as fc.Arbitrary<
    ReadonlySet<CosemOperation['kind']>
  >,
  prefersAccess: fc.boolean(),
  prefersGeneralBlocks: fc.boolean(),
  generalBlockWindow: fc.constantFrom(1, 3, 63),
})

t.test('client and server agree on every operation, whatever they negotiate', (t) => {
  const bits = fc.constantFrom(
    conformanceSupported,
    conformanceSupported & ~Conformance.MULTIPLE_REFERENCES,
    conformanceSupported & ~Conformance.SELECTIVE_ACCESS,
    conformanceSupported & ~Conformance.SET,
    conformanceSupported & ~Conformance.GENERAL_BLOCK_TRANSFER,
    conformanceSupported & ~inServiceBlocks,
    conformanceSupported & ~Conformance.ACCESS,
    Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET,
  )
  const pdu = fc.constantFrom(100, 128, 200, 512, 65_535)
  const sizes = fc.array(fc.oneof(fc.nat(20), fc.nat(3000)), { minLength: 8, maxLength: 8 })
  const secrets = fc.option(fc.uint8Array({ maxLength: 64 }), { nil: undefined })
  fc.assert(
    fc.property(
      fc.array(operations, { minLength: 1, maxLength: 3 }),
      sizes,
      bits,
      pdu,
      pdu,
      secrets,
      ways,
      fc.constantFrom(1, 5),
      (exchanges, sizes, conformance, ours, theirs, secret, way, generalBlockWindow) => {
        const objects = new MapObjects()
        const twin = new MapObjects()
        // Two of the ten objects are missing.
        sizes.forEach((bytes, index) => {
          objects.values.set(descriptor(index).toString('hex'), octetString(bytes))
          twin.values.set(descriptor(index).toString('hex'), octetString(bytes))
        })
        const server = new DlmsServer({
          objects,
          conformance,
          apduBytesMax: theirs,
          secret,
          generalBlockWindow,
        })
        const client = new DlmsClient({ ...way, secret, apduBytesMax: ours })
        for (const operations of exchanges) {
          const { results } = exchange(client, server, operations)
          t.same(results, expected(twin, operations, conformance))
        }
        t.same(objects.values, twin.values)
        t.same(client.receive(server.receive(client.release())!), { released: true })
        t.notOk(server.isAssociated)
      },
    ),
    { numRuns: 300 },
  )
  t.end()
})

/** Ten registers by short name: attribute 2 of each at its base name + 8. */
const nameOf = (index: number): number => 0x1000 + index * 0x50
const shortNames: ShortNames = ({ kind, descriptor: asked }) =>
  asked[1] === 3 ? nameOf(asked[6]!) + (kind === 'action' ? 0x28 : 8) : undefined
const memberOf: MemberOf = (variableName) => {
  const index = Math.floor((variableName - 0x1000) / 0x50)
  if (index < 0 || index > 9) return undefined
  const offset = variableName - nameOf(index)
  if (offset === 8) return { kind: 'attribute', descriptor: descriptor(index) }
  return offset === 0x28 ? { kind: 'method', descriptor: descriptor(index) } : undefined
}

t.test('short names: client and server agree on every operation, whatever they negotiate', (t) => {
  const bits = fc.constantFrom(
    conformanceShortName,
    conformanceShortName & ~Conformance.MULTIPLE_REFERENCES,
    conformanceShortName & ~Conformance.GENERAL_BLOCK_TRANSFER,
  )
  const pdu = fc.constantFrom(100, 200, 65_535)
  const sizes = fc.array(fc.oneof(fc.nat(20), fc.nat(2000)), { minLength: 8, maxLength: 8 })
  fc.assert(
    fc.property(
      fc.array(operations, { minLength: 1, maxLength: 3 }),
      sizes,
      bits,
      pdu,
      pdu,
      (exchanges, sizes, conformance, ours, theirs) => {
        const objects = new MapObjects()
        const twin = new MapObjects()
        sizes.forEach((bytes, index) => {
          objects.values.set(descriptor(index).toString('hex'), octetString(bytes))
          twin.values.set(descriptor(index).toString('hex'), octetString(bytes))
        })
        const server = new DlmsServer({ objects, memberOf, conformance, apduBytesMax: theirs })
        const client = new DlmsClient({ shortNames, apduBytesMax: ours })
        for (const some of exchanges) {
          // A method is called by a read, whose parameter goes in no blocks but general ones.
          const takesAny = (conformance & Conformance.GENERAL_BLOCK_TRANSFER) !== 0
          const asked = some.filter(
            ({ kind, value }) => kind !== 'action' || takesAny || (value?.length ?? 0) < 60,
          )
          if (asked.length === 0) continue
          const { results } = exchange(client, server, asked)
          const wanted = expected(twin, asked, conformanceSupported).map((one, i) =>
            asked[i]!.kind === 'action' && one.result === 0 && one.value === undefined
              ? { value: Buffer.of(Tag.NULL), result: 0 }
              : one,
          )
          t.same(results, wanted)
        }
        t.same(objects.values, twin.values)
      },
    ),
    { numRuns: 200 },
  )
  t.end()
})

t.test('short names: a selection is never left out', (t) => {
  const selection = hex('01 1105')
  const asked = [
    { kind: 'set', descriptor: descriptor(1), selection, value: hex('1107') },
    { kind: 'get', descriptor: descriptor(1), selection },
    { kind: 'get', descriptor: descriptor(1) },
  ] as const
  const run = (conformance: number) => {
    const objects = new MapObjects()
    objects.values.set(descriptor(1).toString('hex'), hex('1101'))
    const set: string[] = []
    objects.set = (_asked, given, valueView) => {
      set.push(`${given?.toString('hex')} ${valueView.toString('hex')}`)
      return 0
    }
    const server = new DlmsServer({ objects, memberOf, conformance })
    return { ...exchange(new DlmsClient({ shortNames }), server, asked), set }
  }
  const agreed = run(conformanceShortName)
  t.same(agreed.set, ['011105 1107'], 'written by parameterized access')
  t.same(agreed.results, [
    { value: undefined, result: 0 },
    { value: hex('0903 011105'), result: 0 },
    { value: hex('1101'), result: 0 },
  ])
  const refused = {
    value: undefined,
    result: DataAccessResult.SCOPE_OF_ACCESS_VIOLATED,
  }
  const without = run(conformanceShortName & ~Conformance.PARAMETERIZED_ACCESS)
  t.same(without.set, [], 'nothing is written when it was not agreed to')
  t.same(without.results, [refused, refused, { value: hex('1101'), result: 0 }])
  const server = new DlmsServer({ objects: new MapObjects(), memberOf })
  exchange(new DlmsClient({ shortNames }), server, [asked[2]])
  // A method has no selection to be written to. [IEC 62056-5-3, WriteRequest, parameterized-access]
  t.same(server.receive(hex('06 01 04 1078 01 00 01 1108')), hex('0d 01 01 0d'))
  t.end()
})

t.test('short names: what is not there, what is not allowed, what wants no answer', (t) => {
  const objects = new MapObjects()
  objects.values.set(descriptor(1).toString('hex'), octetString(4))
  const server = new DlmsServer({ objects, memberOf })
  const client = new DlmsClient({ shortNames })
  const unknown = { kind: 'get', descriptor: Buffer.alloc(9) } as const
  t.same(exchange(client, server, [unknown]).results, [{ value: undefined, result: 4 }])
  // unconfirmed-write-request of one name and value. [IEC 62056-5-3, UnconfirmedWriteRequest]
  t.equal(server.receive(hex('16 01 02 1058 01 1107')), undefined)
  t.same(objects.values.get(descriptor(1).toString('hex')), hex('1107'))
  t.same(server.receive(hex('05 01 02 1058')), hex('0c 01 00 1107'), 'a read laid out by hand')
  t.same(server.receive(hex('06 01 02 1058 01 1108')), hex('0d 01 00'), 'and a write')
  t.same(server.receive(hex('05 01 05 0001')), hex('0c 01 01 10'), 'no long read in progress')
  t.same(server.receive(hex('06 02 02 1058 01 1108')), hex('d80103'), 'two names, one value')
  t.same(server.receive(hex('c001c1 0003 0100010801ff 02 00')), hex('d80102'), 'no GET here')
  const logical = new DlmsServer({ objects })
  t.throws(() => exchange(new DlmsClient({ shortNames }), logical, [unknown]), {
    code: 'DLMS_ASSOCIATION_REFUSED',
  })
  t.end()
})

t.test('ACCESS: breaking on an error, and describing itself', (t) => {
  const objects = new MapObjects()
  objects.values.set(descriptor(1).toString('hex'), hex('1101'))
  const at = (index: number): string => descriptor(index).toString('hex')
  // get, get of what is not there, set, get with selection, action
  const specifications = `05 01${at(1)} 01${at(9)} 02${at(2)} 04${at(1)} 01 1105 03${at(1)}`
  const request = `00 ${specifications} 05 00 00 1107 00 00`
  const whole = '05 1101 00 00 0903011105 00 05 0100 0104 0200 0100 0300'
  const broken = '05 1101 00 00 00 00 05 0100 0104 02fa 01fa 03fa'
  for (const [options, described, results, isSet] of [
    ['40', '00', whole, true],
    ['60', '00', broken, false],
    ['50', `01 ${specifications}`, whole, true],
    ['70', `01 ${specifications}`, broken, false],
  ] as const) {
    objects.values.delete(at(2))
    const answer = associated({ objects }).receive(hex(`d9 ${options}000001 ${request}`))
    t.same(answer, hex(`da ${options}000001 00 ${described} ${results}`), options)
    t.equal(objects.values.has(at(2)), isSet, options)
  }
  t.end()
})

t.test('a year of half hours in blocks, and few APDUs where few do', (t) => {
  const objects = new MapObjects()
  const rows = Array.from(
    { length: 17_520 },
    (_, i) =>
      ({
        tag: Tag.STRUCTURE,
        elements: [{ tag: Tag.DOUBLE_LONG_UNSIGNED, value: i }, { tag: Tag.NULL }],
      }) as const,
  )
  const profile = encodeValue({
    tag: Tag.ARRAY,
    elements: rows.map((row) => ({ tag: row.tag, elements: [...row.elements] })),
  })
  objects.values.set(descriptor(0).toString('hex'), profile)
  objects.values.set(descriptor(1).toString('hex'), hex('0600000001'))
  const client = new DlmsClient()
  const server = new DlmsServer({ objects, apduBytesMax: 1024 })
  const { results, apdus } = exchange(client, server, [{ kind: 'get', descriptor: descriptor(0) }])
  t.same(results[0]!.value, profile)
  t.equal(apdus, 1 + Math.ceil(profile.length / (1024 - 12)))
  const gets = Array.from({ length: 20 }, (): CosemOperation => ({
    kind: 'get',
    descriptor: descriptor(1),
  }))
  t.equal(exchange(client, server, gets).apdus, 1)
  t.end()
})

function associated(options: Partial<ServerOptions> = {}, pduBytesMax = 1024): DlmsServer {
  const objects = new MapObjects()
  objects.values.set(descriptor(1).toString('hex'), octetString(200))
  const server = new DlmsServer({ objects, ...options })
  const aare = server.receive(
    encodeAarq({ conformance: conformanceSupported, pduBytesMax, secret: options.secret }),
  )!
  if (decodeAare(aare).result !== 0) throw new Error('the association was to be accepted')
  return server
}

t.test('who is let in', (t) => {
  const objects = new MapObjects()
  const secret = Buffer.from('12345678')
  const answer = (options: Partial<ServerOptions>, aarq: Buffer): unknown => {
    const server = new DlmsServer({ objects, ...options })
    const response = decodeAare(server.receive(aarq)!)
    t.equal(server.isAssociated, response.result === 0)
    return response
  }
  const ask = { conformance: conformanceSupported, pduBytesMax: 500 }
  t.match(answer({}, encodeAarq(ask)), {
    result: 0,
    diagnostic: 0,
    initiate: { conformance: conformanceSupported, pduBytesMax: 65_535 },
  })
  t.match(answer({ secret }, encodeAarq({ ...ask, secret })), { result: 0 })
  for (const wrong of ['1234567', '123456789', '12345679', '']) {
    t.match(
      answer({ secret }, encodeAarq({ ...ask, secret: Buffer.from(wrong) })),
      { result: 1, diagnostic: 13 },
      wrong,
    )
  }
  t.match(answer({ secret }, encodeAarq(ask)), { result: 1, diagnostic: 14 })
  t.match(answer({}, encodeAarq({ ...ask, secret })), { result: 1, diagnostic: 11 })
  t.match(answer({}, encodeAarq({ conformance: 1 << 23, pduBytesMax: 500 })), {
    result: 1,
    initiateError: 2,
  })
  t.match(answer({}, encodeAarq({ ...ask, pduBytesMax: 20 })), { result: 1, initiateError: 3 })
  t.match(answer({ conformance: Conformance.GET }, encodeAarq({ ...ask, pduBytesMax: 0 })), {
    result: 0,
    initiate: { conformance: Conformance.GET },
  })
  t.match(
    answer({}, hex('601da109060760857405080102be10040e01000000065f1f0400001e1dffff')),
    { result: 1, diagnostic: 2 },
    'short names',
  )
  t.match(
    answer({}, hex('6016a109060760857405080103be09040721053000000001')),
    { result: 1, diagnostic: 2 },
    'ciphered',
  )
  t.match(
    answer({}, hex('601da109060760857405080101be10040e01000000055f1f0400001e1dffff')),
    { result: 1, initiateError: 1 },
    'DLMS version 5',
  )
  t.match(
    answer(
      {},
      hex(
        '602ea109060760857405080101be21041f01011000112233445566778899aabbccddeeff0000065f1f0400001e1dffff',
      ),
    ),
    { result: 0 },
    'a dedicated key',
  )
  for (const bad of [
    '60',
    '6000',
    '6057',
    '600ba109060760857405080101',
    '6005a103060100',
    '601da109060760857405080101be10040e01000000065f1f040000',
  ]) {
    t.match(answer({}, hex(bad)), { result: 1, diagnostic: 1 }, bad)
  }
  t.throws(
    () =>
      exchange(
        new DlmsClient({ secret: Buffer.from('bad') }),
        new DlmsServer({ objects, secret }),
        [{ kind: 'get', descriptor: descriptor(1) }],
      ),
    {
      code: 'DLMS_ASSOCIATION_REFUSED',
    },
  )
  t.end()
})

t.test('an AARQ of another ACSE version, and one that wants no answer', (t) => {
  const aarq = decodeApdu(
    encodeAarq({ conformance: conformanceSupported, pduBytesMax: 500 }),
  ) as Aarq
  const get = hex('c001c1 0003 0100010801ff 02 00')
  const ask = (more: Partial<Aarq>, options: Partial<ServerOptions> = {}) => {
    const server = new DlmsServer({ objects: new MapObjects(), ...options })
    const answer = server.receive(encodeApdu({ ...aarq, ...more, type: 'aarq' }))
    return { aare: answer && decodeApdu(answer), isAssociated: server.receive(get)![0] === 0xc4 }
  }
  for (const protocolVersion of ['1', '11'])
    t.match(ask({ protocolVersion }), { aare: { result: 0 }, isAssociated: true })
  for (const protocolVersion of ['', '0', '01'])
    t.match(ask({ protocolVersion }), {
      aare: {
        result: 1,
        resultSourceDiagnostic: { source: 'acse-service-provider', diagnostic: 2 },
      },
      isAssociated: false,
    })
  const silent = {
    userInformation: { ...aarq.userInformation!, responseAllowed: false },
  } as Partial<Aarq>
  t.same(ask(silent), { aare: undefined, isAssociated: true })
  const secret = Buffer.from('12345678')
  t.same(ask(silent, { secret }), { aare: undefined, isAssociated: false }, 'nor a refusal')
  t.end()
})

t.test('outside an association nothing is served', (t) => {
  const server = new DlmsServer({ objects: new MapObjects() })
  for (const request of [
    'c001c1 0003 0100010800ff 02 00',
    'c101c1 0003 0100010800ff 02 00 00',
    'c301c1 0003 0100010800ff 01 00',
    '6203800100',
    'c002c100000001',
  ]) {
    t.same(server.receive(hex(request)), hex('d80101'), request)
  }
  t.equal(server.receive(Buffer.alloc(0)), undefined)
  const gone = associated()
  gone.abort()
  t.same(gone.receive(hex('c001c1 0003 0100010800ff 02 00')), hex('d80101'))
  t.end()
})

t.test('requests that no client of ours sends', (t) => {
  const requests: [string, string, string][] = [
    ['unknown APDU', 'c8 00', 'd80202'],
    ['access-request', 'd9c00000010c', 'd80103'],
    ['no such type of GET', 'c004c1 00', 'd80102'],
    ['no such type of SET', 'c106c1 00', 'd80102'],
    ['no such type of ACTION', 'c307c1 00', 'd80102'],
    ['cut short', 'c001c1 0003 0100', 'd80103'],
    ['without selective access octet', 'c001c1 0003 0100010802ff 02', 'd80103'],
    ['no such selective access', 'c001c1 0003 0100010802ff 02 02 00', 'd80103'],
    ['octets behind', 'c001c1 0003 0100010802ff 02 00 00', 'd80103'],
    ['a list of too many', 'c003c1 82ffff 0003', 'd80103'],
    ['half a list', 'c003c1 02 0003 0100010802ff 02 00', 'd80103'],
    ['a list and more', 'c003c1 01 0003 0100010802ff 02 00 ff', 'd80103'],
    ['SET without value', 'c101c1 0003 0100010802ff 02 00', 'd80103'],
    ['SET of two values', 'c101c1 0003 0100010802ff 02 00 00 00', 'd80103'],
    ['ACTION cut short', 'c301c1 0003 0100010802ff 01', 'd80103'],
    ['ACTION with more than a parameter', 'c301c1 0003 0100010802ff 01 01 00 00', 'd80103'],
    ['no block was asked for', 'c002c1 00000001', 'c402c1 01 00000001 01 10'],
    ['half a block number', 'c002c1 0000', 'd80103'],
    ['no SET in blocks goes on', 'c103c1 01 00000002 01 00', 'c501c1 12'],
    [
      'SET in blocks begins with 2',
      'c102c1 0003 0100010802ff 02 00 00 00000002 01 00',
      'c503c1 13 00000002',
    ],
    ['half a block', 'c102c1 0003 0100010802ff 02 00 00 0000', 'd80103'],
    ['garbage in blocks', 'c102c1 0003 0100010802ff 02 00 01 00000001 01 07', 'd80103'],
    ['unconfirmed', 'c30181 0003 0100010802ff 01 00', 'c70181 04 00'],
  ]
  for (const [what, request, answer] of requests)
    t.same(associated().receive(hex(request)), hex(answer), what)
  t.same(
    associated({ apduBytesMax: 40 }).receive(Buffer.alloc(41, 0xc0)),
    hex('d80104'),
    'larger than the device takes',
  )
  t.same(
    associated({ conformance: Conformance.GET }).receive(hex('c003c1 01 0003 0100010802ff 02 00')),
    hex('d80102'),
    'a list was not agreed to',
  )
  const blind = associated({ conformance: Conformance.GET | Conformance.SET }, 64)
  t.same(
    blind.receive(hex('c001c1 0003 0100010801ff 02 00')),
    hex('c401c1 01 fa'),
    'too large and no blocks agreed to',
  )
  t.same(blind.receive(hex('c102c1 0003 0100010802ff 02 00 00 00000001 01 00')), hex('d80102'))
  t.same(
    blind.receive(hex('c101c1 0003 0100010802ff 02 01 01 00 00')),
    hex('c501c1 0d'),
    'selective access was not agreed to',
  )
  t.end()
})

t.test('transfers end when something else is asked or the block is wrong', (t) => {
  const first = hex('c001c1 0003 0100010801ff 02 00')
  const begun = (): DlmsServer => {
    const server = associated({}, 64)
    t.equal(server.receive(first)![1], 2)
    return server
  }
  t.same(begun().receive(hex('c002c1 00000002')), hex('c402c1 01 00000002 01 13'))
  t.same(begun().receive(hex('c002c2 00000001')), hex('c402c2 01 00000001 01 13'))
  const other = begun()
  other.receive(hex('c001c3 0003 0100010802ff 02 00'))
  t.same(other.receive(hex('c002c1 00000001')), hex('c402c1 01 00000001 01 10'))
  const broken = begun()
  broken.receive(hex('c001c3'))
  t.same(broken.receive(hex('c002c1 00000001')), hex('c402c1 01 00000001 01 10'))
  const writing = associated()
  t.same(
    writing.receive(hex('c102c1 0003 0100010802ff 02 00 00 00000001 02 0902')),
    hex('c502c1 00000001'),
  )
  t.same(writing.receive(hex('c103c2 01 00000002 02 aabb')), hex('c501c2 12'), 'another invoke id')
  const skipping = associated()
  skipping.receive(hex('c102c1 0003 0100010802ff 02 00 00 00000001 02 0902'))
  t.same(skipping.receive(hex('c103c1 01 00000003 02 aabb')), hex('c503c1 13 00000003'))
  // An action-result has no word for a wrong block number.
  const firstParameter = hex('c304c1 0003 0100010802ff 01 00 00000001 02 0902')
  const invoking = associated()
  t.same(invoking.receive(firstParameter), hex('c704c1 00000001'))
  t.same(invoking.receive(hex('c306c1 01 00000003 02 aabb')), hex('c701c1 0f 00'))
  t.same(invoking.receive(hex('c306c1 01 00000002 02 aabb')), hex('c701c1 10 00'))
  const returning = associated(
    {
      objects: {
        get: () => 4,
        set: () => 4,
        invoke: () => ({ result: 0, value: octetString(200) }),
      },
    },
    64,
  )
  t.equal(returning.receive(hex('c301c1 0003 0100010802ff 01 00'))![1], 2)
  t.same(returning.receive(hex('c302c1 00000002')), hex('c701c1 0f 00'))
  t.same(returning.receive(hex('c302c1 00000001')), hex('c701c1 10 00'))
  t.end()
})

t.test('more than may be answered', (t) => {
  const big = octetString(400_000)
  const objects: CosemObjects = {
    get: () => big,
    set: () => 0,
    invoke: () => ({ result: 0, value: big }),
  }
  const inBlocks = Conformance.BLOCK_TRANSFER_WITH_ACTION | Conformance.GENERAL_BLOCK_TRANSFER
  const server = associated({ objects, conformance: conformanceSupported & ~inBlocks })
  const one = '0003 0100010801ff 02 00'
  t.same(server.receive(hex(`c003c1 03 ${one.repeat(3)}`)), hex('d80104'))
  t.same(
    server.receive(hex('c301c1 0003 0100010801ff 01 00')),
    hex('c701c1 00 01 01 fa'),
    'a method runs, its value is too large',
  )
  const set = associated()
  const block = Buffer.concat([hex('c103c1 00 00000000 82f000'), Buffer.alloc(0xf000)])
  const head = Buffer.concat([
    hex('c102c1 0003 0100010802ff 02 00 00 00000001 82f000'),
    Buffer.alloc(0xf000),
  ])
  let answer = set.receive(head)!
  for (
    let blockNumber = 2;
    answer[0] === 0xc5 && blockNumber * 0xf000 < limits.transferBytesMax * 2;
    blockNumber++
  ) {
    block.writeUInt32BE(blockNumber, 4)
    answer = set.receive(block)!
  }
  t.same(answer, hex('d80104'))
  t.end()
})

t.test('a fault of the objects is not hidden', (t) => {
  const objects: CosemObjects = {
    get: () => {
      throw new TypeError('bug')
    },
    set: () => 0,
    invoke: () => ({ result: 0 }),
  }
  t.throws(() => associated({ objects }).receive(hex('c001c1 0003 0100010801ff 02 00')), {
    name: 'TypeError',
  })
  t.end()
})

t.test(
  'any octets are answered, and no client of ours breaks on the answer in another way than by name',
  (t) => {
    const heads = [
      'c001c1',
      'c002c1',
      'c003c1',
      'c101c1',
      'c102c1',
      'c103c1',
      'c301c1',
      '60',
      '62',
      '',
    ]
    const octets = fc.oneof(fc.nat(255), fc.constantFrom(0, 0, 1, 1, 2, 3, 8, 255))
    const apdus = fc
      .tuple(fc.constantFrom(...heads), fc.boolean(), fc.array(octets, { maxLength: 30 }))
      .map(([head, isAttribute, rest]) =>
        Buffer.concat([
          hex(head),
          isAttribute ? descriptor(1) : Buffer.alloc(0),
          Buffer.from(rest),
        ]),
      )
    fc.assert(
      fc.property(fc.array(apdus, { minLength: 1, maxLength: 5 }), (requests) => {
        const server = associated({}, 64)
        for (const request of requests) {
          const answer = server.receive(request)
          if (answer === undefined) {
            // A general block may be a mere acknowledgement, or one of several.
            if (request.length > 0 && request[0] !== 0xe0) throw new Error('no answer')
            continue
          }
          const client = new DlmsClient()
          client.begin([{ kind: 'get', descriptor: descriptor(1) }])
          try {
            client.receive(answer)
          } catch (error) {
            if (!(error instanceof BrokerError && error.code.startsWith('DLMS_'))) throw error
          }
        }
      }),
      { numRuns: 2000 },
    )
    t.end()
  },
)

t.test('flipped octets on the way never give anything but results or a named error', (t) => {
  fc.assert(
    fc.property(operations, fc.nat(20), fc.nat(1000), fc.nat(255), (operations, turn, at, flip) => {
      const server = associated({}, 100)
      server.abort()
      const client = new DlmsClient({ apduBytesMax: 100 })
      try {
        let apdu = client.begin(operations)
        for (let i = 0; ; i++) {
          const answer = server.receive(apdu)
          // What a spoilt answer makes the client say may want none.
          if (answer === undefined) return
          if (i === turn) answer[at % answer.length]! ^= flip
          const step = client.receive(answer)
          if (!('send' in step)) return
          apdu = step.send
        }
      } catch (error) {
        if (!(error instanceof BrokerError && error.code.startsWith('DLMS_'))) throw error
      }
    }),
    { numRuns: 1500 },
  )
  t.end()
})
