/**
 * What every kind of actor must keep, tried on any of its facts and states: a fact is read from the
 * ledger as it was written, a state from the store as it was packed, and a replay of what was
 * written gives the state that the decisions gave.
 */
import { isDeepStrictEqual } from 'node:util'
import { emptyDirectory, type Directory } from '../../core/access/directory.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { forEachEnvelope, FrameWriter } from '../../core/envelope/frame.ts'
import type { ActorKind } from '../../actors/kind/actor-kind.ts'
import type { ActorEffect, ActorFact, Deliver, Outbox } from '../../actors/kind/effects.ts'
import { next, type ActorMessage } from '../../actors/kind/messages.ts'

/** What a trial needs of a kind. */
type Replayed<State, Fact> = Pick<
  ActorKind<State, never, Fact & ActorFact>,
  | 'emptyState'
  | 'evolve'
  | 'loaded'
  | 'isWritten'
  | 'writeFact'
  | 'readFact'
  | 'packState'
  | 'unpackState'
>

/** The fact as the ledger gives it back. @throws Error when it is another one */
export function throughLedger<Fact extends ActorFact>(
  kind: Pick<Replayed<unknown, Fact>, 'writeFact' | 'readFact'>,
  id: Eui64,
  fact: Fact,
): Fact {
  const read = kind.readFact(octetsOf(kind, id, [fact]), 0)
  if (!isDeepStrictEqual(plain(read), plain(fact)))
    throw new Error(`${fact.type}: ${JSON.stringify(read)} was read for ${JSON.stringify(fact)}`)
  return read
}

/** The state as the store gives it back. @throws Error when it would be packed differently */
export function throughStore<State>(
  kind: Pick<Replayed<State, ActorFact>, 'packState' | 'unpackState'>,
  state: State,
): State {
  const packed = Buffer.from(kind.packState(state))
  const stored = kind.unpackState(packed)
  if (!packed.equals(kind.packState(stored))) throw new Error('the state changes in the store')
  return stored
}

/**
 * The state that a replay of `facts` gives; `storedAt` says behind which fact it went through the
 * store, -1 for none.
 */
export function replay<State, Fact extends ActorFact>(
  kind: Replayed<State, Fact>,
  id: Eui64,
  facts: readonly Fact[],
  storedAt = -1,
): State {
  const bytes = octetsOf(
    kind,
    id,
    facts.filter((fact) => kind.isWritten(fact)),
  )
  let state = kind.emptyState()
  let index = 0
  forEachEnvelope(bytes, 0, (at) => {
    kind.evolve(state, kind.readFact(bytes, at), id)
    if (index++ === storedAt) state = throughStore(kind, state)
  })
  return state
}

/**
 * Tries all of it on a life: its facts, and the state that its decisions gave. @throws Error with
 * what does not hold
 */
export function tryLife<State, Fact extends ActorFact>(
  kind: Replayed<State, Fact>,
  id: Eui64,
  { facts, state }: { readonly facts: readonly Fact[]; readonly state: State },
  storedAt = -1,
): void {
  // Octets, because a state may have kept a part of a fact, and changed it since.
  for (const fact of facts) {
    if (!kind.isWritten(fact)) continue
    const written = octetsOf(kind, id, [fact])
    if (!written.equals(octetsOf(kind, id, [kind.readFact(written, 0)])))
      throw new Error(`${fact.type} is written differently once it was read`)
  }
  // A state of written facts alone has nothing that the store may lose.
  const [whole, stored] = [replay(kind, id, facts), throughStore(kind, replay(kind, id, facts))]
  for (const one of [whole, stored]) kind.loaded(one, id)
  if (!isDeepStrictEqual(plain(stored), plain(whole)))
    throw new Error('the store loses a part of the state')
  const expected = Buffer.from(kind.packState(throughStore(kind, state)))
  for (const cut of [-1, storedAt])
    if (!expected.equals(kind.packState(replay(kind, id, facts, cut))))
      throw new Error(`a replay of ${facts.length} facts gives another state (stored at ${cut})`)
}

/** One actor of any kind, fed as the runtime does it; each fact is tried as it is decided. */
export class ActorTrial<
  State,
  Message extends ActorMessage,
  Fact extends ActorFact,
  Effect extends ActorEffect,
> {
  readonly facts: Fact[] = []
  readonly deliveries: Deliver[] = []
  readonly effects: Array<Outbox<Fact, Effect>['effects'][number]> = []
  state: State
  directory: Directory = emptyDirectory
  private readonly kind: ActorKind<State, Message, Fact, Effect>
  private readonly id: Eui64

  constructor(kind: ActorKind<State, Message, Fact, Effect>, id: Eui64) {
    this.kind = kind
    this.id = id
    this.state = kind.emptyState()
  }

  /** Decides `message`, and what follows when it gave facts. */
  feed(message: Parameters<typeof this.kind.decide>[1], now: number): void {
    if (this.step(message, now) && message.type !== 'NEXT') this.step(next, now)
  }

  private step(message: Parameters<typeof this.kind.decide>[1], now: number): boolean {
    const out: Outbox<Fact, Effect> = { facts: [], deliveries: [], effects: [] }
    this.kind.decide(this.state, message, now, this.directory, out)
    for (const fact of out.facts) {
      if (this.kind.isWritten(fact)) throughLedger(this.kind, this.id, fact)
      this.kind.evolve(this.state, fact, this.id)
    }
    this.facts.push(...out.facts)
    this.deliveries.push(...out.deliveries)
    this.effects.push(...out.effects)
    return out.facts.length > 0
  }

  /** @throws Error with what does not hold of this life */
  try(storedAt = -1): void {
    tryLife(this.kind, this.id, this, storedAt)
  }
}

function octetsOf<Fact extends ActorFact>(
  kind: Pick<Replayed<unknown, Fact>, 'writeFact'>,
  id: Eui64,
  facts: readonly Fact[],
): Buffer {
  const frame = new FrameWriter()
  for (const fact of facts) kind.writeFact(frame, id, fact)
  return frame.take()
}

/** Octets as octets, whatever array holds them; without what is undefined. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([key, inner]) => [key, plain(inner)]),
  )
}
