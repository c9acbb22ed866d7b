/** Values with their names and units, as notifications of several makers carry them; and what only looks like one. */
import t from 'tap'
import { encodeValue, decodeValue, Tag, type AxdrValue } from '../../../../core/dlms/axdr.ts'
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
