/**
 * The format of a deployment: what its processes may write to the ledger. A new one is written only
 * once every process reads it, and an operator says so (`busbar cluster format --raise`): processes
 * of two versions run side by side until then, and one of the version before can be started again.
 *
 *   1  devices
 *   2  and parties, the directory, letters between actors; removal of devices; a fact for each part
 *      of a device record that changes, where format 1 has one for the whole record
 *   3  and meter points, with the rights that devices have of them; participants of parties;
 *      signed requests, and which ones a party has to sign; thresholds and quarantine
 *   4  and sequenced requests, schedules, future-dated requests, alerts with a meaning
 *
 * A deployment without a format has format 1.
 */
export const formatOldest = 1
/** What this version reads and may write; a new deployment begins with it. */
export const formatLatest = 4

/** From which format on there are party actors and a directory. */
export const formatWithParties = 2
/** From which format on devices are removed. */
export const formatWithRemovals = 2
/** From which format on each part of a device record has a fact of its own. */
export const formatWithRecordParts = 2
/** From which format on there are meter points, and devices that are linked to them. */
export const formatWithMeterPoints = 3
/** From which format on devices have schedules, sequences and requests for a later time. */
export const formatWithSchedules = 4
/** From which format on devices count alerts by their codes, and hold the excess. */
export const formatWithThrottling = 4
