/**
 * The folder that `busbar init` makes. Starts nothing. Layout:
 *
 *   busbar.env            settings, all of them with their defaults as comments (mode 600)
 *   parties.json          who may submit requests
 *   key-encryption-keys   seals the keys of devices (mode 600); beside the data directory, not in it
 *   .gitignore            keeps all of it out of version control
 *   data/                 made by `busbar serve`; data/pki has certificates for development
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { demoPartiesJson } from '../../../core/access/parties.ts'
import { rotateKeyFile } from '../../../core/ops/key-encryption-keys.ts'
import { settingsFileName } from '../../../core/ops/settings-file.ts'
import { effectText } from '../../../core/ops/settings-page.ts'
import { flagOf, settingList, settings, type Setting } from '../../../core/ops/settings.ts'
import { OperatorFault } from '../operator-fault.ts'
import { wrappedLines } from '../wrapped-lines.ts'

const partiesName = 'parties.json'
const keysName = 'key-encryption-keys'
const dataName = 'data'
const columnMax = 98

/** What a new folder sets, where the default is not what a broker with a folder needs. */
const chosen: Readonly<Record<string, string>> = {
  [settings.dataDir.env]: dataName,
  [settings.partiesFile.env]: partiesName,
  [settings.keyEncryptionKeyFile.env]: keysName,
}

/**
 * Makes the folder with its files.
 * @throws OperatorFault when one of the files is there already, or the folder cannot be
 * written; nothing is changed then
 */
export function initFolder(given: string): void {
  const folder = resolve(given)
  const names = [settingsFileName, partiesName, keysName]
  const there = names.filter((name) => existsSync(join(folder, name)))
  if (there.length > 0) {
    throw new OperatorFault(
      `${folder} has ${there.join(', ')} already; init overwrites nothing: name a new folder, or start that broker with \`busbar serve --config ${given}\``,
    )
  }
  const made: string[] = []
  const write = (name: string, text: string, mode: number): void => {
    const path = join(folder, name)
    writeFileSync(path, text, { flag: 'wx', mode })
    made.push(path)
  }
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    write(settingsFileName, settingsText(), 0o600)
    write(partiesName, `${JSON.stringify(demoPartiesJson, undefined, 2)}\n`, 0o600)
    rotateKeyFile(join(folder, keysName))
    made.push(join(folder, keysName))
    if (!existsSync(join(folder, '.gitignore'))) write('.gitignore', '*\n', 0o600)
  } catch (cause) {
    for (const path of made) rmSync(path, { force: true })
    const { code } = cause as NodeJS.ErrnoException
    throw new OperatorFault(
      `the folder ${folder} cannot be made or written (${code ?? String(cause)}); name another one: busbar init FOLDER`,
      { cause },
    )
  }
}

/** The settings file: what is chosen, and every other setting as a comment. */
export function settingsText(): string {
  const lines = [
    ...commented(
      `Settings of a Busbar broker: busbar serve --config FOLDER. Lines are NAME=value, comments stand on lines of their own, paths start at the folder of this file. The command line wins over the environment, the environment over this file. busbar serve --help explains the same settings.`,
    ),
    '',
  ]
  const isChosen = ({ env }: Setting): boolean => chosen[env] !== undefined
  for (const setting of [
    ...settingList.filter(isChosen),
    ...settingList.filter((one) => !isChosen(one)),
  ]) {
    const { env, what, unit, isEnvironmentOnly } = setting
    const option = isEnvironmentOnly ? '' : ` Option: ${flagOf(setting)}.`
    lines.push(...commented(`${what} Unit: ${unit}.${option} ${effectText(setting)}`))
    const value = chosen[env]
    lines.push(value === undefined ? `#${env}=${setting.default}` : `${env}=${value}`, '')
  }
  return lines.join('\n')
}

/** `text` as comment lines. */
const commented = (text: string): string[] => wrappedLines(text, '# ', columnMax)

/** A path as a person would type it here. */
function shown(path: string): string {
  const short = relative(process.cwd(), path)
  const text = short === '' ? '.' : short.startsWith('../..') ? path : short
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** What is in the folder, and the commands that come next, one line each. */
export function nextSteps(given: string): string[] {
  const folder = resolve(given)
  const at = (name: string): string => shown(join(folder, name))
  const device = '00-DB-10-00-00-00-00-01'
  return [
    `${at(settingsFileName)}  settings, all optional ones as comments`,
    `${at(partiesName)}  who may submit requests: examples, to be replaced by your parties`,
    `${at(keysName)}  seals the keys of devices: keep a copy elsewhere, they are lost without it`,
    '',
    'Next, in this terminal:',
    `  npx busbar serve --config ${shown(folder)}`,
    'and in another one, with simulated meters:',
    `  npx busbar meters --meters 20 --devices ${at('devices.jsonl')}`,
    'and in a third one:',
    `  npx busbar devices ${at('devices.jsonl')} --config ${shown(folder)}`,
    `  npx busbar submit --pki ${at(`${dataName}/pki`)} --device ${device} --srv 4.1.1 --wait`,
  ]
}
