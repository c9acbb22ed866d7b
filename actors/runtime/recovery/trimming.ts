/**
 * Letting the ledger forget its oldest ticks: those whose facts are in snapshots, whose letters are
 * behind the snapshots of their addressees, whose deliveries were acknowledged and which views have
 * counted, or which are too old for the latter two.
 * First where the chains stand behind them is recorded. They are forgotten at a later look, so that
 * every host sees the record and seals its ticks once more before the last of them is gone. A host
 * that stops in between goes on from there.
 */
import { textOfEui64, type Eui64 } from '../../../core/base/eui64.ts'
import { cursorNameOf, decodeCursor, deliveryIdOf } from '../../../core/envelope/delivery-id.ts'
import { readTime } from '../../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../../core/envelope/frame.ts'
import { readTickMessage } from '../../../core/envelope/tick-message.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  tickSubjects,
  type CursorStore,
  type Ledger,
  type LedgerMessage,
} from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import { encodeTrimRecord, trimSubject, type SnapshotRecord } from '../../../core/ports/snapshot.ts'
import { viewsCursorsIn } from '../../../core/cluster/views-cursor.ts'
import type { Checkpoint } from '../../../core/ports/store.ts'
import { genesis, stepChain } from '../partition/chain.ts'
import type { HostMetrics } from '../host/host-metrics.ts'
import { snapshotRecordOf, trimRecordOf } from './trimmed-history.ts'
import { firstUnread, tickOfLetters, type UnreadLetter } from './unread-letters.ts'

export type TrimPorts = {
  partitionCount: number
  ledger: Ledger
  cursors: CursorStore
  /** UTC, ms. */
  nowMs: () => number
  log: Log
  metrics: HostMetrics
  deliveryKeepMs?: number
  /**
   * Called with the letter that keeps its tick though the snapshot of its partition is much
   * younger, so that nobody reads it; or with undefined.
   */
  onHeld?: (letter: UnreadLetter | undefined) => void
}

/** Ends the reading: this tick must stay. */
class Stop {
  readonly why: string
  readonly letter: UnreadLetter | undefined
  constructor(why: string, letter?: UnreadLetter) {
    this.why = why
    this.letter = letter
  }
}

/** Forgets what was recorded as `through` before. @throws BrokerError BROKER_LEDGER_UNAVAILABLE */
export const forgetThrough = (ledger: Ledger, through: number): Promise<void> =>
  ledger.forget(tickSubjects, through + 1)

/**
 * Records that about `wantedBytes` of ticks may be forgotten, or fewer when somebody needs them.
 * @throws BrokerError BROKER_LEDGER_UNAVAILABLE; SNAPSHOT_DAMAGED, LEDGER_CHAIN_BROKEN when a
 * record or tick is damaged: nothing is forgotten then
 */
export async function trim(ports: TrimPorts, wantedBytes: number): Promise<void> {
  const { ledger, log, metrics } = ports
  const before = await trimRecordOf(ledger)
  // The last tick always stays: it says how far the ledger goes.
  const last = (await ledger.lastOn(tickSubjects))?.sequence ?? 0
  const heads = new Map(before.heads)
  const isNeeded = await needOf(ports)
  let { through } = before
  let bytes = 0
  let ticks = 0
  let unheard = 0
  let why = ''
  let held: UnreadLetter | undefined
  try {
    await ledger.read(tickSubjects, through + 1, async (message) => {
      if (bytes >= wantedBytes || message.sequence >= last) throw new Stop('')
      const judged = await isNeeded(message, heads)
      for (const [partition, head] of judged.stepped) heads.set(partition, head)
      unheard += judged.unheard
      ticks++
      through = message.sequence
      bytes += message.data.length
    })
  } catch (stop) {
    if (!(stop instanceof Stop)) throw stop
    why = stop.why
    held = stop.letter
  }
  ports.onHeld?.(held)
  if (why !== '') log.warn({ through, bytes, why }, 'the ledger cannot forget more')
  if (through === before.through) return
  const outcome = await ledger.commit([
    {
      subject: trimSubject,
      data: encodeTrimRecord({ through, heads }),
      expect: { subject: trimSubject, sequence: before.sequence },
    },
  ])
  if (outcome.refused !== undefined) {
    log.warn({ ...outcome }, 'what may be forgotten was not recorded')
    return
  }
  await ledger.forget(trimSubject, outcome.firstSequence)
  metrics.ticksForgotten.add(ticks)
  log.info({ through, ticks, bytes }, 'ticks are forgotten at the next look')
  if (unheard === 0) return
  metrics.deliveriesForgotten.add(unheard)
  log.error({ deliveries: unheard, through }, 'deliveries that nobody acknowledged were too old')
}

