/**
 * The settings file of a broker: lines `BUSBAR_NAME=value`, the form that shells, systemd and
 * container tools read too. `busbar init` writes one, `--config` names it. It stands below the
 * command line and the environment, and above the defaults. Also here: names of variables that no
 * setting has, with the name that was probably meant.
 */
import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { BrokerError } from '../base/broker-error.ts'
import { likelyName } from '../base/spelling.ts'
import { settingList } from './settings.ts'
import { linesIn, readTextFile } from './text-file.ts'

/** The name of the settings file in a folder of `busbar init`. */
export const settingsFileName = 'busbar.env'

/** Variables that commands read besides the settings of `busbar serve`. */
const otherVariables = [
  'BUSBAR_CONFIG',
  'BUSBAR_GATEWAY',
  'BUSBAR_SIGNING_KEY',
  'BUSBAR_OPERATOR_TOKEN_FILE',
  'BUSBAR_PARTY',
  'BUSBAR_METER_UNICAST_KEY',
  'BUSBAR_METER_BROADCAST_KEY',
  'BUSBAR_METER_AUTHENTICATION_KEY',
  'BUSBAR_METER_PASSWORD',
] as const
const variablesOfServe: readonly string[] = settingList.map(({ env }) => env)
/** Every BUSBAR_ variable that has an effect. */
export const knownVariables: readonly string[] = [...variablesOfServe, ...otherVariables]
/** May stand in the file besides: it names the program that an embedded nats-server runs. */
const variablesBeside = ['NATS_SERVER_BIN']

/** A settings file as it was read. Paths in `values` are absolute. */
export type SettingsFile = {
  readonly path: string
  readonly values: ReadonlyMap<string, string>
  /** Where each value stands, for messages: `busbar.env, line 3`. */
  readonly places: ReadonlyMap<string, string>
  /** Sentences, each with its line. */
  readonly faults: readonly string[]
}

/** The settings file that `--config` names: the file itself, or the one in that folder. */
function pathOf(given: string): string {
  const path = resolve(given)
  const isFolder = existsSync(path) && statSync(path).isDirectory()
  return isFolder ? join(path, settingsFileName) : path
}

/**
 * Reads the settings file, or the one in the folder, at `given`. Faults of lines are collected, so
 * that they appear together with those of values.
 * @throws BrokerError CONFIG_INVALID when there is no such file, or it cannot be read
 */
export function readSettingsFile(given: string): SettingsFile {
  const path = pathOf(given)
  let text: string
  try {
    text = readTextFile(path)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    const { code } = cause as NodeJS.ErrnoException
    const hint = code === 'ENOENT' ? '; `busbar init` makes one' : ''
    throw new BrokerError(
      'CONFIG_INVALID',
      `the settings file ${path} cannot be read (${code})${hint}`,
      {
        cause,
      },
    )
  }
  const values = new Map<string, string>()
  const places = new Map<string, string>()
  const faults: string[] = []
  for (const [index, line] of linesIn(text).entries()) {
    if (/^\s*(#|$)/.test(line)) continue
    const place = `${path}, line ${index + 1}`
    const assignment = assignmentIn(line)
    if (typeof assignment === 'string') {
      faults.push(`${place}: ${assignment}`)
      continue
    }
    const { name, value } = assignment
    const wrong = faultOfName(name, places)
    if (wrong !== undefined) {
      faults.push(`${place}: ${wrong}`)
      continue
    }
    places.set(name, place)
    values.set(name, isPath(name) && value !== '' ? resolve(dirname(path), value) : value)
  }
  return { path, values, places, faults }
}

/**
 * Name and value of a line, or what is wrong with it. Values are never repeated: some are secrets.
 */
function assignmentIn(line: string): { name: string; value: string } | string {
  const [, name, given] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? []
  if (name === undefined || given === undefined) return 'must look like NAME=value'
  const quoted = /^"([^"]*)"$|^'([^']*)'$/.exec(given)
  if (quoted) return { name, value: quoted[1] ?? quoted[2] ?? '' }
  if (/^["']/.test(given))
    return `the value of ${name} begins with a quote and does not end with it`
  // Some tools take what follows # for a comment, others for a part of the value.
  if (/\s#/.test(given)) return 'a comment must stand on a line of its own'
  return { name, value: given }
}

function faultOfName(name: string, places: ReadonlyMap<string, string>): string | undefined {
  if (places.has(name)) return `${name} is given twice, first in ${places.get(name)}`
  if (variablesOfServe.includes(name) || variablesBeside.includes(name)) return undefined
  const meant = likelyName(name, variablesOfServe)
  return `${name} is not a setting${meant === undefined ? '' : `; did you mean ${meant}?`}`
}

const isPath = (name: string): boolean =>
  settingList.some(({ env, isPath: isOne }) => env === name && isOne === true)

/** Gives the values of the file to variables of `env` that are not set, or empty. */
export function applySettingsFile({ values }: SettingsFile, env: NodeJS.ProcessEnv): void {
  for (const [name, value] of values) if (!env[name]) env[name] = value
}

// What Kubernetes puts into every pod for a service that is called busbar, or begins so.
const ofKubernetes = /^BUSBAR_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$/

/**
 * Variables of `env` whose names begin like ours and have no effect. `faults` are likely
 * misspellings: a process that ran without the setting that was meant could write to the wrong
 * place. `warnings` are names near to none; they may be those of another version.
 */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): {
  readonly faults: string[]
  readonly warnings: string[]
} {
  const faults: string[] = []
  const warnings: string[] = []
  for (const name of Object.keys(env).toSorted()) {
    if (!/^BUSBAR_/i.test(name) || knownVariables.includes(name)) continue
    if (ofKubernetes.test(name) || !env[name]) continue
    const meant = likelyName(name, knownVariables)
    if (meant === undefined) warnings.push(`the environment variable ${name} has no effect`)
    else faults.push(`the environment variable ${name} does not exist; did you mean ${meant}?`)
  }
  return { faults, warnings }
}
