/**
 * Through what a request reaches a meter: which client, with which rights, and what its association
 * has agreed on. Objects that tell of associations read it; all others need only the rights. [IEC
 * 62056-6-2, Association LN]
 */

/** The client's wrapper port of the public client, and of the one that manages. */
export const publicClient = 16
export const managementClient = 1

/** A client that is not known sees what everybody may; the other one everything. */
export type Role = 'public' | 'management'

/**
 * A logical device, by wrapper port or upper HDLC address, and the number of the meter that it is.
 */
export type Place = { readonly device: number; readonly number: number }

export interface Link {
  readonly client: number
  readonly device: number
  readonly role: Role
  /** Agreed bits; 0 without an association. */
  readonly conformance: number
  /** Largest APDU that the meter takes, and that the client takes. */
  readonly receivedBytesMax: number
  readonly sentBytesMax: number
  /**
   * All logical devices of the same physical device, the first address first; empty for a meter by
   * itself.
   */
  places(): readonly Place[]
}

/**
 * What the meter does by itself, and what is asked of it without a connection: everything is
 * allowed.
 */
export const noLink: Link = {
  client: managementClient,
  device: 1,
  role: 'management',
  conformance: 0,
  receivedBytesMax: 0,
  sentBytesMax: 0,
  places: () => [],
}
