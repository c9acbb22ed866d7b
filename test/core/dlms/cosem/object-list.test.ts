/**
 * Object lists by logical and by short name, rights in every version, and those of recorded
 * conversations.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  decodeObjectList,
  decodeShortNameList,
  encodeObjectList,
  findObject,
  shortNamesOf,
} from '../../../../core/dlms/cosem/object-list.ts'
import { readAttribute } from '../../../../core/dlms/cosem/attribute.ts'
import { lengthBytes, readLength } from '../../../../core/dlms/axdr/axdr.ts'
import { decodeDescriptor } from '../../../../core/dlms/apdu/descriptor.ts'
import { loadExchanges, octets, outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
// One clock: time with that access mode and selectors 1 and 2, adjust_to_quarter with that access.
const listOf = (attributeMode: string, methodAccess: string): Buffer =>
  hex(`01 01 02 04 12 0008 11 00 09 06 0000010000ff 02 02
    01 01 02 03 0f 02 16 ${attributeMode} 01 02 0f 01 0f 02
    01 01 02 02 0f 01 ${methodAccess}`)

t.test('rights by version [4.4.4 object_list]', async (t) => {
  const rights = (attributeMode: string, methodAccess: string, version: number) => {
    const { objects, odd } = decodeObjectList(listOf(attributeMode, methodAccess), version)
    t.same(odd, [])
    const [{ attributes, methods }] = objects as [(typeof objects)[0]]
    return [
      attributes[0]!.canRead,
      attributes[0]!.canWrite,
      attributes[0]!.protections,
      methods[0]!.canInvoke,
      methods[0]!.protections,
    ]
  }
  t.same(rights('00', '03 00', 0), [false, false, [], false, []])
  t.same(rights('01', '03 01', 0), [true, false, [], true, []])
  t.same(rights('02', '03 ff', 0), [false, true, [], true, []])
  t.same(rights('03', '16 01', 1), [true, true, [], true, []])
  const authenticated = ['authenticated_request', 'authenticated_response']
  t.same(rights('04', '16 02', 2), [true, false, authenticated, true, authenticated])
  t.same(rights('05', '16 00', 2), [false, true, authenticated, false, []])
  t.same(rights('06', '16 00', 2), [true, true, authenticated, false, []])
  t.same(
    rights('07', '16 03', 2),
    [false, false, authenticated, false, []],
    'modes that are not defined give nothing',
  )
  t.same(rights('0d', '16 85', 3), [
    true,
    false,
    ['authenticated_request', 'encrypted_request'],
    true,
    ['authenticated_request', 'digitally_signed_response'],
  ])
  t.same(rights('00', '16 01', 3), [false, false, [], true, []])
  t.same(decodeObjectList(listOf('03', '16 01')).objects[0]!.attributes[0]!.selectors, [1, 2])
})

t.test('entries of another shape are kept raw; another type is refused', async (t) => {
  t.same(decodeObjectList(hex('01 01 11 05')), {
    objects: [],
    odd: [{ axdr: 'unsigned', value: 5 }],
  })
  t.same(decodeObjectList(hex('00')), { objects: [], odd: [] })
  t.equal(outcomeOf(() => decodeObjectList(hex('11 05'))).code, 'DLMS_VALUE_INVALID')
})

t.test('what a device shows is what a client sees', async (t) => {
  const shown = fc.record({
    classId: fc.integer({ min: 1, max: 0xffff }).filter((id) => id !== 15),
    version: fc.integer({ min: 0, max: 3 }),
    instanceId: fc.constantFrom('1-0:1.8.0.255', '0-0:1.0.0.255'),
    attributes: fc.array(
      fc.record({
        id: fc.integer({ min: -128, max: 127 }),
        mode: fc.integer({ min: 0, max: 6 }),
        selectors: fc.uniqueArray(fc.integer({ min: 1, max: 4 })),
      }),
      { maxLength: 4 },
    ),
    methods: fc.array(
      fc.record({ id: fc.integer({ min: 1, max: 9 }), mode: fc.integer({ min: 0, max: 1 }) }),
      { maxLength: 3 },
    ),
  })
  fc.assert(
    fc.property(
      fc.array(shown, { maxLength: 5 }),
      fc.integer({ min: 0, max: 3 }),
      (objects, version) => {
        const view = encodeObjectList(objects, version)
        const { objects: seen, odd } = decodeObjectList(view, version)
        t.same(odd, [])
        t.same(
          seen.map((object) => ({
            ...object,
            attributes: object.attributes.map(({ id, mode, selectors }) => ({
              id,
              mode,
              selectors,
            })),
            methods: object.methods.map(({ id, mode }) => ({ id, mode })),
          })),
          objects,
        )
        if (
          version > 0 ||
          objects.every(({ attributes }) => attributes.every(({ mode }) => mode < 4))
        )
          t.same(readAttribute({ classId: 15, version }, 2, view).notes, [])
      },
    ),
    { numRuns: 60 },
  )
})

t.test('short names [4.4.3 object_list, access_rights_list]', async (t) => {
  const objects = hex(
    '01 02 02 04 10 fa00 12 000c 11 03 09 06 0000280000ff 02 04 10 2000 12 0003 11 00 09 06 0100010800ff',
  )
  const rights = hex('01 01 02 03 10 2000 01 01 02 03 0f 02 16 01 00 01 01 02 02 0f 01 16 01')
  const list = decodeShortNameList(objects, rights)
  t.same(list.odd, [])
  t.equal(findObject(list, '0-0:40.0.0.255')?.baseName, 0xfa00, 'base names are unsigned')
  const register = findObject(list, '1-0:1.8.0.255', 3)!
  t.same([register.attributes[0]!.canRead, register.methods[0]!.canInvoke], [true, true])
  const names = shortNamesOf(register)!
  t.same(
    [...names.attributes],
    [
      [1, 0x2000],
      [2, 0x2008],
      [3, 0x2010],
    ],
  )
  t.same([...names.methods], [[1, 0x2028]])
  t.equal(findObject(list, '1-0:1.8.0.255', 4), undefined)
  t.equal(shortNamesOf(decodeObjectList(listOf('01', '16 01')).objects[0]!), undefined)
  t.same(decodeShortNameList(objects, hex('01 01 02 03 10 3000 01 00 01 00')).odd.length, 1)
})

t.test('any octets: a list or a named error', async (t) => {
  fc.assert(
    fc.property(octets(0, 80), (bytes) => {
      t.match(outcomeOf(() => decodeObjectList(bytes)).code ?? 'DLMS_', /^DLMS_/)
      t.match(outcomeOf(() => decodeShortNameList(bytes, bytes)).code ?? 'DLMS_', /^DLMS_/)
    }),
    { numRuns: 1_000 },
  )
})

const exchanges = loadExchanges()
t.test(
  'object lists of recorded conversations',
  { skip: exchanges === undefined && 'no ../shared/dlms beside the checkout' },
  async (t) => {
    let objectCount = 0
    for (const [name, session] of exchanges!) {
      let asked: ReturnType<typeof decodeDescriptor> | undefined
      let blocks: Buffer[] = []
      for (const { plaintext, apdu } of session) {
        const view = hex(plaintext ?? apdu)
        if (view[0] === 0xc0 && view[1] === 1) {
          asked = decodeDescriptor(view.subarray(3, 12))
          blocks = []
        }
        if (asked?.classId !== 15 || asked.memberId !== 2) continue
        if (view[0] !== 0xc4 || view[1] === 3 || view[view[1] === 1 ? 3 : 8] !== 0) continue
        const at = view[1] === 1 ? 4 : 9 + lengthBytes(view, 9)
        blocks.push(view.subarray(at, view[1] === 1 ? undefined : at + readLength(view, 9)))
        if (view[1] === 2 && view[3] === 0) continue
        const { objects, odd } = decodeObjectList(Buffer.concat(blocks))
        t.same(odd, [], name)
        t.ok(
          findObject({ objects, odd }, '0-0:40.0.0.255', 15)?.attributes.some(
            ({ id, canRead }) => id === 2 && canRead,
          ),
          name,
        )
        objectCount += objects.length
      }
    }
    t.ok(objectCount > 50, `${objectCount} objects`)
  },
)
