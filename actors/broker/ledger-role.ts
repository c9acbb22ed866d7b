/**
 * The ledger of a broker and what stands beside it in its nats-server: cursors, snapshots, bus,
 * owners of partitions.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { NatsBus } from '../../core/bus/nats-bus.ts'
import { Owners } from '../../core/bus/owners.ts'
import {
  clampCursors,
  createCursorStore,
  cursorBucketNameDefault,
} from '../../core/ledger/cursors.ts'
import { createLedger, type JetStreamLedger } from '../../core/ledger/jetstream.ts'
import {
  createSnapshotStore,
  snapshotBucketNameDefault,
  snapshotBytesMaxOf,
} from '../../core/ledger/snapshots.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import type { Bus } from '../../core/ports/bus.ts'
import type { CursorStore } from '../../core/ports/ledger.ts'
import type { SnapshotStore } from '../../core/ports/snapshot.ts'
import type { DiskGuard } from './disk-guard.ts'
import type { LedgerDirectory } from './ledger-directory.ts'
import type { NatsServer } from './nats-role.ts'
import type { StartContext } from './start-context.ts'

export type LedgerParts = {
  server: NatsServer
  directory: LedgerDirectory
  disks: DiskGuard
  isNewAccepted: boolean | undefined
}

export type OpenedLedger = {
  ledger: JetStreamLedger
  deployment: JetStreamLedger['openedAs']['deployment']
  cursors: CursorStore
  bus: Bus
  owners: Owners
  openSnapshots: () => Promise<SnapshotStore>
}

/** @throws BrokerError LEDGER_… when it is not the ledger of this data directory */
export async function openLedger(
  context: StartContext,
  { server, directory, disks, isNewAccepted }: LedgerParts,
): Promise<OpenedLedger> {
  const { config, hostId, clock, log, closers, fail } = context
  const { partitionCount } = config
  const connection = await connectNats(natsConnectOptions(server.address, `busbar ${hostId}`))
  closers.push(() => connection.close())
  void connection.closed().then(() => fail('the connection to NATS is closed'))
  // Deliveries must not stand before a commit's acknowledgement on one socket.
  const followConnection = await connectNats(
    natsConnectOptions(server.address, `busbar ${hostId} follow`),
  )
  closers.push(() => followConnection.close())
  const ledger = await createLedger({
    connection,
    followConnection,
    bytesMax: config.ledgerBytesMax,
    replicas: config.replicas,
    partitionCount,
    clock,
    log,
    known: directory.known,
    isNewAccepted,
    contradictionIn: (found) => directory.contradictionIn(found),
    beforeChange: (verdict) => directory.beforeChange(verdict),
    ...endings(context),
  })
  closers.push(() => ledger.close())
  if (server.child) disks.revive(server.child, () => ledger.undecidedMs)
  if (config.nats.kind === 'external') await disks.watchAccount(connection, clock)
  const { verdict, deployment } = ledger.openedAs
  const beside = {
    connection: followConnection,
    replicas: config.replicas,
    ledgerId: deployment.identity.id,
  }
  const cursors = await createCursorStore({
    ...beside,
    bucketName: `${cursorBucketNameDefault}${deployment.bucketSuffix}`,
  })
  // Also `restored`: the start that accepted it may have ended before this.
  if (verdict === 'accept' || verdict === 'restored')
    await clampCursors(cursors, (await ledger.usage()).lastSequence)
  directory.opened(ledger.openedAs)
  const bus = new NatsBus({ connection, clock, log })
  const owners = new Owners({ ledger, bus, clock, log, partitionCount })
  await owners.start()
  closers.push(() => owners.close())
  const openSnapshots = (): Promise<SnapshotStore> =>
    createSnapshotStore({
      ...beside,
      bucketName: `${snapshotBucketNameDefault}${deployment.bucketSuffix}`,
      bytesMax: snapshotBytesMaxOf(config.ledgerBytesMax),
      clock,
      log,
    })
  return { ledger, deployment, cursors, bus, owners, openSnapshots }
}

/** What ends the process. */
const endings = ({ log, fail }: StartContext) => ({
  onIdentityLost(fault: BrokerError) {
    log.error({ code: fault.code, detail: fault.detail }, 'the ledger is not the one it was')
    // What is in memory belongs to another ledger, and others must not wait for this process.
    fail(fault.message)
  },
  onFollowFault(subject: string, fault: unknown) {
    const code = fault instanceof BrokerError ? fault.code : String(fault)
    log.error({ subject, code }, 'the ledger is not followed any more')
    fail(`${subject} is not followed any more: ${code}`)
  },
})
