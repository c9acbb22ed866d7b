/**
 * Profiles: rows in words, what meters leave out, buffers with every sort method, and a real
 * meter's compressed profile.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  compressRows,
  decodeColumns,
  nameOfColumn,
  rangeOfEntries,
  rangeOfTimes,
  readProfile,
  type ProfileColumn,
} from '../../../../core/dlms/cosem/profile.ts'
import { ProfileBuffer, SortMethod } from '../../../../core/dlms/cosem/profile-buffer.ts'
import {
  encodeValue,
  lengthBytes,
  readLength,
  Tag,
  type AxdrValue,
} from '../../../../core/dlms/axdr/axdr.ts'
import { writeCosemDateTime } from '../../../../core/dlms/axdr/date-time.ts'
import {
  decodeDescriptor,
  decodeSelection,
  encodeSelection,
} from '../../../../core/dlms/apdu/descriptor.ts'
import { loadExchanges, loadVectors, octets, outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const clock: ProfileColumn = {
  classId: 8,
  instanceId: '0-0:1.0.0.255',
  attributeId: 2,
  dataIndex: 0,
}
const status: ProfileColumn = {
  classId: 1,
  instanceId: '0-0:96.10.1.255',
  attributeId: 2,
  dataIndex: 0,
}
const energy: ProfileColumn = {
  classId: 3,
  instanceId: '1-0:1.8.0.255',
  attributeId: 2,
  dataIndex: 0,
  scalerUnit: { scaler: -3, unit: 30 },
}

function timeValue(utcMs: number): AxdrValue {
  const value = Buffer.alloc(12)
  writeCosemDateTime(value, 0, utcMs, -60, 0x80)
  return { tag: Tag.OCTET_STRING, value }
}
const uint32 = (value: number): AxdrValue => ({ tag: Tag.DOUBLE_LONG_UNSIGNED, value })
const uint8 = (value: number): AxdrValue => ({ tag: Tag.UNSIGNED, value })
const bufferOf = (rows: readonly (readonly AxdrValue[])[]): Buffer =>
  encodeValue({
    tag: Tag.ARRAY,
    elements: rows.map((row) => ({ tag: Tag.STRUCTURE, elements: [...row] })),
  })
const start = Date.UTC(2026, 5, 1)

t.test('columns and their names', async (t) => {
  const columns = decodeColumns(
    hex(
      '01 02 02 04 12 0008 09 06 0000010000ff 0f 02 12 0000 02 04 12 0003 09 06 0100010800ff 0f 02 12 0000',
    ),
  )
  t.same(columns, [
    clock,
    { classId: 3, instanceId: '1-0:1.8.0.255', attributeId: 2, dataIndex: 0 },
  ])
  t.equal(
    nameOfColumn(energy),
    'Electricity, active energy import (+A), total, rate total, current',
  )
  t.equal(
    nameOfColumn({ classId: 4, instanceId: '1-0:1.6.0.255', attributeId: 5, dataIndex: 0 }),
    'Electricity, active power import (+A), maximum 1, rate total, current, capture_time',
  )
  t.equal(
    nameOfColumn({ ...status, attributeId: 9, dataIndex: 2 }),
    'Abstract, status register 1, attribute 9, element 2',
  )
  t.equal(outcomeOf(() => decodeColumns(hex('01 01 11 00'))).code, 'DLMS_VALUE_INVALID')
  t.equal(outcomeOf(() => decodeColumns(hex('11 00'))).code, 'DLMS_VALUE_INVALID')
})

t.test(
  'null-data is the value before, a clock one period on; delta types add [4.3.6 buffer]',
  async (t) => {
    const view = hex(`01 04
    02 03 09 0c 07ea 06 01 01 00 00 00 00 ffc4 80 11 08 06 00000064
    02 03 00 00 06 00000065
    02 03 00 11 00 00
    02 03 00 00 1c ff`)
    const { names, rows, notes } = readProfile(view, [clock, status, energy], {
      capturePeriodSeconds: 1800,
    })
    t.same(notes, [])
    t.equal(names[0], 'Abstract, clock')
    const first = Date.UTC(2026, 4, 31, 23)
    t.same(
      rows.map(({ utcMs }) => utcMs! - first),
      [0, 1_800_000, 3_600_000, 5_400_000],
    )
    t.same(
      rows.map(({ cells }) => cells[2]!.scaled?.decimal),
      ['0.100', '0.101', '0.101', '0.100'],
    )
    t.same(
      rows.map(({ cells }) => cells[2]!.isFilled ?? false),
      [false, false, true, true],
    )
    t.same(rows[1]!.cells[1], { json: { axdr: 'unsigned', value: 8 }, isFilled: true })
    t.equal(rows[3]!.cells[0]!.json, '2026-06-01 Mon 01:30:00.00 UTC+01:00 daylight-saving')
    // Last in, first out: time runs backwards. Captured on events: there is no period to add.
    t.equal(
      readProfile(view, [clock, status, energy], { capturePeriodSeconds: 1800, sortMethod: 2 })
        .rows[1]!.utcMs,
      first - 1_800_000,
    )
    t.equal(readProfile(view, [clock, status, energy]).rows[1]!.utcMs, first)
  },
)

t.test(
  'compact-array, rows without a structure, rows of another width, rows behind a count of none',
  async (t) => {
    const compact = readProfile(hex('13 02 02 11 06 0a 01 00000064 02 00000065'), [status, energy])
    t.same(
      compact.rows.map(({ cells }) => cells[1]!.scaled!.decimal),
      ['0.100', '0.101'],
    )
    const single = readProfile(hex('01 02 11 01 11 02'), [status])
    t.same(
      single.rows.map(({ cells }) => cells[0]!.json),
      [
        { axdr: 'unsigned', value: 1 },
        { axdr: 'unsigned', value: 2 },
      ],
    )
    const wide = readProfile(hex('01 01 02 02 11 01 11 02'), [status])
    t.same(wide.names, ['Abstract, status register 1', 'column 2'])
    t.same([wide.rows[0]!.cells.length, wide.notes[0]!.problem], [2, 'fields-unexpected'])
    const short = readProfile(hex('01 00 02 01 11 01 02 01 11 02'), [status])
    t.same([short.rows.length, short.notes[0]!.problem], [2, 'length-unexpected'])
    t.same(readProfile(hex('01 00 01 00'), [status]).rows, [])
    t.same(readProfile(hex('00'), [status]).rows, [])
    const lost = readProfile(hex('01 02 02 01 1c 05 02 01 00'), [status])
    t.same(lost.notes[0], {
      path: '[0][0]',
      problem: 'type-unexpected',
      detail: 'a delta without a value to add it to',
    })
    const wild = readProfile(hex('01 02 02 01 09 0c ffff0601ff000000ff800000 02 01 00'), [clock], {
      capturePeriodSeconds: 60,
    })
    t.same(
      [wild.rows[1]!.cells[0]!.json, wild.rows[1]!.utcMs],
      [null, undefined],
      'there is no period after a pattern',
    )
  },
)

t.test('what is left out comes back, in any order of time', async (t) => {
  const rows = fc.array(
    fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 3 })),
    { maxLength: 30 },
  )
  fc.assert(
    fc.property(rows, fc.constantFrom(1, 2), (drawn, sortMethod) => {
      let utcMs = start
      const full = drawn.map(([isLate, flags, count]) => {
        utcMs += (sortMethod === 2 ? -1 : 1) * (isLate ? 7_000_000 : 1_800_000)
        return [timeValue(utcMs), uint8(flags), uint32(count)]
      })
      const options = { capturePeriodSeconds: 1800, sortMethod }
      const cellsOf = (of: readonly (readonly AxdrValue[])[]) =>
        readProfile(bufferOf(of), [clock, status, energy], options).rows.map(
          ({ utcMs: at, cells }) => [at, ...cells.map(({ json, scaled }) => [json, scaled])],
        )
      t.strictSame(cellsOf(compressRows(full, 0, options)), cellsOf(full))
    }),
  )
})

t.test('sort methods of a buffer [4.3.6 sort_method]', async (t) => {
  const int = (value: number): AxdrValue => ({ tag: Tag.LONG, value })
  const kept = (sortMethod: SortMethod): number[] => {
    const buffer = new ProfileBuffer({ sortMethod, entriesMax: 4 })
    for (const value of [3, -1, 7, 2, -9, 3]) buffer.capture([int(value)])
    t.equal(buffer.entriesInUse, 4)
    return buffer.rows.map(([cell]) => (cell as { value: number }).value)
  }
  t.same(kept(SortMethod.FIFO), [7, 2, -9, 3])
  t.same(kept(SortMethod.LIFO), [3, -9, 2, 7])
  t.same(kept(SortMethod.LARGEST), [7, 3, 3, 2])
  t.same(kept(SortMethod.SMALLEST), [-9, -1, 2, 3])
  t.same(kept(SortMethod.NEAREST_TO_ZERO), [-1, 2, 3, 3])
  t.same(kept(SortMethod.FAREST_FROM_ZERO), [-9, 7, 3, 3])
  const largest = new ProfileBuffer({ sortMethod: SortMethod.LARGEST, entriesMax: 1, sortIndex: 1 })
  t.equal(largest.capture([uint8(0), uint32(5)]), undefined)
  const small = [uint8(1), uint32(4)]
  t.equal(largest.capture(small), small, 'a full buffer lets the newest go when it is the least')
  t.same(largest.capture([uint8(2), uint32(6)]), [uint8(0), uint32(5)])
  largest.reset()
  t.equal(largest.entriesInUse, 0)
  // Equals keep the order in which they came, and what cannot be compared is last.
  const ties = new ProfileBuffer({ sortMethod: SortMethod.SMALLEST, entriesMax: 9, sortIndex: 0 })
  for (const [key, mark] of [
    [int(5), 1],
    [{ tag: Tag.NULL }, 2],
    [int(5), 3],
    [int(1), 4],
  ] as [AxdrValue, number][])
    ties.capture([key, uint8(mark)])
  t.same(
    ties.rows.map(([, mark]) => (mark as { value: number }).value),
    [4, 1, 3, 2],
  )
})

t.test('selective access by time and by entry, through the octets of a request', async (t) => {
  const buffer = new ProfileBuffer({ sortMethod: SortMethod.FIFO, entriesMax: 100 })
  for (let i = 0; i < 10; i++)
    buffer.capture([timeValue(start + i * 1_800_000), uint8(i), uint32(i * 10)])
  const picked = (selection: Parameters<typeof encodeSelection>[0], columns: number[] = []) =>
    buffer.select(decodeSelection(encodeSelection(selection)), 0, columns)
  const marks = (rows: AxdrValue[][] | undefined, column = 1) =>
    rows?.map((row) => (row[column] as { value: number }).value)
  t.same(
    marks(picked(rangeOfTimes(clock, start + 1_800_000, start + 5_400_000))),
    [1, 2, 3],
    'both ends are in',
  )
  t.same(marks(picked(rangeOfTimes(clock, start, start, [status]), [1]), 0), [0])
  t.same(picked(rangeOfTimes(clock, start - 10, start - 1)), [])
  t.same(marks(picked(rangeOfEntries(9, 0))), [8, 9])
  t.same(picked(rangeOfEntries(2, 3, 2, 2)), [[uint8(1)], [uint8(2)]])
  t.equal(picked({ type: 'other', selector: 9, parameters: { tag: Tag.NULL } }), undefined)
})

t.test('any octets as a buffer: rows or a named error', async (t) => {
  fc.assert(
    fc.property(octets(0, 80), (bytes) => {
      t.match(
        outcomeOf(() => readProfile(bytes, [clock, energy], { capturePeriodSeconds: 60 })).code ??
          'DLMS_',
        /^DLMS_/,
      )
    }),
    { numRuns: 2_000 },
  )
})

const vectors = loadVectors()
t.test(
  'a real meter leaves out its clock',
  { skip: vectors === undefined && 'no ../shared/dlms beside the checkout' },
  async (t) => {
    const block = hex(
      vectors!.find(({ id }) => id === 'xdlms/get-response-with-datablock/019')!.hex,
    )
    const at = 9 + lengthBytes(block, 9)
    const raw = block.subarray(at, at + readLength(block, 9))
    // The first block of 1440 rows, cut behind its last whole row: the count is made to say so.
    const rowBytes = 15
    const firstRow = 4 + 2 + 14 + 12
    const whole = Math.floor((raw.length - firstRow) / rowBytes)
    const view = Buffer.concat([
      Buffer.of(1, 1 + whole),
      raw.subarray(4, firstRow + whole * rowBytes),
    ])
    const export_: ProfileColumn = { ...energy, instanceId: '1-0:2.8.0.255' }
    const { rows, notes } = readProfile(view, [clock, status, energy, export_], {
      capturePeriodSeconds: 3600,
    })
    t.same(notes, [])
    t.ok(rows.length > 70, `${rows.length} rows`)
    t.ok(rows.every(({ utcMs }, i) => utcMs === rows[0]!.utcMs! + i * 3_600_000))
    t.same(
      rows[0]!.cells.map(({ scaled }) => scaled?.decimal),
      [undefined, undefined, '1.517', '1.620'],
    )
  },
)

const exchanges = loadExchanges()
t.test(
  'profiles of recorded conversations',
  { skip: exchanges === undefined && 'no ../shared/dlms beside the checkout' },
  async (t) => {
    let rowCount = 0
    for (const [name, session] of exchanges!) {
      let columns: ProfileColumn[] = []
      let asked: ReturnType<typeof decodeDescriptor> | undefined
      for (const { plaintext, apdu } of session) {
        const view = hex(plaintext ?? apdu)
        if (view[0] === 0xc0 && view[1] === 1) asked = decodeDescriptor(view.subarray(3, 12))
        const isAnswer = view[0] === 0xc4 && view[1] === 1 && view[3] === 0
        if (!isAnswer || asked?.classId !== 7) continue
        if (asked.memberId === 3) columns = decodeColumns(view.subarray(4))
        if (asked.memberId !== 2 || columns.length === 0) continue
        const { rows, notes } = readProfile(view.subarray(4), columns)
        t.same(notes, [], name)
        t.ok(
          rows.every(({ utcMs, cells }) => utcMs !== undefined && cells.length === columns.length),
          name,
        )
        rowCount += rows.length
      }
    }
    t.ok(rowCount > 100, `${rowCount} rows`)
  },
)
