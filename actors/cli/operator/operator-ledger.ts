/**
 * The ledger of a deployment, opened for an operator's command: over an address, or where the data
 * directory's own nats-server listens.
 */
import type { NatsConnection } from '@nats-io/transport-node'
import { NatsBus } from '../../../core/bus/nats-bus.ts'
import { connectNats } from '../../../core/nats/connection.ts'
import { createCursorStore, cursorBucketNameDefault } from '../../../core/ledger/cursors.ts'
import {
  createSnapshotStore,
  snapshotBucketNameDefault,
  snapshotBytesMaxOf,
} from '../../../core/ledger/snapshots.ts'
import { decodeDeployment } from '../../../core/ledger/identity.ts'
import { createLedger, type JetStreamLedger } from '../../../core/ledger/jetstream.ts'
import {
  deploymentSubject,
  freeBucketSuffix,
  labelStream,
  ledgerStreamNameDefault,
  releaseOtherBuckets,
} from '../../../core/ledger/opening.ts'
import { settings } from '../../../core/ops/settings.ts'
import { embeddedNatsOf, runningNatsOf } from '../../../core/ops/embedded-nats/embedded-nats.ts'
import { natsConnectOptions, type NatsAddress } from '../../../core/nats/options.ts'
import { ReplicaReader } from '../../../core/ledger/replica-reader.ts'
import { askAllReplicas } from '../../../core/ledger/stream-replicas.ts'
import type { ReplicaSource, StreamReplicas } from '../../../core/ports/replicas.ts'
import type { Bus } from '../../../core/ports/bus.ts'
import type { CursorStore } from '../../../core/ports/ledger.ts'
import type { SnapshotStore } from '../../../core/ports/snapshot.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import type { Restoring } from './backup.ts'

/** `join` and `dataDir` name the same kind of folder; `join` wins. */
export type Where = { natsUrl?: string; join?: string; dataDir?: string }

export type OperatorLedger = {
  ledger: JetStreamLedger
  bus: Bus
  partitionCount: number
  /** Of a ledger that a backup is brought into; undefined for any other. */
  restoring: Restoring | undefined
  cursors(): Promise<CursorStore>
  snapshots(): Promise<SnapshotStore>
  /** Replicas of the streams of the deployment. */
  replicas(): Promise<StreamReplicas[]>
  /** Reads each server's copy of the ledger. */
  replicaSource: ReplicaSource
  close(): Promise<void>
}

/**
 * Where the NATS of a deployment is, whether it runs or not.
 * @throws BrokerError CONFIG_INVALID when there is neither an address nor a data directory with a
 * server
 */
export function addressOf({ natsUrl, join, dataDir }: Where): NatsAddress {
  if (natsUrl) return { url: natsUrl }
  const { url, user, password } = embeddedNatsOf(join || dataDir || settings.dataDir.default)
  return { url, ...(user !== undefined && { user }), ...(password !== undefined && { password }) }
}

/**
 * As `addressOf`, of an embedded server once it has greeted. @throws BrokerError NATS_UNREACHABLE,
 * too
 */
export async function runningAddressOf({ natsUrl, join, dataDir }: Where): Promise<NatsAddress> {
  if (natsUrl) return { url: natsUrl }
  return runningNatsOf(join || dataDir || settings.dataDir.default)
}

/**
 * How a ledger is made that is not there yet, for a restore; `replicas` are servers of a cluster
 * that have it.
 */
export type MadeLedger = {
  bytesMax?: number | undefined
  firstSequence?: number | undefined
  replicas?: number | undefined
}

/**
 * `restore` makes the stream of a ledger that must not be there yet, of `bytesMax` octets, whose
 * first message is to be `firstSequence`; `read` changes nothing.
 * @throws BrokerError NATS_UNREACHABLE, LEDGER_DEPLOYMENT_MISMATCH
 */
export async function openOperatorLedger(
  address: NatsAddress,
  purpose: 'read' | 'restore' = 'read',
  { bytesMax = 8 * 1024 ** 3, firstSequence = 1, replicas = 1 }: MadeLedger = {},
): Promise<OperatorLedger> {
  const connection = await connectNats(natsConnectOptions(address, 'busbar operator'))
  try {
    const ledger = await createLedger({
      connection,
      bytesMax,
      firstSequence,
      replicas,
      partitionCount: 1,
      purpose,
    })
    const recorded = await ledger.lastOn(deploymentSubject)
    const restoring = purpose === 'restore' ? await restoringOn(connection) : undefined
    const deployment = recorded && decodeDeployment(recorded.data)
    const suffix = restoring?.bucketSuffix ?? deployment?.bucketSuffix ?? ''
    const bytesMaxOfSnapshots = snapshotBytesMaxOf(bytesMax)
    return {
      ledger,
      partitionCount: deployment?.partitionCount ?? 0,
      restoring,
      bus: new NatsBus({ connection, clock: systemClock, log: silentLog }),
      cursors: () =>
        createCursorStore({
          connection,
          replicas,
          bucketName: `${cursorBucketNameDefault}${suffix}`,
        }),
      snapshots: () =>
        createSnapshotStore({
          connection,
          replicas,
          bytesMax: bytesMaxOfSnapshots,
          bucketName: `${snapshotBucketNameDefault}${suffix}`,
        }),
      replicas: () => askAllReplicas(connection, undefined, suffix),
      replicaSource: new ReplicaReader({ connection, wanted: 1 }),
      close: async () => {
        await ledger.close()
        await connection.close()
      },
    }
  } catch (fault) {
    await connection.close()
    throw fault
  }
}

/** A new incarnation, with buckets of its own when others are in the way. */
async function restoringOn(connection: NatsConnection): Promise<Restoring> {
  const incarnation = systemRandom.bytes(16).toString('hex')
  const bucketSuffix = await freeBucketSuffix(connection, incarnation)
  if (bucketSuffix !== '') await releaseOtherBuckets(connection)
  return {
    incarnation,
    bucketSuffix,
    label: (identity) =>
      labelStream(
        {
          connection,
          clock: systemClock,
          log: silentLog,
          streamName: ledgerStreamNameDefault,
        },
        identity,
      ),
  }
}

/** What backup and restore work on. */
export const backupPortsOf = async (
  opened: OperatorLedger,
): Promise<{ ledger: JetStreamLedger; cursors: CursorStore; snapshots: SnapshotStore }> => ({
  ledger: opened.ledger,
  cursors: await opened.cursors(),
  snapshots: await opened.snapshots(),
})
