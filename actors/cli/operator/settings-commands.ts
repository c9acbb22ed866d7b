/**
 * `busbar settings`: every setting of `busbar serve`, for people and, as one line of JSON, for
 * scripts.
 */
import type { Command } from 'commander'
import { settingJson } from '../../../core/ops/settings-page.ts'
import { flagOf, settingList, type Setting } from '../../../core/ops/settings.ts'
import type { Print } from '../shared-options.ts'
import { wrappedLines } from '../wrapped-lines.ts'

const columnMax = 100

/** Adds `settings`. */
export function addSettingsCommands(program: Command, { out }: { out: Print }): void {
  program
    .command('settings')
    .description(
      'list the settings of `busbar serve`: option, variable, default, and what a larger or smaller value does',
    )
    .option('--json', 'one line of JSON', false)
    .action(({ json }: { json: boolean }) => {
      if (json) out(JSON.stringify({ settings: settingList.map(settingJson) }))
      else for (const line of settingList.flatMap(settingLines)) out(line)
    })
}

function settingLines(setting: Setting): string[] {
  const { env, what, unit, default: given, reason, consequence, larger, smaller } = setting
  const names = setting.isEnvironmentOnly
    ? `${env}  (not on the command line)`
    : `${flagOf(setting)}  ${env}`
  const texts = [
    what,
    `Unit: ${unit}.`,
    `Default: ${given || 'none'}. ${reason}`,
    consequence,
    ...(larger === undefined ? [] : [`Larger: ${larger}`]),
    ...(smaller === undefined ? [] : [`Smaller: ${smaller}`]),
  ]
  return [names, ...texts.flatMap((text) => wrappedLines(text, '    ', columnMax)), '']
}
