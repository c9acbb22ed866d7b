/**
 * Keeps bulk work from flooding partitions with letters: it goes on only while no partition has
 * more unread letters, or an older one, than it may. Hosts say so when they are asked.
 */
import { limits } from '../../core/base/limits.ts'
import {
  decodeHostStatus,
  statusSubject,
  type LettersBacklog,
} from '../../core/cluster/process-status.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import type { Bus } from '../../core/ports/bus.ts'
import { pause, type Clock } from '../../core/ports/clock.ts'

export type BulkBrakePorts = {
  bus: Pick<Bus, 'request'>
  clock: Clock
  aliveHosts: () => readonly string[]
}

/** Whether bulk work has to wait for the letters of a host. */
export const isOverloaded = ({ unreadMax, oldestMs }: LettersBacklog): boolean =>
  unreadMax > limits.bulkLettersUnreadMax || oldestMs > limits.bulkLettersAgeMsMax

export class BulkBrake {
  private readonly ports: BulkBrakePorts
  private freeAtMs = -Infinity
  private looking: Promise<boolean> | undefined
  private waiting = 0
  private isClosed = false

  constructor(ports: BulkBrakePorts) {
    this.ports = ports
  }

  /** True while bulk work waits. */
  get isOn(): boolean {
    return this.waiting > 0
  }

  /** Settles when bulk work may go on, or the process ends. */
  async mayGoOn(): Promise<void> {
    const { clock } = this.ports
    if (clock.elapsedMs() - this.freeAtMs < limits.bulkLookMs) return
    if (await this.isFree()) return
    this.waiting++
    try {
      while (!this.isClosed && !(await this.isFree())) await pause(clock, limits.bulkLookMs)
    } finally {
      this.waiting--
    }
  }

  close(): void {
    this.isClosed = true
  }

  private isFree(): Promise<boolean> {
    this.looking ??= this.look().finally(() => (this.looking = undefined))
    return this.looking
  }

  private async look(): Promise<boolean> {
    const { clock, aliveHosts } = this.ports
    const found = await Promise.all(aliveHosts().map((host) => this.backlogOf(host)))
    if (found.some((one) => one !== undefined && isOverloaded(one))) return false
    this.freeAtMs = clock.elapsedMs()
    return true
  }

  /** Of a host that does not answer nothing is known: its partitions take no records either. */
  private async backlogOf(host: string): Promise<LettersBacklog | undefined> {
    try {
      const answer = await this.ports.bus.request(
        statusSubject(host),
        emptyBytes,
        limits.bulkAskMsMax,
      )
      return decodeHostStatus(answer).letters
    } catch {
      return undefined
    }
  }
}
