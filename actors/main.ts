/** The `busbar` command: everything that a person or a script starts. */
import { Command, Option } from 'commander'
import { systemClock } from '../core/ports/clock.ts'
import { addCountersCommands } from './cli/operator/counters-commands.ts'
import { addDevicesCommands } from './cli/operator/devices-commands.ts'
import { addDlmsCommands } from './cli/meter/dlms-program.ts'
import { addHealthCommands } from './cli/operator/health-commands.ts'
import { version } from '../core/ops/version.ts'
import { addInitCommands } from './cli/operator/init-commands.ts'
import { addLoadCommand } from './cli/party/load-commands.ts'
import { addAcceptCounterCommand } from './cli/operator/keys-commands.ts'
import { addMetersCommand } from './cli/meter/meters-commands.ts'
import { addPartyCommands, gatewayOption, partyOption } from './cli/party/party-commands.ts'
import { addServeCommands } from './cli/operator/serve-commands.ts'
import {
  addConfigOption,
  addOpsOption,
  addPlaceOptions,
  hostPortOf,
  refuseMisspelt,
  surroundingsOf,
  wholeNumber,
  type Place,
} from './cli/shared-options.ts'
import { endsWithInputOption, untilStopped } from './cli/stop-signal.ts'
import { explainFault, UsageFault } from './cli/operator-fault.ts'

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

addServeCommands(program, terminal)
const endsWithInput = endsWithInputOption()
addMetersCommand(program, { wholeNumber, targetOf: hostPortOf, endsWithInput })

addDevicesCommands(program, terminal)
addInitCommands(program, terminal)

program
  .command('demo')
  .description(
    'what `npm start` runs: meters, broker, and a supplier that submits the requests of a sample file',
  )
  .option('--meters <count>', 'simulated meters', wholeNumber, 1_000)
  .option('--requests <file>', 'JSON lines of requests, see actors/demo/plan.ts')
  .option('--once', 'end after the summary: 0, or 1 when anything went missing', false)
  .option('--json', 'print the summary as one line of JSON on stdout and nothing else there', false)
  .option('--data-dir <folder>', 'ledger, state and devices', '.busbar/demo')
  .option('--grpc <address>', 'where the gRPC gateway listens; port 0 for any', '127.0.0.1:50051')
  .option('--http <address>', 'where the HTTP gateway listens', '127.0.0.1:8080')
  .option('--ops <address>', "the operators' door: metrics, health, devices", '127.0.0.1:9464')
  .option('--faults <words>', 'faults of the meters, for example silent:1%')
  .action(async ({ once, json, ...options }: DemoArguments) => {
    const { runDemo } = await import('./demo/demo.ts')
    process.exitCode = await runDemo({ ...options, isOnce: once, isJson: json })
  })
type DemoArguments = {
  meters: number
  requests?: string
  once: boolean
  json: boolean
  dataDir: string
  grpc: string
  http: string
  ops: string
  faults?: string
}

addPartyCommands(program, terminal)

type Opened = Awaited<
  ReturnType<typeof import('./cli/operator/operator-ledger.ts').openOperatorLedger>
>

/** Runs `action` on the deployment's ledger; what it returns is the exit code. */
async function withLedger(
  where: Place,
  action: (opened: Opened) => Promise<number>,
): Promise<void> {
  const { openOperatorLedger, runningAddressOf } = await import('./cli/operator/operator-ledger.ts')
  const opened = await openOperatorLedger(await runningAddressOf(where))
  try {
    process.exitCode = await action(opened)
  } finally {
    await opened.close()
  }
}

const ledger = program.command('ledger').description('what a deployment has written, for operators')
addPlaceOptions(ledger.command('verify'))
  .description('check every hash chain and count; ends with 1 when something does not hold')
  .option('--json', 'one line of JSON', false)
  .action(async ({ json, ...where }: Place & { json: boolean }) => {
    const { verify } = await import('./cli/operator/ledger-commands.ts')
    await withLedger(where, (opened) =>
      verify(opened.ledger, terminal.out, json, opened.replicaSource),
    )
  })
