/**
 * One exchange with a device under invocation counters, in several parts where it takes them: the
 * device may have to tell its counter first, and many keep one association on a connection. Pure
 * but for the ports; pool.ts carries the parts.
 *
 *   counter not known ▶ ask the public client, release it ▶ exchange ─ failed ▶ exchange on a new connection ─▶ result
 *   counter known     ▶ exchange ─ failed, nothing authentic came ▶ ask the public client on a new connection
 *                                  ▶ device is ahead: exchange on a new connection above its counter, or give up with `expected` ─▶ result
 *
 * A failure of any form (refused, closed, silent, undecipherable) may mean that another head-end,
 * or this one before a backup was restored, has sent higher counters. What the public client says
 * is not authenticated: see limits.counterJumpMax and CounterReadings.
 */
import { limits } from '../../base/limits.ts'
import { deviceProfileOf } from '../../inventory/device-profiles.ts'
import type {
  DeviceAddress,
  ExchangeFailure,
  ExchangeResult,
  ExchangeSecurity,
} from '../../ports/wan.ts'
import {
  afterCounter,
  counterIn,
  counterUnknown,
  counterQuestion,
  hasRoomAbove,
  sendsCounters,
} from './counter-reading.ts'
import type { CounterReadings } from './counter-readings.ts'
import { onlyReads, type ExchangeManner, type ExchangeTerms } from './exchange.ts'
import { withLikelyCause } from './failures.ts'

/** What became of one part. */
export type Carried = {
  result: ExchangeResult
  /** A service was sent: the device may have acted. */
  isServiceSent: boolean
  /** The device has answered something that was protected under the keys. */
  isHeard: boolean
  /** The connection had served others before, at last. */
  isOnReusedLink: boolean
}

export type PartPorts = {
  carry(part: ExchangeTerms): Promise<Carried>
  nowMs(): number
  /** Settles after `ms`, or at once when the pool closes. */
  pause(ms: number): Promise<void>
  readings: CounterReadings
}

type Asked = Pick<ExchangeTerms, 'address' | 'command' | 'lane' | 'dueMs'>

/** True when `exchangeSecured` is to carry the exchange. */
export function needsParts(
  address: DeviceAddress,
  security: ExchangeSecurity | undefined,
): security is ExchangeSecurity {
  return security !== undefined && sendsCounters(address)
}

/**
 * Carries out an exchange under keys; never rejects. `counters` of the result cover all its parts.
 */
export async function exchangeSecured(
  asked: Asked,
  security: ExchangeSecurity,
  ports: PartPorts,
): Promise<ExchangeResult> {
  const { dueMs } = asked
  const { readings } = ports
  const isFirst = security.counters.received < 0
  const { isCounterUnknown = false } = security
  if (isFirst || isCounterUnknown || readings.takeDue(security.device, ports.nowMs())) {
    const answer = await tell(asked, ports, !isFirst)
    if (answer !== undefined) {
      const goesOn = afterCounter(answer, security, ports.nowMs() < dueMs)
      if ('ok' in goesOn) return goesOn
      const result = await exchangeAfterReading(asked, goesOn, ports)
      return isCounterUnknown ? asRead(result) : result
    }
    const { from: next, received } = security.counters
    if (isCounterUnknown)
      return counterUnknown('its profile names no counter object', { next, received })
  }
  const carried = await carryAt(asked, security, ports, {})
  if (carried.result.ok) return settled(carried.result, security, ports)
  if (!isCounterInDoubt(carried)) return withLikelyCause(carried.result, carried)
  return exchangeAbove(asked, security, carried, carried.result, ports)
}

/** The counter was read before anything was sent under the keys. */
const asRead = (result: ExchangeResult): ExchangeResult =>
  result.counters === undefined
    ? result
    : { ...result, counters: { ...result.counters, isRead: true } }

/** The part after the first reading: on the connection of the public client, then on a new one. */
async function exchangeAfterReading(
  asked: Asked,
  security: ExchangeSecurity,
  ports: PartPorts,
): Promise<ExchangeResult> {
  const { isOneAssociation = false } = deviceProfileOf(asked.address.profile) ?? {}
  const manner = { wantsNewLink: isOneAssociation }
  const first = await carryAt(asked, security, ports, manner)
  if (first.result.ok) return settled(first.result, security, ports)
  const isWorthAgain = first.isOnReusedLink && !first.isHeard && isAnotherTry(asked, first, ports)
  if (!isWorthAgain) return withLikelyCause(first.result, first)
  const rest = after(security, first.result)
  const again = await carryAt(asked, rest, ports, { wantsNewLink: true })
  if (again.result.ok) return settled(again.result, security, ports)
  return withLikelyCause(again.result, again)
}

