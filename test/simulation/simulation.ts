/**
 * One life of a deployment, drawn from a seed: parties submit, repeat, cancel and receive;
 * everything that faults.ts names goes wrong. Then all faults stop and everything must drain. The
 * same seed gives the same life.
 */
import { createHash } from 'node:crypto'
import { limits } from '../../core/base/limits.ts'
import { LedgerChecker, type Violation } from './checkers.ts'
import { Deployment, gatewayIds, supplierCount, type Plant } from './deployment.ts'
import { Chance, Faults, type FaultKind } from './faults.ts'
import { Supplier } from './supplier.ts'
import { trouble } from './trouble.ts'
import { meterCount, thirdParty } from './names.ts'
import { Operators } from './operators.ts'
import { linkedMeters } from './registrations.ts'

export type LifeOptions = {
  plant?: Plant
  /** Steps of the workload before the faults stop. */
  stepCount?: number
  /** Kinds of faults that are left out. */
  without?: ReadonlySet<FaultKind>
}

export type Outcome = {
  violation: Violation | undefined
  /** What happened, line by line; of one request when the violation names it. */
  trace: string[]
  /** Of the whole trace. */
  hash: string
  simulatedMs: number
  accepted: number
  /** Exchanges with meters. */
  asked: number
  /** Ticks. */
  forgotten: number
  /** Keys that meters took into use. */
  keysChanged: number
  /** Numbers that actors of another kind have added. */
  added: number
}

export const stepCountDefault = 60
const burstShare = 0.01
const burstCount = 150
/** After the faults have stopped, elapsed time: partitions are served again. */
const servedMsMax = 30_000
/** From then on, how long one may change hands or be read again. */
const unservedMsMax = 5_000
/**
 * What is on its way to a meter when its deadline comes ends by itself: the slowest exchange. On a
 * host whose clock was behind before a request came, that waits for its turn in a burst, too.
 */
const deadlineGraceMs = 120_000
/**
 * Every request has had its turn: the longest delays of attempts, and a burst that waits behind
 * one.
 */
const aliveMsMax = 150_000
const drainedMsMax = 300_000
/** The furthest that a clock is set, trouble.ts. */
const clockStepMsMax = 86_400_000

