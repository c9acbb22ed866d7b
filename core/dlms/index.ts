/**
 * The door of the DLMS/COSEM codec, `busbar/dlms`: both roles, sans-io. Bytes in, bytes out.
 */
export { BrokerError } from '../base/broker-error.ts'
export type { CosemOperation, CosemResult } from '../ports/wan.ts'
export {
  ApplicationContext,
  AssociationResult,
  Diagnostic,
  ProviderDiagnostic,
  ReleaseRequestReason,
  ReleaseResponseReason,
  type Aare,
  type Aarq,
  type AuthenticationValue,
  type ResultDiagnostic,
} from './apdu/acse.ts'
export type { AccessResult, AccessSpecification } from './apdu/access.ts'
export type { ActionOutcome } from './apdu/action.ts'
export { BlockControl } from './apdu/general-block-transfer.ts'
export type { InformationApdu } from './apdu/information.ts'
export type { Datablock, DataResult, ResultDatablock } from './apdu/parts.ts'
export type {
  Ciphered,
  CipheredService,
  CipheredServiceType,
  KeyInformation,
} from './apdu/protected.ts'
export type { ReadResult, VariableAccess, WriteResult } from './apdu/short-name.ts'
export { decodeApdu, encodeApdu, type Apdu, type ApduOf } from './apdu/codec.ts'
export { ConfirmedService, ErrorGroup, InitiateError, nameOfServiceError } from './apdu/error.ts'
export {
  ActionResult,
  ApduTag,
  Conformance,
  conformanceBits,
  conformanceNames,
  conformanceSupported,
  DataAccessResult,
  descriptorBytes,
  ServiceError,
  StateError,
} from './apdu/constants.ts'
export { AxdrView } from './axdr/view.ts'
export {
  AxdrWriter,
  bcdNumber,
  decodeType,
  decodeValue,
  encodeValue,
  lengthBytes,
  nameOfType,
  readLength,
  skipValue,
  Tag,
  writeLength,
  type AxdrType,
  type AxdrValue,
} from './axdr/axdr.ts'
export { DlmsClient } from './client/client.ts'
export type { ClientOptions } from './client/options.ts'
export type { ClientCredentials, ClientSecurity } from './client/association.ts'
export {
  associationBaseName,
  attributeStride,
  type ShortNameBook,
  type ShortNames,
} from './client/short-name.ts'
export { clientTransitions, type ClientState, type ClientStep } from './client/state.ts'
export {
  ClockStatus,
  cosemDateTimeBytes,
  deviationUnspecified,
  readClockStatus,
  readCosemDateTime,
  readDeviation,
  readLocalMs,
  writeCosemDateTime,
} from './axdr/date-time.ts'
export {
  decodeDate,
  decodeDateTime,
  decodeTime,
  encodeDate,
  encodeDateTime,
  encodeTime,
  formatDate,
  formatDateTime,
  formatTime,
  RecurringDay,
  RecurringMonth,
  type CosemDate,
  type CosemDateTime,
  type CosemTime,
} from './axdr/date-time-fields.ts'
export { isLocal, LocalTimes, utcMsIn, utcZone, type LocalZone } from './axdr/local-time.ts'
export {
  decodeDescriptor,
  decodeSelection,
  encodeDescriptor,
  encodeSelection,
  type CaptureObject,
  type Descriptor,
  type Selection,
} from './apdu/descriptor.ts'
export {
  explain,
  explainData,
  explanationLines,
  type Envelope,
  type ExplainedField,
  type ExplainOptions,
} from './explain.ts'
export { GeneralBlocks, type GeneralBlockStep } from './transfer/general-blocks.ts'
export {
  hdlcAddress,
  isAddressed,
  isBroadcast,
  isSameStation,
  ReservedAddress,
  type HdlcAddress,
} from './framing/hdlc/address.ts'
export { HdlcClient, type HdlcClientOptions } from './framing/hdlc/client.ts'
export {
  encodeFrame,
  type HdlcFrame,
  type HdlcHeader,
  type HdlcKind,
} from './framing/hdlc/frame.ts'
export {
  hdlcClientTransitions,
  hdlcServerTransitions,
  type HdlcClientState,
  type HdlcServerState,
  type HdlcStep,
} from './framing/hdlc/link-state.ts'
export {
  agreeParameters,
  defaultHdlcParameters,
  encodeParameters,
  readParameters,
  type HdlcParameters,
} from './framing/hdlc/parameters.ts'
export { HdlcReader } from './framing/hdlc/reader.ts'
export { HdlcServer, type HdlcServerOptions, type HdlcServerStep } from './framing/hdlc/server.ts'
export { type HdlcServerLink } from './framing/hdlc/server-link.ts'
export {
  behindLlc,
  encodeUnconfirmed,
  llcToClient,
  llcToServer,
  type HdlcEnds,
} from './framing/hdlc/transfer.ts'
export {
  MbusGatherer,
  mbusBytesAt,
  mbusDamageBytes,
  readMbusFrame,
  type MbusFrame,
} from './framing/mbus.ts'
export {
  ModeEHandshake,
  type ModeEOptions,
  type ModeEState,
  type ModeEStep,
} from './framing/mode-e.ts'
export { formatObis, obisBytes, parseObis } from './axdr/obis.ts'
export {
  answerFrame,
  aroundOf,
  classifyPush,
  confirmationOf,
  isUnaskedApdu,
  type Around,
  type Push,
} from './unsolicited/push.ts'
export { PushBlocks } from './unsolicited/push-blocks.ts'
export { readPushPayload, type PushPayload } from './unsolicited/push-payload.ts'
export {
  PushStream,
  type Heard,
  type PushEvents,
  type PushStreamOptions,
} from './unsolicited/push-stream.ts'
export { Mechanism } from './security/suite.ts'
export { DlmsServer, type CosemObjects, type ServerOptions } from './server/server.ts'
export type { ServerSecurity } from './server/association.ts'
export type { MemberOf, NamedMember } from './server/short-name.ts'
export {
  readWrapperDatagram,
  wrapInPlace,
  WrapperReader,
  wrapperHeaderBytes,
  writeWrapperHeader,
  type WrapperFrame,
} from './framing/wrapper.ts'