addPlaceOptions(ledger.command('show'))
  .description('everything that is written about one request')
  .argument('<requestId>', 'originator:target:counter')
  .action(async (requestId: string, where: Place) => {
    const { show } = await import('./cli/operator/ledger-commands.ts')
    await withLedger(where, (opened) => show(opened.ledger, requestId, terminal.out))
  })
addPlaceOptions(ledger.command('tail'))
  .description('facts and deliveries as they are written, until Ctrl-C')
  .option('--from <sequence>', 'from this tick on; from now on when left out', wholeNumber, 0)
  .option('--count <lines>', 'end after so many', wholeNumber)
  .action(async ({ from, count, ...where }: Place & { from: number; count?: number }) => {
    const { tail } = await import('./cli/operator/ledger-commands.ts')
    const until = untilStopped(false)
    await withLedger(where, async (opened) => {
      await tail(opened.ledger, { from, count: count ?? Infinity, print: terminal.out, until })
      return 0
    })
  })

const cluster = program.command('cluster').description('the processes of a deployment')
addPlaceOptions(cluster.command('status'))
  .description(
    'partitions, their owners and how far each is, wan processes, replicas; ends with 1 when a partition has no live owner, or a replica is missing, offline or damaged',
  )
  .option('--json', 'one line of JSON', false)
  .action(async ({ json, ...where }: Place & { json: boolean }) => {
    const { clusterStatus, formatStatus, heardWanIds, isInTrouble } =
      await import('./cli/operator/cluster-status.ts')
    await withLedger(
      where,
      async ({ ledger: itsLedger, bus, cursors, partitionCount, replicas }) => {
        const wanIds = await heardWanIds(bus, systemClock)
        const status = await clusterStatus(
          itsLedger,
          bus,
          await cursors(),
          partitionCount,
          wanIds,
          await replicas(),
        )
        for (const line of json ? [JSON.stringify(status)] : formatStatus(status))
          terminal.out(line)
        return isInTrouble(status) ? 1 : 0
      },
    )
  })

const keys = program.command('keys').description('keys of devices, and what seals them')
addConfigOption(keys.command('rotate'))
  .description(
    'write a new key-encryption key as the first line of the file, which is made when it is not there; running brokers take it and seal anew',
  )
  .addOption(
    new Option('--key-encryption-key-file <file>', 'outside every data directory')
      .env('BUSBAR_KEY_ENCRYPTION_KEY_FILE')
      .makeOptionMandatory(),
  )
  .action(async ({ keyEncryptionKeyFile: file }: { keyEncryptionKeyFile: string }) => {
    const { rotateKeyFile } = await import('../core/ops/key-encryption-keys.ts')
    const { count, name } = rotateKeyFile(file)
    terminal.out(
      `${file} has ${count} ${count === 1 ? 'key' : 'keys'}, the first of them new, ${name}; keep the others until \`busbar keys status\` counts none older under ${name}`,
    )
  })
addOpsOption(keys.command('replace'), "a broker's operators' door")
  .description('give devices new keys, wrapped under their master keys')
  .argument('<eui64...>', 'devices')
  .action(async (devices: string[], { ops }: { ops: string }) => {
    const { replaceKeysCommand } = await import('./cli/operator/keys-commands.ts')
    process.exitCode = await replaceKeysCommand(ops, devices, terminal.out)
  })
addPlaceOptions(keys.command('status'))
  .description(
    'devices with keys: sealed under an older key-encryption key, being replaced, near the end of a counter',
  )
  .option('--json', 'one line of JSON', false)
  .action(async ({ json, ...where }: Place & { json: boolean }) => {
    const { clusterStatus } = await import('./cli/operator/cluster-status.ts')
    const { keysStatus } = await import('./cli/operator/keys-commands.ts')
    await withLedger(where, async ({ ledger: itsLedger, bus, cursors, partitionCount }) =>
      keysStatus(
        await clusterStatus(itsLedger, bus, await cursors(), partitionCount),
        terminal.out,
        json,
      ),
    )
  })

