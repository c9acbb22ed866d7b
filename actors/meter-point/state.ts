/**
 * What a meter point's actor remembers. It is there from its first registration on, or from the
 * first device that is linked to it, whichever comes first.
 *
 *   registration ─▶ items ──┐
 *                           ├─▶ rights, version + 1 ─▶ a letter to each linked device
 *   consents, tenancies ────┤
 *   letter LINK  ─▶ links ──┘
 */
import type { Eui64 } from '../../core/base/eui64.ts'
import type { RegistrationOrder } from '../../core/registration/registration-change.ts'
import { emptyRegister, type ConsentRegister } from '../../core/registration/consent-register.ts'
import type { KnownItem } from '../../core/registration/registrations.ts'

/** A device that asked for the rights of this meter point. */
export type DeviceLink = {
  readonly device: Eui64
  /** The device's own number of it, which rises with each link. */
  readonly link: number
}

export type MeterPointState = {
  /** In the order in which they were received. */
  items: readonly KnownItem[]
  links: readonly DeviceLink[]
  /** Rises with each fact; that of the rights which devices have. */
  version: number
  /** The last change of each source that was taken. */
  orders: readonly RegistrationOrder[]
  /** Consents of third parties, and changes of tenancy. */
  register: ConsentRegister
}

const none: readonly never[] = []

export const emptyState = (): MeterPointState => ({
  items: none,
  links: none,
  version: 0,
  orders: none,
  register: emptyRegister,
})
