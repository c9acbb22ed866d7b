/**
 * The head-end's side of an association, against octets written by hand: what a good, an odd and a
 * broken meter sends.
 */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../../core/base/limits.ts'
import { encodeAare } from '../../../support/acse.ts'
import { Conformance, conformanceSupported } from '../../../../core/dlms/apdu/constants.ts'
import { clientTransitions, type ClientStep } from '../../../../core/dlms/client/state.ts'
import { DlmsClient, type ClientOptions } from '../../../../core/dlms/client/client.ts'
import type { CosemOperation } from '../../../../core/ports/wan.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

const clock = '0008 0000010000ff 02'
const register = '0003 0100010800ff 02'
const get = (descriptor: string, selection?: string): CosemOperation => ({
  kind: 'get',
  descriptor: hex(descriptor),
  ...(selection === undefined ? {} : { selection: hex(selection) }),
})
const set = (descriptor: string, value: Buffer): CosemOperation => ({
  kind: 'set',
  descriptor: hex(descriptor),
  value,
})
const action = (descriptor: string, value?: string): CosemOperation => ({
  kind: 'action',
  descriptor: hex(descriptor),
  ...(value === undefined ? {} : { value: hex(value) }),
})
const aare = (conformance: number = conformanceSupported, pduBytesMax = 1024): Buffer =>
  encodeAare({ result: 0, diagnostic: 0, initiate: { conformance, pduBytesMax } })
const withoutLists = conformanceSupported & ~Conformance.MULTIPLE_REFERENCES

/** A client that has sent the first service of `operations`, and that APDU. */
function started(
  operations: CosemOperation[],
  agreed?: Buffer,
  options: ClientOptions = {},
): { client: DlmsClient; sent: Buffer } {
  const client = new DlmsClient(options)
  client.begin(operations)
  return { client, sent: sentOf(client.receive(agreed ?? aare())) }
}

function sentOf(step: ClientStep): Buffer {
  if (!('send' in step)) throw new Error('another APDU was to be sent')
  return step.send
}

/** Results as [value in hex or undefined, result]. */
function resultsOf(step: ClientStep): [string | undefined, number][] {
  if (!('results' in step)) throw new Error('results were to come')
  return step.results.map(({ value, result }) => [
    value && Buffer.from(value).toString('hex'),
    result,
  ])
}

t.test('association without security, GET, release', (t) => {
  const client = new DlmsClient({ apduBytesMax: 1200 })
  t.equal(client.state, 'IDLE')
  const aarq = client.begin([get(register)])
  t.same(aarq, hex('601d a109060760857405080101 be10040e 01000000065f1f0400 205e5d 04b0'))
  t.ok(aarq.byteOffset >= 8, 'room for the wrapper in front')
  t.equal(client.state, 'ASSOCIATING')
  const sent = sentOf(
    client.receive(
      hex('6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000501f01f40007'),
    ),
  )
  t.same(sent, hex(`c0 01 c1 ${register} 00`))
  t.equal(client.state, 'EXCHANGING')
  t.same(client.negotiated, { conformance: 0x501f & conformanceSupported, pduBytesMax: 500 })
  const answer = hex('c4 01 c1 00 06 12345678')
  const step = client.receive(answer)
  answer.fill(0)
  t.same(resultsOf(step), [['0612345678', 0]], 'the value is owned')
  t.equal(client.state, 'ASSOCIATED')
  t.same(
    client.begin([get(clock)]),
    hex(`c0 01 c2 ${clock} 00`),
    'kept association, next invoke id',
  )
  t.same(resultsOf(client.receive(hex('c4 01 42 01 03'))), [[undefined, 3]], 'priority may differ')
  t.same(client.release(), hex('6203800100'))
  t.same(client.receive(hex('6303800100')), { released: true })
  t.equal(client.state, 'IDLE')
  t.equal(client.begin([get(clock)])[0], 0x60)
  t.end()
})

