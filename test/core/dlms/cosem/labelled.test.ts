/**
 * Values with their names and units, as notifications of several makers carry them; and what only
 * looks like one.
 */
import t from 'tap'
import { encodeValue, decodeValue, Tag, type AxdrValue } from '../../../../core/dlms/axdr/axdr.ts'
import { labelledValues, obisIn, scalerUnitIn } from '../../../../core/dlms/cosem/index.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const value = (octets: string): AxdrValue => decodeValue(hex(octets))
const energy = '0906 0100010800ff'

t.test('a name, a value, scaler and unit', (t) => {
  const five = { tag: Tag.UNSIGNED, value: 5 }
  const cases: [octets: string, found: object[]][] = [
    // name, value, scaler_unit, in one structure and in an array of such
    [
      `0203 ${energy} 1105 02020fff161e`,
      [{ obis: '1-0:1.8.0.255', scaled: { decimal: '0.5', unit: 'Wh' } }],
    ],
    [
      `0101 0203 ${energy} 1105 02020fff161e`,
      [{ obis: '1-0:1.8.0.255', scaled: { decimal: '0.5', unit: 'Wh' } }],
    ],
    // one after another, flat
    [
      `0206 ${energy} 1105 0fff 161e ${energy} 1105`,
      [{ scaled: { decimal: '0.5', unit: 'Wh' } }, { obis: '1-0:1.8.0.255', scaled: undefined }],
    ],
    // a value without a name, a name without a value
    ['0202 1105 1105', [{ obis: undefined, value: five }, { value: five }]],
    [
      `0202 1105 ${energy}`,
      [{ value: five }, { obis: undefined, value: { tag: Tag.OCTET_STRING } }],
    ],
    [`0202 ${energy} ${energy}`, [{ obis: undefined }, { obis: undefined }]],
    // a list behind a name is taken apart; the name stays what it is
    [
      `0202 ${energy} 0101 1105`,
      [{ value: { tag: Tag.OCTET_STRING } }, { obis: undefined, value: five }],
    ],
    // not a number: scaler and unit stay what they are
    [
      '0203 0a0131 0f00 161e',
      [{ value: { value: '1' } }, { value: { value: 0 } }, { value: { value: 30 } }],
    ],
    ['1105', [{ value: five, obis: undefined, scaled: undefined }]],
    ['0200', []],
  ]
  for (const [octets, found] of cases) {
    const labelled = labelledValues(value(octets))
    t.equal(labelled.length, found.length, octets)
    t.match(labelled, found, octets)
  }
  t.end()
})

t.test('what is no name and no unit', (t) => {
  const octets = (text: string): AxdrValue => ({ tag: Tag.OCTET_STRING, value: hex(text) })
  t.equal(obisIn(octets('0000010000ff')), '0-0:1.0.0.255')
  for (const text of ['010001080000', 'aa00010800ff', '0100010800', ''])
    t.equal(obisIn(octets(text)), undefined, text)
  t.equal(obisIn(undefined), undefined)
  t.same(scalerUnitIn(value('02020ffd161e')), { scaler: -3, unit: 30 })
  for (const text of ['02020ffd16c8', '020211fd161e', '02020ffd111e', '02010ffd', '1105'])
    t.equal(scalerUnitIn(value(text)), undefined, text)
  t.same(scalerUnitIn(decodeValue(encodeValue({ tag: Tag.STRUCTURE, elements: [] }))), undefined)
  t.end()
})

t.test('a push object list says what the rest is', (t) => {
  const entry = (head: string, more = ''): string =>
    `02${more === '' ? '04' : '06'} ${head} 120000${more}`
  const list = (more = ''): string =>
    `0104 ${entry('120028 0906 0000190900ff 0f02', more)} ${entry('120028 0906 0000190900ff 0f01', more)} ${entry('120001 0906 0000600101ff 0f02', more)} ${entry('120003 0906 0100010700ff 0f02', more)}`
  const rest = '0906 0008190900ff 0906 363031313039 0600000028'
  const found = [
    { obis: '0-0:25.9.0.255', object: { classId: 40, attributeId: 1 } },
    { obis: '0-0:96.1.1.255', object: { classId: 1, attributeId: 2 } },
    {
      obis: '1-0:1.7.0.255',
      object: { classId: 3, attributeId: 2 },
      value: { tag: Tag.DOUBLE_LONG_UNSIGNED, value: 40 },
    },
  ]
  t.match(labelledValues(value(`0204 ${list()} ${rest}`)), found)
  // As of version 2, with a restriction and columns.
  t.match(labelledValues(value(`0204 ${list('0202 1600 00 0100')} ${rest}`)), found)
  // One element more than the list says, or a list of something else: nothing is said by it.
  for (const other of [
    `0205 ${list()} ${rest} 1105`,
    `0204 ${list().replace('120028', '120029')} ${rest}`,
    `0204 ${list().replace('0f02', '1102')} ${rest}`,
  ])
    t.ok(
      labelledValues(value(other)).every(({ object }) => object === undefined),
      other,
    )
  t.end()
})
