/**
 * Which ledger this is: the record of the deployment on the ledger (`meta.deployment`), what a data
 * directory knows of its ledger, and the judgement whether the two belong together. Pure.
 *
 * A ledger has an id for life. A restore, or the acceptance of a ledger that has lost messages,
 * begins a new incarnation of it: what a data directory has folded from an earlier incarnation may
 * not be in the ledger any more.
 *
 * @source core/decisions/0017
 */
import { createHash } from 'node:crypto'
import { BrokerError } from '../base/broker-error.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import { formatLatest, formatOldest } from '../cluster/format.ts'
import type { KnownLedger } from '../ports/known-ledger.ts'
import type { LedgerMessage } from '../ports/ledger.ts'

/** A ledger that was restored, or accepted although messages are missing; `id` is random. */
export type Incarnation = {
  readonly id: string
  /** The first one is 1. */
  readonly number: number
  readonly kind: 'restored' | 'accepted'
  /** UTC ms. */
  readonly atMs: number
  /** Sequence of the last message that is in it from before. */
  readonly throughSequence: number
}

export type LedgerIdentity = {
  /** 32 hexadecimal digits. */
  readonly id: string
  /** UTC ms. */
  readonly createdAtMs: number
  /** Oldest first; empty for a ledger that was never restored. */
  readonly incarnations: readonly Incarnation[]
}

/** The record of the deployment. */
export type Deployment = {
  readonly partitionCount: number
  /** Undefined in a ledger of a version that had none. */
  readonly identity: LedgerIdentity | undefined
  /** Behind the names of the buckets of cursors and snapshots that belong to this ledger. */
  readonly bucketSuffix: string
  /** What may be written, core/cluster/format.ts. */
  readonly format: number
  /** A device without meter points takes no request of a party. */
  readonly needsMeterPoints?: boolean
}

/** What is at the address of the ledger. */
export type FoundLedger = {
  /** Messages in the stream; undefined when there is no stream. */
  readonly messages: number | undefined
  readonly lastSequence: number
  /** The name in the stream's metadata. */
  readonly label: string | undefined
  readonly deployment: Deployment | undefined
  /** Of the message that the data directory has seen: what stands there now. */
  readonly seen: 'same' | 'other' | 'gone' | 'trimmed' | 'unknown'
  /** What the local stores were folded from, and is not in it; undefined when all of it is. */
  readonly contradiction: string | undefined
}

/**
 * What a start does: make a ledger, give one its identity, go on with the one that is known, go on
 * with a restored one, use another one, or use one that has lost messages. The last three set the
 * local stores aside.
 */
export type Verdict = 'create' | 'adopt' | 'same' | 'restored' | 'replace' | 'accept'
export type Refusal = { readonly code: ErrorCode; readonly detail: string }

const idPattern = /^[0-9a-f]{8,64}$/
/** Metadata of the stream of a ledger, and of its buckets. */
export const labelKey = 'busbar_ledger'

/** The present incarnation; the ledger's own id before the first restore. */
export const incarnationOf = ({ id, incarnations }: LedgerIdentity): string =>
  incarnations.at(-1)?.id ?? id

/** What a stream's metadata say: the ledger and its incarnation. */
export const labelOf = (identity: LedgerIdentity): string =>
  `${identity.id}.${incarnationOf(identity)}`

export const digestOf = ({ subject, data }: Pick<LedgerMessage, 'subject' | 'data'>): string =>
  createHash('sha256').update(`${subject}\n`).update(data).digest('hex').slice(0, 32)

export function encodeDeployment({
  partitionCount,
  identity,
  bucketSuffix,
  format,
  needsMeterPoints = false,
}: Deployment): Buffer {
  return Buffer.from(
    JSON.stringify({
      version: 1,
      partitionCount,
      ...(identity && { ledger: identity }),
      ...(bucketSuffix !== '' && { bucketSuffix }),
      ...(format > formatOldest && { format }),
      ...(needsMeterPoints && { needsMeterPoints }),
    }),
    'utf8',
  )
}

/** @throws BrokerError LEDGER_IDENTITY_UNREADABLE, FORMAT_VERSION_LATER */
export function decodeDeployment(data: Buffer): Deployment {
  let json: Record<string, unknown> = {}
  try {
    json = (JSON.parse(data.toString('utf8')) ?? {}) as Record<string, unknown>
  } catch {
    // Reported below, as a record without a number of partitions.
  }
  const { partitionCount, ledger, bucketSuffix = '', format = formatOldest } = json
  const needsMeterPoints = json['needsMeterPoints'] === true
  if (!isCount(partitionCount) || typeof bucketSuffix !== 'string' || !isCount(format))
    throw new BrokerError('LEDGER_IDENTITY_UNREADABLE', 'the record of the deployment is damaged')
  if (format > formatLatest)
    throw new BrokerError(
      'FORMAT_VERSION_LATER',
      `the deployment writes format ${format}, ${formatLatest} is known here`,
    )
  return {
    partitionCount,
    bucketSuffix,
    format,
    ...(needsMeterPoints && { needsMeterPoints }),
    identity: ledger === undefined ? undefined : identityIn(ledger),
  }
}

