/**
 * A thresholds file, as an operator loads it: text, one line a row, fields between commas. The
 * first line names the form and the file's own number, which rises with each file:
 *
 *   busbar-thresholds,1,42
 *   90-B3-D5-1F-30-01-00-00,*,1h,800,1000          party, variant or *, window, warning, quarantine
 *   90-B3-D5-1F-30-01-00-00,6.11,1d,40,50
 *   90-B3-D5-1F-30-02-00-00,none                   this party has no thresholds any more
 *   *,*,1d,90000,100000                            over all parties
 *   limit,6.11,tolerance_seconds,1,3600            a limit on a value inside a body
 *
 * Blank lines and lines that begin with # say nothing. A file replaces all that the parties named
 * in it had before; those that it does not name keep what they have. Pure.
 */
import { parseEui64, readEui64, textOfEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { formatSrv, parseSrv, type Srv } from '../base/srv.ts'
import { serviceRequestOf } from '../catalogue/service-requests.ts'
import {
  allParties,
  LimitedField,
  type Threshold,
  type ThresholdRules,
  type ValueLimit,
} from './thresholds.ts'

export type ThresholdsFile = {
  readonly number: number
  /** By party; `allParties` for those over all of them and for limits on values. */
  readonly rules: ReadonlyMap<Eui64, ThresholdRules>
}

/** Every fault of the file, one sentence each. Belongs to THRESHOLDS_MALFORMED. */
export type ThresholdsFileFault = { readonly faults: readonly string[] }

const faultsMax = 20

type Rules = { thresholds: Threshold[]; valueLimits: ValueLimit[] }

/** Reads a file strictly: one fault and nothing of it counts. */
export function readThresholdsFile(text: string): ThresholdsFile | ThresholdsFileFault {
  const faults: string[] = []
  const rules = new Map<Eui64, Rules>()
  const lines = text.split(/\r?\n/)
  const number = numberIn(lines[0] ?? '')
  if (number === undefined)
    faults.push('line 1 must be busbar-thresholds,1,NUMBER with the number of the file, above 0')
  lines.forEach((line, index) => {
    if (index === 0 || line.trim() === '' || line.startsWith('#')) return
    const fault = readLine(line, rules)
    if (fault !== undefined && faults.length < faultsMax) faults.push(`line ${index + 1}: ${fault}`)
  })
  if (number !== undefined && rules.size === 0) faults.push('the file names no party')
  for (const [party, { thresholds, valueLimits }] of rules) {
    const who = party === allParties ? 'all parties' : textOfEui64(party)
    if (thresholds.length > limits.thresholdsPerPartyMax)
      faults.push(`${who}: more than ${limits.thresholdsPerPartyMax} thresholds`)
    if (valueLimits.length > limits.valueLimitsMax)
      faults.push(`more than ${limits.valueLimitsMax} limits on values`)
  }
  if (number === undefined || faults.length > 0) return { faults }
  return { number, rules }
}

function numberIn(line: string): number | undefined {
  const [form, version, number, ...rest] = line.split(',').map((field) => field.trim())
  if (form !== 'busbar-thresholds' || version !== '1' || rest.length > 0) return undefined
  return wholeIn(number, 1, limits.thresholdsFileNumberMax)
}

function wholeIn(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const value = Number(text)
  return value >= min && value <= max ? value : undefined
}

/** Adds what a line says to `rules`. @returns what is wrong with it */
function readLine(line: string, rules: Map<Eui64, Rules>): string | undefined {
  const [who = '', ...fields] = line.split(',').map((field) => field.trim())
  const party = who === '*' || who === 'limit' ? allParties : eui64In(who)
  if (party === undefined)
    return 'begins with the EUI-64 of a party, with * for all of them, or with limit'
  if (who !== '*' && who !== 'limit' && party === allParties)
    return 'an EUI-64 of zeros is no party'
  const known = rules.get(party) ?? { thresholds: [], valueLimits: [] }
  rules.set(party, known)
  if (who === 'limit') return readLimit(fields, known)
  if (fields.length === 1 && fields[0] === 'none')
    return known.thresholds.length > 0 ? 'none, and thresholds before it' : undefined
  return readThreshold(fields, known)
}

function eui64In(text: string): Eui64 | undefined {
  const octets = parseEui64(text)
  return octets && readEui64(octets)
}

function srvIn(text: string | undefined): Srv | undefined {
  const srv = text === undefined ? undefined : parseSrv(text)
  return srv !== undefined && serviceRequestOf(srv) !== undefined ? srv : undefined
}

function readThreshold(fields: readonly string[], { thresholds }: Rules): string | undefined {
  const [variant, period, ...levels] = fields
  if (fields.length !== 4) return 'party,variant,window,warning,quarantine has five fields'
  const srv = variant === '*' ? 0 : srvIn(variant)
  if (srv === undefined) return `${variant} is no service reference variant and not *`
  const hours = hoursIn(period ?? '')
  if (hours === undefined) return 'the window is hours or days, as 1h or 7d, and at most 31d'
  const [warning, quarantine] = levels.map((level) => wholeIn(level, 0, limits.thresholdMax))
  if (warning === undefined || quarantine === undefined || warning > quarantine)
    return 'warning and quarantine are whole numbers, and the warning comes first'
  if (thresholds.some((one) => one.srv === srv && one.hours === hours))
    return `${variant} within ${period} stands twice`
  thresholds.push({ srv, hours, warning, quarantine })
  return undefined
}

function hoursIn(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,3})([hd])$/.exec(text) ?? []
  const hours = Number(digits) * (unit === 'd' ? 24 : 1)
  return hours >= 1 && hours <= limits.thresholdHoursMax ? hours : undefined
}

function readLimit(fields: readonly string[], { valueLimits }: Rules): string | undefined {
  if (fields.length !== 4) return 'limit,variant,field,min,max has five fields'
  const [variant, name, least, most] = fields
  const srv = srvIn(variant)
  if (srv === undefined) return `${variant} is no service reference variant`
  const field = LimitedField.find((word) => word === name)
  if (field === undefined) return `the field is one of ${LimitedField.join(', ')}`
  const min = wholeIn(least, 0, 2 ** 32)
  const max = wholeIn(most, 0, 2 ** 32)
  if (min === undefined || max === undefined || min > max)
    return 'min and max are whole numbers, and min comes first'
  if (valueLimits.some((one) => one.srv === srv && one.field === field))
    return `${formatSrv(srv)} ${field} stands twice`
  valueLimits.push({ srv, field, min, max })
  return undefined
}
