/** `busbar audit`: the command line of export. */
import { InvalidArgumentError, type Command } from 'commander'
import { parseEui64, formatEui64 } from '../../../core/base/eui64.ts'
import {
  meterPointWords,
  parseMeterPoint,
  textOfMeterPoint,
} from '../../../core/registration/meter-point.ts'
import { addPlaceOptions, type Place, type Print } from '../shared-options.ts'
import { withLedger } from './with-ledger.ts'

type Options = Place & {
  party?: string
  device?: string
  meterPoint?: string
  from?: number
  to?: number
}

const after = `
Each line is one fact, letter or delivery, with its position in the ledger. The last line says what
was read, and where each hash chain ends there. Exit codes: 0 the chains hold; 1 they do not, or the
ledger has forgotten ticks meanwhile: run it again.`

/** Adds `audit`. */
export function addAuditCommands(program: Command, { out }: { out: Print }): void {
  const audit = program.command('audit').description('what the ledger says, for auditors')
  addPlaceOptions(audit.command('export'))
    .description('facts of a party, a device or a meter point in a period, as JSON lines')
    .option('--party <eui64>', 'requests, deliveries and records of this party', eui64In)
    .option('--device <eui64>', 'of this device', eui64In)
    .option('--meter-point <point>', 'of this meter point', meterPointIn)
    .option('--from <time>', 'not before this day or time, UTC', timeIn)
    .option('--to <time>', 'before this day or time, UTC', timeIn)
    .addHelpText('after', after)
    .action(async ({ party, device, meterPoint, from, to, ...where }: Options) => {
      const { exportAudit } = await import('./audit-export.ts')
      const query = { party, device, meterPoint, fromMs: from ?? -Infinity, toMs: to ?? Infinity }
      await withLedger(where, (opened) => exportAudit(opened.ledger, query, out))
    })
}

function eui64In(text: string): string {
  const octets = parseEui64(text)
  if (octets === undefined) throw new InvalidArgumentError('It must be an EUI-64.')
  return formatEui64(octets)
}

function meterPointIn(text: string): string {
  const point = parseMeterPoint(text)
  if (point === undefined) throw new InvalidArgumentError(`It must be ${meterPointWords}.`)
  return textOfMeterPoint(point)
}

function timeIn(text: string): number {
  const timeMs = Date.parse(text)
  if (!Number.isNaN(timeMs)) return timeMs
  throw new InvalidArgumentError('It must be a day or a time, such as 2026-11-30.')
}
