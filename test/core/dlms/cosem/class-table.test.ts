/**
 * Interface classes as data: the tables against the standard's overview and short names, and every
 * type both ways.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  attributeOf,
  attributeShortName,
  classOf,
  findClass,
  interfaceClasses,
  methodOf,
  methodShortName,
} from '../../../../core/dlms/cosem/class-table.ts'
import { meaningOf } from '../../../../core/dlms/cosem/reading.ts'
import { valueOf } from '../../../../core/dlms/cosem/writing.ts'
import { decodeValue, encodeValue } from '../../../../core/dlms/axdr/axdr.ts'
import { jsonOf } from '../../../support/cosem.ts'
import { outcomeOf, values } from '../../../support/dlms.ts'

t.test(
  'classes and versions, with as many attributes and methods as the standard has',
  async (t) => {
    // IEC 62056-6-2, 4.2, and the class tables: class, version, attributes, methods.
    const overview = `
    1/0 2 0, 3/0 3 1, 4/0 5 1, 5/0 9 2, 6/0 4 3, 7/0 8 4, 7/1 8 2, 8/0 9 6, 9/0 2 1, 10/0 2 3, 11/0 2 2,
    12/0 2 8, 12/1 2 8, 12/2 4 8, 12/3 6 10, 12/4 6 10, 15/0 8 4, 15/1 9 4, 15/2 11 6, 15/3 11 6, 17/0 2 1, 18/0 7 4,
    20/0 10 1, 21/0 4 0, 22/0 4 0, 23/0 9 0, 23/1 9 0, 26/0 4 0, 40/0 7 1, 40/1 10 1, 40/2 13 2, 40/3 13 2,
    41/0 6 0, 42/0 10 3, 43/0 2 0, 44/0 5 0, 45/0 4 0, 46/0 6 0, 47/0 8 0, 47/1 8 0, 47/2 8 0, 48/0 10 2,
    61/0 4 2, 62/0 6 2, 62/1 6 2, 63/0 3 0, 64/0 5 2, 64/1 6 8, 65/0 4 2, 65/1 8 2, 66/0 9 2, 67/0 15 1, 68/0 6 2,
    70/0 4 2, 70/1 4 2, 71/0 11 0, 72/0 12 8, 72/1 14 8, 111/0 19 3, 112/0 11 3, 113/0 13 5, 115/0 6 1`
    t.equal(
      interfaceClasses
        .map((c) => `${c.id}/${c.version} ${c.attributes.length} ${c.methods.length}`)
        .join(', '),
      overview.trim().replaceAll(/\s+/g, ' '),
    )
  },
)

t.test('short names [IEC 62056-6-2, 4.1.2 and the class tables]', async (t) => {
  t.equal(attributeShortName(0x1000, 1), 0x1000)
  t.equal(attributeShortName(0xfa00, 2), 0xfa08)
  const methods: [classId: number, version: number, method: string, offset: number][] = [
    [3, 0, 'reset', 0x28],
    [4, 0, 'reset', 0x38],
    [5, 0, 'next_period', 0x50],
    [6, 0, 'delete_mask', 0x40],
    [7, 1, 'capture', 0x60],
    [8, 0, 'shift_time', 0x88],
    [9, 0, 'execute', 0x20],
    [10, 0, 'delete', 0x30],
    [11, 0, 'insert', 0x10],
    [12, 4, 'reply_to_HLS_authentication', 0x58],
    [17, 0, 'connect_logical_device', 0x20],
    [18, 0, 'image_activate', 0x58],
    [20, 0, 'activate_passive_calendar', 0x50],
    [40, 0, 'push', 0x38],
    [64, 0, 'security_activate', 0x28],
    [64, 1, 'security_activate', 0x30],
    [66, 0, 'trigger', 0x50],
    [67, 0, 'reset', 0x80],
    [70, 0, 'remote_reconnect', 0x28],
    [72, 0, 'slave_install', 0x60],
    [72, 1, 'transfer_key', 0xa8],
    [111, 0, 'activate_account', 0x98],
  ]
  for (const [classId, version, method, offset] of methods) {
    const of = classOf(classId, version)
    t.equal(
      methodShortName(of, 0x2000, methodOf(of, method).id),
      0x2000 + offset,
      `${of.name} ${method}`,
    )
  }
})

t.test('looked up by number or name; the nearest version when it is not known', async (t) => {
  t.equal(attributeOf(classOf(3), 3).name, 'scaler_unit')
  t.equal(attributeOf(classOf(3), 'scaler_unit').id, 3)
  t.equal(findClass(15, 9)?.version, 3)
  t.equal(findClass(7, 0)?.version, 0)
  t.equal(findClass(9999, 0), undefined)
  t.equal(outcomeOf(() => classOf(114)).code, 'DLMS_VALUE_INVALID')
  t.equal(outcomeOf(() => attributeOf(classOf(3), 'volume')).code, 'DLMS_VALUE_INVALID')
  t.equal(outcomeOf(() => methodOf(classOf(3), 2)).code, 'DLMS_VALUE_INVALID')
})

t.test('names are written once in a class, and are those of the standard in form', async (t) => {
  for (const { id, version, attributes, methods } of interfaceClasses) {
    const names = attributes.map(({ name }) => name)
    t.equal(new Set(names).size, names.length, `attributes of ${id}/${version}`)
    t.equal(
      new Set(methods.map(({ name }) => name)).size,
      methods.length,
      `methods of ${id}/${version}`,
    )
    t.same(
      names.filter((name) => !/^[a-zA-Z][\w]*$/.test(name)),
      [],
    )
  }
})

t.test(
  'JSON to A-XDR and back, for the type of every attribute, parameter and return',
  async (t) => {
    for (const { id, version, attributes, methods } of interfaceClasses)
      for (const [name, type] of [
        ...attributes.map((attribute) => [attribute.name, attribute.type] as const),
        ...methods.map((method) => [method.name, method.parameter] as const),
        ...methods.map((method) => [method.name, method.returns ?? 'any'] as const),
      ])
        fc.assert(
          fc.property(jsonOf(type), (json) => {
            const { json: again, notes } = meaningOf(
              decodeValue(encodeValue(valueOf(json, type))),
              type,
            )
            t.same(notes, [], `${id}/${version} ${name}`)
            // Through text, as people and files have it.
            if (JSON.stringify(again) !== JSON.stringify(json))
              t.strictSame(again, json, `${id}/${version} ${name}`)
          }),
          { numRuns: 12 },
        )
  },
)

t.test('any value as any type: a meaning, whose JSON is a value again', async () => {
  const types = interfaceClasses.flatMap(({ attributes, methods }) => [
    ...attributes.map(({ type }) => type),
    ...methods.map(({ parameter }) => parameter),
  ])
  fc.assert(
    fc.property(values, fc.constantFrom(...types), (value, type) => {
      const { json, notes } = meaningOf(value, type)
      const again = valueOf(JSON.parse(JSON.stringify(json)), type)
      // Not the same octets always: a compact-array is an array like any other.
      return (
        notes.length > 0 || JSON.stringify(meaningOf(again, type).json) === JSON.stringify(json)
      )
    }),
    { numRuns: 3_000 },
  )
})

t.test('any JSON as any type: a value or a named error', async (t) => {
  const types = interfaceClasses.flatMap(({ attributes }) => attributes.map(({ type }) => type))
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...types), (json, type) => {
      const { code } = outcomeOf(() => valueOf(json as never, type))
      t.match(code ?? 'DLMS_VALUE_INVALID', /^DLMS_(VALUE_INVALID|NESTING_EXCEEDED)$/)
    }),
    { numRuns: 2_000 },
  )
  let deep: unknown = null
  for (let i = 0; i < 100_000; i++) deep = { axdr: 'array', value: [deep] }
  t.equal(outcomeOf(() => valueOf(deep as never, 'any')).code, 'DLMS_NESTING_EXCEEDED')
})
