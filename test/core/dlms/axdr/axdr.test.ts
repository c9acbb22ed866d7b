/**
 * COSEM data: golden octets from the standard's text, round trips, every cut, any octets, bounds.
 */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../../core/base/limits.ts'
import {
  AxdrWriter,
  bcdNumber,
  decodeType,
  decodeValue,
  encodeValue,
  integerRanges,
  lengthBytes,
  lengthBytesFor,
  readLength,
  skipValue,
  Tag,
  writeLength,
  type AxdrValue,
} from '../../../../core/dlms/axdr/axdr.ts'
import { meaningOf, outcomeOf, values } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

t.test('the writer lays values out as the standard says', (t) => {
  const golden: [string, (out: AxdrWriter) => unknown][] = [
    ['00', (out) => out.null()],
    ['ff', (out) => out.dontCare()],
    ['01 00', (out) => out.array(0)],
    ['02 02 11 01 00', (out) => out.structure(2).uint8(1).null()],
    ['01 81 80', (out) => out.array(128)],
    ['03 01 03 00', (out) => out.boolean(true).boolean(false)],
    ['04 09 a5 80', (out) => out.bitString(hex('a580'), 9)],
    ['05 80 00 00 00', (out) => out.int32(-0x8000_0000)],
    ['06 ff ff ff ff', (out) => out.uint32(0xffff_ffff)],
    ['09 06 01 00 01 08 00 ff', (out) => out.octetString(hex('0100010800ff'))],
    ['0a 02 41 e9', (out) => out.visibleString('Aé')],
    ['0c 03 41 c3 a9', (out) => out.utf8String('Aé')],
    ['0d 42', (out) => out.bcd(0x42)],
    ['0d ff', (out) => out.bcd(0xff)],
    ['0f 80', (out) => out.int8(-128)],
    ['10 8a 55', (out) => out.int16(-30123)],
    ['11 ff', (out) => out.uint8(255)],
    ['12 ff fe', (out) => out.uint16(0xfffe)],
    ['14 80 00 00 00 00 00 00 00', (out) => out.int64(-(2n ** 63n))],
    ['15 ff ff ff ff ff ff ff ff', (out) => out.uint64(2n ** 64n - 1n)],
    ['16 1e', (out) => out.enumeration(30)],
    ['17 3f c0 00 00', (out) => out.float32(1.5)],
    ['18 c0 02 00 00 00 00 00 00', (out) => out.float64(-2.25)],
    [
      '09 0c 07 ea 0b 17 01 0b 33 20 00 00 00 00',
      (out) => out.dateTime(hex('07ea0b17010b332000000000')),
    ],
  ]
  const out = new AxdrWriter(1)
  for (const [octets, write] of golden) {
    write(out)
    t.equal(out.bytes, hex(octets).length)
    t.same(out.take(), hex(octets), octets)
  }
  t.equal(out.uint8(1).clear().bytes, 0)
  t.same(out.octets(hex('0601')).octet(2).length(300).view, hex('0601 02 82012c'))
  t.end()
})

t.test('what is taken is not written over', (t) => {
  const out = new AxdrWriter()
  const first = out.uint8(1).take()
  out.uint8(2).take()
  t.same(first, hex('1101'))
  t.end()
})

t.test('lengths', (t) => {
  const golden: [number, string][] = [
    [0, '00'],
    [127, '7f'],
    [128, '8180'],
    [255, '81ff'],
    [256, '820100'],
    [65_536, '83010000'],
    [2 ** 24, '8401000000'],
    [2 ** 32 - 1, '84ffffffff'],
  ]
  for (const [length, octets] of golden) {
    const out = Buffer.alloc(8)
    t.equal(writeLength(out, 1, length), 1 + octets.length / 2)
    t.same(out.subarray(1, 1 + octets.length / 2), hex(octets))
    t.equal(readLength(out, 1), length)
    t.equal(lengthBytes(out, 1), octets.length / 2)
    t.equal(lengthBytesFor(length), octets.length / 2)
  }
  t.equal(readLength(hex('820005'), 0), 5, 'longer than needed')
  for (const bad of ['', '80', '81', '8201', '8500000000 01', 'ff'])
    t.throws(() => readLength(hex(bad), 0), { code: 'DLMS_LENGTH_INVALID' }, bad)
  t.end()
})

