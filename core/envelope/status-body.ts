/**
 * The body of a STATUS envelope, what a host knows of one request: nine octets,
 *
 *   state u8 (RequestState of busbar.v1) | time of acceptance u64, UTC ms
 *
 * Its outcome is `notEnded` until the request has ended. Pure.
 */
import { BrokerError } from '../base/broker-error.ts'
import { envelopeEnd, readSafeU64, writeSafeU64 } from './envelope.ts'
import { headerBytes } from './layout.ts'

export const statusBodyBytes = 9
/** The outcome of a STATUS envelope whose request has not ended. */
export const notEnded = 0xffff

const stateMax = 7

/** Writes the body of the envelope at `at`. */
export function writeStatusBody(
  target: Buffer,
  at: number,
  state: number,
  acceptedAtMs: number,
): void {
  target[at + headerBytes] = state
  writeSafeU64(target, acceptedAtMs, at + headerBytes + 1)
}

/**
 * The state in the body of the STATUS envelope at `at`.
 * @throws BrokerError ENVELOPE_MALFORMED when its body is not a status
 */
export function readStatusState(buffer: Buffer, at: number): number {
  const state = buffer[at + headerBytes]
  const bodyBytes = envelopeEnd(buffer, at) - at - headerBytes
  if (bodyBytes !== statusBodyBytes || state === undefined || state < 1 || state > stateMax)
    throw new BrokerError('ENVELOPE_MALFORMED', 'the body is not a status')
  return state
}

/** When the request of the STATUS envelope at `at` was accepted, after `readStatusState`. */
export const readAcceptedAtMs = (buffer: Buffer, at: number): number =>
  readSafeU64(buffer, at + headerBytes + 1)
