/**
 * The ceilings of the doors that parties, operators and devices call, by name, with unit and
 * reason; a part of `limits`.
 */
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
  /**
   * JSON up to this size is read at once: some ms of the thread. More is read in parts of so much.
   */
  httpSliceBytes: 64 * 1024,
  /** Calls of one connection that are not yet answered: a client may send the next ones before. */
  httpPipelinedCallsMax: 64,
  /** From the first octet to the last of the headers, and of the whole call. */
  httpHeadersMsMax: 10_000,
  httpRequestMsMax: 30_000,
  /** How often a door looks for calls whose time is over. */
  httpLookMs: 1_000,
  /**
   * A connection between two calls, and one in whose call nothing moves: longer than a long poll.
   */
  httpIdleMs: 65_000,
  httpSilenceMsMax: 60_000,
  /**
   * After an answer that closes the connection, the rest of the call is discarded for so long, and
   * so much of it.
   */
  httpLingerMs: 2_000,
  httpLingerBytesMax: 5 * 1024 * 1024,

  // ── the gRPC door ──
  /** Calls that one gRPC connection may have open. */
  connectionCallsMax: 1_000,
  /** Calls that one party, and all parties, may have open at one gateway. */
  partyCallsMax: 4_000,
  gatewayCallsMax: 10_000,
  /** Streams without a party that one gateway holds: health watches and reflection. */
  probeStreamsMax: 500,
  /**
   * One message of a call without requests in it: a RequestID, an acknowledgement of deliveries.
   */
  partyShortMessageBytesMax: 4 * 1024,
  /** Headers of one call, names and values. */
  callHeaderBytesMax: 8 * 1024,
  /**
   * A message of a call, from its first octet to its last; and how often unfinished ones are looked
   * at.
   */
  callMessageMsMax: 20_000,
  callLookMs: 1_000,
  /** The answer to a call with one message, until the client has taken all of it. */
  callAnswerMsMax: 60_000,
  /** Calls that are rejected in a row for their headers before their connection is closed. */
  connectionRefusalsMax: 100,
  /**
   * PING and SETTINGS frames of a client, and calls that it resets, within the time before its
   * connection is closed.
   */
  connectionPingsMax: 100,
  connectionResetsMax: 2_000,
  connectionFloodMs: 10_000,
  /** A new connection until it has said that it speaks HTTP/2. */
  connectionPrefaceMsMax: 10_000,
  /** A connection without a call is asked to go after this; clients connect again by themselves. */
  connectionIdleMsMax: 300_000,
  /** Connections without a call of a known party. */
  doorUnprovenMax: 2_048,

  // ── certificates ──
  /**
   * A certificate; those of the profile have about 420 octets. OpenSSL takes 100 KiB for a chain.
   */
  certificateBytesMax: 4 * 1024,
  /** Of a serial number. [RFC 5280 4.1.2.2 allows 20, the profile 16] */
  certificateSerialBytesMax: 16,
  /** A revocation list: about a hundred thousand certificates. */
  revocationListBytesMax: 4 * 1024 * 1024,
  /** From the connection to the end of its TLS handshake. */
  tlsHandshakeMsMax: 10_000,
  // ── operators ──
  /** Operators in one list, each looked at for each call. */
  operatorsMax: 1_000,
  /** Octets of chance in a token of an operator. */
  operatorTokenBytes: 32,
  /**
   * Failed attempts of one address that are looked at and logged one by one, in so many ms; further
   * ones are counted. Addresses that are remembered for it.
   */
  operatorAttemptsMax: 20,
  operatorAttemptsMs: 60_000,
  operatorAddressesMax: 1_024,
  /** How long an act waits for a second operator, and how many may wait. */
  approvalMs: 86_400_000,
  approvalsMax: 100,
  approvalIdBytes: 8,
  /**
   * Octets of what one of them is done with, and RequestIDs in it: with all that may wait and all
   * that are remembered, the list is one message of the ledger.
   */
  approvalContentBytesMax: 4_096,
  approvalRequestsMax: 50,
  /** Signatures of operators beside one backup. */
  backupSignaturesMax: 20,
  /** Attempts to change the list of approvals while others change it, too. */
  approvalAttemptsMax: 8,

  /**
   * How often the certificate files and the certificates of open connections are looked at: how
   * long a revoked party keeps a connection.
   */
  certificateLookMs: 1_000,
  /** Days that certificates are valid for, of an authority and of anybody else. */
  authorityDaysDefault: 3_650,
  certificateDaysDefault: 365,
  certificateDaysMax: 36_500,

  // ── signatures on requests ──
  /**
   * Requests whose signature is not verified yet, of all parties and of one, and their octets: a
   * second of two threads, and room for two full streams of a party.
   */
  signaturesWaitingMax: 20_000,
  partySignaturesWaitingMax: 10_000,
  signatureBytesWaitingMax: 32 * 1024 * 1024,
  /** Signatures that a thread gets at once: some ms, so that the next one is not idle meanwhile. */
  signaturesPerBatchMax: 64,
  /** Batches of one thread that are out: it has the next one when it is done with one. */
  signatureBatchesOutMax: 2,
  /** Threads that verify; one processor is left to the event loop. */
  signatureThreadsMax: 4,
  /** Keys that a thread keeps ready; making one costs as much as a signature. */
  signatureKeysKeptMax: 20_000,
  /** Fields of a signed request besides RequestID, variant and body, on the wire. */
  sealFurtherBytesMax: 256,

  // ── the door that devices dial ──
  /**
   * Connections of one address to the door for devices that have not answered a question yet. Raise
   * it where more devices share an address (BUSBAR_DIAL_IN_PER_ADDRESS).
   */
  dialInPerAddressMax: 1_024,
  /**
   * Octets of all connections that have not said who they are; then the one with most of them is
   * cut.
   */
  dialInUnknownBytesMax: 16 * 1024 * 1024,
  /** Before a second connection of a device is closed whose first one has not failed. */
  dialInContenderMsMax: 300_000,
  /** Datagrams of one address that the door takes in a second. */
  dialInDatagramsPerAddressMax: 2_000,

  // ── parties ──
  /** Long poll over HTTP. */
  longPollMsMax: 30_000,
  /** Objects and lists inside one another in the JSON of a party. */
  jsonNestingMax: 16,
  /**
   * All of them together: more than the smallest requests that fit into `partyMessageBytesMax`
   * have.
   */
  jsonObjectsMax: 100_000,

  // ── sizes and waits of single steps ──
  /**
   * Of the detail of a rejection in a gRPC status: room for a sentence, not for a page, since what
   * a client sent may stand in it.
   */
  grpcDetailCharactersMax: 200,
  /** Violations in the trailers of a rejection, which many clients limit to 8 KiB. */
  grpcViolationsMax: 8,
  /** Octets of deliveries in the answer to one HTTP poll; the last delivery may stand above. */
  pollBytesMax: 1024 * 1024,
  /** Counters that are assigned to one request, one after the other. */
  counterAssignsMax: 3,
  /** Spellings of header names that are remembered. */
  httpHeaderSpellingsMax: 1_000,
  /** Texts of headers whose meaning is remembered: callers use few, and cannot make it grow. */
  httpHostsRememberedMax: 1_000,
  /** Of the path of a field in the content of a call: names are the sender's own. */
  jsonFieldCharactersMax: 200,
  /** How often the rest of a call that is discarded is looked at. */
  httpLingerLookMs: 100,
  /** First room for content whose length is not announced. */
  httpContentRoomBytes: 1024,
  /** Header texts that are known to name a party: three ways to write each, and mixed case. */
  partyTextsRememberedMax: 10_000,
  /** The name of a party in the parties file. */
  partyNameCharactersMax: 100,
  /** Parties in the directory, of which every process has a copy. */
  partiesMax: 10_000,
  /**
   * One message to the client of a party, above gRPC's default of 4 MiB: several deliveries come in
   * one.
   */
  clientMessageBytesMax: 16 * 1024 * 1024,
  /** Calls that are open when a gRPC door closes, before they are cut. */
  gatewayCloseMsMax: 1_000,
  /** A call of the client of a party with one answer. */
  clientCallMs: 20_000,
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
