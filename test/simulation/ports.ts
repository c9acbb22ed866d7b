/**
 * The ports of one life: the shared simulated ledger, bus, cursors, snapshots and WAN as this
 * process meets them. Each passage is a place where it may die or be paused, takes its time, and
 * may fail. What has left the process arrives, whatever becomes of it.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { directorySubjects } from '../../core/cluster/directory-subject.ts'
import { RecordsReserve } from '../../core/ledger/records-reserve.ts'
import type { Bus } from '../../core/ports/bus.ts'
import type {
  Committed,
  CommitRefusal,
  CursorStore,
  Ledger,
  LedgerEntry,
  LedgerUsage,
} from '../../core/ports/ledger.ts'
import type { SimClock } from '../../core/ports/sim/clock.ts'
import type { SimLedger } from '../../core/ports/sim/ledger.ts'
import { SimWan, type SimExchange } from '../../core/ports/sim/wan.ts'
import type { SnapshotStore } from '../../core/ports/snapshot.ts'
import type { CosemOperation, Wan } from '../../core/ports/wan.ts'
import type { Faults } from './faults.ts'
import type { Life } from './life.ts'

/** What processes share. */
export type Shared = {
  clock: SimClock
  faults: Faults
  ledger: SimLedger
  bus: Bus
  cursors: CursorStore
  snapshots: SnapshotStore
  /** `confirmedTo` is that of the life at the moment when it decided to send. */
  onExchange: (life: Life, exchange: SimExchange, confirmedTo: number | undefined) => void
  /** A life sends, now: what comes later is the fault of a pause. */
  onSend: (operations: readonly CosemOperation[]) => void
  /** A tick was given to the ledger at `atMs`, elapsed time, and has this sequence there. */
  onTick: (sequence: number, atMs: number) => void
}

export type LifePorts = {
  ledger: Ledger
  bus: Bus
  cursors: CursorStore
  snapshots: SnapshotStore
  wan: Wan
  /** Lets something take its time. */
  takeTime: () => Promise<void>
}

export function portsOf(life: Life, shared: Shared): LifePorts {
  const { clock, faults } = shared
  const wait = (ms: number): Promise<void> =>
    new Promise((resolve) => void clock.at(clock.now() + ms, resolve))
  const takeTime = (): Promise<void> => wait(faults.durationMs())

  /** Carries out a question to the server; it may fail as an unreachable one makes it. */
  const asking = async <T>(place: string, ask: () => Promise<T>): Promise<T> => {
    await life.turnAt(place)
    await takeTime()
    if (
      faults.strikes(
        place.includes('ledger') ? 'the ledger cannot be read' : 'snapshots and cursors fail',
        0.02,
      )
    ) {
      await life.turn()
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'asked for by the simulation')
    }
    try {
      return await ask()
    } finally {
      await life.turnAt(`after ${place}`)
    }
  }

  return {
    takeTime,
    ledger: ledgerOf(life, shared, { wait, takeTime, asking }),
    bus: busOf(life, shared.bus),
    cursors: {
      get: (name) => asking('reading a cursor', () => shared.cursors.get(name)),
      put: (name, value) => asking('writing a cursor', () => shared.cursors.put(name, value)),
      names: () => asking('listing cursors', () => shared.cursors.names()),
    },
    snapshots: {
      put: (name, chunks) => asking('writing a snapshot', () => shared.snapshots.put(name, chunks)),
      get: (name, onChunk) =>
        asking('reading a snapshot', () => shared.snapshots.get(name, onChunk)),
      remove: (name) => asking('removing a snapshot', () => shared.snapshots.remove(name)),
      names: () => asking('listing snapshots', () => shared.snapshots.names()),
    },
    wan: wanOf(life, shared),
  }
}

const bytesOf = (entries: readonly LedgerEntry[]): number =>
  entries.reduce((sum, { data }) => sum + data.length, 0)

type Passage = {
  wait: (ms: number) => Promise<void>
  takeTime: () => Promise<void>
  asking: <T>(place: string, ask: () => Promise<T>) => Promise<T>
}

