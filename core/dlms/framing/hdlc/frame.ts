/**
 * HDLC frames, format type 3: octets to fields and back. No stuffing: the length says where a frame
 * ends.
 *
 *   7e | 1010 S LLLLLLLLLLL | destination | source | control | HCS | information | FCS | 7e
 *
 * S is 1 when more segments follow, L counts the octets between the flags. Without information
 * there is no HCS.
 * [IEC 62056-46, 6.4; ISO/IEC 13239, annex H.4]
 */
import { assert, unreachable } from '../../../base/assert.ts'
import { emptyBytes } from '../../../base/bytes.ts'
import { addressOctetsAt, readAddress, writeAddress, type HdlcAddress } from './address.ts'
import { hasCheckSequence, writeCheckSequence } from './check-sequence.ts'

/** Opens and closes a frame; one flag may do both. */
export const flagOctet = 0x7e
/** The longest frame, flags included: the length field has 11 bits. */
export const frameBytesMax = 0x7ff + 2
// Flag, format, two addresses of four octets, control, HCS.
const headerBytesMax = 14

/**
 * UNKNOWN: a control field of no frame that IEC 62056-46 has; REJ is of ISO/IEC 13239 and read
 * only.
 */
export type HdlcKind =
  | 'I'
  | 'RR'
  | 'RNR'
  | 'REJ'
  | 'SNRM'
  | 'DISC'
  | 'UA'
  | 'DM'
  | 'FRMR'
  | 'UI'
  | 'UNKNOWN'

/**
 * What stands in front of the information. `sendNumber` is N(S), `receiveNumber` N(R); 0 in frames
 * that have none.
 */
export type HdlcHeader = {
  destination: HdlcAddress
  source: HdlcAddress
  kind: HdlcKind
  /** P in a command, F in a response. */
  isFinal: boolean
  sendNumber: number
  receiveNumber: number
  /** More segments of the same unit follow. */
  isSegmented: boolean
}

/** `informationView` borrows from the octets that were read; `control` is the field as it stood. */
export type HdlcFrame = HdlcHeader & { control: number; informationView: Buffer }

const unnumbered: Readonly<Record<number, HdlcKind>> = {
  0x83: 'SNRM',
  0x43: 'DISC',
  0x63: 'UA',
  0x0f: 'DM',
  0x87: 'FRMR',
  0x03: 'UI',
}
const supervisory: readonly HdlcKind[] = ['RR', 'RNR', 'REJ', 'UNKNOWN']

function kindOf(control: number): HdlcKind {
  if ((control & 1) === 0) return 'I'
  if ((control & 2) === 0) return supervisory[(control >> 2) & 3]!
  return unnumbered[control & 0xef] ?? 'UNKNOWN'
}

/** The control field of a frame. [IEC 62056-46, 6.4.3.1, table of control field bit assignments] */
function controlOf(kind: HdlcKind, isFinal: boolean, receiveNumber = 0, sendNumber = 0): number {
  const final = isFinal ? 0x10 : 0
  switch (kind) {
    case 'I':
      return (receiveNumber << 5) | final | (sendNumber << 1)
    case 'RR':
      return (receiveNumber << 5) | final | 0x01
    case 'RNR':
      return (receiveNumber << 5) | final | 0x05
    case 'REJ':
      return (receiveNumber << 5) | final | 0x09
    case 'SNRM':
      return final | 0x83
    case 'DISC':
      return final | 0x43
    case 'UA':
      return final | 0x63
    case 'DM':
      return final | 0x0f
    case 'FRMR':
      return final | 0x87
    case 'UI':
      return final | 0x03
    case 'UNKNOWN':
      assert(false, 'a frame of no kind is not written')
      break
    default:
      return unreachable(kind)
  }
}

/**
 * How many octets a frame that opens at `at` has, flags included: more than `end - at` when it is
 * not all there yet (the answer may grow when they are), 0 when no frame opens here. Looks at the
 * header and the closing flag; the FCS is `hasGoodFcs`'s, except where it is the header's own. At
 * most 14 octets are looked at, so that a reader stays linear.
 */
