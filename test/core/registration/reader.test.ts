/**
 * Registration files as they are read: both fuels, both passes, chunks cut anywhere, record faults
 * that stay with their record, and hostile files that are rejected whole.
 */
import { deepStrictEqual as deepEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { dayOf, textOfTime, timeOf } from '../../../core/registration/days.ts'
import {
  checkStructure,
  isStructureFault,
  records,
  type Chunks,
} from '../../../core/registration/file-reader.ts'
import { checkDigitOf } from '../../../core/registration/mpan.ts'
import type { AssemblerOptions, RecordEntry } from '../../../core/registration/record-assembler.ts'
import {
  rejectionReasons,
  type RejectionName,
} from '../../../core/registration/rejection-reasons.ts'

const zhv = 'ZHV|F0000001|R0001001|P|EELC|Z|DCCX|20260105010203||||OPER|'
const a00 = '"A00",0000012345,"RGU",20260105,"010203",000017'
const electricity = (body: readonly string[], end = '\n', header = zhv): string =>
  [header, 'R01|7|', ...body, `ZPT|F0000001|${body.length + 1}||1|20260105010203|`, ''].join(end)
const gas = (body: readonly string[], end = '\n', header = a00): string =>
  [header, ...body, `"Z99",${body.length}`, ''].join(end)

const point = ['R10|1|2000000000015||', 'R11|SUPA|20260101||']
const second = ['R10|2|1234567890126|55|', 'R11|SUPB|20250101|20251231|', 'R11|SUPC|20260101||']

/** `text` in chunks of these sizes, again and again. */
function* cut(text: string, sizes: readonly number[]): Generator<Uint8Array> {
  const all = Buffer.from(text, 'latin1')
  for (let at = 0, i = 0; at < all.length; i++) {
    const size = sizes[i % sizes.length]!
    // A copy, which is overwritten when the reader asks for more: nothing may be borrowed.
    const chunk = Buffer.from(all.subarray(at, at + size))
    yield chunk
    chunk.fill(0x2a)
    at += size
  }
}

const whole = (text: string): Chunks => [Buffer.from(text, 'latin1')]

async function entriesOf(chunks: Chunks, options?: AssemblerOptions): Promise<RecordEntry[]> {
  const all: RecordEntry[] = []
  for await (const batch of records(chunks, options)) all.push(...batch)
  return all
}

const faultOf = async (text: string): Promise<string | undefined> => {
  const found = await checkStructure(whole(text))
  return isStructureFault(found) ? `${found.line}: ${found.reason}` : undefined
}

t.test('electricity: header and every group', async (t) => {
  const text = electricity([
    'R10|12|2000000000015|1234567890|',
    'R11|SUPA|20250101|20251231|',
    'R11|SUPB|20260101||',
    'R12|EELC|20000101||',
    'R13|E|20200229||',
    'R14|01|20200229||',
    'R15|MOPA|20210101||',
    'R16|T|20220101||',
    'R17|I|20220101||',
    'R18|1234567890126|20220101||',
    'R18|1300000000070|20220101||',
  ])
  const structure = await checkStructure(whole(text))
  t.match(structure, {
    fuel: 'electricity',
    header: {
      source: 'EELC',
      kind: 'update',
      sequence: 7,
      created: Date.UTC(2026, 0, 5, 1, 2, 3),
      file: 'F0000001',
    },
    lines: 14,
    records: 1,
    digest: /^[0-9a-f]{64}$/,
  })
  t.same(await entriesOf(whole(text)), [
    {
      instruction: 12,
      line: 3,
      record: {
        point: { fuel: 'electricity', number: '2000000000015' },
        items: [
          { item: 'supplier', value: 'SUPA', from: 20250101, to: 20251231 },
          { item: 'supplier', value: 'SUPB', from: 20260101 },
          { item: 'network-operator', value: 'EELC', from: 20000101 },
          { item: 'energisation', value: 'E', from: 20200229 },
          { item: 'profile-class', value: '01', from: 20200229 },
          { item: 'agent', value: 'MOPA', from: 20210101 },
          { item: 'domestic', value: 'T', from: 20220101 },
          { item: 'direction', value: 'I', from: 20220101 },
          { item: 'related', value: '1234567890126', from: 20220101 },
          { item: 'related', value: '1300000000070', from: 20220101 },
        ],
      },
    },
  ])
  const refresh = electricity([], '\n', zhv.replace('R0001', 'R0002'))
  t.match(await checkStructure(whole(refresh)), { header: { kind: 'refresh' }, records: 0 })
})

t.test('gas: header and every record', async (t) => {
  const text = gas([
    '"R40",0012345678',
    '"R41","SUPA",20250101,20251231',
    '"R41","SUPB",20260101,',
    '"R42","TRA",20000101,',
    '"R43","MAM",20200229,',
    '"R44","F",20200229,',
    '"R40",9876543210',
    '"R41","SUPA",20250101,',
  ])
  t.match(await checkStructure(whole(text)), {
    fuel: 'gas',
    header: { source: '0000012345', kind: 'update', sequence: 17, file: 'RGU17' },
    lines: 10,
    records: 2,
  })
  t.match(await entriesOf(whole(text)), [
    {
      instruction: 1,
      line: 2,
      record: { point: { fuel: 'gas', number: '0012345678' }, items: { length: 5 } },
    },
    { instruction: 2, line: 8, record: { point: { number: '9876543210' } } },
  ])
  t.match(await checkStructure(whole(gas([], '\n', a00.replace('RGU', 'RGR')))), {
    header: { kind: 'refresh' },
  })
})

t.test('a record fault rejects its record and no other', async (t) => {
  const code = (name: RejectionName): string => rejectionReasons[name].code
  const withFault = async (...lines: string[]) => {
    const text = electricity([
      ...point,
      'R10|2|1234567890126||',
      ...lines,
      'R10|3|1300000000070||',
      ...point.slice(1),
    ])
    t.equal(await faultOf(text), undefined)
    const [before, fault, after] = await entriesOf(whole(text))
    t.ok('record' in before! && 'record' in after!, 'its neighbours are accepted')
    return fault
  }
  const supplier = 'R11|SUPB|20260101||'
  for (const [name, line, ...lines] of [
    ['incomplete', 5],
    ['incomplete', 7, supplier, 'R13|E|20260101|'],
    ['incomplete', 7, supplier, 'R13|E|20260101||x'],
    ['incomplete', 6, 'R13|E|20260101|||'],
    ['instructionType', 6, 'R99|E|20260101||'],
    ['supplier', 6, 'R11|supb|20260101||'],
    ['supplier', 6, 'R11|SUPPB|20260101||'],
    ['participant', 6, 'R12||20260101||'],
    ['participant', 6, 'R15|A B|20260101||'],
    ['value', 6, 'R13|X|20260101||'],
    ['value', 6, 'R14|09|20260101||'],
    ['value', 6, 'R14|1|20260101||'],
    ['value', 6, 'R16|Y|20260101||'],
    ['value', 6, 'R17|T|20260101||'],
    ['value', 6, 'R18|123|20260101||'],
    ['date', 6, 'R13|E|20260230||'],
    ['date', 6, 'R13|E|20260101|20261301|'],
    ['date', 6, 'R13|E|||'],
    ['periods', 6, 'R13|E|20260102|20260101|'],
    ['periods', 7, supplier, supplier],
    ['periods', 7, 'R11|SUPA|20250101|20260101|', supplier],
    ['periods', 7, supplier, 'R11|SUPB|20250101|20250102|'],
    ['periods', 7, 'R18|2000000000015|20260101||', 'R18|2000000000015|20250101||'],
  ] as const)
    t.match(
      await withFault(...lines),
      { instruction: 2, line, code: code(name), number: '1234567890126' },
      `${name}: ${lines.join(' ')}`,
    )
  const many = Array.from(
    { length: limits.registrationItemsPerRecordMax + 1 },
    (_, i) => `R13|E|${20_000_101 + i * 10_000}||`,
  )
  t.match(await withFault(...many), { code: code('items'), line: 5 + many.length })
  t.match(await withFault(...many.slice(1)), { record: { items: { length: many.length - 1 } } })
})

t.test('what starts a record has faults, too', async (t) => {
  const { meterPoint, instructionNumber, incomplete } = rejectionReasons
  const text = electricity([
    ...point,
    ...['R10|1|1300000000070||', 'R11|SUPA|20260101||'],
    ...['R10|x|1300000000070||', 'R11|SUPA|20260101||'],
    ...['R10|2|1300000000071||', 'R99|'],
    ...['R10|3|1300000000070|x|', 'R11|SUPA|20260101||'],
    ...['R10|4|1300000000070|', 'R11|SUPA|20260101||'],
    ...['R10|5|1300000000070||', 'R11|SUPA|20260101||'],
  ])
  t.match(await entriesOf(whole(text)), [
    { instruction: 1 },
    { instruction: 1, line: 5, code: instructionNumber.code, number: undefined },
    { instruction: 0, line: 7, code: instructionNumber.code },
    { instruction: 2, line: 9, code: meterPoint.code, number: undefined },
    { instruction: 0, line: 11, code: incomplete.code },
    { instruction: 0, line: 13, code: incomplete.code },
    { instruction: 5, line: 15, record: {} },
  ])
  const sample = electricity(['R10|1|1312345678111||', 'R11|SUPA|20260101||'])
  t.match(await entriesOf(whole(sample)), [{ code: meterPoint.code }])
  t.match(await entriesOf(whole(sample), { checkDigit: false }), [{ record: {} }])
  t.match(await entriesOf(whole(gas(['"R40",12345678901', '"R41","A",20260101,']))), [
    { code: meterPoint.code },
  ])
})

t.test('structural faults reject the file', async (t) => {
  const good = electricity([...point, ...second])
  t.equal(await faultOf(good), undefined)
  const trailer = 'ZPT|F0000001|6||1|20260105010203|\n'
  t.ok(good.endsWith(trailer))
  const faults: ReadonlyArray<readonly [RegExp, string]> = [
    [/^1: the file ends/, ''],
    [/^1: the first line is no header A00/, 'hello\n'],
    [/^1: the first line is no header A00/, '\n'],
    [/^2: the first line is no header ZHV/, good.replace('|OPER|', '|')],
    [/^2: the file id/, good.replace('F0000001', 'F00000000001')],
    [/^2: the flow/, good.replace('R0001001', 'D0204001')],
    [/^2: the sender/, good.replace('|P|', '|PP|')],
    [/^2: the receiver/, good.replace('DCCX', '')],
    [/^2: the creation time/, good.replace('20260105010203', '20260105240000')],
    [/^2: fields 9 to 11/, good.replace('||||OPER', '|x|||OPER')],
    [/^2: the flag/, good.replace('OPER', 'TR01')],
    [/^2: the second line/, good.replace('R01|7|', 'R01|0|')],
    [/^2: the second line/, good.replace('R01|7|', 'R02|7|')],
    [/^2: the second line/, good.replace('R01|7|', 'R01|1234567890123|')],
    [/^3: the line belongs to no record/, good.replace('R10|1|2000000000015||\n', '')],
    [/^8: the file ends before its trailer/, good.replace(trailer, '')],
    [/^9: there is a line behind the trailer/, `${good}x`],
    [/^9: there is a line behind the trailer/, `${good}\n`],
    [/^9: there is a line behind the trailer/, `${good}${good}`],
    [/^8: the trailer counts 5 lines, the file has 6/, good.replace('|6||', '|5||')],
    [/^8: the trailer names another file/, good.replace('ZPT|F0000001', 'ZPT|F0000002')],
    [/^8: the trailer has other than one flow/, good.replace('||1|', '||2|')],
    [/^8: the trailer ZPT is not whole/, good.slice(0, -2)],
    [/^8: the count of the trailer/, good.replace('|6||', '|-6||')],
    [/^3: octet 0x00 is not printable/, good.replace('R10|1', 'R10|\0')],
    [/^3: octet 0xe9 is not printable/, good.replace('R10|1', 'R10|\u00e9')],
    [/^3: octet 0x09 is not printable/, good.replace('R10|1', 'R10|\t')],
    [/^3: a carriage return inside a line/, good.replace('R10|1', 'R10|\r1')],
    [/^9: the file ends with half an end of line/, `${good}\r`],
    [/^1: octet 0xef/, `\u00ef\u00bb\u00bf${good}`],
    [/^3: the line is longer than/, good.replace('R10|1', `R10|${'1'.repeat(1_024)}`)],
    [/^1: the file type/, gas([], '\n', a00.replace('RGU', 'DXI'))],
    [/^1: the organisation id/, gas([], '\n', a00.replace('0000012345', 'X'))],
    [/^1: the creation time/, gas([], '\n', a00.replace('20260105', '20261305'))],
    [/^1: the generation number/, gas([], '\n', a00.replace('000017', '0'))],
    [/^2: the trailer Z99 is not whole/, `${a00}\n"Z99",0,0\n`],
    [/^2: the count of the trailer/, `${a00}\n"Z99",zero\n`],
    [/^2: the line belongs to no record/, `${a00}\nZ99,0\n`],
  ]
  for (const [reason, text] of faults) {
    const found = (await faultOf(text)) ?? 'none'
    // Faults of the header are found when all of its lines are there.
    t.match(found, reason, JSON.stringify(text.slice(0, 80)))
    await t.rejects(entriesOf(whole(text)), { code: 'REGISTRATION_FILE_MALFORMED' })
  }
  t.match(await checkStructure(whole(good.replace('|6||', '|5||'))), {
    code: 'REGISTRATION_FILE_MALFORMED',
    fuel: 'electricity',
    header: { source: 'EELC', sequence: 7 },
  })
})

t.test('half a file, cut after any octet, is rejected', async (t) => {
  for (const text of [
    electricity([...point, ...second]),
    gas(['"R40",1', '"R41","A",20260101,']),
  ]) {
    for (let bytes = 0; bytes < text.trimEnd().length; bytes++)
      if ((await faultOf(text.slice(0, bytes))) === undefined) t.fail(`${bytes} octets`)
    t.equal(await faultOf(text.trimEnd()), undefined, 'the last line needs no end')
  }
})

t.test('CRLF and LF are the same', async (t) => {
  const lines = [...point, ...second]
  const expected = await entriesOf(whole(electricity(lines)))
  t.same(await entriesOf(whole(electricity(lines, '\r\n'))), expected)
  t.same(await entriesOf(whole(electricity(lines).replace('\n', '\r\n'))), expected, 'mixed')
})

t.test('a line of 10 MB is not kept', async (t) => {
  let chunks = 0
  function* endless(): Generator<Uint8Array> {
    yield Buffer.from(`${zhv}\nR01|7|\n`)
    for (; chunks < 160; chunks++) yield Buffer.alloc(64 * 1024, 0x41)
  }
  t.match(await checkStructure(endless()), { line: 3, reason: /longer than 1024 octets/ })
  t.ok(chunks <= 1, 'reading stops at once')
})

t.test('a line of the longest length is taken wherever it is cut', async (t) => {
  const long = 'R'.repeat(limits.registrationLineBytesMax)
  for (const end of ['\n', '\r\n'])
    for (const text of [electricity([...point, long], end)]) {
      for (const size of [1, 7, 1_000, 1_024, 1_025])
        t.notOk(isStructureFault(await checkStructure(cut(text, [size]))), `${size}`)
      const longer = electricity([...point, `${long}R`], end)
      for (const size of [1, 7, 1_000, 1_024, 1_025, 10_000])
        t.match(await checkStructure(cut(longer, [size])), { line: 5 }, `${size}`)
    }
})

// ── properties ──

t.test('days and times: each one of the calendar, and no other', async (t) => {
  const time = fc.date({
    min: new Date('1900-01-01'),
    max: new Date('2100-12-31'),
    noInvalidDate: true,
  })
  fc.assert(
    fc.property(time, (date) => {
      const ms = Math.floor(date.getTime() / 1_000) * 1_000
      const text = textOfTime(ms)
      return timeOf(text) === ms && dayOf(text.slice(0, 8)) === Number(text.slice(0, 8))
    }),
  )
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('0', '1', '2', '3', 'x'), minLength: 6, maxLength: 8 }),
      (text) => {
        const [year, month, inMonth] = [text.slice(0, 4), text.slice(4, 6), text.slice(6)]
        const date = new Date(`${year}-${month}-${inMonth}T00:00:00Z`)
        const isDay =
          /^[0-9]{8}$/.test(text) &&
          date.getUTCDate() === Number(inMonth) &&
          date.getUTCFullYear() >= 1900
        return (dayOf(text) !== undefined) === isDay
      },
    ),
    { numRuns: 5_000 },
  )
  for (const text of [
    '20230229',
    '21000229',
    '20240230',
    '20240431',
    '20241301',
    '20240100',
    '18991231',
  ])
    t.equal(dayOf(text), undefined, text)
  for (const text of ['20240229', '20000229', '19000101']) t.equal(dayOf(text), Number(text))
  for (const text of ['20240101240000', '20240101006000', '2024010100000', '20240101 00000'])
    t.equal(timeOf(text), undefined, text)
})

