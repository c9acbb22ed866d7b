/** The ceilings of the doors that parties and operators call, by name, with unit and reason; a part of `limits`. */
import { assert } from './assert.ts'

export const doorLimits = {
  // ── all doors ──
  /**
   * Octets of messages that a gateway's doors have read and not yet answered: on one connection, of
   * one party over all its connections, and of the whole process. A message of
   * `partyMessageBytesMax` fits into each.
   */
  connectionBytesInFlightMax: 8 * 1024 * 1024,
  partyBytesInFlightMax: 16 * 1024 * 1024,
  doorBytesInFlightMax: 64 * 1024 * 1024,
  /** Connections of one address to one door, and of all addresses together. */
  addressConnectionsMax: 1_024,
  doorConnectionsMax: 8_192,

  // ── HTTP doors ──
  /** Path and query of a call, its headers by number, and all of them in octets. */
  httpTargetBytesMax: 8 * 1024,
  httpHeadersMax: 100,
  httpHeadBytesMax: 16 * 1024,
  /** The content of a call to a route that does not say how much it takes. */
  httpContentBytesMax: 16 * 1024,
  /** JSON up to this size is read at once: some ms of the thread. More is read in parts of so much. */
  httpSliceBytes: 64 * 1024,
  /** Calls of one connection that are not yet answered: a client may send the next ones before. */
  httpPipelinedCallsMax: 64,
  /** From the first octet to the last of the headers, and of the whole call. */
  httpHeadersMsMax: 10_000,
  httpRequestMsMax: 30_000,
  /** How often a door looks for calls whose time is over. */
  httpLookMs: 1_000,
  /** A connection between two calls, and one in whose call nothing moves: longer than a long poll. */
  httpIdleMs: 65_000,
  httpSilenceMsMax: 60_000,
  /** After an answer that closes the connection, the rest of the call is discarded for so long, and so much of it. */
  httpLingerMs: 2_000,
  httpLingerBytesMax: 5 * 1024 * 1024,

  /** Long poll over HTTP. */
  longPollMsMax: 30_000,
  /** Objects and lists inside one another in the JSON of a party. */
  jsonNestingMax: 16,
  /** All of them together: more than the smallest requests that fit into `partyMessageBytesMax` have. */
  jsonObjectsMax: 100_000,
} as const

assert(
  doorLimits.connectionBytesInFlightMax <= doorLimits.partyBytesInFlightMax &&
    doorLimits.partyBytesInFlightMax < doorLimits.doorBytesInFlightMax,
  'a connection fits into its party, and no party takes the bytes of all',
)
assert(
  doorLimits.httpSilenceMsMax > doorLimits.longPollMsMax &&
    doorLimits.httpIdleMs > doorLimits.longPollMsMax,
  'a long poll is no silence',
)
assert(
  doorLimits.httpRequestMsMax > doorLimits.httpHeadersMsMax &&
    doorLimits.httpHeadBytesMax > doorLimits.httpTargetBytesMax,
  'the parts of a call fit into the whole',
)
