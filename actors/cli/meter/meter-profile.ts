/**
 * `busbar meter profile`: the rows of a profile as a person asks for them, cut out here where the
 * meter does not do it.
 */
import { asBuffer } from '../../../core/base/bytes.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { DeviceTime } from '../../../core/catalogue/device-time.ts'
import {
  decodeColumns,
  decodeScalerUnit,
  isClockColumn,
  isScaled,
  rangeOfEntries,
  rangeOfLocalTimes,
  rangeOfTimes,
  readOperation,
  readProfile,
  rowsByNumber,
  rowsWithin,
  scalerAttributeOf,
  type CosemObject,
  type CutProfile,
  type Profile,
  type ProfileColumn,
  type ScalerUnit,
} from '../../../core/dlms/cosem/index.ts'
import type { Selection } from '../../../core/dlms/apdu/descriptor.ts'
import { wordsOfJson } from './json-words.ts'
import { numberOf, scaledText, valueOf, withMeter, type Terminal } from './meter-commands.ts'
import type { MeterOptions } from './option-texts.ts'
import type { MeterAssociation } from './meter-session.ts'

export type ProfileOptions = MeterOptions & { from?: string; to?: string; entries?: string }

const profileClass = 7

/** What is wanted of a profile: all of it, rows by time (UTC ms), or rows by number. */
type Wanted =
  | { by: 'all' }
  | { by: 'time'; fromMs: number; toMs: number }
  | { by: 'number'; from: number; to: number }

const invalid = (detail: string): BrokerError => new BrokerError('CONFIG_INVALID', detail)

function wantedIn({ from, to, entries }: ProfileOptions): Wanted {
  if (entries !== undefined) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(entries)
    if (match === null) throw invalid('--entries looks like 1-10 or 5')
    return { by: 'number', from: Number(match[1]), to: Number(match[2] ?? match[1]) }
  }
  if (from === undefined && to === undefined) return { by: 'all' }
  const timeOf = (text: string | undefined, otherwise: number): number => {
    const ms = text === undefined ? otherwise : Date.parse(text)
    if (Number.isNaN(ms)) throw invalid(`${text} is no time in ISO 8601`)
    return ms
  }
  return { by: 'time', fromMs: timeOf(from, 0), toMs: timeOf(to, Date.now()) }
}

function selectionOf(
  wanted: Wanted,
  columns: readonly ProfileColumn[],
  { zone, isSentLocal }: DeviceTime,
): Selection | undefined {
  if (wanted.by === 'all') return undefined
  if (wanted.by === 'number') return rangeOfEntries(wanted.from, wanted.to)
  const clock = columns.find(isClockColumn)
  if (clock === undefined) throw invalid('the profile has no clock column: use --entries')
  const { fromMs, toMs } = wanted
  return zone !== undefined && isSentLocal
    ? rangeOfLocalTimes(clock, fromMs, toMs, zone)
    : rangeOfTimes(clock, fromMs, toMs)
}

/** `isWhole`: nothing was selected, because the meter does not. */
function cutOut(wanted: Wanted, profile: Profile, isWhole: boolean): CutProfile {
  if (wanted.by === 'time') return rowsWithin(profile, wanted.fromMs, wanted.toMs)
  if (wanted.by === 'all') return { ...profile, cutRows: 0 }
  const { from, to } = wanted
  if (isWhole) return rowsByNumber(profile, from, to)
  // More than were asked for: a meter that ignores the selection sends all, from the first one on.
  const isIgnored = to !== 0 && profile.rows.length > Math.max(0, to - from + 1)
  return isIgnored ? rowsByNumber(profile, from, to) : { ...profile, cutRows: 0 }
}

/** Prints the rows of a profile. */
export async function profileCommand(
  address: string,
  obis: string,
  options: ProfileOptions,
  terminal: Terminal,
): Promise<void> {
  const object: CosemObject = { classId: profileClass, instanceId: obis }
  const wanted = wantedIn(options)
  const [profile, notes, columns] = await withMeter(
    address,
    options,
    terminal,
    async (meter, { time }) => {
      const [columnsRead, period, sort] = await meter.exchange(
        [3, 4, 5].map((id) => readOperation(object, id)),
      )
      const columns = decodeColumns(valueOf(columnsRead))
      const scalers = await scalersOf(meter, columns)
      const selection = selectionOf(wanted, columns, time)
      const [buffer] = await meter.exchange([readOperation(object, 2, selection)])
      const all = readProfile(valueOf(buffer), scalers, {
        capturePeriodSeconds: numberOf(period),
        sortMethod: numberOf(sort),
        zone: time.zone,
      })
      const isWhole = buffer?.isWhole === true
      const cut = cutOut(wanted, all, isWhole)
      return [cut, notesOn(cut, isWhole), columns] as const
    },
  )
  if (options.json) terminal.out(JSON.stringify(profile))
  else {
    // Cells without a column of their own have no code.
    const codes = columns.map(({ instanceId }) => ` (${instanceId})`)
    terminal.out(profile.names.map((name, i) => `${name}${codes[i] ?? ''}`).join('\t'))
    for (const { cells } of profile.rows)
      terminal.out(
        cells
          .map(({ json, scaled }) =>
            scaled === undefined ? wordsOfJson(json) : scaledText(scaled),
          )
          .join('\t'),
      )
    for (const { path, problem, detail } of profile.notes)
      terminal.err(`note: ${path} ${problem} ${detail}`)
  }
  for (const note of notes) terminal.err(`note: ${note}`)
}

/** What a person should know of how the rows came about. */
function notesOn({ cutRows, rows }: CutProfile, isWhole: boolean): string[] {
  const many = `${cutRows} ${cutRows === 1 ? 'row' : 'rows'}`
  const notes: string[] = []
  if (isWhole)
    notes.push(`the meter takes no selective access: its buffer was read whole, ${many} left out`)
  else if (cutRows > 0)
    notes.push(`the meter sent ${many} outside of what was asked for; left out here`)
  if (rows.some(({ localMs }) => localMs !== undefined))
    notes.push("the meter's clock sends no deviation: times are local; --time-zone makes them UTC")
  return notes
}

/**
 * Columns with the scaler and unit of the register they come from; a meter that does not give one
 * leaves them raw.
 */
async function scalersOf(
  meter: MeterAssociation,
  columns: readonly ProfileColumn[],
): Promise<ProfileColumn[]> {
  const asked = columns.filter(({ classId, attributeId }) => isScaled(classId, attributeId))
  if (asked.length === 0) return [...columns]
  const results = await meter.exchange(
    asked.map(({ classId, instanceId }) =>
      readOperation({ classId, instanceId }, scalerAttributeOf(classId)!),
    ),
  )
  const found = new Map<ProfileColumn, ScalerUnit | undefined>()
  for (const [index, column] of asked.entries()) {
    const value = results[index]?.value
    found.set(column, value && decodeScalerUnit(asBuffer(value)))
  }
  return columns.map((column) => ({ ...column, scalerUnit: found.get(column) }))
}
