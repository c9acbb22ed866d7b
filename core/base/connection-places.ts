/**
 * Places for the connections to one door: so many altogether and of one address, and of each so
 * many that have not proved who they are. When a limit is reached, the oldest unproven connection
 * makes way; a proven one never does. Pure: the door closes what it is given back.
 */

export type PlaceLimits = {
  readonly connectionsMax: number
  /** Of one address, see `addressKey` of connections-per-address.ts. */
  readonly perAddressMax: number
  /** Of those that are not proven: altogether, and of one address. */
  readonly unprovenMax: number
  readonly unprovenPerAddressMax: number
}

/** `evicted`: a connection that loses its place to the new one, and must be closed. */
export type Admission<C> = { isAdmitted: boolean; evicted: C | undefined }

type Group<C> = { count: number; unproven: Set<C> }

export class ConnectionPlaces<C> {
  private readonly limits: PlaceLimits
  private readonly groups = new Map<string, Group<C>>()
  private readonly addresses = new Map<C, string>()
  /** Oldest first. */
  private readonly unproven = new Set<C>()

  constructor(limits: PlaceLimits) {
    this.limits = limits
  }

  get count(): number {
    return this.addresses.size
  }

  get unprovenCount(): number {
    return this.unproven.size
  }

  /**
   * Takes a place for a connection that has proved nothing yet, at the end of the queue of those.
   */
  admit(connection: C, address: string): Admission<C> {
    const { connectionsMax, perAddressMax, unprovenMax, unprovenPerAddressMax } = this.limits
    const group = this.groups.get(address)
    let evicted: C | undefined
    const isGroupFull =
      group !== undefined &&
      (group.count >= perAddressMax || group.unproven.size >= unprovenPerAddressMax)
    if (isGroupFull) {
      evicted = oldestOf(group.unproven)
      if (evicted === undefined) return { isAdmitted: false, evicted }
    } else if (this.count >= connectionsMax || this.unproven.size >= unprovenMax) {
      evicted = this.leastWorthKeeping()
      if (evicted === undefined) return { isAdmitted: false, evicted }
    }
    if (evicted !== undefined) this.release(evicted)
    this.take(connection, address)
    return { isAdmitted: true, evicted }
  }

  /** From now on the connection makes way for no other. */
  prove(connection: C): void {
    if (!this.unproven.delete(connection)) return
    this.groupOf(connection)?.unproven.delete(connection)
  }

  isProven(connection: C): boolean {
    return this.addresses.has(connection) && !this.unproven.has(connection)
  }

  /** Gives back the place; twice is once. */
  release(connection: C): void {
    const address = this.addresses.get(connection)
    const group = this.groupOf(connection)
    if (address === undefined || group === undefined) return
    this.addresses.delete(connection)
    this.unproven.delete(connection)
    group.unproven.delete(connection)
    if (--group.count === 0) this.groups.delete(address)
  }

  private take(connection: C, address: string): void {
    let group = this.groups.get(address)
    if (group === undefined) this.groups.set(address, (group = { count: 0, unproven: new Set() }))
    group.count++
    group.unproven.add(connection)
    this.unproven.add(connection)
    this.addresses.set(connection, address)
  }

  private groupOf(connection: C): Group<C> | undefined {
    const address = this.addresses.get(connection)
    return address === undefined ? undefined : this.groups.get(address)
  }

  /**
   * The oldest unproven connection of the address that has most of them: one address that connects
   * again and again closes its own, not those of others.
   */
  private leastWorthKeeping(): C | undefined {
    let most: Group<C> | undefined
    for (const group of this.groups.values())
      if (group.unproven.size > (most?.unproven.size ?? 0)) most = group
    return most && oldestOf(most.unproven)
  }
}

function oldestOf<C>(connections: ReadonlySet<C>): C | undefined {
  for (const connection of connections) return connection
  return undefined
}
