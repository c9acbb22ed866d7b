/**
 * Group commit, clocked by itself: while one batch is on its way to disk the next one gathers; an
 * idle system waits for nothing.
 *
 *   add ─► queue ──(room for a batch)──► one atomic batch ─► outcome to each addition, in order
 *
 * An addition is never split. Additions that carry a fence on the same subject (so: of one
 * partition) are written in the order they were added, and none is written after one before it was
 * refused: its frame would follow a frame that does not exist. So a refusal takes along what was
 * queued behind it with the same fence subject, before anybody is told. A new addition made in
 * reaction to a refusal starts afresh.
 *
 * A batch of several partitions that is refused by a fence is tried again, each partition by
 * itself, so that a lost lease stops one partition and not the host.
 *
 * With more than one batch under way a fence on the lease alone could not stop a later batch from
 * being written after an earlier one was refused. So additions wait while a batch with the same
 * fence subject is under way, and more than one batch helps only when partitions are idle in turn:
 * one is the default (figures in decision 0004).
 *
 * It holds what it is given without a limit of its own: partitions bound their mailboxes,
 * `queuedBytes` tells how much there is.
 */
import { assert } from '../base/assert.ts'
import { limits } from '../base/limits.ts'
import type { Committed, CommitRefusal, Ledger, LedgerEntry } from '../ports/ledger.ts'

/**
 * Of one addition: the sequence of its first entry, the others following without gaps, or why
 * nothing of it was written.
 */
export type AdditionOutcome = Committed | CommitRefusal

type Addition = {
  entries: readonly LedgerEntry[]
  bytes: number
  fences: readonly string[]
  onSettled: (outcome: AdditionOutcome) => void
}

export type GroupCommitOptions = {
  ledger: Ledger
  batchMessagesMax?: number
  batchBytesMax?: number
  batchesInFlightMax?: number
}

/** Running totals since the start, and what is held now. */
export type GroupCommitCounts = {
  batches: number
  batchesRefused: number
  entries: number
  bytes: number
  inFlight: number
  queuedAdditions: number
  queuedBytes: number
}

const noFences: readonly string[] = []

function fencesOf(entries: readonly LedgerEntry[]): readonly string[] {
  let fences: string[] | undefined
  for (const { expect } of entries) {
    if (expect === undefined) continue
    if (fences === undefined) fences = [expect.subject]
    else if (fences[fences.length - 1] !== expect.subject && !fences.includes(expect.subject))
      fences.push(expect.subject)
  }
  return fences ?? noFences
}

export class GroupCommit {
  readonly counts: GroupCommitCounts = {
    batches: 0,
    batchesRefused: 0,
    entries: 0,
    bytes: 0,
    inFlight: 0,
    queuedAdditions: 0,
    queuedBytes: 0,
  }
  private readonly ledger: Ledger
  private readonly batchMessagesMax: number
  private readonly batchBytesMax: number
  private readonly batchesInFlightMax: number
  private queue: Addition[] = []
  /** Fence subjects of the batches under way. */
  private readonly busyFences = new Set<string>()
  private isPumpPlanned = false
  private idleWaiters: Array<() => void> = []

  constructor(options: GroupCommitOptions) {
    this.ledger = options.ledger
    this.batchMessagesMax = options.batchMessagesMax ?? limits.ledgerBatchMessagesMax
    this.batchBytesMax = options.batchBytesMax ?? limits.ledgerBatchBytesMax
    this.batchesInFlightMax = options.batchesInFlightMax ?? 1
    assert(
      this.batchMessagesMax > 0 && this.batchMessagesMax <= limits.ledgerBatchMessagesMax,
      'a batch fits the server',
    )
    assert(this.batchesInFlightMax > 0, 'at least one batch may be under way')
  }

  /**
   * Queues `entries` to be written whole. `bytes` is the sum of their payloads; entries and data
   * are borrowed until `onSettled`, which is called once, never within this call, and must not
   * throw.
   */
  add(
    entries: readonly LedgerEntry[],
    bytes: number,
    onSettled: (outcome: AdditionOutcome) => void,
  ): void {
    assert(entries.length > 0, 'an addition has entries')
    this.queue.push({ entries, bytes, fences: fencesOf(entries), onSettled })
    this.counts.queuedAdditions++
    this.counts.queuedBytes += bytes
    this.planPump()
  }

  /** Settles when nothing is queued or under way. */
  idle(): Promise<void> {
    if (this.counts.inFlight === 0 && this.queue.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.idleWaiters.push(resolve))
  }

  private planPump(): void {
    if (this.isPumpPlanned || this.counts.inFlight >= this.batchesInFlightMax) return
    this.isPumpPlanned = true
    // Behind whatever else this turn still adds.
    queueMicrotask(() => {
      this.isPumpPlanned = false
      this.pump()
    })
  }

