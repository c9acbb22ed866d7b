/** A ledger that says yes at once and keeps leases only: what is left is the host's own work. */
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { forEachEnvelope } from '../../core/envelope/frame.ts'
import type { Committed, CommitRefusal, Ledger, LedgerEntry } from '../../core/ports/ledger.ts'
import { SimLedger } from '../../core/ports/sim/ledger.ts'

export class VoidLedger implements Ledger {
  deliveries = 0
  commits = 0
  private readonly leases = new SimLedger()
  private tickSequence = 1_000_000

  commit(entries: readonly LedgerEntry[]): Promise<Committed | CommitRefusal> {
    const [first] = entries
    if (first === undefined || !first.subject.startsWith('log.')) return this.leases.commit(entries)
    readTickMessage(first.data as Buffer, undefined, (_party, frame) =>
      forEachEnvelope(frame, 0, () => this.deliveries++),
    )
    this.commits++
    return Promise.resolve({ firstSequence: ++this.tickSequence })
  }

  lastOn: Ledger['lastOn'] = (subject) => this.leases.lastOn(subject)
  at: Ledger['at'] = (sequence) => this.leases.at(sequence)
  read: Ledger['read'] = (subject, from, onMessage) => this.leases.read(subject, from, onMessage)
  follow: Ledger['follow'] = (subject, from, onMessage) =>
    this.leases.follow(subject, from, onMessage)
  forget: Ledger['forget'] = (subject, from) => this.leases.forget(subject, from)
  usage: Ledger['usage'] = () => this.leases.usage()
}
