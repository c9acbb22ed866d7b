/**
 * Frames of exchanges and results: round trips, what any MessagePack library reads, and what is cut
 * or changed.
 */
import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import { Unpackr } from 'msgpackr'
import t from 'tap'
import { BrokerError } from '../../../../core/base/broker-error.ts'
import type { Lane } from '../../../../core/base/lane.ts'
import { readEui64 } from '../../../../core/base/eui64.ts'
import {
  Transport,
  type CosemOperation,
  type CosemResult,
  type ExchangeResult,
  type WanCommand,
} from '../../../../core/ports/wan.ts'
import {
  decodeExchanges,
  decodeReceipt,
  decodeResults,
  encodeExchanges,
  encodeReceipt,
  encodeResults,
  exchangeBytes,
  Receipt,
  resultBytes,
  type NumberedExchange,
  type NumberedResult,
} from '../../../../core/wan/remote/exchange-frame.ts'
import { deviceKey } from '../../../support/envelopes.ts'
import { vault } from '../../../support/keys.ts'

const plain = { noNullPrototype: true }
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const octets = fc.uint8Array({ maxLength: 300 }).map((view) => Buffer.from(view))
const some = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((view) => Buffer.from(view))
const eight = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((view) => Buffer.from(view))
const nine = fc.uint8Array({ minLength: 9, maxLength: 9 }).map((view) => Buffer.from(view))
const operation: fc.Arbitrary<CosemOperation> = fc.record(
  {
    kind: fc.constantFrom('get' as const, 'set' as const, 'action' as const),
    descriptor: nine,
    selection: octets,
    value: octets,
  },
  { requiredKeys: ['kind', 'descriptor'], ...plain },
)
const command: fc.Arbitrary<WanCommand> = fc.oneof(
  fc.record({ cosem: fc.array(operation, { maxLength: 5 }) }, plain),
  fc.record({ opaque: some }, plain),
)
const exchange: fc.Arbitrary<NumberedExchange> = fc.record(
  {
    number: u32,
    lane: fc.constantFrom(0, 1, 2) as fc.Arbitrary<Lane>,
    address: fc.record(
      {
        host: fc.string({ maxLength: 253, unit: 'binary' }),
        port: u16,
        logicalDevice: u16,
        client: u16,
        secret: fc.option(octets, { nil: undefined }),
        transport: fc.constantFrom(...Transport),
        profile: fc.string({ minLength: 1, maxLength: 64 }),
        security: fc.record(
          {
            suite: fc.constantFrom(0 as const, 1 as const, 2 as const),
            mechanism: fc.integer({ min: 0, max: 7 }),
            protection: fc.constantFrom(0, 0x10, 0x20, 0x30),
            clientTitle: eight,
            deviceTitle: eight,
          },
          { requiredKeys: ['suite', 'mechanism', 'protection', 'clientTitle'], ...plain },
        ),
        counter: fc.record(
          {
            obis: fc.constant('0-0:43.1.3.255'),
            client: fc.integer({ min: 1, max: 99 }),
            initial: u32,
          },
          { requiredKeys: ['client'], ...plain },
        ),
        conformance: fc.integer({ min: 0, max: 0xff_ffff }),
        shortNames: fc.dictionary(fc.constantFrom('1-0:1.8.0.255', '0-0:1.0.0.255'), u16, {
          minKeys: 1,
          noNullPrototype: true,
        }),
        modeE: fc.record(
          { deviceAddress: fc.constant('12345678'), baudMax: fc.constantFrom(300, 9_600) },
          { requiredKeys: [], ...plain },
        ),
      },
      { requiredKeys: ['host', 'port', 'logicalDevice', 'client', 'secret'], ...plain },
    ),
    command,
    security: fc.record(
      {
        device: eight.map((view) => readEui64(view)),
        sealedKeys: fc.constant(vault.seal(deviceKey(1), {})),
        counters: fc.record(
          {
            from: u32,
            to: fc.constant(2 ** 32),
            received: fc.integer({ min: -1, max: 0xffff_ffff }),
          },
          plain,
        ),
        isCounterUnknown: fc.constant(true),
      },
      { requiredKeys: ['device', 'sealedKeys', 'counters'], ...plain },
    ),
  },
  { requiredKeys: ['number', 'lane', 'address', 'command'], ...plain },
)
const counters = fc.record(
  {
    next: fc.integer({ min: 0, max: 2 ** 32 }),
    received: fc.integer({ min: -1, max: 0xffff_ffff }),
    expected: u32,
    isRead: fc.constant(true),
  },
  { requiredKeys: ['next', 'received'], ...plain },
)
const cause = fc.record(
  {
    code: fc.constantFrom('DLMS_COUNTER_REPLAYED' as const, 'DEVICE_REFUSED' as const),
    detail: fc.string({ maxLength: 500, unit: 'binary' }),
    counterReceived: u32,
    counterExpected: fc.integer({ min: 0, max: 2 ** 32 }),
  },
  { requiredKeys: ['code', 'detail'], ...plain },
)
const result: fc.Arbitrary<ExchangeResult> = fc.oneof(
  fc.record(
    {
      ok: fc.constant(true as const),
      results: fc.array(
        fc.record({ value: fc.option(octets, { nil: undefined }), result: u16 }, plain),
        {
          maxLength: 5,
        },
      ),
      counters,
    },
    { requiredKeys: ['ok', 'results'], ...plain },
  ),
  fc.record(
    {
      ok: fc.constant(true as const),
      results: fc.constant([] as CosemResult[]),
      answerBytes: octets,
      counters,
    },
    { requiredKeys: ['ok', 'results', 'answerBytes'], ...plain },
  ),
  fc.record(
    {
      ok: fc.constant(false as const),
      code: fc.constantFrom(
        'DEVICE_UNREACHABLE' as const,
        'DEVICE_SILENT' as const,
        'DEVICE_ANSWER_INVALID' as const,
        'DEVICE_ASSOCIATION_REFUSED' as const,
      ),
      detail: fc.string({ maxLength: 500, unit: 'binary' }),
      cause,
      counters,
    },
    { requiredKeys: ['ok', 'code', 'detail'], ...plain },
  ),
)
const numbered: fc.Arbitrary<NumberedResult> = fc.record({ number: u32, result }, plain)

