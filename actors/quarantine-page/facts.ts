/**
 * A request was listed on a page of a quarantine, or stands there no longer: as the letter says.
 */
import { decodeCount, encodeCount, type CountLetter } from '../../core/access/count-letters.ts'
import { bytesOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { readBodyView, readTime, writeEnvelope } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'

/** `listed` is LISTED or UNLISTED. */
export type QuarantineListed = { type: 'QUARANTINE_LISTED'; time: number; listed: CountLetter }

export function writeFact(
  frame: FrameWriter,
  page: Eui64,
  { time, listed }: QuarantineListed,
): void {
  const body = encodeCount(listed)
  const at = frame.reserve(headerBytes + body.length)
  const header = {
    kind: Kind.QUARANTINE_LISTED,
    lane: Lane.BULK,
    srv: listed.srv,
    outcome: 0,
    bodyType: 0,
    attempt: 0,
    originator: bytesOfEui64(listed.originator),
    target: bytesOfEui64(page),
    counter: 0n,
    time,
    deadline: 0,
    correlation: 0,
  }
  writeEnvelope(frame.target, at, header, body)
  frame.count++
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export const readFact = (buffer: Buffer, at: number): QuarantineListed => ({
  type: 'QUARANTINE_LISTED',
  time: readTime(buffer, at),
  listed: decodeCount(readBodyView(buffer, at)),
})
