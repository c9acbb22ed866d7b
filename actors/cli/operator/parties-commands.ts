/** `busbar parties`, at the operators' door of a broker. */
import type { Command } from 'commander'
import type { WaitingAnswer } from '../../broker/approvals-door.ts'
import type { PartiesJson, PartyJson } from '../../broker/party-door.ts'
import { addOpsOption, type Print, whoIsHere } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { waitingSentence } from './approvals-commands.ts'
import { askDoor } from './ask-door.ts'

type Added = { role: string; name: string; participant?: string }
type Options = { ops: string; json: boolean; by?: string }

const after = `
A change takes effect within a second, in every process, without a restart. The parties file is read
once, when a deployment begins; from then on the directory counts, which these commands change.

  suspend  its requests are rejected with PARTY_SUSPENDED, those that wait end with it, and its
           receivers are closed; its deliveries are kept until it is resumed
  require-signatures
           unsigned requests of the party are rejected with REQUEST_SIGNATURE_MISSING: all, the
           critical ones, or those of some variants
  remove   as suspend, with PARTY_UNKNOWN; \`add\` brings it back`

export function addPartiesCommands(program: Command, { out }: { out: Print }): void {
  const parties = program
    .command('parties')
    .description('who may use this Busbar: the parties in its directory')
    .addHelpText('after', after)
  addListCommand(parties, out)
  const print = (party: PartyJson, isJson: boolean): void =>
    isJson ? out(JSON.stringify(party)) : printTable([party], out)
  addChange(parties, 'add', 'add a party, or give it another role or name')
    .requiredOption('--role <role>', 'user role: IS, ES, GS, RSA, ED, GT, OU or LC')
    .requiredOption('--name <text>', 'for people')
    .option('--participant <id>', 'market participant id, by which registrations name the party')
    .action(async (eui64: string, { ops, json, by, role, name, participant }: Options & Added) => {
      const body = { eui64, role, name, participant, by: by ?? whoIsHere() }
      print(await askDoor<PartyJson>(ops, 'POST', '/v1/parties', { body }), json)
    })
  addChange(parties, 'require-signatures', 'say which requests a party has to sign')
    .argument('<what>', 'all, critical, none, or service reference variants such as 7.1,7.2')
    .action(async (eui64: string, what: string, { ops, json, by }: Options) => {
      const mustSign = what === 'none' ? [] : what.split(',').map((word) => word.trim())
      const path = `/v1/parties/${encodeURIComponent(eui64)}/require-signatures`
      const body = { mustSign, by: by ?? whoIsHere() }
      print(await askDoor<PartyJson>(ops, 'POST', path, { body }), json)
    })
  for (const [word, text] of stateChanges)
    addChange(parties, word, text).action(async (eui64: string, { ops, json, by }: Options) => {
      const path = `/v1/parties/${encodeURIComponent(eui64)}`
      const who = by ?? whoIsHere()
      const answer =
        word === 'remove'
          ? await askDoor<PartyJson | WaitingAnswer>(
              ops,
              'DELETE',
              `${path}?${new URLSearchParams({ by: who })}`,
            )
          : await askDoor<PartyJson>(ops, 'POST', `${path}/${word}`, { body: { by: who } })
      if (!('approval' in answer)) print(answer, json)
      else out(json ? JSON.stringify(answer) : waitingSentence(answer.approval))
    })
}

const stateChanges = [
  ['suspend', 'let a party have nothing done until it is resumed'],
  ['resume', 'end the suspension of a party'],
  ['remove', 'take a party out of the directory'],
] as const

const addChange = (parties: Command, word: string, text: string): Command =>
  addOpsOption(parties.command(word), "a broker's operators' door")
    .description(text)
    .argument('<eui64>', 'party')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)

function addListCommand(parties: Command, out: Print): void {
  addOpsOption(parties.command('list'), "a broker's operators' door")
    .description('the parties in the directory, as the asked process has it')
    .option('--all', 'with those that were removed', false)
    .option('--json', 'one line of JSON', false)
    .action(async ({ ops, json, all }: Options & { all: boolean }) => {
      const path = `/v1/parties${all ? '?all=true' : ''}`
      const answer = await askDoor<PartiesJson>(ops, 'GET', path)
      if (json) return out(JSON.stringify(answer))
      printTable(answer.parties, out)
      if (!answer.isInForce)
        out('the directory is not in force yet: gateways know the parties of their parties files')
    })
}

function printTable(list: readonly PartyJson[], out: Print): void {
  const rows = list.map((party) => {
    const {
      eui64,
      role,
      participant = '',
      status,
      mustSign = [],
      changedAt,
      changedBy,
      name,
    } = party
    return [eui64, role, participant, status, mustSign.join(), changedAt, changedBy, name]
  })
  for (const line of tableOf([
    ['party', 'role', 'participant', 'status', 'signs', 'changed', 'by', 'name'],
    ...rows,
  ]))
    out(line)
}
