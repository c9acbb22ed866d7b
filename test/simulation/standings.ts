/**
 * How parties stand, as the ledger says, and since when: what a host decides must follow it within
 * `directoryLagMsMax`, however slowly it follows the directory, and what it sends within that and
 * one tick. All times are elapsed time of the world.
 */
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { decodePartyRecord } from '../../core/access/party-record.ts'
import { readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { recordOfSubject } from '../../core/cluster/directory-subject.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import { partyOf } from './names.ts'

type Accepted = { request: string; party: Eui64; sequence: number }

/** A tick sends what it has decided for so long without looking again. */
const sendMsMax = limits.directoryLagMsMax + limits.leaseSilenceMsMax

export class Standings {
  /** Of each party, since when it may and may not, in order. */
  private readonly changes = new Map<
    Eui64,
    Array<{ atMs: number; isActive: boolean; revision: number }>
  >()
  /** When each tick was decided, by its sequence. */
  private readonly decidedAtMs = new Map<number, number>()
  private unjudged: Accepted[] = []
  private readonly fault: (what: string, request?: string) => void

  constructor(fault: (what: string, request?: string) => void) {
    this.fault = fault
  }

  /** A record was written to the directory, now. */
  written({ subject, data }: LedgerMessage, nowMs: number): void {
    const found = recordOfSubject(subject)
    if (found?.kind !== ActorKindNumber.PARTY) return
    const party = readEui64(found.octets)
    const { status, revision } = decodePartyRecord(data)
    const change = { atMs: nowMs, isActive: status === 'active', revision }
    this.changes.set(party, [...(this.changes.get(party) ?? []), change])
  }

  /** The tick that has `sequence` in the ledger was given to it at `atMs`. */
  decided(sequence: number, atMs: number): void {
    this.decidedAtMs.set(sequence, atMs)
  }

  accepted(request: string, party: Eui64, sequence: number): void {
    this.unjudged.push({ request, party, sequence })
  }

  /** To be called when every tick that was read has told when it was decided. */
  judge(): void {
    for (const { request, party, sequence } of this.unjudged) {
      const atMs = this.decidedAtMs.get(sequence)
      if (atMs === undefined) this.fault(`nobody has decided tick ${sequence}`, request)
      else if (this.isBarred(party, atMs, limits.directoryLagMsMax))
        this.fault('accepted although its party was suspended before', request)
    }
    this.unjudged = []
  }

  /** A host has decided to send `request`, now. */
  sent(request: string, nowMs: number): void {
    const [number = ''] = request.split('/')
    if (/^\d+$/.test(number) && this.isBarred(partyOf(Number(number)).id, nowMs, sendMsMax))
      this.fault('sent although its party was suspended before', request)
  }

  /** True when `party` is suspended at `atMs`, and has been for longer than `graceMs`. */
  private isBarred(party: Eui64, atMs: number, graceMs: number): boolean {
    const last = this.changes.get(party)?.findLast((change) => change.atMs <= atMs)
    return last !== undefined && !last.isActive && last.atMs + graceMs < atMs
  }

  /** Of its record now. */
  revisionOf(party: Eui64): number {
    return this.changes.get(party)?.at(-1)?.revision ?? 0
  }

  /** Parties that may not have anything done now. */
  get barred(): Eui64[] {
    return [...this.changes].flatMap(([party, changes]) =>
      changes.at(-1)?.isActive === false ? [party] : [],
    )
  }
}
