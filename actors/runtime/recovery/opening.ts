/**
 * Where a partition begins when it is brought up: at the checkpoint of its store, at that of its
 * snapshot when the store is too old, or at the genesis. A store that belongs to another ledger is
 * cleared.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { sameBytes } from '../../../core/base/bytes.ts'
import { limits } from '../../../core/base/limits.ts'
import type { Log } from '../../../core/ports/log.ts'
import type { SnapshotRecord } from '../../../core/ports/snapshot.ts'
import type { Checkpoint, PartitionStore } from '../../../core/ports/store.ts'
import { genesis, isInChain } from '../partition/chain.ts'
import type { Past } from './trimmed-history.ts'

export type Opening = {
  partition: number
  store: PartitionStore
  /** Of the ledger's last tick. */
  lastSequence: number
  past: Past
  log: Log
}

/** A record of a partition's store cannot be read: the store is to be cleared and rebuilt. */
export const isStoreDamage = (fault: unknown): boolean =>
  fault instanceof BrokerError && fault.code === 'STORE_DAMAGED'

/**
 * Makes the store fit to be replayed into. @returns its checkpoint then, undefined for an empty one
 * @throws BrokerError STORE_DAMAGED, SNAPSHOT_DAMAGED, BROKER_LEDGER_UNAVAILABLE
 */
export async function openStore(opening: Opening): Promise<Checkpoint | undefined> {
  const { partition, store, log } = opening
  let checkpoint = store.checkpoint()
  // States without a checkpoint: a snapshot was being loaded.
  const isUseless =
    checkpoint === undefined ? !store.isEmpty() : !(await belongs(opening, checkpoint))
  if (isUseless) {
    log.warn({ partition }, 'the store does not belong to this ledger and is rebuilt')
    await store.clear()
    checkpoint = undefined
  }
  await loadSnapshot(opening, checkpoint ?? genesis)
  return store.checkpoint()
}

/** Loads the snapshot into the store when that must be, or is worth it. */
async function loadSnapshot(opening: Opening, own: Checkpoint): Promise<void> {
  const { partition, store, past, log } = opening
  const isForgotten = own.frameNumber < past.headOf(partition).frameNumber
  let snapshot: SnapshotRecord | undefined
  try {
    snapshot = await past.snapshotOf(partition)
    if (snapshot === undefined) {
      if (isForgotten) throw new BrokerError('SNAPSHOT_DAMAGED', 'there is none')
      return
    }
    if (!isForgotten && snapshot.sequence - own.sequence < limits.snapshotWorthTicks) return
    if (!(await belongs(opening, snapshot)))
      throw new BrokerError('SNAPSHOT_DAMAGED', `${snapshot.name} is not of this ledger`)
    await past.restore(snapshot, store)
    const { devices, sequence } = snapshot
    log.info({ partition, devices, sequence }, 'the store was loaded from the snapshot')
  } catch (fault) {
    if (!(fault instanceof BrokerError && fault.code === 'SNAPSHOT_DAMAGED')) throw fault
    // Another host may have recorded a later one meanwhile, and removed this one.
    const latest = await past.snapshotOf(partition).catch(() => undefined)
    if (latest !== undefined && latest.name !== snapshot?.name)
      throw new BrokerError(
        'BROKER_LEDGER_UNAVAILABLE',
        `partition ${partition}: its snapshot was replaced while it was read`,
        { cause: fault },
      )
    if (isForgotten) throw fault
    log.error({ partition, detail: fault.detail }, 'the snapshot cannot be read, the ledger can')
    if (store.checkpoint() === undefined) await store.clear()
  }
}

/** True when `checkpoint` was folded from this ledger, as far as that has not been forgotten. */
export async function belongs(
  { partition, lastSequence, past }: Pick<Opening, 'partition' | 'lastSequence' | 'past'>,
  checkpoint: Checkpoint,
): Promise<boolean> {
  if (checkpoint.sequence > lastSequence) return false
  for (;;) {
    const head = past.headOf(partition)
    if (checkpoint.frameNumber < head.frameNumber) return false
    if (checkpoint.frameNumber === head.frameNumber) return sameBytes(checkpoint.hash, head.hash)
    const tick = await past.tickAt(checkpoint.frameSequence)
    if (isInChain(partition, checkpoint, tick?.data)) return true
    if (tick !== undefined) return false
    // It may have been forgotten since the last look.
    await past.look()
    if (past.headOf(partition).frameNumber === head.frameNumber) return false
  }
}
