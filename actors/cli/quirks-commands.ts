/** `busbar meters quirks`: which meters of other makers the simulator can imitate, one line each. */
import type { Command } from 'commander'
import { quirkDescription, quirkNames } from '../simulator/quirks.ts'

export function addQuirksCommand(meters: Command): void {
  meters
    .command('quirks')
    .description('list the meters of other makers that --quirks imitates')
    .action(() => {
      const width = Math.max(...quirkNames.map(({ length }) => length))
      for (const name of quirkNames)
        process.stdout.write(`${name.padEnd(width)}  ${quirkDescription(name)}\n`)
    })
}
