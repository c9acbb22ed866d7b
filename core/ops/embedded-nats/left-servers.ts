/**
 * Servers that an earlier broker has left behind on a data directory, whether or not it came to
 * write them down. They are known by their command line: it names the configuration file of this
 * very directory. Processes of others are never touched.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { environmentOfServer } from '../setup/child-environment.mjs'
import { recordOfProcess, type ProcessRecord } from './process-identity.ts'

const real = (path: string): string | undefined => {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

/** Command lines by process id; those that this user may not read are left out. */
function commandLines(): Array<[number, readonly string[]]> {
  if (process.platform !== 'linux') {
    const args = ['-axww', '-o', 'pid=,command=']
    const env = environmentOfServer(process.env)
    const { status, stdout } = spawnSync('ps', args, { encoding: 'utf8', env })
    if (status !== 0) return []
    return stdout.split('\n').flatMap((line): Array<[number, string[]]> => {
      const [, pid, command = ''] = /^\s*(\d+)\s+(.*)$/.exec(line) ?? []
      const [, program = '', config = ''] = /^(.*) -c (.*)$/.exec(command) ?? []
      return pid === undefined ? [] : [[Number(pid), [program, '-c', config]]]
    })
  }
  return readdirSync('/proc').flatMap((name): Array<[number, string[]]> => {
    if (!/^\d+$/.test(name)) return []
    try {
      return [[Number(name), readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0')]]
    } catch {
      return []
    }
  })
}

/** The living processes that were started with `-c config` and nothing else. */
export function serversOf(config: string): ProcessRecord[] {
  const wanted = real(config)
  const found: ProcessRecord[] = []
  for (const [pid, [program, option, path, ...more]] of commandLines()) {
    if (program === undefined || option !== '-c' || path === undefined || pid === process.pid)
      continue
    if (more.some((word) => word !== '')) continue
    if (path !== config && (wanted === undefined || real(path) !== wanted)) continue
    const record = recordOfProcess(pid)
    if (record !== undefined) found.push(record)
  }
  return found
}
