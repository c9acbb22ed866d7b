/** Ceilings of meter points and of the rights that they give. */
export const meterPointLimits = {
  /** Periods that one meter point sends to a device. */
  rightsPeriodsMax: 16,
  /** How long a period that has ended is still sent: 13 months. */
  rightsKeptMs: 397 * 86_400_000,
  /** Meter points of one device; a hub has those of all its meters. */
  deviceMeterPointsMax: 8,
  /** Devices of one meter point: a letter to each leaves with one change. */
  meterPointDevicesMax: 32,
  /** Dated items that one meter point keeps; beyond, those that ended longest ago are forgotten. */
  meterPointItemsMax: 400,
  /** Items of one record of registration data. */
  registrationItemsMax: 64,
  /** Characters of the value of an item: the longest is a related meter point. */
  registrationValueCharactersMax: 20,
  /** Characters of a market participant id. */
  participantCharactersMax: 4,
} as const
