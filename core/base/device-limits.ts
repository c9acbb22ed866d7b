/**
 * Ceilings of devices and of DLMS/COSEM: part of `limits`, whose rules hold here.
 */
export const deviceLimits = {
  // ── devices ──
  /** No delay before another attempt is shorter: core/docs/reference/retries.md. */
  retryDelayMs: 2_000,
  /** A clock that is off by less than this, against elapsed time, was not set. */
  clockStepMs: 1_000,
  /**
   * Before a device is waited for again that dials in and has not, `wanExchangeMsMax` each time.
   */
  dialInRetryMs: 10_000,
  /**
   * Attempts at a command that the device refuses for the time being, or answers with what is not
   * valid. While it is not reached they go on until the deadline.
   */
  attemptsMax: 3,
  /** Requests that wait for their execution time at a device, of all parties. */
  deviceFutureRequestsMax: 32,
  /** Attempts are counted up to here. */
  attemptsCountedMax: 0xffff,
  /** The oldest half hour a meter keeps: 13 months, SMETS2 5.7.5.20 [GK]. */
  profileDaysMax: 400,
  /**
   * The name of a time zone in a device record, and zones that a process remembers: names come in
   * other cases too.
   */
  zoneNameCharactersMax: 64,
  zonesRememberedMax: 1_000,
  /** Spans between two clock changes that a process remembers of a zone: those of 64 years. */
  zoneSpansRememberedMax: 128,
  /** Combinations of device profiles that a process remembers; more are made each time. */
  profilesJoinedMax: 1_000,
  /** A low-level security secret: more than any meter takes. */
  deviceSecretBytesMax: 64,
  /** A host name in a device record. */
  hostCharactersMax: 253,

  // ── DLMS ──
  /** One APDU in a datagram: with its headers it goes through any network whole. */
  datagramApduBytesMax: 1_200,
  /** One APDU before block transfer; the wrapper's length field is 16 bits. */
  apduBytesMax: 65_535,
  /** A whole value gathered from blocks. */
  transferBytesMax: 1024 * 1024,
  /** Times that the same general blocks are sent again before the transfer is given up. */
  generalBlockResendsMax: 8,
  /**
   * General blocks in a row that bring nothing new: the largest window, sent again as often as we
   * would.
   */
  generalBlocksUselessMax: 512,
  /** Nesting of arrays and structures. */
  dataDepthMax: 16,
  /** Elements of one array or structure. */
  dataElementsMax: 65_536,
  /** Layers of protection around one APDU: signed, ciphered around that, signed around that. */
  protectionLayersMax: 3,
  /**
   * Keys agreed or transported within APDUs that one association remembers, with their counters;
   * the oldest goes first.
   */
  sessionKeysMax: 32,
  /**
   * An invocation counter this near to its end raises an alarm: 1 % of its range, months of the
   * busiest meter.
   */
  invocationCountersLeftMin: 42_949_672,
  /**
   * Devices whose keys a process holds opened, about 2 kB each; the one used longest ago is opened
   * again when it is needed.
   */
  keysOpenedMax: 20_000,
  /**
   * Invocation counters reserved on the ledger at a time: one fact for many exchanges; what a crash
   * burns is 1 / 260,000 of all.
   */
  countersReserved: 16_384,
  /**
   * An exchange is begun with at least so many: the longest profile in the smallest blocks, with
   * repeats.
   */
  countersPerExchangeMin: 4_096,
  /**
   * How far a device may say that its counter is ahead, which nobody signs: 1/256 of all, so that a
   * forger needs hundreds of answers to wear out a key.
   */
  counterJumpMax: 0x100_0000,
  /** Of the detail of a failure that facts, states and deliveries keep. */
  causeDetailBytesMax: 300,
  /**
   * Before the counter of a device is read again whose exchanges still failed after the last
   * reading.
   */
  counterRereadMs: 60_000,
  /** Devices of which that is remembered; the oldest one is forgotten first. */
  counterRereadsRememberedMax: 100_000,
  /** Earlier keys of a device whose counters are remembered, each by its mark. */
  keysRememberedMax: 32,
  /** Times that new keys are offered to a meter that then proves that it has kept the old ones. */
  keyTransfersMax: 3,
  /** Longest wait between two attempts to learn which keys a meter has. */
  keysRetryMsMax: 300_000,
  /**
   * How often a host goes through its devices for keys that were sealed under an older
   * key-encryption key, when they have changed.
   */
  keysSweepMs: 15_000,
  /**
   * How often it looks whether there is a new one; and the devices it reads at a time, ten times a
   * second: 1 ms of its thread.
   */
  keysLookMs: 5_000,
  keysSweepDevicesMax: 200,
  /**
   * Information in one HDLC frame, and frames without an acknowledgement; 128 and 1 hold until more
   * is agreed [IEC 62056-46, 6.4.4.4.3.2].
   */
  hdlcInformationBytesMax: 2_030,
  hdlcWindowMax: 7,
  /** Octets from a line without one good frame before the peer is taken for something else. */
  hdlcGarbageBytesMax: 64 * 1024,
  /** An answer to a frame; then the station is asked again, so often. */
  hdlcResponseMs: 3_000,
  hdlcRetriesMax: 3,
  /** Between two polls of a station that has nothing to say yet. */
  hdlcPollMs: 100,
  /**
   * A link without a frame is closed by the station after this: the default of IEC HDLC setup,
   * interface class 23.
   */
  hdlcInactivityMs: 120_000,
  /** APDUs that wait behind the one being sent on a link. */
  hdlcQueuedApdusMax: 16,
  /** What a meter that dials in says of itself before anything else. */
  pushIdentificationBytesMax: 64,
  /** Longest M-Bus frame: its L octet + 256 times this many octets. */
  mbusLengthWrapsMax: 7,
  /** Octets that are shown, of those that came in a push and were not understood. */
  pushDroppedShownMax: 256,
  /**
   * What is not understood is reported after so many octets at the latest, where it does not end.
   */
  pushDroppedRunBytesMax: 1024 * 1024,
  /** Connections that `busbar meter push-listen` has open at one time; more are closed at once. */
  pushConnectionsMax: 1_000,
  /**
   * A pause that ends an APDU or an identification with nothing around it; and one after which a
   * connection is closed.
   */
  pushPauseMs: 300,
  pushIdleMs: 60_000,
  /** Senders whose pushes in segments or general blocks are put together at one time. */
  pushGatheringsMax: 100,
  /** The same on one connection of the broker, each of `pushBytesMax` at most. */
  pushGatheringsPerLinkMax: 4,
  /** Datagrams that the door takes in a second; more are dropped before they are read. */
  dialInDatagramsMax: 20_000,
  /** The longest that it can be told to listen: a week. */
  pushListenMsMax: 7 * 24 * 3_600_000,
  /** Sets of keys in a file that are tried on one APDU. */
  keySetsMax: 1_000,
  /** Devices of an inventory whose keys `busbar meter push-listen` takes. */
  pushDevicesMax: 100_000,
  /** What `busbar dlms decode` takes at one time. */
  decodeBytesMax: 1024 * 1024,
  /** The longest that `busbar meter` can be told to wait for an answer. */
  meterWaitMsMax: 600_000,
  /**
   * A complete answer, in all its blocks, may take so many times what one answer is waited for; and
   * no longer than this.
   */
  meterAnswerWaitsMax: 30,
  meterAnswerMsMax: 1_800_000,
  /**
   * An identification in mode E, or its confirmation: a meter may take 1.5 s to begin, and 300 baud
   * are slow [IEC 62056-21, 6.3.14].
   */
  modeEResponseMs: 3_000,
  /** One line of the handshake in mode E. */
  modeELineBytesMax: 64,
  /** Links of all clients with one physical device. */
  hdlcLinksMax: 64,
  /**
   * Gathering buffers larger than this are given back when their unit is whole, their frame is done
   * or they are empty: links are many.
   */
  hdlcKeptBytesMax: 1024,
  hdlcReaderKeptBytesMax: 256,
  wrapperKeptBytesMax: 1024,
  /** Rounds of an image transfer in a row that bring the meter no block. */
  imageIdleRoundsMax: 3,
  /** Notes on what is odd about one value that a device gave. */
  cosemNotesMax: 100,
} as const