/** The part after a failure in which the device may have expected higher counters. */
async function exchangeAbove(
  asked: Asked,
  security: ExchangeSecurity,
  failed: Carried,
  failure: ExchangeFailure,
  ports: PartPorts,
): Promise<ExchangeResult> {
  const { readings } = ports
  const { device } = security
  const rest = after(security, failure)
  const { from: next, received } = rest.counters
  if (!readings.mayRead(device, ports.nowMs())) return withLikelyCause(failure, failed)
  if (ports.nowMs() >= asked.dueMs) {
    readings.postpone(device)
    return withLikelyCause(failure, failed)
  }
  readings.note(device, ports.nowMs())
  const answer = await tell(asked, ports, true)
  const told = answer?.ok ? counterIn(answer) : undefined
  // What the refusal itself said has to do where the device does not tell it.
  const expected = told === undefined ? (failure.counters?.expected ?? 0) : told + 1
  if (expected <= next) {
    const why = told === undefined ? whyUntold(answer) : `it received the counter ${told} last`
    return withLikelyCause(withDetail(failure, why), failed)
  }
  const raised = raisedTo(failure, rest, expected)
  const isKept =
    expected - next <= limits.counterJumpMax && hasRoomAbove(expected, rest.counters, security)
  if (!isKept || !isAnotherTry(asked, failed, ports)) return raised
  const above = { ...rest, counters: { from: expected, to: rest.counters.to, received } }
  const again = await carryAt(asked, above, ports, { wantsNewLink: true })
  if (again.result.ok) return settled(again.result, security, ports)
  return withLikelyCause(again.result, again)
}

/** Asks the public client; undefined when the device tells its counter to nobody. */
async function tell(
  { address, lane, dueMs }: Asked,
  ports: PartPorts,
  wantsNewLink: boolean,
): Promise<ExchangeResult | undefined> {
  const question = counterQuestion(address)
  if (question === undefined) return undefined
  const manner = { endsAssociation: true, wantsNewLink }
  const asked = { address: question.address, command: question.command, lane, dueMs }
  return (await carryAt(asked, undefined, ports, manner)).result
}

/**
 * Carries one part. A device that takes one connection at a time refuses a new one for a moment
 * after the one before.
 */
async function carryAt(
  { address, command, lane, dueMs }: Asked,
  security: ExchangeSecurity | undefined,
  ports: PartPorts,
  manner: ExchangeManner,
): Promise<Carried> {
  const part = { address, command, lane, dueMs, security, ...manner }
  const carry = () => ports.carry(part)
  const carried = await carry()
  const { result } = carried
  if (result.ok || result.code !== 'DEVICE_UNREACHABLE' || manner.wantsNewLink !== true)
    return carried
  if (ports.nowMs() + limits.wanReconnectMs >= dueMs) return carried
  await ports.pause(limits.wanReconnectMs)
  return carry()
}

function settled(
  result: ExchangeResult,
  { device }: ExchangeSecurity,
  { readings }: PartPorts,
): ExchangeResult {
  readings.forgive(device)
  return result
}

/**
 * True when time is left, and carrying the operations out twice does no harm or the device has not
 * seen them.
 */
function isAnotherTry({ command, dueMs }: Asked, before: Carried, ports: PartPorts): boolean {
  if (ports.nowMs() >= dueMs || before.result.ok) return false
  if (before.result.code === 'DEVICE_UNREACHABLE') return false
  return !before.isServiceSent || onlyReads(command)
}

/** True when the failure may mean that the device was sent higher counters by somebody else. */
function isCounterInDoubt({ result, isHeard }: Carried): boolean {
  if (result.ok || isHeard || result.code === 'DEVICE_UNREACHABLE') return false
  // It answered under the keys, with a counter that Busbar refuses: ours is not the cause.
  return result.cause?.code !== 'DLMS_COUNTER_REPLAYED'
}

/** The counters that a part has left. */
function after(security: ExchangeSecurity, { counters }: ExchangeResult): ExchangeSecurity {
  const { from, to, received } = security.counters
  const next = counters?.next ?? from
  return {
    ...security,
    counters: { from: next, to, received: Math.max(received, counters?.received ?? -1) },
  }
}

const withDetail = (failure: ExchangeFailure, what: string): ExchangeFailure => ({
  ...failure,
  detail: `${failure.detail}; ${what}`,
})

function whyUntold(answer: ExchangeResult | undefined): string {
  if (answer === undefined) return 'its profile names no counter object'
  if (answer.ok) return 'it does not tell the public client its counter'
  return `its counter could not be read: ${answer.detail}`
}

/** The failure, with the counter that the device expects: the ledger has to reserve it first. */
function raisedTo(
  failure: ExchangeFailure,
  { counters: { from: next, received } }: ExchangeSecurity,
  expected: number,
): ExchangeFailure {
  const what = `the device expects the invocation counter ${expected}, Busbar has sent ${next - 1}`
  const about = { counterReceived: Math.max(0, next - 1), counterExpected: expected }
  const { code, detail } = failure.cause ?? failure
  return {
    ...withDetail(failure, what),
    cause: { code, detail: `${detail}; ${what}`, ...about },
    counters: { next, received, expected },
  }
}
