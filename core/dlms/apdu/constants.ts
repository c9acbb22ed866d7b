/**
 * Constants of the application layer: APDU tags, choices within services, result codes, conformance
 * bits.
 * [IEC 62056-5-3, ASN.1 module COSEMpdu]. Their fields are in apdu/.
 */

/**
 * First octet of an APDU. Those of the short-name services have numbers below 60, ciphered ones 20
 * more for glo and 40 for ded (hex).
 */
export const ApduTag = {
  INITIATE_REQUEST: 0x01,
  READ_REQUEST: 0x05,
  WRITE_REQUEST: 0x06,
  INITIATE_RESPONSE: 0x08,
  READ_RESPONSE: 0x0c,
  WRITE_RESPONSE: 0x0d,
  CONFIRMED_SERVICE_ERROR: 0x0e,
  DATA_NOTIFICATION: 0x0f,
  DATA_NOTIFICATION_CONFIRM: 0x10,
  UNCONFIRMED_WRITE_REQUEST: 0x16,
  INFORMATION_REPORT_REQUEST: 0x18,
  GLO_INITIATE_REQUEST: 0x21,
  GLO_READ_REQUEST: 0x25,
  GLO_WRITE_REQUEST: 0x26,
  GLO_INITIATE_RESPONSE: 0x28,
  GLO_READ_RESPONSE: 0x2c,
  GLO_WRITE_RESPONSE: 0x2d,
  GLO_CONFIRMED_SERVICE_ERROR: 0x2e,
  GLO_UNCONFIRMED_WRITE_REQUEST: 0x36,
  GLO_INFORMATION_REPORT_REQUEST: 0x38,
  DED_INITIATE_REQUEST: 0x41,
  DED_READ_REQUEST: 0x45,
  DED_WRITE_REQUEST: 0x46,
  DED_INITIATE_RESPONSE: 0x48,
  DED_READ_RESPONSE: 0x4c,
  DED_WRITE_RESPONSE: 0x4d,
  DED_CONFIRMED_SERVICE_ERROR: 0x4e,
  DED_UNCONFIRMED_WRITE_REQUEST: 0x56,
  DED_INFORMATION_REPORT_REQUEST: 0x58,
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
  GLO_GET_REQUEST: 0xc8,
  GLO_SET_REQUEST: 0xc9,
  GLO_EVENT_NOTIFICATION_REQUEST: 0xca,
  GLO_ACTION_REQUEST: 0xcb,
  GLO_GET_RESPONSE: 0xcc,
  GLO_SET_RESPONSE: 0xcd,
  GLO_ACTION_RESPONSE: 0xcf,
  DED_GET_REQUEST: 0xd0,
  DED_SET_REQUEST: 0xd1,
  DED_EVENT_NOTIFICATION_REQUEST: 0xd2,
  DED_ACTION_REQUEST: 0xd3,
  DED_GET_RESPONSE: 0xd4,
  DED_SET_RESPONSE: 0xd5,
  DED_ACTION_RESPONSE: 0xd7,
  EXCEPTION_RESPONSE: 0xd8,
  ACCESS_REQUEST: 0xd9,
  ACCESS_RESPONSE: 0xda,
  GENERAL_GLO_CIPHERING: 0xdb,
  GENERAL_DED_CIPHERING: 0xdc,
  GENERAL_CIPHERING: 0xdd,
  GENERAL_SIGNING: 0xdf,
  GENERAL_BLOCK_TRANSFER: 0xe0,
} as const

/** Second octet of a get-request. */
export const GetRequest = { NORMAL: 1, NEXT: 2, WITH_LIST: 3 } as const
/** Second octet of a get-response. */
export const GetResponse = { NORMAL: 1, WITH_DATABLOCK: 2, WITH_LIST: 3 } as const
/** Second octet of a set-request. */
export const SetRequest = {
  NORMAL: 1,
  WITH_FIRST_DATABLOCK: 2,
  WITH_DATABLOCK: 3,
  WITH_LIST: 4,
  WITH_LIST_AND_FIRST_DATABLOCK: 5,
} as const
/** Second octet of a set-response. */
export const SetResponse = {
  NORMAL: 1,
  DATABLOCK: 2,
  LAST_DATABLOCK: 3,
  LAST_DATABLOCK_WITH_LIST: 4,
  WITH_LIST: 5,
} as const
/** Second octet of an action-request. */
export const ActionRequest = {
  NORMAL: 1,
  NEXT_PBLOCK: 2,
  WITH_LIST: 3,
  WITH_FIRST_PBLOCK: 4,
  WITH_LIST_AND_FIRST_PBLOCK: 5,
  WITH_PBLOCK: 6,
} as const
/** Second octet of an action-response. */
export const ActionResponse = { NORMAL: 1, WITH_PBLOCK: 2, WITH_LIST: 3, NEXT_PBLOCK: 4 } as const

/**
 * Choices of an access-request-specification; the first three are those of an
 * access-response-specification too.
 */