export function frameBytesAt(view: Uint8Array, at: number, end: number): number {
  if (end - at < 3) return 3
  if ((view[at + 1]! & 0xf0) !== 0xa0) return 0
  const bytes = (((view[at + 1]! & 0x07) << 8) | view[at + 2]!) + 2
  // Flag, format, two addresses of one octet, control, FCS, flag.
  if (bytes < 9) return 0
  const needed = Math.min(bytes, headerBytesMax)
  if (end - at < needed) return needed
  const controlAt = controlOffset(view, at)
  const spare = at + bytes - (controlAt + 4)
  // What is left behind control and one check sequence and the flag: nothing, or at least another
  // check sequence.
  if (controlAt === 0 || (spare !== 0 && spare < 2)) return 0
  if (!hasCheckSequence(view, at + 1, controlAt + 1)) return 0
  if (end - at < bytes) return bytes
  return view[at + bytes - 1] === flagOctet ? bytes : 0
}

/** Where control stands in the frame at `at`, 0 when the addresses are none. */
function controlOffset(view: Uint8Array, at: number): number {
  const destinationOctets = addressOctetsAt(view, at + 3)
  if (destinationOctets === 0) return 0
  const sourceOctets = addressOctetsAt(view, at + 3 + destinationOctets)
  return sourceOctets === 0 ? 0 : at + 3 + destinationOctets + sourceOctets
}

/** True when the frame of `bytes` octets at `at` has the FCS that it should have. */
export function hasGoodFcs(view: Uint8Array, at: number, bytes: number): boolean {
  return hasCheckSequence(view, at + 1, at + bytes - 3)
}

/** The frame of `bytes` octets at `at`, which `frameBytesAt` has measured. */
export function readFrame(view: Buffer, at: number, bytes: number): HdlcFrame {
  const destinationOctets = addressOctetsAt(view, at + 3)
  const sourceOctets = addressOctetsAt(view, at + 3 + destinationOctets)
  assert(destinationOctets !== 0 && sourceOctets !== 0, 'the frame was measured')
  const sourceAt = at + 3 + destinationOctets
  const controlAt = sourceAt + sourceOctets
  const control = view[controlAt]!
  const fcsAt = at + bytes - 3
  return {
    destination: readAddress(view, at + 3, destinationOctets),
    source: readAddress(view, sourceAt, sourceOctets),
    kind: kindOf(control),
    control,
    isFinal: (control & 0x10) !== 0,
    sendNumber: (control & 1) === 0 ? (control >> 1) & 7 : 0,
    receiveNumber: (control & 3) === 3 ? 0 : control >> 5,
    isSegmented: (view[at + 1]! & 0x08) !== 0,
    informationView: controlAt + 3 >= fcsAt ? emptyBytes : view.subarray(controlAt + 3, fcsAt),
  }
}

/**
 * Octets of a frame, flags included, with `informationBytes` octets of information between these
 * addresses.
 */
export function frameBytes(
  destination: HdlcAddress,
  source: HdlcAddress,
  informationBytes: number,
): number {
  return 7 + destination.octets + source.octets + (informationBytes > 0 ? informationBytes + 2 : 0)
}

/**
 * Writes a frame up to its information, HCS included, at `at`; returns the offset where
 * `informationBytes` octets go, behind which `writeFrameEnd` goes on.
 */
export function writeFrameStart(
  out: Uint8Array,
  at: number,
  header: HdlcHeader,
  informationBytes: number,
): number {
  const { destination, source } = header
  const length = frameBytes(destination, source, informationBytes) - 2
  assert(length <= 0x7ff, 'a frame fits its length field')
  out[at] = flagOctet
  out[at + 1] = 0xa0 | (header.isSegmented ? 0x08 : 0) | (length >> 8)
  out[at + 2] = length
  const controlAt = writeAddress(out, writeAddress(out, at + 3, destination), source)
  out[controlAt] = controlOf(header.kind, header.isFinal, header.receiveNumber, header.sendNumber)
  return informationBytes > 0 ? writeCheckSequence(out, at + 1, controlAt + 1) : controlAt + 1
}

/**
 * Writes FCS and flag of the frame that opens at `at` and whose content ends at `end`; returns the
 * offset behind it.
 */
export function writeFrameEnd(out: Uint8Array, at: number, end: number): number {
  const flagAt = writeCheckSequence(out, at + 1, end)
  out[flagAt] = flagOctet
  return flagAt + 1
}

/** A whole frame, owned by the caller. */
export function encodeFrame(header: HdlcHeader, information: Uint8Array = emptyBytes): Buffer {
  const { destination, source } = header
  const out = Buffer.allocUnsafe(frameBytes(destination, source, information.length))
  const informationAt = writeFrameStart(out, 0, header, information.length)
  out.set(information, informationAt)
  writeFrameEnd(out, 0, informationAt + information.length)
  return out
}
