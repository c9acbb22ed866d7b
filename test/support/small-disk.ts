/**
 * A small disk of its own for a test: a tmpfs in a mount namespace that a process holds, which goes
 * away with it, whatever becomes of the test. Other processes reach it by the path of that
 * process's root.
 */
import { spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inMountNamespace } from './cut-disk.ts'

export type SmallDisk = {
  /** A folder on it. */
  readonly path: string
  readonly freeBytes: number
  /** Takes all room but `leftBytes`, with a file beside everything else. */
  fill(leftBytes?: number): void
  /** Gives that room back. */
  free(): void
  close(): void
}

/** Why there can be no small disk here, in words for a skipped test; false when there can. */
export async function whyNoSmallDisk(): Promise<string | false> {
  const probe = await smallDisk(1024 * 1024)
  if (typeof probe === 'string') return probe
  probe.close()
  return false
}

/** @returns why there can be none here, when this process may not mount */
export async function smallDisk(bytes: number): Promise<SmallDisk | string> {
  const place = mkdtempSync(join(tmpdir(), 'busbar-disk-'))
  const script = `mount -t tmpfs -o size=${bytes} tmpfs "$1" && echo mounted && exec cat`
  const holder = spawn(...inMountNamespace(['sh', '-c', script, 'sh', place]), {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const why = await new Promise<string | undefined>((resolve) => {
    let said = ''
    holder.stdout.once('data', () => resolve(undefined))
    holder.stderr.on('data', (text: Buffer) => {
      said += text.toString()
    })
    holder.once('error', (fault) => resolve(fault.message))
    holder.once('exit', (code) => resolve(`code ${code}: ${said.trim()}`))
  })
  const close = (): void => {
    holder.stdin.end()
    holder.kill()
    rmSync(place, { recursive: true, force: true })
  }
  if (why !== undefined) {
    close()
    return `a file system of its own cannot be mounted here (${why}); run as root, or with CAP_SYS_ADMIN`
  }
  const path = `/proc/${holder.pid}/root${place}`
  const filler = join(path, 'filler')
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  }
  return {
    path,
    get freeBytes() {
      return freeBytes()
    },
    fill(leftBytes = 0) {
      const chunk = Buffer.alloc(64 * 1024)
      for (;;) {
        const room = freeBytes() - leftBytes
        if (room <= 0) return
        try {
          appendFileSync(filler, chunk.subarray(0, Math.min(chunk.length, room)))
        } catch (fault) {
          if ((fault as NodeJS.ErrnoException).code === 'ENOSPC') return
          throw fault
        }
      }
    },
    free: () => rmSync(filler, { force: true }),
    close,
  }
}
