/** The `busbar` command: everything that a person or a script starts. */
import { Command } from 'commander'
import { systemClock } from '../core/ports/clock.ts'
import { version } from '../core/ops/version.ts'
import { addDemoCommand } from './cli/demo-program.ts'
import { addDlmsCommands } from './cli/meter/dlms-program.ts'
import { addMeterCommands } from './cli/meter/meter-program.ts'
import { addMetersCommand } from './cli/meter/meters-commands.ts'
import { addAccessCommand } from './cli/operator/access-commands.ts'
import { addAuditCommands } from './cli/operator/audit-program.ts'
import { addApprovalsCommands } from './cli/operator/approvals-commands.ts'
import { addBackupCommands } from './cli/operator/backup-program.ts'
import { addClusterCommands } from './cli/operator/cluster-program.ts'
import { addCountersCommands } from './cli/operator/counters-commands.ts'
import { addOperatorsCommands } from './cli/operator/operators-commands.ts'
import { addConsentsCommands } from './cli/operator/consents-commands.ts'
import { addMeterPointsCommands } from './cli/operator/meter-points-commands.ts'
import { addPartiesCommands } from './cli/operator/parties-commands.ts'
import { addSourcesCommands } from './cli/operator/sources-commands.ts'
import { addThresholdCommands } from './cli/operator/threshold-commands.ts'
import { addPkiCommands } from './cli/operator/pki-commands.ts'
import { addDevicesCommands } from './cli/operator/devices-commands.ts'
import { addExplainCommands } from './cli/operator/explain-commands.ts'
import { addHealthCommands } from './cli/operator/health-commands.ts'
import { addInitCommands } from './cli/operator/init-commands.ts'
import { addKeysCommands } from './cli/operator/keys-program.ts'
import { addLedgerCommands } from './cli/operator/ledger-program.ts'
import { addLettersCommands } from './cli/operator/letters-program.ts'
import { addServeCommands } from './cli/operator/serve-commands.ts'
import { addSettingsCommands } from './cli/operator/settings-commands.ts'
import { addViewsCommands } from './cli/operator/views-program.ts'
import { explainFault, UsageFault } from './cli/operator-fault.ts'
import { addLoadCommand } from './cli/party/load-commands.ts'
import { addScheduleCommands } from './cli/party/schedule-commands.ts'
import { addPartyCommands } from './cli/party/party-commands.ts'
import { refuseMisspelt, surroundingsOf } from './cli/shared-options.ts'

const program = new Command('busbar')
  .description('The open switchboard between energy parties and smart meters')
  .version(version)
  .showHelpAfterError('(--help lists the options)')
  // Wrong options end with 2, as `busbar submit` and its like do; what goes wrong later with 1.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))

const terminal = {
  out: (line: string): void => void process.stdout.write(`${line}\n`),
  err: (line: string): void => void process.stderr.write(`${line}\n`),
  clock: systemClock,
  onInterrupt: (action: () => void): void => void process.once('SIGINT', action),
}

program.hook('preAction', (_program, command) => {
  // A child of ours has what its parent has, which has reported it.
  const { endsWithInput: isChild } = command.opts<{ endsWithInput?: boolean }>()
  const surroundings = surroundingsOf(command, process.env)
  if (!isChild) for (const warning of surroundings.warnings) terminal.err(`busbar: ${warning}`)
  if (command.name() !== 'serve') refuseMisspelt(surroundings)
})

// In the order of --help.
addServeCommands(program, terminal)
addSettingsCommands(program, terminal)
addMetersCommand(program)
addDevicesCommands(program, terminal)
addInitCommands(program, terminal)
addDemoCommand(program)
addPartyCommands(program, terminal)
addScheduleCommands(program, terminal)
addLedgerCommands(program, terminal)
addAuditCommands(program, terminal)
addLettersCommands(program, terminal)
addClusterCommands(program, terminal)
addKeysCommands(program, terminal)
addViewsCommands(program, terminal)
addBackupCommands(program, terminal)
addDlmsCommands(program, terminal)
addMeterCommands(program, terminal)
addCountersCommands(program, terminal)
addPartiesCommands(program, terminal)
addSourcesCommands(program, terminal)
addThresholdCommands(program, terminal)
addAccessCommand(program, terminal)
addExplainCommands(program, terminal)
addMeterPointsCommands(program, terminal)
addConsentsCommands(program, terminal)
addPkiCommands(program, terminal)
addOperatorsCommands(program, terminal)
addApprovalsCommands(program, terminal)
addHealthCommands(program, terminal)
addLoadCommand(program, terminal)

// Whoever reads along may have seen enough: `busbar … | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

try {
  await program.parseAsync()
} catch (fault) {
  process.stderr.write(`${explainFault(fault).text}\n`)
  process.exitCode = fault instanceof UsageFault ? 2 : 1
}
