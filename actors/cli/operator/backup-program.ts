/** `busbar backup` and `busbar restore`: their command lines. */
import { Option, type Command } from 'commander'
import { settings } from '../../../core/ops/settings.ts'
import { addPlaceOptions, type Place, type Print } from '../shared-options.ts'
import { withLedger } from './with-ledger.ts'

/** Adds `backup` and `restore`. */
export function addBackupCommands(program: Command, terminal: { out: Print; err: Print }): void {
  addBackup(program, terminal)
  addRestore(program, terminal)
}

function addBackup(program: Command, { out, err }: { out: Print; err: Print }): void {
  addPlaceOptions(program.command('backup'))
    .description('copy ledger, snapshots and cursors of a deployment, which may go on running')
    .argument('<folder>', 'new, or empty')
    .action(async (folder: string, where: Place) => {
      const { backup } = await import('./backup.ts')
      const { backupPortsOf } = await import('./operator-ledger.ts')
      await withLedger(where, async (opened) => {
        const { audit, cursors } = await backup(await backupPortsOf(opened), folder)
        const { ticks, lastSequence, accepted, open, faults } = audit
        for (const fault of faults) err(`FAULT  ${fault}`)
        out(
          `${ticks} ticks up to ${lastSequence} and ${cursors} cursors: ${accepted} requests accepted, ${open} open`,
        )
        return faults.length === 0 ? 0 : 1
      })
    })
}

function addRestore(program: Command, { out }: { out: Print }): void {
  addPlaceOptions(program.command('restore'), { mayJoin: false })
    .description('bring a backup into a new data directory, or a NATS without a deployment')
    .argument('<folder>', 'of the backup')
    .addOption(
      new Option('--replicas <count>', 'servers of the cluster that have the ledger')
        .choices(['1', '3', '5'])
        .env(settings.replicas.env)
        .default(settings.replicas.default),
    )
    .action(async (folder: string, where: Place & { replicas: string }) => {
      const { restoreInto } = await import('./restore.ts')
      const { ticks, accepted, open } = await restoreInto(where, folder, Number(where.replicas))
      out(
        `${ticks} ticks are back, every hash chain holds: ${accepted} requests accepted, ${open} open`,
      )
    })
}
