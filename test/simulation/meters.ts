/**
 * The devices of a life, as they see it: each carries out what it is asked, at once or after a
 * while, unless it has vanished. They show what may not be seen from outside: two exchanges of one
 * host at a time, or a request that has ended before.
 */
import { PlannedOperation } from '../../core/translate/plan.ts'
import type { CosemOperation, CosemResult, ExchangeResult } from '../../core/ports/wan.ts'
import type { SimClock } from '../../core/ports/sim/clock.ts'
import type { SimExchange } from '../../core/ports/sim/wan.ts'
import type { LedgerChecker } from './checkers.ts'
import type { Faults } from './faults.ts'
import type { Life } from './life.ts'
import { firstPort, nameOfPeriod } from './names.ts'
import { isOfKeys, SecuredMeters } from './secured-meters.ts'

/**
 * The request that wrote its name as text for the meter's display, SRV 3.1; or the run of a
 * schedule, or the request of a third party, which the end of the period tells that it reads.
 */
export function nameIn(
  operations: readonly CosemOperation[],
  { schedules }: LedgerChecker,
): string {
  const [first] = operations
  if (first instanceof PlannedOperation && first.selection !== undefined)
    return schedules.runWith(first.toMs) ?? nameOfPeriod(first.toMs)
  const text = Buffer.from(first?.value ?? []).toString('latin1')
  return /\d+\/\d+\/\d+$/.exec(text)?.[0] ?? 'no name'
}

/** A profile without entries; what scales its values the meter does not have. */
const nothing = { result: 0, value: Buffer.of(1, 0) }
const resultOf = ({ kind: operation, descriptor }: CosemOperation): CosemResult => {
  if (operation !== 'get') return { result: 0 }
  return descriptor.at(-1) === 2 ? nothing : { result: 3 }
}

const kind = 'meters vanish'

export class Meters {
  /** Requests that were carried out, and how often. */
  readonly carriedOut = new Map<string, number>()
  askedCount = 0
  readonly secured: SecuredMeters
  private readonly awayUntil = new Map<number, number>()
  private readonly underway = new Map<Life, Set<number>>()
  private readonly faults: Faults
  private readonly clock: SimClock
  private readonly checker: LedgerChecker
  private readonly note: (text: string, request?: string) => void

  constructor(
    faults: Faults,
    clock: SimClock,
    checker: LedgerChecker,
    note: (text: string, request?: string) => void,
  ) {
    this.faults = faults
    this.clock = clock
    this.checker = checker
    this.note = note
    this.secured = new SecuredMeters((what) => checker.fault(what))
    checker.onFact = (device, fact) => this.secured.readFact(device, fact)
  }

  vanish(meter: number, ms: number): void {
    this.note(`meter ${meter} is away for ${ms} ms`)
    this.awayUntil.set(meter, this.clock.now() + ms)
  }

  /** The faults have stopped. */
  comeBack(): void {
    this.awayUntil.clear()
  }

  ask(life: Life, exchange: SimExchange, confirmedTo: number | undefined): void {
    const { clock, checker } = this
    const meter = exchange.address.port - firstPort
    const request = nameIn(exchange.command.cosem!, checker)
    this.askedCount++
    this.note(`host ${life.id} asks meter ${meter}`, request)
    const underway = this.underway.get(life) ?? new Set()
    this.underway.set(life, underway)
    if (underway.has(meter))
      checker.fault(`host ${life.id} asks meter ${meter} twice at the same time`, request)
    underway.add(meter)
    const isStep = isOfKeys(exchange.command.cosem!)
    if (!isStep && !checker.accepted.has(request))
      checker.fault('sent before it was accepted', request)
    if (!isStep) {
      checker.sequences.sent(request)
      checker.future.sent(request)
    }
    const end = checker.ended.get(request)
    if (end && (confirmedTo === undefined || end.sequence <= confirmedTo))
      checker.fault(
        `sent by host ${life.id} after it had ended in tick ${end.sequence}, its leases confirmed up to ${confirmedTo}`,
        request,
      )
    const { security, command } = exchange
    const operations = command.cosem!
    // As many as a profile in small blocks takes, from time to time.
    const counters = security && this.secured.use(security, 1 + ((this.askedCount * 7919) % 5_000))
    if (counters)
      this.note(`  with counters ${security.counters.from} to ${counters.next}`, request)
    // Of an answer that does not come nobody says what was used.
    const answer = (afterMs: number, result: ExchangeResult): void => {
      clock.at(clock.now() + afterMs, () => {
        underway.delete(meter)
        exchange.answer(result)
      })
    }
    const isAway = (this.awayUntil.get(meter) ?? 0) > clock.now()
    const draw = this.faults.of(kind)
    if (isAway)
      return answer(draw.between(1, 20_000), {
        ok: false,
        code: draw.is(0.5) ? 'DEVICE_UNREACHABLE' : 'DEVICE_SILENT',
        detail: '',
      })
    const refused = security && this.secured.refusal(meter, security, counters!.next)
    if (refused !== undefined) {
      if (!this.faults.areOn && refused.expected !== undefined) this.secured.refusedInCalm(meter)
      const failure = { ok: false, code: 'DEVICE_ASSOCIATION_REFUSED', detail: '' } as const
      return answer(20, { ...failure, counters: { ...counters!, ...refused } })
    }
    const tookMs = this.faults.strikes(kind, 0.2)
      ? draw.between(1_000, 40_000)
      : draw.between(5, 300)
    const isRefused = this.faults.strikes(kind, 0.03)
    // A meter does nothing else before it has changed its keys.
    if (isStep && !isRefused) this.secured.carryOut(meter, operations)
    clock.at(clock.now() + (tookMs >> 1), () => {
      if (!isRefused && !isStep)
        this.carriedOut.set(request, (this.carriedOut.get(request) ?? 0) + 1)
    })
    // Carried out all the same, only the answer is lost on its way.
    if (this.faults.strikes(kind, isStep ? 0.3 : 0.05))
      return answer(30_000, { ok: false, code: 'DEVICE_SILENT', detail: '' })
    const results = operations.map((one) => (isRefused ? { result: 3 } : resultOf(one)))
    answer(tookMs, { ok: true, results, counters })
  }
}
