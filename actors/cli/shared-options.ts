/**
 * Options that several commands share: where the deployment is, where the operators' door is, which
 * settings file stands below the environment. Each call makes options of its own, since commander
 * keeps no state in them but their order matters: `--config` comes first.
 */
import { hostname, userInfo } from 'node:os'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { BrokerError } from '../../core/base/broker-error.ts'
import { formatHostPort, hostPortExample, parseHostPort } from '../../core/base/host-port.ts'
import { reachableHost } from '../../core/base/loopback.ts'
import { tokenFileVariable } from '../../core/ops/operator-credentials.ts'
import { settings } from '../../core/ops/settings.ts'
import {
  applySettingsFile,
  readSettingsFile,
  unknownVariables,
  type SettingsFile,
} from '../../core/ops/settings-file.ts'

/** Where lines of a command go. */
export type Print = (line: string) => void

/** Who runs the command, for the ledger. */
export const whoIsHere = (): string => `${userInfo().username}@${hostname()}`

/** A whole number of at most nine digits. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** `host:port`; brackets around an IPv6 address are taken off. */
export function hostPortOf(text: string): { host: string; port: number } {
  const address = parseHostPort(text)
  if (address === undefined) throw new InvalidArgumentError(`It must be ${hostPortExample}.`)
  return address
}

/**
 * Adds `--config`. Its values go to the environment where that says nothing, before commander looks
 * there for the options that follow: so it must be the first option of a command.
 */
export function addConfigOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--config <file>',
      'settings file, or the folder with one that `busbar init` has made; below options and environment',
    )
      .env('BUSBAR_CONFIG')
      .argParser((given: string) => {
        if (given === '') return undefined
        const file = readSettingsFile(given)
        applySettingsFile(file, process.env)
        return file
      }),
  )
}

/** Options of a command with `--config`, whose values are in the environment already. */
export type Configured = { config?: SettingsFile }

/** Where a deployment has its NATS. `natsUrl` wins over `join`, that over `dataDir`. */
export type Place = Configured & { natsUrl?: string; join?: string; dataDir: string }

/** Adds `--config`, `--nats-url`, `--join` and `--data-dir`, which say where the deployment is. */
export function addPlaceOptions(command: Command, { mayJoin = true } = {}): Command {
  addConfigOption(command).addOption(
    new Option('--nats-url <addresses>', 'NATS servers of the deployment').env(
      settings.natsUrl.env,
    ),
  )
  if (mayJoin) {
    command.addOption(
      new Option(
        '--join <folder>',
        'data directory of a running broker on this machine whose embedded nats-server is used',
      ).env(settings.join.env),
    )
  }
  return command.addOption(
    new Option('--data-dir <folder>', 'data directory of a broker with an embedded nats-server')
      .env(settings.dataDir.env)
      .default(settings.dataDir.default),
  )
}

/**
 * Adds `--config` and `--ops`, the address of a broker's operators' door, and the options that say
 * with which credentials it is called.
 */
export function addOpsOption(command: Command, what = "the broker's operators' door"): Command {
  return addConfigOption(command)
    .addOption(
      new Option('--ops <address>', what)
        .env(settings.ops.env)
        .default(settings.ops.default)
        .argParser(reachable),
    )
    .addOption(
      credentialOption(
        '--token-file <file>',
        'file with the token of the operator, as `busbar operators token` has made it',
        tokenFileVariable,
      ),
    )
    .addOption(
      credentialOption(
        '--data-dir <folder>',
        'data directory of a broker on this machine, whose token for development is used without --token-file',
        settings.dataDir.env,
      ),
    )
}

/** An option whose value goes to the environment, where core/ops/operator-credentials.ts looks. */
const credentialOption = (flags: string, what: string, variable: string): Option =>
  new Option(flags, what).env(variable).argParser((given: string) => {
    process.env[variable] = given
    return given
  })

/** An address that listens everywhere is reached at loopback. */
function reachable(text: string): string {
  if (text === '') return settings.ops.default
  const { host, port } = hostPortOf(text)
  return formatHostPort(reachableHost(host), port)
}

/** What the settings file and the environment say that has no effect. */
export type Surroundings = { file: SettingsFile | undefined; faults: string[]; warnings: string[] }

/** Of the command that is about to run. The variables that the file gave are in `env` already. */
export function surroundingsOf(
  command: Command,
  env: Readonly<Record<string, string | undefined>>,
): Surroundings {
  const { config: file } = command.optsWithGlobals<Configured>()
  const { faults, warnings } = unknownVariables(env)
  return { file, faults: [...(file?.faults ?? []), ...faults], warnings }
}

/**
 * Before any command but `serve`, which reports these with the faults of its settings.
 * @throws BrokerError CONFIG_INVALID
 */
export function refuseMisspelt({ faults }: Surroundings): void {
  if (faults.length > 0) throw new BrokerError('CONFIG_INVALID', faults.join('; '))
}
