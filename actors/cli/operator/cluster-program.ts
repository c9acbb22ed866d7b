/** `busbar cluster`: the command line of status. */
import type { Command } from 'commander'
import { systemClock } from '../../../core/ports/clock.ts'
import { addPlaceOptions, type Place, type Print } from '../shared-options.ts'
import { withLedger } from './with-ledger.ts'

/** Adds `cluster`. */
export function addClusterCommands(program: Command, { out }: { out: Print }): void {
  const cluster = program.command('cluster').description('the processes of a deployment')
  addPlaceOptions(cluster.command('status'))
    .description(
      'partitions, their owners and how far each is, wan processes, replicas; ends with 1 when a partition has no live owner, or a replica is missing, offline or damaged',
    )
    .option('--json', 'one line of JSON', false)
    .action(async ({ json, ...where }: Place & { json: boolean }) => {
      const { clusterStatus, formatStatus, heardWanIds, isInTrouble } =
        await import('./cluster-status.ts')
      await withLedger(where, async ({ ledger, bus, cursors, partitionCount, replicas }) => {
        const status = await clusterStatus({
          ...{ ledger, bus, partitionCount },
          wanIds: await heardWanIds(bus, systemClock),
          cursors: await cursors(),
          streams: await replicas(),
        })
        for (const line of json ? [JSON.stringify(status)] : formatStatus(status)) out(line)
        return isInTrouble(status) ? 1 : 0
      })
    })
}
