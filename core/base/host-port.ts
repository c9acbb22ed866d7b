/**
 * Addresses of the form `host:port` as text, with IPv6 addresses in brackets: the one spelling that
 * options, settings, records and messages share. Resolves no names. [RFC 3986 §3.2.2]
 */

/** Where something listens or is reached. `host` is without brackets; `port` is 0 to 65535. */
export type HostPort = { readonly host: string; readonly port: number }

const portMax = 65_535
const pattern = /^(?:\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)\]|([\w.-]+)):(\d{1,5})$/

/**
 * Reads `127.0.0.1:4059`, `name:4059` or `[::1]:4059`; undefined for any other text. An IPv6
 * address without brackets is rejected: `::1:4059` could be an address as a whole.
 */
export function parseHostPort(text: string): HostPort | undefined {
  const [, address, name, digits] = pattern.exec(text.trim()) ?? []
  const host = address ?? name
  const port = Number(digits)
  return host !== undefined && port <= portMax ? { host, port } : undefined
}

/** `host:port`, with brackets around an IPv6 address. Brackets that `host` has already are kept. */
export function formatHostPort(host: string, port: number | string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`
}

/** `host` without the brackets that people write around an IPv6 address. */
export function bareHost(host: string): string {
  return /^\[.*:.*\]$/.test(host) ? host.slice(1, -1) : host
}

/** What a message says of a text that `parseHostPort` rejects. */
export const hostPortExample = 'host:port, for example 127.0.0.1:4059 or [::1]:4059'
