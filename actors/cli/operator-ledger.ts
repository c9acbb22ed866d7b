/** The ledger of a deployment, opened for an operator's command: over an address, or where the data directory's own nats-server listens. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { BrokerError } from '../../core/base/broker-error.ts'
import { NatsBus } from '../../core/bus/nats-bus.ts'
import { connectNats } from '../../core/ledger/connection.ts'
import { createCursorStore } from '../../core/ledger/cursors.ts'
import { createSnapshotStore, snapshotBytesMaxOf } from '../../core/ledger/snapshots.ts'
import {
  createLedger,
  deploymentSubject,
  type JetStreamLedger,
} from '../../core/ledger/jetstream.ts'
import { natsConnectOptions, type NatsAddress } from '../../core/ops/nats-connection.ts'
import { natsPlaces } from '../../core/ops/nats-settings.ts'
import type { Bus } from '../../core/ports/bus.ts'
import type { CursorStore } from '../../core/ports/ledger.ts'
import type { SnapshotStore } from '../../core/ports/snapshot.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { silentLog } from '../../core/ports/log.ts'

export type Where = { natsUrl?: string; dataDir?: string }

export type OperatorLedger = {
  ledger: JetStreamLedger
  bus: Bus
  partitionCount: number
  cursors(): Promise<CursorStore>
  snapshots(): Promise<SnapshotStore>
  close(): Promise<void>
}

/** @throws BrokerError CONFIG_INVALID when there is neither an address nor a data directory with a server */
export function addressOf({ natsUrl, dataDir }: Where): NatsAddress {
  if (natsUrl) return { url: natsUrl }
  const file = natsPlaces(resolve(dataDir ?? '.busbar/data')).settings
  if (!existsSync(file))
    throw new BrokerError('CONFIG_INVALID', `${file} is not there; give --data-dir or --nats-url`)
  const { port, user, password } = JSON.parse(readFileSync(file, 'utf8')) as {
    port: number
    user: string
    password: string
  }
  return { url: `nats://127.0.0.1:${port}`, user, password }
}

/** How a ledger is made that is not there yet, for a restore; `replicas` are servers of a cluster that have it. */
export type MadeLedger = {
  bytesMax?: number | undefined
  firstSequence?: number | undefined
  replicas?: number | undefined
}

/**
 * `restore` makes the stream of a ledger that must not be there yet, of `bytesMax` octets, whose first message is to be `firstSequence`;
 * `read` changes nothing.
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
    const { partitionCount = 0 } = (
      recorded === undefined ? {} : JSON.parse(recorded.data.toString('utf8'))
    ) as { partitionCount?: number }
    return {
      ledger,
      partitionCount,
      bus: new NatsBus({ connection, clock: systemClock, log: silentLog }),
      cursors: () => createCursorStore({ connection, replicas }),
      snapshots: () =>
        createSnapshotStore({ connection, replicas, bytesMax: snapshotBytesMaxOf(bytesMax) }),
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

/** What backup and restore work on. */
export const backupPortsOf = async (
  opened: OperatorLedger,
): Promise<{ ledger: JetStreamLedger; cursors: CursorStore; snapshots: SnapshotStore }> => ({
  ledger: opened.ledger,
  cursors: await opened.cursors(),
  snapshots: await opened.snapshots(),
})
