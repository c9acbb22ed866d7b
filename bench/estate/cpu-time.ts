/** Processor time of this process. */

/** Milliseconds of CPU that this process has used, its collector's threads included. */
export function cpuMsNow(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
