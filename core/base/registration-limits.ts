/**
 * Ceilings of registration files and of what one record may hold: part of `limits`, whose rules
 * hold here.
 */
export const registrationLimits = {
  // ── registration files ──
  /** One line of a registration file without its end; valid ones have under 100 octets. */
  registrationLineBytesMax: 1_024,
  /** Octets that are parsed at one time; the records in them come in one batch. */
  registrationSliceBytes: 64 * 1024,
  /** Dated items in one record: 8 kinds, with a history of up to 16 periods. */
  registrationItemsPerRecordMax: 128,
  /** Records in one file: more than all meter points of one fuel in Great Britain. */
  registrationRecordsPerFileMax: 50_000_000,
  /**
   * Files of one source that wait for an earlier sequence number. When one more comes, only a
   * refresh helps.
   */
  registrationFilesHeldMax: 64,
  /** Octets of a response or status file that are written at one time. */
  registrationWriteBytes: 64 * 1024,
} as const
