/**
 * What both sides of an association agree on, within AARQ and AARE.
 *
 *   initiateRequest [01] = dedicated-key OCTET STRING OPTIONAL, response-allowed BOOLEAN DEFAULT TRUE,
 *     proposed-quality-of-service Integer8 OPTIONAL, proposed-dlms-version-number Unsigned8, proposed-conformance,
 *     client-max-receive-pdu-size Unsigned16
 *   initiateResponse [08] = negotiated-quality-of-service Integer8 OPTIONAL, negotiated-dlms-version-number Unsigned8,
 *     negotiated-conformance, server-max-receive-pdu-size Unsigned16, vaa-name Integer16
 *   conformance = 5F 1F 04 00, 24 bits   (BER: [APPLICATION 31], four octets, no bits unused)
 *   DEFAULT = 00, or 01 and the value
 *
 * [IEC 62056-5-3, InitiateRequest, InitiateResponse, Conformance]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { conformanceBits } from './constants.ts'
import {
  boolean,
  integer8,
  octetString,
  outOfRange,
  optional,
  service,
  unsigned16,
  unsigned8,
  type Codec,
} from './grammar.ts'
import { objectName } from './short-name.ts'

/** The only version of DLMS that there is in the field. */
export const dlmsVersion = 6
/** The `vaaName` that says that a logical-name association was made. */
export const logicalNameVaa = 0x0007

const responseAllowed: Codec<boolean> = {
  read: (reader) => (reader.octet() === 0 ? true : boolean.read(reader)),
  write: (out, value) => void (value ? out.octet(0) : out.octet(1).octet(0)),
}

/**
 * 24 bits as a number, Conformance names them. The one-octet tag of old meters, `5F 04`, is read
 * too.
 */
const conformance: Codec<number> = {
  read(reader) {
    if (reader.octet() !== 0x5f)
      throw new BrokerError('DLMS_TAG_UNKNOWN', `conformance at octet ${reader.at - 1}`)
    if (reader.view[reader.at] === 0x1f) reader.octet()
    if (reader.octet() !== 4 || reader.octet() !== 0)
      throw new BrokerError('DLMS_VALUE_INVALID', `conformance at octet ${reader.at}`)
    return reader.octets(3).readUIntBE(0, 3)
  },
  write(out, value) {
    if (!(value >= 0 && value <= 0xff_ffff)) throw outOfRange(value)
    out.octet(0x5f).octet(0x1f).octet(4).octet(0)
    out
      .octet((value >> 16) & 0xff)
      .octet((value >> 8) & 0xff)
      .octet(value & 0xff)
  },
  show: (value) => conformanceBits(value).join(', '),
}

export const initiateRequest = service('initiate-request', {
  dedicatedKeyView: optional(octetString('secret')),
  responseAllowed,
  proposedQualityOfService: optional(integer8),
  proposedDlmsVersionNumber: unsigned8,
  proposedConformance: conformance,
  clientMaxReceivePduSize: unsigned16,
})

export const initiateResponse = service('initiate-response', {
  negotiatedQualityOfService: optional(integer8),
  negotiatedDlmsVersionNumber: unsigned8,
  negotiatedConformance: conformance,
  serverMaxReceivePduSize: unsigned16,
  vaaName: objectName,
})
