/**
 * Every ceiling of Busbar, by name, with its unit and reason. Relations between them are asserted
 * at the end. What an operator may change is in the configuration, with these as defaults.
 */
import { alertLimits } from './alert-limits.ts'
import { assert } from './assert.ts'
import { deviceLimits } from './device-limits.ts'
import { doorLimits } from './door-limits.ts'
import { meterPointLimits } from './meter-point-limits.ts'
import { registrationLimits } from './registration-limits.ts'
import { rejectionLimits } from './rejection-limits.ts'
import { replicaLimits } from './replica-limits.ts'
import { scheduleLimits } from './schedule-limits.ts'
import { storageLimits } from './storage-limits.ts'
import { sequenceLimits } from './sequence-limits.ts'
import { thresholdLimits } from './threshold-limits.ts'
import { wanLimits } from './wan-limits.ts'

export const limits = {
  ...alertLimits,
  ...deviceLimits,
  ...doorLimits,
  ...meterPointLimits,
  ...registrationLimits,
  ...rejectionLimits,
  ...replicaLimits,
  ...scheduleLimits,
  ...storageLimits,
  ...sequenceLimits,
  ...thresholdLimits,
  ...wanLimits,
  // ── messages ──
  /**
   * One ServiceRequest on the wire. The largest GB request (a tariff) is 27 kB of XML; ours is
   * binary.
   */
  requestBytesMax: 64 * 1024,
  /** Requests in one SubmitBatch, SubmitStream message or HTTP batch. */
  requestsPerBatchMax: 1_000,
  /** One gRPC or HTTP message from a party. */
  partyMessageBytesMax: 4 * 1024 * 1024,
  /** A response body; a profile of 13 months of half hours is about 500 kB. */
  responseBodyBytesMax: 2 * 1024 * 1024,
  /**
   * One message on NATS, a whole tick: under the server's max_payload, which Busbar sets to 8 MiB
   * on its own server and checks on any other.
   */
  frameBytesMax: 5 * 1024 * 1024,
  /**
   * Deliveries to one party in one tick: the index within its frame takes 12 bits of a delivery id.
   */
  deliveriesPerFrameMax: 4_096,
  /** Messages of one atomic batch; nats-server refuses more than 1,000 by default. */
  ledgerBatchMessagesMax: 900,
  /** Ticks of one party that a gateway knows by their sequence, for its receivers. */
  partyIndexEntriesMax: 500_000,
  /**
   * Messages that a reader of the ledger holds before they are taken; octets are bounded by the
   * server's max_payload.
   */
  ledgerPrefetchMessagesMax: 1_000,
  /** Room that a writer of frames starts with, and keeps from one frame to the next. */
  frameStartBytes: 4096,
  /** Room that is given back when a larger frame is done. */
  frameKeptBytesMax: 1024 * 1024,

  // ── queues ──
  /** Messages decided in one tick of a host: one message on the ledger. */
  tickMessagesMax: 4_096,
  /** Share of a tick, of 100, that is for letters between actors while other messages wait, too. */
  tickLettersPercent: 25,
  /** Octets of facts and deliveries after which a tick is closed. */
  tickBytesMax: 2 * 1024 * 1024,
  /** Requests that one gateway process holds between a party and the acknowledgement. */
  gatewayRequestsInFlightMax: 20_000,
  /** The same for one stream: past it the gateway stops reading that stream. */
  streamRequestsInFlightMax: 4_000,
  /**
   * The same for one party, over all its connections to one gateway: half, so that nobody takes the
   * whole gateway.
   */
  partyRequestsInFlightMax: 10_000,
  /** Octets of frames that one gateway holds until they are answered. */
  gatewayBytesInFlightMax: 128 * 1024 * 1024,
  /** One frame from a gateway to a host: under the 1 MiB that a nats-server takes by default. */
  requestFrameBytesMax: 768 * 1024,
  /**
   * Frames on their way from one gateway to one host; while they are out the next frame gathers.
   */
  gatewayFramesInFlightMax: 8,
  /**
   * Deliveries in one message to a receiver, and its octets (one delivery more may stand above
   * that).
   */
  deliveriesPerMessageMax: 1_000,
  deliveryMessageBytes: 128 * 1024,
  /**
   * Body of one letter between actors; letters that one decision sends; how many letters may lead
   * to one another.
   */
  letterBytesMax: 16 * 1024,
  lettersPerDecisionMax: 64,
  letterHopsMax: 16,
  /** What the directory holds of one actor. */
  directoryRecordBytesMax: 4 * 1024,
  /**
   * How long ago a host may have known its copy of the directory to be the present one when it
   * decides: what is changed there takes effect within it and one tick.
   */
  directoryLagMsMax: 1_000,
  /** Letters of one partition that are read and not decided. */
  lettersInHandMax: 256,
  /** How often letters that wait in the ledger are counted. */
  lettersCountMs: 1_000,
  /** Letters that led to nothing, after which the place up to which they are read is written. */
  lettersSkippedMax: 64,
  /** How long after the first of them it is written at the latest. */
  lettersPlaceMs: 60_000,
  /** Age of an unread letter from which on the host says that it is degraded. */
  lettersLateMs: 120_000,
  /** Messages waiting in one partition's mailbox. */
  mailboxMessagesMax: 20_000,
  /** Requests a device holds that have not ended. */
  deviceQueueMax: 64,
  /** The same with those in quarantine. */
  deviceOpenMax: 64 + thresholdLimits.quarantinedPerDeviceMax,
  /** Ended requests that a device remembers whole, for repeats and status. */
  deviceRequestsRememberedMax: 64,
  /**
   * RequestIDs of older ones that it remembers so that none runs twice; how many go together, and
   * for how long they stay.
   */
  deviceCountersRememberedMax: 1_024,
  deviceCountersPerChunk: 32,
  deviceCountersKeepMs: 86_400_000,
  /**
   * How far above the highest counter a party that counts by itself may go, see
   * core/base/request-counter.ts.
   */
  requestCounterStepMax: 1_000_000,
  /** How far ahead of the clock a counter that is a time may be. */
  requestCounterAheadMs: 86_400_000,
  /** What an operator gives as who resets counters, UTF-8. */
  operatorNameBytesMax: 200,
  /** Parties that one device remembers counters of. */
  deviceOriginatorsMax: 256,
  /** Deliveries a party may leave unacknowledged on one stream. */
  receiverCreditMax: 100_000,
  /** Responses that one gateway indexes by RequestID, over all parties: 12 octets each. */
  responseIndexEntriesMax: 4_000_000,
  /**
   * Ticks in the first step of a search for a response, from the newest to older ones, and in the
   * largest.
   */
  responseSearchTicks: 2_048,
  responseSearchTicksMax: 65_536,
  /** Searches for older responses of one party that may wait for each other. */
  responseSearchesMax: 64,
  /** Searches of all parties that read the ledger at one time. */
  responseSearchesAtOnceMax: 2,
  /**
   * Responses that a gateway remembers to be in no tick of the ledger, so that it does not look
   * again.
   */
  responsesAbsentMax: 10_000,
  /** Calls that wait for a response at one gateway. */
  responseWaitsMax: 10_000,
  /** A call that reads a response waits so long for a search in older deliveries. */
  responseSearchMsMax: 10_000,

  /**
   * Ticks of a ledger after which a partition's snapshot is made again; a host that takes it over
   * cold reads about so many at most.
   */
  snapshotTicks: 20_000,
  /** Ticks that a store may lie behind the snapshot before it is rather loaded from it. */
  snapshotWorthTicks: 5_000,
  /** Share of the ledger, of 100, above which it forgets what nobody needs any more. */
  ledgerTrimPercent: 50,

  /**
   * Rows that a views process changes before it saves them: encoding so many takes some ms of its
   * thread.
   */
  viewsBatchRowsMax: 4_000,
  /** Ticks that a views process may lie behind before it is not ready. */
  viewsLagTicksMax: 5_000,
  /** Rows of one answer of views to an operator, and rows looked at for it. */
  viewsPageRowsMax: 1_000,
  viewsScanRowsMax: 10_000,

  // ── waits, in ms ──
  /** A party's wait for an acknowledgement. */
  acknowledgementWaitMsMax: 15_000,
  /** The answer of one APDU by a device. */
  wanResponseMsMax: 10_000,
  wanConnectMsMax: 5_000,
  /** A whole exchange of one attempt, all APDUs. */
  wanExchangeMsMax: 30_000,
  /**
   * Requests without a deadline of their own end after this. GB: 30 s target for on-demand
   * requests; three attempts fit in two minutes, however long each takes.
   */
  requestLifetimeMs: 120_000,
  /** The furthest deadline a party may ask for: 30 days. */
  requestLifetimeMsMax: 30 * 24 * 3_600_000,
  /**
   * One fsynced commit on the ledger; what a server that dies had not answered is in doubt for so
   * long.
   */
  ledgerCommitMsMax: 5_000,
  /**
   * A question to the ledger that changes nothing. In a cluster nobody answers while a new leader
   * is elected (4 to 9 s): it is asked again after the first.
   */
  ledgerAskMs: 2_500,
  ledgerAskMsMax: 10_000,
  /** The same at the start, when a cluster may be starting as well. */
  ledgerStartMsMax: 30_000,
  /**
   * How often each connection asks the ledger something, to know whether its server still has a
   * leader to ask.
   */
  ledgerProbeMs: 3_000,
  /** How often a data directory records how far it has seen the ledger. */
  ledgerSeenMs: 2_000,
  /** Restores of one ledger that its record remembers; the oldest one is dropped. */
  ledgerIncarnationsMax: 256,
  /**
   * A server over which the ledger has done nothing of what was asked for so long is left for
   * another one.
   */
  ledgerSilenceMsMax: 6_000,
  /** Forgetting old ticks: the server goes through its blocks. */
  ledgerForgetMsMax: 60_000,
  /** How often a host looks whether snapshots are due, and whether the ledger is short of room. */
  snapshotLookMs: 2_000,
  /** How long what views have counted may wait to be saved. */
  viewsSaveMs: 1_000,
  /** How often a views process looks how far behind it is, and says how far it has come. */
  viewsLookMs: 2_000,
  /** Before a views process that could not go on begins again from what it has saved. */
  viewsRetryMs: 2_000,
  /** How often a host says that it is alive; nobody keeps it. */
  aliveIntervalMs: 1_000,
  /**
   * A host silent for so long may lose its partitions: several intervals, so that one pause of a
   * garbage collector is not a take-over.
   */
  leaseSilenceMsMax: 3_000,
  /**
   * How often a host looks for partitions without an owner, and whether it has more than its share.
   */
  lookAroundMs: 500,
  /**
   * A host that is offered partitions brings its stores up to date within this; offered again
   * otherwise, from where it stood.
   */
  handoverWarmMsMax: 30_000,
  /** Hosts that are known as alive, and as many wan processes. */
  hostsMax: 1_024,
  /** What a process says of itself to everybody. */
  presenceBytesMax: 4 * 1024,
  /** Partitions offered at one time. */
  handoverPartitionsMax: 64,
  /** Before a partition is tried again whose store stayed damaged after it had been cleared. */
  storeRetryMs: 30_000,
  /** Before a worker process that died is started again. */
  workerRestartDelayMs: 1_000,
  /** A tick that is under way for longer makes a host not ready. */
  tickMsMax: 3_000,
  /** Heartbeat asked of the server by a reader of the ledger that has nothing to read. */
  ledgerHeartbeatMs: 2_000,
  /** A bounded read of the ledger without any progress. */
  ledgerReadStallMsMax: 30_000,
  /** A gateway looks again for the owner of a partition after this, if it hears of no change. */
  ownerWaitMs: 250,
  /** Hints to a party that was refused for want of room, or of an owner. */
  busyRetryMs: 250,
  /** The same when its load class is shed: until what is more urgent has been served. */
  shedRetryMs: 2_000,
  unavailableRetryMs: 1_000,
  /** Times that the operators' door asks the host of a device, `unavailableRetryMs` apart. */
  registrationAttemptsMax: 10,
  /**
   * A receiver that takes nothing for this long is cut off; its stream is reset this long after its
   * status was sent.
   */
  receiverStallMsMax: 10_000,
  receiverResetMs: 1_000,
  /**
   * A receiver that opens only if there is no other waits so long for receivers at other gateways
   * to answer.
   */
  receiverAskMs: 500,
  /**
   * After an HTTP poll the party counts as receiving for so long: most clients poll again at once.
   */
  receiverLingerMs: 10_000,
  /**
   * `busbar load`: latencies kept of each kind, and ended requests remembered to find duplicates.
   */
  loadLatenciesMax: 1_000_000,
  loadEndedMax: 1_000_000,
  /** `busbar load`: wait after a rejection without a hint before its place is used again. */
  loadRejectionWaitMs: 100,
  /**
   * Spans of pending deliveries that a gateway keeps for the metrics of one party; older ones are
   * joined.
   */
  pendingSpansMax: 256,
  /**
   * Between two writes of one delivery cursor; what a crash forgets in between is delivered again.
   */
  cursorWriteMs: 100,
  /** The first message of a receiver, with its credit. */
  receiverOpenMsMax: 10_000,
  /**
   * A connection without a sign of life for the first gets a ping, and is closed when no answer
   * comes for the second.
   */
  connectionKeepaliveMs: 30_000,
  connectionKeepaliveWaitMs: 10_000,
  /** Hint with DEVICE_QUEUE_FULL. */
  deviceRetryAfterMs: 1_000,
  // ── operations ──
  /** Time to wait for the first line of a nats-server, and its size at most. */
  natsGreetingMsMax: 2_000,
  natsGreetingBytesMax: 16_384,
  /**
   * A nats-server child from its start until it takes connections; recovery of a large store takes
   * its time.
   */
  natsReadyMsMax: 120_000,
  /**
   * An embedded broker becomes ready, or says why not; reading the ledger's tail may take as long.
   */
  brokerReadyMsMax: 120_000,
  /** A health check waits so long for an answer: less than the 5 s of the container's check. */
  healthProbeMsMax: 4_000,
  /** A nats-server child from SIGTERM until it is gone; then SIGKILL. */
  natsStopMsMax: 15_000,
  /** First delay before a nats-server child that died is started again, doubled each time. */
  natsRestartDelayMs: 50,
  natsRestartDelayMsMax: 5_000,
  /**
   * Deaths of a nats-server child within `natsFailuresWindowMs` after which Busbar gives up
   * (NATS_SERVER_FAILED).
   */
  natsFailuresMax: 8,
  natsFailuresWindowMs: 60_000,

  /**
   * How often a process looks at the ledger to know whether it is ready, and the silence after
   * which it is not.
   */
  readinessLookMs: 1_000,
  readinessSilenceMsMax: 5_000,
  /** Ticks that an output gateway may be behind the ledger and still be ready. */
  deliveryLagTicksMax: 2_000,
} as const

