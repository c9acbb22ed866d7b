/**
 * The parties that this Busbar knows: one EUI-64 and one role each, as GB has it (an organisation
 * with several roles has an EUI-64 for each). Read from the operator's parties file. Station 2 of a
 * message's way; who is speaking is decided in identity.ts.
 */
import { limits } from '../base/limits.ts'
import { readEui64, textOfEui64, parseEui64, type Eui64 } from '../base/eui64.ts'
import { Role } from '../catalogue/service-requests.ts'
import type { MustSign } from './signing.ts'

export type Party = {
  readonly id: Eui64
  readonly role: Role
  /** For people. */
  readonly name: string
  /** Its market participant id, by which registrations name it. */
  readonly participant?: string
  /** Requests that it has to sign; absent for none. */
  readonly mustSign?: MustSign
  /** It may send nothing and receives nothing until it is resumed. */
  readonly isSuspended?: true
}

export const participantWords = 'one to four capital letters or digits'
/** Market participant id of registration data. */
export const isParticipant = (value: unknown): value is string =>
  typeof value === 'string' && /^[A-Z0-9]{1,4}$/.test(value)

/** Every known party by its EUI-64. */
export type Parties = ReadonlyMap<Eui64, Party>

/** Every fault of a parties file, one sentence each. Belongs to CONFIG_INVALID. */
export type PartiesFault = { faults: string[] }

type PartyJson = { eui64: string; role: Role; name: string; participant?: string }

/**
 * The parties of the documentation's examples and of the tests: one of each role. `npm start` knows
 * them, too, and leaves them to the people who try it out.
 */
export const demoPartiesJson: readonly PartyJson[] = [
  { eui64: '90-B3-D5-1F-30-01-00-00', role: 'IS', name: 'Demo Import Supplier' },
  { eui64: '90-B3-D5-1F-30-02-00-00', role: 'ES', name: 'Demo Export Supplier' },
  { eui64: '90-B3-D5-1F-30-03-00-00', role: 'GS', name: 'Demo Gas Supplier' },
  { eui64: '90-B3-D5-1F-30-04-00-00', role: 'RSA', name: 'Demo Supplier Agent' },
  { eui64: '90-B3-D5-1F-30-05-00-00', role: 'ED', name: 'Demo Electricity Distributor' },
  { eui64: '90-B3-D5-1F-30-06-00-00', role: 'GT', name: 'Demo Gas Transporter' },
  { eui64: '90-B3-D5-1F-30-07-00-00', role: 'OU', name: 'Demo Other User' },
  { eui64: '90-B3-D5-1F-30-08-00-00', role: 'LC', name: 'Demo Load Controller' },
]

/**
 * The parties as which the demonstration supplier itself submits and receives. A party has one
 * receiver: as one of the parties above it would compete with `busbar receive` of a newcomer.
 */
export const demoSupplierPartiesJson: readonly PartyJson[] = demoPartiesJson.map(
  ({ eui64, role, name }) => ({
    eui64: eui64.replace(/00$/, '01'),
    role,
    name: `${name} of npm start`,
  }),
)

/**
 * Reads a parsed parties file, strictly: `[{ "eui64": …, "role": …, "name": … }, …]`. All faults
 * are listed.
 */
export function partiesOf(json: unknown): Parties | PartiesFault {
  if (!Array.isArray(json))
    return { faults: ['a parties file is a list of objects with eui64, role and name'] }
  const parties = new Map<Eui64, Party>()
  const faults: string[] = []
  json.forEach((entry: unknown, index) => {
    const where = `party ${index + 1}`
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
      faults.push(`${where} must be an object with eui64, role and name`)
      return
    }
    const { eui64, role, name, participant, ...rest } = entry as Record<string, unknown>
    for (const field of Object.keys(rest))
      faults.push(`${where}: ${JSON.stringify(field.slice(0, 40))} is not a field`)
    const octets = typeof eui64 === 'string' ? parseEui64(eui64) : undefined
    if (octets === undefined)
      faults.push(
        `${where}: eui64 must be sixteen hexadecimal digits, bare or with - or : between octets`,
      )
    const known = Role.find((word) => word === role)
    if (known === undefined) faults.push(`${where}: role must be one of ${Role.join(', ')}`)
    const isNamed =
      typeof name === 'string' && name.length >= 1 && name.length <= limits.partyNameCharactersMax
    if (!isNamed)
      faults.push(
        `${where}: name must be a text of 1 to ${limits.partyNameCharactersMax} characters`,
      )
    if (participant !== undefined && !isParticipant(participant))
      faults.push(`${where}: participant must be ${participantWords}`)
    if (octets === undefined || known === undefined || !isNamed) return
    const id = readEui64(octets)
    if (parties.has(id)) faults.push(`${where}: ${textOfEui64(id)} stands twice`)
    const isOf = isParticipant(participant) && { participant }
    parties.set(id, { id, role: known, name, ...isOf })
  })
  if (json.length === 0) faults.push('a parties file names at least one party')
  return faults.length > 0 ? { faults } : parties
}

/** The built-in parties of a demonstration. */
export function demoParties(): Parties {
  const parties = partiesOf(demoPartiesJson)
  if ('faults' in parties) throw new TypeError(parties.faults.join('; '))
  return parties
}
