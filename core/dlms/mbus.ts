/**
 * DLMS on wired M-Bus, as some meters push on their consumers' port: an APDU in one or more long frames.
 *
 *   68 | L | L | 68 | C | A | CI | STSAP | DTSAP | a part of the APDU | sum of C to here | 16         L counts C to the part
 *
 * CI: the number of the part in the low four bits, from 0; bit 4 is set in the last. [EN 13757-2, 5.4 long frame; IEC 62056-7-3, transport layer]
 */
import { BrokerError } from '../base/broker-error.ts'

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

/** Octets of the frame at the start of `view`, perhaps more than there are; 0 when what is there begins none; undefined while nobody can tell. */
export function mbusBytesAt(view: Buffer): number | undefined {
  const [first, length = 0, again, second] = view
  if (first !== start || (again !== undefined && again !== length)) return 0
  if (second === undefined) return undefined
  return second === start && length >= upperBytes ? headBytes + length + tailBytes : 0
}

/** The frame of `bytes` octets at the start of `view`. @throws BrokerError DLMS_MBUS_INVALID for a wrong sum or end, and for another application's */
export function readMbusFrame(view: Buffer, bytes: number): MbusFrame {
  const sumAt = bytes - tailBytes
  let sum = 0
  for (let at = headBytes; at < sumAt; at++) sum += view[at]!
  if ((sum & 0xff) !== view[sumAt] || view[sumAt + 1] !== end)
    throw new BrokerError('DLMS_MBUS_INVALID', 'the sum or the end of the frame')
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

  /** The APDU, owned, when this was its last part. @throws BrokerError DLMS_MBUS_INVALID for a part out of order */
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
