/** `busbar init`: the folder of a new broker, with its settings, parties and key-encryption key. */
import type { Command } from 'commander'
import type { Print } from '../shared-options.ts'

/** Adds `init`. */
export function addInitCommands(program: Command, { out }: { out: Print }): void {
  program
    .command('init')
    .description(
      'make the folder of a new broker: settings, parties, key-encryption key; overwrites nothing',
    )
    .argument('[folder]', 'new, or without these files', 'broker')
    .action(async (folder: string) => {
      const { initFolder, nextSteps } = await import('./broker-folder.ts')
      initFolder(folder)
      for (const line of nextSteps(folder)) out(line)
    })
}
