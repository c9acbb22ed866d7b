/**
 * `busbar meters`: a fleet of simulated meters in a process of its own, and `busbar meters quirks`:
 * which odd meters it can imitate.
 */
import { InvalidArgumentError, Option, type Command } from 'commander'
import { bareHost, type HostPort } from '../../../core/base/host-port.ts'
import type { Mechanism } from '../../../core/dlms/security/index.ts'
import { Transport } from '../../../core/ports/wan.ts'
import { quirkNames, quirkRow } from '../../simulator/quirks/quirk-table.ts'
import { hostPortOf, wholeNumber } from '../shared-options.ts'
import { endsWithInputOption } from '../stop-signal.ts'

type FleetOptions = {
  meters: number
  seed: number
  metersPerListener: number
  host: string
  basePort?: number
  devices?: string
  faults: string
  quirks: string
  mechanisms?: Mechanism[]
  timeZone: string
  securityShares?: readonly [number, number, number]
  transport: Transport
  pushTo?: HostPort
  pushEvery?: number
  dialInTo?: HostPort
  endsWithInput?: boolean
}

const sharesOf = (text: string): [number, number, number] => {
  const shares = text.split(',').map(Number)
  if (shares.length !== 3 || shares.some((share) => !(share >= 0 && share <= 1)))
    throw new InvalidArgumentError('Three shares from 0 to 1, with commas between.')
  return shares as [number, number, number]
}

const mechanismsOf = (text: string): Mechanism[] => {
  const numbers = text.split(',').map(Number)
  if (!numbers.every((number) => Number.isInteger(number) && number >= 2 && number <= 7))
    throw new InvalidArgumentError('Numbers from 2 to 7, with commas between.')
  return numbers as Mechanism[]
}

export function addMetersCommand(program: Command): void {
  const meters = addFleetOptions(
    program
      .command('meters')
      .description('run a fleet of simulated meters that speak DLMS/COSEM over TCP'),
  ).action(async (options: FleetOptions) => {
    const { runFleetProcess } = await import('../../simulator/network/fleet-process.ts')
    const { basePort, devices, pushEvery, ...rest } = options
    await runFleetProcess({
      ...rest,
      ...(basePort === undefined ? {} : { basePort }),
      ...(devices === undefined ? {} : { devicesFile: devices }),
      ...(pushEvery === undefined ? {} : { pushEveryMs: pushEvery * 1_000 }),
    })
  })
  meters
    .command('quirks')
    .description('list the meters of other makers that --quirks imitates')
    .action(printQuirks)
}

function addFleetOptions(command: Command): Command {
  return command
    .option('--meters <count>', 'how many', wholeNumber, 1_000)
    .option('--seed <number>', 'what they are and what they measured', wholeNumber, 1)
    .option(
      '--meters-per-listener <count>',
      'logical devices behind one address, as behind a concentrator',
      wholeNumber,
      20,
    )
    .option('--host <address>', 'where to listen', bareHost, '127.0.0.1')
    .option('--base-port <port>', 'first TCP port; any free ones when left out', wholeNumber)
    .option('--devices <file>', 'write the devices there as JSON lines, for `busbar devices`')
    .option(
      '--faults <words>',
      'for example slow=200ms:5% or silent:1%; also as lines on stdin',
      '',
    )
    .option(
      '--quirks <words>',
      'meters of other makers and their share, for example one-association:30%; `meters quirks` lists them',
      '',
    )
    .option(
      '--security-shares <shares>',
      'of meters under security suites 0, 1 and 2, for example 0.5,0.1,0.1',
      sharesOf,
    )
    .option(
      '--mechanisms <numbers>',
      'how clients prove themselves to meters under a suite, 2 to 7, for example 3,5,6',
      mechanismsOf,
    )
    .option('--time-zone <name>', 'of meters that send local times: an IANA name', 'Europe/Berlin')
    .addOption(
      new Option('--transport <way>', 'how they are reached')
        .choices([...Transport])
        .default('tcp'),
    )
    .option('--push-to <address>', 'host:port that notifications go to, see stdin', hostPortOf)
    .option('--push-every <seconds>', 'each meter sends a notification so often', wholeNumber)
    .option('--dial-in-to <address>', 'host:port that meters connect to', hostPortOf)
    .addOption(endsWithInputOption())
}

function printQuirks(): void {
  const width = Math.max(...quirkNames.map(({ length }) => length))
  for (const name of quirkNames)
    process.stdout.write(`${name.padEnd(width)}  ${quirkRow(name).description}\n`)
}
