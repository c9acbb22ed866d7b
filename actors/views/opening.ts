/**
 * Where views go on when they begin: at what is in their store; at the genesis when it is empty or
 * of another ledger; and where the ledger has forgotten what they lack, the inventory comes from
 * the partitions' snapshots, and what usage lacks is noted.
 */
import { ActorKindNumber, kindOfActor, octetsOfActor } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { tickSubjects, type Ledger } from '../../core/ports/ledger.ts'
import type { Log } from '../../core/ports/log.ts'
import type { ChangedRow, RowStore } from '../../core/ports/rows.ts'
import type { SnapshotStore } from '../../core/ports/snapshot.ts'
import { genesis } from '../runtime/partition/chain.ts'
import { belongs } from '../runtime/recovery/opening.ts'
import { Past } from '../runtime/recovery/trimmed-history.ts'
import { unpackState } from '../device/state-codec.ts'
import { deviceRowFrom } from './fold.ts'
import { deviceRowOf, standingIn, standingRowOf, type Head, type Standing } from './rows.ts'

export type OpeningPorts = {
  ledger: Ledger
  snapshots: SnapshotStore
  store: RowStore
  partitionCount: number
  log: Log
}

/** @throws BrokerError STORE_DAMAGED, SNAPSHOT_DAMAGED, BROKER_LEDGER_UNAVAILABLE */
export async function openViews(ports: OpeningPorts): Promise<Standing> {
  const { ledger, snapshots, store, partitionCount, log } = ports
  const past = new Past(ledger, snapshots)
  await past.look()
  const lastSequence = (await ledger.lastOn(tickSubjects))?.sequence ?? 0
  let standing = standingIn((key) => store.get(key))
  const isBehind = (partition: number): boolean => {
    const { frameNumber } = standing.heads.get(partition)?.checkpoint ?? genesis
    return frameNumber < past.headOf(partition).frameNumber
  }
  for (const [partition, { checkpoint }] of standing.heads) {
    if (isBehind(partition) || (await belongs({ partition, lastSequence, past }, checkpoint)))
      continue
    log.warn({ partition }, 'the views do not belong to this ledger and are rebuilt')
    await store.clear()
    standing = standingIn(() => undefined)
    break
  }
  const behind = Array.from({ length: partitionCount }, (_, number) => number).filter(isBehind)
  if (behind.length === 0) return standing
  for (const partition of behind)
    standing.heads.set(partition, await loadSnapshot(store, past, partition))
  standing.missing.push({ fromMs: standing.timeMs, toMs: 0 })
  // Up to there the ledger held nothing more of those that are not behind.
  standing.sequence = past.through
  await store.save([standingRowOf(standing)])
  log.error({ through: past.through }, 'ticks were forgotten that usage had not counted')
  return standing
}

/** Its devices become rows; until the standing is saved, the next opening does it again. */
async function loadSnapshot(store: RowStore, past: Past, partition: number): Promise<Head> {
  const record = await past.snapshotOf(partition)
  if (record === undefined)
    throw new BrokerError('SNAPSHOT_DAMAGED', `there is none of partition ${partition}`)
  let rows: ChangedRow[] = []
  await past.read(record, async (records) => {
    for (const { actor, state } of records) {
      // The inventory is of devices.
      if (kindOfActor(actor) !== ActorKindNumber.DEVICE) continue
      const row = deviceRowFrom(partition, unpackState(state))
      // One that was removed may still have a row from before.
      rows.push(deviceRowOf(octetsOfActor(actor), row))
    }
    if (rows.length < limits.viewsBatchRowsMax) return
    await store.save(rows)
    rows = []
  })
  await store.save(rows)
  return { checkpoint: past.headOf(partition), inventorySequence: record.sequence }
}
