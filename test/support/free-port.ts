/**
 * Ports of the loopback for servers of tests, which are killed and started again on the same one.
 * They lie below the ports that the system gives to clients, one of which would take a server's
 * while it is away; and each process has some of its own, so that tests that run side by side do
 * not take each other's.
 */
import { createServer } from 'node:net'

const firstPort = 12_000
const processes = 250
const portsEach = 32
const ownFirst = firstPort + (process.pid % processes) * portsEach
let taken = 0

// Behind those: for fleets of meters, which have their ports one after the other.
const firstFleetPort = firstPort + processes * portsEach
const fleets = 120
const fleetPortsEach = 100

/** A port that nobody has now and that this process has not been given in a long time. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < portsEach; attempt++) {
    const port = ownFirst + (taken++ % portsEach)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port from ${ownFirst} to ${ownFirst + portsEach - 1}`)
}

/**
 * The first of `count` ports one after the other that nobody has now; processes with numbers near
 * each other get others.
 */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < fleets; attempt++) {
    const fleet = (process.pid + attempt) % fleets
    const first = firstFleetPort + fleet * fleetPortsEach
    // A fleet that is too large for its own place goes on in the next ones.
    if (first + count > firstFleetPort + fleets * fleetPortsEach) continue
    const ports = Array.from({ length: count }, (_, index) => first + index)
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first
  }
  throw new Error(`no ${count} free ports one after the other from ${firstFleetPort} on`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