  private pump(): void {
    while (this.counts.inFlight < this.batchesInFlightMax && this.queue.length > 0) {
      const batch = this.gather()
      if (batch.length === 0) break
      const [first] = batch
      if (batch.length === 1 && first && this.isTooLarge(first)) {
        this.refuse(batch, {
          refused: 'too-large',
          detail: `${first.entries.length} messages of ${first.bytes} octets`,
        })
        continue
      }
      for (const addition of batch) for (const fence of addition.fences) this.busyFences.add(fence)
      this.counts.inFlight++
      void this.carry(batch)
    }
    if (this.counts.inFlight === 0 && this.queue.length === 0 && this.idleWaiters.length > 0) {
      const waiters = this.idleWaiters
      this.idleWaiters = []
      for (const waiter of waiters) waiter()
    }
  }

  private isTooLarge(addition: Addition): boolean {
    return addition.entries.length > this.batchMessagesMax || addition.bytes > this.batchBytesMax
  }

  /**
   * Takes from the queue what fits one batch, leaving what must wait for a batch under way, and
   * what is behind that.
   */
  private gather(): Addition[] {
    const batch: Addition[] = []
    const left: Addition[] = []
    const blocked = this.busyFences.size > 0 ? new Set(this.busyFences) : undefined
    let messages = 0
    let bytes = 0
    let index = 0
    for (; index < this.queue.length; index++) {
      const addition = this.queue[index]!
      if (blocked && addition.fences.some((fence) => blocked.has(fence))) {
        for (const fence of addition.fences) blocked.add(fence)
        left.push(addition)
        continue
      }
      const fits =
        messages + addition.entries.length <= this.batchMessagesMax &&
        bytes + addition.bytes <= this.batchBytesMax
      // A lone addition that can never fit is taken by itself and refused.
      if (!fits && batch.length > 0) break
      batch.push(addition)
      messages += addition.entries.length
      bytes += addition.bytes
      if (!fits) {
        index++
        break
      }
    }
    this.queue = left.length === 0 ? this.queue.slice(index) : left.concat(this.queue.slice(index))
    this.counts.queuedAdditions -= batch.length
    this.counts.queuedBytes -= bytes
    return batch
  }

  private async carry(batch: Addition[]): Promise<void> {
    const outcome = await this.commit(batch)
    const groups = outcome.refused === 'fence' ? groupByFence(batch) : undefined
    if (groups !== undefined && groups.length > 1) {
      for (const group of groups) this.tell(group, await this.commit(group))
    } else {
      this.tell(batch, outcome)
    }
    for (const addition of batch) for (const fence of addition.fences) this.busyFences.delete(fence)
    this.counts.inFlight--
    this.pump()
  }

  private async commit(batch: readonly Addition[]): Promise<AdditionOutcome> {
    const [first] = batch
    const entries =
      batch.length === 1 && first ? first.entries : batch.flatMap((addition) => addition.entries)
    const outcome = await this.ledger.commit(entries)
    if (outcome.refused === undefined) {
      this.counts.batches++
      this.counts.entries += entries.length
      for (const addition of batch) this.counts.bytes += addition.bytes
    } else {
      this.counts.batchesRefused++
    }
    return outcome
  }

  private tell(batch: readonly Addition[], outcome: AdditionOutcome): void {
    if (outcome.refused !== undefined) return this.refuse(batch, outcome)
    let firstSequence = outcome.firstSequence
    for (const addition of batch) {
      addition.onSettled({ firstSequence })
      firstSequence += addition.entries.length
    }
  }

  private refuse(batch: readonly Addition[], refusal: CommitRefusal): void {
    const fences = new Set<string>()
    for (const addition of batch) for (const fence of addition.fences) fences.add(fence)
    const behind: Addition[] = []
    const left: Addition[] = []
    for (const addition of this.queue) {
      if (addition.fences.some((fence) => fences.has(fence))) {
        for (const fence of addition.fences) fences.add(fence)
        behind.push(addition)
        this.counts.queuedAdditions--
        this.counts.queuedBytes -= addition.bytes
      } else {
        left.push(addition)
      }
    }
    this.queue = left
    for (const addition of batch) addition.onSettled(refusal)
    if (behind.length === 0) return
    const refusalBehind: CommitRefusal = {
      refused: refusal.refused,
      detail: `behind: ${refusal.detail}`,
    }
    for (const addition of behind) addition.onSettled(refusalBehind)
  }
}

/**
 * Additions that share a fence subject, directly or through others, in the order they were added;
 * the others each by itself.
 */
function groupByFence(batch: readonly Addition[]): Addition[][] {
  type Group = { fences: Set<string>; members: number[] }
  let groups: Group[] = []
  batch.forEach((addition, index) => {
    const merged: Group = { fences: new Set(addition.fences), members: [] }
    const others: Group[] = []
    for (const group of groups) {
      if (addition.fences.some((fence) => group.fences.has(fence))) {
        for (const fence of group.fences) merged.fences.add(fence)
        merged.members.push(...group.members)
      } else {
        others.push(group)
      }
    }
    merged.members.push(index)
    groups = [...others, merged]
  })
  return groups.map(({ members }) => members.sort((a, b) => a - b).map((index) => batch[index]!))
}
