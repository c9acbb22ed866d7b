/** Ceilings of the record of rejected requests: part of `limits`, whose rules hold here. */
export const rejectionLimits = {
  /**
   * Rejections of one party with one code that a process records one by one, in any second; more
   * are counted by the minute.
   */
  rejectionsPerSecondMax: 10,
  /**
   * Rejections that a process records one by one in any second, of all parties and codes; more are
   * counted. At 300 octets each that is 5 GB a day at most.
   */
  rejectionsOfAllPerSecondMax: 200,
  /** Pairs of party and code whose rate a process knows; of others rejections are counted. */
  rejectionRatesMax: 4_096,
  /** Rejections that wait in a gateway until the actors of their parties have recorded them. */
  rejectionsQueuedMax: 1_000,
  /** Rejections in one report to the actor of a party. */
  rejectionsPerReportMax: 100,
  /** Counts of a minute that a process holds: of a party, or of nobody, with one code. */
  rejectionCountsMax: 4_096,
  /** How often a process reports rejections to the actors of the parties. */
  rejectionReportMs: 1_000,
  /** Period of one count. */
  rejectionCountMs: 60_000,
  /**
   * Share of the ledger, of 100, that must be free for rejections to be recorded one by one. With
   * less, they are counted only; in the reserve, counts wait as well.
   */
  rejectionRoomPercent: 25,
  /** Between two explanations for one party: each reads the ledger. */
  explanationIntervalMs: 2_000,
  /** Rejections in one page of a list. */
  rejectionsPerPageMax: 1_000,
} as const
