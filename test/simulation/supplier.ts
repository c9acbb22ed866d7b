/**
 * A party as the contract wants it: it submits, repeats what was not acknowledged with the same
 * RequestID, receives over any gateway, and acknowledges what it has. It writes down what it was
 * told, and says when that cannot be.
 */
import { cancellationMs } from '../../core/access/future-dating.ts'
import type { Party } from '../../core/access/parties.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import { textOfEui64 } from '../../core/base/eui64.ts'
import { readDeadline, readOutcome, readTime } from '../../core/envelope/envelope.ts'
import type { SimClock } from '../../core/ports/sim/clock.ts'
import { CancelRequest } from '../../proto/gen/busbar/v1/input_gateway.ts'
import { ReceiveResponse } from '../../proto/gen/busbar/v1/output_gateway.ts'
import { CreateSchedule } from '../../proto/gen/busbar/v1/schedule.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import { deviceKey } from '../support/envelopes.ts'
import type { LedgerChecker } from './checkers.ts'
import type { Chance, Faults } from './faults.ts'
import type { Gateway } from './gateway.ts'
import { partyOf, periodOf, thirdParty } from './names.ts'

const pollMax = 20
const pollWaitMs = 1_000
/** A call that was not answered for so long is given up. */
const callMsMax = 20_000
const kind = 'parties stall'

type Asked = {
  name: string
  request: Buffer
  cancellation: Buffer
  /** How the gateway answered for good: accepted, or rejected without a hint when to come again. */
  code: ErrorCode | undefined
  /** The one before it in a sequence. */
  preceding: Asked | undefined
}
/** What a request says of its turn. */
type Terms = {
  sequence?: 'first' | 'after'
  executeAt?: number
  content?: Pick<ServiceRequest, 'serviceReferenceVariant' | 'body'>
}

/**
 * A request that was never run is never rejected with one of these, however late it is repeated.
 */
const counterCodes: ReadonlySet<ErrorCode> = new Set([
  'REQUEST_COUNTER_STALE',
  'REQUEST_COUNTER_REUSED',
  'REQUEST_COUNTER_TOO_HIGH',
])

export type SupplierPorts = {
  clock: SimClock
  faults: Faults
  checker: LedgerChecker
  /** Brings the checker up to the present. */
  look: () => void
  /** Any gateway that is up. */
  gateway: () => Gateway | undefined
  note: (text: string, request?: string) => void
}

export class Supplier {
  readonly party: Party
  /** Told that they were accepted. */
  readonly accepted = new Set<string>()
  /** Delivery ids of what has come. */
  readonly received = new Map<string, number>()
  /** The last delivery id that it has acknowledged, whether or not anybody heard. */
  acknowledgedTo = 0
  private readonly number: number
  private readonly ports: SupplierPorts
  private readonly asked: Asked[] = []
  private counter = 0

  constructor(number: number, ports: SupplierPorts) {
    this.number = number
    this.party = partyOf(number)
    this.ports = ports
    void this.receive()
  }

  /** A sequence of `length` requests to one meter, all at once. */
  submitSequence(meter: number, length: number, draw: Chance): void {
    for (let place = 1; place <= length; place++) {
      const priority = draw.oneOf([1, 2, 3] as const)
      const lifetimeMs = draw.is(0.1) ? draw.between(1_000, 20_000) : 600_000
      const sequence = place === 1 ? ('first' as const) : ('after' as const)
      this.submit(meter, priority, lifetimeMs, { sequence })
    }
  }

  /** A schedule whose first run is due soon; of each one the runs read another period. */
  createSchedule(meter: number, number: number, draw: Chance): void {
    const startMs = this.ports.clock.now() + draw.between(2_000, 90_000)
    const textOf = (ms: number): string => new Date(ms).toISOString()
    const second = textOf(number * 1_000).slice(11, 19)
    const value = CreateSchedule.fromPartial({
      frequency: 1,
      startDate: textOf(startMs).slice(0, 10),
      startTime: textOf(startMs).slice(11, 19),
      serviceReferenceVariant: '4.17',
      logWindow: { startDaysBefore: 9, startTime: '00:00', endDaysBefore: 1, endTime: second },
    })
    const content = {
      serviceReferenceVariant: '5.1',
      body: { $case: 'createSchedule', value },
    } as const
    this.submit(meter, 2, 600_000, { content })
  }

  /** A request for a later time, or now and then the cancellation of such. */
  submitFuture(meter: number, draw: Chance): void {
    const nowMs = this.ports.clock.now()
    const executeAt = draw.is(0.2) ? cancellationMs : nowMs + draw.between(1, 120_000)
    const isSoon = executeAt !== cancellationMs
    const lifetimeMs = (isSoon ? executeAt - nowMs : 0) + draw.between(10_000, 300_000)
    this.submit(meter, draw.oneOf([1, 2, 3] as const), lifetimeMs, { executeAt })
  }