t.test('a length that is known only afterwards', (t) => {
  for (const bytes of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
    const content = Buffer.alloc(bytes, 0xa5)
    const out = new AxdrWriter(1).octet(0x60)
    const outer = out.openLength()
    const inner = out.octet(0x04).openLength()
    out.octets(content).closeLength(inner).closeLength(outer).octet(0xff)
    const part = new AxdrWriter().octet(0x04).length(bytes).octets(content).take()
    const whole = new AxdrWriter().octet(0x60).length(part.length).octets(part).octet(0xff).take()
    t.ok(out.take().equals(whole), `${bytes} octets`)
  }
  t.end()
})

t.test('values keep every bit on the way out and back', (t) => {
  fc.assert(
    fc.property(values, fc.uint8Array({ maxLength: 4 }), (value, behind) => {
      const bytes = encodeValue(value)
      const view = Buffer.concat([Buffer.of(0xee), bytes, behind])
      t.equal(skipValue(view, 1), 1 + bytes.length)
      t.same(encodeValue(decodeValue(view, 1)), bytes)
      t.same(meaningOf(decodeValue(view, 1)), meaningOf(value))
    }),
  )
  t.end()
})

t.test('a value that is cut anywhere is cut short', (t) => {
  fc.assert(
    fc.property(values, (value) => {
      const bytes = encodeValue(value)
      for (let end = 0; end < bytes.length; end++) {
        const codes = [
          outcomeOf(() => skipValue(bytes.subarray(0, end), 0)).code,
          outcomeOf(() => skipValue(bytes, 0, end)).code,
          outcomeOf(() => decodeValue(bytes.subarray(0, end))).code,
        ]
        if (codes.some((code) => code !== 'DLMS_LENGTH_INVALID'))
          throw new Error(`${codes.join()} when cut at ${end}`)
      }
    }),
    { numRuns: 50 },
  )
  t.end()
})

t.test('any octets give a value or a named error, and both readers agree', (t) => {
  const tagged = fc.array(
    fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...Object.values(Tag)) }, fc.nat(255)),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(tagged, (octets) => {
      const view = Buffer.from(octets)
      const skipped = outcomeOf(() => skipValue(view, 0))
      const decoded = outcomeOf(() => decodeValue(view))
      if (skipped.code !== undefined) {
        if (decoded.code !== skipped.code) return false
      } else if (skipped.value > view.length) return false
      // Packed contents and characters are looked at by the decoder only.
      const codes = [skipped.code, decoded.code, outcomeOf(() => decodeType(view)).code]
      return codes.every((code) => code === undefined || code.startsWith('DLMS_'))
    }),
    { numRuns: 3000 },
  )
  t.end()
})

t.test('a value that its type cannot hold is not written', (t) => {
  for (const [tag, [min, max]] of integerRanges) {
    const isBig = tag === Tag.LONG64 || tag === Tag.LONG64_UNSIGNED
    const valueOf = (value: bigint): AxdrValue =>
      ({ tag, value: isBig ? value : Number(value) }) as AxdrValue
    for (const held of [min, max])
      t.same(decodeValue(encodeValue(valueOf(held))), valueOf(held), `${held} as ${tag}`)
    // Of bcd a value holds the octet, also one that is no pair of digits.
    const octets = tag === Tag.BCD ? ([0n, 255n] as const) : ([min, max] as const)
    for (const wrong of [octets[0] - 1n, octets[1] + 1n])
      t.throws(() => encodeValue(valueOf(wrong)), { code: 'DLMS_VALUE_INVALID' }, `${wrong}`)
  }
  const array = { tag: Tag.ARRAY, count: 0x1_0000, of: { tag: Tag.NULL } } as const
  const wrong: AxdrValue[] = [
    { tag: Tag.UNSIGNED, value: NaN },
    { tag: Tag.DOUBLE_LONG, value: 1.5 },
    { tag: Tag.LONG_UNSIGNED, value: Infinity },
    { tag: Tag.LONG64, value: 1 as unknown as bigint },
    { tag: Tag.UNSIGNED, value: 1n as unknown as number },
    { tag: Tag.BIT_STRING, bitCount: 9, value: hex('a5') },
    { tag: Tag.DATE_TIME, value: hex('00') },
    { tag: Tag.DATE, value: Buffer.alloc(12) },
    { tag: Tag.TIME, value: Buffer.alloc(5) },
    { tag: Tag.VISIBLE_STRING, value: '5 €' },
    { tag: Tag.COMPACT_ARRAY, type: array, elements: [] },
    {
      tag: Tag.COMPACT_ARRAY,
      type: { tag: Tag.UNSIGNED },
      elements: [{ tag: Tag.UNSIGNED, value: 256 }],
    },
  ]
  for (const value of wrong)
    t.throws(() => encodeValue(value), { code: 'DLMS_VALUE_INVALID' }, `tag ${value.tag}`)
  t.end()
})

