/** `busbar inventory` and `busbar usage`: their command lines. */
import type { Command } from 'commander'
import { addOpsOption, wholeNumber, type Print } from '../shared-options.ts'

const doorOfViews = "operators' door of a process with the role views"

/** Adds `inventory` and `usage`. */
export function addViewsCommands(program: Command, { out }: { out: Print }): void {
  addInventory(program, out)
  addUsage(program, out)
}

type InventoryArguments = {
  ops: string
  json: boolean
  limit: number
  prefix?: string
} & Partial<Record<'type' | 'open' | 'outcome' | 'after', string>>

function addInventory(program: Command, out: Print): void {
  addOpsOption(program.command('inventory'), doorOfViews)
    .description('devices: how they are reached, what they have open, how their last request ended')
    .argument('[eui64]', 'this one alone')
    .option('--type <type>', 'for example ESME')
    .option('--prefix <digits>', 'EUI-64 begins so')
    .option('--open <count>', 'at least so many open requests')
    .option('--outcome <code>', 'last request ended so, for example E20 or DEVICE_SILENT')
    .option('--after <eui64>', 'behind this one')
    .option('--limit <count>', 'at most so many', wholeNumber, 100)
    .option('--json', 'one line of JSON', false)
    .action(async (eui64: string | undefined, options: InventoryArguments) => {
      const { inventoryCommand } = await import('./views-commands.ts')
      const { ops, json, limit, prefix, type, open, outcome, after } = options
      const asked = { eui64, limit, query: { type, open, outcome, after, eui64: prefix } }
      await inventoryCommand(ops, asked, out, json)
    })
}

type UsageArguments = { ops: string; json: boolean } & Partial<
  Record<'from' | 'to' | 'party', string>
>

function addUsage(program: Command, out: Print): void {
  addOpsOption(program.command('usage'), doorOfViews)
    .description('requests accepted and ended, by UTC day, party, service and outcome')
    .option('--from <day>', 'first day, for example 2026-11-01')
    .option('--to <day>', 'the day behind the last one')
    .option('--party <eui64>', 'of this party alone')
    .option('--json', 'one line of JSON', false)
    .action(async ({ ops, json, from, to, party }: UsageArguments) => {
      const { usageCommand } = await import('./views-commands.ts')
      await usageCommand(ops, { from, to, party }, out, json)
    })
}
