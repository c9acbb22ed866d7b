/**
 * What a meter point says of itself, to operators: the body of a METER_POINT envelope; and its
 * state in stores and snapshots, which are the same octets. MessagePack
 *
 * `[version, version of its rights, items, [[device 8, link], …], orders]`; an item is
 * `[item, value, from, to, received]`. With consents or changes of tenancy: the consents, and the
 * times at which tenancies begin.
 */
import { bytesOfEui64, readEui64, type Eui64 } from '../base/eui64.ts'
import {
  itemIn,
  orderIn,
  packedItem,
  packedOrder,
  type PackedItem,
  type PackedOrder,
  type RegistrationOrder,
} from './registration-change.ts'
import {
  consentRecordIn,
  emptyRegister,
  packedConsentRecord,
  type ConsentRegister,
  type PackedConsentRecord,
} from './consent-register.ts'
import type { KnownItem } from './registrations.ts'
import { packTree, readTree } from './versioned-tree.ts'

export type MeterPointReport = {
  readonly items: readonly KnownItem[]
  readonly links: ReadonlyArray<{ readonly device: Eui64; readonly link: number }>
  readonly version: number
  /** The last change of each source, in the order of their first. */
  readonly orders: readonly RegistrationOrder[]
  readonly register: ConsentRegister
}

type Packed = [
  version: number,
  items: Array<[...PackedItem, number]>,
  links: Array<[Uint8Array, number]>,
  orders: PackedOrder[],
  consents?: PackedConsentRecord[],
  tenancies?: number[],
]

export const encodeMeterPointReport = ({
  items,
  links,
  version,
  orders,
  register,
}: MeterPointReport): Buffer =>
  packTree(
    version,
    items.map((item) => [...packedItem(item), item.receivedAtMs]),
    links.map(({ device, link }) => [bytesOfEui64(device), link]),
    orders.map(packedOrder),
    ...(register.consents.length + register.tenancies.length > 0
      ? [register.consents.map(packedConsentRecord), register.tenancies]
      : []),
  )

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export const decodeMeterPointReport = (view: Uint8Array): MeterPointReport =>
  readTree(view, 'a meter point', (members) => {
    const [version, items, links, orders, consents, tenancies = []] = members as Packed
    return {
      version,
      orders: orders.map(orderIn),
      register:
        consents === undefined
          ? emptyRegister
          : { consents: consents.map(consentRecordIn), tenancies },
      items: items.map(([item, value, from, to, receivedAtMs]) =>
        itemIn([item, value, from, to], receivedAtMs),
      ),
      links: links.map(([device, link]) => ({ device: readEui64(device), link })),
    }
  })
