/**
 * OBIS codes: six octets A to F that name a COSEM object, as text `A-B:C.D.E.F`. [IEC 62056-6-1,
 * clause 4]
 */
import { BrokerError } from '../../base/broker-error.ts'

export const obisBytes = 6

const pattern = /^(\d{1,3})[-.](\d{1,3})[:.](\d{1,3})\.(\d{1,3})\.(\d{1,3})[.*](\d{1,3})$/

/**
 * The six octets of `1-0:1.8.0.255`; `1.0.1.8.0.255` and `1-0:1.8.0*255` mean the same.
 * @throws BrokerError DLMS_VALUE_INVALID
 */
export function parseObis(text: string): Buffer {
  const match = pattern.exec(text)
  if (match === null) throw new BrokerError('DLMS_VALUE_INVALID', 'not an OBIS code')
  const bytes = Buffer.allocUnsafe(obisBytes)
  for (let i = 0; i < obisBytes; i++) {
    const value = Number(match[i + 1])
    if (value > 255) throw new BrokerError('DLMS_VALUE_INVALID', 'not an OBIS code')
    bytes[i] = value
  }
  return bytes
}

/**
 * The six octets at `at` as `1-0:1.8.0.255`. @throws BrokerError DLMS_LENGTH_INVALID when they are
 * not there
 */
export function formatObis(view: Uint8Array, at = 0): string {
  if (at + obisBytes > view.length)
    throw new BrokerError('DLMS_LENGTH_INVALID', `OBIS code at octet ${at}`)
  return `${view[at]}-${view[at + 1]}:${view[at + 2]}.${view[at + 3]}.${view[at + 4]}.${view[at + 5]}`
}
