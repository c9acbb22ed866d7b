/**
 * Where, behind octets that nobody understands, something begins again that is certainly a frame:
 * by its sum, or by its header and tag.
 */
import { limits } from '../../base/limits.ts'
import { flagOctet, frameBytesAt, hasGoodFcs } from '../framing/hdlc/frame.ts'
import { mbusBytesAt } from '../framing/mbus.ts'
import { isUnaskedApdu } from './push.ts'
import { wrapperHeaderBytes } from '../framing/wrapper.ts'

const mbusStart = 0x68

/**
 * The offset in `view`, from `from` on, of the first frame; where one may begin that is not whole,
 * its offset, unless `isEnd`; the end of `view` where no frame begins.
 */
export function nextFrameAt(view: Buffer, from: number, isEnd: boolean): number {
  for (let at = from; at < view.length; at++) {
    const octet = view[at]
    if (octet !== flagOctet && octet !== mbusStart && octet !== 0) continue
    const bytes = frameBytesIn(view, at, isEnd)
    if (bytes === 'MORE' ? !isEnd : bytes) return at
  }
  return view.length
}

function frameBytesIn(view: Buffer, at: number, isEnd: boolean): boolean | 'MORE' {
  switch (view[at]) {
    case flagOctet: {
      const bytes = frameBytesAt(view, at, view.length)
      if (bytes === 0) return at + 1 === view.length ? 'MORE' : false
      return bytes > view.length - at ? 'MORE' : hasGoodFcs(view, at, bytes)
    }
    case mbusStart: {
      const bytes = mbusBytesAt(view.subarray(at), isEnd)
      return typeof bytes === 'string' ? (bytes === 'MORE' ? bytes : false) : bytes > 0
    }
    default:
      return isWrapperAt(view, at)
  }
}

function isWrapperAt(view: Buffer, at: number): boolean | 'MORE' {
  const left = view.length - at
  if ((left > 1 && view[at + 1] !== 1) || (left > 6 && view[at + 6]! > limits.apduBytesMax >> 8))
    return false
  if (left <= wrapperHeaderBytes) return 'MORE'
  const apduBytes = view.readUInt16BE(at + 6)
  return (
    apduBytes > 0 &&
    apduBytes <= limits.apduBytesMax &&
    isUnaskedApdu(view.subarray(at + wrapperHeaderBytes))
  )
}
