/**
 * The counter that a device was last sent, asked for as public client before the first association
 * under its keys and after a failed one: another head-end may have used values that the device does
 * not accept again. Pure; the pool asks.
 * [IEC 62056-6-2, invocation counter objects 0-b:43.1.e.255; the public client has no security]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { deviceProfileOf } from '../../inventory/device-profiles.ts'
import { decodeValue } from '../../dlms/axdr/axdr.ts'
import { encodeDescriptor } from '../../dlms/apdu/descriptor.ts'
import { invocationCounterMax, Mechanism } from '../../dlms/security/index.ts'
import { asBuffer } from '../../base/bytes.ts'
import type {
  DeviceAddress,
  ExchangeFailure,
  ExchangeResult,
  ExchangeSecurity,
  WanCommand,
} from '../../ports/wan.ts'
import { refused } from './failures.ts'

const dataClass = 1
const publicClient = 16

/**
 * Where the device tells its counter: as its record has it, else its profile; undefined when it
 * tells nobody.
 */
export function counterPlaceOf(
  { counter }: Pick<DeviceAddress, 'counter'>,
  ofProfile: CounterPlace | undefined,
): CounterPlace | undefined {
  const { obis = ofProfile?.obis, client = ofProfile?.client ?? publicClient } = counter ?? {}
  return obis === undefined ? undefined : { obis, client }
}

type CounterPlace = { readonly obis: string; readonly client: number }
const valueAttribute = 2

/** True when what is sent to the device carries invocation counters. */
export function sendsCounters({ security }: DeviceAddress): boolean {
  return (
    security !== undefined &&
    (security.mechanism === Mechanism.HIGH_GMAC || security.protection !== 0)
  )
}

/** The question, or undefined when the device tells its counter to nobody. */
export function counterQuestion(
  address: DeviceAddress,
): { address: DeviceAddress; command: WanCommand } | undefined {
  const place = counterPlaceOf(address, deviceProfileOf(address.profile)?.invocationCounter)
  if (place === undefined) return undefined
  const descriptor = encodeDescriptor({
    classId: dataClass,
    instanceId: place.obis,
    memberId: valueAttribute,
  })
  return {
    address: { ...address, client: place.client, secret: undefined, security: undefined },
    command: { cosem: [{ kind: 'get', descriptor }] },
  }
}

/**
 * What to go on with after the answer: the exchange with the counters above the one that the device
 * told, or why it failed. A device that does not tell is taken at its first answer, when there is
 * time left for that.
 */
export function afterCounter(
  answer: ExchangeResult,
  security: ExchangeSecurity,
  isTimeLeft: boolean,
): ExchangeSecurity | ExchangeFailure {
  const { from, to, received } = security.counters
  const unused = { next: from, received }
  if (!answer.ok && (answer.code === 'DEVICE_UNREACHABLE' || !isTimeLeft))
    return { ...answer, counters: unused }
  const told = answer.ok ? counterIn(answer) : undefined
  if (told === undefined && security.isCounterUnknown === true)
    return counterUnknown(answer.ok ? 'it does not tell its counter' : answer.detail, unused)
  if (told === undefined || told < from) return security
  const expected = told + 1
  if (hasRoomAbove(expected, security.counters, security))
    return { ...security, counters: { from: expected, to, received } }
  const detail = `the device was sent higher invocation counters before: it expects ${expected}, Busbar has ${from} to ${to - 1} reserved`
  return {
    ...refused(detail),
    cause: {
      code: 'DEVICE_ASSOCIATION_REFUSED',
      detail,
      counterReceived: Math.max(0, from - 1),
      counterExpected: expected,
    },
    counters: { ...unused, expected },
  }
}

/**
 * The failure of an exchange that must not begin: the ledger was restored, and nobody knows the
 * counter.
 */
export function counterUnknown(
  why: string,
  counters: { next: number; received: number },
): ExchangeFailure {
  const detail = `the ledger was restored, and the invocation counter of the device must be read first: ${why}`
  return { ...refused(detail), cause: { code: 'KEYS_COUNTER_UNKNOWN', detail }, counters }
}

/**
 * True when enough is reserved from `expected` on for an exchange; `whole` is what the exchange
 * began with.
 */
export function hasRoomAbove(
  expected: number,
  { to }: { to: number },
  { counters: whole }: ExchangeSecurity,
): boolean {
  const wanted = Math.min(limits.countersPerExchangeMin, (whole.to - whole.from) / 2)
  return expected < to && to - expected >= wanted
}

/** The counter in the answer of the device; undefined when it tells none. */
export function counterIn({ results }: ExchangeResult & { ok: true }): number | undefined {
  const view = results[0]?.value
  if (view === undefined) return undefined
  try {
    const value = decodeValue(asBuffer(view))
    return 'value' in value && typeof value.value === 'number' && isCounter(value.value)
      ? value.value
      : undefined
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}

/** Some devices tell it as a number of another type. */
const isCounter = (value: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= invocationCounterMax
