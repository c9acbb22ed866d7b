/** Which hosts are this machine itself. Resolves no names. [RFC 1122 §3.2.1.3, RFC 4291 §2.5.3, RFC 6761 §6.3] */
import { isIPv4, isIPv6 } from 'node:net'
import { bareHost } from './host-port.ts'

/** The address that a socket gets for "all of this machine": as a target it is this machine. */
const unspecified = new Set(['0.0.0.0', '::'])

/** True for 127.0.0.0/8, ::1, `localhost` and names below it; `host` with or without brackets. */
export function isLoopbackHost(host: string): boolean {
  const bare = bareHost(host.trim()).toLowerCase()
  if (isIPv4(bare)) return bare.startsWith('127.') || unspecified.has(bare)
  if (isIPv6(bare)) {
    // The spelling that URLs have: compressed, an IPv4 address inside as two groups.
    const { hostname } = new URL(`http://[${bare.replace(/%.*$/, '')}]`)
    const canonical = hostname.slice(1, -1)
    return (
      canonical === '::1' || unspecified.has(canonical) || /^::ffff:7f[0-9a-f]{2}:/.test(canonical)
    )
  }
  const name = bare.replace(/\.$/, '')
  return name === 'localhost' || name.endsWith('.localhost')
}
