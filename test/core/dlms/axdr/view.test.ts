/** COSEM data read in place, selective access, and date-times field by field. */
import fc from 'fast-check'
import t from 'tap'
import { AxdrView } from '../../../../core/dlms/axdr/view.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../../core/dlms/axdr/axdr.ts'
import {
  decodeDate,
  decodeDateTime,
  decodeTime,
  encodeDate,
  encodeDateTime,
  encodeTime,
  formatDate,
  formatDateTime,
  formatTime,
  RecurringDay,
  RecurringMonth,
} from '../../../../core/dlms/axdr/date-time-fields.ts'
import {
  decodeDescriptor,
  decodeSelection,
  encodeDescriptor,
  encodeSelection,
  type Selection,
} from '../../../../core/dlms/apdu/descriptor.ts'
import { loadVectors, octets, outcomeOf, values } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** The tree that going through `view` element by element gives. */
function walked(view: AxdrView): AxdrValue {
  const { tag } = view
  if (tag !== Tag.ARRAY && tag !== Tag.STRUCTURE) {
    if (tag !== Tag.COMPACT_ARRAY) return view.value()
    const { type } = view.value() as Extract<AxdrValue, { tag: typeof Tag.COMPACT_ARRAY }>
    return { tag, type, elements: [...view].map(walked) }
  }
  return { tag, elements: [...view].map(walked) }
}

