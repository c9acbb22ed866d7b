/**
 * What SNRM proposes and UA grants: octets of information in a frame and frames without an
 * acknowledgement, each way.
 *
 *   81 | 80 length | 05 n transmit information | 06 n receive information | 07 4 transmit window | 08 4 receive window
 *
 * Transmit and receive are the sender's own; what is left out is 128 and 1. [IEC 62056-46,
 * 6.4.4.4.3.2; ISO/IEC 13239, 5.5.3.2.2]
 */
import { assert } from '../../../base/assert.ts'
import { emptyBytes } from '../../../base/bytes.ts'
import { limits } from '../../../base/limits.ts'

/** As the one who says it sees it: information in octets, windows in frames. */
export type HdlcParameters = {
  readonly transmitBytesMax: number
  readonly receiveBytesMax: number
  readonly transmitWindow: number
  readonly receiveWindow: number
}

/** What holds when nothing is said. */
export const defaultHdlcParameters: HdlcParameters = {
  transmitBytesMax: 128,
  receiveBytesMax: 128,
  transmitWindow: 1,
  receiveWindow: 1,
}

const formatIdentifier = 0x81
const groupIdentifier = 0x80
const fields = [
  [5, 'transmitBytesMax', limits.hdlcInformationBytesMax],
  [6, 'receiveBytesMax', limits.hdlcInformationBytesMax],
  [7, 'transmitWindow', limits.hdlcWindowMax],
  [8, 'receiveWindow', limits.hdlcWindowMax],
] as const

/** The information field that says `parameters`, owned by the caller. */
export function encodeParameters(parameters: HdlcParameters): Buffer {
  const octets: number[] = []
  for (const [id, name] of fields) {
    const value = parameters[name]
    if (id >= 7) octets.push(id, 4, 0, 0, 0, value)
    else if (value <= 0xff) octets.push(id, 1, value)
    else octets.push(id, 2, value >> 8, value & 0xff)
  }
  return Buffer.from([formatIdentifier, groupIdentifier, octets.length, ...octets])
}

/**
 * What an information field says. Other groups and unknown fields are passed over; values beyond
 * what a frame takes are cut to it, zero and what runs past the end leave the default: a link with
 * the defaults is better than none.
 */
export function readParameters(view: Uint8Array = emptyBytes): HdlcParameters {
  const found = { ...defaultHdlcParameters } as Record<keyof HdlcParameters, number>
  if (view[0] !== formatIdentifier) return found
  let at = 1
  while (at + 2 <= view.length) {
    const end = at + 2 + view[at + 1]!
    if (view[at] === groupIdentifier) readGroup(view, at + 2, Math.min(end, view.length), found)
    at = end
  }
  return found
}

function readGroup(
  view: Uint8Array,
  start: number,
  end: number,
  found: Record<keyof HdlcParameters, number>,
): void {
  let at = start
  while (at + 2 <= end) {
    const octets = view[at + 1]!
    const field = fields.find(([id]) => id === view[at])
    if (at + 2 + octets > end) return
    let value = 0
    for (let i = 0; i < octets; i++) value = Math.min(value * 256 + view[at + 2 + i]!, 0xffff_ffff)
    if (field !== undefined && value > 0) found[field[1]] = Math.min(value, field[2])
    at += 2 + octets
  }
}

/**
 * `given`, and for the rest the largest information and a window of `window`.
 * @throws AssertionFault when a value is below 1 or beyond what a frame takes
 */
export function ownParameters(given: Partial<HdlcParameters>, window: number): HdlcParameters {
  const own = {
    transmitBytesMax: limits.hdlcInformationBytesMax,
    receiveBytesMax: limits.hdlcInformationBytesMax,
    transmitWindow: window,
    receiveWindow: window,
    ...given,
  }
  for (const [, name, max] of fields)
    assert(own[name] >= 1 && own[name] <= max, `${name} is 1 to ${max}`)
  return own
}

/** What `own` and the peer's `theirs` allow together, as one's own side sees it. */
export function agreeParameters(own: HdlcParameters, theirs: HdlcParameters): HdlcParameters {
  return {
    transmitBytesMax: Math.min(own.transmitBytesMax, theirs.receiveBytesMax),
    receiveBytesMax: Math.min(own.receiveBytesMax, theirs.transmitBytesMax),
    transmitWindow: Math.min(own.transmitWindow, theirs.receiveWindow),
    receiveWindow: Math.min(own.receiveWindow, theirs.transmitWindow),
  }
}
