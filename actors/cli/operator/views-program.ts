/** `busbar inventory`, `usage`, `devices list` and `devices show`: their command lines. */
import type { Command } from 'commander'
import { addOpsOption, wholeNumber, type Print } from '../shared-options.ts'
import type { DevicesAsked } from './views-commands.ts'

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
  addDeviceFilters(
    addOpsOption(program.command('inventory'), doorOfViews)
      .description(
        'devices: how they are reached, what they have open, how their last request ended',
      )
      .argument('[eui64]', 'this one alone'),
  ).action(async (eui64: string | undefined, options: InventoryArguments) => {
    await printDevices({ ...askedIn(options), eui64 }, options, out)
  })
}

const addDeviceFilters = (command: Command): Command =>
  command
    .option('--type <type>', 'for example ESME')
    .option('--prefix <digits>', 'EUI-64 begins so')
    .option('--open <count>', 'at least so many open requests')
    .option('--outcome <code>', 'last request ended so, for example E20 or DEVICE_SILENT')
    .option('--after <eui64>', 'behind this one')
    .option('--limit <count>', 'at most so many', wholeNumber, 100)
    .option('--json', 'one line of JSON', false)

function askedIn(options: InventoryArguments): DevicesAsked {
  const { limit, prefix, type, open, outcome, after } = options
  return { eui64: undefined, limit, query: { type, open, outcome, after, eui64: prefix } }
}

async function printDevices(
  asked: DevicesAsked,
  { ops, json }: Pick<InventoryArguments, 'ops' | 'json'>,
  out: Print,
): Promise<void> {
  const { inventoryCommand } = await import('./views-commands.ts')
  await inventoryCommand(ops, asked, out, json)
}

/**
 * Adds `list` and `show` to the command `devices`. It has the options --config, --ops and --json as
 * well, and commander gives them to the outer command wherever they stand.
 */
export function addDeviceViews(devices: Command, out: Print): void {
  const path = '/v1/devices'
  addDeviceFilters(
    addOpsOption(devices.command('list'), doorOfViews).description(
      'list devices: how they are reached, what they have open, how their last request ended',
    ),
  ).action(async (_options: InventoryArguments, command: Command) => {
    const options = command.optsWithGlobals<InventoryArguments>()
    await printDevices({ ...askedIn(options), path }, options, out)
  })
  addOpsOption(devices.command('show'), doorOfViews)
    .description('show one device')
    .argument('<eui64>', 'device')
    .option('--json', 'one line of JSON', false)
    .action(async (eui64: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<Pick<InventoryArguments, 'ops' | 'json'>>()
      await printDevices({ path, eui64, query: {}, limit: 1 }, options, out)
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
