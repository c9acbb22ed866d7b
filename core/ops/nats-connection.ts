/**
 * How Busbar's processes connect to NATS: to the embedded server with its credentials, or to what BUSBAR_NATS_URL names.
 * Options only; who connects is core/bus and core/ledger.
 */
import type { NodeConnectionOptions } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'

/** Where a server is and who we are there. */
export type NatsAddress = {
  readonly url: string
  readonly user?: string
  readonly password?: string
}

/**
 * Options for `connect` of @nats-io/transport-node: it reconnects for ever, quickly, because what is out of reach is
 * refused by time-outs of its own and an idle broker must find its server again.
 *
 * `url` may hold several addresses, separated by commas, with credentials (`nats://user:password@host:4222`, or a token in
 * place of both) in the first; `tls://` asks for TLS.
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
  return {
    servers: addresses.map(({ hostname, port }) => `${hostname}:${port || 4222}`),
    name: clientName,
    ...(name && secret ? { user: name, pass: secret } : name ? { token: name } : {}),
    ...(addresses.some(({ protocol }) => protocol === 'tls:') ? { tls: {} } : {}),
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 50,
    reconnectJitterTLS: 200,
    // A server that hangs without closing is found out after two of these.
    pingInterval: 5_000,
    maxPingOut: 2,
    timeout: 10_000,
  }
}
