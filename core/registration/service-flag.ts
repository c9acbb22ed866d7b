/**
 * The DCC service flag of a meter point, as status files report it: a function of the inventory
 * statuses of the meters of the point.
 */

/** Status of a device in the inventory. */
export type InventoryStatus =
  | 'Pending'
  | 'Whitelisted'
  | 'InstalledNotCommissioned'
  | 'Commissioned'
  | 'Decommissioned'
  | 'Withdrawn'
  | 'Suspended'
  | 'Recovery'
  | 'Recovered'

/** A: active. I: installed, not commissioned. N: non-active. */
export type ServiceFlag = 'A' | 'I' | 'N'

const flagOf: Readonly<Record<InventoryStatus, ServiceFlag>> = {
  Commissioned: 'A',
  Suspended: 'A',
  Recovered: 'A',
  // A meter in recovery is commissioned, and gets its parties' credentials back.
  Recovery: 'A',
  InstalledNotCommissioned: 'I',
  Pending: 'N',
  Whitelisted: 'N',
  Decommissioned: 'N',
  Withdrawn: 'N',
}

/** The flag of the meter point: that of its most advanced meter, N without any meter. */
export function serviceFlagOf(meters: Iterable<InventoryStatus>): ServiceFlag {
  let flag: ServiceFlag = 'N'
  for (const status of meters) {
    if (flagOf[status] === 'A') return 'A'
    if (flagOf[status] === 'I') flag = 'I'
  }
  return flag
}
