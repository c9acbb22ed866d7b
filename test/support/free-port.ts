/**
 * Ports of the loopback for servers of tests, which are killed and started again on the same one.
 * They lie below the ports that the system gives to clients, one of which would take a server's
 * while it is away. Each process owns the ports that it gives out, for as long as it lives, so that
 * tests that run side by side do not take each other's.
 */
import { createServer } from 'node:net'

/** A range of ports belongs to the process that listens on the lock port of the range. */
const firstLockPort = 10_000
const ranges = 500
const firstPort = firstLockPort + ranges
const portsEach = 44

let own: number | undefined
let given = 0

/** A port that nobody has now and that this process has not been given in a long time. */
export async function freePort(): Promise<number> {
  own ??= await ownRanges(1)
  for (let attempt = 0; attempt < portsEach; attempt++) {
    const port = own + (given++ % portsEach)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port from ${own} to ${own + portsEach - 1}`)
}

/** The first of `count` ports one after the other that nobody has now, for a fleet of meters. */
export function freePorts(count: number): Promise<number> {
  return ownRanges(Math.ceil(count / portsEach))
}

/** The first port of `count` ranges one after the other that are ours from now on. */
async function ownRanges(count: number): Promise<number> {
  for (let attempt = 0; attempt < ranges; attempt++) {
    const range = (process.pid + attempt) % ranges
    if (range + count > ranges) continue
    const ports = Array.from(
      { length: count * portsEach },
      (_, index) => firstPort + range * portsEach + index,
    )
    if (!(await haveLocked(range, count))) continue
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return ports[0]!
  }
  throw new Error(`no ${count} free ranges of ports from ${firstPort} on`)
}

async function haveLocked(range: number, count: number): Promise<boolean> {
  for (let index = range; index < range + count; index++)
    if (!(await listens(firstLockPort + index, false))) return false
  return true
}

const isFree = (port: number): Promise<boolean> => listens(port, true)

/** Whether `port` could be listened on; it is kept, without holding up the process, or closed. */
function listens(port: number, close: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => {
      if (close) server.close(() => resolve(true))
      else {
        server.unref()
        resolve(true)
      }
    })
  })
}
