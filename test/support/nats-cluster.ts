/**
 * Three real nats-servers as one cluster. Everything between them, and between them and their
 * clients, goes through proxies of ours, so that one can be cut off: what is sent to it or by it
 * then neither arrives nor fails, as when a cable is pulled.
 */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './free-port.ts'
import { startTestNats, type TestNats } from './nats.ts'

const size = 3

/** From whom a server is cut off: its clients reach it as before, or nobody does. */
export type Cut = 'servers' | 'everybody'

export type TestCluster = {
  /** In order; `servers[i].kill()`, `.start()`. */
  readonly servers: readonly TestNats[]
  readonly nameOf: (index: number) => string
  /** Every server's address, separated by commas. */
  readonly url: string
  /** Neither hears nor is heard any more. */
  cutOff(index: number, from: Cut): void
  /** Undoes `cutOff`. What was held back arrives now. */
  reconnect(index: number): void
  /** What a server says of itself over HTTP, `/jsz?streams=1` for example. */
  monitor(index: number, path: string): Promise<unknown>
  close(): Promise<void>
}

export async function startTestCluster(): Promise<TestCluster> {
  const indexes = Array.from({ length: size }, (_, index) => index)
  const routePorts = await Promise.all(indexes.map(() => freePort()))
  const monitorPorts = await Promise.all(indexes.map(() => freePort()))
  /** `routes[from][to]` */
  const routes = await Promise.all(
    indexes.map(() => Promise.all(routePorts.map((port) => Proxy.to(port)))),
  )
  const nameOf = (index: number): string => `n${index + 1}`
  const configOf = (index: number): string[] => [
    `server_name: ${nameOf(index)}`,
    `http: "127.0.0.1:${monitorPorts[index]}"`,
    `ping_interval: "2s"`,
    `cluster {`,
    `  name: test`,
    `  listen: 127.0.0.1:${routePorts[index]}`,
    // One route for each pair: nats-server 2.15.1 may leave one of a pool out after a restart, and
    // what goes over that one gets lost (nats-io/nats-server#8454).
    `  pool_size: -1`,
    `  no_advertise: true`,
    `  ping_interval: "2s"`,
    `  routes: [${indexes
      .filter((to) => to !== index)
      .map((to) => `"nats://127.0.0.1:${routes[index]![to]!.port}"`)
      .join(', ')}]`,
    `}`,
  ]
  const servers = await Promise.all(
    indexes.map((index) => startTestNats({ moreConfig: () => configOf(index) })),
  )
  const doors = await Promise.all(servers.map(({ port }) => Proxy.to(port)))
  const routesOf = (index: number): Proxy[] =>
    routes.flatMap((row, from) => row.filter((_, to) => (from === index) !== (to === index)))
  return {
    servers,
    nameOf,
    url: doors.map(({ port }) => `nats://127.0.0.1:${port}`).join(','),
    cutOff(index, from) {
      for (const route of routesOf(index)) route.hold()
      if (from === 'everybody') doors[index]!.hold()
    },
    reconnect(index) {
      for (const proxy of [...routesOf(index), doors[index]!]) proxy.release()
    },
    monitor: async (index, path) =>
      (await fetch(`http://127.0.0.1:${monitorPorts[index]}${path}`)).json(),
    async close() {
      await Promise.all(servers.map((server) => server.close()))
      for (const proxy of [...routes.flat(), ...doors]) proxy.close()
    },
  }
}

class Proxy {
  private readonly sockets = new Set<Socket>()
  private readonly server: Server
  private isHolding = false

  static async to(target: number): Promise<Proxy> {
    const proxy = new Proxy(target)
    proxy.server.listen(0, '127.0.0.1')
    await once(proxy.server, 'listening')
    return proxy
  }

  private constructor(target: number) {
    this.server = createServer((near) => {
      const far = connect(target, '127.0.0.1')
      this.forward(near, far)
      this.forward(far, near)
    })
  }

  get port(): number {
    return (this.server.address() as { port: number }).port
  }

  private forward(from: Socket, to: Socket): void {
    this.sockets.add(from)
    from.on('data', (chunk) => {
      if (to.write(chunk)) return
      from.pause()
      to.once('drain', () => !this.isHolding && from.resume())
    })
    from.on('error', () => undefined)
    from.once('close', () => {
      this.sockets.delete(from)
      to.destroy()
    })
    if (this.isHolding) from.pause()
  }

  hold(): void {
    this.isHolding = true
    for (const socket of this.sockets) socket.pause()
  }

  release(): void {
    this.isHolding = false
    for (const socket of this.sockets) socket.resume()
  }

  close(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}
