/**
 * The demonstration supplier: an ordinary gRPC client. Submits a plan over the bidirectional
 * stream, takes the answers from the output gateway, and keeps account of every request until it
 * has one. When a stream of a party ends before that, it says so and counts the party's open
 * requests as missing.
 */
import type { PartyCredentials } from '../../core/access/credentials.ts'
import {
  SupplierClient,
  type DeliveryStream,
  type SubmissionStream,
} from '../../core/client/supplier-client.ts'
import type {
  Acknowledgement,
  ServiceResponse,
} from '../../proto/gen/busbar/v1/service_response.ts'
import type { Delivery } from '../../proto/gen/busbar/v1/output_gateway.ts'
import { RequestCounters } from '../../core/base/request-counter.ts'
import type { Role } from '../../core/catalogue/service-requests.ts'
import type { Planned } from './plan.ts'

/** Requests on their way at a time, over all parties. */
const windowMax = 512
const credit = 4_096
/** Longer than a request lives by default, with all its attempts. */
const patienceMs = 150_000
const resubmissionsMax = 20

export type Account = {
  submitted: number
  accepted: number
  refused: number
  answered: number
  timedOut: number
  missing: number
  /** From the first submission to the last answer. */
  tookMs: number
  /** Submission to answer, ms, rising. */
  latenciesMs: number[]
  refusals: Map<string, number>
  /** One good answer to each variant. */
  samples: Map<string, ServiceResponse>
}

type Open = { planned: Planned; sentAt: number; isAccepted: boolean; tries: number }

export type SupplierOptions = {
  /** `host:port` of the gRPC gateway. */
  address: string
  /** EUI-64 by role. */
  parties: ReadonlyMap<Role, string>
  /** What a party proves its identity with, by its EUI-64. */
  credentialsOf: (party: string) => PartyCredentials
  onProgress: (account: Account, total: number) => void
  /**
   * A stream has ended while it was needed; `line` says which, why and what follows, for people.
   */
  onStreamEnd: (line: string) => void
}

export class Supplier {
  private readonly options: SupplierOptions
  private readonly clients = new Map<
    Role,
    { client: SupplierClient; stream: SubmissionStream; receiver: DeliveryStream }
  >()
  private readonly open = new Map<string, Open>()
  private readonly account: Account = {
    submitted: 0,
    accepted: 0,
    refused: 0,
    answered: 0,
    timedOut: 0,
    missing: 0,
    tookMs: 0,
    latenciesMs: [],
    refusals: new Map(),
    samples: new Map(),
  }
  private waiting: Planned[] = []
  private readonly counters = new RequestCounters(() => Date.now())
  private total = 0
  /** Refused for want of room, to be submitted again shortly. */
  private retrying = 0
  private onDone: () => void = () => undefined
  /** Requests of parties whose streams have ended. */
  private lost = 0
  private readonly lostRoles = new Set<Role>()
  private isClosing = false

  constructor(options: SupplierOptions) {
    this.options = options
  }

  /**
   * Submits all of `plan` and settles when each is refused or answered, or nothing has happened for
   * longer than anything may take.
   */
  async run(plan: readonly Planned[]): Promise<Account> {
    this.waiting = [...plan].reverse()
    this.total = plan.length
    const startedAt = performance.now()
    let lastCount = -1
    let patienceEndsAt = startedAt + patienceMs
    const done = new Promise<void>((resolve) => (this.onDone = resolve))
    const watch = setInterval(() => {
      const count = this.account.answered + this.account.refused + this.account.timedOut
      if (count !== lastCount) patienceEndsAt = performance.now() + patienceMs
      lastCount = count
      this.options.onProgress(this.account, this.total)
      if (performance.now() > patienceEndsAt) this.onDone()
    }, 100)
    this.fill()
    await done
    clearInterval(watch)
    this.account.tookMs = performance.now() - startedAt
    this.account.missing = this.open.size + this.waiting.length + this.retrying + this.lost
    this.account.latenciesMs.sort((a, b) => a - b)
    this.options.onProgress(this.account, this.total)
    return this.account
  }

  async close(): Promise<void> {
    // Nothing new: what is on its way is acknowledged, and waits at the output gateway when it is
    // answered.
    this.waiting = []
    this.isClosing = true
    this.onDone()
    for (const { client, stream, receiver } of this.clients.values()) {
      await Promise.allSettled([stream.end(), receiver.end()])
      client.close()
    }
    this.clients.clear()
  }

  private fill(): void {
    while (this.open.size < windowMax && this.waiting.length > 0)
      this.submit(this.waiting.pop()!, 0)
    if (this.open.size + this.waiting.length + this.retrying === 0) this.onDone()
  }