function ledgerOf(
  life: Life,
  { ledger, faults, clock, onTick }: Shared,
  { wait, takeTime, asking }: Passage,
): Ledger {
  // As the adapter of JetStream has it: what others have written is known at the next look.
  const reserve = new RecordsReserve()
  const look = ({ bytes, bytesMax }: LedgerUsage): void => reserve.look(bytes, bytesMax)
  const unknown = { refused: 'unknown', detail: 'asked for by the simulation' } as const
  const write = async (
    entries: readonly LedgerEntry[],
    atMs: number,
  ): ReturnType<Ledger['commit']> => {
    const outcome = await ledger.commit(entries)
    if (outcome.refused === undefined) onTick(outcome.firstSequence, atMs)
    return outcome
  }
  const commit = async (
    entries: readonly LedgerEntry[],
    atMs: number,
  ): Promise<Committed | CommitRefusal> => {
    await takeTime()
    const kind = 'commits fail'
    if (faults.strikes(kind, 0.01)) return { ...unknown, refused: 'full' }
    if (faults.strikes(kind, 0.01)) return unknown
    if (faults.strikes(kind, 0.01)) {
      // It comes after the writer has given it up.
      // A tick is small beside what is kept for records. Here it is not: it must leave that free.
      void wait(faults.of(kind).between(1, 3_000)).then(async () => {
        look(await ledger.usage())
        if (reserve.refusal(entries) === undefined) await write(entries, atMs)
      })
      await takeTime()
      return unknown
    }
    if (reserve.isLookDue) look(await ledger.usage())
    const detail = reserve.refusal(entries)
    if (detail !== undefined) return { refused: 'full', detail }
    const outcome = await write(entries, atMs)
    if (outcome.refused === undefined) reserve.written(bytesOf(entries))
    return faults.strikes(kind, 0.015) ? unknown : outcome
  }
  const confirmed = (sequence: number, longPauseCount: number): void => {
    if (life.longPauseCount === longPauseCount) life.confirmedTo = sequence
  }
  return {
    async commit(entries) {
      const subject = entries[0]!.subject.split('.')[0]!
      const decidedAtMs = clock.elapsedMs()
      await life.turnAt(`before a commit of ${subject}`)
      const kept = entries.map((entry) => ({ ...entry, data: Buffer.from(entry.data) }))
      const { longPauseCount } = life
      const outcome = await commit(kept, decidedAtMs)
      const judgedTo = ledger.lastSequence
      await takeTime()
      await life.turnAt(`after a commit of ${subject}`)
      if (outcome.refused === undefined && subject === 'log') confirmed(judgedTo, longPauseCount)
      return outcome
    },
    async lastOn(subject) {
      const { longPauseCount } = life
      let askedAt = 0
      const found = await asking('reading the ledger', () => {
        askedAt = ledger.lastSequence
        return ledger.lastOn(subject)
      })
      if (subject === 'lease.*') confirmed(askedAt, longPauseCount)
      return found
    },
    at: (sequence) => asking('reading the ledger', () => ledger.at(sequence)),
    read: (subject, from, onMessage) =>
      asking('reading the ledger', () =>
        ledger.read(subject, from, async (message) => {
          if (faults.strikes('everything is slow', 0.1)) await takeTime()
          await life.turnAt('reading the ledger')
          return onMessage(message)
        }),
      ),
    follow: (subject, from, onMessage) =>
      ledger.follow(subject, from, async (message) => {
        await takeTime()
        const kind = 'the directory is followed slowly'
        if (subject === directorySubjects && faults.strikes(kind, 0.5))
          await wait(faults.of(kind).between(1, 6_000))
        await life.turn()
        return onMessage(message)
      }),
    forget: (subject, from) =>
      asking('forgetting ticks of the ledger', () => ledger.forget(subject, from)),
    usage: () =>
      asking('reading the ledger', async () => {
        const usage = await ledger.usage()
        look(usage)
        return usage
      }),
  }
}

function busOf(life: Life, bus: Bus): Bus {
  const kindOf = (subject: string): string => subject.split('.')[0]!
  return {
    async request(subject, frame, timeoutMs) {
      await life.turnAt(`before a frame to ${kindOf(subject)}`)
      // Its own time-out comes when it runs again.
      try {
        return await bus.request(subject, frame, timeoutMs)
      } finally {
        await life.turnAt(`after a frame to ${kindOf(subject)}`)
      }
    },
    serve: (subject, onFrame) =>
      bus.serve(subject, (frame, reply) =>
        life.run(() =>
          onFrame(frame, (answer) =>
            life.runAt(`before an answer of ${kindOf(subject)}`, () => reply(answer)),
          ),
        ),
      ),
    announce: (subject, data) => life.run(() => bus.announce(subject, data)),
    listen: (subject, onData) => bus.listen(subject, (data) => life.run(() => onData(data))),
  }
}

function wanOf(life: Life, { onExchange, onSend }: Shared): Wan {
  return {
    async exchange(address, command, lane, security) {
      // Nothing can be done about a pause that comes now.
      const { confirmedTo } = life
      onSend(command.cosem!)
      const wan = new SimWan((exchange) => onExchange(life, exchange, confirmedTo))
      await life.turnAt('before an exchange')
      const result = await wan.exchange(address, command, lane, security)
      await life.turnAt('after an exchange')
      return result
    },
    close: () => Promise.resolve(),
  }
}
