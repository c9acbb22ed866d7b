/**
 * Where the two ends of an HDLC link may stand. The client is the primary station: it speaks first
 * and says whose turn it is by P; the server answers with F. [IEC 62056-46, 6.4.4, normal response
 * mode; state tables there]
 *
 * Client (client.ts):
 *
 *                  connect              UA                    send, poll
 *   DISCONNECTED ──────────▶ CONNECTING ───▶ IDLE ──────────────────────────▶ SENDING
 *        ▲  ▲                    │            ▲ │ ◀───────────────────────────┐  │ all acknowledged
 *        │  └── DM, silence ─────┘     answer │ │ disconnect     no answer    │  ▼
 *        │                            whole,  │ ▼                wanted       WAITING
 *        │ UA, DM, silence      DISCONNECTING └────────────────────────────────┘
 *        └──────────────────────── │ ▲            from any: DM, FRMR, silence ─▶ DISCONNECTED
 *                                  └─┘ DISC again
 *
 * Server (server-link.ts), one for each pair of client and server address:
 *
 *                    SNRM / UA          last segment / APDU         send            all acknowledged
 *   DISCONNECTED ◀──────────────▶ IDLE ─────────────────────▶ ASKED ────▶ ANSWERING ────────────────▶ IDLE
 *        ▲      DISC / UA          │ segment / RR    ▲                      │  ▲ RR / I again
 *        │      silence            ▼                 │ last segment         └──┘
 *        │                     RECEIVING ────────────┘
 *        └──────── from any: DISC, silence, an APDU that is too long; SNRM opens again
 */
import type { ErrorCode } from '../../../base/error-table.ts'
import type { HdlcAddress } from './address.ts'
import type { HdlcParameters } from './parameters.ts'

export type HdlcClientState =
  | 'DISCONNECTED'
  | 'CONNECTING'
  | 'IDLE'
  | 'SENDING'
  | 'WAITING'
  | 'DISCONNECTING'

export type HdlcServerState = 'DISCONNECTED' | 'IDLE' | 'RECEIVING' | 'ASKED' | 'ANSWERING'

/** Where each state of a client may go. */
export const hdlcClientTransitions: Readonly<Record<HdlcClientState, readonly HdlcClientState[]>> =
  {
    DISCONNECTED: ['CONNECTING'],
    CONNECTING: ['IDLE', 'DISCONNECTING', 'DISCONNECTED'],
    IDLE: ['SENDING', 'WAITING', 'DISCONNECTING', 'DISCONNECTED'],
    SENDING: ['WAITING', 'IDLE', 'DISCONNECTING', 'DISCONNECTED'],
    WAITING: ['IDLE', 'SENDING', 'DISCONNECTING', 'DISCONNECTED'],
    DISCONNECTING: ['DISCONNECTED'],
  }

/** Where each state of a server may go. */
export const hdlcServerTransitions: Readonly<Record<HdlcServerState, readonly HdlcServerState[]>> =
  {
    DISCONNECTED: ['IDLE'],
    IDLE: ['RECEIVING', 'ASKED', 'ANSWERING', 'DISCONNECTED'],
    RECEIVING: ['ASKED', 'DISCONNECTED'],
    ASKED: ['ANSWERING', 'RECEIVING', 'DISCONNECTED'],
    ANSWERING: ['IDLE', 'RECEIVING', 'ASKED', 'DISCONNECTED'],
  }

/**
 * What has come of the octets and of the time. `send` goes to the line as it is; all buffers are
 * owned by the caller. `unconfirmed` is what a UI frame carried, outside the link's order.
 * `disconnected` is OK when it was asked for, by either end.
 */
export type HdlcStep =
  | { readonly send: Buffer }
  | { readonly connected: HdlcParameters }
  | { readonly apdu: Buffer }
  | {
      readonly unconfirmed: Buffer
      readonly source: HdlcAddress
      readonly destination: HdlcAddress
    }
  | { readonly disconnected: ErrorCode; readonly detail?: string }
