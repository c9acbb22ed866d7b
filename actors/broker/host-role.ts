/** The role host: it serves partitions of devices, whose local stores are in the data directory. */
import { join } from 'node:path'
import type { RejectionSink } from '../../core/access/rejection-sink.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import { restoresOf } from '../../core/ledger/identity.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import { LocalStores } from '../../core/store/local-stores.ts'
import { hostedDevice } from '../device-effects/device-effects.ts'
import { hostedMeterPoint } from '../meter-point/meter-point-kind.ts'
import { hostedParty } from '../party/party-kind.ts'
import { hostedSource } from '../source/source-kind.ts'
import { hostedQuarantinePage } from '../quarantine-page/quarantine-page-kind.ts'
import { hostedSchedule } from '../schedule/schedule-kind.ts'
import { hostedThreshold } from '../threshold/threshold-kind.ts'
import { Host } from '../runtime/host/host.ts'
import type { HostOptions } from '../runtime/host/host-options.ts'
import type { DiskGuard } from './disk-guard.ts'
import type { OpenedLedger } from './ledger-role.ts'
import type { StartContext } from './start-context.ts'
import type { WanWay } from './wan-role.ts'

export type HostParts = {
  opened: OpenedLedger
  parties: DirectoryReader
  way: WanWay
  keys: KeyVault
  disks: DiskGuard
  comparison: NonNullable<HostOptions['comparison']>
  mail: RejectionSink
}

const checkpointIntervalMs = 5_000

/** Settles when it serves what it could take. */
export async function startHost(
  { config, hostId, clock, random, log, metrics, closers, fail }: StartContext,
  { opened, parties, way, keys, disks, comparison, mail }: HostParts,
): Promise<{ host: Host; stores: LocalStores }> {
  const { ledger, deployment, cursors, bus, owners, openSnapshots } = opened
  const stores = new LocalStores({ folder: join(config.dataDir, 'actors'), log, clock, metrics })
  closers.push(() => stores.close())
  const host = new Host({
    hostId,
    roles: config.roles,
    partitionCount: config.partitionCount,
    ledger,
    bus,
    clock,
    random,
    log,
    metrics,
    kinds: [
      hostedDevice({ wan: way.wan, keys, clock, random, log, metrics }),
      hostedParty,
      hostedMeterPoint,
      hostedSource,
      hostedThreshold,
      hostedQuarantinePage,
      hostedSchedule,
    ],
    directory: parties,
    checkpointIntervalMs,
    openStore: (partition) => stores.open(partition),
    mayTakeFrom: (owner) => owners.isSilent(owner),
    peers: owners,
    snapshots: await openSnapshots(),
    cursors,
    shortage: () => disks.shortage,
    deliveryKeepMs: config.deliveryKeepMs,
    restores: restoresOf(deployment.identity),
    actorsAwakeMax: config.actorsAwakeMax,
    actorIdleMs: config.actorIdleMs,
    onFault: (fault) => fail(`the host has stopped: ${String(fault)}`),
    comparison,
    countRejection: (party, outcome) => mail.count(party, outcome),
  })
  closers.push(() => host.close())
  await host.start()
  stores.served()
  return { host, stores }
}
