/** What has happened to a party: it is known, and how it stands from then on. Version 1. */
import {
  decodePartyRecord,
  encodePartyRecord,
  type PartyRecord,
} from '../../core/access/party-record.ts'
import { bytesOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import type { Srv } from '../../core/base/srv.ts'
import { readBodyView, writeEnvelope } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'

export type PartyChanged = { type: 'PARTY_CHANGED'; record: PartyRecord }

const nobody = Buffer.alloc(8)

/** Appends the fact of `party` to a frame of facts. */
export function writeFact(frame: FrameWriter, party: Eui64, { record }: PartyChanged): void {
  const body = encodePartyRecord(record)
  const at = frame.reserve(headerBytes + body.length)
  const header = {
    kind: Kind.PARTY_CHANGED,
    lane: Lane.BULK,
    srv: 0 as Srv,
    outcome: 0,
    bodyType: 0,
    attempt: 0,
    originator: nobody,
    target: bytesOfEui64(party),
    counter: 0n,
    time: record.changedAtMs,
    deadline: 0,
    correlation: 0,
  }
  writeEnvelope(frame.target, at, header, body)
  frame.count++
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export const readFact = (buffer: Buffer, at: number): PartyChanged => ({
  type: 'PARTY_CHANGED',
  record: decodePartyRecord(readBodyView(buffer, at)),
})
