/**
 * Ports of the loopback for servers of tests, which are killed and started again on the same one. They lie below the ports that the system
 * gives to clients, one of which would take a server's while it is away; and each process has some of its own, so that tests that run
 * side by side do not take each other's.
 */
import { createServer } from 'node:net'

const firstPort = 12_000
const processes = 250
const portsEach = 32
const ownFirst = firstPort + (process.pid % processes) * portsEach
let taken = 0

/** A port that nobody has now and that this process has not been given in a long time. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < portsEach; attempt++) {
    const port = ownFirst + (taken++ % portsEach)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port from ${ownFirst} to ${ownFirst + portsEach - 1}`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
