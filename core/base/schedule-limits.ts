/** Ceilings of schedules. */
export const scheduleLimits = {
  /** Schedules of one party at one device. */
  schedulesPerPartyMax: 99,
  /** Schedules of all parties at one device: five parties with 99 each; 128 octets each at most. */
  schedulesPerDeviceMax: 495,
  /** Pairs of party and variant that a device knows to have schedules. */
  scheduledUsesMax: 128,
  /** The highest number of a schedule. */
  scheduleIdMax: 1_000_000_000_000,
  /** The first day of a schedule lies at most so many days ahead: ten years. */
  scheduleStartDaysMax: 3_653,
  /** How far back a log window reaches, in days before the day of the run. */
  scheduleWindowDaysMax: 400,
  /** The last missed run is caught up when it was due at most so long ago: a day. */
  scheduleCatchUpMs: 86_400_000,
  /** A run is tried until then, unless the next one is due before: a day. */
  scheduleRunMs: 86_400_000,
  /** Runs that one decision of a schedule actor starts; each is a letter. */
  scheduleRunsPerDecisionMax: 16,
} as const
