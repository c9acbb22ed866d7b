/**
 * Ceilings of the way to devices, and of what they say by themselves: part of `limits`, whose rules
 * hold here.
 */
export const wanLimits = {
  // ── connections and exchanges ──
  wanConnectionsMax: 8_192,
  /** Connections being opened at one time. */
  wanConnectsMax: 256,
  /** Exchanges that the WAN holds, waiting ones included; the next one fails at once. */
  wanExchangesMax: 100_000,
  /**
   * Octets of exchanges and results that one process holds for others: a host those it has sent to
   * wan processes, a wan process those it carries. What comes on top is refused.
   */
  wanBytesInFlightMax: 128 * 1024 * 1024,
  /** One frame between a host and a wan process, unless a single result is larger. */
  wanFrameBytesMax: 512 * 1024,
  /** Frames on their way from one process to another; while they are out the next frame gathers. */
  wanFramesInFlightMax: 2,
  /** Wait for the receipt of such a frame. */
  wanReceiptMsMax: 4_000,
  /** What an exchange may take beyond its time at the wan process, on its way there and back. */
  wanTransitMsMax: 5_000,
  /** A wan process silent for so long is dead: what it had under way has failed. */
  wanSilenceMsMax: 3_000,
  /** How often a host looks for wan processes that fell silent and exchanges whose time is over. */
  wanLookMs: 250,
  /** Wait of a wan process that ends for what it has under way. */
  wanDrainMsMax: 5_000,
  /**
   * Exchanges under way on one connection; more wait by lane, so that an urgent one is not behind
   * them.
   */
  wanExchangesPerConnectionMax: 1_024,
  /** Wait for the release of associations before a connection is closed all the same. */
  wanReleaseMsMax: 1_000,
  /**
   * An address that could not be connected to is not tried again for this long; below
   * `retryDelayMs`.
   */
  wanDeadAddressMs: 1_000,
  /** Frames without a question within a minute before a connection is cut: the peer is flooding. */
  wanUnsolicitedFramesMax: 1_000,
  /** Frames of the wrapper without an APDU, one after another, before the peer is flooding. */
  wrapperEmptyFramesMax: 100,
  /**
   * Before a connection is tried again that a device refused just after the one before had been
   * closed.
   */
  wanReconnectMs: 1_000,
  /**
   * Octets that wait on one connection, beyond what the system takes, for a device that does not
   * read; then it is cut.
   */
  wanUnreadBytesMax: 4 * 1024 * 1024,
  /**
   * An HDLC link that nobody uses for this long is closed; below what meters wait themselves,
   * `hdlcInactivityMs`.
   */
  wanHdlcIdleMs: 60_000,
  /**
   * Before a connection that a device made has said who it is, and the pause that ends what has no
   * length of its own.
   */
  dialInAnnouncementMsMax: 30_000,
  dialInPauseMs: 500,
  /**
   * An unsolicited message of a device, alarm and APDU: eight parties get it in one tick, and the
   * ledger keeps it for all of them.
   */
  pushBytesMax: 32 * 1024,
  /**
   * What devices have said that a process with their connections holds until it is on disk: how
   * many, and their octets.
   */
  pushesWaitingMax: 10_000,
  pushBytesWaitingMax: 32 * 1024 * 1024,
  /** How long that waits for an owner of the device with room, and how often it looks for one. */
  pushWaitMsMax: 15_000,
  pushRetryMs: 250,
  /** Lines that say that a push was not delivered come no more often than this; all are counted. */
  pushRefusalLogMs: 1_000,
  /**
   * Pushes of one device that are delivered within the time. Further alerts with a code are held,
   * or delivered when their code never is (alert-limits.ts); what has no code is refused.
   */
  deviceAlertsMax: 60,
  deviceAlertsMs: 60_000,
  /**
   * A push that comes again within it is the same one, not confirmed or decided again: longer than
   * anybody tries.
   */
  deviceAlertRepeatMs: 180_000,
  /** Parties that the alerts of one device go to. */
  alertPartiesMax: 8,
  /**
   * Base names in a device record: with them a record is still far below a request, and an actor's
   * state below 64 KiB.
   */
  shortNamesMax: 300,
  /** Names of device profiles in a record, joined. */
  profileCharactersMax: 300,
  /**
   * Invocation counters of pushes that are remembered one by one, so that one that was overtaken by
   * another is no replay.
   */
  pushCountersRememberedMax: 32,
  /** How often the file of what devices call themselves is looked at, while any of them speaks. */
  dialInNamesLookMs: 1_000,
  /**
   * How often a wan process tells which devices have dialled in to it, names in one announcement,
   * and names that a host remembers.
   */
  dialInTellMs: 10_000,
  dialInNamesMax: 1_000,
  dialInPlacesMax: 1_000_000,

  /** The time in which `wanUnsolicitedFramesMax` frames are counted. */
  wanUnsolicitedWindowMs: 60_000,
  /** General blocks of a push that count as one unsolicited frame. */
  wanBlocksPerUnsolicitedFrame: 8,
  /** Octets read at one time from a connection with a device. */
  wanReadBytes: 64 * 1024,
  /** How often a wan process that ends looks whether what it has under way has ended. */
  wanDrainLookMs: 20,
  /** Of the detail of a failure in a result between processes. */
  wanDetailCharactersMax: 500,
  /**
   * Strings within a notification that may be a name of its device: their length, and how many are
   * looked at.
   */
  pushNameBytesMin: 4,
  pushNameBytesMax: 64,
  pushNameElementsMax: 8,
  /** A connection with a device that says nothing is probed by the system after this. */
  wanKeepAliveMs: 60_000,
  /** How often time-outs are looked for: they come late by this much at most. */
  wanSweepMs: 100,
} as const
