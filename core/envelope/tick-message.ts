/**
 * One tick of a host as one message of the ledger: the frames of facts of its partitions, and the
 * frames of deliveries by party. MessagePack with fixed-width encodings throughout, so that any
 * library reads it:
 *
 *   93 | cd u16 version
 *      | dd u32 count, then each:  92 | cd u16 partition        | c6 u32 length, frame (with its chain link)
 *      | dd u32 count, then each:  92 | c4 08 EUI-64 of a party | c6 u32 length, frame of RESPONSE and ALERT envelopes
 *
 * A partition and a party stand in a tick once at most. Why one message: decision 0005.
 */
import { writeOctetsOf } from '../base/bytes.ts'
import { BrokerError } from '../base/broker-error.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { checkVersion, isLaterVersion } from './version.ts'

const version = 1
const headBytes = 1 + 3
const countBytes = 5
const partitionHeadBytes = 1 + 3 + 5
const partyHeadBytes = 1 + 10 + 5

export type PartitionFrame = { partition: number; frame: Buffer }
export type PartyFrame = { party: Eui64; frame: Buffer }

/** The message, in memory of its own: the one copy of what the tick has gathered. */
export function writeTickMessage(
  facts: readonly PartitionFrame[],
  deliveries: readonly PartyFrame[],
): Buffer {
  let length = headBytes + 2 * countBytes
  for (const { frame } of facts) length += partitionHeadBytes + frame.length
  for (const { frame } of deliveries) length += partyHeadBytes + frame.length
  const out = Buffer.allocUnsafeSlow(length)
  out[0] = 0x93
  out[1] = 0xcd
  out.writeUInt16BE(version, 2)
  let at = writeCount(out, headBytes, facts.length)
  for (const { partition, frame } of facts) {
    out[at] = 0x92
    out[at + 1] = 0xcd
    out.writeUInt16BE(partition, at + 2)
    at = writeFrame(out, at + 4, frame)
  }
  at = writeCount(out, at, deliveries.length)
  for (const { party, frame } of deliveries) {
    out[at] = 0x92
    out[at + 1] = 0xc4
    out[at + 2] = 8
    writeOctetsOf(party, out, at + 3)
    at = writeFrame(out, at + 11, frame)
  }
  return out
}

/**
 * A tick in which nothing happened. Written on a host's subject it is a seal: whatever that host
 * has sent before, and is not written yet, never will be (decision 0011).
 */
export const emptyTick: Uint8Array = writeTickMessage([], [])

function writeCount(out: Buffer, at: number, count: number): number {
  out[at] = 0xdd
  out.writeUInt32BE(count, at + 1)
  return at + countBytes
}

function writeFrame(out: Buffer, at: number, frame: Buffer): number {
  out[at] = 0xc6
  out.writeUInt32BE(frame.length, at + 1)
  out.set(frame, at + 5)
  return at + 5 + frame.length
}

/**
 * Calls `onFacts` for each partition's frame and `onDeliveries` for each party's, in order; frames
 * borrow from `message`.
 * @throws BrokerError FRAME_MALFORMED before the first call when the message is not one
 */
export function readTickMessage(
  message: Buffer,
  onFacts: ((partition: number, frameView: Buffer) => void) | undefined,
  onDeliveries: ((party: Eui64, frameView: Buffer) => void) | undefined,
): void {
  walk(message, undefined, undefined)
  walk(message, onFacts, onDeliveries)
}

function walk(
  message: Buffer,
  onFacts: ((partition: number, frameView: Buffer) => void) | undefined,
  onDeliveries: ((party: Eui64, frameView: Buffer) => void) | undefined,
): void {
  checkVersion(message, 0, version, 'a tick')
  expect(
    message,
    0,
    headBytes,
    message[0] === 0x93 && message[1] === 0xcd && message[2] === 0 && message[3] === version,
  )
  let at = headBytes
  for (
    let left = readCount(message, at), start = (at += countBytes);
    left > 0;
    left--, start = at
  ) {
    expect(message, at, partitionHeadBytes, message[at] === 0x92 && message[at + 1] === 0xcd)
    at = frameEnd(message, start + 4)
    onFacts?.(message.readUInt16BE(start + 2), message.subarray(start + partitionHeadBytes, at))
  }
  for (
    let left = readCount(message, at), start = (at += countBytes);
    left > 0;
    left--, start = at
  ) {
    const isHead = message[at] === 0x92 && message[at + 1] === 0xc4 && message[at + 2] === 8
    expect(message, at, partyHeadBytes, isHead)
    at = frameEnd(message, start + 11)
    onDeliveries?.(readEui64(message, start + 3), message.subarray(start + partyHeadBytes, at))
  }
  expect(message, at, 0, at === message.length)
}

function readCount(message: Buffer, at: number): number {
  expect(message, at, countBytes, message[at] === 0xdd)
  return message.readUInt32BE(at + 1)
}

function frameEnd(message: Buffer, at: number): number {
  expect(message, at, 5, message[at] === 0xc6)
  const end = at + 5 + message.readUInt32BE(at + 1)
  expect(message, at, end - at, true)
  return end
}

function expect(message: Buffer, at: number, bytes: number, isRight: boolean): void {
  if (!isRight || at + bytes > message.length)
    throw new BrokerError('FRAME_MALFORMED', `no tick: octet ${at}`)
}

/**
 * Deliveries of a tick by party, borrowed. A message that is not a tick gives none: the hash chains
 * of the hosts show it.
 */
export function partyFramesOf(message: Buffer): Map<Eui64, Buffer> {
  const frames = new Map<Eui64, Buffer>()
  try {
    readTickMessage(message, undefined, (party, frame) => frames.set(party, frame))
  } catch (fault) {
    if (!(fault instanceof BrokerError) || isLaterVersion(fault)) throw fault
    frames.clear()
  }
  return frames
}
