/**
 * What a party's actor remembers: its record, which is in the directory, too.
 *
 *   (unknown) ── import, add ──▶ active ◀── resume ── suspended
 *                                  │  └── suspend ──────▶ │
 *                                  └────── remove ──▶ removed ◀── remove
 *                                  ▲                     │
 *                                  └──────── add ────────┘
 */
import type { PartyRecord } from '../../core/access/party-record.ts'

export type PartyState = {
  /** Undefined for a party that was never known. */
  record: PartyRecord | undefined
}
