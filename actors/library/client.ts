/**
 * The door of `busbar/client`: the client of a party, and the messages of the contract in
 * proto/busbar/v1. It loads gRPC and the generated messages, nothing of the broker.
 */
export {
  busbarCode,
  retryAfterMs,
  DeliveryStream,
  SubmissionStream,
  SupplierClient,
  type SupplierClientOptions,
} from '../../core/client/supplier-client.ts'
export {
  canonicalFormOf,
  RequestSigner,
  signRequest,
  type SigningFiles,
} from '../../core/client/sign-request.ts'
export type { PartyCertificateFiles, PartyCredentials } from '../../core/access/credentials.ts'
export { DeviceAlert, DeviceAlertKind } from '../../proto/gen/busbar/v1/device_alert.ts'
export { GetRequestStatusResponse, RequestState } from '../../proto/gen/busbar/v1/input_gateway.ts'
export { Delivery } from '../../proto/gen/busbar/v1/output_gateway.ts'
export {
  DisplayMessage,
  Priority,
  ReadPeriod,
  RequestId,
  RequestSignature,
  ServiceRequest,
  SynchroniseClock,
} from '../../proto/gen/busbar/v1/service_request.ts'
export {
  Acknowledgement,
  Profile,
  ProfileColumn,
  ProfileEntry,
  Reading,
  ReadingStatus,
  ResponseBody,
  ServiceResponse,
  Unit,
  Value,
} from '../../proto/gen/busbar/v1/service_response.ts'
