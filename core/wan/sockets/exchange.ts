/**
 * One exchange under way on the WAN, from the call to its one result, and the list of all of them
 * that the sweep of time-outs walks. No timer and no promise of its own beside the caller's.
 */
import type { Lane } from '../../base/lane.ts'
import type {
  CosemResult,
  CountersUsed,
  DeviceAddress,
  ExchangeResult,
  ExchangeSecurity,
  WanCommand,
} from '../../ports/wan.ts'
import { ReservedCounter } from './client-terms.ts'

/** How an exchange leaves its association, and which connection it takes. */
export type ExchangeManner = { endsAssociation?: boolean; wantsNewLink?: boolean }

/** What an exchange carries, by when it ends, and how. */
export type ExchangeTerms = ExchangeManner & {
  readonly address: DeviceAddress
  readonly command: WanCommand
  readonly lane: Lane
  readonly dueMs: number
  readonly security: ExchangeSecurity | undefined
}

/** What an exchange, and the sweep of time-outs, know of the link that it is under way on. */
export interface ExchangeLink {
  timeOut(exchange: Exchange, nowMs: number): void
}

export class Exchange {
  readonly address: DeviceAddress
  readonly command: WanCommand
  readonly lane: Lane
  readonly startedMs: number
  /** The end of the whole exchange, waiting included. */
  dueMs: number
  /** What it brings along for a device with keys. */
  readonly security: ExchangeSecurity | undefined
  /** Its own, wherever it is begun again: no value of it goes out twice. */
  readonly counter: ReservedCounter | undefined
  /** The highest counter that the device was heard with, and the one that it said it expects. */
  received = -1
  expected: number | undefined
  private readonly settle: (result: ExchangeResult) => void
  /** The link it is under way on. */
  link: ExchangeLink | undefined
  /** True while it waits for a link, or for room on one. */
  isWaiting = false
  /** When the APDU that was sent last went out, and by when its answer is due. */
  sentMs = 0
  answerDueMs = Infinity
  /** The flush of its link that the last APDU waits for; see Link. */
  flushNumber = 0
  /**
   * True from when an APDU that carries a service was given to the link: from then on the device
   * may have acted.
   */
  isServiceSent = false
  /**
   * True from when the device has answered something that was protected under the exchange's keys.
   */
  isHeard = false
  /** True from when the device has answered anything to it. */
  isAnswered = false
  /**
   * True when it was started on a connection that had served others before, or that the device has
   * made: it may have dropped it.
   */
  isOnReusedLink = false
  isRetried = false
  isEnded = false
  /**
   * Its association is released after it: the next exchange on the connection is another client's.
   */
  readonly endsAssociation: boolean
  /** To be begun on a connection that served nobody before, where we can open one. */
  readonly wantsNewLink: boolean
  /** What was answered, while the release of its association is under way. */
  results: CosemResult[] | undefined
  previous: Exchange | undefined
  next: Exchange | undefined

  constructor(terms: ExchangeTerms, startedMs: number, settle: (result: ExchangeResult) => void) {
    const { security } = terms
    this.endsAssociation = terms.endsAssociation === true
    this.wantsNewLink = terms.wantsNewLink === true
    this.address = terms.address
    this.command = terms.command
    this.lane = terms.lane
    this.security = security
    this.startedMs = startedMs
    this.dueMs = terms.dueMs
    this.settle = settle
    if (security === undefined) return
    const { from, to, received } = security.counters
    this.counter = new ReservedCounter(from, to)
    this.received = received
  }

  /** Gives the result to the caller; at most once. */
  end(result: ExchangeResult): void {
    this.isEnded = true
    if (this.counter !== undefined) result.counters = this.countersUsed(this.counter)
    this.settle(result)
  }

  private countersUsed({ next }: ReservedCounter): CountersUsed {
    const { received, expected } = this
    return { next, received, ...(expected !== undefined && { expected }) }
  }

  /** True when carrying it out twice does no harm: it only reads. */
  get isRepeatable(): boolean {
    return onlyReads(this.command)
  }

  /** Its answer has nothing that tells it from the answer to another question. */
  get isOpaque(): boolean {
    return this.command.opaque !== undefined
  }
}

/** True for COSEM operations that only read; of opaque octets nobody knows. */
export function onlyReads({ cosem }: WanCommand): boolean {
  if (cosem === undefined) return false
  for (const { kind } of cosem) if (kind !== 'get') return false
  return true
}

/** All exchanges that have not ended, as a list through themselves: O(1) and no memory for each. */
export class ExchangeList {
  private first: Exchange | undefined
  count = 0

  add(exchange: Exchange): void {
    exchange.next = this.first
    if (this.first) this.first.previous = exchange
    this.first = exchange
    this.count++
  }

  remove(exchange: Exchange): void {
    const { previous, next } = exchange
    if (previous) previous.next = next
    else this.first = next
    if (next) next.previous = previous
    exchange.previous = exchange.next = undefined
    this.count--
  }

  /** All of them, collected. */
  all(): Exchange[] {
    return this.due(Infinity)
  }

  /**
   * Those whose answer or end is due at `nowMs`; collected first, because ending one changes the
   * list.
   */
  due(nowMs: number): Exchange[] {
    const found: Exchange[] = []
    for (let exchange = this.first; exchange; exchange = exchange.next) {
      if (exchange.answerDueMs <= nowMs || exchange.dueMs <= nowMs) found.push(exchange)
    }
    return found
  }
}
