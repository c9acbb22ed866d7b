/**
 * HDLC addresses: a client's has one octet, a server's one, two or four. The lowest bit of an octet
 * is 1 in the last one only; seven bits of each are left. [IEC 62056-46, 6.4.2.2 to 6.4.2.4]
 *
 *   1 octet   upper               2 octets   upper | lower               4 octets   upper, upper | lower, lower
 */
import { assert } from '../../../base/assert.ts'

/**
 * `upper` is a logical device or a client, `lower` the physical device on the line; `octets` is how
 * it is written.
 */
export type HdlcAddress = {
  readonly upper: number
  readonly lower: number | undefined
  readonly octets: 1 | 2 | 4
}

/**
 * Upper addresses of fixed meaning; 0x7f and 0x3fff are broadcast in one (two) and in two (four)
 * octets.
 */
export const ReservedAddress = {
  NO_STATION: 0x00,
  /** The client, and the logical device, that manages the others. */
  MANAGEMENT: 0x01,
  PUBLIC_CLIENT: 0x10,
  ALL_STATIONS: 0x7f,
  ALL_STATIONS_WIDE: 0x3fff,
} as const

/**
 * An address written in as few octets as it takes, or in `octets` of them.
 * @throws AssertionFault when the numbers do not fit
 */
export function hdlcAddress(upper: number, lower?: number, octets?: 1 | 2 | 4): HdlcAddress {
  const isNarrow = upper <= 0x7f && (lower ?? 0) <= 0x7f
  const written = octets ?? (lower === undefined && isNarrow ? 1 : isNarrow ? 2 : 4)
  const max = written === 4 ? 0x3fff : 0x7f
  assert(
    upper >= 0 && upper <= max && (lower ?? 0) >= 0 && (lower ?? 0) <= max,
    'an address fits its octets',
  )
  assert(written > 1 || lower === undefined, 'one octet has no lower address')
  return { upper, lower: written === 1 ? undefined : (lower ?? 0), octets: written }
}

/**
 * Octets of the address at `at`; 0 when there is no end of it where one may be. Reads at most four,
 * all within `view`.
 */
export function addressOctetsAt(view: Uint8Array, at: number): 0 | 1 | 2 | 4 {
  if ((view[at]! & 1) === 1) return 1
  if ((view[at + 1]! & 1) === 1) return 2
  return (view[at + 2]! & 1) === 0 && (view[at + 3]! & 1) === 1 ? 4 : 0
}

/** The address of `octets` octets at `at`. */
export function readAddress(view: Uint8Array, at: number, octets: 1 | 2 | 4): HdlcAddress {
  if (octets === 1) return { upper: view[at]! >> 1, lower: undefined, octets }
  if (octets === 2) return { upper: view[at]! >> 1, lower: view[at + 1]! >> 1, octets }
  return {
    upper: ((view[at]! >> 1) << 7) | (view[at + 1]! >> 1),
    lower: ((view[at + 2]! >> 1) << 7) | (view[at + 3]! >> 1),
    octets,
  }
}

/** Writes `address` at `at`; returns the offset behind it. */
export function writeAddress(out: Uint8Array, at: number, address: HdlcAddress): number {
  const { upper, lower = 0, octets } = address
  if (octets === 1) out[at] = (upper << 1) | 1
  else if (octets === 2) {
    out[at] = upper << 1
    out[at + 1] = (lower << 1) | 1
  } else {
    out[at] = (upper >> 7) << 1
    out[at + 1] = upper << 1
    out[at + 2] = (lower >> 7) << 1
    out[at + 3] = (lower << 1) | 1
  }
  return at + octets
}

/**
 * True when `address` means every logical device, or every physical one, or both: nobody may
 * answer.
 */
export function isBroadcast({ upper, lower, octets }: HdlcAddress): boolean {
  const all = allStations(octets)
  return upper === all || lower === all
}

/**
 * True when a frame to `destination` is for the station `own` too, in whatever octets it is
 * written.
 */
export function isAddressed(own: HdlcAddress, destination: HdlcAddress): boolean {
  const all = allStations(destination.octets)
  const isLower =
    own.lower === undefined || destination.lower === undefined || destination.lower === own.lower
  return (
    (destination.upper === own.upper || destination.upper === all) &&
    (isLower || destination.lower === all)
  )
}

/** True when both mean one station; an address without a lower part leaves it open. */
export function isSameStation(a: HdlcAddress, b: HdlcAddress): boolean {
  return (
    a.upper === b.upper && (a.lower === undefined || b.lower === undefined || a.lower === b.lower)
  )
}

function allStations(octets: 1 | 2 | 4): number {
  return octets === 4 ? ReservedAddress.ALL_STATIONS_WIDE : ReservedAddress.ALL_STATIONS
}

/** `16`, or `1/17` for upper and lower. */
export function textOfAddress({ upper, lower }: HdlcAddress): string {
  return lower === undefined ? String(upper) : `${upper}/${lower}`
}
