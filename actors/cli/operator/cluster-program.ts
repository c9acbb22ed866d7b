/** `busbar cluster`: the command lines of status, format and meter-points. */
import type { Command } from 'commander'
import { systemClock } from '../../../core/ports/clock.ts'
import { OperatorFault } from '../operator-fault.ts'
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
  addPlaceOptions(cluster.command('format'))
    .description(
      'what the processes may write to the ledger, and which format each reads; a version that is installed process by process writes nothing new before --raise',
    )
    .option(
      '--raise',
      'write the latest format from now on; no earlier version can be used again',
      false,
    )
    .option('--json', 'one line of JSON', false)
    .action(async ({ json, raise, ...where }: Place & { json: boolean; raise: boolean }) => {
      const { formatLines, formatStatus, raiseFormat } = await import('./cluster-format.ts')
      await withLedger(where, async ({ ledger, bus }) => {
        const ports = { ledger, bus, clock: systemClock }
        const status = await (raise ? raiseFormat(ports) : formatStatus(ports))
        for (const line of json ? [JSON.stringify(status)] : formatLines(status)) out(line)
        return 0
      })
    })
  addMeterPointsRule(cluster, out)
}

function addMeterPointsRule(cluster: Command, out: Print): void {
  addPlaceOptions(cluster.command('meter-points'))
    .description(
      'may parties use a device that names no meter point? Shown, or changed for all processes',
    )
    .option('--required', 'no: such a device rejects every request with PARTY_NOT_REGISTERED')
    .option('--optional', 'yes, every party whose role may send the request: as at the beginning')
    .option('--json', 'one line of JSON', false)
    .action(async ({ json, required, optional, ...where }: Place & RuleOptions) => {
      if (required === true && optional === true)
        throw new OperatorFault('give --required or --optional, not both.')
      const { meterPointsNeeded } = await import('./deployment-record.ts')
      await withLedger(where, async ({ ledger }) => {
        const wanted = required === true ? true : optional === true ? false : undefined
        const areNeeded = await meterPointsNeeded(ledger, wanted)
        const words = areNeeded
          ? 'required: a device without them rejects every request'
          : 'optional: a device without them is open to every party whose role may send the request'
        out(json ? JSON.stringify({ meterPointsRequired: areNeeded }) : `meter points are ${words}`)
        return 0
      })
    })
}

type RuleOptions = { json: boolean; required?: boolean; optional?: boolean }
