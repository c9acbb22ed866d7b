/**
 * Ceilings of registration files and of what one record may hold: part of `limits`, whose rules
 * hold here.
 */
import { assert } from './assert.ts'

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
  /**
   * Records that a broker registers at a time: a host decides them in one go, and requests of
   * parties wait behind them.
   */
  registrationRecordsPerBatch: 200,
  /** One registration file: `registrationRecordsPerFileMax` records take about 8 GiB. */
  registrationFileBytesMax: 16 * 1024 ** 3,
  /** All files that one process keeps until they are applied, in its data directory. */
  registrationFilesBytesMax: 64 * 1024 ** 3,
  /** A file has this time to arrive at the operators' door: 1 h. */
  registrationUploadMsMax: 3_600_000,

  // ── bulk work ──
  /** Bulk work waits while a partition has more unread letters than this, */
  bulkLettersUnreadMax: 2_000,
  /** or an unread one that is older. */
  bulkLettersAgeMsMax: 500,
  /** Between two looks at the letters of all hosts. */
  bulkLookMs: 250,
  /** A host that has not answered by then takes no part in a look. */
  bulkAskMsMax: 1_000,

  // ── sources of registration files ──
  /** Registration systems: fourteen distributors, independent ones and the agents of gas. */
  sourcesMax: 256,
  /** Files of one source whose end is remembered, and whose response is kept. */
  sourceFilesEndedMax: 32,
  /** Records between two notes of progress: so many are repeated after a crash. */
  sourceProgressRecords: 10_000,
  /** A load that goes on notes that it does, at least so often. */
  sourceProgressMs: 30_000,
  /** A load without a note for so long has ended with its process: another one may take over. */
  sourceSilenceMsMax: 120_000,
  /** Between two looks at files that are held, and at the watched folder. */
  sourceLookMs: 2_000,
  /** Sources whose files one process applies at a time; the others wait. */
  sourceLoadsMax: 4,
  /** A file in the watched folder is complete when it has not changed for so long. */
  registrationStableMs: 2_000,
  /** Rejected records of a file that an answer lists; its response file has all of them. */
  sourceRejectedShownMax: 100,
} as const

assert(
  registrationLimits.sourceSilenceMsMax >= 3 * registrationLimits.sourceProgressMs,
  'two lost notes are not the end of a load',
)
assert(
  registrationLimits.registrationFilesBytesMax > registrationLimits.registrationFileBytesMax,
  'the largest file fits beside others',
)
