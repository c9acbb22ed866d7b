/** `busbar dlms`: its command line; what it does is loaded when it is asked for. */
import { existsSync, readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { Print } from '../shared-options.ts'
import { advised } from './advised-action.ts'
import type { DecodeOptions } from './dlms-decode.ts'
import { hexIn } from './hex-digits.ts'

/** What is given, or stands in the file of that name, or on standard input. */
function textIn(given: string): string {
  if (given === '-') return readFileSync(0, 'utf8')
  return hexIn(given) === undefined && existsSync(given) ? readFileSync(given, 'utf8') : given
}

/** Adds `dlms`. */
export function addDlmsCommands(program: Command, { out }: { out: Print }): void {
  program
    .command('dlms')
    .description('the codec for people')
    .command('decode')
    .description(
      'explain APDUs, wrapper, HDLC and M-Bus frames or COSEM data, one or many, field by field',
    )
    .argument(
      '<hex>',
      'hexadecimal digits, a log or hexdump with them, a file with that, or - for standard input',
    )
    .option('--key <hex>', 'global unicast encryption key')
    .option('--authentication-key <hex>', 'authentication key')
    .option('--dedicated-key <hex>', 'dedicated key of the association')
    .option('--master-key <hex>', 'master key, for keys that come wrapped')
    .option(
      '--keys <file>',
      'all keys as in an inventory, or a list of such: those that fit are found',
    )
    .option('--system-title <hex>', 'of the sender, where the octets do not name it')
    .option('--recipient-title <hex>', 'of the recipient, for agreed keys')
    .option('--full', 'show long octets whole', false)
    .option('--json', 'one line of JSON', false)
    .action(
      advised(async (hex: string, options: DecodeOptions) => {
        const { decodeLines } = await import('./dlms-decode.ts')
        for (const line of decodeLines(textIn(hex), options)) out(line)
      }),
    )
}
