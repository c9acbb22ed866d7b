/** Ceilings of disks and of what is kept on them: part of `limits`, whose rules hold here. */
export const storageLimits = {
  /**
   * Ticks without a fact of a partition after which its checkpoint is moved on, so that a restart
   * need not read them.
   */
  checkpointIdleTicksMax: 5_000,
  /** Changed actors after which replay saves, so that a long replay stays in bounded memory. */
  replayDirtyMax: 20_000,
  /** Between two saves that are made only because too many actors are awake. */
  crowdedSaveMs: 500,
  // ── the local store ──
  /**
   * Before changes that the local store did not take are written to it again; until then they stay
   * in memory.
   */
  storeFlushRetryMs: 1_000,
  /**
   * Failed writes in a row, on a disk that has room, after which the local store is set aside and
   * rebuilt.
   */
  storeFailuresMax: 3,
  /** Devices in one write when a whole partition goes from memory to the local store. */
  storeFlushDevicesMax: 2_000,
  /**
   * Octets that are written for a test before the local store is made: less room than this and it
   * would fail at once.
   */
  storeProbeBytes: 256 * 1024,
  /**
   * Free space below which the local store is not written: LMDB must not meet a full disk. On a
   * small disk an eighth of it.
   */
  storeFreeBytesMin: 4 * 1024 * 1024,
  /** Copies of one store that are kept when it has been set aside. */
  setAsideMax: 2,

  // ── disks ──
  /** How often the free space of each disk in use, or of an account, is looked at. */
  diskLookMs: 1_000,
  /**
   * Share of the ledger's disk, of 100, below which no new requests are taken, where nothing is
   * set.
   */
  diskReservePercent: 10,
  /** Hint with BROKER_DISK_LOW and BROKER_STORAGE_LOW. */
  diskRetryMs: 5_000,
  /**
   * Share of the ledger, of 100, that is kept for answers, leases, seals, snapshot and trim
   * records: no new requests are taken in it.
   */
  ledgerReservePercent: 10,
  /** Of the whole, what answers leave to leases, seals, snapshot and trim records, percent. */
  ledgerRecordsReservePercent: 2,
  /** What one answer is taken to need in the ledger before any was seen. */
  ledgerOutcomeBytes: 1_024,
  /**
   * An embedded nats-server is started again when no write was decided for so long though it is
   * connected; not more often than the second.
   */
  natsUndecidedMsMax: 10_000,
  natsRevivalIntervalMs: 60_000,
  /** Wait for the end of a server that is started again for that; then SIGKILL. */
  natsRevivalStopMsMax: 3_000,
  /** How often it is looked whether that must be. */
  natsRevivalLookMs: 500,

  // ── ledger, feeds and what processes tell one another ──
  /** Ticks that a feed keeps for receivers that are up to date, and their octets. */
  feedTicksMax: 256,
  feedBytesMax: 32 * 1024 * 1024,
  /** Before deliveries are read again that could not be. */
  feedRetryMs: 500,
  /** Headers of one message of a batch: its id and place, and an expectation. */
  ledgerHeadersBytesMax: 512,
  /** Before a ledger without a leader is asked again. */
  ledgerLeaderRetryMs: 250,
  /** One message of a snapshot: each is flushed by itself, so not too few. */
  snapshotChunkBytes: 512 * 1024,
  /** Messages of a snapshot that its reader has in hand. */
  snapshotPrefetchMessagesMax: 8,
  /** One value of a cursor store, and the whole of it. */
  cursorBytesMax: 4096,
  cursorBucketBytesMax: 64 * 1024 * 1024,
  /** Attempts at one lease, while other writers come in between. */
  leaseAttemptsMax: 5,
  /** Longest wait before a reader of the ledger asks again. */
  ledgerReadRetryMsMax: 2_000,
  /** How long a reader's question for more of the ledger stands open. */
  ledgerPullMs: 30_000,
  /** Before a cluster is asked again for what it could not make at the start. */
  ledgerStartRetryMs: 500,
  /** Transactions that read a local store at one time, all processes together. */
  storeReadersMax: 64,
  /** The record of a host's snapshots: 1,024 partitions. */
  snapshotRecordBytesMax: 512 * 1024,
  /** The status of one process. */
  processStatusBytesMax: 512 * 1024,
  /** One offer of partitions, or answer to it: 1,024 partitions with their nonces. */
  handoverBytesMax: 128 * 1024,
  /** How often it is looked whether a nats-server that is not a child has given its store back. */
  natsEndLookMs: 50,
  /** How often a nats-server that starts is asked for its greeting. */
  natsReadyLookMs: 20,
  /** How often it is looked whether a process that was told to end has ended. */
  processEndLookMs: 20,
  /**
   * Store of an embedded nats-server: the default limit of the ledger, 8 GiB, and as much again for
   * cursors and files that wait to be compacted.
   */
  natsStoreBytesMax: 16 * 1024 ** 3,
  /** How often a connection with a nats-server is pinged. */
  natsPingMs: 2_000,
  /** A connection with a nats-server until it stands. */
  natsConnectMsMax: 5_000,
} as const
