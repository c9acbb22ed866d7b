/** Requests, parties and devices by short names: `<party>/<device>/<counter>`, whole numbers from 1, 0 and 1 on. */
import type { CounterKey } from '../../core/base/counter.ts'
import { eui64Key, parseEui64, type Eui64Key } from '../../core/base/eui64.ts'
import type { Party } from '../../core/access/parties.ts'

export const meterCount = 6
/** A meter is known by its port. */
export const firstPort = 4_000
export const addressOf = (meter: number) => ({
  host: 'meters',
  port: firstPort + meter,
  logicalDevice: 1,
  client: 16,
})

export const partyOf = (number: number): Party => ({
  key: eui64Key(parseEui64(`90-B3-D5-1F-30-${String(number).padStart(2, '0')}-00-00`)!),
  role: 'IS',
  name: `Supplier ${number}`,
})

export function requestName(party: Eui64Key, device: Eui64Key, counter: CounterKey): string {
  const octets = Buffer.from(party + device + counter, 'latin1')
  return `${octets[5]}/${octets.readUInt32BE(12)}/${octets.readBigUInt64BE(16)}`
}
