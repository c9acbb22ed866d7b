/**
 * The role gateway: the doors for parties, over gRPC and HTTP, and the feed of deliveries behind
 * them.
 */
import type { PartySource } from '../../core/access/directory.ts'
import { Gateway } from '../../core/gateway/gateway.ts'
import { PartyFeed } from '../../core/ledger/party-feed.ts'
import { PendingDeliveries } from '../../core/ledger/pending-deliveries.ts'
import { ResponseFinder } from '../../core/ledger/response-finder.ts'
import type { OpenedLedger } from './ledger-role.ts'
import type { StartContext } from './start-context.ts'

export type GatewayRole = { grpcPort: number; httpPort: number; feed: PartyFeed }

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
  })
  const ports = await gateway.listen(config.grpc, config.http)
  closers.push(() => gateway.close())
  return { ...ports, feed }
}
