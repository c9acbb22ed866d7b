/**
 * CPU time and memory of other processes, as the operating system counts them: measures that stay
 * valid while other programs use the machine. Children of a process are not included.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * Milliseconds of CPU, user and system, by the name of a process; NaN where the system does not
 * tell.
 */
export type CpuMs = Readonly<Record<string, number>>

/**
 * Milliseconds of CPU that the process `pid` has used since its start; NaN where the system does
 * not tell, or the process has ended. Linux counts in steps of 10 ms, other systems in 10 ms or 1
 * s.
 */
export function cpuMsOf(pid: number | undefined): number {
  if (pid === undefined) return NaN
  try {
    return cpuMsInStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    // Not Linux, or no such process.
  }
  try {
    return cpuMsInTime(execFileSync('ps', ['-o', 'time=', '-p', String(pid)]).toString())
  } catch {
    return NaN
  }
}

/**
 * CPU time in the text of /proc/PID/stat.
 * @source proc_pid_stat(5): utime and stime are fields 14 and 15, in hundredths of a second
 */
export function cpuMsInStat(text: string): number {
  // The name of the program, in parentheses, may contain spaces and parentheses.
  const fields = text.replace(/^.*\) /s, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** CPU time as `ps` prints it: `[[days-]hours:]minutes:seconds[.hundredths]`. */
export function cpuMsInTime(text: string): number {
  const match = /^(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+(?:\.\d+)?)$/.exec(text.trim())
  if (match === null) return NaN
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match
    .slice(1)
    .map((part) => Number(part ?? 0))
  return Math.round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000)
}

/** Microseconds of CPU for each of `count` requests, by process, between two readings. */
export function microsPerRequest(
  before: CpuMs,
  after: CpuMs,
  count: number,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, ms]) => [name, ((ms - before[name]!) * 1_000) / count]),
  )
}

/** Octets of memory that the process `pid` has resident; NaN where the system does not tell. */
export function residentBytesOf(pid: number | undefined): number {
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(
      readFileSync(`/proc/${pid}/status`, 'latin1'),
    )!
    return Number(kilobytes) * 1024
  } catch {
    return NaN
  }
}