function identityIn(value: unknown): LedgerIdentity {
  const { id, createdAtMs, incarnations } = (value ?? {}) as Record<string, unknown>
  if (isId(id) && isCount(createdAtMs) && Array.isArray(incarnations)) {
    const list = incarnations.map((one: unknown) => (one ?? {}) as Record<string, unknown>)
    if (list.every((one) => isId(one['id']) && isCount(one['number'])))
      return { id, createdAtMs, incarnations: list as unknown as Incarnation[] }
  }
  throw new BrokerError('LEDGER_IDENTITY_UNREADABLE', 'the identity in the deployment is damaged')
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
const isId = (value: unknown): value is string => typeof value === 'string' && idPattern.test(value)

/** `identity` with one more incarnation. */
export function withIncarnation(
  identity: LedgerIdentity,
  added: Omit<Incarnation, 'number'>,
): LedgerIdentity {
  const one = { ...added, number: restoresOf(identity) + 1 }
  const incarnations = [...identity.incarnations, one].slice(-limits.ledgerIncarnationsMax)
  return { ...identity, incarnations }
}

/** How often the ledger was restored, or accepted although messages are missing. */
export const restoresOf = ({ incarnations }: LedgerIdentity): number =>
  incarnations.at(-1)?.number ?? 0

/**
 * Whether a data directory may work on the ledger found. `isAccepted`: an operator has said
 * `--new-ledger`.
 */
export function judgeLedger(
  known: KnownLedger | undefined,
  found: FoundLedger,
  isAccepted: boolean,
): Verdict | Refusal {
  const { deployment } = found
  if (deployment === undefined) return judgeNone(known, found, isAccepted)
  const { identity } = deployment
  if (known === undefined) return 'adopt'
  if (known.id !== undefined && identity?.id !== known.id)
    return isAccepted
      ? 'replace'
      : {
          code: 'LEDGER_IDENTITY_MISMATCH',
          detail: `known is ${nameOf(known)}, found is ${identity ? `ledger ${identity.id}` : 'a ledger without an identity'}`,
        }
  if (known.id === undefined && found.contradiction !== undefined)
    return isAccepted
      ? 'replace'
      : {
          code: 'LEDGER_IDENTITY_MISMATCH',
          detail: `the stores here were folded from another ledger: ${found.contradiction}`,
        }
  const lack = lackOf(known, found, identity)
  if (lack !== undefined)
    return isAccepted
      ? 'accept'
      : { code: 'LEDGER_ROLLED_BACK', detail: `${nameOf(known)}: ${lack}` }
  if (known.id === undefined || identity === undefined) return 'adopt'
  return incarnationOf(identity) === known.incarnation ? 'same' : 'restored'
}

function judgeNone(
  known: KnownLedger | undefined,
  { messages = 0, label }: FoundLedger,
  isAccepted: boolean,
): Verdict | Refusal {
  const knew = known ? `known is ${nameOf(known)}` : 'this data directory knows none'
  // Another deployment would be mixed with what is left of the one before.
  if (messages > 0)
    return {
      code: 'LEDGER_MISSING',
      detail: `${knew}; the stream has ${messages} messages without the record of a deployment: a restore was broken off, or its first messages are lost; remove that stream before --new-ledger`,
    }
  if (isAccepted || (known === undefined && label === undefined)) return 'create'
  return {
    code: 'LEDGER_MISSING',
    detail: `${knew}, found is ${label === undefined ? 'none' : `an emptied stream of ledger ${label.split('.')[0]}`}`,
  }
}

/** What the ledger lacks of that which the data directory knows to have been there. */
function lackOf(
  { incarnation, seen, foldedThrough = 0 }: KnownLedger,
  found: FoundLedger,
  identity: LedgerIdentity | undefined,
): string | undefined {
  if (incarnation !== undefined && identity !== undefined) {
    const isOfPast =
      incarnation === identity.id || identity.incarnations.some(({ id }) => id === incarnation)
    if (!isOfPast) return `its incarnation ${incarnation} is known, and not in the ledger found`
    // Of an earlier incarnation messages may be gone: an operator has restored it.
    if (incarnation !== incarnationOf(identity)) return undefined
  }
  const acknowledged = Math.max(seen?.sequence ?? 0, foldedThrough)
  if (acknowledged > found.lastSequence)
    return `sequence ${acknowledged} was acknowledged, and the ledger ends at ${found.lastSequence}`
  if (found.contradiction !== undefined) return found.contradiction
  if (seen === undefined) return undefined
  if (found.seen === 'other')
    return `another message was acknowledged with sequence ${seen.sequence}`
  if (found.seen === 'gone')
    return `the tick with sequence ${seen.sequence} was acknowledged, and is gone`
  return undefined
}

const nameOf = ({ id }: KnownLedger): string =>
  id === undefined ? 'a ledger of an earlier version' : `ledger ${id}`