t.test('low-level security', (t) => {
  const client = new DlmsClient({ secret: Buffer.from('12345678') })
  const expected =
    '6036 a109060760857405080101 8a020780 8b0760857405080201 ac0a80083132333435363738 be10040e 01000000065f1f0400 205e5d ffff'
  t.same(client.begin([get(clock)]), hex(expected))
  t.throws(() => new DlmsClient({ secret: Buffer.alloc(65) }).begin([get(clock)]), {
    code: 'DLMS_SIZE_EXCEEDED',
  })
  t.end()
})

t.test('refused associations', (t) => {
  const refusals: [string, RegExp][] = [
    [
      '6129a109060760857405080101a203020101a305a103020102be10040e0800065f1f040000501f01f40007',
      /result 1, diagnostic 2/,
    ],
    [
      '611fa109060760857405080101a203020101a305a103020101be0604040e010601',
      /diagnostic 1, initiate error 1/,
    ],
    ['6117a109060760857405080101a203020101a305a20302010d', /diagnostic 13/],
    [
      '6129a109060760857405080101a203020100a305a10302010ebe10040e0800065f1f0400001e1d04c80007',
      /result 0, diagnostic 14/,
    ],
    ['d80101', /exception, state 1, service 1/],
    ['0e010603', /service 1, group 6, error 3/],
  ]
  for (const [octets, detail] of refusals) {
    const client = new DlmsClient()
    client.begin([get(clock)])
    t.throws(() => client.receive(hex(octets)), { code: 'DLMS_ASSOCIATION_REFUSED', detail })
    t.equal(client.state, 'ENDED')
    t.throws(() => client.begin([get(clock)]), { code: 'DLMS_STATE_INVALID' })
  }
  t.end()
})

t.test('accepted in other words', (t) => {
  const accepted = [
    '612d 80020780 a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000501f01f40007', // protocol version
    '6129a109060760857405080103a203020100a305a103020100be10040e0800065f1f040000501f01f40007', // another context
    '6128a109060760857405080101a203020100a305a103020100be0f040d0800065f040000501f01f40007', // old tag of conformance
    '6117a109060760857405080101a203020100a305a103020100', // agreed to nothing
    '6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000501f00000007', // takes any size
  ]
  for (const octets of accepted)
    t.same(started([get(clock)], hex(octets)).sent, hex(`c0 01 c1 ${clock} 00`), octets)
  t.end()
})

t.test('malformed AARE', (t) => {
  const bad: [string, string][] = [
    ['', 'DLMS_SERVICE_UNEXPECTED'],
    ['6129a109060760857405080101a20100', 'DLMS_LENGTH_INVALID'],
    ['6105a203020200', 'DLMS_LENGTH_INVALID'],
    ['6105a303020100', 'DLMS_TAG_UNKNOWN'],
    ['6100', 'DLMS_VALUE_INVALID'],
    ['6106a20402020000', 'DLMS_VALUE_INVALID'],
    ['6117a203020100be10040e0700065f1f040000501f01f40007', 'DLMS_TAG_UNKNOWN'],
    ['6117a203020100be10040e0800055f1f040000501f01f40007', 'DLMS_VALUE_INVALID'],
    ['6117a203020100be10040e0800065f1f030000501f01f40007', 'DLMS_VALUE_INVALID'],
    ['610da203020100be0604040800065f', 'DLMS_LENGTH_INVALID'],
    ['c401c1000000', 'DLMS_SERVICE_UNEXPECTED'],
  ]
  for (const [octets, code] of bad) {
    const client = new DlmsClient()
    client.begin([get(clock)])
    t.throws(() => client.receive(hex(octets)), { code }, octets)
    t.equal(client.state, 'ENDED')
  }
  t.end()
})

