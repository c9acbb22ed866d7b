/**
 * The fact of an operator's reset of RequestCounters, and its octets; decided in counters-reset.ts.
 */
import { copyOf } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readOriginator, readTime } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import type { CounterBounds } from '../kind/effects.ts'

/** An operator has set the counters of `party` from `from` to `to`, `noCounter` for none. */
export type RequestCountersReset = {
  type: 'REQUEST_COUNTERS_RESET'
  time: number
  party: Eui64
  to: RequestCounter
  from: CounterBounds
  /** Who did it, as the operator says. */
  by: string
}

/** `highest before 8 | floor before 8 | who`. The envelope has party and counter. */
export function resetBody({ from, by }: RequestCountersReset): Buffer {
  return Buffer.concat([Buffer.from(from.highest + from.floor, 'latin1'), Buffer.from(by, 'utf8')])
}

/** The fact in the envelope at `at`. @throws BrokerError ENVELOPE_MALFORMED */
export function readReset(buffer: Buffer, at: number): RequestCountersReset {
  const body = copyOf(readBodyView(buffer, at))
  if (body.length < 16) throw new BrokerError('ENVELOPE_MALFORMED', 'a reset of counters')
  return {
    type: 'REQUEST_COUNTERS_RESET',
    time: readTime(buffer, at),
    party: readOriginator(buffer, at),
    to: readRequestCounter(buffer, at + offsetOf.counter),
    from: { highest: readRequestCounter(body, 0), floor: readRequestCounter(body, 8) },
    by: body.toString('utf8', 16),
  }
}
