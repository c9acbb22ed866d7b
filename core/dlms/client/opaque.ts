/**
 * An APDU that goes to a meter as it is, because its maker has protected it end to end: client.ts
 * sends it inside the association and gives back what came. It takes no counter, no ciphering and
 * no blocks, and nothing of it is read.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { allocateApdu } from '../framing/wrapper.ts'

/**
 * A copy of `apduView` to send, with spare octets for the wrapper in front; owned.
 * @throws BrokerError DLMS_SIZE_EXCEEDED for more than `bytesMax` octets
 */
export function opaqueApdu(apduView: Uint8Array, bytesMax: number): Buffer {
  if (apduView.length > bytesMax)
    throw new BrokerError(
      'DLMS_SIZE_EXCEEDED',
      `an opaque command of ${apduView.length} octets, where ${bytesMax} may be sent`,
    )
  const apdu = allocateApdu(apduView.length)
  apdu.set(apduView)
  return apdu
}
