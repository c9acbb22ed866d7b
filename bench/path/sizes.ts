/**
 * How many octets the real path moves for one request of 4.1.1 to an ESME, so that the bare pipe
 * moves as many: four attributes (import active and reactive energy, each with scaler and unit) in
 * one get-request-with-list. test/bench.test.ts makes the same exchange with the codec and
 * compares.
 */
export const sizes = {
  /**
   * Wrapper frame towards the meter: header 8, tag, type, invoke id, count, four descriptors of 10
   * with their selection flag.
   */
  meterRequestBytes: 8 + 4 + 4 * 10,
  /**
   * Wrapper frame back: header 8, tag, type, invoke id, count, two values (choice, tag, 4 octets)
   * and two scaler-units (choice, 7 octets).
   */
  meterAnswerBytes: 8 + 4 + 2 * 6 + 2 * 7,
  /** Body of the response envelope: a ResponseBody with two readings. */
  responseBodyBytes: 64,
} as const
