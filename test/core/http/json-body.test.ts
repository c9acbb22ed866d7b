/** JSON of parties: everything that JSON.parse passes over in silence is a fault with its field. */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { parseJson } from '../../../core/http/json-body.ts'

const parse = (text: string | Buffer): ReturnType<typeof parseJson> =>
  parseJson(Buffer.isBuffer(text) ? text : Buffer.from(text))
const octets = (...parts: Array<string | number[]>): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)))

t.test('any JSON value comes back as it is, with and without a byte order mark', (t) => {
  fc.assert(
    fc.property(fc.json(), fc.boolean(), (text, isMarked) => {
      const value = JSON.parse(text) as unknown
      const parsed = parse((isMarked ? '\uFEFF' : '') + text)
      if ('value' in parsed) return JSON.stringify(parsed.value) === JSON.stringify(value)
      return /twice|surrogate|rounded|not text|deep/.test(parsed.detail)
    }),
  )
  t.same(parse('{"__proto__":{"x":1}}'), { value: JSON.parse('{"__proto__":{"x":1}}') })
  t.end()
})

t.test('any octets are a value or a fault', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
      const parsed = parse(Buffer.from(noise))
      return 'value' in parsed || parsed.detail.length > 0
    }),
  )
  t.end()
})

const half = '\\ud800'
const faults: Array<[what: string, body: string | Buffer, detail: RegExp, field?: string]> = [
  ['nothing', '', /empty/],
  ['a mark alone', '\uFEFF', /empty/],
  ['half a document', '{"a":', /not JSON/],
  ['UTF-16', Buffer.from('\uFEFF{"a":1}', 'utf16le'), /not JSON: it is not UTF-8/],
  ['a name twice', '{"a":1,"a":1}', /"a" is there twice/, 'a'],
  [
    'a name in both spellings',
    '{"requestId":{},"request_id":null}',
    /"requestId".*twice/,
    'requestId',
  ],
  ['a name twice, once escaped', '{"a":1,"\\u0061":2}', /"a" is there twice/, 'a'],
  ['a name twice inside', '{"x":[{},{"b":{"c":"}","c":1}}]}', /"c" is there twice/, 'x[1].b.c'],
  ['octets', octets('{"t":{"text":"a', [0xff, 0xfe], 'b"}}'), /not UTF-8/, 't.text'],
  ['octets in a list', octets('["é",{"y":"', [0xc3], '"}]'), /not UTF-8/, '[1].y'],
  ['overlong octets', octets('{"y":"', [0xc0, 0xaf], '"}'), /not UTF-8/, 'y'],
  ['a surrogate as octets', octets('{"y":"', [0xed, 0xa0, 0x80], '"}'), /not UTF-8/, 'y'],
  ['octets in a name', octets('{"y":{"', [0xff], '":1}}'), /name is not text/, 'y'],
  ['a high half', `{"y":"a${half}b"}`, /surrogate/, 'y'],
  ['a low half', '{"y":"\\udc00"}', /surrogate/, 'y'],
  ['halves the wrong way round', '{"y":["\\udc00\\ud800"]}', /surrogate/, 'y[0]'],
  ['half a name', `{"y":{"${half}":1}}`, /name is not text/, 'y'],
  ['digits that are lost', '{"c":9007199254740991.4}', /text, in quotation marks/, 'c'],
  ['an exponent with them', '{"c":[1,1.234567890123456789e18]}', /quotation marks/, 'c[1]'],
  ['depth', '['.repeat(limits.jsonNestingMax + 1) + ']'.repeat(limits.jsonNestingMax + 1), /deep/],
  ['objects', `[${Array(limits.jsonObjectsMax).fill('{}').join()}]`, /too many objects/],
  ['great depth', '['.repeat(200_000) + ']'.repeat(200_000), /nested too deep/],
]
for (const [what, body, detail, field] of faults)
  t.test(`a fault: ${what}`, (t) => {
    const parsed = parse(body)
    t.ok('detail' in parsed)
    t.match(parsed, { detail })
    t.equal('field' in parsed ? parsed.field : '', field)
    t.end()
  })

t.test('what looks like a fault and is none', (t) => {
  for (const text of [
    '{"a":{"a":1},"b":[{"a":1},{"a":2}]}',
    '{"a":"\\"","b":"\\\\","c":"{\\"a\\":1,\\"a\\":2}"}',
    '{"text":"\\ud83d\\ude00 😀"}',
    '{"c":18446744073709551615}',
    '{"c":1e3,"d":-0.5,"e":0}',
    ' [ { } , [ ] , true , null ] ',
    `["${'['.repeat(100)}","\\"[{[{[{[{[{[{[{[{["]`,
    `[${Array(limits.jsonObjectsMax - 1)
      .fill('{}')
      .join()}]`,
    '['.repeat(limits.jsonNestingMax) + ']'.repeat(limits.jsonNestingMax),
  ])
    t.same(parse(text), { value: JSON.parse(text) as unknown }, text.slice(0, 60))
  t.end()
})