assert(
  limits.deviceRequestsRememberedMax >= 2 * limits.deviceCountersPerChunk &&
    limits.deviceCountersRememberedMax % limits.deviceCountersPerChunk === 0,
  'a chunk of counters leaves whole records behind',
)
assert(
  limits.wanHdlcIdleMs < limits.hdlcInactivityMs,
  'an HDLC link is closed by us before the device does it',
)
assert(
  // Each octet of A-XDR is there once as it is, and as values in up to two.
  limits.responseBodyBytesMax >= limits.alertPartiesMax * 4 * limits.pushBytesMax,
  'an alert for all its parties takes no more of a tick than a response',
)
assert(
  limits.requestBytesMax > limits.pushBytesMax && limits.wanFrameBytesMax > 2 * limits.pushBytesMax,
  'a push is an envelope like a request',
)
assert(
  limits.frameBytesMax >= limits.responseBodyBytesMax + limits.requestBytesMax,
  'a frame holds the largest envelope',
)
assert(
  limits.wanExchangeMsMax > limits.wanResponseMsMax + limits.wanConnectMsMax,
  'an exchange outlasts its first answer',
)
assert(
  limits.requestLifetimeMs > 3 * (limits.wanExchangeMsMax + limits.wanTransitMsMax),
  'three of the longest attempts fit in the default lifetime',
)
assert(limits.partyMessageBytesMax > limits.requestBytesMax, 'a message holds the largest request')
assert(
  limits.acknowledgementWaitMsMax > limits.ledgerCommitMsMax,
  'an acknowledgement outlasts its commit',
)
assert(
  limits.ledgerAskMsMax > 3 * limits.ledgerAskMs && limits.ledgerStartMsMax > limits.ledgerAskMsMax,
  'a question may get lost twice',
)
assert(
  limits.partyRequestsInFlightMax <= limits.gatewayRequestsInFlightMax / 2,
  'one party leaves room for another',
)
assert(
  limits.streamRequestsInFlightMax + limits.requestsPerBatchMax <= limits.partyRequestsInFlightMax,
  'a full stream is paused before its party is refused',
)
assert(
  limits.deliveriesPerMessageMax <= limits.deliveriesPerFrameMax,
  'a frame may take several messages, not the other way round',
)
assert(
  limits.leaseSilenceMsMax >= 3 * limits.aliveIntervalMs,
  'two lost announcements are not a dead host',
)
assert(
  limits.wanSilenceMsMax >= 3 * limits.aliveIntervalMs,
  'two lost announcements are not a dead wan process',
)
assert(
  limits.wanTransitMsMax > limits.wanReceiptMsMax,
  'a lost frame is known before its exchanges are over',
)
assert(
  limits.frameBytesMax >=
    limits.tickBytesMax + limits.responseBodyBytesMax + 4 * limits.requestBytesMax,
  'a tick, with the largest answer as its last, is one message',
)
assert(
  limits.wanDeadAddressMs < limits.retryDelayMs,
  'a retry is not refused for the failure before it',
)
assert(
  limits.viewsScanRowsMax >= limits.viewsPageRowsMax,
  'a page may be filled by what is looked at for it',
)
assert(
  limits.countersReserved >= 2 * limits.countersPerExchangeMin,
  'a reservation lasts for more than one exchange',
)
assert(
  limits.requestFrameBytesMax > 2 * limits.requestBytesMax,
  'a frame of requests holds the largest one',
)
assert(
  limits.partyMessageBytesMax <= limits.connectionBytesInFlightMax,
  'a message of a party fits into its connection',
)