t.test('GETs in a row go in one list when the meter takes lists', (t) => {
  const operations = [
    get(clock),
    get(register),
    get('0001 0102030405ff 02'),
    get(register, '01 0600000001'),
    get(clock),
  ]
  const { client, sent } = started(operations)
  t.same(sent, hex(`c0 03 c1 03 ${clock} 00 ${register} 00 0001 0102030405ff 02 00`))
  const next = sentOf(client.receive(hex('c403c10300090c07ea0b17010c02280000000000060012d68a0104')))
  t.same(next, hex(`c0 01 c2 ${register} 01 01 0600000001`), 'selective access goes by itself')
  t.same(sentOf(client.receive(hex('c4 01 c2 00 0100'))), hex(`c0 01 c3 ${clock} 00`))
  t.same(resultsOf(client.receive(hex('c4 01 c3 00 00'))), [
    ['090c07ea0b17010c022800000000', 0],
    ['060012d68a', 0],
    [undefined, 4],
    ['0100', 0],
    ['00', 0],
  ])
  t.equal(started([get(clock), get(clock)], aare(withoutLists)).sent[1], 1, 'not agreed to')
  t.same(
    started(
      Array.from({ length: 9 }, () => get(clock)),
      aare(conformanceSupported, 64),
    ).sent.length,
    64,
    'no more than fit',
  )
  t.equal(
    started([get(clock), get(clock)], aare(conformanceSupported, 20)).sent[1],
    1,
    'no two fit',
  )
  t.end()
})

t.test('a list that the meter will not have is asked one by one, now and later', (t) => {
  const answers = [
    'd80102',
    'd80202',
    '0e050003',
    'c403c1 01 03', // too few, as real meters cut it
    'c403c1 02 00', // cut short
    'c403c1 02 0006', // within a value
    'c403c1 02 0000 01', // before a data-access-result
    'c401c1 01 03', // one refusal for all
    'c402c1 01 00000001 01 10', // the same in a block
  ]
  for (const answer of answers) {
    const { client } = started([get(clock), get(register)])
    t.same(sentOf(client.receive(hex(answer))), hex(`c0 01 c2 ${clock} 00`), answer)
    t.same(sentOf(client.receive(hex('c4 01 c2 00 1101'))), hex(`c0 01 c3 ${register} 00`))
    t.same(resultsOf(client.receive(hex('c4 01 c3 00 1102'))), [
      ['1101', 0],
      ['1102', 0],
    ])
    t.equal(client.begin([get(clock), get(clock)])[1], 1, 'remembered')
  }
  t.end()
})

t.test('block transfer', (t) => {
  const { client } = started([get(register)])
  t.same(sentOf(client.receive(hex('c402c1 00 00000001 00 04 01030f01'))), hex('c0 02 c1 00000001'))
  t.same(sentOf(client.receive(hex('c402c1 00 00000002 00 8102 0f02'))), hex('c0 02 c1 00000002'))
  t.same(resultsOf(client.receive(hex('c402c1 01 00000003 00 02 0f03'))), [['01030f010f020f03', 0]])
  const quirks: [string, string[], string][] = [
    ['first block is the last', ['c402c1 01 00000001 00 02 0f01'], '0f01'],
    [
      'last block is empty, with a copy of its header behind',
      ['c402c1 00 00000001 00 02 0f01', 'c402c1 01 00000002 00 00 00c402c101000000020000'],
      '0f01',
    ],
    [
      'an empty array in each block',
      ['c402c1 00 00000001 00 02 0100', 'c402c1 01 00000002 00 02 0100'],
      '0100',
    ],
    [
      'count 0, then rows',
      ['c402c1 00 00000001 00 03 01000f', 'c402c1 01 00000002 00 01 01'],
      '0100',
    ],
  ]
  for (const [what, blocks, value] of quirks) {
    const { client } = started([get(register)])
    for (const block of blocks.slice(0, -1)) sentOf(client.receive(hex(block)))
    t.same(resultsOf(client.receive(hex(blocks.at(-1)!))), [[value, 0]], what)
  }
  const list = started([get(clock), get(register)]).client
  sentOf(list.receive(hex('c402c1 00 00000001 00 03 02 00 11')))
  t.same(
    resultsOf(list.receive(hex('c402c1 01 00000002 00 03 01 01 04'))),
    [
      ['1101', 0],
      [undefined, 4],
    ],
    'a list in blocks',
  )
  const refused = started([get(clock)]).client
  sentOf(refused.receive(hex('c402c1 00 00000001 00 01 01')))
  t.same(
    resultsOf(refused.receive(hex('c402c1 01 00000002 01 0f'))),
    [[undefined, 15]],
    'long-get-aborted is a result',
  )
  const plain = started([get(clock)]).client
  sentOf(plain.receive(hex('c402c1 00 00000001 00 01 01')))
  t.same(resultsOf(plain.receive(hex('c401c1 01 0f'))), [[undefined, 15]], 'outside a block too')
  t.end()
})

