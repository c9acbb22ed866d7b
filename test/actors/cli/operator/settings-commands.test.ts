/** `busbar settings` prints every setting, for people and as JSON. */
import { Command } from 'commander'
import t from 'tap'
import { addSettingsCommands } from '../../../../actors/cli/operator/settings-commands.ts'
import { settingList } from '../../../../core/ops/settings.ts'

async function linesOf(...args: string[]): Promise<string[]> {
  const lines: string[] = []
  const program = new Command()
  addSettingsCommands(program, { out: (line) => void lines.push(line) })
  await program.parseAsync(['settings', ...args], { from: 'user' })
  return lines
}

t.test('for people: option and variable, then sentences in at most 100 columns', async (t) => {
  const lines = await linesOf()
  for (const { env } of settingList) t.ok(lines.some((line) => line.includes(env)))
  for (const line of lines) t.ok(line.length <= 100, line)
  const at = lines.indexOf('--ledger-bytes  BUSBAR_LEDGER_BYTES')
  t.equal(lines[at + 1], '    Size of the ledger.')
  t.match(lines[at + 3], /^ {4}Default: 8GiB\. /)
  t.ok(lines.includes('BUSBAR_KEY_ENCRYPTION_KEY  (not on the command line)'))
})

t.test('for programs: one line of JSON', async (t) => {
  const lines = await linesOf('--json')
  t.equal(lines.length, 1)
  const { settings } = JSON.parse(lines[0]!) as { settings: Record<string, unknown>[] }
  t.equal(settings.length, settingList.length)
  t.match(
    settings.find(({ env }) => env === 'BUSBAR_ACTORS'),
    { option: '--actors', default: '100000', larger: /memory/, smaller: /store/ },
  )
  t.match(
    settings.find(({ env }) => env === 'BUSBAR_KEY_ENCRYPTION_KEY'),
    { option: null, larger: null },
  )
})
