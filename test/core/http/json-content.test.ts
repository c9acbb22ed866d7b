/**
 * Large JSON in parts: the same values and faults as at once, with pauses, and limits before
 * parsing.
 */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { parseContent, type ContentLimits } from '../../../core/http/json-content.ts'
import type { ParsedJson } from '../../../core/http/json-body.ts'

const max: ContentLimits = { bytesMax: 4 * 1024 * 1024, itemsMax: 1_000, depthMax: 8 }

async function parse(
  text: string | Buffer,
  own: ContentLimits = max,
): Promise<{ parsed: ParsedJson; pauses: number }> {
  let pauses = 0
  const parsed = await parseContent(Buffer.from(text as string), own, () => {
    pauses++
    return Promise.resolve()
  })
  return { parsed, pauses }
}

/** Room behind a document and in its list makes it large without changing it. */
const room = ' '.repeat(limits.httpSliceBytes - 10_000)
const inList = (text: string): string => text.replace('[', `[${room}`)

t.test('a large list, and an object with one, is what JSON.parse makes of it', async () => {
  const values = fc.array(fc.jsonValue({ maxDepth: 3 }), { minLength: 1, maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(values, fc.boolean(), fc.boolean(), async (list, isInObject, isMarked) => {
      const items = list.map((value) => ` ${JSON.stringify(value)}\n${' '.repeat(9_000)}`)
      // Enough of them to be large.
      while (items.length < 10) items.push(`"${'é\\"[{,'.repeat(1_000)}"`)
      const text = isInObject ? `{"a":{"b":1},"list":[${items.join()}]}` : `[${items.join()}]`
      const { parsed, pauses } = await parse((isMarked ? '\uFEFF' : '') + text)
      if ('detail' in parsed) return /surrogate|rounded|not text|twice/.test(parsed.detail)
      return JSON.stringify(parsed.value) === JSON.stringify(JSON.parse(text)) && pauses > 0
    }),
    { numRuns: 40 },
  )
})

t.test('four mebibytes leave the thread after each part', async (t) => {
  const item = JSON.stringify({ text: 'x'.repeat(4_000) })
  const { parsed, pauses } = await parse(`[${Array(1_000).fill(item).join()}]`)
  t.equal('value' in parsed && (parsed.value as unknown[]).length, 1_000)
  t.ok(pauses >= 2 * Math.floor((1_000 * item.length) / limits.httpSliceBytes) - 9, String(pauses))
})

const nest = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const faults: Array<[what: string, text: string | Buffer, detail: RegExp, field?: string]> = [
  ['a large text', `"${'x'.repeat(70_000)}"`, /not a list/],
  ['a large object', `{"a":"${'x'.repeat(70_000)}","b":[]}`, /beside its list/],
  ['too many entries', `[${'{},'.repeat(1_001)}{}]${room}`, /more than 1000 entries/],
  ['four mebibytes of {}', `[${'{},'.repeat(1_300_000)}{}]`, /more than 1000 entries/],
  ['{} without a list', '{}'.repeat(400_000), /too many objects/],
  ['a large entry', `[1,"${'x'.repeat(70_000)}"]`, /more than 65536 octets/, '[1]'],
  ['depth', `[${nest(8)}]${room}`, /nested too deep/],
  ['depth without an end', '['.repeat(4_000_000), /nested too deep/],
  ['an entry that is nothing', `[1,,2]${room}`, /nothing stands at \[1\]/],
  ['a comma behind', `[1,]${room}`, /nothing stands at \[1\]/],
  ['two documents', `[1][2]${room}`, /not JSON/],
  ['an end too many', `[1]]${room}`, /not JSON/],
  ['no end', `[1,2${room}`, /not a list/],
  ['another end', `[1}${room}`, /not JSON/],
  ['a mark inside', `[\uFEFF1]${room}`, /not JSON/],
  ['the list twice', `{"a":[1],"a":[2]}${room}`, /"a" is there twice/, 'a'],
  ['a name twice', `{"a":[1,{"b":1,"b":2}]}${room}`, /"b" is there twice/, 'a[1].b'],
  [
    'octets',
    Buffer.concat([Buffer.from(inList('[1,{"b":"')), Buffer.of(0xff), Buffer.from(`"}]${room}`)]),
    /not UTF-8/,
    '[1].b',
  ],
  ['a name without quotes', `[{a:1}]${room}`, /\[0\]: the body is not JSON/],
]

t.test('faults of large documents', async (t) => {
  for (const [what, text, detail, field] of faults) {
    const whole = Buffer.isBuffer(text) ? text : inList(text)
    const { parsed } = await parse(whole)
    t.match(parsed, { detail }, what)
    t.equal('field' in parsed ? parsed.field : undefined, field, what)
  }
})

t.test('any octets are a value or a fault', async () => {
  const signs = fc.constantFrom('[', ']', '{', '}', '"', '\\', ',', ':', '1', 'a', ' ')
  await fc.assert(
    fc.asyncProperty(fc.array(signs, { maxLength: 30 }), async (text) => {
      const whole = text.join('')
      const { parsed } = await parse(inList(whole) + room)
      let value: unknown
      try {
        value = JSON.parse(whole)
      } catch {
        return 'detail' in parsed
      }
      if ('detail' in parsed) return /twice|not a list|beside its list/.test(parsed.detail)
      return JSON.stringify(parsed.value) === JSON.stringify(value)
    }),
    { numRuns: 300 },
  )
})
