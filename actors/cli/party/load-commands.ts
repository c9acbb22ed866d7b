/** `busbar load`: offers load to a running gateway and reports throughput and latency. */
import type { Command } from 'commander'
import { gatewayOption, partyOption, pkiOption } from './party-commands.ts'
import type { Terminal } from './party-session.ts'
import type { LoadOptions } from './run-load.ts'

export function addLoadCommand(program: Command, terminal: Terminal): void {
  program
    .command('load')
    .description(
      'offer load to a running gateway: throughput and latency of acceptance and completion',
    )
    .addOption(gatewayOption())
    .addOption(partyOption())
    .addOption(pkiOption())
    .option(
      '--http <url>',
      'over HTTP with autocannon, for example http://127.0.0.1:8080, instead of gRPC',
    )
    .option('--devices <file>', 'targets: an inventory file, JSON lines')
    .option('--device <eui64...>', 'targets: these devices')
    .option('--srv <variants>', 'service reference variants in turn, separated by commas', '4.1.1')
    .option(
      '--in-flight <count>',
      'closed loop: requests open at a time; over HTTP connections',
      '100',
    )
    .option('--rate <count>', 'open loop: so many requests a second, whatever comes back')
    .option('--warm-up <seconds>', 'before the measurement', '2')
    .option('--seconds <seconds>', 'of the measurement', '10')
    .option('--drain <seconds>', 'wait for the last responses', '30')
    .option('--json', 'the report as one line of JSON on stdout and nothing else there', false)
    .addHelpText(
      'after',
      `
The load takes the receiver's seat of the party: use a party that has no other receiver.
Exit codes: 0 every request was accepted and answered, 1 some were not, 2 wrong options, 3 nobody listens.`,
    )
    .action(async (options: LoadOptions) => {
      const { loadCommand } = await import('./run-load.ts')
      process.exitCode = await loadCommand(options, terminal)
    })
}