t.test('a notification in the middle is passed on, and the answer still comes', async (t) => {
  const { client } = started([get(register)])
  const push = hex('0f 00000001 00 0200')
  t.same(client.receive(push), { push })
  t.same(resultsOf(client.receive(hex('c401c1 00 1101'))), [['1101', 0]])
  t.same(client.openUnasked(push), push, 'and while nothing is asked')
  t.equal(client.openUnasked(hex('c401c1 00 1101')), undefined)
  t.equal(client.state, 'ASSOCIATED')
})

t.test('a pre-established association: no AARQ, nothing to release', async (t) => {
  const client = new DlmsClient({ isPreEstablished: true, conformance: Conformance.GET })
  t.same(client.begin([get(register), get(clock)]), hex(`c0 01 c1 ${register} 00`))
  t.same(sentOf(client.receive(hex('c401c1 00 1101'))), hex(`c0 01 c2 ${clock} 00`), 'no lists')
  t.same(resultsOf(client.receive(hex('c401c2 00 1102'))), [
    ['1101', 0],
    ['1102', 0],
  ])
  t.equal(client.isReleasable, false)
  t.throws(() => client.release(), { code: 'DLMS_STATE_INVALID' })
  t.same(client.begin([get(register)]), hex(`c0 01 c3 ${register} 00`))
})

t.test('an opaque command goes out as it is, inside the association', (t) => {
  const opaque = hex('df 0102')
  const client = new DlmsClient()
  t.equal(client.beginOpaque(opaque)[0], 0x60, 'AARQ')
  const sent = sentOf(client.receive(aare(conformanceSupported, 64)))
  t.same(sent, opaque)
  t.ok(sent.byteOffset >= 8, 'room for the wrapper in front')
  t.equal(client.more(), undefined)
  t.equal(client.remind(), undefined)
  const push = hex('0f 00000001 00 0200')
  t.same(client.receive(push), { push })
  for (const answer of ['d8 01 02', 'c4 01 c1 00 1101', 'e0 80 0001 0000 01 00', '0e 01 01 01']) {
    const answerView = hex(answer)
    const step = client.receive(answerView)
    t.same(step, { answerBytes: hex(answer) })
    answerView.fill(0)
    t.same(step, { answerBytes: hex(answer) }, 'owned')
    t.equal(client.state, 'ASSOCIATED')
    t.same(client.beginOpaque(opaque), opaque, 'without another AARQ')
  }
  client.receive(hex('df'))
  t.throws(() => client.beginOpaque(Buffer.alloc(0)), { code: 'DLMS_STATE_INVALID' })
  t.equal(sentOf({ send: client.begin([get(register)]) })[0], 0xc0)
  t.same(resultsOf(client.receive(hex('c401c1 00 1101'))), [['1101', 0]])
  t.equal(client.beginOpaque(Buffer.alloc(64, 0xdf)).length, 64)
  client.receive(hex('df'))
  t.throws(() => client.beginOpaque(Buffer.alloc(65)), { code: 'DLMS_SIZE_EXCEEDED' })
  t.equal(client.state, 'ENDED')
  t.end()
})