t.test('round trips, and sizes are never under-estimated', async (t) => {
  fc.assert(
    fc.property(fc.array(exchange, { maxLength: 8 }), (exchanges) => {
      const frame = encodeExchanges('client-1', exchanges)
      deepStrictEqual(decodeExchanges(frame), { client: 'client-1', exchanges })
      const head = encodeExchanges('client-1', []).length
      const estimated = exchanges.reduce(
        (sum, { address, command, security }) => sum + exchangeBytes(address, command, security),
        head,
      )
      if (frame.length > estimated) throw new Error(`${frame.length} octets, not ${estimated}`)
    }),
  )
  fc.assert(
    fc.property(fc.array(numbered, { maxLength: 8 }), (results) => {
      const frame = encodeResults('wan-1', results)
      deepStrictEqual(decodeResults(frame), { wanId: 'wan-1', results })
      const estimated = results.reduce(
        (sum, one) => sum + resultBytes(one.result),
        encodeResults('wan-1', []).length,
      )
      if (frame.length > estimated) throw new Error(`${frame.length} octets, not ${estimated}`)
    }),
  )
  for (const receipt of Object.values(Receipt))
    t.equal(decodeReceipt(encodeReceipt(receipt)), receipt)
})

t.test('golden octets, and what any MessagePack library reads', async (t) => {
  const address = { host: 'h', port: 4059, logicalDevice: 1, client: 16, secret: Buffer.of(7) }
  const descriptor = Buffer.from('0001000000000aff02', 'hex')
  const frame = encodeExchanges('c', [
    { number: 5, lane: 1, address, command: { cosem: [{ kind: 'get', descriptor }] } },
  ])
  t.equal(
    frame.toString('hex'),
    '93cd0004da000163dd00000001' +
      '95ce00000005cc01' +
      '9ada000168cd0fdbcd0001cd0010c60000000107cc00da0000dd00000000c0dd00000000' +
      'dd0000000194cc00c6000000090001000000000aff02c0c0dd00000000',
  )
  t.same(new Unpackr().unpack(frame), [
    4,
    'c',
    [
      [
        5,
        1,
        ['h', 4059, 1, 16, Buffer.of(7), 0, '', [], null, []],
        [[0, descriptor, null, null]],
        [],
      ],
    ],
  ])
  const results = encodeResults('w', [
    { number: 5, result: { ok: true, results: [{ value: Buffer.of(1), result: 0 }] } },
    { number: 6, result: { ok: false, code: 'DEVICE_SILENT', detail: 'why' } },
  ])
  t.same(new Unpackr().unpack(results), [
    4,
    'w',
    [
      [5, 0, '', [[0, Buffer.of(1)]], [], []],
      [6, 44, 'why', [], [], []],
    ],
  ])
})

