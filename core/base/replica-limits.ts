/**
 * Limits of what watches, compares and reads the replicas of the ledger; part of `limits`
 * (limits.ts), through which they are used.
 */
export const replicaLimits = {
  /** How often a process asks for the replicas of the streams that it depends on. */
  replicaLookMs: 5_000,
  /**
   * A replica that its leader has not heard for so long is offline. Followers answer about once a
   * second.
   */
  replicaSilenceMsMax: 5_000,
  /** Operations that a replica may be behind its leader. */
  replicaLagMessagesMax: 1_000,
  /**
   * A replica may be lagging for so long before it counts as degraded: one that restarts catches up
   * first.
   */
  replicaLagMsMax: 10_000,
  /** One range of the ledger when the copies of all replicas are compared. */
  replicaRangeBytes: 1024 * 1024,
  replicaRangeMessages: 256,
  /** One replica's answer about a range. */
  replicaReadMsMax: 5_000,
  /**
   * Questions about one range: any replica may answer each, and every replica has to answer one.
   */
  replicaReadsMax: 40,
  /** A difference between replicas counts when it is still there after so long. */
  replicaConfirmMs: 2_000,
  /** Rest between two ranges, so that a comparison takes about 3 MiB/s from the servers. */
  replicaRangeRestMs: 1_000,
  /** Rest between two comparisons of the whole ledger; shorter while a replica is damaged. */
  replicaPassRestMs: 600_000,
  replicaDamageRestMs: 15_000,
  /** Faults of replicas that are listed; more are counted only. */
  replicaFaultsMax: 20,
  /** A reader that gets nothing of what its leader has for so long is put on another replica. */
  ledgerReadMoveMs: 4_000,
  /**
   * A partition whose chain breaks is read so many times: each reader may be put on another
   * replica.
   */
  ledgerReadsMax: 8,
  /** After that, it is tried again when so long has passed: the replica may have been repaired. */
  ledgerDamageRetryMs: 60_000,
} as const
