/**
 * What an operator, or a start, wants changed of a party: the body of a PARTY_CHANGE envelope.
 * JSON, as records of parties are.
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { Role } from '../catalogue/service-requests.ts'
import { isParticipant, participantWords } from './parties.ts'
import { isCount, isName } from './party-record.ts'
import { isMustSign, mustSignWords, type MustSign } from './signing.ts'

/**
 * `import` adds a party that was never known; `add` adds it in any case, or gives it another role
 * or name; `require-signatures` says which requests it has to sign. `revision` is that of the
 * record which it changes, 0 for none: a change that comes late, or twice, or beside that of
 * another operator, is rejected.
 */
export type PartyChange = { revision: number; by: string } & (
  | { change: 'import' | 'add'; role: Role; name: string; participant?: string }
  | { change: 'suspend' | 'resume' | 'remove' }
  | { change: 'require-signatures'; mustSign: MustSign }
)

export const encodePartyChange = (change: PartyChange): Buffer =>
  Buffer.from(JSON.stringify(change), 'utf8')

const stateChanges = ['suspend', 'resume', 'remove'] as const

/** @throws BrokerError PARTY_RECORD_MALFORMED, saying what is wrong */
export function decodePartyChange(view: Uint8Array): PartyChange {
  let json: unknown
  try {
    json = JSON.parse(asBuffer(view).toString('utf8'))
  } catch {
    json = undefined
  }
  const given = (json ?? {}) as Record<string, unknown>
  const { change, revision, role, name, participant, mustSign, by } = given
  if (typeof by !== 'string' || by === '' || Buffer.byteLength(by) > limits.operatorNameBytesMax)
    throw malformed(`by must say who changes it, in ${limits.operatorNameBytesMax} octets`)
  if (!isCount(revision)) throw malformed('revision must be a whole number')
  const stateChange = stateChanges.find((word) => word === change)
  if (stateChange !== undefined) return { change: stateChange, revision, by }
  if (change === 'require-signatures') {
    if (!isMustSign(mustSign)) throw malformed(`mustSign must be ${mustSignWords}`)
    return { change, revision, by, mustSign }
  }
  if (change !== 'import' && change !== 'add') throw malformed('there is no such change')
  const knownRole = Role.find((word) => word === role)
  if (knownRole === undefined) throw malformed(`role must be one of ${Role.join(', ')}`)
  if (!isName(name))
    throw malformed(`name must be a text of 1 to ${limits.partyNameCharactersMax} characters`)
  if (participant === undefined) return { change, revision, role: knownRole, name, by }
  if (!isParticipant(participant)) throw malformed(`participant must be ${participantWords}`)
  return { change, revision, role: knownRole, name, participant, by }
}

const malformed = (detail: string): BrokerError => new BrokerError('PARTY_RECORD_MALFORMED', detail)
