/**
 * The life of a device in the inventory: its status, and which may follow which. What each status
 * lets parties do is said in core/access.
 *
 *   Pending ─▶ Whitelisted ─▶ InstalledNotCommissioned ─▶ Commissioned ◀─▶ Suspended
 *      └───────────────────────────────▶ (a hub) ─────────────▶ ▲
 *   Commissioned, Suspended ─▶ Recovery ─▶ Recovered ─▶ Commissioned, Suspended
 *   any of them ─▶ Decommissioned ─▶ Pending;  Commissioned ─▶ Withdrawn ─▶ Commissioned
 *
 * @source DUIS schema 5.4, device status; SEC glossary; the transitions are general knowledge
 */
export const DeviceStatus = [
  'Pending',
  'Whitelisted',
  'InstalledNotCommissioned',
  'Commissioned',
  'Suspended',
  'Recovery',
  'Recovered',
  'Decommissioned',
  'Withdrawn',
] as const
export type DeviceStatus = (typeof DeviceStatus)[number]

/** Of a device that is registered without another word. */
export const initialStatus: DeviceStatus = 'Commissioned'

/** Confidence: medium for the first four, low for the others. */
const followers: Readonly<Record<DeviceStatus, readonly DeviceStatus[]>> = {
  Pending: ['Whitelisted', 'InstalledNotCommissioned', 'Commissioned', 'Decommissioned'],
  Whitelisted: ['Pending', 'InstalledNotCommissioned', 'Commissioned', 'Decommissioned'],
  InstalledNotCommissioned: ['Pending', 'Commissioned', 'Decommissioned', 'Withdrawn'],
  // Back to Pending: what was registered as commissioned, and is not installed yet.
  Commissioned: [
    'Pending',
    'InstalledNotCommissioned',
    'Suspended',
    'Recovery',
    'Decommissioned',
    'Withdrawn',
  ],
  Suspended: ['Commissioned', 'InstalledNotCommissioned', 'Recovery', 'Decommissioned'],
  Recovery: ['Recovered', 'Decommissioned'],
  Recovered: ['Commissioned', 'InstalledNotCommissioned', 'Suspended', 'Decommissioned'],
  Decommissioned: ['Pending'],
  Withdrawn: ['Commissioned', 'Decommissioned'],
}

/** True when a device may go from `before` to `after`. */
export const mayFollow = (before: DeviceStatus, after: DeviceStatus): boolean =>
  followers[before].includes(after)
