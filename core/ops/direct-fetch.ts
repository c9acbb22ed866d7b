/**
 * `fetch` for doors of brokers. What goes to this machine goes there directly, whatever the
 * variables http_proxy, https_proxy, all_proxy and NODE_USE_ENV_PROXY say: a proxy elsewhere has
 * another loopback. What goes to another machine takes the way that these variables describe.
 */
import { isLoopbackHost } from '../base/loopback.ts'

/** Node asks no_proxy first, and reads it again for each call. */
function exempt(host: string): void {
  const known = process.env['no_proxy'] ?? process.env['NO_PROXY'] ?? ''
  const names = known.split(/[,\s]+/).filter(Boolean)
  if (names.includes(host) || names.includes('*')) return
  process.env['no_proxy'] = [...names, host].join(',')
}

export const directFetch: typeof fetch = (input, init) => {
  const { hostname } = new URL(input instanceof Request ? input.url : input)
  if (isLoopbackHost(hostname)) exempt(hostname)
  return fetch(input, init)
}
