/**
 * Requests, parties and devices by short names: `<party>/<device>/<counter>`, whole numbers from 1,
 * 0 and 1 on.
 */
import type { RequestCounter } from '../../core/base/counter.ts'
import { readEui64, parseEui64, type Eui64 } from '../../core/base/eui64.ts'
import type { Party } from '../../core/access/parties.ts'

export const meterCount = 6
/**
 * One without keys and one with keys, which keeps the ones it is registered with: an operator who
 * removes a device while its keys are being replaced does not know which ones it has.
 */
export const removable = [2, 3] as const
/** A meter is known by its port. */
export const firstPort = 4_000
export const addressOf = (meter: number) => ({
  host: 'meters',
  port: firstPort + meter,
  logicalDevice: 1,
  client: 16,
})

/** A third party (OU), which acts by consents; there is one in lives where consents change. */
export const thirdParty = 9

export const partyOf = (number: number): Party => ({
  id: readEui64(parseEui64(`90-B3-D5-1F-30-${String(number).padStart(2, '0')}-00-00`)!),
  role: number === thirdParty ? 'OU' : 'IS',
  name: `Supplier ${number}`,
})

export function requestName(party: Eui64, device: Eui64, counter: RequestCounter): string {
  const octets = Buffer.from(party + device + counter, 'latin1')
  return `${octets[5]}/${octets.readUInt32BE(12)}/${octets.readBigUInt64BE(16)}`
}

/** Before all of a life, and late enough for every meter to keep it. */
const periodBaseMs = 1_800_000_000_000 - 20 * 86_400_000

/** The period that names a request of the third party. */
export function periodOf(meter: number, counter: number): { startTime: Date; endTime: Date } {
  const endMs = periodBaseMs + (counter * meterCount + meter) * 1_000
  return { startTime: new Date(endMs - 86_400_000), endTime: new Date(endMs) }
}

export function nameOfPeriod(endMs: number): string {
  const number = (endMs - periodBaseMs) / 1_000
  return `${thirdParty}/${number % meterCount}/${Math.floor(number / meterCount)}`
}
