/**
 * What is said of the settings of a broker: the sentences of `serve --help`, of the file of `busbar
 * init` and of `busbar settings`, and the page docs/operating/settings.md. All of it comes from the
 * table in settings.ts.
 */
import { flagOf, settingList, type Setting } from './settings.ts'

const none = 'none'

/** What a setting is, its default, and what its values do: one text of several sentences. */
export function settingText(setting: Setting): string {
  const { what, unit, default: given } = setting
  return `${what} Unit: ${unit}. Default: ${given || none}. ${effectText(setting)}`
}

/** What the values of a setting do. */
export function effectText({ consequence, larger, smaller }: Setting): string {
  return [consequence, larger && `Larger: ${larger}`, smaller && `Smaller: ${smaller}`]
    .filter(Boolean)
    .join(' ')
}

/** A setting as `busbar settings --json` prints it; null for what it does not have. */
export type SettingJson = {
  option: string | null
  env: string
  what: string
  default: string
  unit: string
  reason: string
  consequence: string
  larger: string | null
  smaller: string | null
}

export function settingJson(setting: Setting): SettingJson {
  const { env, what, default: given, unit, reason, consequence, larger, smaller } = setting
  return {
    option: setting.isEnvironmentOnly ? null : flagOf(setting),
    ...{ env, what, default: given, unit, reason, consequence },
    larger: larger ?? null,
    smaller: smaller ?? null,
  }
}

const code = (text: string): string => (text === '' ? none : `\`${text}\``)
const optionOrVariable = (setting: Setting): string =>
  setting.isEnvironmentOnly ? setting.env : flagOf(setting)

function section(setting: Setting): string {
  const { env, what, default: given, unit, reason, consequence, larger, smaller } = setting
  const lines = [
    `* **Variable:** \`${env}\`${setting.isEnvironmentOnly ? '; not on the command line' : ''}`,
    `* **Unit:** ${unit}`,
    `* **Default:** ${code(given)}. ${reason}`,
    `* **Effect:** ${consequence}`,
    ...(larger === undefined ? [] : [`* **Larger:** ${larger}`]),
    ...(smaller === undefined ? [] : [`* **Smaller:** ${smaller}`]),
  ]
  return [`## \`${optionOrVariable(setting)}\``, what, lines.join('\n')].join('\n\n')
}

/** docs/operating/settings.md, as Markdown: the same text for the same table. */
export function settingsPage(): string {
  const rows = settingList.map((setting) => {
    const name = optionOrVariable(setting)
    const anchor = name.toLowerCase()
    return `| [\`${name}\`](#${anchor}) | \`${setting.env}\` | ${code(setting.default)} | ${setting.what} |`
  })
  return `${[
    '<!-- Generated from core/ops/settings.ts: change the source, then run `npm run docs`. -->',
    '# Settings',
    'Settings of `busbar serve`. The command line wins over the environment, the environment over the file of `--config` (or' +
      ' `BUSBAR_CONFIG`), the file over the default. All faults of all settings are reported at once. `busbar settings` prints the' +
      ' same, `busbar settings --json` for programs.',
    ['| Option | Variable | Default | What it is |', '|---|---|---|---|', ...rows].join('\n'),
    ...settingList.map(section),
  ].join('\n\n')}\n`
}
