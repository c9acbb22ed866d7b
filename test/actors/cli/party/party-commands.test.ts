/** Options of `busbar submit`, `receive` and `status`: help, and what the environment gives. */
import { Command } from 'commander'
import t from 'tap'
import {
  addPartyCommands,
  gatewayOption,
  partyOption,
} from '../../../../actors/cli/party/party-commands.ts'
import type { Terminal } from '../../../../actors/cli/party/party-session.ts'
import { systemClock } from '../../../../core/ports/clock.ts'

const terminal: Terminal = {
  out: () => undefined,
  err: () => undefined,
  clock: systemClock,
  onInterrupt: () => undefined,
}

/** What `--gateway` and `--party` come to. */
function parsed(args: readonly string[], env: Record<string, string>): Record<string, unknown> {
  const names = ['BUSBAR_GATEWAY', 'BUSBAR_PARTY']
  const before = names.map((name) => process.env[name])
  Object.assign(process.env, env)
  try {
    const command = new Command().addOption(gatewayOption()).addOption(partyOption())
    return command.parse(args, { from: 'user' }).opts()
  } finally {
    names.forEach((name, i) => {
      if (before[i] === undefined) delete process.env[name]
      else process.env[name] = before[i]
    })
  }
}

t.test('BUSBAR_GATEWAY and BUSBAR_PARTY stand below the options', (t) => {
  const none = { gateway: '127.0.0.1:50051', party: '90-B3-D5-1F-30-01-00-00' }
  const env = { BUSBAR_GATEWAY: '[::1]:7', BUSBAR_PARTY: '90-B3-D5-1F-30-02-00-00' }
  t.same(parsed([], {}), none)
  t.same(parsed([], env), { gateway: '[::1]:7', party: '90-B3-D5-1F-30-02-00-00' })
  t.same(parsed(['--gateway', 'a:1'], env), { gateway: 'a:1', party: env.BUSBAR_PARTY })
  t.same(parsed([], { BUSBAR_GATEWAY: '', BUSBAR_PARTY: '' }), none, 'empty is as good as none')
  t.end()
})

t.test('each command lists its exit codes, its variables and --json', (t) => {
  const program = new Command()
  addPartyCommands(program, terminal)
  for (const name of ['submit', 'receive', 'status']) {
    const command = program.commands.find((one) => one.name() === name)!
    let help = ''
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
    t.match(help, /Exit codes: 0 .*1 .*2 wrong options; 3 nobody listens/s, name)
    t.match(help, /BUSBAR_GATEWAY[\s\S]*BUSBAR_PARTY[\s\S]*--json/, name)
  }
  t.end()
})