export const AccessChoice = {
  GET: 1,
  SET: 2,
  ACTION: 3,
  GET_WITH_SELECTION: 4,
  SET_WITH_SELECTION: 5,
} as const

/** Data-Access-Result. */
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

/** Action-Result. */
export const ActionResult = {
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
  LONG_ACTION_ABORTED: 15,
  NO_LONG_ACTION_IN_PROGRESS: 16,
  OTHER_REASON: 250,
} as const

/**
 * Conformance block as a number of 24 bits; the standard's bit 0 is the highest, and reserved as
 * bit 7 is.
 */
export const Conformance = {
  GENERAL_PROTECTION: 1 << 22,
  GENERAL_BLOCK_TRANSFER: 1 << 21,
  READ: 1 << 20,
  WRITE: 1 << 19,
  UNCONFIRMED_WRITE: 1 << 18,
  DELTA_VALUE_ENCODING: 1 << 17,
  ATTRIBUTE_0_WITH_SET: 1 << 15,
  PRIORITY_MANAGEMENT: 1 << 14,
  ATTRIBUTE_0_WITH_GET: 1 << 13,
  BLOCK_TRANSFER_WITH_GET: 1 << 12,
  BLOCK_TRANSFER_WITH_SET: 1 << 11,
  BLOCK_TRANSFER_WITH_ACTION: 1 << 10,
  MULTIPLE_REFERENCES: 1 << 9,
  INFORMATION_REPORT: 1 << 8,
  DATA_NOTIFICATION: 1 << 7,
  ACCESS: 1 << 6,
  PARAMETERIZED_ACCESS: 1 << 5,
  GET: 1 << 4,
  SET: 1 << 3,
  SELECTIVE_ACCESS: 1 << 2,
  EVENT_NOTIFICATION: 1 << 1,
  ACTION: 1,
} as const

/**
 * The standard's names of the 24 bits, bit 0 first. @source IEC 62056-5-3, ASN.1 module,
 * Conformance
 */
export const conformanceNames: readonly string[] = [
  'reserved-zero',
  'general-protection',
  'general-block-transfer',
  'read',
  'write',
  'unconfirmed-write',
  'delta-value-encoding',
  'reserved-seven',
  'attribute0-supported-with-set',
  'priority-mgmt-supported',
  'attribute0-supported-with-get',
  'block-transfer-with-get-or-read',
  'block-transfer-with-set-or-write',
  'block-transfer-with-action',
  'multiple-references',
  'information-report',
  'data-notification',
  'access',
  'parameterized-access',
  'get',
  'set',
  'selective-access',
  'event-notification',
  'action',
]

/** The names of the bits that are set in `conformance`. */
export function conformanceBits(conformance: number): string[] {
  return conformanceNames.filter((_, bit) => (conformance >> (23 - bit)) & 1)
}

/**
 * What the client and the server here can do, and so what a client proposes and a server allows;
 * under a suite general protection, too.
 */
export const conformanceSupported: number =
  Conformance.GENERAL_BLOCK_TRANSFER |
  Conformance.PRIORITY_MANAGEMENT |
  Conformance.BLOCK_TRANSFER_WITH_ACTION |
  Conformance.ACCESS |
  Conformance.BLOCK_TRANSFER_WITH_GET |
  Conformance.BLOCK_TRANSFER_WITH_SET |
  Conformance.MULTIPLE_REFERENCES |
  Conformance.GET |
  Conformance.SET |
  Conformance.SELECTIVE_ACCESS |
  Conformance.ACTION

/** The same with short-name referencing. */
export const conformanceShortName: number =
  Conformance.GENERAL_BLOCK_TRANSFER |
  Conformance.READ |
  Conformance.WRITE |
  Conformance.UNCONFIRMED_WRITE |
  Conformance.BLOCK_TRANSFER_WITH_GET |
  Conformance.BLOCK_TRANSFER_WITH_SET |
  Conformance.MULTIPLE_REFERENCES |
  Conformance.INFORMATION_REPORT |
  Conformance.PARAMETERIZED_ACCESS

/** Class-id u16, instance-id 6, attribute-id or method-id i8. */
export const descriptorBytes = 9

/**
 * Bit 7 high priority, bit 6 confirmed, bits 0 to 3 the invoke id. [IEC 62056-5-3,
 * Invoke-Id-And-Priority]
 */
export const confirmedHighPriority = 0xc0
export const invokeIdMask = 0x0f

/** State-error and service-error of an exception-response. [IEC 62056-5-3, ExceptionResponse] */
export const StateError = { SERVICE_NOT_ALLOWED: 1, SERVICE_UNKNOWN: 2 } as const
export const ServiceError = {
  OPERATION_NOT_POSSIBLE: 1,
  SERVICE_NOT_SUPPORTED: 2,
  OTHER_REASON: 3,
  PDU_TOO_LONG: 4,
  DECIPHERING_ERROR: 5,
  INVOCATION_COUNTER_ERROR: 6,
} as const
