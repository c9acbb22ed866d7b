/**
 * general-signing: an APDU, in the clear or ciphered, with a digital signature over its header and
 * itself:
 *
 *   DF | header fields | content octet string | signature octet string
 *
 * The signature covers the header's fields with their lengths, and the content without its length.
 * [IEC 62056-5-3 ed. 3, 5.7.3 protection with digital signature; ASN.1 module, General-Signing]
 */
import { BrokerError } from '../../base/broker-error.ts'
import {
  fieldBytes,
  signEcdsa,
  verifyEcdsa,
  type PrivateKey,
  type PublicKey,
} from '../../crypto/crypto.ts'
import { ApduTag } from '../apdu/constants.ts'
import { allocateApdu } from '../framing/wrapper.ts'
import {
  endOf,
  generalHeaderBytes,
  lastOctetStringView,
  octetStringBytes,
  octetStringView,
  readGeneralHeader,
  writeGeneralHeader,
  writeOctetString,
  type GeneralHeader,
} from './general-header.ts'

/** A general-signing around `content`, signed with `key`. Owned, with spare octets in front. */
export function signApdu(
  key: PrivateKey,
  transactionId: Uint8Array,
  originator: Uint8Array,
  recipient: Uint8Array,
  content: Uint8Array,
): Buffer {
  const headerBytes = generalHeaderBytes(transactionId, originator, recipient)
  const signatureBytes = 2 * fieldBytes(key.curve)
  const out = allocateApdu(
    headerBytes + octetStringBytes(content.length) + octetStringBytes(signatureBytes),
  )
  const start = writeGeneralHeader(
    out,
    ApduTag.GENERAL_SIGNING,
    transactionId,
    originator,
    recipient,
  )
  const signature = signEcdsa(key, Buffer.concat([out.subarray(1, start), content]))
  writeOctetString(out, writeOctetString(out, start, content), signature)
  return out
}

/** A general-signing whose signature was verified: views. */
export type SignedApdu = GeneralHeader & { readonly content: Buffer }

/**
 * Verifies `view`, a general-signing.
 * @throws BrokerError DLMS_LENGTH_INVALID, DLMS_SIGNATURE_WRONG
 */
export function openSignedApdu(key: PublicKey, view: Buffer): SignedApdu {
  const header = readGeneralHeader(view)
  const content = octetStringView(view, endOf(view, header.fieldsView))
  const signature = lastOctetStringView(view, endOf(view, content))
  const signed = Buffer.concat([header.fieldsView, content])
  if (!verifyEcdsa(key, signed, signature)) throw new BrokerError('DLMS_SIGNATURE_WRONG')
  return { ...header, content }
}
