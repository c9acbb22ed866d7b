/**
 * All endpoints that are in use, found by transport, host and port, or by the names of a device
 * that has dialled in. Addresses are many and may never be asked again: what is not in use is
 * forgotten.
 */
import { Transport, type DeviceAddress } from '../../ports/wan.ts'
import { Endpoint } from './endpoint.ts'
import type { Exchange } from './exchange.ts'
import { nameOf } from '../pushes/push-names.ts'

export class Endpoints {
  private readonly hosts = new Map<string, Map<number, Endpoint>>()
  /** Other names of devices that have dialled in are not counted. */
  count = 0

  /** The endpoint that `address` leads to, made when there is none. */
  at({ transport = 'tcp', host, port }: DeviceAddress): Endpoint {
    const name = transport === 'dial-in' ? nameOf(host) : host
    return this.find(transport, name, port) ?? this.make(transport, name, port)
  }

  /**
   * The endpoint of a device that dials in and calls itself `name` before anything else; not one
   * that is also known by it.
   */
  dialledIn(name: string): Endpoint | undefined {
    const known = this.find('dial-in', name, 0)
    return known?.host === name ? known : undefined
  }

  /** Where a device is reached by `name`, its first or another one, while it is connected. */
  connectedAs(name: string): Endpoint | undefined {
    const known = this.find('dial-in', name, 0)
    return known?.link === undefined ? undefined : known
  }

  /**
   * The same, made when there is none. A device that was also known by the name is so no longer.
   */
  takeName(name: string): Endpoint {
    const known = this.find('dial-in', name, 0)
    if (known?.host === name) return known
    if (known !== undefined) known.aliases = known.aliases.filter((alias) => alias !== name)
    return this.make('dial-in', name, 0)
  }

  /**
   * Lets a device that has dialled in be found by `names`, too, but for those that a connected
   * device has. What waits for one of them waits for it from now on.
   */
  callAlso(endpoint: Endpoint, names: readonly string[]): void {
    for (const name of names) {
      const known = this.find('dial-in', name, 0)
      if (known === endpoint || known?.link !== undefined) continue
      if (known !== undefined) {
        this.count--
        for (const exchange of known.takeAllWaiting()) endpoint.wait(exchange)
      }
      this.set('dial-in', name, 0, endpoint)
      endpoint.aliases = [...endpoint.aliases, name]
    }
  }

  /**
   * Ends what `callAlso` began; gives the exchanges that waited there, which are to be placed
   * again.
   */
  dropAliases(endpoint: Endpoint): Exchange[] {
    if (endpoint.aliases.length === 0) return []
    for (const name of endpoint.aliases) this.remove(name, endpoint)
    endpoint.aliases = []
    return endpoint.takeAllWaiting()
  }

  /** Forgets an endpoint that is without link and aliases, and that nobody waits for. */
  forget(endpoint: Endpoint): void {
    if (this.remove(endpoint.host, endpoint)) this.count--
  }

  private find(transport: Transport, name: string, port: number): Endpoint | undefined {
    return this.hosts.get(name)?.get(placeOf(transport, port))
  }

  private make(transport: Transport, name: string, port: number): Endpoint {
    const endpoint = new Endpoint(transport, name, port)
    this.set(transport, name, port, endpoint)
    this.count++
    return endpoint
  }

  private set(transport: Transport, name: string, port: number, endpoint: Endpoint): void {
    let places = this.hosts.get(name)
    if (!places) this.hosts.set(name, (places = new Map()))
    places.set(placeOf(transport, port), endpoint)
  }

  private remove(name: string, endpoint: Endpoint): boolean {
    const places = this.hosts.get(name)
    const place = placeOf(endpoint.transport, endpoint.port)
    if (places?.get(place) !== endpoint) return false
    places.delete(place)
    if (places.size === 0) this.hosts.delete(name)
    return true
  }
}

/** Where an endpoint stands among those of its host. A device that dials in has no port. */
const placeOf = (transport: Transport, port: number): number =>
  Transport.indexOf(transport) * 0x1_0000 + (transport === 'dial-in' ? 0 : port)
