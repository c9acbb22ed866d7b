/** Ceilings of sequences of requests. */
export const sequenceLimits = {
  /** Requests of one sequence, those that have ended included. */
  sequenceLengthMax: 16,
  /** A request waits no longer for its predecessor, whatever its deadline is: a day. */
  sequenceWaitMsMax: 24 * 3_600_000,
  /**
   * Ended requests of sequences that a device remembers, so that a successor may still come; those
   * that somebody waits for are kept beside them.
   */
  deviceSequencedRememberedMax: 16,
} as const
