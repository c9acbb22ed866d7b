/**
 * What a party has in quarantine, as its actors tell it: how many on which pages, and what stands
 * on a page. Events are numbered from 1 for each party; a page has `quarantinePageEntries` of them.
 * Pure.
 */
import { fnv1a32 } from '../base/bytes.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { packTree, readTree } from '../registration/versioned-tree.ts'
import { letterIn, packedLetter, type CountLetter } from './count-letters.ts'

/** What is to be done with a request in quarantine. */
export const QuarantineAction = { RELEASE: 1, DELETE: 2 } as const
export type QuarantineAction = (typeof QuarantineAction)[keyof typeof QuarantineAction]

/** Body of QUARANTINE_ACTION: `action u8 | who does it, UTF-8`. */
export const quarantineActionBody = (action: QuarantineAction, by: string): Buffer =>
  Buffer.concat([Buffer.of(action), Buffer.from(by, 'utf8')])

/** Body of QUARANTINE: how a party stands with its thresholds now. */
export type QuarantineReport = {
  /** Requests in quarantine. */
  readonly held: number
  /** In rising order, with how many are on each. */
  readonly pages: ReadonlyArray<readonly [page: number, count: number]>
  /** Of each threshold in force, in the order of the record: its window, and what has passed. */
  readonly windows: ReadonlyArray<readonly [window: number, passed: number]>
}

export const encodeQuarantine = ({ held, pages, windows }: QuarantineReport): Buffer =>
  packTree(held, pages, windows)

/** @throws BrokerError FORMAT_VERSION_LATER, ENVELOPE_MALFORMED */
export const decodeQuarantine = (view: Uint8Array): QuarantineReport =>
  readTree(view, 'a quarantine', (members) => {
    const [held, pages, windows] = members as [
      number,
      QuarantineReport['pages'],
      QuarantineReport['windows'],
    ]
    return { held, pages, windows }
  })

/** What stands on a page: the letters LISTED, in order of their events. */
export const encodePage = (entries: readonly CountLetter[]): Buffer =>
  packTree(entries.map(packedLetter))

/** @throws BrokerError FORMAT_VERSION_LATER, ENVELOPE_MALFORMED */
export const decodePage = (view: Uint8Array): CountLetter[] =>
  readTree(view, 'a page of a quarantine', ([entries]) => (entries as unknown[][]).map(letterIn))

/** Page of an event. */
export const pageOf = (event: number): number =>
  Math.floor((event - 1) / limits.quarantinePageEntries)

/**
 * The eight octets of the actor of a page. Two hashes of party and page: should two parties ever
 * share a page, each still lists its own alone.
 */
export function pageActorOf(party: Eui64, page: number): Eui64 {
  const named = Buffer.alloc(12)
  named.write(party, 0, 'latin1')
  named.writeUInt32BE(page, 8)
  const id = Buffer.alloc(8)
  const first = fnv1a32(named)
  id.writeUInt32BE(first, 0)
  id.writeUInt32BE(fnv1a32(named, 0, named.length, first ^ 0x5bd1e995), 4)
  return readEui64(id)
}
