/**
 * Constants of the application layer: APDU tags, choices within services, result codes, conformance bits.
 * [IEC 62056-5-3, ASN.1 module COSEMpdu]. Ciphered APDUs (glo-, ded-, general-) are not here.
 */

/** First octet of an APDU. */
export const ApduTag = {
  INITIATE_REQUEST: 0x01,
  INITIATE_RESPONSE: 0x08,
  CONFIRMED_SERVICE_ERROR: 0x0e,
  DATA_NOTIFICATION: 0x0f,
  AARQ: 0x60,
  AARE: 0x61,
  RLRQ: 0x62,
  RLRE: 0x63,
  GET_REQUEST: 0xc0,
  SET_REQUEST: 0xc1,
  EVENT_NOTIFICATION: 0xc2,
  ACTION_REQUEST: 0xc3,
  GET_RESPONSE: 0xc4,
  SET_RESPONSE: 0xc5,
  ACTION_RESPONSE: 0xc7,
  EXCEPTION_RESPONSE: 0xd8,
} as const

/** Second octet of a get-request. */
export const GetRequest = { NORMAL: 1, NEXT: 2, WITH_LIST: 3 } as const
/** Second octet of a get-response. */
export const GetResponse = { NORMAL: 1, WITH_DATABLOCK: 2, WITH_LIST: 3 } as const
/** Second octet of a set-request. */
export const SetRequest = { NORMAL: 1, WITH_FIRST_DATABLOCK: 2, WITH_DATABLOCK: 3 } as const
/** Second octet of a set-response. */
export const SetResponse = { NORMAL: 1, DATABLOCK: 2, LAST_DATABLOCK: 3 } as const
/** Second octet of an action-request and an action-response. */
export const ActionRequest = { NORMAL: 1 } as const
export const ActionResponse = { NORMAL: 1 } as const

/** Data-Access-Result; what they share with it, Action-Result has too. */
export const DataAccessResult = {
  SUCCESS: 0,
  HARDWARE_FAULT: 1,
  TEMPORARY_FAILURE: 2,
  READ_WRITE_DENIED: 3,
  OBJECT_UNDEFINED: 4,
  OBJECT_CLASS_INCONSISTENT: 9,
  OBJECT_UNAVAILABLE: 11,
  TYPE_UNMATCHED: 12,
  SCOPE_OF_ACCESS_VIOLATED: 13,
  DATA_BLOCK_UNAVAILABLE: 14,
  LONG_GET_ABORTED: 15,
  NO_LONG_GET_IN_PROGRESS: 16,
  LONG_SET_ABORTED: 17,
  NO_LONG_SET_IN_PROGRESS: 18,
  DATA_BLOCK_NUMBER_INVALID: 19,
  OTHER_REASON: 250,
} as const

/** Conformance block as a number of 24 bits; the standard's bit 0 is the highest. */
export const Conformance = {
  PRIORITY_MANAGEMENT: 1 << 14,
  BLOCK_TRANSFER_WITH_GET: 1 << 12,
  BLOCK_TRANSFER_WITH_SET: 1 << 11,
  MULTIPLE_REFERENCES: 1 << 9,
  GET: 1 << 4,
  SET: 1 << 3,
  SELECTIVE_ACCESS: 1 << 2,
  ACTION: 1,
} as const

/** What this codec can do, and so what a client proposes and a server allows. */
export const conformanceSupported: number = Object.values(Conformance).reduce(
  (all, bit) => all | bit,
  0,
)

/** Class-id u16, instance-id 6, attribute-id or method-id i8. */
export const descriptorBytes = 9

/** Bit 7 high priority, bit 6 confirmed, bits 0 to 3 the invoke id. [IEC 62056-5-3, Invoke-Id-And-Priority] */
export const confirmedHighPriority = 0xc0
export const invokeIdMask = 0x0f

/** State-error and service-error of an exception-response. [IEC 62056-5-3, ExceptionResponse] */
export const StateError = { SERVICE_NOT_ALLOWED: 1, SERVICE_UNKNOWN: 2 } as const
export const ServiceError = {
  OPERATION_NOT_POSSIBLE: 1,
  SERVICE_NOT_SUPPORTED: 2,
  OTHER_REASON: 3,
  PDU_TOO_LONG: 4,
} as const
