/**
 * Letters between a device and the actor of its schedules, which has the same eight octets:
 * MessagePack arrays with a version in front. Pure.
 *
 *   device ── CREATE, READ, DELETE ──▶ schedules ── ANSWER ──▶ device   a request of a party
 *   device ── END ──▶ schedules                                         who may not use it any more
 *   schedules ── USES ──▶ device                                        some have ended by themselves
 *   schedules ── RUN ──▶ device                                         a run is due
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer, latin1Of } from '../base/bytes.ts'
import type { RequestCounter } from '../base/counter.ts'
import type { Eui64 } from '../base/eui64.ts'
import type { Srv } from '../base/srv.ts'
import { packTree, readTree } from '../registration/versioned-tree.ts'
import {
  packedSchedule,
  packedSpec,
  scheduleIn,
  specIn,
  type PackedSchedule,
  type Schedule,
  type ScheduleSpec,
} from './schedule.ts'

/** Places are numbers in letters and ledgers and never change. */
export const RemovalReason = [
  'END_DATE',
  'DECOMMISSIONED',
  'WITHDRAWN',
  'SUSPENDED',
  'CHANGE_OF_SUPPLIER',
  'END_OF_CONSENT',
] as const
export type RemovalReason = (typeof RemovalReason)[number]

/** A party has schedules of a variant at a device. */
export type Use = { readonly party: Eui64; readonly srv: Srv }
export type EndedUse = Use & { readonly reason: RemovalReason }

type Asked = { readonly party: Eui64; readonly counter: RequestCounter }
export type ToSchedules =
  | (Asked & { word: 'CREATE'; spec: ScheduleSpec })
  /** `id` 0: all of the party. */
  | (Asked & { word: 'READ' | 'DELETE'; id: number })
  | { word: 'END'; uses: readonly EndedUse[] }

export type Run = Asked & {
  readonly srv: Srv
  /** Field number in the oneof of a ServiceRequest, and the body. */
  readonly bodyType: number
  readonly bodyBytes: Buffer
  readonly deadline: number
}
export type ToDevice =
  | (Asked & {
      word: 'ANSWER'
      /** Row of the error table. */
      outcome: number
      schedules: readonly ScheduleAnswer[]
      uses: readonly Use[]
    })
  | { word: 'USES'; uses: readonly Use[] }
  | (Run & { word: 'RUN' })

/** A schedule, and when its next run is due: UTC ms, 0 for never. */
export type ScheduleAnswer = Schedule & { readonly dueMs: number }

const words = ['CREATE', 'READ', 'DELETE', 'END', 'ANSWER', 'USES', 'RUN'] as const
const octets = (text: string): Buffer => Buffer.from(text, 'latin1')
const partyIn = (view: unknown): Eui64 => latin1Of(view as Uint8Array) as Eui64
const counterIn = (view: unknown): RequestCounter => latin1Of(view as Uint8Array) as RequestCounter

export const packedUses = (uses: readonly Use[]): [Buffer, Srv][] =>
  uses.map(({ party, srv }) => [octets(party), srv])
export const usesIn = (packed: unknown): Use[] =>
  (packed as [Uint8Array, Srv][]).map(([party, srv]) => ({ party: partyIn(party), srv }))

export const packedAnswers = (schedules: readonly ScheduleAnswer[]): [PackedSchedule, number][] =>
  schedules.map((one) => [packedSchedule(one), one.dueMs])
export const answersIn = (packed: unknown): ScheduleAnswer[] =>
  (packed as [PackedSchedule, number][]).map(([one, dueMs]) => ({ ...scheduleIn(one), dueMs }))

/** In memory of its own. */
export function encodeLetter(letter: ToSchedules | ToDevice): Buffer {
  const word = words.indexOf(letter.word)
  switch (letter.word) {
    case 'CREATE':
      return packTree(word, octets(letter.party), octets(letter.counter), packedSpec(letter.spec))
    case 'READ':
    case 'DELETE':
      return packTree(word, octets(letter.party), octets(letter.counter), letter.id)
    case 'END':
      return packTree(
        word,
        letter.uses.map(({ party, srv, reason }) => [
          octets(party),
          srv,
          RemovalReason.indexOf(reason),
        ]),
      )
    case 'ANSWER': {
      const { party, counter, outcome, schedules, uses } = letter
      const about = [octets(party), octets(counter), outcome]
      return packTree(word, ...about, packedAnswers(schedules), packedUses(uses))
    }
    case 'USES':
      return packTree(word, packedUses(letter.uses))
    case 'RUN': {
      const { party, counter, srv, bodyType, bodyBytes, deadline } = letter
      return packTree(word, octets(party), octets(counter), srv, bodyType, bodyBytes, deadline)
    }
  }
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export const decodeLetter = (view: Uint8Array): ToSchedules | ToDevice =>
  readTree(view, 'a letter about schedules', ([number, ...members]) => {
    const word = words[number as number]
    switch (word) {
      case 'CREATE':
      case 'READ':
      case 'DELETE': {
        const asked = { party: partyIn(members[0]), counter: counterIn(members[1]) }
        return word === 'CREATE'
          ? { word, ...asked, spec: specIn(members[2] as never) }
          : { word, ...asked, id: members[2] as number }
      }
      case 'END':
        return { word, uses: (members[0] as [Uint8Array, Srv, number][]).map(endedUseIn) }
      case 'ANSWER':
        return {
          word,
          party: partyIn(members[0]),
          counter: counterIn(members[1]),
          outcome: members[2] as number,
          schedules: answersIn(members[3]),
          uses: usesIn(members[4]),
        }
      case 'USES':
        return { word, uses: usesIn(members[0]) }
      case 'RUN':
        return {
          word,
          party: partyIn(members[0]),
          counter: counterIn(members[1]),
          srv: members[2] as Srv,
          bodyType: members[3] as number,
          bodyBytes: asBuffer(members[4] as Uint8Array),
          deadline: members[5] as number,
        }
      default:
        throw new BrokerError('ENVELOPE_MALFORMED', 'a letter about schedules')
    }
  })

function endedUseIn([party, srv, number]: [Uint8Array, Srv, number]): EndedUse {
  const reason = RemovalReason[number]
  if (reason === undefined) throw new BrokerError('ENVELOPE_MALFORMED', 'the end of schedules')
  return { party: partyIn(party), srv, reason }
}
