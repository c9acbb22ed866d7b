/**
 * The storage that an account of a nats-server has left, looked at now and then. The streams of an
 * account share its limit, and a stream without a limit of its own takes what the server has
 * reserved for the ledger: then the server refuses the ledger's writes, answers included. So the
 * broker rejects new requests before.
 *
 * Known only where the operator has given the account a limit, without tiers. Neither the limit of
 * the server as a whole (max_file_store) nor the free space of its disk is told to clients.
 *
 * @source NATS JetStream API, $JS.API.INFO
 */
import { limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import { ledgerReserveOf } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import type { Metrics } from '../ports/metrics.ts'

/** What the account uses and may use, in octets of all replicas. */
type Storage = { readonly usedBytes: number; readonly bytesMax: number }

/** Of a NatsConnection, what this asks. */
export type AccountConnection = {
  request(subject: string, payload: string, options: { timeout: number }): Promise<{ json<T>(): T }>
}

export type AccountStorageOptions = {
  connection: AccountConnection
  /** Of the ledger. */
  ledgerBytesMax: number
  replicas: number
  clock: Clock
  log: Log
  metrics: Metrics
}

type AccountAnswer = {
  storage?: number
  limits?: { max_storage?: number }
  tiers?: Record<string, unknown>
}

export class AccountStorage {
  private readonly options: AccountStorageOptions
  /** Octets that must be left, so that answers can be written. */
  private readonly reserveBytes: number
  private seen: Storage | undefined
  private wasLow = false
  private isLooking = false
  private isClosed = false
  private callOff: () => void = () => {}

  constructor(options: AccountStorageOptions) {
    this.options = options
    const { ledgerBytesMax, replicas, metrics } = options
    this.reserveBytes = ledgerReserveOf(ledgerBytesMax) * replicas
    const gauges = (name: string, help: string, read: (storage: Storage) => number): void =>
      metrics.gauges(name, help, () =>
        this.seen === undefined ? [] : [{ labels: {}, value: read(this.seen) }],
      )
    gauges(
      'busbar_account_storage_used_bytes',
      'Octets that the account at an external nats-server stores',
      ({ usedBytes }) => usedBytes,
    )
    gauges(
      'busbar_account_storage_max_bytes',
      'Octets that the account at an external nats-server may store',
      ({ bytesMax }) => bytesMax,
    )
    gauges(
      'busbar_account_storage_low',
      '1 while the account has less storage left than the ledger keeps for answers',
      () => (this.isLow ? 1 : 0),
    )
  }

  /** Settles when it has been looked at once; goes on looking until `close`. */
  async start(): Promise<void> {
    await this.look()
    this.arm()
  }

  close(): void {
    this.isClosed = true
    this.callOff()
  }

  /** False when it is not known. */
  get isLow(): boolean {
    return this.seen !== undefined && this.leftBytes(this.seen) < this.reserveBytes
  }

  /** Why no new requests are taken, or undefined. */
  get trouble(): string | undefined {
    if (this.seen === undefined || !this.isLow) return undefined
    const { usedBytes, bytesMax } = this.seen
    return (
      `the account at nats-server uses ${usedBytes} of ${bytesMax} octets, ${this.reserveBytes} must be left for answers: ` +
      'raise its limit of storage, or delete what other streams of it hold'
    )
  }

  private leftBytes({ usedBytes, bytesMax }: Storage): number {
    return bytesMax - usedBytes
  }

  private arm(): void {
    const { clock } = this.options
    if (this.isClosed) return
    this.callOff = clock.at(clock.now() + limits.diskLookMs, () => {
      void this.look()
      this.arm()
    })
  }

  private async look(): Promise<void> {
    // A server that does not answer is not asked more and more.
    if (this.isLooking) return
    this.isLooking = true
    try {
      const asked = { timeout: limits.ledgerAskMs }
      const reply = await this.options.connection.request('$JS.API.INFO', '', asked)
      const { storage, limits: account, tiers } = reply.json<AccountAnswer>()
      const bytesMax = account?.max_storage ?? -1
      const isKnown = storage !== undefined && bytesMax > 0 && tiers === undefined
      this.seen = isKnown ? { usedBytes: storage, bytesMax } : undefined
    } catch {
      // What was seen last stays: readiness tells of a server that does not answer.
    }
    this.isLooking = false
    this.tell()
  }

  /** Says once when it becomes low, and once when it is no longer. */
  private tell(): void {
    const { isLow, seen, reserveBytes } = this
    if (isLow === this.wasLow) return
    this.wasLow = isLow
    const fields = { ...seen, reserveBytes }
    if (isLow) this.options.log.error(fields, 'the account at nats-server is short of storage')
    else this.options.log.info(fields, 'the account at nats-server has its reserve again')
  }
}