export async function simulate(
  seed: number,
  { plant = {}, stepCount = stepCountDefault, without = new Set() }: LifeOptions = {},
): Promise<Outcome> {
  const faults = new Faults(seed, without)
  const work = new Chance(seed, 'workload')
  const trialWork = new Chance(seed, 'trials')
  const lines: Array<{ request: string | undefined; text: string }> = []
  const note = (text: string, request?: string): void =>
    void lines.push({ request, text: `${String(clock.now() - startedAt).padStart(8)} ms  ${text}` })
  const checker = new LedgerChecker(note)
  const deployment = new Deployment(faults, checker, plant, note)
  const { clock, ledger, meters } = deployment
  const startedAt = clock.now()
  const look = (): void => deployment.look()
  const gateway = () => {
    const up = [...deployment.gateways.values()]
    return up.length > 0 ? work.oneOf(up) : undefined
  }

  await deployment.begin()
  const suppliers = Array.from(
    { length: supplierCount },
    (_, index) => new Supplier(index + 1, { clock, faults, checker, look, gateway, note }),
  )
  const ports = { clock, faults, checker, look, gateway, note }
  const third = without.has('consents change') ? undefined : new Supplier(thirdParty, ports)
  const thirdWork = new Chance(seed, 'third party')
  const everybody = third === undefined ? suppliers : [...suppliers, third]
  const sequences = new Chance(seed, 'sequences')
  const isSequenced = !without.has('requests are sequenced') && sequences.is(0.6)
  const future = new Chance(seed, 'future')
  const isFuture = !without.has('requests are for a later time') && future.is(0.6)
  const scheduling = new Chance(seed, 'schedules')
  const isScheduled = !without.has('schedules run') && scheduling.is(0.6)
  let scheduleCount = 0
  const alerting = new Chance(seed, 'alerts')
  const isAlerting = !without.has('meters send alerts') && alerting.is(0.6)
  const operators = new Operators(seed, deployment, checker)
  const violationNow = (): Violation | undefined => {
    checker.standings.judge()
    checker.forgotten(
      (sequence) => ledger.isForgotten(sequence),
      (party) => everybody.find((one) => one.party.id === party)?.acknowledgedTo ?? 0,
    )
    return checker.violations[0]
  }

  faults.areOn = true
  let violation: Violation | undefined
  for (let step = 1; step <= stepCount && violation === undefined; step++) {
    ask(work, suppliers)
    if (third && thirdWork.is(0.4)) third.submit(thirdWork.oneOf(linkedMeters), 2, 600_000)
    if (third && thirdWork.is(0.1)) third.repeat(thirdWork.pick(1_000))
    if (isSequenced && sequences.is(0.2))
      sequences
        .oneOf(suppliers)
        .submitSequence(sequences.pick(meterCount), sequences.between(2, 6), sequences)
    if (isFuture && future.is(0.3))
      future.oneOf(suppliers).submitFuture(future.pick(meterCount), future)
    if (isScheduled && scheduling.is(0.2))
      scheduling
        .oneOf(suppliers)
        .createSchedule(scheduling.pick(meterCount), ++scheduleCount, scheduling)
    if (isAlerting && alerting.is(0.2)) deployment.sendAlerts(alerting)
    if (work.is(0.08)) deployment.replaceKeys(work.pick(meterCount))
    if (trialWork.is(0.5))
      deployment.addToTrial(trialWork.pick(meterCount), trialWork.is(0.5) ? trialWork.pick(8) : 0)
    operators.work()
    deployment.resolveQuarantined(false)
    trouble(deployment, faults, note)
    await deployment.pass(work.is(0.2) ? work.between(1_000, 8_000) : work.between(1, 500))
    violation = violationNow()
  }

  // A request for a later time waits by the clock of its host, and so does a schedule.
  deployment.setClocks(isFuture || isScheduled || isAlerting)
  faults.areOn = false
  note('faults stop')
  deployment.mend()
  const stoppedAt = clock.elapsedMs()
  const waitedMs = (): number => clock.elapsedMs() - stoppedAt
  for (const gatewayId of gatewayIds)
    if (!deployment.gateways.has(gatewayId)) deployment.startGateway(gatewayId)
  let open: Violation[] = []
  let servedAt = stoppedAt
  do {
    if (deployment.hosts.size === 0) deployment.startHost('a')
    operators.resumeAll()
    for (let one = 0; one < 10; one++) deployment.resolveQuarantined(true)
    await deployment.pass(1_000)
    const misplaced = deployment.ownership()
    open = openOf(everybody, checker)
    const { waiting } = checker.trials
    for (const what of checker.registrations.left(clock.now()))
      open.push({ what, request: undefined })
    for (const what of checker.thresholds.left()) open.push({ what, request: undefined })
    for (const what of operators.left()) open.push({ what, request: undefined })
    if (waiting > 0) open.push({ what: `${waiting} letters are not decided`, request: undefined })
    for (const what of meters.secured.lockedOut()) open.push({ what, request: undefined })
    if (misplaced.length > 0) {
      if (waitedMs() > servedMsMax && clock.elapsedMs() - servedAt > unservedMsMax)
        checker.fault(`${misplaced[0]}, ${waitedMs()} ms after the faults`)
      open.push({ what: misplaced[0]!, request: undefined })
    } else servedAt = clock.elapsedMs()
    checker.checkAlive(clock.elapsedMs(), stoppedAt, deadlineGraceMs, aliveMsMax)
    violation ??= violationNow()
  } while (violation === undefined && open.length > 0 && waitedMs() < drainedMsMax)
  if (isAlerting && violation === undefined) {
    await deployment.pass(limits.alertWindowMs + aliveMsMax)
    // A window that began on a clock which was ahead is over later by as much.
    if (checker.alerts.isHolding) await deployment.pass(clockStepMsMax)
    checker.alerts.checkTold()
  }
  checker.trials.checkOwed()
  checker.sequences.checkTold()
  checker.schedules.checkMade(clock.now())
  const isOfBusbar = (request: string): boolean =>
    checker.future.cancels(request) || checker.schedules.isAbout(request)
  for (const [request, { isCarriedOut }] of checker.ended)
    if (isCarriedOut && !meters.carriedOut.has(request) && !isOfBusbar(request))
      checker.fault('answered well by a meter that did not carry it out', request)
  violation ??= open[0] ?? checker.violations[0]

  const hash = createHash('sha256')
  for (const { text, request } of lines) hash.update(`${request} ${text}\n`)
  const about = violation?.request
  return {
    violation,
    trace: lines
      .filter(({ request }) => request === undefined || about === undefined || request === about)
      .map(({ text, request }) => (request === undefined || about ? text : `${text} (${request})`)),
    hash: hash.digest('hex'),
    simulatedMs: clock.now() - startedAt,
    accepted: everybody.reduce((sum, { accepted }) => sum + accepted.size, 0),
    asked: meters.askedCount,
    forgotten: checker.forgottenCount,
    keysChanged: meters.secured.changedCount,
    added: checker.trials.count,
  }
}

/** What was accepted and has not come to its party, acknowledged or not. */
function openOf(suppliers: readonly Supplier[], checker: LedgerChecker): Violation[] {
  const open: Violation[] = []
  for (const { unsettled } of suppliers)
    for (const request of unsettled) open.push({ what: 'repeated and never settled', request })
  for (const request of checker.accepted.keys()) {
    if (!checker.ended.has(request)) open.push({ what: 'never ended', request })
    else if (!suppliers.some(({ received }) => received.has(request)))
      open.push({ what: 'never received', request })
  }
  return open
}

function ask(work: Chance, suppliers: readonly Supplier[]): void {
  // More at once than a device takes: the others are repeated until it does.
  if (work.is(burstShare)) {
    const supplier = work.oneOf(suppliers)
    const meter = work.pick(meterCount)
    for (let left = burstCount; left > 0; left--) supplier.submit(meter, 2, 3_600_000)
  }
  for (let left = work.between(0, 3); left > 0; left--) {
    const supplier = work.oneOf(suppliers)
    if (work.is(0.25)) supplier.repeat(work.pick(1_000))
    else if (work.is(0.05)) supplier.cancel(work.pick(1_000))
    else
      supplier.submit(
        work.pick(meterCount),
        work.oneOf([1, 2, 3]),
        work.is(0.2) ? work.between(1_000, 20_000) : 600_000,
      )
  }
}
