/**
 * Sets a file or a folder aside: renames it, so that something new can take its place and an
 * operator can still look at the old one. Nothing is ever deleted but copies that were set aside
 * before, of which the newest `setAsideMax` are kept.
 */
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { limits } from '../base/limits.ts'

const mark = '.set-aside-'

/**
 * UTC for a name: sorts by time; no character that a file system or a shell treats in its own way.
 */
export const timeLabel = (now: number): string =>
  new Date(now).toISOString().replaceAll(/[-:.]/g, '')

/**
 * Renames `path` to `<path>.set-aside-<UTC time>` and writes `reason` beside it, to `<that
 * name>.reason`.
 *
 * @param now  UTC, ms
 * @returns the new name; undefined when there was nothing at `path`
 * @throws the fault of the file system when `path` cannot be renamed: it is still there then
 */
export function setAside(path: string, reason: string, now: number): string | undefined {
  if (!existsSync(path)) return undefined
  const time = timeLabel(now)
  let target = `${path}${mark}${time}`
  for (let number = 2; existsSync(target); number++) target = `${path}${mark}${time}-${number}`
  renameSync(path, target)
  try {
    writeFileSync(`${target}.reason`, `${reason}\n`, { mode: 0o600 })
  } catch {
    // A full disk is one of the reasons for setting aside; the log has the reason, too.
  }
  removeOlder(path)
  return target
}

/** What was set aside of `path`, oldest first. */
export function setAsideOf(path: string): string[] {
  const folder = dirname(path)
  const prefix = `${basename(path)}${mark}`
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && !name.endsWith('.reason'))
    .sort()
    .map((name) => join(folder, name))
}

function removeOlder(path: string): void {
  for (const older of setAsideOf(path).slice(0, -limits.setAsideMax)) {
    try {
      rmSync(older, { recursive: true, force: true })
      rmSync(`${older}.reason`, { force: true })
    } catch {
      // One too many that cannot be removed does no harm; the next time tries again.
    }
  }
}
