/**
 * Tells whether a process that was written down is still the same one. A process id alone is not
 * enough: ids are used again, and after a restart of the machine they begin again.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { environmentOfServer } from '../setup/child-environment.mjs'

/** A process as it is written down. */
export type ProcessRecord = { readonly pid: number; readonly identity: string }

/**
 * When process `pid` started, in words of the system; undefined when it is not running, or a
 * zombie.
 */
function identityOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    try {
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      // The second field is the program's name in parentheses and may hold anything.
      // [proc_pid_stat(5)]
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const [state] = fields
      return state === 'Z' || state === 'X' ? undefined : `${boot} ${fields[19]}`
    } catch (fault) {
      // Anything else, such as EMFILE, says nothing about the process.
      if (isGone(fault)) return undefined
      throw fault
    }
  }
  const { status, stdout } = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
    encoding: 'utf8',
    env: { ...environmentOfServer(process.env), LC_ALL: 'C' },
  })
  const [state, ...started] = stdout?.trim().split(/\s+/) ?? []
  return status === 0 && state && !state.startsWith('Z') ? started.join(' ') : undefined
}

/** EACCES and EPERM: of another user where /proc hides those, so not one of ours. */
const isGone = (fault: unknown): boolean =>
  ['ENOENT', 'ESRCH', 'ENOTDIR', 'EACCES', 'EPERM'].includes(
    (fault as NodeJS.ErrnoException).code ?? '',
  )

/** A record of the living process `pid`, or undefined when there is none. */
export function recordOfProcess(pid: number): ProcessRecord | undefined {
  const identity = identityOf(pid)
  return identity === undefined ? undefined : { pid, identity }
}

/** True while the very process that was written down lives. */
export function isSameProcessAlive({ pid, identity }: ProcessRecord): boolean {
  return identityOf(pid) === identity
}
