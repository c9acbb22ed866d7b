/**
 * The role gateway: the doors for parties, over gRPC and HTTP, and the feed of deliveries behind
 * them.
 */
import type { BrokerConfig } from '../../core/ops/broker-config.ts'
import { PkiWatch } from '../../core/ops/pki-watch.ts'
import { formatHostPort } from '../../core/base/host-port.ts'
import { isLoopbackAddress } from '../../core/base/loopback.ts'
import type { Log } from '../../core/ports/log.ts'
import type { PartySource } from '../../core/access/directory.ts'
import { Gateway } from '../../core/gateway/gateway.ts'
import { PartyFeed } from '../../core/ledger/party-feed.ts'
import { PendingDeliveries } from '../../core/ledger/pending-deliveries.ts'
import { ResponseFinder } from '../../core/ledger/response-finder.ts'
import type { OpenedLedger } from './ledger-role.ts'
import type { StartContext } from './start-context.ts'

export type GatewayRole = {
  grpcPort: number
  httpPort: number
  feed: PartyFeed
  /** Why the certificate files are not used as they are now. */
  certificateTrouble: () => string | undefined
}

/** Settles when both doors are open. */
export async function startGateway(
  { config, clock, random, log, metrics, closers }: StartContext,
  { ledger, cursors, bus, owners }: OpenedLedger,
  parties: PartySource,
): Promise<GatewayRole> {
  const pending = new PendingDeliveries({ cursors, clock, metrics })
  const responses = new ResponseFinder(ledger)
  const feed = new PartyFeed({
    ledger,
    log,
    clock,
    onTick: (sequence, frames) => {
      pending.add(sequence, frames)
      responses.add(sequence, frames)
    },
  })
  await feed.start()
  pending.addPast(ledger, feed.sequence, parties.known.keys()).catch((fault: unknown) => {
    log.warn({ fault: String(fault) }, 'deliveries from before the start are not counted')
  })
  closers.push(() => feed.close())
  const certificates =
    config.pki === undefined ? undefined : new PkiWatch(config.pki, { clock, log })
  closers.push(() => certificates?.close())
  warnOfHeaders(config, log)
  const gateway = new Gateway({
    bus,
    directory: owners,
    feed,
    cursors,
    responses,
    parties,
    clock,
    random,
    log,
    metrics,
    site: config.site,
    certificates,
  })
  const ports = await gateway.listen(config.grpc, config.http)
  closers.push(() => gateway.close())
  return { ...ports, feed, certificateTrouble: () => certificates?.trouble }
}

/** Doors without TLS that others than this machine reach. */
function warnOfHeaders({ pki, grpc, http }: BrokerConfig, log: Log): void {
  const open = [grpc, http].filter(({ host }) => !isLoopbackAddress(host))
  if (pki !== undefined || open.length === 0) return
  const addresses = open.map(({ host, port }) => formatHostPort(host, port)).join()
  log.warn(
    { addresses },
    'everybody who reaches a party door can name any party: use certificates (--pki)',
  )
}
