/**
 * Counts the open connections of a door by the address they come from, so that one peer cannot take
 * every descriptor of the process. Pure: the door reports each connection that opens or closes.
 */
import { assert } from './assert.ts'
import { limits } from './limits.ts'

/** Which limit one more connection would exceed. */
export type ConnectionExcess = 'address' | 'door'

export type ConnectionLimits = { readonly address: number; readonly door: number }

const defaults: ConnectionLimits = {
  address: limits.addressConnectionsMax,
  door: limits.doorConnectionsMax,
}

/** The eight groups of an IPv6 address without zone and without dotted decimals. */
function groupsOf(address: string): string[] {
  const [front = '', back] = address.split('::')
  const head = front === '' ? [] : front.split(':')
  const tail = back === undefined || back === '' ? [] : back.split(':')
  const zeros = back === undefined ? 0 : Math.max(0, 8 - head.length - tail.length)
  return [...head, ...new Array<string>(zeros).fill('0'), ...tail]
}

/**
 * What counts as one address: an IPv4 address, also in its IPv6 form (`::ffff:192.0.2.1`), or the
 * first 64 bits of an IPv6 address, because one host usually has all addresses behind them.
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined) return ''
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const bare = address.replace(/%.*$/, '')
  if (!bare.includes(':') || bare.includes('.')) return address
  const groups = groupsOf(bare).slice(0, 4)
  return groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')
}

export class ConnectionsPerAddress {
  private readonly max: ConnectionLimits
  /** Only addresses with open connections. */
  private readonly counts = new Map<string, number>()
  private total = 0

  constructor(max: ConnectionLimits = defaults) {
    this.max = max
  }

  /** Open connections of the door. */
  get open(): number {
    return this.total
  }

  openFrom(address: string | undefined): number {
    return this.counts.get(addressKey(address)) ?? 0
  }

  /**
   * Counts one more connection from `address`, or returns the limit that it would exceed and counts
   * nothing. A counted connection is given back with `close` exactly once, with the same address.
   */
  add(address: string | undefined): ConnectionExcess | undefined {
    const key = addressKey(address)
    const count = this.counts.get(key) ?? 0
    if (count >= this.max.address) return 'address'
    if (this.total >= this.max.door) return 'door'
    this.counts.set(key, count + 1)
    this.total++
    return undefined
  }

  close(address: string | undefined): void {
    const key = addressKey(address)
    const count = this.counts.get(key) ?? 0
    assert(count > 0, 'only counted connections close')
    this.total--
    if (count === 1) this.counts.delete(key)
    else this.counts.set(key, count - 1)
  }
}
