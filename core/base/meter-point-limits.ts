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
  /** Consents that hold or will hold at one meter point: all go in its letters to devices. */
  rightsConsentsMax: 16,
  /** Consents that one meter point keeps, with those that have ended. */
  meterPointConsentsMax: 64,
  /** Octets of the id of a consent, which the records of requests name. */
  consentIdBytesMax: 36,
  /** Octets of what a consent is for, and of why it was withdrawn. */
  consentPurposeBytesMax: 200,
  /** Changes of tenancy that one meter point remembers; those that lie ahead among them. */
  meterPointTenanciesMax: 16,
  /** Changes of tenancy that may lie ahead. */
  tenanciesAheadMax: 4,
  /** Uses of consents, and cuts of readings, that a device remembers: which right decided. */
  deviceGrantsMax: 64,
  /** Sources whose last change a meter point remembers. */
  meterPointSourcesMax: 8,
} as const
