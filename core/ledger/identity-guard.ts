/**
 * Watches that the ledger under a running process stays the one it was opened as. A stream that is
 * deleted, replaced, cut short, or belongs to another deployment is reported by name, and nothing
 * is written to it: what this process has in memory belongs to the ledger it knew.
 *
 * @source core/decisions/0017
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import { labelKey, labelOf, type Deployment, type LedgerIdentity } from './identity.ts'
import { streamNotFoundCode, type StreamLook } from './opening.ts'

export type GuardOptions = {
  clock: Clock
  /** In a cluster a server that is cut off may answer with what it had. */
  isCluster(): boolean
  info(waitMs: number): Promise<StreamLook>
  deployment(): Promise<Deployment | undefined>
  /** Called once, when the ledger is lost to this process for good. */
  onLost?: ((fault: BrokerError) => void) | undefined
}

export class IdentityGuard {
  private readonly options: GuardOptions
  private identity: LedgerIdentity | undefined
  private isOpen = false
  private lost: BrokerError | undefined
  private passing: BrokerError | undefined
  /** Since when the ledger has ended too early; ms of elapsed time. */
  private shortSinceMs: number | undefined
  private verifying: Promise<void> | undefined
  /** The last sequence that is known to be on the ledger's disk. */
  private durable = 0

  constructor(options: GuardOptions) {
    this.options = options
  }

  /** From now on the ledger must be this one. */
  expect(identity: LedgerIdentity): void {
    this.identity = identity
    this.isOpen = true
  }

  /** Why the ledger is not the one that was opened, or undefined. */
  get fault(): BrokerError | undefined {
    return this.lost ?? this.passing
  }

  /** False after a disconnection, and while there is a fault: then `verify` comes first. */
  get isVerified(): boolean {
    return this.isOpen || this.identity === undefined
  }

  /** The server may be another one, or have another disk, when it is back. */
  onDisconnect(): void {
    this.isOpen = false
  }

  /** A message with this sequence was acknowledged. */
  acknowledged(sequence: number): void {
    if (sequence > this.durable) this.durable = sequence
  }

  /** Asks which ledger is there. @throws BrokerError LEDGER_…, BROKER_LEDGER_UNAVAILABLE */
  async verify(waitMs: number = limits.ledgerAskMsMax): Promise<void> {
    this.verifying ??= this.look(waitMs)
      .then(() => undefined)
      .finally(() => {
        this.verifying = undefined
      })
    await this.verifying
  }

  /** Asks for the state of the stream and judges it. @throws as `verify` */
  async look(waitMs: number = limits.ledgerAskMsMax): Promise<StreamLook> {
    // What is acknowledged while the answer is on its way need not be in it.
    const { durable } = this
    const look = await this.options.info(waitMs)
    await this.judge(look, durable)
    if (this.fault !== undefined) throw this.fault
    return look
  }

  private async judge(look: StreamLook, durable: number): Promise<void> {
    const { identity } = this
    if (identity === undefined || this.lost !== undefined) return
    if (look.error !== undefined) {
      if (look.error.err_code === streamNotFoundCode)
        this.hold('LEDGER_MISSING', `known is ledger ${identity.id}, found is no stream`)
      return
    }
    const label = look.config?.metadata?.[labelKey] ?? (await this.labelOnLedger())
    if (label === undefined)
      return this.hold('LEDGER_MISSING', `known is ledger ${identity.id}, found is an empty stream`)
    if (label !== labelOf(identity)) {
      const isRestored = label.startsWith(`${identity.id}.`)
      const detail = isRestored
        ? `ledger ${identity.id} was restored meanwhile: start this process again`
        : `known is ledger ${identity.id}, found is ledger ${label.split('.')[0]}`
      return this.lose(new BrokerError('LEDGER_IDENTITY_MISMATCH', detail))
    }
    const lastSequence = look.state?.last_seq ?? 0
    if (lastSequence < durable) return this.onShort(identity, durable, lastSequence)
    this.shortSinceMs = undefined
    this.passing = undefined
    this.isOpen = true
  }

  private async labelOnLedger(): Promise<string | undefined> {
    const identity = (await this.options.deployment())?.identity
    return identity && labelOf(identity)
  }

  private onShort(identity: LedgerIdentity, durable: number, lastSequence: number): void {
    const nowMs = this.options.clock.elapsedMs()
    this.shortSinceMs ??= nowMs
    const fault = new BrokerError(
      'LEDGER_ROLLED_BACK',
      `ledger ${identity.id}: sequence ${durable} was acknowledged, and the ledger ends at ${lastSequence}`,
    )
    const isFinal =
      !this.options.isCluster() || nowMs - this.shortSinceMs >= limits.ledgerStartMsMax
    if (isFinal) this.lose(fault)
    else this.close(fault)
  }

  private hold(code: 'LEDGER_MISSING', detail: string): void {
    this.close(new BrokerError(code, detail))
  }

  private close(fault: BrokerError): void {
    this.passing = fault
    this.isOpen = false
  }

  private lose(fault: BrokerError): void {
    this.close(fault)
    this.lost = fault
    this.options.onLost?.(fault)
  }
}
