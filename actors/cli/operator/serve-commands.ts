/** `busbar serve`: one broker process, from its settings to its end. */
import { Option, type Command } from 'commander'
import { settingText } from '../../../core/ops/settings-page.ts'
import { flagOf, settingList, type Setting } from '../../../core/ops/settings.ts'
import { addConfigOption, surroundingsOf, type Print } from '../shared-options.ts'
import { endsWithInputOption, untilStopped } from '../stop-signal.ts'

/** For an orderly end after a failure: above what gateway and host wait for at most. */
const failedCloseMsMax = 30_000

const valueOf = ({ isPath, unit }: Setting): string =>
  isPath
    ? unit.startsWith('folder')
      ? '<folder>'
      : '<file>'
    : isSwitch({ unit })
      ? '[value]'
      : '<value>'

/** May be given without a value. */
const isSwitch = ({ unit }: Pick<Setting, 'unit'>): boolean => unit === 'true or false'

function optionOf(setting: Setting): Option {
  const option = new Option(`${flagOf(setting)} ${valueOf(setting)}`, settingText(setting))
  return (isSwitch(setting) ? option.preset('true') : option).env(setting.env)
}

/** Adds `serve`. */
export function addServeCommands(program: Command, { err }: { err: Print }): void {
  const serve = addConfigOption(
    program
      .command('serve')
      .description(
        'run a broker: gateways, partitions, connections to devices, and an embedded nats-server unless --nats-url or --join is given',
      ),
  ).addOption(endsWithInputOption())
  serve.option(
    '--new-ledger',
    'give up the ledger that the data directory knows, for the one found or a new one; stores are set aside. For one start: see LEDGER_MISSING, LEDGER_IDENTITY_MISMATCH and LEDGER_ROLLED_BACK',
    false,
  )
  for (const setting of settingList.filter(({ isEnvironmentOnly }) => !isEnvironmentOnly)) {
    serve.addOption(optionOf(setting))
  }
  const onlyInEnvironment = settingList.filter(({ isEnvironmentOnly }) => isEnvironmentOnly)
  const texts = onlyInEnvironment.map((setting) => `  ${setting.env}  ${settingText(setting)}`)
  serve.addHelpText('after', `\nIn the environment or the settings file only:\n${texts.join('\n')}`)
  serve.action(async (options: Record<string, unknown>, command: Command) => {
    // What this process and its children make is their owner's alone.
    process.umask(0o077)
    const { loadConfig } = await import('../../../core/ops/config.ts')
    const { startBroker } = await import('../../broker/broker.ts')
    const { file, faults } = surroundingsOf(command, process.env)
    // What commander found in the environment is left to loadConfig, which names the variable.
    const given = Object.fromEntries(
      Object.entries(options).filter(([name]) => command.getOptionValueSource(name) === 'cli'),
    ) as Record<string, string>
    const config = loadConfig({
      env: process.env,
      options: given,
      workingDir: process.cwd(),
      faults,
      ...(file && { places: placesIn(file) }),
    })
    // From the start on: the first process of a container gets no signal that it does not handle.
    const stopped = untilStopped(options['endsWithInput'] === true)
    let isStarted = false
    void stopped.then(
      () => isStarted || setTimeout(() => process.exit(1), failedCloseMsMax).unref(),
    )
    const isNewLedger = options['newLedger'] === true
    const broker = await startBroker(config, { isNewLedger }).catch((fault: unknown) => {
      // With --ends-with-input it is listened to, and would keep a process alive that has failed.
      process.stdin.destroy()
      throw fault
    })
    isStarted = true
    const { grpc, http, ops, nats, dialIn, hostId } = broker
    const listening = { grpc, http, ops, nats, ...(dialIn && { dialIn }) }
    process.stdout.write(`${JSON.stringify({ listening, hostId })}\n`)
    const why = await Promise.race([stopped, broker.failed])
    if (why !== undefined) {
      err(`busbar: it cannot go on: ${why}`)
      process.exitCode = 1
      // The fault may hold up the closing, too, and a supervisor waits for this process.
      setTimeout(() => process.exit(1), failedCloseMsMax).unref()
      // Listened to until now, an open pipe would keep the process alive.
      process.stdin.destroy()
    }
    await broker.close()
    // Everything is on disk and let go. A client that keeps its side of a connection open must not
    // keep this process alive.
    process.exit()
  })
}

/** Places of the values that came from the file: a variable that was set before it has none. */
function placesIn(file: {
  values: ReadonlyMap<string, string>
  places: ReadonlyMap<string, string>
}): ReadonlyMap<string, string> {
  return new Map([...file.places].filter(([name]) => process.env[name] === file.values.get(name)))
}
