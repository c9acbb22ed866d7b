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
  /** Dated items that one meter point keeps; beyond, those received first are forgotten. */
  meterPointItemsMax: 400,
  /** Sources whose last change a meter point remembers. */
  meterPointSourcesMax: 8,
} as const
