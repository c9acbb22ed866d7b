/** `busbar letters`: the command line of set-aside. */
import type { Command } from 'commander'
import {
  addPlaceOptions,
  wholeNumber,
  type Place,
  type Print,
  whoIsHere,
} from '../shared-options.ts'
import { withLedger } from './with-ledger.ts'

type Options = Place & { partition: number; to: string; by?: string }

/** Adds `letters`. */
export function addLettersCommands(program: Command, { out }: { out: Print }): void {
  const letters = program.command('letters').description('letters between actors')
  addPlaceOptions(letters.command('set-aside'))
    .description(
      'move the unread letters of a partition to a file: their addressees never get them, and the ledger can be trimmed again; recorded in the ledger',
    )
    .requiredOption('--partition <number>', 'that readiness or metrics name', wholeNumber)
    .requiredOption('--to <file>', 'new file: one line of JSON a letter')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .action(async ({ partition, to: file, by, ...where }: Options) => {
      const { setLettersAside } = await import('./letters-commands.ts')
      const who = by ?? whoIsHere()
      await withLedger(where, async (opened) => {
        const count = await setLettersAside(opened, { partition, file, by: who })
        out(
          count === 0
            ? `partition ${partition} has no unread letters`
            : `${count} letters to actors of partition ${partition} are in ${file}, and are not read any more`,
        )
        return 0
      })
    })
}
