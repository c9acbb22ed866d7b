/** `busbar submit`, `receive` and `status`: what a party does, over its gRPC gateway. */
import { Option, type Command } from 'commander'
import { settings } from '../../../core/ops/settings.ts'
import type { ReceiveOptions, StatusOptions, SubmitOptions, Terminal } from './party-session.ts'

/** Where a broker listens that was told nothing else. */
const gatewayDefault = settings.grpc.default

const partyDefault = '90-B3-D5-1F-30-01-00-00'

export const submitCodes = `
Exit codes: 0 accepted, with --wait answered with I0; 1 rejected, a response other than I0, or
no response in time; 2 wrong options; 3 nobody listens at the gateway.`
const receiveCodes = `
Exit codes: 0 ended by Ctrl-C, --count or --idle; 1 the gateway rejected or ended the stream;
2 wrong options; 3 nobody listens at the gateway.`
const statusCodes = `
Exit codes: 0 the state is printed, whatever it is; 1 rejected, for example an unknown request;
2 wrong options; 3 nobody listens at the gateway.`

/** An empty variable is as good as none. */
const orDefault =
  (value: string) =>
  (text: string): string =>
    text === '' ? value : text

/** `--gateway`, or BUSBAR_GATEWAY. */
export const gatewayOption = (): Option =>
  new Option('--gateway <address>', 'host:port of the gRPC gateway')
    .env('BUSBAR_GATEWAY')
    .argParser(orDefault(gatewayDefault))
    .default(gatewayDefault)

/** `--party`, or BUSBAR_PARTY. */
export const partyOption = (): Option =>
  new Option('--party <eui64>', 'acting party (EUI-64)')
    .env('BUSBAR_PARTY')
    .argParser(orDefault(partyDefault))
    .default(partyDefault, 'the demonstration import supplier')

/** `--pki`, or BUSBAR_PKI. */
export const pkiOption = (): Option =>
  new Option(
    '--pki <folder>',
    "folder with ca.crt and the party's certificate and key (`busbar pki`); when left out the one for development in the data directory, or a header without TLS",
  )
    .env(settings.pki.env)
    .argParser((text: string) => (text === '' ? undefined : text))

export function addPartyOptions(command: Command, exitCodes: string): Command {
  return command
    .addOption(gatewayOption())
    .addOption(partyOption())
    .addOption(pkiOption())
    .addHelpText('after', exitCodes)
}

/** Adds `submit`, `receive` and `status`. */
export function addPartyCommands(program: Command, terminal: Terminal): void {
  addSubmit(program, terminal)
  addReceive(program, terminal)
  addPartyOptions(program.command('status').description('show the state of a request'), statusCodes)
    .requiredOption('--device <eui64>', 'target device (EUI-64)')
    .requiredOption('--counter <number>', 'counter of the RequestID')
    .option('--json', 'JSON on stdout: one line', false)
    .action(async (options: StatusOptions) => {
      const { statusCommand } = await import('./party-session.ts')
      process.exitCode = await statusCommand(options, terminal)
    })
}

function addSubmit(program: Command, terminal: Terminal): void {
  addPartyOptions(program.command('submit').description('submit one service request'), submitCodes)
    .requiredOption('--device <eui64>', 'target device (EUI-64)')
    .requiredOption('--srv <variant>', 'service reference variant, for example 4.1.1')
    .option('--from <time>', 'start of the period, ISO 8601 (4.8.1, 4.10, 4.17)')
    .option('--to <time>', 'end of the period')
    .option('--text <text>', 'message to show (3.1)')
    .option('--tolerance <seconds>', 'how far the clock may be off (6.11)')
    .option('--counter <number>', 'counter of the RequestID; nanoseconds since 1970 when left out')
    .addOption(
      new Option('--signing-key <file>', 'sign the request with this key (PEM, P-256)').env(
        'BUSBAR_SIGNING_KEY',
      ),
    )
    .option(
      '--signing-certificate <file>',
      'its certificate (PEM); the file beside the key that ends in .crt when left out',
    )
    .option('--assign-counter', 'let the gateway assign the counter', false)
    .option('--first-in-sequence', 'later requests may name this one with --after', false)
    .option('--after <counter>', 'start when the request with this counter has succeeded')
    .option('--at <time>', 'when to carry it out, ISO 8601, UTC; 3000-12-31T00:00:00Z cancels')
    .option('--priority <lane>', 'urgent, normal or bulk')
    .option('--deadline <seconds>', 'from now; two minutes when left out')
    .option('--wait', 'wait for the response and print it', false)
    .option('--timeout <seconds>', 'how long to wait')
    .option(
      '--json',
      'JSON on stdout: one line for the acknowledgement, with --wait one for the response',
      false,
    )
    .action(async (options: SubmitOptions) => {
      const { submitCommand } = await import('./party-session.ts')
      process.exitCode = await submitCommand(options, terminal)
    })
}

function addReceive(program: Command, terminal: Terminal): void {
  addPartyOptions(
    program
      .command('receive')
      .description('print deliveries and acknowledge them, until Ctrl-C, --count or --idle'),
    receiveCodes,
  )
    .option('--credit <count>', 'deliveries held unacknowledged')
    .option('--count <count>', 'end after so many')
    .option('--idle <seconds>', 'end when none has come for so long')
    .option('--keep', 'acknowledge nothing: they come again', false)
    .option('--take-over', 'end another receiver of the party instead of leaving it alone', false)
    .option('--entries <count>', 'profile entries shown of each')
    .option('--json', 'JSON on stdout: one line for each delivery', false)
    .action(async (options: ReceiveOptions) => {
      const { receiveCommand } = await import('./party-session.ts')
      process.exitCode = await receiveCommand(options, terminal)
    })
}
