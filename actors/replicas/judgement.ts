/**
 * Judges one range of the ledger as several servers have it: which message belongs at each
 * sequence, and who lacks it. Pure.
 *
 * Of several versions of a tick the one that fits into the hash chains is right, even when only
 * one server has it: its frames continue the chains, and the next frames of its partitions continue
 * it. Where the chains do not decide, the majority is right.
 */
import { createHash } from 'node:crypto'
import { sameBytes } from '../../core/base/bytes.ts'
import { hashOfFrame, readChainLink } from '../../core/envelope/frame.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { isTickSubject, type LedgerMessage } from '../../core/ports/ledger.ts'
import type { ReplicaFault, ReplicaRange } from '../../core/ports/replicas.ts'
import type { Checkpoint } from '../../core/ports/store.ts'
import { genesis, stepChain } from '../runtime/partition/chain.ts'

/** Where each partition's chain stands. */
export type Heads = ReadonlyMap<number, Checkpoint>

export type Judgement = {
  readonly heads: Heads
  readonly faults: readonly ReplicaFault[]
  readonly messages: number
}

type Version = { message: LedgerMessage; servers: string[]; partitions: number[] }
/** Every version of every sequence of the range, in order. */
type Versions = ReadonlyMap<number, readonly Version[]>

/** Last sequence that every answer covers, at most `last`. */
export function coveredThrough(ranges: readonly ReplicaRange[], last: number): number {
  let through = last
  for (const { messages, isEnd } of ranges)
    if (!isEnd) through = Math.min(through, messages.at(-1)?.sequence ?? 0)
  return through
}

/**
 * Judges the sequences up to `through`, which every one of `ranges` covers.
 * @param heads  the chains in front of the range; a partition that is not there is at its genesis
 */
export function judgeRange(
  ranges: readonly ReplicaRange[],
  through: number,
  heads: Heads,
): Judgement {
  const bySequence = versionsOf(ranges, through)
  const servers = ranges.map(({ server }) => server)
  const after = new Map(heads)
  const faults: ReplicaFault[] = []
  for (const sequence of bySequence.keys())
    judgeSequence(sequence, bySequence, servers, after, faults)
  return { heads: after, faults, messages: bySequence.size }
}

function versionsOf(ranges: readonly ReplicaRange[], through: number): Versions {
  const byDigest = new Map<number, Map<string, Version>>()
  for (const { server, messages } of ranges)
    for (const message of messages) {
      if (message.sequence > through) break
      const versions = byDigest.get(message.sequence) ?? new Map<string, Version>()
      byDigest.set(message.sequence, versions)
      const digest = digestOf(message)
      const version = versions.get(digest)
      if (version) version.servers.push(server)
      else versions.set(digest, { message, servers: [server], partitions: partitionsOf(message) })
    }
  const sequences = [...byDigest.keys()].sort((a, b) => a - b)
  return new Map(sequences.map((sequence) => [sequence, [...byDigest.get(sequence)!.values()]]))
}

function judgeSequence(
  sequence: number,
  all: Versions,
  servers: readonly string[],
  heads: Map<number, Checkpoint>,
  faults: ReplicaFault[],
): void {
  const versions = all.get(sequence)!
  const right = versions.length === 1 ? versions[0] : rightOf(versions, all, servers.length, heads)
  const place = { from: sequence, through: sequence }
  for (const server of servers) {
    if (right?.servers.includes(server)) continue
    const own = versions.find((version) => version.servers.includes(server))
    const partitions = (right ?? own ?? versions[0]!).partitions
    faults.push({ server, what: own ? 'different' : 'missing', ...place, partitions })
  }
  const { message } = right ?? versions[0]!
  if (!isTickSubject(message.subject)) return
  const broken = brokenIn(message, heads)
  // Also one that every server has: it follows a tick that no server has.
  if (broken !== undefined && right !== undefined)
    faults.push({ server: soleOf(servers), what: 'chain', ...place, partitions: broken })
  adopt(message, heads)
}

const soleOf = ([server, ...others]: readonly string[]): string | undefined =>
  others.length === 0 ? server : undefined

