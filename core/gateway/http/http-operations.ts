/**
 * What the routes of the HTTP doors are for, what they answer, and with which codes they refuse.
 */
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import { messageRef } from './message-schemas.ts'
import type { Operation } from './openapi.ts'

const id = 'The RequestID: originator:target:counter'
const waitMs = `How long the gateway waits for something to answer with, in ms; at most ${limits.longPollMsMax}`

/** The gateway or the device's host has no room, or is not there. */
const busyCodes: readonly ErrorCode[] = [
  'BROKER_GATEWAY_BUSY',
  'BROKER_PARTITION_BUSY',
  'BROKER_LOAD_SHED',
  'BROKER_PARTITION_UNAVAILABLE',
  'BROKER_LEDGER_FULL',
  'BROKER_DISK_LOW',
  'BROKER_STORAGE_LOW',
  'BROKER_LEDGER_UNAVAILABLE',
  'BROKER_DRAINING',
]
const requestIdCodes: readonly ErrorCode[] = [
  'REQUEST_ID_MALFORMED',
  'PARTY_ORIGINATOR_MISMATCH',
  'REQUEST_NOT_FOUND',
]

const quarantineCodes: readonly ErrorCode[] = [
  'REQUEST_ID_MALFORMED',
  'PARTY_ORIGINATOR_MISMATCH',
  'REQUEST_NOT_IN_QUARANTINE',
]

export const operations = {
  submit: {
    id: 'submitServiceRequests',
    summary:
      'Submits one service request, or a list of them. The acknowledgement follows when it is on disk.',
    status: 202,
    answer: messageRef('Acknowledgement'),
    otherAnswers: { 200: messageRef('SubmitBatchResponse') },
    codes: [
      'REQUEST_JSON_MALFORMED',
      'REQUEST_SIZE_EXCEEDED',
      'REQUEST_ID_MALFORMED',
      'REQUEST_SRV_UNKNOWN',
      'REQUEST_SRV_UNSUPPORTED',
      'REQUEST_BODY_MISMATCH',
      'REQUEST_BODY_MALFORMED',
      'REQUEST_DEADLINE_PAST',
      'REQUEST_RANGE_BACKWARDS',
      'REQUEST_RANGE_EXCEEDED',
      'REQUEST_COUNTER_REUSED',
      'REQUEST_COUNTER_STALE',
      'REQUEST_COUNTER_TOO_HIGH',
      'PARTY_ORIGINATOR_MISMATCH',
      'PARTY_ROLE_INELIGIBLE',
      'REQUEST_DOOR_UNFIT',
      'REQUEST_COMMAND_VARIANT_UNFIT',
      'REQUEST_LOCAL_DELIVERY_UNAVAILABLE',
      'DEVICE_UNKNOWN',
      'DEVICE_STATUS_UNFIT',
      'DEVICE_TYPE_UNFIT',
      'PARTY_NOT_REGISTERED',
      'RIGHTS_NOT_KNOWN',
      'DEVICE_QUEUE_FULL',
      'DEVICE_ORIGINATORS_FULL',
      ...busyCodes,
    ],
  },
  getStatus: {
    id: 'getRequestStatus',
    summary: 'How far a request is.',
    status: 200,
    answer: messageRef('GetRequestStatusResponse'),
    codes: [...requestIdCodes, ...busyCodes],
    parameters: { id },
  },
  cancel: {
    id: 'cancelServiceRequest',
    summary: 'Cancels a request that has not been sent to its device.',
    status: 200,
    answer: messageRef('Acknowledgement'),
    codes: [...requestIdCodes, 'REQUEST_ENDED', ...busyCodes],
    parameters: { id },
  },
  releaseQuarantined: {
    id: 'releaseQuarantinedRequest',
    summary: 'Releases a request from quarantine: it goes on to its device.',
    status: 200,
    answer: messageRef('Acknowledgement'),
    codes: [...quarantineCodes, ...busyCodes],
    parameters: { id },
  },
  deleteQuarantined: {
    id: 'deleteQuarantinedRequest',
    summary: 'Deletes a request from quarantine: it ends, and its response is delivered.',
    status: 200,
    answer: messageRef('Acknowledgement'),
    codes: [...quarantineCodes, ...busyCodes],
    parameters: { id },
  },
  getResponse: {
    id: 'getResponse',
    summary: 'The response to one request; no delivery is consumed.',
    status: 200,
    answer: messageRef('GetResponseResponse'),
    codes: [
      'REQUEST_JSON_MALFORMED',
      ...requestIdCodes,
      'RESPONSE_NOT_READY',
      'RESPONSE_NOT_KEPT',
      'RESPONSE_SEARCH_RUNNING',
      ...busyCodes,
    ],
    parameters: { id, waitMs },
  },
  getExplanation: {
    id: 'explainServiceRequest',
    summary: 'Why a request was accepted or rejected, check by check, and what became of it.',
    status: 200,
    answer: {
      type: 'object',
      required: ['requestId', 'decisions', 'events', 'counted', 'forgottenThrough'],
      properties: {
        requestId: { type: 'string' },
        decisions: { type: 'array', items: { type: 'object' } },
        events: { type: 'array', items: { type: 'object' } },
        counted: { type: 'array', items: { type: 'object' } },
        forgottenThrough: { type: 'integer' },
      },
    },
    codes: [...requestIdCodes, 'LEDGER_READERS_BUSY', 'BROKER_LEDGER_UNAVAILABLE'],
    parameters: { id },
  },
  poll: {
    id: 'pollDeliveries',
    summary: 'Deliveries that the party has not acknowledged, oldest first.',
    status: 200,
    answer: messageRef('ReceiveResponse'),
    codes: [
      'REQUEST_JSON_MALFORMED',
      'DELIVERY_RECEIVER_PRESENT',
      'DELIVERY_RECEIVER_SUPERSEDED',
      'BROKER_LEDGER_UNAVAILABLE',
      'BROKER_DRAINING',
    ],
    parameters: {
      max: `Deliveries in one answer; at most ${limits.deliveriesPerMessageMax}`,
      waitMs,
      onlyIfFree: 'Whether a receiver that is connected keeps its seat, and this call is refused',
    },
  },
  acknowledge: {
    id: 'acknowledgeDeliveries',
    summary: 'Acknowledges a delivery and all before it.',
    status: 200,
    answer: {
      type: 'object',
      required: ['deliveryId'],
      properties: { deliveryId: { type: 'string', pattern: '^\\d{1,20}$' } },
    },
    codes: [
      'REQUEST_JSON_MALFORMED',
      'DELIVERY_ACKNOWLEDGEMENT_INVALID',
      'BROKER_LEDGER_UNAVAILABLE',
    ],
  },
} as const satisfies Record<string, Operation>
