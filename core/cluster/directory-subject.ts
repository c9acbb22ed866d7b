/**
 * Where the directory stands in the ledger: one subject for each actor that has a record in it, of
 * which the last message counts.
 */
import { kindOfActor, octetsOfActor, type ActorId } from '../base/actor-id.ts'

export const directorySubjects = 'directory.*'

/**
 * Written once, when every party of the parties file is in the directory: it counts from then on.
 */
export const directoryInForceSubject = 'directory.in-force'

/** Kind of the actor and its eight octets: `directory.2-90B3D51F30010000`. */
export const directorySubjectOf = (actor: ActorId): string =>
  `directory.${kindOfActor(actor)}-${Buffer.from(octetsOfActor(actor), 'latin1').toString('hex').toUpperCase()}`

/** Kind and octets of a record's subject; undefined for a subject that is no record. */
export function recordOfSubject(subject: string): { kind: number; octets: Buffer } | undefined {
  const [, kind, hex] = /^directory\.(\d{1,3})-([0-9A-F]{16})$/.exec(subject) ?? []
  if (kind === undefined || hex === undefined) return undefined
  return { kind: Number(kind), octets: Buffer.from(hex, 'hex') }
}
