/** Buckets beside the ledger belong to one ledger, which the metadata of their streams name. */
import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { labelKey } from './identity.ts'

/**
 * Names the bucket's stream after the ledger when it has no name yet.
 * @param ledgerId  undefined for a bucket that belongs to no ledger: nothing is checked
 * @throws BrokerError LEDGER_IDENTITY_MISMATCH when it belongs to another ledger
 */
export async function claimBucket(
  connection: NatsConnection,
  streamName: string,
  ledgerId: string | undefined,
): Promise<void> {
  if (ledgerId === undefined) return
  const { streams } = await jetstreamManager(connection, { checkAPI: false })
  const { metadata } = (await streams.info(streamName)).config
  const label = metadata?.[labelKey]
  if (label === ledgerId) return
  if (label !== undefined)
    throw new BrokerError(
      'LEDGER_IDENTITY_MISMATCH',
      `known is ledger ${ledgerId}, and the stream ${streamName} belongs to ledger ${label}`,
    )
  // Where that is not permitted it stays without a name, as buckets of earlier versions are.
  await streams
    .update(streamName, { metadata: { ...metadata, [labelKey]: ledgerId } })
    .catch(() => undefined)
}