addAcceptCounterCommand(keys, terminal.out)

const doorOfViews = "operators' door of a process with the role views"

addOpsOption(program.command('inventory'), doorOfViews)
  .description('devices: how they are reached, what they have open, how their last request ended')
  .argument('[eui64]', 'this one alone')
  .option('--type <type>', 'for example ESME')
  .option('--prefix <digits>', 'EUI-64 begins so')
  .option('--open <count>', 'at least so many open requests')
  .option('--outcome <code>', 'last request ended so, for example E20 or DEVICE_SILENT')
  .option('--after <eui64>', 'behind this one')
  .option('--limit <count>', 'at most so many', wholeNumber, 100)
  .option('--json', 'one line of JSON', false)
  .action(async (eui64: string | undefined, options: InventoryArguments) => {
    const { inventoryCommand } = await import('./cli/operator/views-commands.ts')
    const { ops, json, limit, prefix, type, open, outcome, after } = options
    const asked = { eui64, limit, query: { type, open, outcome, after, eui64: prefix } }
    await inventoryCommand(ops, asked, terminal.out, json)
  })
type InventoryArguments = {
  ops: string
  json: boolean
  limit: number
  prefix?: string
} & Partial<Record<'type' | 'open' | 'outcome' | 'after', string>>

addOpsOption(program.command('usage'), doorOfViews)
  .description('requests accepted and ended, by UTC day, party, service and outcome')
  .option('--from <day>', 'first day, for example 2026-11-01')
  .option('--to <day>', 'the day behind the last one')
  .option('--party <eui64>', 'of this party alone')
  .option('--json', 'one line of JSON', false)
  .action(async ({ ops, json, from, to, party }: UsageArguments) => {
    const { usageCommand } = await import('./cli/operator/views-commands.ts')
    await usageCommand(ops, { from, to, party }, terminal.out, json)
  })
type UsageArguments = { ops: string; json: boolean } & Partial<
  Record<'from' | 'to' | 'party', string>
>

addPlaceOptions(program.command('backup'))
  .description('copy ledger, snapshots and cursors of a deployment, which may go on running')
  .argument('<folder>', 'new, or empty')
  .action(async (folder: string, where: Place) => {
    const { backup } = await import('./cli/operator/backup.ts')
    const { backupPortsOf } = await import('./cli/operator/operator-ledger.ts')
    await withLedger(where, async (opened) => {
      const { audit, cursors } = await backup(await backupPortsOf(opened), folder)
      const { ticks, lastSequence, accepted, open, faults } = audit
      for (const fault of faults) terminal.err(`FAULT  ${fault}`)
      terminal.out(
        `${ticks} ticks up to ${lastSequence} and ${cursors} cursors: ${accepted} requests accepted, ${open} open`,
      )
      return faults.length === 0 ? 0 : 1
    })
  })

addPlaceOptions(program.command('restore'), { mayJoin: false })
  .description('bring a backup into a new data directory, or a NATS without a deployment')
  .argument('<folder>', 'of the backup')
  .addOption(
    new Option('--replicas <count>', 'servers of the cluster that have the ledger')
      .choices(['1', '3', '5'])
      .env('BUSBAR_REPLICAS')
      .default('1'),
  )
  .action(async (folder: string, where: Place & { replicas: string }) => {
    const { restoreInto } = await import('./cli/operator/restore.ts')
    const { ticks, accepted, open } = await restoreInto(where, folder, Number(where.replicas))
    terminal.out(
      `${ticks} ticks are back, every hash chain holds: ${accepted} requests accepted, ${open} open`,
    )
  })

addDlmsCommands(program, terminal)
addCountersCommands(program, terminal)
addHealthCommands(program, terminal)
addLoadCommand(program, terminal, gatewayOption(), partyOption())

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
