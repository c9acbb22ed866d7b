/**
 * What a meter point says of itself, to operators: the body of a METER_POINT envelope; and its
 * state in stores and snapshots, which are the same octets. MessagePack
 *
 * `[version, version of its rights, items, [[device 8, link], …], orders]`; an item is
 * `[item, value, from, to, received]`.
 */
import { Packr } from 'msgpackr'
import { BrokerError } from '../base/broker-error.ts'
import { copyOf } from '../base/bytes.ts'
import { bytesOfEui64, type Eui64 } from '../base/eui64.ts'
import {
  itemIn,
  orderIn,
  packedItem,
  packedOrder,
  type PackedItem,
  type PackedOrder,
  type RegistrationOrder,
} from './registration-change.ts'
import type { KnownItem } from './registrations.ts'

export type MeterPointReport = {
  readonly items: readonly KnownItem[]
  readonly links: ReadonlyArray<{ readonly device: Eui64; readonly link: number }>
  readonly version: number
  /** The last change of each source, in the order of their first. */
  readonly orders: readonly RegistrationOrder[]
}

const packr = new Packr({ useRecords: false })
const bodyVersion = 1

type Packed = [
  number,
  number,
  Array<[...PackedItem, number]>,
  Array<[Uint8Array, number]>,
  PackedOrder[],
]

export const encodeMeterPointReport = ({
  items,
  links,
  version,
  orders,
}: MeterPointReport): Buffer =>
  copyOf(
    packr.pack([
      bodyVersion,
      version,
      items.map((item) => [...packedItem(item), item.receivedAtMs]),
      links.map(({ device, link }) => [bytesOfEui64(device), link]),
      orders.map(packedOrder),
    ]),
  )

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export function decodeMeterPointReport(view: Uint8Array): MeterPointReport {
  try {
    const [found, version, items, links, orders] = packr.unpack(view) as Packed
    if (found > bodyVersion)
      throw new BrokerError('FORMAT_VERSION_LATER', `a meter point of version ${found}`)
    return {
      version,
      orders: orders.map(orderIn),
      items: items.map(([item, value, from, to, receivedAtMs]) =>
        itemIn([item, value, from, to], receivedAtMs),
      ),
      links: links.map(([device, link]) => ({
        device: Buffer.from(device).toString('latin1') as Eui64,
        link,
      })),
    }
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    throw new BrokerError('ENVELOPE_MALFORMED', 'a meter point', { cause })
  }
}
