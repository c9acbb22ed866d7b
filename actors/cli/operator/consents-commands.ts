/**
 * `busbar consents grant|withdraw|list|show|evidence`, and `busbar meter-points tenancy`, at the
 * operators' door.
 */
import type { Command } from 'commander'
import type { ConsentJson, ConsentsJson, EvidenceJson } from '../../broker/consent-door.ts'
import { ConsentCategory, Granularity } from '../../../core/registration/consent.ts'
import { OperatorFault } from '../operator-fault.ts'
import { addOpsOption, type Print, whoIsHere } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'

type Options = { ops: string; json: boolean; by?: string }
type Granted = Options & {
  id: string
  party: string
  categories: string
  granularity: string
  purpose: string
  evidence: string
  from: string
  to?: string
}

const door = "a broker's operators' door"
const byWords = 'who does it, for the ledger; the user of this machine when left out'
const after = `
A third party (role OU) may use a device with meter points only while a consent of one of them
covers what it sends: the category of the variant, at its granularity or finer. A consent is known
by its id: granted or withdrawn again, it changes nothing. It ends at its --to, when it is
withdrawn, and when the next tenancy begins. The proof itself stays with the party; Busbar keeps its
SHA-256.`

const pathOf = (point: string): string => `/v1/meter-points/${encodeURIComponent(point)}/consents`

export function addConsentsCommands(program: Command, { out }: { out: Print }): void {
  const consents = program
    .command('consents')
    .description('what the people at a meter point have allowed third parties to do')
    .addHelpText('after', after)
  addGrant(consents, out)
  addOpsOption(consents.command('withdraw'), door)
    .description('record that a consent is withdrawn: it ends at once')
    .argument('<meter-point>', 'meter point')
    .argument('<id>', 'consent')
    .requiredOption('--reason <text>', 'why')
    .option('--by <name>', byWords)
    .option('--json', 'one line of JSON', false)
    .action(async (point: string, id: string, options: Options & { reason: string }) => {
      const { ops, json, reason, by = whoIsHere() } = options
      const path = `${pathOf(point)}/${encodeURIComponent(id)}/withdrawal`
      const answer = await askDoor<ConsentsJson>(ops, 'POST', path, { body: { reason, by } })
      out(json ? JSON.stringify(answer) : `consent ${id} of ${point} withdrawn`)
    })
  addOpsOption(consents.command('list'), door)
    .description('the consents of a meter point, with when its tenancies begin')
    .argument('<meter-point>', 'meter point')
    .option('--json', 'one line of JSON', false)
    .action(async (point: string, { ops, json }: Options) => {
      const answer = await askDoor<ConsentsJson>(ops, 'GET', pathOf(point))
      if (json) return out(JSON.stringify(answer))
      printList(answer, out)
    })
  addOpsOption(consents.command('show'), door)
    .description('all that is recorded of one consent')
    .argument('<meter-point>', 'meter point')
    .argument('<id>', 'consent')
    .option('--json', 'one line of JSON', false)
    .action(async (point: string, id: string, { ops, json }: Options) => {
      const answer = await askDoor<ConsentsJson>(ops, 'GET', pathOf(point))
      const consent = answer.consents.find((one) => one.id === id)
      if (consent === undefined)
        throw new OperatorFault(`CONSENT_UNKNOWN: ${point} has no consent ${id}`)
      if (json) return out(JSON.stringify(consent))
      printConsent(consent, out)
    })
  addEvidence(consents, out)
}

