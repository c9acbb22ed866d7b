/** `busbar access`: may a party send something to a device, and why, at the operators' door. */
import type { Command } from 'commander'
import type { AccessJson } from '../../broker/access-door.ts'
import { addOpsOption, type Print } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'

type Options = {
  ops: string
  json: boolean
  party: string
  srv: string
  commandVariant?: string
}

const after = `
Asks the same checks as gateways and devices do, in their order, with what is known now. Nothing is
sent, and nothing is recorded. Exit codes: 0 granted; 1 refused, or not known yet.`

export function addAccessCommand(program: Command, { out }: { out: Print }): void {
  addOpsOption(program.command('access'), "a broker's operators' door")
    .description('may a party send a service request to a device now, and why?')
    .argument('<eui64>', 'device')
    .requiredOption('--party <eui64>', 'party that would send it')
    .requiredOption('--srv <variant>', 'service reference variant, such as 4.1.1')
    .option('--command-variant <number>', '1 to 9; left out, the one that fits')
    .option('--json', 'one line of JSON', false)
    .addHelpText('after', after)
    .action(async (device: string, options: Options) => {
      const { ops, json, party, srv, commandVariant } = options
      const query = new URLSearchParams({
        party,
        device,
        srv,
        ...(commandVariant !== undefined && { commandVariant }),
      })
      const answer = await askDoor<AccessJson>(ops, 'GET', `/v1/access?${query}`)
      process.exitCode = answer.result === 'granted' ? 0 : 1
      if (json) return out(JSON.stringify(answer))
      const rows = answer.checks.map(({ id, result, ground }) => [id, result, ground])
      for (const line of tableOf([['check', 'result', 'ground'], ...rows])) out(line)
      for (const { meterPoint, source, dataSince } of answer.oldData ?? [])
        out(`old data: ${meterPoint}, ${source} has sent nothing since ${dataSince}`)
      out(`${answer.result}${answer.code === undefined ? '' : `: ${answer.code}`}`)
    })
}
