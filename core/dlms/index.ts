/**
 * The door of the DLMS/COSEM codec, `busbar/dlms`: both roles, sans-io. Bytes in, bytes out.
 */
export {
  decodeAare,
  decodeAarq,
  encodeAare,
  encodeAarq,
  encodeRlre,
  encodeRlrq,
  type AssociationRequest,
  type AssociationRequestView,
  type AssociationResponse,
} from './acse.ts'
export {
  ApplicationContext,
  AssociationResult,
  Diagnostic,
  Mechanism,
  ProviderDiagnostic,
  ReleaseRequestReason,
  ReleaseResponseReason,
  type Aare,
  type Aarq,
  type AuthenticationValue,
  type ResultDiagnostic,
} from './apdu/acse.ts'
export { decodeApdu, encodeApdu, type Apdu, type ApduOf } from './apdu/apdu.ts'
export { ConfirmedService, ErrorGroup, InitiateError, nameOfServiceError } from './apdu/error.ts'
export {
  ApduTag,
  Conformance,
  conformanceSupported,
  DataAccessResult,
  descriptorBytes,
} from './apdu.ts'
export {
  AxdrWriter,
  decodeType,
  decodeValue,
  encodeValue,
  lengthBytes,
  readLength,
  skipValue,
  Tag,
  writeLength,
  type AxdrType,
  type AxdrValue,
} from './axdr.ts'
export { DlmsClient } from './client.ts'
export { clientTransitions, type ClientState, type ClientStep } from './client-state.ts'
export {
  ClockStatus,
  cosemDateTimeBytes,
  deviationUnspecified,
  readClockStatus,
  readCosemDateTime,
  readDeviation,
  writeCosemDateTime,
} from './date-time.ts'
export { formatObis, obisBytes, parseObis } from './obis.ts'
export { DlmsServer, type CosemObjects, type ServerOptions } from './server.ts'
export {
  wrapInPlace,
  WrapperReader,
  wrapperHeaderBytes,
  writeWrapperHeader,
  type WrapperFrame,
} from './wrapper.ts'