function addGrant(consents: Command, out: Print): void {
  addOpsOption(consents.command('grant'), door)
    .description('record a consent of the people at a meter point')
    .argument('<meter-point>', 'meter point')
    .requiredOption('--id <id>', 'names the consent at this meter point')
    .requiredOption('--party <eui64>', 'third party that it is given to')
    .requiredOption('--categories <list>', `with commas between: ${ConsentCategory.join(', ')}`)
    .requiredOption('--granularity <word>', `how closely at most: ${Granularity.join(', ')}`)
    .requiredOption('--purpose <text>', 'what the data is used for')
    .requiredOption('--evidence <sha256>', 'SHA-256 of the proof, 64 hexadecimal digits')
    .requiredOption('--from <time>', 'begin, UTC, such as 2026-12-01T00:00:00Z; also how far back')
    .option('--to <time>', 'end, UTC; left out for an open end')
    .option('--by <name>', byWords)
    .option('--json', 'one line of JSON', false)
    .action(async (point: string, options: Granted) => {
      const { ops, json, id, party, granularity, purpose, evidence, from, to } = options
      const categories = options.categories.split(',').map((word) => word.trim())
      const scope = { id, party, categories, granularity, purpose, evidence }
      const body = { ...scope, from, to, by: options.by ?? whoIsHere() }
      const answer = await askDoor<ConsentsJson>(ops, 'POST', pathOf(point), { body })
      out(json ? JSON.stringify(answer) : `consent ${id} of ${point} granted`)
    })
}

function addEvidence(consents: Command, out: Print): void {
  addOpsOption(consents.command('evidence'), door)
    .description('by which consent a request was accepted, and what proves it')
    .argument('<request-id>', 'originator:target:counter')
    .option('--json', 'one line of JSON', false)
    .action(async (requestId: string, { ops, json }: Options) => {
      const query = new URLSearchParams({ request: requestId })
      const answer = await askDoor<EvidenceJson>(ops, 'GET', `/v1/consents/evidence?${query}`)
      if (json) return out(JSON.stringify(answer))
      const { acceptedAt, meterPoint, rightsVersion, readFrom, consentId, consent } = answer
      out(`accepted ${acceptedAt} by the rights of ${meterPoint}, version ${rightsVersion}`)
      if (readFrom !== undefined) out(`what it asked for before ${readFrom} is left out`)
      if (consent !== undefined) return printConsent(consent, out)
      if (consentId !== undefined)
        out(`by the consent ${consentId}, which the meter point does not remember any more`)
    })
}

/** `busbar meter-points tenancy`. */
export function addTenancy(points: Command, out: Print): void {
  addOpsOption(points.command('tenancy'), door)
    .description('record when other people move in: consents from before end then')
    .argument('<id>', 'meter point')
    .requiredOption('--from <time>', 'UTC, such as 2026-12-01T12:00:00Z; may lie ahead')
    .option('--by <name>', byWords)
    .option('--json', 'one line of JSON', false)
    .action(async (point: string, { ops, json, from, by }: Options & { from: string }) => {
      const path = `/v1/meter-points/${encodeURIComponent(point)}/tenancy`
      const body = { from, by: by ?? whoIsHere() }
      const answer = await askDoor<ConsentsJson>(ops, 'POST', path, { body })
      out(json ? JSON.stringify(answer) : `a tenancy at ${point} begins ${from}`)
    })
}

function printList({ consents, tenancies }: ConsentsJson, out: Print): void {
  out(`tenancies begin: ${tenancies.join(', ') || '-'}`)
  const rows = consents.map(({ id, party, standing, categories, granularity, from, until }) => [
    id,
    party,
    standing,
    categories.join(','),
    granularity,
    from,
    until ?? '',
  ])
  const head = ['id', 'party', 'standing', 'categories', 'granularity', 'from', 'until']
  for (const line of tableOf([head, ...rows])) out(line)
}

function printConsent(consent: ConsentJson, out: Print): void {
  const { categories, withdrawal, ...rest } = consent
  const rows = Object.entries({ ...rest, categories: categories.join(', ') })
  for (const line of tableOf(rows.map(([name, value]) => [name, value]))) out(line)
  if (withdrawal !== undefined)
    out(`withdrawn ${withdrawal.at} by ${withdrawal.by}: ${withdrawal.reason}`)
}