t.test('the counter that a meter expects, from its exception', async (t) => {
  const { client } = started([get(register)])
  t.equal(client.expectedCounter, undefined)
  t.throws(() => client.receive(hex('d8 01 06 000003eb')), { code: 'DLMS_EXCEPTION' })
  t.equal(client.expectedCounter, 1_003)
  client.begin([get(register)])
  t.equal(client.expectedCounter, undefined, 'it was said of the exchange before')
  const short = started([get(register)]).client
  t.throws(() => short.receive(hex('d8 01 06')), { code: 'DLMS_EXCEPTION' })
  t.equal(short.expectedCounter, undefined)
})

t.test('broken answers end the association with a named error', (t) => {
  const bad: [string, string[], string][] = [
    ['another invoke id', ['c401c2 00 00'], 'DLMS_INVOKE_ID_WRONG'],
    ['another service', ['c501c1 00'], 'DLMS_SERVICE_UNEXPECTED'],
    ['another type', ['c404c1 00'], 'DLMS_SERVICE_UNEXPECTED'],
    ['a list for one', ['c403c1 01 00 00'], 'DLMS_SERVICE_UNEXPECTED'],
    ['a question', ['c001c1'], 'DLMS_SERVICE_UNEXPECTED'],
    ['nothing', [''], 'DLMS_SERVICE_UNEXPECTED'],
    ['too short', ['c401c1'], 'DLMS_LENGTH_INVALID'],
    ['no value', ['c401c1 00'], 'DLMS_LENGTH_INVALID'],
    ['half a value', ['c401c1 00 0600'], 'DLMS_LENGTH_INVALID'],
    ['no content', ['c401c1 00 14'], 'DLMS_LENGTH_INVALID'],
    ['no such choice', ['c401c1 02 00'], 'DLMS_TAG_UNKNOWN'],
    ['no such type of data', ['c401c1 00 07 00'], 'DLMS_TAG_UNKNOWN'],
    ['nested without end', [`c401c1 00 ${'0101'.repeat(40)} 00`], 'DLMS_NESTING_EXCEEDED'],
    ['block 2 first', ['c402c1 00 00000002 00 01 01'], 'DLMS_BLOCK_NUMBER_WRONG'],
    ['block 0 first', ['c402c1 00 00000000 00 01 01'], 'DLMS_BLOCK_NUMBER_WRONG'],
    [
      'the same block twice',
      ['c402c1 00 00000001 00 01 01', 'c402c1 00 00000001 00 01 01'],
      'DLMS_BLOCK_NUMBER_WRONG',
    ],
    [
      'a block left out',
      ['c402c1 00 00000001 00 01 01', 'c402c1 00 00000003 00 01 01'],
      'DLMS_BLOCK_NUMBER_WRONG',
    ],
    ['a block cut short', ['c402c1 00 00000001 00 05 01'], 'DLMS_LENGTH_INVALID'],
    ['an empty block in the middle', ['c402c1 00 00000001 00 00'], 'DLMS_LENGTH_INVALID'],
    ['half a block head', ['c402c1 00 0000'], 'DLMS_LENGTH_INVALID'],
    ['no such choice in a block', ['c402c1 00 00000001 02 01 01'], 'DLMS_TAG_UNKNOWN'],
    [
      'the last block too early',
      ['c402c1 00 00000001 00 02 0103', 'c402c1 01 00000002 00 02 0f01'],
      'DLMS_TRANSFER_ABORTED',
    ],
    ['garbage in blocks', ['c402c1 01 00000001 00 02 0700'], 'DLMS_TAG_UNKNOWN'],
    [
      'a value in the middle of a transfer',
      ['c402c1 00 00000001 00 01 01', 'c401c1 00 1101'],
      'DLMS_SERVICE_UNEXPECTED',
    ],
    [
      'another invoke id in the middle',
      ['c402c1 00 00000001 00 01 01', 'c402c2 01 00000002 00 01 00'],
      'DLMS_INVOKE_ID_WRONG',
    ],
    [
      'an AARE now',
      ['6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000501f01f40007'],
      'DLMS_SERVICE_UNEXPECTED',
    ],
  ]
  for (const [what, answers, code] of bad) {
    const { client } = started([get(register)])
    for (const answer of answers.slice(0, -1)) client.receive(hex(answer))
    t.throws(() => client.receive(hex(answers.at(-1)!)), { code }, what)
    t.equal(client.state, 'ENDED')
    t.throws(() => client.receive(hex('c401c10000')), { code: 'DLMS_SERVICE_UNEXPECTED' })
  }
  const many = started([get(clock), get(register)]).client
  t.throws(
    () => many.receive(hex('c403c1 03 0000 0000 0000')),
    { code: 'DLMS_LENGTH_INVALID' },
    'more results than asked for',
  )
  const wrong = started([get(clock), get(register)]).client
  t.throws(() => wrong.receive(hex('c403c1 02 0000 0200')), { code: 'DLMS_TAG_UNKNOWN' })
  t.end()
})

