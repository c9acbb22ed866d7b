/**
 * Which meters of a fleet imitate those of other makers, in the words of the command line. Several
 * quirks on one meter are joined by `+`; the later one wins. A meter finds its quirks by its
 * number, so they cost it no memory. What they are: quirk-table.ts.
 *
 *   quirks = entry { ',' entry }                one-association:30%,closed-after-release+counter-advanced:10%
 *   entry  = name { '+' name } [ ':' share ]    a share is 10% or 0.1; without one it is every meter
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import {
  quirkNames,
  quirkRow,
  type QuirkName,
  type QuirkRecord,
  type Quirks,
} from './quirk-table.ts'

export type { Quirks } from './quirk-table.ts'

/** Of a meter without quirks. */
export const noQuirks: Quirks = {}

/** Quirks and the share of the fleet that has them, in (0, 1]. */
export type QuirkShare = {
  readonly names: readonly QuirkName[]
  readonly quirks: Quirks
  readonly share: number
  /** What the record of such a meter says. */
  readonly record: Omit<QuirkRecord, 'profile'> & { readonly profile?: string }
}

/** Parses the words above; an empty text is no quirk. @throws BrokerError CONFIG_INVALID */
export function parseQuirks(text: string): QuirkShare[] {
  const entries = text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
    .map(parseEntry)
  const sum = entries.reduce((total, { share }) => total + share, 0)
  if (sum > 1 + shareError)
    throw new BrokerError('CONFIG_INVALID', 'quirks: the shares make more than 100 %')
  return entries
}

/** What binary fractions may be off by. */
const shareError = 1e-9

function parseEntry(entry: string): QuirkShare {
  const match = /^([^:]+)(?::(\d+(?:\.\d+)?)(%?))?$/.exec(entry)
  if (match === null)
    throw new BrokerError('CONFIG_INVALID', `quirks "${entry}": write NAME:SHARE, like ${example}`)
  const share = match[2] === undefined ? 1 : Number(match[2]) / (match[3] === '%' ? 100 : 1)
  if (!(share > 0 && share <= 1))
    throw new BrokerError(
      'CONFIG_INVALID',
      `quirks "${entry}": a share is above 0 and at most 1 or 100%`,
    )
  return makeQuirks(match[1]!, share)
}

const example = 'one-association:30%,closed-after-release+counter-advanced:10%'

/** Quirks of the names joined by `+`. @throws BrokerError CONFIG_INVALID with the known names */
export function makeQuirks(joined: string, share = 1): QuirkShare {
  const names = joined.split('+').map((word) => word.trim())
  for (const name of names)
    if (!(quirkNames as string[]).includes(name))
      throw new BrokerError(
        'CONFIG_INVALID',
        `no quirk is called "${name}"; they are ${quirkNames.join(', ')}`,
      )
  const rows = names.map((name) => quirkRow(name as QuirkName))
  const quirks: Quirks = Object.assign({}, ...rows.map(({ does }) => does))
  const without = rows.reduce((bits, { does }) => bits | (does.conformanceWithout ?? 0), 0)
  const records = rows.flatMap(({ record }) => record ?? [])
  const profile = records.flatMap((record) => record.profile ?? []).join('+')
  return {
    names: names as QuirkName[],
    quirks: without === 0 ? quirks : { ...quirks, conformanceWithout: without },
    share,
    record: { ...Object.assign({}, ...records), ...(profile !== '' && { profile }) },
  }
}

// Of the numbers below n, this many have a share; the small addition allows for binary fractions.
const countBelow = (n: number, share: number): number => Math.floor(n * share + shareError)

/**
 * Which quirks meter `number` has: they are spread evenly, so that a small fleet has each kind too.
 */
export function quirkShareOf(
  shares: readonly QuirkShare[] | undefined,
  number: number,
): QuirkShare | undefined {
  if (shares === undefined || shares.length === 0) return undefined
  let rest = 1
  let at = number
  for (const entry of shares) {
    const own = Math.min(1, entry.share / rest)
    const before = countBelow(at, own)
    if (countBelow(at + 1, own) > before) return entry
    at -= before
    rest -= entry.share
    if (rest <= shareError) break
  }
  return undefined
}

/** The same as what the meter does. */
export const quirksOf = (shares: readonly QuirkShare[] | undefined, number: number): Quirks =>
  quirkShareOf(shares, number)?.quirks ?? noQuirks