  submit(
    meter: number,
    priority: 1 | 2 | 3,
    lifetimeMs: number,
    { sequence, executeAt, content }: Terms = {},
  ): void {
    const preceding = sequence === 'after' ? this.asked.at(-1) : undefined
    const precedingCounter = BigInt(this.counter)
    const name = `${this.number}/${meter}/${++this.counter}`
    const requestId = {
      originator: textOfEui64(this.party.id),
      target: textOfEui64(deviceKey(meter)),
      counter: BigInt(this.counter),
    }
    const request = ServiceRequest.fromPartial({
      requestId,
      ...(content ?? this.contentOf(name, meter)),
      firstInSequence: sequence === 'first',
      ...(preceding && { precedingRequestId: { ...requestId, counter: precedingCounter } }),
      ...(executeAt !== undefined && { executionTime: new Date(executeAt) }),
      priority,
      deadline: new Date(this.ports.clock.now() + lifetimeMs),
    })
    this.ports.checker.deadlines.set(name, this.ports.clock.elapsedMs() + lifetimeMs)
    this.asked.push({
      name,
      request: Buffer.from(ServiceRequest.encode(request).finish()),
      cancellation: Buffer.from(
        CancelRequest.encode(CancelRequest.fromPartial({ requestId })).finish(),
      ),
      code: undefined,
      preceding,
    })
    this.send(this.asked.length - 1)
  }

  /** Something that the meter can tell this request by. */
  private contentOf(name: string, meter: number) {
    if (this.number === thirdParty) {
      const body = { $case: 'readPeriod', value: periodOf(meter, this.counter) } as const
      return { serviceReferenceVariant: '4.17', body }
    }
    const body = { $case: 'displayMessage', value: { text: name } } as const
    return { serviceReferenceVariant: '3.1', body }
  }

  /** One of those asked so far, once more: acknowledged or not, ended or not. */
  repeat(chosen: number): void {
    if (this.asked.length > 0) this.send(chosen % this.asked.length)
  }

  cancel(chosen: number): void {
    const asked = this.asked[chosen % this.asked.length]
    if (asked === undefined) return
    const { note } = this.ports
    this.ports.gateway()?.cancel(this.party, asked.cancellation, {
      answer: (_tag, buffer, at) =>
        note(`cancelling: ${errorCodeOf(readOutcome(buffer, at))}`, asked.name),
    })
  }

  /** Those that are neither accepted nor rejected for good: they are being repeated. */
  get unsettled(): string[] {
    return this.asked.filter(({ code }) => code === undefined).map(({ name }) => name)
  }

  /**
   * Submits it, and again after the wait that a rejection names, or when nobody has answered, as
   * the contract says.
   */
  private send(index: number): void {
    const asked = this.asked[index]!
    const { name, request } = asked
    const { note, look, checker, clock } = this.ports
    note('submitted', name)
    const again = (waitMs: number): (() => void) =>
      clock.at(clock.now() + waitMs, () => {
        if (asked.code === undefined) this.send(index)
      })
    const callOff = again(callMsMax)
    // As long as nobody knows what became of the predecessor, it may still be accepted.
    const mayFollow = asked.preceding?.code === undefined
    this.ports.gateway()?.submit(this.party, request, {
      answer: (_tag, buffer, at) => {
        callOff()
        const code = errorCodeOf(readOutcome(buffer, at))!
        note(`answered: ${code}`, name)
        if (counterCodes.has(code)) checker.fault(`rejected with ${code}`, name)
        const notBefore = readDeadline(buffer, at)
        if (code === 'SEQUENCE_PREDECESSOR_UNKNOWN' && mayFollow) again(1_000)
        else if (code === 'REQUEST_ACCEPTED' || notBefore === 0) asked.code ??= code
        else if (asked.code === undefined) again(Math.max(1, notBefore - readTime(buffer, at)))
        if (code !== 'REQUEST_ACCEPTED') return
        look()
        if (!checker.accepted.has(name))
          checker.fault('acknowledged before it was in the ledger', name)
        this.accepted.add(name)
      },
    })
  }

  private async receive(): Promise<void> {
    const { clock, faults } = this.ports
    const wait = (ms: number): Promise<undefined> =>
      new Promise((resolve) => void clock.at(clock.now() + ms, () => resolve(undefined)))
    for (;;) {
      if (faults.strikes(kind, 0.03)) await wait(faults.of(kind).between(1_000, 40_000))
      const gateway = this.ports.gateway()
      const message = await Promise.race([
        gateway?.poll(this.party, pollMax, pollWaitMs).catch(() => undefined),
        wait(gateway === undefined ? 500 : callMsMax),
      ])
      if (message === undefined) {
        await wait(250)
        continue
      }
      const last = this.take(ReceiveResponse.decode(message))
      // It may die before it acknowledges, and gets the same again.
      if (last === 0 || faults.strikes(kind, 0.1)) continue
      this.acknowledgedTo = Math.max(this.acknowledgedTo, last)
      await Promise.race([
        gateway?.acknowledge(this.party, last).catch(() => undefined),
        wait(callMsMax),
      ])
    }
  }

  /** @returns the id of the last delivery, or 0 */
  private take({ deliveries }: ReceiveResponse): number {
    const { checker, look, note } = this.ports
    look()
    let last = 0
    for (const { deliveryId, content } of deliveries) {
      const id = Number(deliveryId)
      if (content?.$case === 'dccAlert' || content?.$case === 'alert') {
        last = id
        continue
      }
      const requestId = content?.$case === 'response' ? content.value.requestId : undefined
      const meter = Number.parseInt(requestId?.target.slice(-11).replaceAll('-', '') ?? '', 16)
      const name = `${this.number}/${meter}/${requestId?.counter}`
      note(`received as ${id}`, name)
      if (requestId?.originator !== textOfEui64(this.party.id))
        checker.fault(`supplier ${this.number} received what belongs to ${requestId?.originator}`)
      if (id <= last) checker.fault('received out of order', name)
      if (checker.ended.get(name)?.deliveryId !== id)
        checker.fault(`received as ${id}, which is not its place in the ledger`, name)
      this.received.set(name, id)
      last = id
    }
    return last
  }
}
