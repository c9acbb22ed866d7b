/**
 * Where a client's association may stand, and what it may do next; client.ts is the machine.
 *
 *           begin               AARE accepted                begin
 *   IDLE ───────────▶ ASSOCIATING ───────────▶ EXCHANGING ◀─────────── ASSOCIATED
 *    ▲                    │                      │    │  results, exception ▲ │
 *    │ RLRE               │ refused, nonsense    │    └─────────────────────┘ │ release
 *    │                    ▼                      ▼                            ▼
 *    │                  ENDED ◀─────────────── nonsense ◀──────────────── RELEASING
 *    └─────────────────────────────────────────────────────────────────────────┘
 *
 * Between ASSOCIATING and EXCHANGING stands AUTHENTICATING where both prove who they are. `abort`
 * ends any state. A meter that turns out to have forgotten the association takes EXCHANGING back to
 * ASSOCIATING, once an exchange. A pre-established association goes from IDLE to EXCHANGING at
 * once, and is never released.
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { CosemResult } from '../../ports/wan.ts'

/**
 * IDLE: no association. ENDED: the meter said nonsense or the connection is gone; make a new
 * client.
 */
export type ClientState =
  | 'IDLE'
  | 'ASSOCIATING'
  | 'AUTHENTICATING'
  | 'ASSOCIATED'
  | 'EXCHANGING'
  | 'RELEASING'
  | 'ENDED'

/**
 * What is to be done after an APDU was received. `send` is owned and has spare octets for the
 * wrapper in front; what `DlmsClient.more` gives is sent behind it. `wait`: more will come by
 * itself. `push`: a notification came between, in the clear and owned; the answer is still to come.
 * `answerBytes`: the APDU that answered an opaque command, as it came; owned.
 */
export type ClientStep =
  | { send: Buffer }
  | { results: CosemResult[] }
  | { answerBytes: Buffer }
  | { released: true }
  | { wait: true }
  | { push: Buffer }

/** Where each state may go. */
export const clientTransitions: Readonly<Record<ClientState, readonly ClientState[]>> = {
  IDLE: ['ASSOCIATING', 'EXCHANGING', 'ENDED'],
  ASSOCIATING: ['AUTHENTICATING', 'EXCHANGING', 'ENDED'],
  AUTHENTICATING: ['EXCHANGING', 'ENDED'],
  ASSOCIATED: ['EXCHANGING', 'RELEASING', 'ENDED'],
  EXCHANGING: ['ASSOCIATED', 'ASSOCIATING', 'ENDED'],
  RELEASING: ['IDLE', 'ENDED'],
  ENDED: [],
}

/** The fault of a caller who asks for `what` in a state that does not allow it. */
export function stateInvalid(what: string, state: ClientState): BrokerError {
  return new BrokerError('DLMS_STATE_INVALID', `${what} in ${state}`)
}
