/**
 * The counter that a device was last sent, asked for as public client before the first association under its keys: whoever was its
 * head-end before us has used values that it does not take again. Pure; the pool asks.
 * [IEC 62056-6-2, invocation counter objects 0-b:43.1.e.255; the public client has no security]
 */
import { BrokerError } from '../base/broker-error.ts'
import { deviceProfileOf } from '../catalogue/device-profiles.ts'
import { decodeValue } from '../dlms/axdr.ts'
import { encodeDescriptor } from '../dlms/descriptor.ts'
import { asBuffer } from '../base/bytes.ts'
import type {
  CosemOperation,
  DeviceAddress,
  ExchangeFailure,
  ExchangeResult,
  ExchangeSecurity,
} from '../ports/wan.ts'

const dataClass = 1
const publicClient = 16

/** Where the device tells its counter: as its record has it, else its profile; undefined when it tells nobody. */
export function counterPlaceOf(
  { counter }: Pick<DeviceAddress, 'counter'>,
  ofProfile: CounterPlace | undefined,
): CounterPlace | undefined {
  const { obis = ofProfile?.obis, client = ofProfile?.client ?? publicClient } = counter ?? {}
  return obis === undefined ? undefined : { obis, client }
}

type CounterPlace = { readonly obis: string; readonly client: number }
const valueAttribute = 2

/** The question, or undefined when the device has been heard under these keys, sends no counters, or tells its own to nobody. */
export function counterQuestion(
  address: DeviceAddress,
  security: ExchangeSecurity | undefined,
): { address: DeviceAddress; operations: readonly CosemOperation[] } | undefined {
  if (security === undefined || security.counters.received >= 0) return undefined
  if (address.security === undefined) return undefined
  const { mechanism, protection } = address.security
  if (mechanism !== 5 && protection === 0) return undefined
  const place = counterPlaceOf(address, deviceProfileOf(address.profile)?.invocationCounter)
  if (place === undefined) return undefined
  const descriptor = encodeDescriptor({
    classId: dataClass,
    instanceId: place.obis,
    memberId: valueAttribute,
  })
  return {
    address: { ...address, client: place.client, secret: undefined, security: undefined },
    operations: [{ kind: 'get', descriptor }],
  }
}

/**
 * What to go on with after the answer: the exchange with the counters above the one that the device told, or why it failed. A device that
 * does not tell is taken at its first answer, when there is time left for that.
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
  if (told === undefined || told < from) return security
  const expected = told + 1
  if (expected < to) return { ...security, counters: { from: expected, to, received } }
  return {
    ok: false,
    code: 'DEVICE_ASSOCIATION_REFUSED',
    detail: 'the device was sent higher invocation counters before',
    counters: { ...unused, expected },
  }
}

function counterIn({ results }: ExchangeResult & { ok: true }): number | undefined {
  const view = results[0]?.value
  if (view === undefined) return undefined
  try {
    const value = decodeValue(asBuffer(view))
    const number = 'value' in value ? value.value : undefined
    // Some give it in another type of whole numbers.
    return typeof number === 'number' && Number.isInteger(number) && number >= 0
      ? number
      : undefined
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}
