/**
 * A process's copy of the directory, and of the format of the deployment: read once at the start,
 * followed from then on, and read again when somebody must know that it is the present one.
 */
import {
  emptyDirectory,
  withRecord,
  type Directory,
  type LiveDirectory,
  type PartySource,
} from '../access/directory.ts'
import type { Parties } from '../access/parties.ts'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { directorySubjects } from '../cluster/directory-subject.ts'
import { isLaterVersion } from '../envelope/version.ts'
import { pause, type Clock } from '../ports/clock.ts'
import type { Ledger, LedgerMessage } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import { decodeDeployment } from './identity.ts'
import { deploymentSubject } from './opening.ts'

export type DirectoryReaderPorts = {
  ledger: Pick<Ledger, 'read' | 'follow' | 'lastOn'>
  clock: Clock
  log: Log
}

export class DirectoryReader implements LiveDirectory, PartySource {
  private readonly ports: DirectoryReaderPorts
  private readonly listeners = new Set<() => void>()
  private readonly followers: Array<{ close(): Promise<void> }> = []
  private present: Directory = emptyDirectory
  private freshAtMs = -Infinity
  private refreshing: Promise<boolean> | undefined
  /** The copy stands before a record, or a deployment, that cannot be read: nothing is skipped. */
  private recordFault: string | undefined
  private formatFault: string | undefined

  constructor(ports: DirectoryReaderPorts) {
    this.ports = ports
  }

  get current(): Directory {
    return this.present
  }

  get format(): number {
    return this.present.format
  }

  get known(): Parties {
    return this.present.parties
  }

  get trouble(): string | undefined {
    return this.formatFault ?? this.recordFault
  }

  get isFresh(): boolean {
    return this.ageMs < limits.directoryLagMsMax
  }

  /** Since the copy was known to be the present one. */
  private get ageMs(): number {
    return this.ports.clock.elapsedMs() - this.freshAtMs
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  /**
   * Settles when the copy is that of now, and is followed.
   * @throws BrokerError BROKER_LEDGER_UNAVAILABLE, FORMAT_VERSION_LATER
   */
  async start(): Promise<void> {
    const { ledger } = this.ports
    const deployment = await ledger.lastOn(deploymentSubject)
    if (deployment !== undefined) this.takeDeployment(deployment)
    await this.readNew()
    const take = (message: LedgerMessage): void => this.follow(message)
    const { sequence } = this.present
    this.followers.push(
      await ledger.follow(directorySubjects, sequence + 1, take),
      await ledger.follow(deploymentSubject, (deployment?.sequence ?? 0) + 1, take),
    )
  }

  refreshAhead(): void {
    if (this.ageMs >= limits.directoryLagMsMax / 2) void this.refresh()
  }

  refresh(): Promise<boolean> {
    this.refreshing ??= this.tryRefresh().finally(() => (this.refreshing = undefined))
    return this.refreshing
  }

  async close(): Promise<void> {
    await Promise.all(this.followers.map((follower) => follower.close()))
  }

  private async tryRefresh(): Promise<boolean> {
    const { clock, log } = this.ports
    try {
      await this.readNew()
      // The answer was long in coming, or this process has stood still since the question.
      if (!this.isFresh) await this.readNew()
      this.recordFault = undefined
      if (this.formatFault === undefined) return this.isFresh
    } catch (fault) {
      this.recordFault = unreadable(fault) ?? this.recordFault
      log.warn({ fault: String(fault) }, 'the directory cannot be read for the moment')
    }
    await pause(clock, limits.busyRetryMs)
    return false
  }

  /** What was there at the call is in the copy when it settles. */
  private async readNew(): Promise<void> {
    const { ledger, clock } = this.ports
    const askedAtMs = clock.elapsedMs()
    const last = (await ledger.lastOn(directorySubjects))?.sequence ?? 0
    const { sequence } = this.present
    if (last > sequence)
      await ledger.read(directorySubjects, sequence + 1, (message) => this.take(message), last)
    this.freshAtMs = Math.max(this.freshAtMs, askedAtMs)
  }

  private follow(message: LedgerMessage): void {
    const { subject, sequence } = message
    const isFormat = subject === deploymentSubject
    // Behind one that cannot be read nothing is taken: a refresh goes on from there in order.
    if (!isFormat && this.recordFault !== undefined) return
    try {
      if (isFormat) this.takeDeployment(message)
      else this.take(message)
    } catch (fault) {
      if (isFormat) this.formatFault = String(fault)
      else this.recordFault = String(fault)
      this.ports.log.error(
        { subject, sequence, fault: String(fault) },
        'the directory stands still',
      )
    }
  }

  private take(message: LedgerMessage): void {
    this.replace(withRecord(this.present, message))
  }

  private takeDeployment({ data }: LedgerMessage): void {
    const { format, needsMeterPoints = false } = decodeDeployment(data)
    this.replace({ ...this.present, format, needsMeterPoints })
    this.formatFault = undefined
  }

  private replace(directory: Directory): void {
    if (directory === this.present) return
    this.present = directory
    for (const listener of this.listeners) listener()
  }
}

/** Why a record cannot be read; undefined when the ledger did not answer. */
const unreadable = (fault: unknown): string | undefined =>
  isLaterVersion(fault) || (fault instanceof BrokerError && fault.code === 'ENVELOPE_MALFORMED')
    ? String(fault)
    : undefined
