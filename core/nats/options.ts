/**
 * Which NATS servers Busbar's processes connect to, and as whom: the embedded server with its
 * credentials, or what BUSBAR_NATS_URL names. Options only; who connects, and how the connection is
 * kept, is core/nats/connection.
 */
import { isIP } from 'node:net'
import type { NodeConnectionOptions, TlsOptions } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { inboxPrefixOf } from './users.ts'

/** Where a server is and who we are there. */
export type NatsAddress = {
  readonly url: string
  readonly user?: string
  readonly password?: string
}

/**
 * Options for `connectNats`.
 *
 * `url` may hold several addresses, separated by commas, with credentials
 * (`nats://user:password@host:4222`, or a token in place of both) in the first; `tls://` asks for
 * TLS. Authorities besides those of Node are named in NODE_EXTRA_CA_CERTS. Of several servers with
 * TLS at most one may be named by its IP address.
 *
 * @param clientName  what the server's monitoring shows
 * @throws BrokerError CONFIG_INVALID
 */
export function natsConnectOptions(
  { url, user, password }: NatsAddress,
  clientName = 'busbar',
): NodeConnectionOptions {
  const addresses = url.split(',').map((text) => {
    const parsed = URL.parse(text.trim())
    if (!parsed || !parsed.hostname || !/^(nats|tls):$/.test(parsed.protocol)) {
      throw new BrokerError('CONFIG_INVALID', 'a NATS address must look like nats://host:4222')
    }
    return parsed
  })
  const first = addresses[0]!
  const name = user ?? decodeURIComponent(first.username)
  const secret = password ?? decodeURIComponent(first.password)
  const inboxPrefix = inboxPrefixOf(name)
  return {
    servers: addresses.map(({ hostname, port }) => `${hostname}:${port || 4222}`),
    name: clientName,
    ...(name && secret ? { user: name, pass: secret } : name ? { token: name } : {}),
    ...(secret && inboxPrefix !== undefined && { inboxPrefix }),
    ...(addresses.some(({ protocol }) => protocol === 'tls:') ? { tls: tlsOf(addresses) } : {}),
  }
}

// The client tells TLS whom it expects only when that is a name; for an address TLS would expect
// `localhost`.
function tlsOf(addresses: readonly URL[]): TlsOptions & { host?: string } {
  const ips = new Set(
    addresses
      .map(({ hostname }) => hostname.replace(/^\[|\]$/g, ''))
      .filter((host) => isIP(host) !== 0),
  )
  if (ips.size > 1)
    throw new BrokerError(
      'CONFIG_INVALID',
      'several NATS servers with TLS must be named by host names',
    )
  const [host] = ips
  return host === undefined ? {} : { host }
}

/**
 * The address with its credentials as one text, for the environment of a process of ours; never on
 * a command line or in a log.
 */
export function natsUrlOf({ url, user, password }: NatsAddress): string {
  if (user === undefined || password === undefined) return url
  return url
    .split(',')
    .map((one) =>
      one.trim().replace('://', `://${encodeURIComponent(user)}:${encodeURIComponent(password)}@`),
    )
    .join(',')
}
