/**
 * Every ceiling of Busbar, by name, with its unit and reason. Relations between them are asserted at the end.
 * What an operator may change is in the configuration, with these as defaults.
 */
import { assert } from './assert.ts'

export const limits = {
  // ── messages ──
  /** One ServiceRequest on the wire. The largest GB request (a tariff) is 27 kB of XML; ours is binary. */
  requestBytesMax: 64 * 1024,
  /** Requests in one SubmitBatch, SubmitStream message or HTTP batch. */
  requestsPerBatchMax: 1_000,
  /** One gRPC or HTTP message from a party. */
  partyMessageBytesMax: 4 * 1024 * 1024,
  /** A response body; a profile of 13 months of half hours is about 500 kB. */
  responseBodyBytesMax: 2 * 1024 * 1024,
  /** One frame on NATS: under the server's max_payload, which Busbar sets to 8 MiB on its own server. */
  frameBytesMax: 4 * 1024 * 1024,
  /** Deliveries in one frame: the index within a frame takes 12 bits of a delivery id. */
  deliveriesPerFrameMax: 4_096,
  /** Messages of one atomic batch; nats-server refuses more than 1,000 by default. */
  ledgerBatchMessagesMax: 900,

  // ── queues ──
  /** Requests that one gateway process holds between a party and the acknowledgement. */
  gatewayRequestsInFlightMax: 20_000,
  /** The same for one stream: past it the gateway stops reading that stream. */
  streamRequestsInFlightMax: 4_000,
  /** Messages waiting in one partition's mailbox. */
  mailboxMessagesMax: 20_000,
  /** Requests a device holds that have not ended. */
  deviceQueueMax: 64,
  /** Ended requests a device remembers, for repeats and status; older ones are refused by their counter. */
  deviceRequestsRememberedMax: 64,
  /** Parties that one device remembers counters of. */
  deviceOriginatorsMax: 32,
  /** Deliveries a party may leave unacknowledged on one stream. */
  receiverCreditMax: 100_000,
  /** Bytes queued towards one receiver that does not read, before it is cut off. */
  receiverBufferedBytesMax: 16 * 1024 * 1024,

  // ── waits, in ms ──
  /** A party's wait for an acknowledgement. */
  acknowledgementWaitMsMax: 15_000,
  /** The answer of one APDU by a device. */
  wanResponseMsMax: 10_000,
  wanConnectMsMax: 5_000,
  /** A whole exchange of one attempt, all APDUs. */
  wanExchangeMsMax: 30_000,
  /** On-demand requests without a deadline of their own end after this. GB: 30 s target; three attempts fit in two minutes. */
  requestLifetimeMs: 120_000,
  /** The furthest deadline a party may ask for: 30 days. */
  requestLifetimeMsMax: 30 * 24 * 3_600_000,
  /** One fsynced batch on the ledger. */
  ledgerCommitMsMax: 10_000,
  /** Long poll over HTTP. */
  longPollMsMax: 30_000,

  // ── devices ──
  /** First delay before another attempt, doubled each time. */
  retryDelayMs: 2_000,
  retryDelayMsMax: 60_000,
  /** Attempts at a command before E20 or E21. */
  attemptsMax: 3,
  /** The oldest half hour a meter keeps: 13 months, SMETS2 5.7.5.20 [GK]. */
  profileDaysMax: 400,
  wanConnectionsMax: 8_192,
  /** Connections being opened at one time. */
  wanConnectsMax: 256,

  // ── DLMS ──
  /** One APDU before block transfer; the wrapper's length field is 16 bits. */
  apduBytesMax: 65_535,
  /** A whole value gathered from blocks. */
  transferBytesMax: 1024 * 1024,
  /** Nesting of arrays and structures. */
  dataDepthMax: 16,
  /** Elements of one array or structure. */
  dataElementsMax: 65_536,
} as const

assert(limits.frameBytesMax >= limits.responseBodyBytesMax + limits.requestBytesMax, 'a frame holds the largest envelope')
assert(limits.wanExchangeMsMax > limits.wanResponseMsMax + limits.wanConnectMsMax, 'an exchange outlasts its first answer')
assert(limits.requestLifetimeMs > limits.wanExchangeMsMax * limits.attemptsMax, 'every attempt fits in the default lifetime')
assert(limits.partyMessageBytesMax > limits.requestBytesMax, 'a message holds the largest request')
assert(limits.acknowledgementWaitMsMax > limits.ledgerCommitMsMax, 'an acknowledgement outlasts its commit')
