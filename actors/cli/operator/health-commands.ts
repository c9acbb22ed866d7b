/**
 * `busbar health`: the operators' door of a broker, asked once; for health checks of containers and
 * scripts.
 */
import type { Command } from 'commander'
import { limits } from '../../../core/base/limits.ts'
import { directFetch } from '../../../core/ops/direct-fetch.ts'
import { OperatorFault } from '../operator-fault.ts'
import { addOpsOption } from '../shared-options.ts'

type Terminal = { out(line: string): void }
type HealthOptions = { ops: string; live: boolean }

export function addHealthCommands(program: Command, terminal: Terminal): void {
  addOpsOption(program.command('health'))
    .description(
      'say whether a broker is ready, and what is degraded; ends with 1, and the reasons, when it is not ready',
    )
    .option('--live', 'ask only whether it answers', false)
    .action(async (options: HealthOptions) => {
      process.exitCode = await healthCommand(options, terminal)
    })
}

/**
 * Prints `ready`, `degraded` and what is degraded, or `live`; else one reason a line; fulfilled
 * with the exit code.
 * @throws OperatorFault when nobody answers at `ops` within `healthProbeMsMax`
 */
async function healthCommand({ ops, live }: HealthOptions, terminal: Terminal): Promise<number> {
  const signal = AbortSignal.timeout(limits.healthProbeMsMax)
  const response = await directFetch(`http://${ops}/health/${live ? 'live' : 'ready'}`, {
    signal,
  }).catch((cause: unknown) => {
    throw new OperatorFault(`nobody answers at ${ops}; name the operators' door with --ops`, {
      cause,
    })
  })
  const {
    status,
    reasons = [],
    degraded = [],
  } = (await response.json()) as {
    status: string
    reasons?: string[]
    degraded?: string[]
  }
  for (const line of response.ok ? [status, ...degraded] : reasons) terminal.out(line)
  return response.ok ? 0 : 1
}