t.test('any value, element by element, is the tree', (t) => {
  fc.assert(
    fc.property(values, octets(0, 3), (value, before) => {
      const bytes = encodeValue(value)
      const view = new AxdrView(Buffer.concat([before, bytes, before]), before.length)
      t.same(walked(view), decodeValue(bytes))
      t.same(view.bytes, bytes)
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('elements in any order', (t) => {
  const view = new AxdrView(hex('0103 1101 0202 1102 1103 1104'))
  t.equal(view.count, 3)
  t.equal(view.element(2).number(), 4)
  t.equal(view.element(0).number(), 1)
  t.equal(view.element(1).element(1).number(), 3)
  t.throws(() => view.element(3), { code: 'DLMS_VALUE_INVALID' })
  t.throws(() => view.element(-1), { code: 'DLMS_VALUE_INVALID' })
  // compact array of structure (array of two unsigned, octet-string)
  const compact = new AxdrView(hex('13 0202 01000211 09 09 0102 01aa 0304 02bbcc'))
  t.equal(compact.count, 2)
  t.same(compact.element(1).element(1).octets(), hex('bbcc'))
  t.equal(compact.element(0).element(0).count, 2)
  t.equal(compact.element(1).element(0).element(1).number(), 4)
  t.end()
})

t.test('numbers, octets, and what is neither', (t) => {
  const numbers: [string, number][] = [
    ['0301', 1],
    ['0300', 0],
    ['0d42', 42],
    ['0d99', 99],
    ['0fff', -1],
    ['10fffe', -2],
    ['11ff', 255],
    ['12ffff', 65535],
    ['161e', 30],
    ['05ffffffff', -1],
    ['06ffffffff', 0xffff_ffff],
    ['173fc00000', 1.5],
    ['18c002000000000000', -2.25],
    ['1cff', -1],
    ['1dffff', -1],
    ['1effffffff', -1],
    ['1fff', 255],
    ['20ffff', 65535],
    ['21ffffffff', 0xffff_ffff],
  ]
  for (const [octets, number] of numbers) {
    t.equal(new AxdrView(hex(octets)).number(), number, octets)
    if (Number.isInteger(number)) t.equal(new AxdrView(hex(octets)).bigint(), BigInt(number))
  }
  t.equal(new AxdrView(hex('148000000000000000')).bigint(), -(2n ** 63n))
  t.equal(new AxdrView(hex('15ffffffffffffffff')).bigint(), 2n ** 64n - 1n)
  t.same(new AxdrView(hex('0a03414243')).octets(), hex('414243'))
  t.same(new AxdrView(hex('0409a580')).octets(), hex('a580'))
  t.same(new AxdrView(hex('1a07ea060c05')).octets(), hex('07ea060c05'))
  t.ok(new AxdrView(hex('00')).isNull)
  for (const act of [
    () => new AxdrView(hex('15ffffffffffffffff')).number(),
    () => new AxdrView(hex('173fc00000')).bigint(),
    () => new AxdrView(hex('0900')).number(),
    () => new AxdrView(hex('0dff')).number(),
    () => new AxdrView(hex('1101')).octets(),
    () => new AxdrView(hex('1101')).count,
    () => new AxdrView(hex('13 01 0000 11 01 00')).count,
  ])
    t.throws(act, { code: 'DLMS_VALUE_INVALID' })
  for (const octets of ['', '0101', '0904aa', '1301000a'])
    t.match(outcomeOf(() => new AxdrView(hex(octets))).code, /^DLMS_/, octets)
  t.end()
})

t.test('compact arrays that promise more than they hold', (t) => {
  // 65,535 times nothing beside each octet: few octets, very many elements.
  const view = new AxdrView(
    Buffer.concat([hex('13 0202 11 01ffff00 82 1000'), Buffer.alloc(0x1000)]),
  )
  t.throws(() => view.count, { code: 'DLMS_SIZE_EXCEEDED' })
  t.throws(() => new AxdrView(hex('13 11 03 0102')), { code: 'DLMS_LENGTH_INVALID' })
  t.throws(() => new AxdrView(hex('13 12 03 010203')).count, { code: 'DLMS_LENGTH_INVALID' })
  t.end()
})

t.test('descriptors', (t) => {
  const descriptor = { classId: 7, instanceId: '1-0:99.1.0.255', memberId: -1 }
  t.same(encodeDescriptor(descriptor), hex('0007 0100630100ff ff'))
  t.same(decodeDescriptor(hex('0007 0100630100ff ff')), descriptor)
  t.throws(() => decodeDescriptor(Buffer.alloc(8)), { code: 'DLMS_LENGTH_INVALID' })
  t.end()
})

t.test('selective access', (t) => {
  const clock = { classId: 8, instanceId: '0-0:1.0.0.255', attributeId: 2, dataIndex: 0 }
  const time = (octets: string): AxdrValue => ({ tag: Tag.OCTET_STRING, value: hex(octets) })
  const golden: [string, Selection][] = [
    [
      '01 0204 0204 120008 0906 0000010000ff 0f02 120000 090c07e2020cff00000000800000 090c07e3020cff00000000800000 0100',
      {
        type: 'range',
        restricting: clock,
        from: time('07e2020cff00000000800000'),
        to: time('07e3020cff00000000800000'),
        columns: [],
      },
    ],
    [
      '01 0204 0204 120008 0906 0000010000ff 0f02 120000 0600000001 0600000002 0101 0204 120008 0906 0000010000ff 0f02 120000',
      {
        type: 'range',
        restricting: clock,
        from: { tag: Tag.DOUBLE_LONG_UNSIGNED, value: 1 },
        to: { tag: Tag.DOUBLE_LONG_UNSIGNED, value: 2 },
        columns: [clock],
      },
    ],
    [
      '02 0204 0600000001 0600000003 120001 120000',
      { type: 'entry', fromEntry: 1, toEntry: 3, fromColumn: 1, toColumn: 0 },
    ],
    [
      '02 0102 120008 120003',
      {
        type: 'other',
        selector: 2,
        parameters: {
          tag: Tag.ARRAY,
          elements: [
            { tag: Tag.LONG_UNSIGNED, value: 8 },
            { tag: Tag.LONG_UNSIGNED, value: 3 },
          ],
        },
      },
    ],
    ['01 00', { type: 'other', selector: 1, parameters: { tag: Tag.NULL } }],
  ]
  for (const [octets, selection] of golden) {
    t.same(decodeSelection(hex(octets)), selection, octets)
    t.same(encodeSelection(selection), hex(octets), octets)
  }
  // Nearly a range, nearly an entry.
  for (const octets of [
    '01 0204 0203 120008 0906 0000010000ff 0f02 00 00 0100',
    '01 0204 0204 120008 0905 0000010000 0f02 120000 00 00 0100',
    '01 0204 0204 120008 0906 0000010000ff 0f02 120000 00 00 0101 00',
    '02 0204 0600000001 0600000003 120001 1100',
    '02 0203 0600000001 0600000003 120001',
  ])
    t.match(decodeSelection(hex(octets)), { type: 'other' }, octets)
  for (const octets of ['', '01', '01 0204'])
    t.equal(outcomeOf(() => decodeSelection(hex(octets))).code, 'DLMS_LENGTH_INVALID')
  t.end()
})

t.test('date-times field by field', (t) => {
  const fields = {
    year: 2026,
    month: 6,
    day: 12,
    dayOfWeek: 5,
    hour: 13,
    minute: 14,
    second: 15,
    hundredths: 0,
    deviation: -120,
    clockStatus: 0x80,
  }
  t.same(decodeDateTime(hex('07ea060c050d0e0f00ff8880')), fields)
  t.equal(encodeDateTime(fields).toString('hex'), '07ea060c050d0e0f00ff8880')
  t.equal(
    formatDateTime(hex('07ea060c050d0e0f00ff8880')),
    '2026-06-12 Fri 13:14:15.00 UTC+02:00 daylight-saving',
  )
  t.equal(formatDateTime(hex('ffffffffffffffffff8000ff')), '*-*-* *:*:*')
  t.equal(
    formatDateTime(hex('07eafefe0702ffffff003c03')),
    '2026-dst-begin-last Sun 02:*:* UTC-01:00 invalid doubtful',
  )
  t.equal(formatDate(hex('ffff fd fd ff')), '*-dst-end-2nd-last')
  t.equal(formatTime(hex('0d0e0f63')), '13:14:15.99')
  t.match(decodeDate(hex('ffff fe fe 07')), {
    month: RecurringMonth.DAYLIGHT_SAVING_BEGIN,
    day: RecurringDay.LAST,
  })
  fc.assert(
    fc.property(octets(12), (view) => {
      t.same(encodeDateTime(decodeDateTime(view)), view)
      t.same(encodeDate(decodeDate(view.subarray(0, 5))), view.subarray(0, 5))
      t.same(encodeTime(decodeTime(view.subarray(5, 9))), view.subarray(5, 9))
      t.type(formatDateTime(view), 'string')
    }),
  )
  for (const act of [decodeDateTime, decodeDate, decodeTime])
    t.throws(() => act(hex('07ea06')), { code: 'DLMS_LENGTH_INVALID' })
  t.throws(() => encodeDateTime({ ...fields, hour: 256 }), { code: 'DLMS_VALUE_INVALID' })
  t.throws(() => encodeDateTime({ ...fields, year: -1 }), { code: 'DLMS_VALUE_INVALID' })
  t.throws(() => encodeDateTime({ ...fields, deviation: 40_000 }), { code: 'DLMS_VALUE_INVALID' })
  t.end()
})

const vectors = loadVectors()
t.test(
  'date-times of the shared vectors, field by field',
  { skip: vectors === undefined && 'SKIPPED: ../shared/dlms is not there' },
  (t) => {
    for (const { id, group, hex: text, meaning } of vectors ?? []) {
      if (group !== 'datetime') continue
      const { dow, status, ...same } = meaning
      const found = decodeDateTime(hex(text))
      t.match(found, { clockStatus: status }, id)
      t.equal(found.dayOfWeek ?? null, dow, id)
      for (const [name, value] of Object.entries(same))
        t.equal(found[name as keyof typeof found] ?? null, value, `${id} ${name}`)
      t.same(encodeDateTime(found), hex(text), id)
    }
    t.end()
  },
)
