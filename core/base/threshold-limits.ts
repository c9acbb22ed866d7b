/** Ceilings of anomaly detection: thresholds of parties, and what is in quarantine. */
export const thresholdLimits = {
  /** Thresholds of one party, or over all parties: each variant by the hour, or so. */
  thresholdsPerPartyMax: 128,
  /** Limits on values inside bodies. */
  valueLimitsMax: 32,
  /** The highest warning or quarantine threshold. */
  thresholdMax: 1_000_000_000,
  /** The longest window of a threshold: 31 days. */
  thresholdHoursMax: 744,
  /** A thresholds file; one line takes about 50 octets. */
  thresholdsFileBytesMax: 1024 * 1024,
  /** The file's own number, which rises. */
  thresholdsFileNumberMax: 0xffff_ffff,
  /** Requests of one party in quarantine; more are refused. */
  quarantinedPerPartyMax: 100_000,
  /**
   * Requests in quarantine at one device, beside those that wait: they must not hold up the
   * requests of others, and each is told to the party's actor when the device is removed.
   */
  quarantinedPerDeviceMax: 32,
  /** Requests that one page of a quarantine lists: about 45 octets each. */
  quarantinePageEntries: 512,
  /** Pages of one party on which something is listed: four times as many as 100,000 fill. */
  quarantinePagesMax: 800,
} as const
