/**
 * Notification bodies in which some meters write attributes without data tags: a structure of two
 * whose first element is a bare cosem-attribute-descriptor and whose second is the value.
 *
 *   02 02 | class-id u16 | instance-id 6 octets | attribute-id i8 | value Data
 *
 * Rewritten with tags, as a structure of class, logical name and attribute in front of the value,
 * so that everybody reads it.
 * [IEC 62056-5-3, Cosem-Attribute-Descriptor; consumers' ports of Czech Sagemcom meters]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { descriptorBytes } from '../apdu/constants.ts'
import { lengthBytes, readCount, skipValue, Tag } from '../axdr/layout.ts'
import { AxdrWriter } from '../axdr/writer.ts'

/**
 * Value group A of an OBIS code, less the channels that no meter of this kind has. [IEC 62056-6-1,
 * media]
 */
const media: ReadonlySet<number> = new Set([0, 1, 4, 5, 6, 7, 8, 9, 15])
/**
 * Standard classes are below; a descriptor is not recognised by less, or any two zeros would begin
 * one.
 */
const classIdMax = 255
const attributeIdMax = 63

/** `bytes` of the body, and what it says with tags; owned. */
export type RetaggedBody = { bytes: number; valueBytes: Buffer }

/**
 * Reads the body at `at` of `view` as one with untagged descriptors. Undefined when it has none, or
 * is not of that form as a whole: then it is damaged, or ordinary data.
 */
export function retagBody(view: Buffer, at: number, end: number): RetaggedBody | undefined {
  const body = new Body(view, end)
  try {
    const behind = body.copy(at, 0)
    if (body.descriptors === 0) return undefined
    return { bytes: behind - at, valueBytes: body.out.take() }
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}

class Body {
  readonly out = new AxdrWriter(256)
  descriptors = 0
  private readonly view: Buffer
  private readonly end: number

  constructor(view: Buffer, end: number) {
    this.view = view
    this.end = end
  }

  /** Copies the value at `at`; the offset behind it. */
  copy(at: number, depth: number): number {
    const { view, end, out } = this
    const tag = view[at]
    if (tag !== Tag.STRUCTURE && tag !== Tag.ARRAY) {
      const behind = skipValue(view, at, end)
      out.octets(view.subarray(at, behind))
      return behind
    }
    const count = readCount(view, at + 1, end, depth)
    let next = at + 1 + lengthBytes(view, at + 1)
    out.octets(view.subarray(at, next))
    for (let left = count; left > 0; left--) {
      const isFirstOfTwo = tag === Tag.STRUCTURE && count === 2 && left === 2
      // A class below 256 begins like null-data: where it is no descriptor, the body is damaged.
      const isBare = isFirstOfTwo && next < end && view[next] === 0
      next = isBare ? this.retag(next) : this.copy(next, depth + 1)
    }
    return next
  }

  private isDescriptor(at: number): boolean {
    const { view, end } = this
    if (end - at <= descriptorBytes) return false
    const classId = view.readUInt16BE(at)
    const attributeId = view[at + 8]!
    return (
      classId > 0 &&
      classId <= classIdMax &&
      media.has(view[at + 2]!) &&
      attributeId > 0 &&
      attributeId <= attributeIdMax
    )
  }

  private retag(at: number): number {
    const { view, out } = this
    if (!this.isDescriptor(at)) throw new BrokerError('DLMS_VALUE_INVALID', `descriptor at ${at}`)
    this.descriptors++
    out.structure(3).uint16(view.readUInt16BE(at))
    out.octetString(view.subarray(at + 2, at + 8)).int8(view.readInt8(at + 8))
    return at + descriptorBytes
  }
}
