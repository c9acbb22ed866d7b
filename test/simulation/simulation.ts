/**
 * One life of a deployment, drawn from a seed: parties submit, repeat and wait; devices answer well, badly, late or never; commits are
 * refused or their answers lost; frames are lost; stores are torn; hosts die, lose their disks, are paused past their leases and wake; time
 * jumps. Then all faults stop and everything must drain. The same seed gives the same life.
 */
import { createHash } from 'node:crypto'
import { errorCodeOf } from '../../core/base/error-table.ts'
import { Lane } from '../../core/base/lane.ts'
import { readOutcome } from '../../core/envelope/envelope.ts'
import { limits } from '../../core/base/limits.ts'
import {
  cursorNameOf,
  deliveryIdOf,
  encodeCursor,
  sequenceOf,
} from '../../core/envelope/delivery-id.ts'
import { seededRandom } from '../../core/ports/random.ts'
import type { SimExchange } from '../../core/ports/sim/wan.ts'
import { deviceKey, envelopeOf, registrationOf, supplier } from '../support/envelopes.ts'
import { good } from '../support/world.ts'
import { LedgerChecker, type Violation } from './checkers.ts'
import { Deployment, hostIds, settle, type Plant } from './deployment.ts'

export type Outcome = {
  violation: Violation | undefined
  /** What happened, line by line; of one request when a violation names it. */
  trace: string[]
  /** Of the whole trace. */
  hash: string
  simulatedMs: number
  accepted: number
  /** Ticks. */
  forgotten: number
}

export const stepCountDefault = 60
const deviceCount = 6
const requestLifetimeMs = 900_000

type Submitted = { device: number; counter: number; lane: Lane; deadline: number; request: string }

