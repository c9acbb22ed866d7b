/**
 * Letters by which a request is counted before it goes on to its device:
 *
 *   device ── COUNT ──▶ party's thresholds ── COUNT ──▶ those over all parties
 *     ▲                   │   ▲                              │
 *     └─ PASSED, QUARANTINED, FULL          └── OVER ────────┤
 *     └───────────────────────── PASSED ─────────────────────┘
 *
 * A device whose request has left quarantine says LEFT to the party's thresholds, which keep the
 * list by LISTED and UNLISTED to its pages. Every letter has the same members. Pure.
 */
import { BrokerError } from '../base/broker-error.ts'
import { latin1Of } from '../base/bytes.ts'
import type { RequestCounter } from '../base/counter.ts'
import type { Eui64 } from '../base/eui64.ts'
import type { Srv } from '../base/srv.ts'
import { packTree, readTree } from '../registration/versioned-tree.ts'

/** Numbers are their places; they stand in the ledger and never change. */
const words = [
  'COUNT',
  'PASSED',
  'QUARANTINED',
  'FULL',
  'OVER',
  'LEFT',
  'LISTED',
  'UNLISTED',
] as const
export type CountWord = (typeof words)[number]

/** Why a request is in quarantine. */
export const QuarantineReason = {
  NONE: 0,
  /** Over a threshold of its party. */
  PARTY: 1,
  /** Over a threshold of all parties. */
  ALL_PARTIES: 2,
  /** A value in its body is outside a limit. */
  VALUE: 3,
} as const
export type QuarantineReason = (typeof QuarantineReason)[keyof typeof QuarantineReason]

/** Codes of the alert that a party gets. [DUIS 5.4, DCC alerts; confidence low] */
export const alertCodeOf: Readonly<Record<number, string>> = {
  [QuarantineReason.PARTY]: 'N41',
  [QuarantineReason.ALL_PARTIES]: 'N44',
  [QuarantineReason.VALUE]: 'N45',
}

/** A request as counting knows it: its RequestID, and the variant. */
export type CountedRequest = {
  readonly originator: Eui64
  readonly device: Eui64
  readonly counter: RequestCounter
  readonly srv: Srv
}

export type CountLetter = CountedRequest & {
  readonly word: CountWord
  readonly reason: QuarantineReason
  /** Of the quarantine of its party, from 1; 0 for none. */
  readonly event: number
  /** When it was counted, or went to quarantine, UTC ms; 0 before that. */
  readonly atMs: number
}

const octets = (key: string): Buffer => Buffer.from(key, 'latin1')

type PackedLetter = [
  word: number,
  originator: Uint8Array,
  device: Uint8Array,
  counter: Uint8Array,
  srv: number,
  reason: number,
  event: number,
  atMs: number,
]

/** The members behind the version, as facts of counting have them, too. */
export const packedLetter = (letter: CountLetter): PackedLetter => [
  words.indexOf(letter.word),
  octets(letter.originator),
  octets(letter.device),
  octets(letter.counter),
  letter.srv,
  letter.reason,
  letter.event,
  letter.atMs,
]

/** @throws BrokerError ENVELOPE_MALFORMED for a word that is not known */
export function letterIn(packed: readonly unknown[]): CountLetter {
  const [number, originator, device, counter, srv, reason, event, atMs] = packed as PackedLetter
  const word = words[number]
  if (word === undefined || originator.length !== 8 || device.length !== 8 || counter.length !== 8)
    throw new BrokerError('ENVELOPE_MALFORMED', 'a letter about a count')
  return {
    word,
    originator: latin1Of(originator) as Eui64,
    device: latin1Of(device) as Eui64,
    counter: latin1Of(counter) as RequestCounter,
    srv: srv as Srv,
    reason: reason as QuarantineReason,
    event,
    atMs,
  }
}

export const encodeCount = (letter: CountLetter): Buffer => packTree(...packedLetter(letter))

/** @throws BrokerError FORMAT_VERSION_LATER, ENVELOPE_MALFORMED */
export const decodeCount = (view: Uint8Array): CountLetter =>
  readTree(view, 'a letter about a count', letterIn)