function rightOf(
  versions: readonly Version[],
  all: Versions,
  serverCount: number,
  heads: Heads,
): Version | undefined {
  const fits = versions.filter(
    ({ message }) => isTickSubject(message.subject) && fitsIn(message, all, heads),
  )
  return fits.length === 1 ? fits[0] : majorityOf(versions, serverCount)
}

/** True when the tick continues the chains, and the next frames of its partitions continue it. */
function fitsIn(message: LedgerMessage, all: Versions, heads: Heads): boolean {
  if (brokenIn(message, heads) !== undefined) return false
  let isContinued = true
  readTickMessage(
    message.data,
    (partition, frame) => {
      const next = nextLinks(partition, message.sequence, all)
      if (next === undefined) return
      const hash = hashOfFrame(frame)
      isContinued &&= next.some((link) => sameBytes(link, hash))
    },
    undefined,
  )
  return isContinued
}

/**
 * What the next frames of the partition say of the frame in front of them; undefined without any.
 */
function nextLinks(partition: number, after: number, all: Versions): Uint8Array[] | undefined {
  for (const [sequence, versions] of all) {
    if (sequence <= after) continue
    const links: Uint8Array[] = []
    for (const { message, partitions } of versions)
      if (partitions.includes(partition))
        readTickMessage(
          message.data,
          (number, frame) => {
            if (number === partition) links.push(readChainLink(frame).previousHash)
          },
          undefined,
        )
    if (links.length > 0) return links
  }
  return undefined
}

function majorityOf(versions: readonly Version[], serverCount: number): Version | undefined {
  return versions.find(({ servers }) => servers.length * 2 > serverCount)
}

function digestOf({ subject, data }: LedgerMessage): string {
  return createHash('sha256').update(`${subject}\0`).update(data).digest('base64')
}

/** Partitions with a frame in it; empty when it is no tick or malformed. */
function partitionsOf({ subject, data }: LedgerMessage): number[] {
  const partitions: number[] = []
  if (!isTickSubject(subject)) return partitions
  try {
    readTickMessage(data, (partition) => partitions.push(partition), undefined)
  } catch {
    return []
  }
  return partitions.sort((a, b) => a - b)
}

/**
 * Partitions whose chain the tick does not continue (none are named when it is malformed), or
 * undefined.
 */
function brokenIn(message: LedgerMessage, heads: Heads): number[] | undefined {
  const broken: number[] = []
  try {
    readTickMessage(
      message.data,
      (partition, frame) => {
        try {
          stepChain(partition, heads.get(partition) ?? genesis, frame, message.sequence)
        } catch {
          broken.push(partition)
        }
      },
      undefined,
    )
  } catch {
    return broken
  }
  return broken.length === 0 ? undefined : broken
}

/** Continues behind the tick, whether it fits or not, so that each break is named once. */
function adopt({ data, sequence }: LedgerMessage, heads: Map<number, Checkpoint>): void {
  try {
    readTickMessage(
      data,
      (partition, frame) => {
        const { frameNumber } = readChainLink(frame)
        const hash = hashOfFrame(frame)
        heads.set(partition, { sequence, frameSequence: sequence, frameNumber, hash })
      },
      undefined,
    )
  } catch {
    // Malformed, and named already.
  }
}

/** Puts faults of the same kind at adjacent places together. */
export function mergeFaults(faults: readonly ReplicaFault[]): ReplicaFault[] {
  const merged: ReplicaFault[] = []
  const open = new Map<string, number>()
  for (const fault of faults) {
    const key = `${fault.server ?? ''} ${fault.what}`
    const index = open.get(key)
    const before = index === undefined ? undefined : merged[index]
    if (before !== undefined && index !== undefined && fault.from <= before.through + 1) {
      const partitions = [...new Set([...before.partitions, ...fault.partitions])]
      merged[index] = {
        ...before,
        through: Math.max(before.through, fault.through),
        partitions: partitions.sort((a, b) => a - b),
      }
      continue
    }
    open.set(key, merged.length)
    merged.push(fault)
  }
  return merged
}