  /** @param counter of a request that was refused and is repeated: it keeps its RequestID */
  private submit(planned: Planned, tries: number, counter = this.counters.next()): void {
    const { parties } = this.options
    if (this.lostRoles.has(planned.role)) {
      this.lost++
      return
    }
    const originator = parties.get(planned.role)
    if (originator === undefined) throw new Error(`no party of role ${planned.role}`)
    const requestId = { originator, target: planned.target, counter }
    const request = { ...planned.request, requestId }
    this.account.submitted += tries === 0 ? 1 : 0
    this.open.set(keyOf(requestId), {
      planned,
      sentAt: performance.now(),
      isAccepted: false,
      tries,
    })
    this.connection(planned.role).stream.send([request])
  }

  private connection(role: Role): { stream: SubmissionStream } {
    const known = this.clients.get(role)
    if (known !== undefined) return known
    const client = new SupplierClient({
      address: this.options.address,
      credentials: this.options.credentialsOf(this.options.parties.get(role)!),
    })
    const receiver = client.receive(credit, (list) => this.onDeliveries(list, receiver))
    const stream = client.submitStream((list) => list.forEach((one) => this.onAcknowledgement(one)))
    const connection = { client, stream, receiver }
    this.clients.set(role, connection)
    this.watch(role, 'receiver', receiver.done)
    this.watch(role, 'submission stream', stream.done)
    return connection
  }

  private watch(role: Role, what: string, done: Promise<void>): void {
    done.then(
      () => this.onStreamEnd(role, what, 'the gateway closed it'),
      (error: unknown) => this.onStreamEnd(role, what, reasonOf(error)),
    )
  }

  private onStreamEnd(role: Role, what: string, reason: string): void {
    if (this.isClosing || this.lostRoles.has(role)) return
    this.lostRoles.add(role)
    for (const [key, { planned }] of this.open) {
      if (planned.role !== role) continue
      this.open.delete(key)
      this.lost++
    }
    const party = this.options.parties.get(role)
    this.options.onStreamEnd(
      `The ${what} of the demonstration's party ${party} (${role}) has ended: ${reason}. ` +
        'Its open requests count as missing.',
    )
    this.fill()
  }

  private onAcknowledgement(acknowledgement: Acknowledgement): void {
    const key = keyOf(acknowledgement.requestId)
    const open = this.open.get(key)
    if (open === undefined) return
    if (acknowledgement.responseCode === 'I99') {
      if (!open.isAccepted) this.account.accepted++
      open.isAccepted = true
      return
    }
    this.open.delete(key)
    if (acknowledgement.retryAfterMs > 0 && open.tries < resubmissionsMax) {
      this.retrying++
      setTimeout(() => {
        this.retrying--
        this.submit(open.planned, open.tries + 1, acknowledgement.requestId?.counter)
        // Its party may have lost its streams meanwhile: then this was the last to wait for.
        this.fill()
      }, acknowledgement.retryAfterMs)
      return
    }
    this.account.refused++
    const { refusals } = this.account
    refusals.set(acknowledgement.reason, (refusals.get(acknowledgement.reason) ?? 0) + 1)
    this.fill()
  }

  private onDeliveries(list: Delivery[], receiver: DeliveryStream): void {
    for (const { content } of list) {
      if (content?.$case === 'response') this.onResponse(content.value)
    }
    const last = list.at(-1)
    if (last !== undefined) receiver.acknowledge(last.deliveryId)
    this.fill()
  }

  private onResponse(response: ServiceResponse): void {
    const key = keyOf(response.requestId)
    const open = this.open.get(key)
    // Left from a run before, or a second delivery.
    if (open === undefined) return
    this.open.delete(key)
    // The answer may overtake the acknowledgement: two streams.
    if (!open.isAccepted) this.account.accepted++
    const { responseCode, serviceReferenceVariant } = response
    if (['E20', 'E21', 'E30'].includes(responseCode)) this.account.timedOut++
    else this.account.answered++
    this.account.latenciesMs.push(performance.now() - open.sentAt)
    if (responseCode === 'I0' && !this.account.samples.has(serviceReferenceVariant)) {
      this.account.samples.set(serviceReferenceVariant, response)
    }
  }
}

const reasonOf = (error: unknown): string => {
  const { details } = error as { details?: string }
  return (details || String(error)).replace(/\.$/, '')
}

type Id = { originator: string; target: string; counter: bigint } | undefined
const keyOf = (id: Id): string =>
  id === undefined ? '' : `${id.originator}:${id.target}:${id.counter}`

/** The value below which `fraction` of the rising `values` lie. */
export function quantile(values: readonly number[], fraction: number): number {
  return values[Math.min(values.length - 1, Math.floor(values.length * fraction))] ?? 0
}
