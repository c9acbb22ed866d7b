/**
 * How many deliveries each party has not acknowledged yet, and how old the oldest of them is. For
 * operators: a party that stays away keeps the ledger from being trimmed. Counts ticks as the party
 * feed sees them; cursors say what is acknowledged.
 *
 * A party's pending ticks are kept one by one until there are `limits.pendingSpansMax`; then
 * neighbours are joined to one span, so that memory is bounded. A span counts as pending until its
 * last delivery is acknowledged, so a long backlog may be shown somewhat too large, never too
 * small.
 */
import { BrokerError } from '../base/broker-error.ts'
import { textOfEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { cursorNameOf, decodeCursor, deliveryIdOf, sequenceOf } from '../envelope/delivery-id.ts'
import { readTime } from '../envelope/envelope.ts'
import { forEachEnvelope } from '../envelope/frame.ts'
import { partyFramesOf } from '../envelope/tick-message.ts'
import type { Clock } from '../ports/clock.ts'
import { tickSubjects, type CursorStore, type Ledger } from '../ports/ledger.ts'
import type { GaugeSeries, Metrics } from '../ports/metrics.ts'

/**
 * Deliveries of one or more ticks of a party. Times are UTC ms; `lastId` is the id of the last of
 * them.
 */
type Span = { firstAtMs: number; firstId: number; lastId: number; count: number }

export type PendingDeliveriesPorts = {
  cursors: Pick<CursorStore, 'get'>
  clock: Clock
  metrics: Metrics
}

export class PendingDeliveries {
  private readonly ports: PendingDeliveriesPorts
  private readonly spans = new Map<Eui64, Span[]>()
  private reading: Promise<readonly PartyPending[]> | undefined

  constructor(ports: PendingDeliveriesPorts) {
    this.ports = ports
    const seriesOf = async (value: (one: PartyPending) => number): Promise<GaugeSeries[]> =>
      (await this.read()).map((one) => ({
        labels: { party: textOfEui64(one.party) },
        value: value(one),
      }))
    ports.metrics.gauges(
      'busbar_party_deliveries_pending',
      'Deliveries that the party has not acknowledged, by party; each gateway shows all parties',
      () => seriesOf(({ count }) => count),
    )
    ports.metrics.gauges(
      'busbar_party_delivery_age_seconds',
      'Age of the oldest delivery that the party has not acknowledged, by party; 0 when there is no such delivery',
      () => seriesOf(({ ageMs }) => ageMs / 1000),
    )
  }

  /**
   * Takes in the frames of one tick; frames are borrowed. `sequence` must rise from call to call
   * for each party.
   */
  add(sequence: number, frames: ReadonlyMap<Eui64, Buffer>): void {
    addTick(this.spans, sequence, frames)
  }

  /**
   * Reads what `parties` had pending before, up to the tick `until`; `add` may be called meanwhile
   * with later ticks. Starts at the oldest cursor, so that a deployment without a backlog reads
   * almost nothing.
   * @throws BrokerError BROKER_LEDGER_UNAVAILABLE
   */
  async addPast(ledger: Ledger, until: number, parties: Iterable<Eui64>): Promise<void> {
    const cursors = await Promise.all(
      Array.from(parties, async (party) =>
        decodeCursor(await this.ports.cursors.get(cursorNameOf(party))),
      ),
    )
    const from = sequenceOf(Math.min(...cursors))
    if (cursors.length === 0 || from > until) return
    const past = new Map<Eui64, Span[]>()
    await ledger.read(
      tickSubjects,
      Math.max(1, from),
      ({ sequence, data }) => addTick(past, sequence, partyFramesOf(data)),
      until,
    )
    for (const [party, spans] of past) {
      const all = spans.concat(this.spans.get(party) ?? [])
      while (all.length > limits.pendingSpansMax) joinNeighbours(all)
      this.spans.set(party, all)
    }
  }

  /**
   * Every party that has had deliveries, also those with none pending. One reading serves all who
   * ask meanwhile.
   */
  read(): Promise<readonly PartyPending[]> {
    this.reading ??= this.readAll().finally(() => {
      this.reading = undefined
    })
    return this.reading
  }

  private async readAll(): Promise<readonly PartyPending[]> {
    const now = this.ports.clock.now()
    return Promise.all(
      Array.from(this.spans, async ([party, spans]): Promise<PartyPending> => {
        // Nothing pending: the cursor has nothing to add.
        if (spans.length > 0) dropAcknowledged(spans, await this.acknowledgedBy(party))
        const count = spans.reduce((total, span) => total + span.count, 0)
        const oldest = spans[0]
        return { party, count, ageMs: oldest ? Math.max(0, now - oldest.firstAtMs) : 0 }
      }),
    )
  }

  /** 0 when the cursor cannot be read now: then what was known last is shown. */
  private async acknowledgedBy(party: Eui64): Promise<number> {
    try {
      return decodeCursor(await this.ports.cursors.get(cursorNameOf(party)))
    } catch {
      return 0
    }
  }
}

export type PartyPending = {
  readonly party: Eui64
  readonly count: number
  readonly ageMs: number
}

function addTick(
  all: Map<Eui64, Span[]>,
  sequence: number,
  frames: ReadonlyMap<Eui64, Buffer>,
): void {
  for (const [party, frame] of frames) {
    const count = envelopesIn(frame)
    if (count === 0) continue
    let spans = all.get(party)
    if (spans === undefined) all.set(party, (spans = []))
    spans.push({
      firstAtMs: readTime(frame, 0),
      firstId: deliveryIdOf(sequence, 0),
      lastId: deliveryIdOf(sequence, count - 1),
      count,
    })
    if (spans.length > limits.pendingSpansMax) joinNeighbours(spans)
  }
}

/** 0 for a damaged frame: it is not delivered, and the audit of the ledger reports it. */
function envelopesIn(frame: Buffer): number {
  let count = 0
  try {
    forEachEnvelope(frame, 0, () => void count++)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return 0
  }
  return count
}

function dropAcknowledged(spans: Span[], acknowledged: number): void {
  let done = 0
  while (done < spans.length && spans[done]!.lastId <= acknowledged) done++
  spans.splice(0, done)
  const first = spans[0]
  // Within one tick ids are consecutive, so that its count is exact.
  if (first && first.lastId - first.firstId === first.count - 1 && acknowledged >= first.firstId) {
    first.firstId = acknowledged + 1
    first.count = first.lastId - acknowledged
  }
}

/** Halves the older three quarters; the newest spans stay exact. */
function joinNeighbours(spans: Span[]): void {
  const olderCount = Math.floor((spans.length * 3) / 8) * 2
  const joined: Span[] = []
  for (let i = 0; i < olderCount; i += 2) {
    const [a, b] = [spans[i]!, spans[i + 1]!]
    joined.push({ ...a, lastId: b.lastId, count: a.count + b.count })
  }
  spans.splice(0, olderCount, ...joined)
}