/** Lives the life of `seed`, for `stepCount` steps of the workload before faults stop. */
export async function simulate(
  seed: number,
  plant: Plant = {},
  stepCount = stepCountDefault,
): Promise<Outcome> {
  const random = seededRandom(seed)
  const chance = (probability: number): boolean => random.fraction() < probability
  const pick = (count: number): number => Math.floor(random.fraction() * count)
  const lines: Array<{ request: string | undefined; text: string }> = []
  let areFaultsOn = false
  const deployment = new Deployment(
    {
      onCommit: () => {
        if (!areFaultsOn) return undefined
        if (chance(0.02)) return 'lose-answer'
        return chance(0.02) ? { refuse: chance(0.5) ? 'unknown' : 'full' } : undefined
      },
      onFrame: () => areFaultsOn && chance(0.03),
      onSave: () => areFaultsOn && chance(0.01),
      onSnapshot: () => areFaultsOn && chance(0.05),
    },
    plant,
  )
  const { clock, ledger } = deployment
  const startedAt = clock.now()
  const checker = new LedgerChecker()
  let hostFault: string | undefined
  const note = (text: string, request?: string): void =>
    void lines.push({ request, text: `${String(clock.now() - startedAt).padStart(8)} ms  ${text}` })
  deployment.onFault = (fault) => (hostFault ??= String(fault))

  const kept: SimExchange[] = []
  deployment.onExchange = (hostId, exchange) => {
    if (!areFaultsOn || chance(0.6)) good(exchange)
    else if (chance(0.5)) exchange.answer({ ok: false, code: 'DEVICE_SILENT', detail: '' })
    // Late: the device was away, and answers when somebody thinks of it again.
    else kept.push(exchange)
    note(`host ${hostId} asked a device`)
  }

  await deployment.owners.start()
  await deployment.start('a')
  for (let index = 0; index < deviceCount; index++)
    await deployment.ask(deviceKey(index), registrationOf(deviceKey(index)), 5_000)
  areFaultsOn = true

  const up = new Set<string>(['a'])
  const submitted: Submitted[] = []
  let acknowledgedTo = 0
  const acknowledged = new Set<string>()
  /** The supplier acknowledges all that it has been delivered. */
  const acknowledge = async (): Promise<void> => {
    acknowledgedTo = deliveryIdOf(ledger.lastSequence, limits.deliveriesPerFrameMax - 1)
    await deployment.cursors.put(cursorNameOf(supplier), encodeCursor(acknowledgedTo))
  }
  const violationNow = (): Violation | undefined => {
    checker.read(ledger.all())
    checker.forgotten((sequence) => ledger.isForgotten(sequence), sequenceOf(acknowledgedTo))
    if (hostFault !== undefined)
      return { what: `a host's pipeline ended: ${hostFault}`, request: undefined }
    return checker.violations[0]
  }

  const submit = async (wanted: Submitted): Promise<void> => {
    const { device, counter, lane, deadline, request } = wanted
    const envelope = envelopeOf({ srv: '11.2', device: deviceKey(device), counter, lane, deadline })
    const answer = await deployment.ask(deviceKey(device), envelope, 5_000)
    const code = answer && errorCodeOf(readOutcome(answer, 0))
    note(`submitted: ${code ?? 'no answer'}`, request)
    if (code !== 'REQUEST_ACCEPTED') return
    checker.read(ledger.all())
    if (!checker.accepted.has(request))
      checker.violations.push({ what: 'acknowledged before it was in the ledger', request })
    acknowledged.add(request)
  }

  const trouble = async (): Promise<void> => {
    const hostId = hostIds[pick(hostIds.length)]!
    if (!up.has(hostId)) {
      note(`host ${hostId} starts`)
      up.add(hostId)
      // Not waited for: a start may need a ledger that answers, and faults are on.
      void deployment.start(hostId)
      await settle()
    } else if (chance(0.5)) {
      const isDiskLost = chance(0.3)
      note(`host ${hostId} is killed${isDiskLost ? ', its disk lost' : ''}`)
      up.delete(hostId)
      deployment.kill(hostId, isDiskLost)
    } else if (chance(0.6)) {
      note(`host ${hostId} is paused`)
      deployment.pause(hostId)
    } else if (deployment.wake(hostId)) note(`host ${hostId} goes on`)
  }

  let violation: Violation | undefined
  for (let step = 1; step <= stepCount && violation === undefined; step++) {
    if (submitted.length > 0 && chance(0.3)) await submit(submitted[pick(submitted.length)]!)
    else {
      const device = pick(deviceCount)
      const lane = ([Lane.URGENT, Lane.NORMAL, Lane.BULK] as const)[pick(3)]!
      const lifetimeMs = chance(0.2) ? 1_000 + pick(20_000) : requestLifetimeMs
      const wanted: Submitted = {
        device,
        counter: step,
        lane,
        deadline: clock.now() + lifetimeMs,
        request: `${device}/${step}`,
      }
      submitted.push(wanted)
      await submit(wanted)
    }
    if (chance(0.3)) await deployment.pass(500 + pick(5_000), 500)
    if (chance(0.02)) {
      note('time jumps')
      clock.advanceBy(pick(60_000))
      await settle()
    }
    if (chance(0.1)) await trouble()
    if (chance(0.2)) await acknowledge()
    if (kept.length > 0 && chance(0.3)) good(kept.splice(pick(kept.length), 1)[0]!)
    violation = violationNow()
  }

  areFaultsOn = false
  note('faults stop')
  for (const hostId of hostIds) deployment.wake(hostId)
  if (up.size === 0) await deployment.start('a')
  for (let turn = 0; turn < 40 && violation === undefined; turn++) {
    for (const exchange of kept.splice(0)) good(exchange)
    await acknowledge()
    await deployment.pass(turn < 10 ? 5_000 : 50_000, turn < 10 ? 500 : 10_000)
    violation = violationNow()
  }
  if (violation === undefined) {
    checker.drained(acknowledged)
    for (const what of deployment.ownership()) checker.violations.push({ what, request: undefined })
    violation = checker.violations[0]
  }
  for (const { sequence, request, text } of checker.lines)
    lines.push({ request, text: `tick ${sequence}: ${text}` })
  const hash = createHash('sha256')
  for (const { text, request } of lines) hash.update(`${request} ${text}\n`)
  const about = violation?.request
  return {
    violation,
    trace: lines
      .filter(({ request }) => request === undefined || about === undefined || request === about)
      .map(({ text }) => text)
      .filter((text) => about === undefined || !text.includes('asked a device')),
    hash: hash.digest('hex'),
    simulatedMs: clock.now() - startedAt,
    accepted: acknowledged.size,
    forgotten: checker.forgottenCount,
  }
}

/** The shortest life of `seed` that still goes wrong: fewer steps before faults stop. */
export async function shrink(
  seed: number,
  plant: Plant = {},
): Promise<Outcome & { steps: number }> {
  let low = 1
  let high = stepCountDefault
  let found = await simulate(seed, plant, high)
  while (low < high) {
    const middle = (low + high) >> 1
    const outcome = await simulate(seed, plant, middle)
    if (outcome.violation === undefined) low = middle + 1
    else {
      high = middle
      found = outcome
    }
  }
  return { ...found, steps: high }
}
