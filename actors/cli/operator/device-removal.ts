/** `busbar devices remove`: takes a device out of the inventory, at the operators' door. */
import type { Command } from 'commander'
import type { WaitingAnswer } from '../../broker/approvals-door.ts'
import type { RemovalAnswer } from '../../broker/device-door.ts'
import { OperatorFault } from '../operator-fault.ts'
import { waitingSentence } from './approvals-commands.ts'
import { askDoor } from './ask-door.ts'
import { addOpsOption, type Print, whoIsHere } from '../shared-options.ts'

const after = `
Open requests of the device end with DEVICE_REMOVED; a command that is on its way may still be
carried out. Address and keys are forgotten: keys that Busbar has made (\`busbar keys replace\`) are
lost with it, and the meter needs other keys before it can be registered again. Counters stay
remembered, also then.`

type Options = { ops: string; json: boolean; yes: boolean; by?: string }

/** Adds `remove` to the command `devices`, which has --ops and --json as well. */
export function addDeviceRemoval(devices: Command, out: Print): void {
  addOpsOption(devices.command('remove'))
    .description('remove a device from the inventory; its open requests end')
    .argument('<eui64>', 'device')
    .option('--yes', 'confirm it; without this nothing is removed', false)
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)
    .addHelpText('after', after)
    .action(async (eui64: string, _options: unknown, command: Command) => {
      const { ops, json, yes, by } = command.optsWithGlobals<Options>()
      if (!yes)
        throw new OperatorFault(
          `nothing is removed: open requests of ${eui64} would end, and its keys be forgotten. Confirm it with --yes.`,
        )
      const answer = await remove(ops, eui64, by ?? whoIsHere())
      if (json) return out(JSON.stringify(answer))
      if ('approval' in answer) return out(waitingSentence(answer.approval))
      const said = answer.wasRemovedBefore ? 'was removed before' : 'removed'
      out(`${answer.removed} ${said}`)
    })
}

const remove = (ops: string, eui64: string, by: string): Promise<RemovalAnswer | WaitingAnswer> =>
  askDoor(ops, 'DELETE', `/v1/devices/${encodeURIComponent(eui64)}?${new URLSearchParams({ by })}`)
