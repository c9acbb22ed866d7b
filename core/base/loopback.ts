/**
 * Which hosts are this machine itself. Resolves no names. [RFC 1122 §3.2.1.3, RFC 4291 §2.5.3, RFC
 * 6761 §6.3]
 */
import { bareHost } from './host-port.ts'

/** The address that a socket gets for "all of this machine": as a target it is this machine. */
const unspecified = new Set(['0.0.0.0', '::'])
/** The same as text for a client of this machine. */
const loopbackOf: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
const octet = '(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)'
const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`)

/**
 * The spelling of an IPv6 address that URLs have: compressed, an IPv4 address inside as two groups.
 */
function canonicalIpv6(text: string): string | undefined {
  const url = `http://[${text.replace(/%.*$/, '')}]`
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined
}

/** True for 127.0.0.0/8, ::1, `localhost` and names below it; `host` with or without brackets. */
export function isLoopbackHost(host: string): boolean {
  const bare = bareHost(host.trim()).toLowerCase()
  if (ipv4.test(bare)) return bare.startsWith('127.') || unspecified.has(bare)
  if (bare.includes(':')) {
    const address = canonicalIpv6(bare) ?? ''
    return address === '::1' || unspecified.has(address) || /^::ffff:7f[0-9a-f]{2}:/.test(address)
  }
  const name = bare.replace(/\.$/, '')
  return name === 'localhost' || name.endsWith('.localhost')
}

/** True when only this machine reaches what listens on `host`: 0.0.0.0 and :: are no loopback. */
export const isLoopbackAddress = (host: string): boolean =>
  isLoopbackHost(host) && !unspecified.has(canonicalIpv6(bareHost(host)) ?? bareHost(host))

/** Where something that listens on `host` is reached from this machine. */
export const reachableHost = (host: string): string => loopbackOf[host] ?? host