t.test('a transfer without end is cut off', (t) => {
  const { client } = started([get(register)])
  const block = Buffer.concat([hex('c402c1 00 00000000 00 82f000'), Buffer.alloc(0xf000)])
  const code = outcomeOf(() => {
    for (let blockNumber = 1; ; blockNumber++) {
      block.writeUInt32BE(blockNumber, 4)
      if (blockNumber * 0xf000 > limits.transferBytesMax + 0xf000) return
      client.receive(block)
    }
  }).code
  t.equal(code, 'DLMS_SIZE_EXCEEDED')
  t.end()
})

t.test('an exception to a service leaves the association usable', (t) => {
  for (const answer of ['d80102', 'd8', 'd80106000003eb', '0e050003']) {
    const { client } = started([get(register)])
    t.throws(() => client.receive(hex(answer)), { code: 'DLMS_EXCEPTION' })
    t.equal(client.state, 'ASSOCIATED')
    t.same(client.begin([get(clock)]), hex(`c0 01 c2 ${clock} 00`))
    t.same(resultsOf(client.receive(hex('c4 01 c2 00 1101'))), [['1101', 0]])
  }
  t.end()
})

t.test('a meter that has forgotten the association is associated with again, once', (t) => {
  const { client } = started([get(register)])
  t.same(resultsOf(client.receive(hex('c4 01 c1 00 1101'))), [['1101', 0]])
  t.same(client.begin([set(clock, hex('1101'))]), hex(`c1 01 c2 ${clock} 00 1101`))
  t.equal(sentOf(client.receive(hex('d80101')))[0], 0x60)
  t.equal(client.state, 'ASSOCIATING')
  t.same(sentOf(client.receive(aare(conformanceSupported))), hex(`c1 01 c3 ${clock} 00 1101`))
  t.throws(() => client.receive(hex('d80101')), { code: 'DLMS_EXCEPTION' }, 'it is refused indeed')
  t.equal(client.state, 'ASSOCIATED')

  // Blocks of the question that was refused are none of the AARQ's.
  const blocks = started([get(register)], aare(conformanceSupported), {
    prefersGeneralBlocks: true,
  })
  blocks.client.receive(hex('e0 81 0001 0001 07 c4 01 c1 00 1101 00'))
  blocks.client.begin([get(register)])
  blocks.client.receive(hex('d80101'))
  t.equal(blocks.client.remind(), undefined)

  client.begin([get(register), get(clock)])
  client.receive(hex('c4 03 c4 02 00 1101 00 1102'))
  client.begin([action(clock, '0f00'), action(clock, '0f00')])
  t.same(sentOf(client.receive(hex('c7 01 c5 00 00'))), hex(`c3 01 c6 ${clock} 01 0f00`))
  t.throws(
    () => client.receive(hex('d80101')),
    { code: 'DLMS_EXCEPTION' },
    'it has answered before',
  )
  t.end()
})

t.test('a service that the meter had not agreed to gives a result, and the others go on', (t) => {
  const { client } = started(
    [action('0009 00000a0000ff 01', '120001'), get(clock)],
    aare(Conformance.GET),
  )
  t.same(sentOf(client.receive(hex('d80102'))), hex(`c0 01 c2 ${clock} 00`))
  t.same(resultsOf(client.receive(hex('c4 01 c2 00 1101'))), [
    [undefined, 13],
    ['1101', 0],
  ])
  const agreed = started([set(clock, hex('1101'))]).client
  t.throws(() => agreed.receive(hex('d80102')), { code: 'DLMS_EXCEPTION' })
  t.end()
})

