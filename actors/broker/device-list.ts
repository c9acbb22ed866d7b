/**
 * A list of devices as operators send it to `POST /v1/devices`: each record stands alone. Those
 * without a fault are registered, whatever is wrong with the others, and every rejected one is
 * reported with its place, its code and a sentence.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { explain, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { deviceEntryOf, type DeviceEntry } from '../../core/inventory/device-record.ts'
import { nextTurn } from '../../core/ports/clock.ts'
import type { RegistrationResult } from './registration.ts'

/** A device that is not registered. */
export type RejectedDevice = {
  /** Place in the list, from 0. */
  index: number
  /** As it was written, at most 64 characters; null when it is absent. */
  eui64: string | null
  code: ErrorCode
  /** What is wrong, with every fault of the record, and what to do. Shows nothing of keys. */
  message: string
}

export type DeviceListResult = { registered: number; refused: RejectedDevice[] }

const eui64CharactersMax = 64
/** Records that are checked, or sealed, before others have the thread: some ms. */
const recordsPerTurn = 25

/**
 * Registers the devices of `body`, a list or a single record; settles when each is on disk or
 * rejected.
 * @throws BrokerError REQUEST_SIZE_EXCEEDED for more than `requestsPerBatchMax`
 */
export async function registerList(
  body: unknown,
  register: (entries: readonly DeviceEntry[]) => Promise<RegistrationResult>,
): Promise<DeviceListResult> {
  const list: unknown[] = Array.isArray(body) ? body : [body]
  if (list.length > limits.requestsPerBatchMax)
    throw new BrokerError('REQUEST_SIZE_EXCEEDED', `${list.length} devices`)
  const refused: RejectedDevice[] = []
  const entries: DeviceEntry[] = []
  const indexes: number[] = []
  for (const [index, json] of list.entries()) {
    if (index > 0 && index % recordsPerTurn === 0) await nextTurn()
    const entry = deviceEntryOf(json)
    if (!('faults' in entry)) {
      entries.push(entry)
      indexes.push(index)
      continue
    }
    const code = 'DEVICE_RECORD_MALFORMED'
    refused.push({
      index,
      eui64: eui64In(json),
      code,
      message: explain(code, entry.faults.join('; ')),
    })
  }
  const result = await register(entries)
  for (const { index, eui64, code } of result.refused)
    refused.push({ index: indexes[index]!, eui64, code, message: explain(code) })
  refused.sort((a, b) => a.index - b.index)
  return { registered: result.registered, refused }
}

/** What the whole list failed with; undefined when a device of it is registered. */
export function failureOf({ registered, refused }: DeviceListResult): RejectedDevice | undefined {
  return registered > 0 ? undefined : refused[0]
}

function eui64In(json: unknown): string | null {
  const { eui64 } = (json ?? {}) as { eui64?: unknown }
  return typeof eui64 === 'string' ? eui64.slice(0, eui64CharactersMax) : null
}
