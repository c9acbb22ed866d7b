/**
 * What operators do with the RequestCounters of a device: look at them, and reset those of one
 * party, for example when a counter far too high has raised the floor over all following ones.
 * Pure.
 *
 * A reset sets highest counter and floor of the party to the counter that the operator names, 0 for
 * none. What the device still remembers stays known: the open requests, the last ended ones and the
 * RequestIDs of `past` never run twice. What it had forgotten, at or below the floor before, may
 * run again when its counter lies above the floor from now on: the operator names a counter above
 * all that were really used.
 */
import { readRequestCounter, numberOfCounter } from '../../core/base/counter.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { errorId } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { requestCounterMax } from '../../core/base/request-counter.ts'
import { readBodyView, readOriginator } from '../../core/envelope/envelope.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import { boundsOf, noCounter } from './counter-bounds.ts'
import type { RequestCountersReset } from './counters-facts.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import { type DeviceOutbox } from './effects.ts'
import type { Arrived } from '../kind/messages.ts'
import { pastCountOf } from './past-counters.ts'
import { endedCountOf } from './ended-requests.ts'
import { findOriginator, topOf, type DeviceState, type Originator } from './state.ts'

/** Counters of one party at a device, as operators see them; 0 for none. */
export type PartyCounters = {
  party: Eui64
  highest: bigint
  floor: bigint
  /** RequestIDs that the device knows: open ones, ended ones, and older ones. */
  open: number
  ended: number
  past: number
}

const recordBytes = 36

/**
 * Answers an envelope COUNTERS_QUERY: about its originator alone, or about all when it names none.
 */
export function decideCounters(
  state: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  if (state.record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  const party = readOriginator(message.buffer, message.at)
  const asked = state.originators.filter(({ key }) => party === noCounter || key === party)
  const bodyBytes = Buffer.alloc(asked.length * recordBytes)
  asked.forEach((originator, index) =>
    writeCounters(state, originator, bodyBytes, index * recordBytes),
  )
  out.effects.push({ type: 'REPORT', kind: Kind.COUNTERS, replyTo: message.replyTo, bodyBytes })
}

function writeCounters(state: DeviceState, originator: Originator, out: Buffer, at: number): void {
  const { key } = originator
  const { highest, floor } = boundsOf(originator)
  out.write(key + highest + floor, at, 'latin1')
  out.writeUInt32BE(state.open.filter((request) => request.originator === key).length, at + 24)
  out.writeUInt32BE(endedCountOf(state, key), at + 28)
  out.writeUInt32BE(pastCountOf(state.past, key), at + 32)
}

/** What the body of a COUNTERS envelope says. @throws BrokerError ENVELOPE_MALFORMED */
export function readCounters(bodyView: Buffer): PartyCounters[] {
  if (bodyView.length % recordBytes !== 0)
    throw new BrokerError('ENVELOPE_MALFORMED', `counters in ${bodyView.length} octets`)
  return Array.from({ length: bodyView.length / recordBytes }, (_, index) => {
    const at = index * recordBytes
    return {
      party: readEui64(bodyView, at),
      highest: bodyView.readBigUInt64BE(at + 8),
      floor: bodyView.readBigUInt64BE(at + 16),
      open: bodyView.readUInt32BE(at + 24),
      ended: bodyView.readUInt32BE(at + 28),
      past: bodyView.readUInt32BE(at + 32),
    }
  })
}

/**
 * An envelope COUNTERS_RESET: the party is its originator, its counter the one to go on from, its
 * body who wants it.
 */
export function decideReset(
  state: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  const { buffer, at } = message
  if (state.record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  const party = readOriginator(buffer, at)
  const to = readRequestCounter(buffer, at + offsetOf.counter)
  const originator = findOriginator(state, party)
  if (originator === undefined) return refuse(out, message, 'COUNTERS_PARTY_UNKNOWN', now)
  const byView = readBodyView(buffer, at)
  if (numberOfCounter(to) > requestCounterMax || byView.length > limits.operatorNameBytesMax)
    return refuse(out, message, 'VIEW_QUERY_INVALID', now)
  const from = boundsOf(originator)
  // Asked twice, or decided again after a doubt: it is as it was wanted.
  if (from.highest !== to || from.floor !== to)
    out.facts.push({
      type: 'REQUEST_COUNTERS_RESET',
      time: now,
      party,
      to,
      from,
      by: byView.toString('utf8'),
    })
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}

/** Applies the fact. */
export function evolveReset(state: DeviceState, { party, to }: RequestCountersReset): void {
  state.originators = state.originators.map((one) =>
    one.key === party
      ? { key: party, highest: to, floor: to === noCounter ? undefined : to, top: topOf(one) }
      : one,
  )
}