t.test('SET and ACTION', (t) => {
  const { client, sent } = started([
    set('0008 0000010000ff 03', hex('10003c')),
    action('0009 00000a0000ff 01', '120001'),
    action(clock),
  ])
  t.same(sent, hex('c1 01 c1 0008 0000010000ff 03 00 10003c'))
  t.same(sentOf(client.receive(hex('c5 01 c1 0c'))), hex('c3 01 c2 0009 00000a0000ff 01 01 120001'))
  t.same(sentOf(client.receive(hex('c7 01 c2 00 01 00 0901aa'))), hex(`c3 01 c3 ${clock} 00`))
  t.same(resultsOf(client.receive(hex('c7 01 c3 03 00'))), [
    [undefined, 12],
    ['0901aa', 0],
    [undefined, 3],
  ])
  const answers: [string, [string | undefined, number]][] = [
    ['c701c1 00', [undefined, 0]], // without its optional octet
    ['c701c1 fa', [undefined, 250]],
    ['c701c1 00 01 01 04', [undefined, 4]], // done, but its value is refused
    ['c701c1 02 01 01 04', [undefined, 2]],
    ['c701c1 00 01 00 1101 ff', ['1101', 0]],
  ]
  for (const [answer, result] of answers)
    t.same(resultsOf(started([action(clock)]).client.receive(hex(answer))), [result], answer)
  const bad: [string, string][] = [
    ['c701c1 00 02', 'DLMS_TAG_UNKNOWN'],
    ['c701c1 00 01', 'DLMS_LENGTH_INVALID'],
    ['c701c1 00 01 00', 'DLMS_LENGTH_INVALID'],
    ['c703c1 00', 'DLMS_SERVICE_UNEXPECTED'],
  ]
  for (const [answer, code] of bad)
    t.throws(() => started([action(clock)]).client.receive(hex(answer)), { code }, answer)
  t.end()
})

t.test('a SET larger than the meter takes goes in blocks', (t) => {
  const value = Buffer.concat([hex('0928'), Buffer.alloc(40, 0xab)])
  const exchange = (): { client: DlmsClient; sent: Buffer } =>
    started([set(clock, value)], aare(conformanceSupported, 40))
  const { client, sent } = exchange()
  t.same(sent, Buffer.concat([hex(`c1 02 c1 ${clock} 00 00 00000001 13`), value.subarray(0, 19)]))
  const second = sentOf(client.receive(hex('c502c1 00000001 000000')))
  t.same(second, Buffer.concat([hex('c1 03 c1 01 00000002 17'), value.subarray(19)]))
  t.same(resultsOf(client.receive(hex('c503c1 00 00000002'))), [[undefined, 0]])
  const eager = exchange().client
  t.same(
    sentOf(eager.receive(hex('c503c1 00 00000001'))),
    second,
    'a middle block acknowledged as the last',
  )
  t.same(resultsOf(eager.receive(hex('c501c1 00'))), [[undefined, 0]])
  t.same(resultsOf(exchange().client.receive(hex('c503c1 03 00000001'))), [[undefined, 3]])
  t.same(resultsOf(exchange().client.receive(hex('c501c1 03'))), [[undefined, 3]])
  t.throws(() => exchange().client.receive(hex('c502c1 00000002')), {
    code: 'DLMS_BLOCK_NUMBER_WRONG',
  })
  t.throws(() => exchange().client.receive(hex('c502c1 0000')), { code: 'DLMS_LENGTH_INVALID' })
  t.throws(() => exchange().client.receive(hex('c504c1 00')), { code: 'DLMS_SERVICE_UNEXPECTED' })
  t.throws(() => started([set(clock, hex('00'))]).client.receive(hex('c502c1 00000001')), {
    code: 'DLMS_SERVICE_UNEXPECTED',
  })
  t.throws(() => started([set(clock, Buffer.alloc(70_000))], aare(Conformance.SET)), {
    code: 'DLMS_SIZE_EXCEEDED',
  })
  t.end()
})

