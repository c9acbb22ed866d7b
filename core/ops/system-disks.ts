/** Free space as the operating system tells it. */
import { stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Disks, DiskSpace } from '../ports/disk.ts'

export const systemDisks: Disks = { spaceOf }

async function spaceOf(path: string): Promise<DiskSpace> {
  try {
    const [{ dev }, { bavail, blocks, bsize }] = await Promise.all([stat(path), statfs(path)])
    return { id: String(dev), freeBytes: bavail * bsize, totalBytes: blocks * bsize }
  } catch (fault) {
    const above = dirname(path)
    if ((fault as NodeJS.ErrnoException).code !== 'ENOENT' || above === path) throw fault
    return spaceOf(above)
  }
}
