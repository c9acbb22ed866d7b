/** Ports that do what another one does, but for what a test changes. */
import type { Ledger } from '../../core/ports/ledger.ts'
import type { PartitionStore } from '../../core/ports/store.ts'

export const ledgerOver = (ledger: Ledger, changes: Partial<Ledger>): Ledger => ({
  commit: (entries) => ledger.commit(entries),
  lastOn: (subject) => ledger.lastOn(subject),
  at: (sequence) => ledger.at(sequence),
  read: (subject, from, onMessage, through) => ledger.read(subject, from, onMessage, through),
  follow: (subject, from, onMessage) => ledger.follow(subject, from, onMessage),
  forget: (subject, fromSequence) => ledger.forget(subject, fromSequence),
  usage: () => ledger.usage(),
  ...changes,
})

export const storeOver = (
  store: PartitionStore,
  changes: Partial<PartitionStore>,
): PartitionStore => ({
  checkpoint: () => store.checkpoint(),
  load: (device) => store.load(device),
  save: (saved) => store.save(saved),
  dueWakes: (untilMs, count, after) => store.dueWakes(untilMs, count, after),
  nextWakeMs: () => store.nextWakeMs(),
  isEmpty: () => store.isEmpty(),
  copy: () => store.copy(),
  clear: () => store.clear(),
  close: () => store.close(),
  ...changes,
})