t.test('floats with a length octet, as one maker sends them', (t) => {
  const reads = (answer: string): unknown =>
    resultsOf(started([get(register)]).client.receive(hex(answer)))
  t.same(reads('c401c1 00 18 08 c002000000000000'), [['18c002000000000000', 0]])
  t.same(reads('c401c1 00 17 04 3fc00000'), [['173fc00000', 0]])
  t.same(reads('c401c1 00 17 3fc00000'), [['173fc00000', 0]])
  t.same(reads('c401c1 00 1101 04'), [['1101', 0]], 'other octets behind are left out')
  t.end()
})

t.test('states', (t) => {
  const client = new DlmsClient()
  t.throws(() => client.release(), { code: 'DLMS_STATE_INVALID' })
  t.throws(() => client.begin([]), { code: 'DLMS_STATE_INVALID' })
  t.throws(() => new DlmsClient().begin([{ kind: 'get', descriptor: Buffer.alloc(8) }]), {
    name: 'AssertionFault',
  })
  client.begin([get(clock)])
  t.throws(() => client.begin([get(clock)]), { code: 'DLMS_STATE_INVALID' })
  client.receive(aare())
  client.receive(hex('c401c10000'))
  client.release()
  t.same(client.receive(hex('d80101')), { released: true }, 'a release may be refused and is one')
  client.begin([get(clock)])
  client.receive(aare())
  client.receive(hex('c401c20000'))
  client.release()
  t.throws(() => client.receive(hex('c401c20000')), { code: 'DLMS_SERVICE_UNEXPECTED' })
  const gone = started([get(clock)]).client
  gone.abort()
  t.equal(gone.state, 'ENDED')
  for (const [from, to] of Object.entries(clientTransitions)) {
    for (const state of to) t.ok(state in clientTransitions, `${from} to ${state}`)
    t.ok(
      from === 'IDLE' ||
        Object.values(clientTransitions).some((states) => states.includes(from as 'IDLE')),
      `${from} can be reached`,
    )
  }
  t.end()
})

t.test('any octets at any moment give a step or a named error', (t) => {
  const answers = [
    'c401c1',
    'c402c1',
    'c403c1',
    'c501c1',
    'c502c1',
    'c503c1',
    'c701c1',
    'd8',
    '0e',
    '61',
    '6117a203020100be10040e',
    '63',
    '',
  ]
  const octets = fc.oneof(fc.nat(255), fc.constantFrom(0, 0, 1, 1, 2, 3, 6, 9, 0x12))
  const apdus = fc
    .tuple(fc.constantFrom(...answers), fc.array(octets, { maxLength: 30 }))
    .map(([head, rest]) => Buffer.concat([hex(head), Buffer.from(rest)]))
  const operations = [
    [get(register)],
    [get(clock), get(register)],
    [set(clock, Buffer.alloc(50))],
    [action(clock)],
  ]
  fc.assert(
    fc.property(
      fc.nat(3),
      fc.boolean(),
      fc.array(apdus, { minLength: 1, maxLength: 5 }),
      (which, isAssociated, answers) => {
        const client = new DlmsClient()
        client.begin(operations[which]!)
        if (isAssociated) client.receive(aare(conformanceSupported, 40))
        for (const answer of answers) {
          const outcome = outcomeOf(() => client.receive(answer))
          if (outcome.code === undefined) continue
          if (!outcome.code.startsWith('DLMS_')) throw new Error(outcome.code)
          if (client.state !== (outcome.code === 'DLMS_EXCEPTION' ? 'ASSOCIATED' : 'ENDED'))
            throw new Error(`${outcome.code} in ${client.state}`)
          return
        }
      },
    ),
    { numRuns: 5000 },
  )
  t.end()
})
