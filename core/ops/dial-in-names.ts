/**
 * What devices call themselves that do not say their EUI-64 in unsolicited messages: a file of
 * lines `NAME EUI-64`, a name being an identification, a system title in hexadecimal digits or an
 * address. Read again when it has changed, so that a new device needs no restart.
 */
import { statSync } from 'node:fs'
import { BrokerError } from '../base/broker-error.ts'
import { readEui64, parseEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { linesIn, readTextFile } from './text-file.ts'

type Names = ReadonlyMap<string, Eui64>

/**
 * Looks up names in the file at `path`.
 * @throws BrokerError CONFIG_INVALID when it is not there, or is invalid
 */
export function openDialInNames(
  path: string,
  clock: Clock,
  log: Log,
): (name: string) => Eui64 | undefined {
  let names = readNamesFile(path)
  let stamp = stampOf(path)
  let lookedAtMs = clock.elapsedMs()
  const refresh = (): void => {
    const now = clock.elapsedMs()
    if (now - lookedAtMs < limits.dialInNamesLookMs) return
    lookedAtMs = now
    const seen = stampOf(path)
    if (seen === stamp) return
    stamp = seen
    try {
      names = readNamesFile(path)
    } catch (fault) {
      // It was good when the process started, so that the names of then go on; whoever broke the
      // file is told.
      log.error({ fault: String(fault) }, 'the file of names of devices cannot be read any more')
    }
  }
  return (name) => {
    refresh()
    return names.get(name)
  }
}

/** Changes with the file; empty when there is none. */
function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeMs}`
}

/** @throws BrokerError CONFIG_INVALID, with the line */
export function readNamesFile(path: string): Names {
  const refuse = (why: string, cause?: unknown): never => {
    throw new BrokerError('CONFIG_INVALID', `the file of names of devices ${path} ${why}`, {
      cause,
    })
  }
  let contents = ''
  try {
    contents = readTextFile(path)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    refuse(`cannot be read (${(cause as NodeJS.ErrnoException).code})`, cause)
  }
  const names = new Map<string, Eui64>()
  for (const [index, line] of linesIn(contents).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, text, digits] = /^(.*\S)\s+(\S+)$/.exec(line.trim()) ?? []
    // A system title has the form of an EUI-64, and may be written like one.
    const name = text && (parseEui64(text)?.toString('hex').toUpperCase() ?? text)
    const eui64 = digits === undefined ? undefined : parseEui64(digits)
    if (name === undefined || eui64 === undefined)
      return refuse(`has no name and EUI-64 in line ${index + 1}`)
    if (names.has(name)) return refuse(`has the name of line ${index + 1} twice`)
    names.set(name, readEui64(eui64))
  }
  return names
}
