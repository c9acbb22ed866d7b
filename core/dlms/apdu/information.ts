/**
 * What user-information of an association holds: an initiate APDU or its refusal, in the clear or
 * protected.
 * [IEC 62056-5-3, user-information of AARQ, AARE, RLRQ, RLRE]
 */
import { ApduTag } from './constants.ts'
import { confirmedServiceError } from './error.ts'
import { union, type ValueOf } from './grammar.ts'
import { initiateRequest, initiateResponse } from './initiate.ts'
import {
  cipheredServices,
  generalCiphering,
  generalDedCiphering,
  generalGloCiphering,
  generalSigning,
} from './protected.ts'

export const informationApdu = union([
  [ApduTag.INITIATE_REQUEST, initiateRequest],
  [ApduTag.INITIATE_RESPONSE, initiateResponse],
  [ApduTag.CONFIRMED_SERVICE_ERROR, confirmedServiceError],
  [ApduTag.GENERAL_GLO_CIPHERING, generalGloCiphering],
  [ApduTag.GENERAL_DED_CIPHERING, generalDedCiphering],
  [ApduTag.GENERAL_CIPHERING, generalCiphering],
  [ApduTag.GENERAL_SIGNING, generalSigning],
  ...cipheredServices,
])
export type InformationApdu = ValueOf<typeof informationApdu>
