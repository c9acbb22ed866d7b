/**
 * DLMS on wired M-Bus, as some meters push on their consumers' port: an APDU in one or more long
 * frames.
 *
 *   68 | L | L | 68 | C | A | CI | STSAP | DTSAP | a part of the APDU | sum of C to here | 16         L counts C to the part, modulo 256
 *
 * CI: the number of the part in the low four bits, from 0; bit 4 is set in the last. [EN 13757-2,
 * 5.4 long frame; IEC 62056-7-3, transport layer]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'

export type MbusFrame = {
  part: number
  isLast: boolean
  /** Service access points; that of the source is the logical device. */
  source: number
  destination: number
  /** Borrowed. */
  partView: Buffer
}

const start = 0x68
const end = 0x16
const headBytes = 4
const tailBytes = 2
const upperBytes = 5
const partMask = 0x0f
const lastBit = 0x10

/** True when the sum and the end octet stand where a frame of `bytes` octets has them. */
function isClosedAt(view: Buffer, bytes: number): boolean {
  const sumAt = bytes - tailBytes
  if (view[sumAt + 1] !== end) return false
  let sum = 0
  for (let at = headBytes; at < sumAt; at++) sum += view[at]!
  return (sum & 0xff) === view[sumAt]
}

const isHead = (view: Buffer, at: number): boolean =>
  view[at] === start && view[at + 3] === start && view[at + 1] === view[at + 2]

/**
 * Octets of the frame at the start of `view`. 0: no frame begins there. 'MORE': more octets must
 * come to tell. 'DAMAGED': a frame begins there, and nowhere do its sum and its end fit. L has one
 * octet, and some meters put more than 255 octets behind it: then the true length is L + 256, L +
 * 512 and so on, whichever the sum and the end fit first.
 * @param isEnd  nothing follows `view`
 */
export function mbusBytesAt(view: Buffer, isEnd = false): number | 'MORE' | 'DAMAGED' {
  const [first, length = 0, again, second] = view
  if (first !== start || (again !== undefined && again !== length)) return 0
  if (second === undefined) return isEnd ? 0 : 'MORE'
  if (second !== start) return 0
  for (let wraps = 0; wraps <= limits.mbusLengthWrapsMax; wraps++) {
    const contentBytes = length + wraps * 256
    if (contentBytes < upperBytes) continue
    const bytes = headBytes + contentBytes + tailBytes
    if (bytes > view.length) return isEnd ? 'DAMAGED' : 'MORE'
    const isOurs = wraps === 0 || (view[headBytes + 2]! & ~(partMask | lastBit)) === 0
    if (isOurs && isClosedAt(view, bytes)) return bytes
    // Another one follows where this one should end: its sum is wrong, and it is not longer.
    if (view[bytes - 1] === end && isHead(view, bytes)) return 'DAMAGED'
  }
  return 'DAMAGED'
}

/**
 * Octets of `view` to pass over behind a damaged frame: up to the next that looks like the start of
 * one, or all.
 */
export function mbusDamageBytes(view: Buffer): number {
  for (let at = view.indexOf(start, 1); at >= 0; at = view.indexOf(start, at + 1))
    if (isHead(view, at) || at + headBytes > view.length) return at
  return view.length
}

/**
 * The frame of `bytes` octets at the start of `view`. @throws BrokerError DLMS_MBUS_INVALID for a
 * wrong sum or end, and for another application's
 */
export function readMbusFrame(view: Buffer, bytes: number): MbusFrame {
  if (bytes < headBytes + upperBytes + tailBytes || !isClosedAt(view, bytes))
    throw new BrokerError('DLMS_MBUS_INVALID', 'the sum or the end of the frame')
  const sumAt = bytes - tailBytes
  const control = view[headBytes + 2]!
  if ((control & ~(partMask | lastBit)) !== 0)
    throw new BrokerError('DLMS_MBUS_INVALID', `control information ${control}`)
  return {
    part: control & partMask,
    isLast: (control & lastBit) !== 0,
    source: view[headBytes + 3]!,
    destination: view[headBytes + 4]!,
    partView: view.subarray(headBytes + upperBytes, sumAt),
  }
}

/** Puts the parts of one sender's APDUs together: sixteen at most, as there are numbers. */
export class MbusGatherer {
  private parts: Buffer[] = []

  /** True between the first part and the last. */
  get isPartial(): boolean {
    return this.parts.length > 0
  }

  /**
   * The APDU, owned, when this was its last part. @throws BrokerError DLMS_MBUS_INVALID for a part
   * out of order
   */
  add({ part, isLast, partView }: MbusFrame): Buffer | undefined {
    if (part === 0) this.parts = []
    if (part !== this.parts.length) {
      const wanted = this.parts.length
      this.parts = []
      throw new BrokerError('DLMS_MBUS_INVALID', `part ${part} in the place of ${wanted}`)
    }
    this.parts.push(Buffer.from(partView))
    if (!isLast) return undefined
    const apdu = Buffer.concat(this.parts)
    this.parts = []
    return apdu
  }
}
