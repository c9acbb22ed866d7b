/**
 * What the party commands print with `--json`: one line for each object, in the proto3 JSON of
 * busbar.v1, the same members as over HTTP.
 */
import {
  GetRequestStatusResponse,
  type GetRequestStatusResponse as RequestStatus,
} from '../../../proto/gen/busbar/v1/input_gateway.ts'
import type { Delivery } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { Acknowledgement } from '../../../proto/gen/busbar/v1/service_response.ts'
import { deliveryJson } from './http-answer.ts'

/** `{ requestId, responseCode, reason, message, time, … }`. */
export const acknowledgementLine = (acknowledgement: Acknowledgement): string =>
  JSON.stringify(Acknowledgement.toJSON(acknowledgement))

/** `{ deliveryId, response: { … } }`, or `alert` in place of `response`. */
export const deliveryLine = (delivery: Delivery): string => JSON.stringify(deliveryJson(delivery))

/** `{ state, serviceReferenceVariant, acceptedAt, attempts, … }`. */
export const statusLine = (answer: RequestStatus): string =>
  JSON.stringify(GetRequestStatusResponse.toJSON(answer))
