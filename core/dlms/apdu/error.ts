/**
 * Refusals of a whole APDU.
 *
 *   exception-response [D8] = state-error ENUMERATED, service-error (1 to 5: nothing | invocation-counter-error [6] Unsigned32)
 *   confirmedServiceError [0E] = service (initiateError [1] … terminateUpLoad [19]), group [0] to [10], error ENUMERATED
 *
 * [IEC 62056-5-3, Exception-Response, ConfirmedServiceError, ServiceError]
 */
import { ServiceError, StateError } from './constants.ts'
import { enumerated, nameOf, service, unsigned32, unsigned8, type Codec } from './grammar.ts'

const serviceErrorNames = enumerated(ServiceError)
/** The counter that the meter expects; a meter may leave it out, and no other error has one. */
const serviceError: Codec<{ error: number; invocationCounter?: number | undefined }> = {
  read(reader) {
    const error = reader.part('service-error', serviceErrorNames)
    const hasCounter = error === ServiceError.INVOCATION_COUNTER_ERROR && reader.left > 0
    return {
      error,
      invocationCounter: hasCounter ? reader.part('invocation-counter', unsigned32) : undefined,
    }
  },
  write(out, { error, invocationCounter }) {
    serviceErrorNames.write(out, error)
    if (invocationCounter !== undefined) unsigned32.write(out, invocationCounter)
  },
}

export const exceptionResponse = service('exception-response', {
  stateError: enumerated(StateError),
  serviceError,
})

/** What was asked for when a confirmed-service-error came. */
export const ConfirmedService = {
  INITIATE_ERROR: 1,
  GET_STATUS: 2,
  GET_NAME_LIST: 3,
  GET_VARIABLE_ATTRIBUTE: 4,
  READ: 5,
  WRITE: 6,
  GET_DATA_SET_ATTRIBUTE: 7,
  GET_TI_ATTRIBUTE: 8,
  CHANGE_SCOPE: 9,
  START: 10,
  STOP: 11,
  RESUME: 12,
  MAKE_USABLE: 13,
  INITIATE_LOAD: 14,
  LOAD_SEGMENT: 15,
  TERMINATE_LOAD: 16,
  INITIATE_UP_LOAD: 17,
  UP_LOAD_SEGMENT: 18,
  TERMINATE_UP_LOAD: 19,
} as const

/** Groups of errors of a confirmed-service-error. */
export const ErrorGroup = {
  APPLICATION_REFERENCE: 0,
  HARDWARE_RESOURCE: 1,
  VDE_STATE_ERROR: 2,
  SERVICE: 3,
  DEFINITION: 4,
  ACCESS: 5,
  INITIATE: 6,
  LOAD_DATA_SET: 7,
  CHANGE_SCOPE: 8,
  TASK: 9,
  OTHER: 10,
} as const

/** Errors of the group `initiate`. */
export const InitiateError = {
  OTHER: 0,
  DLMS_VERSION_TOO_LOW: 1,
  INCOMPATIBLE_CONFORMANCE: 2,
  PDU_SIZE_TOO_SHORT: 3,
  REFUSED_BY_THE_VDE_HANDLER: 4,
} as const

// The names of the errors of each group; 0 is "other" in all of them.
const errorNames: readonly (readonly string[])[] = [
  [
    'time-elapsed',
    'application-unreachable',
    'application-reference-invalid',
    'application-context-unsupported',
    'provider-communication-error',
    'deciphering-error',
  ],
  [
    'memory-unavailable',
    'processor-resource-unavailable',
    'mass-storage-unavailable',
    'other-resource-unavailable',
  ],
  ['no-dlms-context', 'loading-data-set', 'status-nochange', 'status-inoperable'],
  ['pdu-size', 'service-unsupported'],
  ['object-undefined', 'object-class-inconsistent', 'object-attribute-inconsistent'],
  ['scope-of-access-violated', 'object-access-violated', 'hardware-fault', 'object-unavailable'],
  [
    'dlms-version-too-low',
    'incompatible-conformance',
    'pdu-size-too-short',
    'refused-by-the-vde-handler',
  ],
  [
    'primitive-out-of-sequence',
    'not-loadable',
    'dataset-size-too-large',
    'not-awaited-segment',
    'interpretation-failure',
    'storage-failure',
    'data-set-not-ready',
  ],
  [],
  ['no-remote-control', 'ti-stopped', 'ti-running', 'ti-unusable'],
  [],
]

/** `initiate: pdu-size-too-short (3)` of the group and error of a confirmed-service-error. */
export function nameOfServiceError(group: number, error: number): string {
  const name = error === 0 ? 'other' : errorNames[group]?.[error - 1]
  return `${nameOf(ErrorGroup, group).replace(/ .*/, '')}: ${name === undefined ? error : `${name} (${error})`}`
}

const groupAndError: Codec<{ group: number; error: number }> = {
  read: (reader) => ({ group: reader.octet(), error: reader.octet() }),
  write(out, { group, error }) {
    unsigned8.write(out, group)
    unsigned8.write(out, error)
  },
  show: ({ group, error }) => nameOfServiceError(group, error),
}

export const confirmedServiceError = service('confirmed-service-error', {
  service: enumerated(ConfirmedService),
  serviceError: groupAndError,
})
