/**
 * Links on connections that devices have made: which name each answers to, which of two connections
 * with one name holds, and which makes way when there is no room. A link is proven when a question
 * was answered on it, under the association that the device record asks for. Station 9 of the way
 * of one message; connections come from dial-in.ts.
 */
import type { Socket } from 'node:net'
import type { DeviceAddress } from '../../ports/wan.ts'
import { takeTcp } from './carrier.ts'
import { Contenders } from './contenders.ts'
import { behindLineEnds, type Announcement, type DialIn } from './dial-in.ts'
import type { Endpoint } from './endpoint.ts'
import type { Endpoints } from './endpoints.ts'
import { Link } from './link.ts'
import type { LinkOwner } from './link-owner.ts'
import { frameBy } from './link-parts.ts'
import { nameOf } from '../pushes/push-names.ts'
import type { WanMetrics } from './wan-metrics.ts'

/** What of the pool this needs. */
export type DialledPorts = {
  owner: LinkOwner<Link>
  endpoints: Endpoints
  /** All links of the pool. */
  links: ReadonlyMap<Link, Endpoint>
  metrics: Pick<WanMetrics, 'refused' | 'pushes' | 'evicted' | 'contended'>
  isClosed(): boolean
  add(link: Link, endpoint: Endpoint): void
  /** The same for a link on which nothing is asked. */
  hear(link: Link, endpoint: Endpoint): void
  forgetAliases(endpoint: Endpoint): void
}

export class DialledLinks {
  /** Where the connections come from; it keeps their places. */
  door: Pick<DialIn, 'prove' | 'isProven'> | undefined
  private readonly ports: DialledPorts
  private readonly contenders = new Contenders()
  /** Oldest first. */
  private readonly sockets = new Map<Link, Socket>()
  /** Further names that a protected answer has proved; no more than the link's endpoint has. */
  private readonly provenNames = new Map<Link, Set<string>>()

  constructor(ports: DialledPorts) {
    this.ports = ports
  }

  /** Names of the devices that are connected. */
  get names(): string[] {
    const names = new Set<string>()
    for (const [link, { host, aliases }] of this.ports.links)
      if (link.isTheirs) for (const name of [host, ...aliases]) names.add(name)
    return [...names]
  }

  /**
   * A device has connected, and is from now on reached by each of its names. An unproven connection
   * that it had before is of no use any more; a proven one stays, and this one waits behind it:
   * what the device says on it is heard, and nothing is asked.
   */
  connect(socket: Socket, announcement: Announcement): void {
    const { names, framing, isNamed, rest } = announcement
    const { endpoints, owner, metrics, hear } = this.ports
    const [host] = names
    // It is gone again already.
    if (host === undefined || socket.destroyed) return void socket.destroy()
    if (this.ports.isClosed()) return this.refuse(socket)
    this.tellPushes(host, announcement)
    const known = endpoints.connectedAs(host)
    const held =
      known?.link !== undefined && this.holds(known.link, known, host) ? known : undefined
    const before = held === undefined ? endpoints.dialledIn(host)?.link : undefined
    if (before === undefined && !this.hasRoom()) return this.refuse(socket)
    const link = new Link(owner, {
      open: (events) => takeTcp(socket, isNamed ? behindLineEnds(events) : events),
      frame: frameBy(framing, owner.options),
      isTheirs: true,
    })
    this.sockets.set(link, socket)
    if (held === undefined) this.take(link, names, before)
    else {
      metrics.contended.add()
      hear(link, held)
      this.contenders.add(held, link, names, owner.nowMs())
    }
    // What it has said already is no answer to what is asked next.
    if (rest.length > 0) link.read(rest)
    if (held === undefined) link.opened()
  }

  /**
   * The device behind `link` has answered at `address`: another connection with its name is
   * somebody else's. That goes for its first name; for a further one only when the answer
   * `isProtected`, since a device may push any name as one of its own.
   */
  prove(link: Link, { host }: DeviceAddress, isProtected: boolean): void {
    const socket = this.sockets.get(link)
    const endpoint = this.ports.links.get(link)
    if (socket === undefined || endpoint === undefined) return
    this.door?.prove(socket)
    this.contenders.proved(endpoint)
    const name = nameOf(host)
    if (!isProtected || name === endpoint.host) return
    const names = this.provenNames.get(link)
    if (names === undefined) this.provenNames.set(link, new Set([name]))
    else names.add(name)
  }

  /** `link` of `endpoint` is gone: what waits behind it takes its place. */
  closed(link: Link, endpoint: Endpoint): void {
    this.provenNames.delete(link)
    this.sockets.delete(link)
    if (this.contenders.forget(endpoint, link) || endpoint.link !== undefined) return
    const next = this.contenders.take(endpoint)
    if (next === undefined) return
    this.take(next.link, next.names, undefined)
    next.link.opened()
  }

  sweep(nowMs: number): void {
    this.contenders.sweep(nowMs)
  }

  close(): void {
    this.contenders.close()
  }

  private refuse(socket: Socket): void {
    this.ports.metrics.refused('DIAL_IN_FULL').add()
    socket.destroy()
  }

  /** True when no other connection takes `name` from `link`. */
  private holds(link: Link, endpoint: Endpoint, name: string): boolean {
    if (endpoint.host === name) return this.isProven(link)
    return this.provenNames.get(link)?.has(name) === true
  }

  private isProven(link: Link): boolean {
    const socket = this.sockets.get(link)
    return socket !== undefined && this.door?.isProven(socket) === true
  }

  /** Makes room for one more, where an unproven connection can make way. */
  private hasRoom(): boolean {
    const { links, owner, metrics } = this.ports
    if (links.size < owner.options.connectionsMax) return true
    for (const link of this.sockets.keys()) {
      if (this.isProven(link) || link.activeCount > 0) continue
      metrics.evicted.add()
      link.cut('another device needs the connection')
      return true
    }
    return false
  }

  /** Lets the device be asked on `link`, by each of `names`. */
  private take(link: Link, names: readonly string[], before: Link | undefined): void {
    const { endpoints, owner, add, forgetAliases } = this.ports
    const endpoint = endpoints.takeName(names[0]!)
    add(link, endpoint)
    before?.cut('the device has connected again')
    forgetAliases(endpoint)
    endpoints.callAlso(endpoint, names.slice(1))
    owner.options.onDialIn([endpoint.host, ...endpoint.aliases])
  }

  private tellPushes(host: string, { names, pushes }: Announcement): void {
    const { owner, metrics } = this.ports
    for (const push of pushes) {
      const address = { transport: 'dial-in', host, port: 0, logicalDevice: 1, client: 1 } as const
      metrics.pushes.add()
      owner.options.onPush({ address, names, protection: 0, ...push })
    }
  }
}
