/** The name of a host, in a file of its data directory. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemRandom } from '../../core/ports/random.ts'

/**
 * The name of this host for as long as its data directory lives: what it owned before a crash is
 * its own again at once.
 */
export function hostIdOf(dataDir: string): string {
  const file = join(dataDir, 'host-id')
  try {
    const text = readFileSync(file, 'utf8').trim()
    if (/^[a-z0-9]{8,32}$/.test(text)) return text
  } catch {
    // None yet.
  }
  const hostId = systemRandom.bytes(8).toString('hex')
  writeFileSync(file, `${hostId}\n`, { mode: 0o600 })
  return hostId
}
