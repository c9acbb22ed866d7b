/**
 * Letters that an operator sets aside: all behind `after`, up to and with `through`, are passed
 * over. They stand in a file of the operator's; who did it and how many there were stands in the
 * ledger. The same octets are the body of the envelope SET_LETTERS_ASIDE and of the fact:
 *
 *   version u8, 1 | after: sequence u64, index i32 | through: the same | count u32 | by, UTF-8
 *
 * Integers are big-endian. Pure.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { LetterPlace } from '../../core/base/letter-place.ts'
import { limits } from '../../core/base/limits.ts'

export type LettersAside = {
  /** The last letter read. */
  after: LetterPlace
  through: LetterPlace
  count: number
  /** Who did it. */
  by: string
}

const version = 1
const placeBytes = 8 + 4
const headBytes = 1 + 2 * placeBytes + 4

export function encodeLettersAside({ after, through, count, by }: LettersAside): Buffer {
  const name = Buffer.from(by, 'utf8')
  const bytes = Buffer.alloc(headBytes + name.length)
  bytes[0] = version
  for (const [index, place] of [after, through].entries()) {
    bytes.writeBigUInt64BE(BigInt(place.sequence), 1 + index * placeBytes)
    bytes.writeInt32BE(place.index, 1 + index * placeBytes + 8)
  }
  bytes.writeUInt32BE(count, 1 + 2 * placeBytes)
  bytes.set(name, headBytes)
  return bytes
}

/** @throws BrokerError ENVELOPE_MALFORMED */
export function decodeLettersAside(view: Buffer): LettersAside {
  const isWhole = view.length >= headBytes && view[0] === version
  if (!isWhole || view.length > headBytes + limits.operatorNameBytesMax)
    throw new BrokerError('ENVELOPE_MALFORMED', `letters set aside: ${view.length} octets`)
  const placeAt = (at: number): LetterPlace => ({
    sequence: Number(view.readBigUInt64BE(at)),
    index: view.readInt32BE(at + 8),
  })
  return {
    after: placeAt(1),
    through: placeAt(1 + placeBytes),
    count: view.readUInt32BE(1 + 2 * placeBytes),
    by: view.toString('utf8', headBytes),
  }
}
