/**
 * The role gateway: the doors for parties, over gRPC and HTTP, and the feed of deliveries behind
 * them.
 */
import type { RejectionSink } from '../../core/access/rejection-sink.ts'
import type { Parties } from '../../core/access/parties.ts'
import { ensureDevelopmentPki } from '../../core/ops/development-pki.ts'
import { SignatureThreads } from '../../core/ops/signature-threads.ts'
import { PkiWatch } from '../../core/ops/pki-watch.ts'
import type { PartySource } from '../../core/access/directory.ts'
import { Gateway } from '../../core/gateway/gateway.ts'
import { PartyFeed } from '../../core/ledger/party-feed.ts'
import { PendingDeliveries } from '../../core/ledger/pending-deliveries.ts'
import { ResponseFinder } from '../../core/ledger/response-finder.ts'
import { requestNameIn, type Explainer } from './explain-door.ts'
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
  context: StartContext,
  { ledger, cursors, bus, owners }: OpenedLedger,
  parties: PartySource,
  given: Parties,
  { mail, explainer }: { mail: RejectionSink; explainer: Explainer },
): Promise<GatewayRole> {
  const { config, clock, random, log, metrics, closers } = context
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
  const certificates = await certificatesOf(context, given)
  const verifier = new SignatureThreads(log)
  closers.push(() => verifier.close())
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
    verifier,
    rejections: mail,
    explain: (party, id) => explainer.explainTo(party, requestNameIn(id)),
  })
  const ports = await gateway.listen(config.grpc, config.http)
  closers.push(() => gateway.close())
  return { ...ports, feed, certificateTrouble: () => certificates?.trouble }
}

/** The certificates of the doors; undefined when a header names the party. */
async function certificatesOf(
  { config, clock, random, log, closers }: StartContext,
  parties: Parties,
): Promise<PkiWatch | undefined> {
  const { pki, grpc, http } = config
  if (pki === undefined) {
    log.warn(
      {},
      'the party doors have no TLS: everybody on this machine can name any party (--insecure-party-header)',
    )
    return undefined
  }
  const { folder, isDevelopment } = pki
  if (isDevelopment) {
    const doors = [grpc.host, http.host]
    if (await ensureDevelopmentPki(folder, parties, doors, { clock, random }))
      log.warn(
        { folder },
        'made certificates for development: a reader of that folder can act as any party',
      )
  }
  const watch = new PkiWatch(folder, { clock, log })
  closers.push(() => watch.close())
  return watch
}
