/**
 * What parties have not acknowledged: exact within the newest ticks, bounded in memory, right when
 * nothing happens any more.
 */
import t from 'tap'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { cursorNameOf, deliveryIdOf, encodeCursor } from '../../../core/envelope/delivery-id.ts'
import { writeEnvelope } from '../../../core/envelope/envelope.ts'
import { headerBytes, Kind } from '../../../core/envelope/layout.ts'
import { writeTickMessage } from '../../../core/envelope/tick-message.ts'
import { PendingDeliveries } from '../../../core/ledger/pending-deliveries.ts'
import { createMetrics } from '../../../core/ops/metrics.ts'
import { tickSubject } from '../../../core/ports/ledger.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimLedger } from '../../../core/ports/sim/ledger.ts'
import { blankHeader } from '../../../core/gateway/intake/own-answer.ts'
import { deviceKey } from '../../support/envelopes.ts'

const supplier = deviceKey(1)
const network = deviceKey(2)

/** A frame of `count` responses that were written at `time`. */
function frameOf(count: number, time: number): Buffer {
  const frame = Buffer.alloc(count * headerBytes)
  const header = { ...blankHeader(), kind: Kind.RESPONSE, time }
  for (let i = 0; i < count; i++) writeEnvelope(frame, i * headerBytes, header, Buffer.alloc(0))
  return frame
}

class Trial {
  readonly clock = new SimClock(0)
  readonly metrics = createMetrics({ withProcess: false })
  readonly acknowledged = new Map<string, number>()
  readonly pending = new PendingDeliveries({
    clock: this.clock,
    metrics: this.metrics,
    cursors: {
      get: async (name) => {
        const id = this.acknowledged.get(name)
        return id === undefined ? undefined : encodeCursor(id)
      },
    },
  })

  acknowledge(party: Eui64, sequence: number, index: number): void {
    this.acknowledged.set(cursorNameOf(party), deliveryIdOf(sequence, index))
  }

  async of(party: Eui64): Promise<{ count: number; ageMs: number } | undefined> {
    const found = (await this.pending.read()).find((one) => one.party === party)
    return found && { count: found.count, ageMs: found.ageMs }
  }
}

t.test('counts what is pending and tells its age, without any traffic', async (t) => {
  const trial = new Trial()
  trial.pending.add(7, new Map([[supplier, frameOf(3, 1_000)]]))
  trial.pending.add(
    9,
    new Map([
      [supplier, frameOf(2, 4_000)],
      [network, frameOf(1, 4_000)],
    ]),
  )
  trial.clock.advanceTo(10_000)
  t.same(await trial.of(supplier), { count: 5, ageMs: 9_000 })
  t.same(await trial.of(network), { count: 1, ageMs: 6_000 })
  trial.acknowledge(supplier, 7, 0)
  t.same(await trial.of(supplier), { count: 4, ageMs: 9_000 }, 'the tick is pending in part')
  trial.acknowledge(supplier, 7, 2)
  t.same(await trial.of(supplier), { count: 2, ageMs: 6_000 })
  trial.acknowledge(supplier, 9, 1)
  t.same(await trial.of(supplier), { count: 0, ageMs: 0 }, 'zero, not the last busy value')
  const text = await trial.metrics.text()
  t.match(text, /busbar_party_deliveries_pending\{party="[0-9A-F-]{23}"\} 0\n/)
  t.match(text, /busbar_party_delivery_age_seconds\{party="[0-9A-F-]{23}"\} 6\n/)
})

t.test('a long backlog takes bounded memory, and is never shown too small', async (t) => {
  const trial = new Trial()
  const ticks = limits.pendingSpansMax * 20
  for (let sequence = 1; sequence <= ticks; sequence++)
    trial.pending.add(sequence, new Map([[supplier, frameOf(2, sequence)]]))
  t.equal((await trial.of(supplier))?.count, ticks * 2)
  for (const at of [1, 1_234, ticks - 3, ticks - 1]) {
    trial.acknowledge(supplier, at, 1)
    const count = (await trial.of(supplier))!.count
    t.ok(count >= (ticks - at) * 2, `${count} at ${at}`)
  }
  t.equal((await trial.of(supplier))?.count, 2, 'the newest ticks are exact')
})

t.test('reads the backlog from before the start, from the oldest cursor on', async (t) => {
  const trial = new Trial()
  const ledger = new SimLedger()
  const write = async (count: number, time: number): Promise<void> => {
    const data = writeTickMessage(
      [{ partition: 0, frame: Buffer.from('facts') }],
      [{ party: supplier, frame: frameOf(count, time) }],
    )
    await ledger.commit([{ subject: tickSubject('h'), data }])
  }
  for (let time = 1; time <= 5; time++) await write(2, time)
  trial.acknowledge(supplier, 3, 1)
  trial.pending.add(6, new Map([[supplier, frameOf(1, 6)]]))
  await trial.pending.addPast(ledger, 5, [supplier, network])
  t.equal((await trial.of(supplier))?.count, 5)
})
