/** Replicas of a ledger in memory: lists of messages by server, any of which answers. */
import { limits } from '../../core/base/limits.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import { seededRandom } from '../../core/ports/random.ts'
import type {
  Replica,
  ReplicaRange,
  ReplicaSource,
  StreamReplicas,
} from '../../core/ports/replicas.ts'

export class ReplicasInMemory implements ReplicaSource {
  readonly copies = new Map<string, LedgerMessage[]>()
  /** Servers that answer nothing. */
  readonly silent = new Set<string>()
  leader = ''
  /** Messages that the leader counts and does not give. */
  unreadable = 0
  /** Called before each read. */
  onRead: () => void = () => {}
  private readonly random: ReturnType<typeof seededRandom>
  private readonly lastSequence: number

  constructor(servers: readonly string[], messages: readonly LedgerMessage[], seed: number) {
    this.random = seededRandom(seed)
    this.leader = servers[0]!
    this.lastSequence = messages.at(-1)?.sequence ?? 0
    for (const server of servers)
      this.copies.set(
        server,
        messages.map((message) => ({ ...message, data: Buffer.from(message.data) })),
      )
  }

  /** Takes messages out of one copy. */
  lose(server: string, from: number, through: number): void {
    const kept = this.copies.get(server)!
    this.copies.set(
      server,
      kept.filter(({ sequence }) => sequence < from || sequence > through),
    )
  }

  /** Changes one bit of one message. */
  flip(server: string, sequence: number, at: number): void {
    const message = this.copies.get(server)!.find((one) => one.sequence === sequence)!
    message.data[at % message.data.length]! ^= 1 << (at % 8)
  }

  replicas(): Promise<StreamReplicas> {
    const replicas: Replica[] = [...this.copies.keys()].map((server) => ({
      server,
      state: 'current',
      lagMessages: 0,
      silentMs: 0,
    }))
    const { leader, lastSequence } = this
    const own = this.copies.get(leader)!
    const firstSequence = own[0]?.sequence ?? 0
    const messages = own.length + this.unreadable
    const deleted = lastSequence - firstSequence + 1 - messages
    const counts = { firstSequence, lastSequence, messages, deleted }
    const wanted = replicas.length
    return Promise.resolve({
      stream: 'LEDGER',
      ...{ wanted, configured: wanted, leader, replicas, counts },
    })
  }

  read(fromSequence: number): Promise<ReplicaRange | undefined> {
    this.onRead()
    const servers = [...this.copies.keys()]
    const server = servers[Math.floor(this.random.fraction() * servers.length)]!
    if (this.silent.has(server)) return Promise.resolve(undefined)
    const rest = this.copies.get(server)!.filter(({ sequence }) => sequence >= fromSequence)
    const messages = rest.slice(0, limits.replicaRangeMessages)
    return Promise.resolve({ server, messages, isEnd: rest.length === messages.length })
  }

  moveLeader(server: string): Promise<void> {
    this.leader = server
    return Promise.resolve()
  }
}

/** A clock on which every wait is over at once. */
export const hastyClock = (): Clock => {
  let now = 1_800_000_000_000
  return {
    now: () => now,
    elapsedMs: () => now,
    at(atMs, action) {
      let isCalledOff = false
      setImmediate(() => {
        if (isCalledOff) return
        now = Math.max(now, atMs)
        action()
      })
      return () => {
        isCalledOff = true
      }
    },
  }
}