const day = fc
  .date({ min: new Date('1990-01-01'), max: new Date('2050-01-01'), noInvalidDate: true })
  .map((date) => Number(date.toISOString().slice(0, 10).replaceAll('-', '')))
const id = fc.string({
  unit: fc.constantFrom('A', 'B', 'C', 'X', 'Y', 'Z', '0', '1', '8', '9'),
  minLength: 1,
  maxLength: 4,
})
const mpan = fc
  .integer({ min: 100_000_000_000, max: 999_999_999_999 })
  .map((number) => `${number}${checkDigitOf(String(number))}`)
const mprn = fc.string({
  unit: fc.constantFrom(...'0123456789'.split('')),
  minLength: 1,
  maxLength: 10,
})
const days = fc
  .uniqueArray(day, { minLength: 1, maxLength: 4 })
  .map((all) => all.toSorted((a, b) => a - b))
const suppliers = days.chain((all) =>
  fc.tuple(...all.map((from) => fc.tuple(id, fc.constant(from)))),
)
const electricityRecords = fc.array(fc.tuple(mpan, suppliers, fc.constantFrom('E', 'D'), day))
const gasRecords = fc.array(fc.tuple(mprn, suppliers))
const sizes = fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 8 })
const lineEnd = fc.constantFrom('\n', '\r\n')