/**
 * A tick that may go: where its chains go on, and how many of its deliveries were never
 * acknowledged.
 */
type Judged = { stepped: Array<[number, Checkpoint]>; unheard: number }

/** A judge of ticks, who throws Stop at one that must stay. */
async function needOf(
  ports: TrimPorts,
): Promise<(tick: LedgerMessage, heads: ReadonlyMap<number, Checkpoint>) => Promise<Judged>> {
  const { partitionCount, ledger, cursors, nowMs, deliveryKeepMs = Infinity } = ports
  const keptFrom = nowMs() - deliveryKeepMs
  const snapshots = await Promise.all(
    Array.from({ length: partitionCount }, (_, partition) => snapshotRecordOf(ledger, partition)),
  )
  const countedThrough = Math.min(
    ...(await viewsCursorsIn(cursors)).map((cursor) => cursor.sequence),
  )
  const unread = await oldestUnread(ledger, snapshots)
  const takenAtMs = (unread && snapshots[unread.partition]?.takenAtMs) ?? 0
  const isLate = takenAtMs - (unread?.sentAtMs ?? 0) >= limits.lettersLateMs
  const keptTick = unread === undefined ? Infinity : await tickOfLetters(ledger, unread.sequence)
  const acknowledged = new Map<Eui64, number>()
  return async ({ sequence, data }, heads) => {
    if (sequence >= keptTick)
      throw new Stop(
        `partition ${unread?.partition} has letters that are not behind its snapshot`,
        isLate ? unread : undefined,
      )
    const stepped: Array<[number, Checkpoint]> = []
    const deliveries: Array<[Eui64, Buffer]> = []
    readTickMessage(
      data,
      (partition, frame) => {
        if ((snapshots[partition]?.sequence ?? 0) < sequence)
          throw new Stop(`partition ${partition} has no snapshot behind it`)
        const head = heads.get(partition) ?? genesis
        stepped.push([partition, stepChain(partition, head, frame, sequence)])
        if (sequence > countedThrough && newestIn(frame, chainLinkBytes).time >= keptFrom)
          throw new Stop('a process with the role views has not counted it')
      },
      (party, frame) => deliveries.push([party, frame]),
    )
    let unheard = 0
    for (const [party, frame] of deliveries) {
      const id = acknowledged.get(party) ?? decodeCursor(await cursors.get(cursorNameOf(party)))
      acknowledged.set(party, id)
      const { count, time } = newestIn(frame, 0)
      if (id >= deliveryIdOf(sequence, count - 1)) continue
      if (time >= keptFrom)
        throw new Stop(`party ${textOfEui64(party)} has not acknowledged its deliveries`)
      for (let index = 0; index < count; index++) if (id < deliveryIdOf(sequence, index)) unheard++
    }
    return { stepped, unheard }
  }
}

/** How many envelopes there are from `start` on, and the time of the newest. */
function newestIn(frame: Buffer, start: number): { count: number; time: number } {
  let count = 0
  let time = 0
  forEachEnvelope(frame, start, (at) => {
    count++
    time = Math.max(time, readTime(frame, at))
  })
  return { count, time }
}

/** The first letter of all partitions that is not behind their snapshots. */
async function oldestUnread(
  ledger: Ledger,
  snapshots: ReadonlyArray<SnapshotRecord | undefined>,
): Promise<UnreadLetter | undefined> {
  const found = await Promise.all(
    snapshots.map((record, partition) => firstUnread(ledger, partition, record?.lettersRead)),
  )
  return found
    .filter((letter) => letter !== undefined)
    .reduce<UnreadLetter | undefined>(
      (oldest, letter) =>
        oldest !== undefined && oldest.sequence < letter.sequence ? oldest : letter,
      undefined,
    )
}
