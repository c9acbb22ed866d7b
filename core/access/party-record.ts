/**
 * What is recorded of a party: in the facts of its actor, and in the directory, of which every
 * process has a copy. JSON, because it is small, changes seldom, and people read it in an
 * emergency.
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { isParticipant } from './parties.ts'
import { isMustSign, type MustSign } from './signing.ts'
import { Role } from '../catalogue/service-requests.ts'

/** A suspended party may send nothing and receives nothing; its deliveries are kept. */
export const PartyStatus = ['active', 'suspended', 'removed'] as const
export type PartyStatus = (typeof PartyStatus)[number]

export type PartyRecord = {
  /** How often it has changed: a change names the one that it was made for. */
  readonly revision: number
  readonly status: PartyStatus
  readonly role: Role
  /** For people. */
  readonly name: string
  /** Its market participant id, by which registrations name it. */
  readonly participant?: string
  /** Requests that it has to sign; absent for none. */
  readonly mustSign?: MustSign
  /** UTC ms. */
  readonly changedAtMs: number
  /** Who has changed it. */
  readonly by: string
}

/** Version of the octets; a later one is told by name. */
const recordVersion = 3
/** Without requests that have to be signed. */
const recordVersionUnsigned = 2
/** Without a participant a record is as it was, and says so: versions before read it. */
const recordVersionAlone = 1

/** The same octets for the same record, in whatever order it was put together. */
export function encodePartyRecord(record: PartyRecord): Buffer {
  const { revision, status, role, name, participant, mustSign, changedAtMs, by } = record
  const version = versionOf(record)
  const json = { version, revision, status, role, name, participant, mustSign, changedAtMs, by }
  return Buffer.from(JSON.stringify(json), 'utf8')
}

function versionOf({ participant, mustSign }: PartyRecord): number {
  if (mustSign !== undefined) return recordVersion
  return participant === undefined ? recordVersionAlone : recordVersionUnsigned
}

/**
 * @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED when it is not a record of a party
 */
export function decodePartyRecord(view: Uint8Array): PartyRecord {
  const json = objectIn(view)
  const { version, revision, status, role, name, participant, mustSign, changedAtMs, by } = json
  if (typeof version === 'number' && version > recordVersion)
    throw new BrokerError(
      'FORMAT_VERSION_LATER',
      `a record of a party of version ${version}, ${recordVersion} is known here`,
    )
  const knownStatus = PartyStatus.find((word) => word === status)
  const knownRole = Role.find((word) => word === role)
  const isWhole = isName(name) && isCount(changedAtMs) && isCount(revision)
  if (knownStatus === undefined || knownRole === undefined || !isWhole)
    throw new BrokerError('ENVELOPE_MALFORMED', 'a record of a party without status, role or name')
  // Not passed over: what has to be signed would be accepted without a signature.
  if (mustSign !== undefined && !isMustSign(mustSign))
    throw new BrokerError('ENVELOPE_MALFORMED', 'a record of a party whose mustSign is not valid')
  return {
    revision,
    status: knownStatus,
    role: knownRole,
    name,
    ...(isParticipant(participant) && { participant }),
    ...(mustSign !== undefined && { mustSign }),
    changedAtMs,
    by: typeof by === 'string' ? by : '',
  }
}

export const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length >= 1 && value.length <= limits.partyNameCharactersMax

export const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** Empty when it is something else. */
function objectIn(view: Uint8Array): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(asBuffer(view).toString('utf8'))
    if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
  } catch {
    // Told by the caller.
  }
  return {}
}