const itemsOf = (all: readonly (readonly [string, number])[]) =>
  all.map(([value, from]) => ({ item: 'supplier', value, from }))

t.test('electricity: what is written is read, wherever it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(electricityRecords, sizes, lineEnd, async (all, cuts, end) => {
      const lines = all.flatMap(([number, own, status, from], index) => [
        `R10|${index * 3 + 1}|${number}||`,
        ...own.map(([supplier, since]) => `R11|${supplier}|${since}||`),
        `R13|${status}|${from}||`,
      ])
      const text = electricity(lines, end)
      const structure = await checkStructure(cut(text, cuts))
      const entries = await entriesOf(cut(text, cuts))
      const expected = all.map(([number, own, status, from]) => ({
        point: { fuel: 'electricity', number },
        items: [...itemsOf(own), { item: 'energisation', value: status, from }],
      }))
      deepEqual(
        entries.map((entry) => ('record' in entry ? entry.record : entry)),
        expected,
      )
      deepEqual(isStructureFault(structure) ? 0 : structure.records, all.length)
    }),
  )
})

t.test('gas: what is written is read, wherever it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(gasRecords, sizes, lineEnd, async (all, cuts, end) => {
      const lines = all.flatMap(([number, own]) => [
        `"R40",${number}`,
        ...own.map(([supplier, since]) => `"R41","${supplier}",${since},`),
      ])
      const entries = await entriesOf(cut(gas(lines, end), cuts))
      deepEqual(
        entries.map((entry) => ('record' in entry ? entry.record : entry)),
        all.map(([number, own]) => ({ point: { fuel: 'gas', number }, items: itemsOf(own) })),
      )
    }),
  )
})

t.test('any octets: both passes agree, and cuts change nothing', async () => {
  const good = electricity([...point, ...second])
  const changed = fc
    .array(fc.tuple(fc.nat(good.length), fc.constantFrom(...'|\r\n\0AR10Z9é'.split(''))), {
      maxLength: 4,
    })
    .map((edits) =>
      edits.reduce((text, [at, to]) => text.slice(0, at) + to + text.slice(at + 1), good),
    )
  const any = fc.oneof(changed, fc.string({ unit: 'binary-ascii', maxLength: 400 }))
  const attempt = async (chunks: Chunks) => {
    try {
      return await entriesOf(chunks)
    } catch (error) {
      return String(error)
    }
  }
  await fc.assert(
    fc.asyncProperty(any, sizes, async (text, cuts) => {
      const structure = await checkStructure(cut(text, cuts))
      const first = await attempt(whole(text))
      deepEqual(await attempt(cut(text, cuts)), first)
      deepEqual(await checkStructure(whole(text)), structure)
      deepEqual(isStructureFault(structure), typeof first === 'string')
      if (!isStructureFault(structure)) deepEqual(first.length, structure.records)
    }),
    { numRuns: 500 },
  )
})
