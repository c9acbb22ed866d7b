/** Keys and devices in files, as operators keep them. No fault shows what is written there. */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { deviceKeysOf } from '../../../core/inventory/device-keys.ts'
import { deviceEntryOf, type DeviceEntry } from '../../../core/inventory/device-record.ts'
import { linesIn, linesOfFile, readTextFile } from '../../../core/ops/text-file.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'

/**
 * The keys in `file`: JSON as the `keys` of an inventory.
 * @throws BrokerError CONFIG_INVALID when they are none of that suite; what the system says when
 * the file cannot be read
 */
export function keysInFile(file: string, suite: 0 | 1 | 2): DeviceKeys {
  const faults: string[] = []
  const json = jsonIn(readTextFile(file))
  if (json === undefined) throw new BrokerError('CONFIG_INVALID', `${file} is not JSON`)
  const keys = deviceKeysOf(json, suite, faults)
  if (keys === undefined || faults.length > 0)
    throw new BrokerError('CONFIG_INVALID', `${file}: ${faults.join('; ')}`)
  return keys
}

/**
 * Every set of keys in `file` that is of that suite: JSON as the `keys` of an inventory, an array
 * of such, or one in each line.
 * @throws BrokerError CONFIG_INVALID when no set has that suite; the error of the system when the
 * file cannot be read
 */
export function keySetsInFile(file: string, suite: 0 | 1 | 2): DeviceKeys[] {
  const text = readTextFile(file)
  const whole = jsonIn(text)
  const lines = linesIn(text).filter((line) => line.trim() !== '')
  const list: unknown[] =
    whole === undefined ? lines.map(jsonIn) : Array.isArray(whole) ? whole : [whole]
  if (list.includes(undefined)) throw new BrokerError('CONFIG_INVALID', `${file} is not JSON`)
  const faults: string[] = []
  const sets = list.flatMap((one) => {
    const own: string[] = []
    const keys = deviceKeysOf(one, suite, own)
    if (keys !== undefined && own.length === 0) return [keys]
    faults.push(...own)
    return []
  })
  if (sets.length === 0) throw new BrokerError('CONFIG_INVALID', `${file}: ${faults.join('; ')}`)
  return sets.slice(0, limits.keySetsMax)
}

/**
 * The devices of an inventory file, one after the other. @throws BrokerError CONFIG_INVALID for a
 * line that is no device
 */
export async function* devicesIn(file: string): AsyncGenerator<DeviceEntry> {
  for await (const { number, text } of linesOfFile(file)) {
    if (text.trim() === '') continue
    const entry = deviceEntryOf(jsonIn(text))
    if ('faults' in entry)
      throw new BrokerError('CONFIG_INVALID', `${file}, line ${number}: ${entry.faults.join('; ')}`)
    yield entry
  }
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What JSON.parse says of it would show a part of it.
    return undefined
  }
}
