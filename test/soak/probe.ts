/**
 * Looks into a process from inside: loaded in front of its program with `--expose-gc --import
 * probe.ts?socket=…`, it answers each connection to that socket with one line of JSON, after a
 * collection of garbage. It also plants what a soak must find: `leaks=heap,descriptors`.
 */
import { openSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { isMainThread } from 'node:worker_threads'

/** Octets, but for `descriptors`. */
export type Probed = {
  heapBytes: number
  /** Buffers, and what native parts say that they hold. */
  externalBytes: number
  residentBytes: number
  descriptors: number
}

/** Leaked at each look, so that a busy machine leaks no more than a quiet one. */
const leakedHeapBytes = 2 * 1024 ** 2
const leakedDescriptors = 8

const { searchParams } = new URL(import.meta.url)
const socket = searchParams.get('socket')
const leaks = (searchParams.get('leaks') ?? '').split(',')

/** What finalizers let go of is collected the next time. */
async function collect(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    globalThis.gc!()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function look(): Probed {
  const { heapUsed, external, rss } = process.memoryUsage()
  const descriptors = readdirSync('/proc/self/fd').length
  return { heapBytes: heapUsed, externalBytes: external, residentBytes: rss, descriptors }
}

const kept: unknown[] = []
function leak(): void {
  const length = leakedHeapBytes / Float64Array.BYTES_PER_ELEMENT
  // An array of numbers is on the heap; a Float64Array would be beside it.
  if (leaks.includes('heap')) kept.push(Array.from({ length }, (_, index) => index + 0.5))
  for (let more = 0; more < leakedDescriptors && leaks.includes('descriptors'); more++)
    openSync('/dev/null', 'r')
}

if (socket !== null && isMainThread) {
  const server = createServer((connection) => {
    connection.on('error', () => connection.destroy())
    leak()
    void collect().then(() => connection.end(`${JSON.stringify(look())}\n`))
  })
  server.listen(socket).unref()
}
