/** google.protobuf.Timestamp on the wire as UTC ms; what is below a millisecond is dropped. */
import { emptyBytes } from '../base/bytes.ts'
import { ProtobufReader, WireType } from './protobuf.ts'

// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range that timestamp.proto allows.
const secondsMin = -62_135_596_800
const secondsMax = 253_402_300_799
const nanosMax = 999_999_999

const reader = new ProtobufReader(emptyBytes)

/**
 * The time in the Timestamp at `view[start, end)`, UTC ms, or undefined when it is malformed or out
 * of its range.
 */
export function readTimestamp(view: Buffer, start: number, end: number): number | undefined {
  let seconds = 0
  let nanos = 0
  reader.open(view, start, end)
  while (reader.nextField()) {
    if (reader.wireType === WireType.VARINT && (reader.field === 1 || reader.field === 2)) {
      reader.readVarint()
      if (reader.field === 1) seconds = reader.signed
      else nanos = reader.low | 0
    } else reader.skip()
  }
  if (
    reader.isBroken ||
    seconds < secondsMin ||
    seconds > secondsMax ||
    nanos < 0 ||
    nanos > nanosMax
  )
    return undefined
  return seconds * 1000 + Math.floor(nanos / 1_000_000)
}
