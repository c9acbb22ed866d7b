/**
 * Whether a process may be sent work, honestly: its ledger answers and has room, the partitions
 * that are its own are served, every partition has an owner that lives, and deliveries follow the
 * ledger closely. Asked by probes (`GET /health/ready`), so what must be asked of a server is asked
 * beside them, by the clock.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { ledgerReserveOf, type Ledger, type LedgerUsage } from '../../core/ports/ledger.ts'

/** Looks at the ledger every `readinessLookMs` and remembers what it saw. */
export class LedgerWatch {
  private readonly ledger: Pick<Ledger, 'usage'>
  private readonly clock: Clock
  private last: LedgerUsage | undefined
  private answeredAtMs: number
  private isAsking = false
  private callOff: () => void = () => {}
  /** The ledger that this process knows is not there. */
  private lost: BrokerError | undefined
  private readonly onSeen: (sequence: number) => void

  /** @param onSeen  called with sequences that were there at one look and still at the next */
  constructor(
    ledger: Pick<Ledger, 'usage'>,
    clock: Clock,
    onSeen: (sequence: number) => void = () => undefined,
  ) {
    this.ledger = ledger
    this.clock = clock
    this.onSeen = onSeen
    this.answeredAtMs = clock.elapsedMs()
  }

  /** Looks for the first time at once. */
  start(): void {
    this.look()
  }

  /** The last message that the ledger was seen to have. */
  get lastSequence(): number {
    return this.last?.lastSequence ?? 0
  }

  /** Why the ledger cannot be written to, or undefined. */
  get trouble(): string | undefined {
    if (this.lost !== undefined) return this.lost.message
    const silentMs = Math.round(this.clock.elapsedMs() - this.answeredAtMs)
    if (silentMs > limits.readinessSilenceMsMax)
      return `it has not answered for ${silentMs} ms: look at nats-server`
    if (this.last === undefined) return 'it has not answered yet'
    const { bytes, bytesMax } = this.last
    // New requests are rejected in the reserve. What is in the ledger that can be forgotten goes by
    // itself.
    const reserve = ledgerReserveOf(bytesMax)
    return bytesMax - bytes < reserve
      ? `BROKER_LEDGER_FULL: ${bytes} of ${bytesMax} octets are used, the last ${reserve} are kept for answers`
      : undefined
  }

  close(): void {
    this.callOff()
  }

  private look(): void {
    const { clock } = this
    this.callOff = clock.at(clock.now() + limits.readinessLookMs, () => this.look())
    // One question at a time: a server that does not answer is not asked more and more.
    if (this.isAsking) return
    this.isAsking = true
    void this.ledger.usage().then(
      (usage) => {
        // What one look has found may not be flushed yet.
        if (this.last !== undefined)
          this.onSeen(Math.min(this.last.lastSequence, usage.lastSequence))
        this.lost = undefined
        this.last = usage
        this.answeredAtMs = clock.elapsedMs()
        this.isAsking = false
      },
      // How long it has been silent says enough, unless it is another ledger that answers.
      (fault: unknown) => {
        const isLost = fault instanceof BrokerError && fault.code !== 'BROKER_LEDGER_UNAVAILABLE'
        if (isLost) this.lost = fault
        this.isAsking = false
      },
    )
  }
}

/** What is said of partitions; `Owners` knows it. */
type Partitions = {
  readonly partitionCount: number
  ownerOf(partition: number): string | undefined
  isSilent(hostId: string): boolean
}

/**
 * Why some partition is not served, or undefined. `served` are those of this host, `hostId`;
 * without the role host leave both out.
 */
export function partitionTrouble(
  owners: Partitions,
  hostId?: string,
  served: readonly number[] = [],
): string | undefined {
  let unowned = 0
  let silent = 0
  let loading = 0
  for (let partition = 0; partition < owners.partitionCount; partition++) {
    const owner = owners.ownerOf(partition)
    if (owner === undefined) unowned++
    else if (owner === hostId) loading += served.includes(partition) ? 0 : 1
    else if (owners.isSilent(owner)) silent++
  }
  const parts = [
    unowned > 0 && `${unowned} have no owner`,
    silent > 0 && `${silent} have an owner that is silent`,
    loading > 0 && `${loading} of this host's own are not served yet, or cannot be read`,
  ].filter((part) => part !== false)
  return parts.length === 0 ? undefined : `of ${owners.partitionCount}, ${parts.join(', ')}`
}

/** Why deliveries are late, or undefined: `followed` is the tick that a gateway has got to. */
export function deliveryTrouble(lastSequence: number, followed: number): string | undefined {
  const behind = lastSequence - followed
  return behind > limits.deliveryLagTicksMax ? `${behind} ticks behind the ledger` : undefined
}