t.test('nesting, counts and packed promises are bounded', (t) => {
  const nested = (depth: number): Buffer =>
    Buffer.concat([Buffer.alloc(depth * 2).fill(hex('0101')), hex('00')])
  t.equal(skipValue(nested(limits.dataDepthMax), 0), limits.dataDepthMax * 2 + 1)
  t.throws(() => skipValue(nested(limits.dataDepthMax + 1), 0), { code: 'DLMS_NESTING_EXCEEDED' })
  t.throws(() => skipValue(nested(100_000), 0), { code: 'DLMS_NESTING_EXCEEDED' })
  const many = Buffer.concat([hex('0183010001'), Buffer.alloc(65_537)])
  t.throws(() => skipValue(many, 0), { code: 'DLMS_SIZE_EXCEEDED' })
  t.throws(() => skipValue(hex('0184ffffffff00'), 0), { code: 'DLMS_SIZE_EXCEEDED' })
  t.throws(() => skipValue(hex('0182ffff00'), 0), { code: 'DLMS_LENGTH_INVALID' })
  const types = Buffer.concat([
    hex('13'),
    Buffer.alloc(3 * (limits.dataDepthMax + 1)).fill(hex('010001')),
    hex('1100'),
  ])
  t.throws(() => skipValue(types, 0), { code: 'DLMS_NESTING_EXCEEDED' })
  t.throws(() => decodeType(types, 1), { code: 'DLMS_NESTING_EXCEEDED' })
  // 65,535 × 65,535 nulls in eleven octets
  t.throws(() => decodeValue(hex('13 01ffff 01ffff 00 01 00')), { code: 'DLMS_SIZE_EXCEEDED' })
  t.throws(
    () => decodeValue(hex('13 00 01 00')),
    { code: 'DLMS_VALUE_INVALID' },
    'elements of no octets',
  )
  t.throws(() => skipValue(hex('13 13 00'), 0), { code: 'DLMS_TAG_UNKNOWN' })
  t.throws(() => decodeType(hex('13')), { code: 'DLMS_TAG_UNKNOWN' })
  t.throws(() => decodeValue(hex('07')), { code: 'DLMS_TAG_UNKNOWN' })
  const octet: AxdrValue = { tag: Tag.UNSIGNED, value: 1 }
  t.throws(
    () => encodeValue({ tag: Tag.COMPACT_ARRAY, type: { tag: Tag.ENUM }, elements: [octet] }),
    { code: 'DLMS_VALUE_INVALID' },
  )
  t.throws(
    () =>
      encodeValue({
        tag: Tag.COMPACT_ARRAY,
        type: { tag: Tag.STRUCTURE, of: [] },
        elements: [{ tag: Tag.STRUCTURE, elements: [octet] }],
      }),
    { code: 'DLMS_VALUE_INVALID' },
  )
  t.throws(() => new AxdrWriter().octetString(Buffer.alloc(3 * 1024 * 1024)), {
    code: 'DLMS_SIZE_EXCEEDED',
  })
  t.end()
})

t.test(
  'a utf8-string of other octets keeps what can be read of it, and the rest of the value',
  (t) => {
    const octets = hex('0202 0c04 41ff42c3 1105')
    const value = decodeValue(octets)
    t.same(value, {
      tag: Tag.STRUCTURE,
      elements: [
        { tag: Tag.UTF8_STRING, value: 'A\ufffdB\ufffd', octets: hex('41ff42c3') },
        { tag: Tag.UNSIGNED, value: 5 },
      ],
    })
    t.same(encodeValue(value), octets)
    // U+FFFD as such is text.
    t.same(decodeValue(hex('0c03efbfbd')), { tag: Tag.UTF8_STRING, value: '\ufffd' })
    t.end()
  },
)

t.test('a bcd is two digits in an octet', (t) => {
  const numbers = [0x25, 0x99, 0x00, 0x1a, 0xa1, 0xff].map(bcdNumber)
  t.same(numbers, [25, 99, 0, undefined, undefined, undefined])
  t.same(decodeValue(hex('0dff')), { tag: Tag.BCD, value: 0xff })
  t.end()
})
