/**
 * A request was listed on a page of a quarantine, or stands there no longer: as the letter says.
 */
import { writeFactOf } from '../kind/write-fact.ts'
import { decodeCount, encodeCount, type CountLetter } from '../../core/access/count-letters.ts'
import { bytesOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readTime } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'

/** `listed` is LISTED or UNLISTED. */
export type QuarantineListed = { type: 'QUARANTINE_LISTED'; time: number; listed: CountLetter }

export function writeFact(
  frame: FrameWriter,
  page: Eui64,
  { time, listed }: QuarantineListed,
): void {
  const header = { time, srv: listed.srv, originator: bytesOfEui64(listed.originator) }
  writeFactOf(frame, page, Kind.QUARANTINE_LISTED, header, encodeCount(listed))
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export const readFact = (buffer: Buffer, at: number): QuarantineListed => ({
  type: 'QUARANTINE_LISTED',
  time: readTime(buffer, at),
  listed: decodeCount(readBodyView(buffer, at)),
})
