/**
 * How the meters of other makers differ from ours, as data: each quirk is a name, what it is, and what the meter does. Several on one
 * meter are joined by `+`; the later one wins. A meter finds its quirks by its number, so they cost it no memory.
 *
 *   quirks = entry { ',' entry }                one-association:30%,closed-after-release+counter-advanced:10%
 *   entry  = name { '+' name } [ ':' share ]    a share is 10% or 0.1; without one it is every meter
 */
import { BrokerError } from '../../core/base/broker-error.ts'

/** Everything is optional: what is left out is as our meters do it. */
export type Quirks = {
  /** One client at a time on a connection; what a second one gets. `free` after a release, `taken` until the connection closes. */
  readonly secondClient?: 'silence' | 'misaddressed'
  readonly afterRelease?: 'free' | 'taken' | 'closed'
  /** Closes the connection when it receives the AARQ of a ciphered association. */
  readonly closesOnAarq?: boolean
  /** What it answers to a protected APDU that it does not take. */
  readonly refusal?: 'exception' | 'plain-exception' | 'aare' | 'close' | 'silence'
  /** Counters that another client uses after our associations 1, 2, 4, 8, … */
  readonly counterAdvance?: number
  /** When its own counter begins at 0 again. */
  readonly counterRestarts?: 'association' | 'power-up'
}

const rows = {
  'one-association': {
    description: 'one association per connection: a second client gets no answer until a release',
    does: { secondClient: 'silence' },
  },
  'one-association-misaddressed': {
    description: 'as one-association, but the second client gets an error addressed to the first',
    does: { secondClient: 'misaddressed' },
  },
  'one-client': {
    description: 'one client per connection: another client gets no answer, even after a release',
    does: { secondClient: 'silence', afterRelease: 'taken' },
  },
  'closed-after-release': {
    description: 'closes the connection after it has answered a release',
    does: { afterRelease: 'closed' },
  },
  'closed-on-aarq': {
    description: 'closes the connection when it receives the AARQ of a ciphered association',
    does: { closesOnAarq: true },
  },
  'counter-advanced': {
    description: 'another client uses 1,000 counters after associations 1, 2, 4, 8, …',
    does: { counterAdvance: 1_000 },
  },
  'counter-restarted': {
    description: 'its own counter begins at 0 again with each association',
    does: { counterRestarts: 'association' },
  },
  'counter-restarted-at-power-up': {
    description: 'its own counter begins at 0 again when the simulator starts',
    does: { counterRestarts: 'power-up' },
  },
  'refusal-exception': {
    description: 'refuses a counter or a key with invocation-counter-error, the AARQ too',
    does: { refusal: 'exception' },
  },
  'refusal-plain-exception': {
    description: 'refuses a counter or a key with an exception-response without a reason',
    does: { refusal: 'plain-exception' },
  },
  'refusal-aare': {
    description: 'refuses a counter or a key with an AARE, also outside an AARQ',
    does: { refusal: 'aare' },
  },
  'refusal-close': {
    description: 'closes the connection when a counter or a key is wrong',
    does: { refusal: 'close' },
  },
  'refusal-silence': {
    description: 'gives no answer when a counter or a key is wrong',
    does: { refusal: 'silence' },
  },
} as const satisfies Record<string, { description: string; does: Quirks }>

export type QuirkName = keyof typeof rows
export const quirkNames = Object.keys(rows) as QuirkName[]
export const quirkDescription = (name: QuirkName): string => rows[name].description

/** Of a meter without quirks. */
export const noQuirks: Quirks = {}

/** Quirks and the share of the fleet that has them, in (0, 1]. */
export type QuirkShare = {
  readonly names: readonly QuirkName[]
  readonly quirks: Quirks
  readonly share: number
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
    if (!Object.hasOwn(rows, name))
      throw new BrokerError(
        'CONFIG_INVALID',
        `no quirk is called "${name}"; they are ${quirkNames.join(', ')}`,
      )
  const quirks: Quirks = Object.assign({}, ...names.map((name) => rows[name as QuirkName].does))
  return { names: names as QuirkName[], quirks, share }
}

// Of the numbers below n, this many have a share; the small addition allows for binary fractions.
const countBelow = (n: number, share: number): number => Math.floor(n * share + shareError)

/** The quirks of meter `number`, which are spread evenly, so that a small fleet has each kind too. */
export function quirksOf(shares: readonly QuirkShare[] | undefined, number: number): Quirks {
  if (shares === undefined || shares.length === 0) return noQuirks
  let rest = 1
  let at = number
  for (const { quirks, share } of shares) {
    const own = Math.min(1, share / rest)
    const before = countBelow(at, own)
    if (countBelow(at + 1, own) > before) return quirks
    at -= before
    rest -= share
    if (rest <= shareError) break
  }
  return noQuirks
}
