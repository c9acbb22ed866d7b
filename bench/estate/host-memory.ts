/** What a process holds, after collections. */
import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Octets. `fileBytes` is what is mapped, the store above all: pages that the kernel may take back
 * at any time; 0 where it does not tell.
 */
export type ProcessMemory = {
  heapBytes: number
  externalBytes: number
  rssBytes: number
  fileBytes: number
}

let collect: (() => void) | undefined

export function memoryNow(collections = 3): ProcessMemory {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  for (let i = 0; i < collections; i++) collect()
  const { heapUsed, external, rss } = process.memoryUsage()
  const status = readStatus()
  const fileBytes = kibibytesOf(status, 'RssFile') + kibibytesOf(status, 'RssShmem')
  return { heapBytes: heapUsed, externalBytes: external, rssBytes: rss, fileBytes }
}

function readStatus(): string {
  try {
    return readFileSync('/proc/self/status', 'utf8')
  } catch {
    return ''
  }
}

const kibibytesOf = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024