t.test('opaque octets take frames of version 5, and only they', async (t) => {
  const address = { host: 'h', port: 4059, logicalDevice: 1, client: 16, secret: Buffer.of(7) }
  const descriptor = Buffer.from('0001000000000aff02', 'hex')
  const cosem: NumberedExchange = {
    number: 5,
    lane: 1,
    address,
    command: { cosem: [{ kind: 'get', descriptor }] },
  }
  const opaque: NumberedExchange = { ...cosem, number: 6, command: { opaque: Buffer.of(0xdf) } }
  const place = ['h', 4059, 1, 16, Buffer.of(7), 0, '', [], null, []]
  const frame = encodeExchanges('c', [cosem, opaque])
  t.same(new Unpackr().unpack(frame), [
    5,
    'c',
    [
      [5, 1, place, [[0, descriptor, null, null]], [], null],
      [6, 1, place, [], [], Buffer.of(0xdf)],
    ],
  ])
  t.same(decodeExchanges(frame).exchanges, [cosem, opaque])
  t.equal(encodeExchanges('c', [cosem]).readUInt16BE(2), 4, 'earlier processes read it')
  const answer: NumberedResult = {
    number: 6,
    result: { ok: true, results: [], answerBytes: Buffer.of(0xdf) },
  }
  const failure: NumberedResult = {
    number: 7,
    result: { ok: false, code: 'DEVICE_SILENT', detail: 'why' },
  }
  const results = encodeResults('w', [answer, failure])
  t.same(new Unpackr().unpack(results), [
    5,
    'w',
    [
      [6, 0, '', [], [], [], Buffer.of(0xdf)],
      [7, 44, 'why', [], [], [], null],
    ],
  ])
  t.same(decodeResults(results).results, [answer, failure])
  t.equal(encodeResults('w', [failure]).readUInt16BE(2), 4)
  t.equal(encodeReceipt(0).readUInt16BE(2), 4)
  const malformed = { code: 'FRAME_MALFORMED' }
  const one = encodeExchanges('c', [opaque])
  // The last octets are [nil or length of the opaque octets, those octets].
  const empty = Buffer.concat([one.subarray(0, -2), Buffer.of(0)])
  t.throws(() => decodeExchanges(empty), malformed, 'an empty command')
  const both = Buffer.concat([encodeExchanges('c', [cosem]), Buffer.from('c600000001df', 'hex')])
  both.writeUInt16BE(5, 2)
  both[both.indexOf(0x95)] = 0x96
  t.throws(() => decodeExchanges(both), malformed, 'operations and opaque octets')
  const said = encodeResults('w', [failure])
  const failed = Buffer.concat([said, Buffer.from('c600000001df', 'hex')])
  failed.writeUInt16BE(5, 2)
  failed[failed.indexOf(0x96)] = 0x97
  t.throws(() => decodeResults(failed), malformed, 'a failure with an answer')
})

t.test('cut anywhere, another version, and what cannot be: FRAME_MALFORMED', async (t) => {
  const address = { host: 'h', port: 1, logicalDevice: 1, client: 1, secret: Buffer.of(1, 2) }
  const operations = [{ kind: 'get' as const, descriptor: Buffer.alloc(9) }]
  const exchanges = encodeExchanges('c', [
    { number: 1, lane: 0, address, command: { cosem: operations } },
  ])
  const results = encodeResults('w', [
    { number: 1, result: { ok: true, results: [{ value: Buffer.of(1), result: 0 }] } },
  ])
  const refuses = (decode: (frame: Buffer) => unknown, frame: Buffer, what: string): void => {
    try {
      decode(frame)
      t.fail(what)
    } catch (fault) {
      if (!(fault instanceof BrokerError) || fault.code !== 'FRAME_MALFORMED') throw fault
    }
  }
  for (const [decode, frame] of [
    [decodeExchanges, exchanges],
    [decodeResults, results],
    [decodeReceipt, encodeReceipt(0)],
  ] as const) {
    for (let length = 0; length < frame.length; length++)
      refuses(decode, frame.subarray(0, length), `cut at ${length}`)
    refuses(decode, Buffer.concat([frame, Buffer.of(0)]), 'an octet too many')
    const other = Buffer.from(frame)
    other.writeUInt16BE(1, 2)
    refuses(decode, other, 'another version')
  }
  const promising = Buffer.from(exchanges)
  promising.writeUInt32BE(0xffff_ffff, 9)
  refuses(decodeExchanges, promising, 'a list that is not there')
  const bad = (change: (copy: Buffer) => void): Buffer => {
    const copy = Buffer.from(exchanges)
    change(copy)
    return copy
  }
  refuses(
    decodeExchanges,
    bad((copy) => (copy[20] = 3)),
    'lane 3',
  )
  refuses(
    decodeExchanges,
    bad((copy) => (copy[7] = 0x2e)),
    'a client that is no subject token',
  )
  refuses(decodeReceipt, Buffer.from('92cd0003cc09', 'hex'), 'receipt 9')
})
