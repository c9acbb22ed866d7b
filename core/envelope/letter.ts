/**
 * Letters between actors as envelopes of kind LETTER, back to back in one message of the ledger for
 * each addressee's partition. They are written in the commit of the tick that sends them.
 *
 *  originator, target   eight octets of sender and addressee
 *  srv                  kind of the sender × 256 + kind of the addressee
 *  attempt              how many letters led to this one, itself included
 *  time                 of the decision that sent it, UTC ms
 *  body                 what the kinds have agreed on
 */
import { actorIdOf, kindOfActor, octetsOfActor, type ActorId } from '../base/actor-id.ts'
import { writeOctetsOf } from '../base/bytes.ts'
import {
  readAttempt,
  readBodyView,
  readOriginator,
  readSrv,
  readTarget,
  readTime,
  writeSafeU64,
} from './envelope.ts'
import type { FrameWriter } from './frame.ts'
import { headerBytes, headerTemplate, Kind, offsetOf } from './layout.ts'

/** `hops`: 1 for one that no letter led to. */
export type Letter = { from: ActorId; to: ActorId; hops: number; time: number; bodyView: Buffer }

/** Appends it to the frame of its addressee's partition. */
export function writeLetter(frame: FrameWriter, { from, to, hops, time, bodyView }: Letter): void {
  const at = frame.reserve(headerBytes + bodyView.length)
  const buffer = frame.target
  buffer.set(headerTemplate, at)
  buffer[at + offsetOf.kind + 1] = Kind.LETTER
  buffer.writeUInt32BE(kindOfActor(from) * 256 + kindOfActor(to), at + offsetOf.srv)
  buffer.writeUInt16BE(hops, at + offsetOf.attempt)
  writeOctetsOf(octetsOfActor(from), buffer, at + offsetOf.originator)
  writeOctetsOf(octetsOfActor(to), buffer, at + offsetOf.target)
  writeSafeU64(buffer, time, at + offsetOf.time)
  buffer.writeUInt32BE(bodyView.length, at + offsetOf.body)
  buffer.set(bodyView, at + headerBytes)
  frame.count++
}

/** The letter at `buffer[at]`, checked before; the body borrows. */
export function readLetter(buffer: Buffer, at: number): Letter {
  const kinds: number = readSrv(buffer, at)
  return {
    from: actorIdOf((kinds >> 8) & 0xff, readOriginator(buffer, at)),
    to: actorIdOf(kinds & 0xff, readTarget(buffer, at)),
    hops: readAttempt(buffer, at),
    time: readTime(buffer, at),
    bodyView: readBodyView(buffer, at),
  }
}
