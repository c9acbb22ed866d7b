/** What the device says of one operation, as busbar.v1.ReadingStatus. */

export const ReadingStatus = {
  GOOD: 1,
  UNDEFINED: 2,
  DENIED: 3,
  TEMPORARY_FAILURE: 4,
  HARDWARE_FAULT: 5,
  TYPE_UNMATCHED: 6,
  OTHER: 8,
  EMPTY: 9,
  UNEXPECTED: 10,
} as const
export type ReadingStatus = (typeof ReadingStatus)[keyof typeof ReadingStatus]

// Data-Access-Result and Action-Result share their numbers. [IEC 62056-5-3]
const statusOfResult: ReadonlyMap<number, ReadingStatus> = new Map<number, ReadingStatus>([
  [0, ReadingStatus.GOOD],
  [1, ReadingStatus.HARDWARE_FAULT],
  [2, ReadingStatus.TEMPORARY_FAILURE],
  [3, ReadingStatus.DENIED],
  [4, ReadingStatus.UNDEFINED],
  // object-class-inconsistent: there is an object of that name, but not of that class.
  [9, ReadingStatus.UNDEFINED],
  [11, ReadingStatus.UNDEFINED],
  [12, ReadingStatus.TYPE_UNMATCHED],
  // scope-of-access-violated
  [13, ReadingStatus.DENIED],
])

/** The status for a data-access-result or action-result. */
export function statusOf(result: number): ReadingStatus {
  return statusOfResult.get(result) ?? ReadingStatus.OTHER
}
