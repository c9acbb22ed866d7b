/**
 * Every APDU as a value, from octets and to octets. The first octet says which it is; the files
 * beside this one have the grammar of each family. [IEC 62056-5-3, ASN.1 module COSEMpdu]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { ApduTag } from './constants.ts'
import { AxdrWriter } from '../axdr/writer.ts'
import { allocateApdu } from '../framing/wrapper.ts'
import { accessRequest, accessResponse } from './access.ts'
import { aare, aarq, rlre, rlrq } from './acse.ts'
import { actionRequest, actionResponse } from './action.ts'
import { generalBlockTransfer } from './general-block-transfer.ts'
import { confirmedServiceError, exceptionResponse } from './error.ts'
import { getRequest, getResponse } from './get.ts'
import { Reader, union, type ValueOf } from './grammar.ts'
import { initiateRequest, initiateResponse } from './initiate.ts'
import {
  dataNotification,
  dataNotificationConfirm,
  eventNotificationRequest,
} from './notification.ts'
import {
  cipheredServices,
  generalCiphering,
  generalDedCiphering,
  generalGloCiphering,
  generalSigning,
} from './protected.ts'
import { setRequest, setResponse } from './set.ts'
import {
  informationReportRequest,
  readRequest,
  readResponse,
  unconfirmedWriteRequest,
  writeRequest,
  writeResponse,
} from './short-name.ts'

/** The codec of them all. */
export const anyApdu = union([
  [ApduTag.INITIATE_REQUEST, initiateRequest],
  [ApduTag.READ_REQUEST, readRequest],
  [ApduTag.WRITE_REQUEST, writeRequest],
  [ApduTag.INITIATE_RESPONSE, initiateResponse],
  [ApduTag.READ_RESPONSE, readResponse],
  [ApduTag.WRITE_RESPONSE, writeResponse],
  [ApduTag.CONFIRMED_SERVICE_ERROR, confirmedServiceError],
  [ApduTag.DATA_NOTIFICATION, dataNotification],
  [ApduTag.DATA_NOTIFICATION_CONFIRM, dataNotificationConfirm],
  [ApduTag.UNCONFIRMED_WRITE_REQUEST, unconfirmedWriteRequest],
  [ApduTag.INFORMATION_REPORT_REQUEST, informationReportRequest],
  [ApduTag.AARQ, aarq],
  [ApduTag.AARE, aare],
  [ApduTag.RLRQ, rlrq],
  [ApduTag.RLRE, rlre],
  [ApduTag.GET_REQUEST, getRequest],
  [ApduTag.SET_REQUEST, setRequest],
  [ApduTag.EVENT_NOTIFICATION, eventNotificationRequest],
  [ApduTag.ACTION_REQUEST, actionRequest],
  [ApduTag.GET_RESPONSE, getResponse],
  [ApduTag.SET_RESPONSE, setResponse],
  [ApduTag.ACTION_RESPONSE, actionResponse],
  [ApduTag.EXCEPTION_RESPONSE, exceptionResponse],
  [ApduTag.ACCESS_REQUEST, accessRequest],
  [ApduTag.ACCESS_RESPONSE, accessResponse],
  [ApduTag.GENERAL_GLO_CIPHERING, generalGloCiphering],
  [ApduTag.GENERAL_DED_CIPHERING, generalDedCiphering],
  [ApduTag.GENERAL_CIPHERING, generalCiphering],
  [ApduTag.GENERAL_SIGNING, generalSigning],
  [ApduTag.GENERAL_BLOCK_TRANSFER, generalBlockTransfer],
  ...cipheredServices,
])

/** One APDU; octets in it are borrowed. */
export type Apdu = ValueOf<typeof anyApdu>
/** The APDU called so. */
export type ApduOf<T extends Apdu['type']> = Extract<Apdu, { type: T }>

/**
 * The APDU that `view` is, all of it. A tolerant one is what a head-end wants: octets behind the
 * APDU are passed over, and what makers write otherwise than the standard is taken as far as it is
 * clear.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID,
 * DLMS_SIZE_EXCEEDED, DLMS_NESTING_EXCEEDED
 */
export function decodeApdu(view: Buffer, options: { isTolerant?: boolean } = {}): Apdu {
  if (view.length > limits.transferBytesMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `an APDU of ${view.length} octets`)
  const reader = new Reader(view, options)
  const apdu = anyApdu.read(reader)
  if (reader.left > 0 && !reader.isTolerant)
    throw new BrokerError('DLMS_LENGTH_INVALID', `${reader.left} octets behind the APDU`)
  return apdu
}

const scratch = new AxdrWriter(1024)

/**
 * Encodes `apdu`; owned, with spare octets for the wrapper in front.
 * @throws BrokerError DLMS_SIZE_EXCEEDED, DLMS_VALUE_INVALID
 */
export function encodeApdu(apdu: Apdu): Buffer {
  anyApdu.write(scratch.clear(), apdu)
  const bytes = allocateApdu(scratch.bytes)
  bytes.set(scratch.view)
  return bytes
}
