/**
 * Counts the bytes of messages that a door has received and not yet answered: per connection, per
 * party and for the whole process, each with a limit. The doors of HTTP and gRPC share one count.
 * Pure: knows no sockets; the doors report what they read and what they let go.
 */
import { assert } from './assert.ts'
import type { Eui64 } from './eui64.ts'
import { limits } from './limits.ts'

/** Which limit a message would exceed. */
export type BytesExcess = 'connection' | 'party' | 'process'

/** Bytes; a single message of `partyMessageBytesMax` must fit into each. */
export type BytesInFlightLimits = {
  readonly connection: number
  readonly party: number
  readonly process: number
}

const defaults: BytesInFlightLimits = {
  connection: limits.connectionBytesInFlightMax,
  party: limits.partyBytesInFlightMax,
  process: limits.doorBytesInFlightMax,
}

/** The bytes of one connection. The door makes one for each connection that it accepts. */
export class ConnectionBytes {
  /** Bytes in flight on this connection; written by BytesInFlight only. */
  used = 0
}

/**
 * The bytes of one message in flight. A message grows while it is read; `release` gives all of its
 * bytes back, once the message has been answered or its connection is gone.
 */
export class BytesHeld {
  private readonly owner: BytesInFlight
  private readonly connection: ConnectionBytes
  private readonly party: Eui64 | undefined
  private held = 0
  private isReleased = false

  constructor(owner: BytesInFlight, connection: ConnectionBytes, party: Eui64 | undefined) {
    this.owner = owner
    this.connection = connection
    this.party = party
  }

  get bytes(): number {
    return this.held
  }

  /**
   * Counts `bytes` more. Returns the limit that they would exceed; then nothing is counted, and the
   * caller rejects the message and releases what it held so far.
   */
  grow(bytes: number): BytesExcess | undefined {
    assert(!this.isReleased, 'a released message does not grow')
    const excess = this.owner.take(this.connection, this.party, bytes)
    if (excess === undefined) this.held += bytes
    return excess
  }

  /** Gives `bytes` of them back before the rest; nothing once all were released. */
  shrink(bytes: number): void {
    if (this.isReleased) return
    assert(bytes <= this.held, 'only counted bytes are given back')
    this.held -= bytes
    this.owner.give(this.connection, this.party, bytes)
  }

  /** Gives the bytes back; a second call changes nothing. */
  release(): void {
    if (this.isReleased) return
    this.isReleased = true
    this.owner.give(this.connection, this.party, this.held)
    this.held = 0
  }
}

export class BytesInFlight {
  private readonly max: BytesInFlightLimits
  /** Only parties with bytes in flight: bounded by what the process may hold. */
  private readonly parties = new Map<Eui64, number>()
  private total = 0

  constructor(max: BytesInFlightLimits = defaults) {
    this.max = max
  }

  /** Bytes in flight of the whole process. */
  get used(): number {
    return this.total
  }

  usedBy(party: Eui64): number {
    return this.parties.get(party) ?? 0
  }

  /**
   * Begins the count of one message on `connection`.
   *
   * @param party the party that sends it; undefined at doors that know none, where the limit for
   *   parties does not apply
   */
  begin(connection: ConnectionBytes, party?: Eui64): BytesHeld {
    return new BytesHeld(this, connection, party)
  }

  /** Counts `bytes`, or returns the limit that they would exceed and counts nothing. */
  take(
    connection: ConnectionBytes,
    party: Eui64 | undefined,
    bytes: number,
  ): BytesExcess | undefined {
    assert(bytes >= 0, 'a message has no negative size')
    const ofParty = party === undefined ? 0 : this.usedBy(party)
    if (connection.used + bytes > this.max.connection) return 'connection'
    if (party !== undefined && ofParty + bytes > this.max.party) return 'party'
    if (this.total + bytes > this.max.process) return 'process'
    connection.used += bytes
    this.total += bytes
    if (party !== undefined && bytes > 0) this.parties.set(party, ofParty + bytes)
    return undefined
  }

  /** Gives back `bytes` that `take` has counted with the same arguments. */
  give(connection: ConnectionBytes, party: Eui64 | undefined, bytes: number): void {
    connection.used -= bytes
    this.total -= bytes
    assert(connection.used >= 0 && this.total >= 0, 'only counted bytes are given back')
    if (party === undefined || bytes === 0) return
    const left = this.usedBy(party) - bytes
    assert(left >= 0, 'only counted bytes are given back')
    if (left === 0) this.parties.delete(party)
    else this.parties.set(party, left)
  }
}
