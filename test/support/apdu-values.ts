/**
 * APDUs of any kind with any fields, for properties: one recipe a type, so that a new type is
 * missed by the compiler.
 */
import fc from 'fast-check'
import type { Apdu, ApduOf } from '../../core/dlms/apdu/codec.ts'
import type { Ciphered, CipheredServiceType } from '../../core/dlms/apdu/protected.ts'
import type { InformationApdu } from '../../core/dlms/apdu/information.ts'
import { encodeValue } from '../../core/dlms/axdr/axdr.ts'
import { octets, values } from './dlms.ts'

const unsigned8 = fc.nat({ max: 0xff })
const unsigned16 = fc.nat({ max: 0xffff })
const unsigned32 = fc.nat({ max: 0xffff_ffff })
const signed8 = fc.integer({ min: -0x80, max: 0x7f })
const some = octets(0, 200)
const absent = fc.constant(undefined)
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof(arbitrary, absent)
const few = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.array(arbitrary, { maxLength: 4 })

const valueView = values.map(encodeValue)
const descriptorView = octets(9)
const selectionView = fc
  .tuple(unsigned8, valueView)
  .map(([selector, view]) => Buffer.concat([Buffer.of(selector), view]))
const dateTimeView = fc.oneof(octets(0), octets(12))
const invokeIdAndPriority = unsigned8
const longInvokeIdAndPriority = unsigned32

const dataResult = fc.oneof(
  fc.record({ type: fc.constant('data' as const), valueView }),
  fc.record({ type: fc.constant('data-access-result' as const), result: unsigned8 }),
)
const datablock = fc.record({ lastBlock: fc.boolean(), blockNumber: unsigned32, rawDataView: some })
const resultDatablock = fc.record({
  lastBlock: fc.boolean(),
  blockNumber: unsigned32,
  result: fc.oneof(
    fc.record({ type: fc.constant('raw-data' as const), rawDataView: some }),
    fc.record({ type: fc.constant('data-access-result' as const), result: unsigned8 }),
  ),
})
const attribute = fc.record({ descriptorView, selectionView: maybe(selectionView) })

const accessSpecification = fc.oneof(
  fc.record({
    type: fc.constantFrom(
      'access-request-get' as const,
      'access-request-set' as const,
      'access-request-action' as const,
    ),
    descriptorView,
  }),
  fc.record({
    type: fc.constantFrom(
      'access-request-get-with-selection' as const,
      'access-request-set-with-selection' as const,
    ),
    descriptorView,
    selectionView,
  }),
)
const accessResult = fc.record({
  type: fc.constantFrom(
    'access-response-get' as const,
    'access-response-set' as const,
    'access-response-action' as const,
  ),
  result: unsigned8,
})

const block16 = { lastBlock: fc.boolean(), blockNumber: unsigned16 }
const variableAccess = fc.oneof(
  fc.record({ type: fc.constant('variable-name' as const), variableName: unsigned16 }),
  fc.record({
    type: fc.constant('parameterized-access' as const),
    variableName: unsigned16,
    selector: unsigned8,
    parameterView: valueView,
  }),
  fc.record({ type: fc.constant('block-number-access' as const), blockNumber: unsigned16 }),
  fc.record({
    type: fc.constant('read-data-block-access' as const),
    ...block16,
    rawDataView: some,
  }),
  fc.record({ type: fc.constant('write-data-block-access' as const), ...block16 }),
)
const dataAccessError = fc.record({
  type: fc.constant('data-access-error' as const),
  result: unsigned8,
})
const blockNumber = fc.record({
  type: fc.constant('block-number' as const),
  blockNumber: unsigned16,
})
const readResult = fc.oneof(
  fc.record({ type: fc.constant('data' as const), valueView }),
  dataAccessError,
  fc.record({ type: fc.constant('data-block-result' as const), ...block16, rawDataView: some }),
  blockNumber,
)
const writeResult = fc.oneof(
  fc.record({ type: fc.constant('success' as const) }),
  dataAccessError,
  blockNumber,
)

const ciphered: fc.Arbitrary<Ciphered> = fc.record({
  securityControl: unsigned8,
  invocationCounter: unsigned32,
  contentView: some,
})
const generalHeader = {
  transactionIdView: octets(0, 8),
  originatorSystemTitleView: octets(8),
  recipientSystemTitleView: octets(0, 8),
  dateTimeView,
  otherInformationView: some,
}
const keyInfo = fc.oneof(
  fc.record({ type: fc.constant('identified-key' as const), keyId: unsigned8 }),
  fc.record({
    type: fc.constant('wrapped-key' as const),
    kekId: unsigned8,
    keyCipheredDataView: some,
  }),
  fc.record({
    type: fc.constant('agreed-key' as const),
    keyParametersView: octets(1),
    keyCipheredDataView: some,
  }),
)

const conformance = fc.nat({ max: 0xff_ffff })
const serviceError = fc.record({ group: unsigned8, error: unsigned8 })
const exceptionError = fc.oneof(
  fc.record({ error: unsigned8, invocationCounter: absent }),
  fc.record({ error: fc.constant(6), invocationCounter: unsigned32 }),
)

const serviceTypes: readonly CipheredServiceType[] = ['initiate-request', 'read-request']
  .concat(['write-request', 'initiate-response', 'read-response', 'write-response'])
  .concat(['confirmed-service-error', 'unconfirmed-write-request', 'information-report-request'])
  .concat(['get-request', 'set-request', 'event-notification-request', 'action-request'])
  .concat(['get-response', 'set-response', 'action-response'])
  .flatMap((name) => [`glo-${name}`, `ded-${name}`] as CipheredServiceType[])

const of =
  <T extends Apdu['type']>(type: T) =>
  (fields: { [K in Exclude<keyof ApduOf<T>, 'type'>]-?: fc.Arbitrary<ApduOf<T>[K]> }): fc.Arbitrary<
    ApduOf<T>
  > =>
    fc.record({ type: fc.constant(type), ...fields }) as unknown as fc.Arbitrary<ApduOf<T>>

const initiateRequest = of('initiate-request')({
  dedicatedKeyView: maybe(octets(16)),
  responseAllowed: fc.boolean(),
  proposedQualityOfService: maybe(signed8),
  proposedDlmsVersionNumber: unsigned8,
  proposedConformance: conformance,
  clientMaxReceivePduSize: unsigned16,
})
const initiateResponse = of('initiate-response')({
  negotiatedQualityOfService: maybe(signed8),
  negotiatedDlmsVersionNumber: unsigned8,
  negotiatedConformance: conformance,
  serverMaxReceivePduSize: unsigned16,
  vaaName: unsigned16,
})
const confirmedServiceError = of('confirmed-service-error')({ service: unsigned8, serviceError })
const generalGloCiphering = of('general-glo-ciphering')({ systemTitleView: octets(8), ciphered })
const cipheredService = fc.record({ type: fc.constantFrom(...serviceTypes), ciphered })

const userInformation = maybe(
  fc.oneof(
    initiateRequest,
    initiateResponse,
    confirmedServiceError,
    generalGloCiphering,
    cipheredService,
  ) as fc.Arbitrary<InformationApdu>,
)
const bits = fc
  .array(fc.constantFrom('0', '1'), { maxLength: 20 })
  .map((characters) => characters.join(''))
const authenticationValue = maybe(
  fc.record({
    type: fc.constantFrom(
      'charstring' as const,
      'bitstring' as const,
      'external' as const,
      'other' as const,
    ),
    valueView: some,
  }),
)
const invocationId = maybe(fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }))

type Recipes = {
  [T in Exclude<Apdu['type'], CipheredServiceType>]: fc.Arbitrary<ApduOf<T>>
}
const recipes: Recipes = {
  'initiate-request': initiateRequest,
  'initiate-response': initiateResponse,
  'confirmed-service-error': confirmedServiceError,
  'general-glo-ciphering': generalGloCiphering,
  'general-ded-ciphering': of('general-ded-ciphering')({ systemTitleView: octets(8), ciphered }),
  'general-ciphering': of('general-ciphering')({
    ...generalHeader,
    keyInfo: maybe(keyInfo),
    ciphered,
  }),
  'general-signing': of('general-signing')({
    ...generalHeader,
    contentView: some,
    signatureView: octets(64),
  }),
  'general-block-transfer': of('general-block-transfer')({
    blockControl: unsigned8,
    blockNumber: unsigned16,
    blockNumberAck: unsigned16,
    blockDataView: some,
  }),
  'exception-response': of('exception-response')({
    stateError: unsigned8,
    serviceError: exceptionError,
  }),
  'read-request': of('read-request')({ specifications: few(variableAccess) }),
  'read-response': of('read-response')({ results: few(readResult) }),
  'write-request': of('write-request')({
    specifications: few(variableAccess),
    dataViews: few(valueView),
  }),
  'write-response': of('write-response')({ results: few(writeResult) }),
  'unconfirmed-write-request': of('unconfirmed-write-request')({
    specifications: few(variableAccess),
    dataViews: few(valueView),
  }),
  'information-report-request': of('information-report-request')({
    currentTimeView: maybe(octets(15)),
    specifications: few(variableAccess),
    dataViews: few(valueView),
  }),
  'data-notification': of('data-notification')({
    longInvokeIdAndPriority,
    dateTimeView,
    valueView,
  }),
  'data-notification-confirm': of('data-notification-confirm')({
    longInvokeIdAndPriority,
    dateTimeView,
  }),
  'event-notification-request': of('event-notification-request')({
    timeView: maybe(octets(12)),
    descriptorView,
    valueView,
  }),
  'get-request-normal': of('get-request-normal')({
    invokeIdAndPriority,
    descriptorView,
    selectionView: maybe(selectionView),
  }),
  'get-request-next': of('get-request-next')({ invokeIdAndPriority, blockNumber: unsigned32 }),
  'get-request-with-list': of('get-request-with-list')({
    invokeIdAndPriority,
    attributes: few(attribute),
  }),
  'get-response-normal': of('get-response-normal')({ invokeIdAndPriority, result: dataResult }),
  'get-response-with-datablock': of('get-response-with-datablock')({
    invokeIdAndPriority,
    datablock: resultDatablock,
  }),
  'get-response-with-list': of('get-response-with-list')({
    invokeIdAndPriority,
    results: few(dataResult),
  }),
  'set-request-normal': of('set-request-normal')({
    invokeIdAndPriority,
    descriptorView,
    selectionView: maybe(selectionView),
    valueView,
  }),
  'set-request-with-first-datablock': of('set-request-with-first-datablock')({
    invokeIdAndPriority,
    descriptorView,
    selectionView: maybe(selectionView),
    datablock,
  }),
  'set-request-with-datablock': of('set-request-with-datablock')({
    invokeIdAndPriority,
    datablock,
  }),
  'set-request-with-list': of('set-request-with-list')({
    invokeIdAndPriority,
    attributes: few(attribute),
    valueViews: few(valueView),
  }),
  'set-request-with-list-and-first-datablock': of('set-request-with-list-and-first-datablock')({
    invokeIdAndPriority,
    attributes: few(attribute),
    datablock,
  }),
  'set-response-normal': of('set-response-normal')({ invokeIdAndPriority, result: unsigned8 }),
  'set-response-datablock': of('set-response-datablock')({
    invokeIdAndPriority,
    blockNumber: unsigned32,
  }),
  'set-response-last-datablock': of('set-response-last-datablock')({
    invokeIdAndPriority,
    result: unsigned8,
    blockNumber: unsigned32,
  }),
  'set-response-last-datablock-with-list': of('set-response-last-datablock-with-list')({
    invokeIdAndPriority,
    results: few(unsigned8),
    blockNumber: unsigned32,
  }),
  'set-response-with-list': of('set-response-with-list')({
    invokeIdAndPriority,
    results: few(unsigned8),
  }),
  'action-request-normal': of('action-request-normal')({
    invokeIdAndPriority,
    descriptorView,
    parametersView: maybe(valueView),
  }),
  'action-request-next-pblock': of('action-request-next-pblock')({
    invokeIdAndPriority,
    blockNumber: unsigned32,
  }),
  'action-request-with-list': of('action-request-with-list')({
    invokeIdAndPriority,
    descriptorViews: few(descriptorView),
    parametersViews: few(valueView),
  }),
  'action-request-with-first-pblock': of('action-request-with-first-pblock')({
    invokeIdAndPriority,
    descriptorView,
    pblock: datablock,
  }),
  'action-request-with-list-and-first-pblock': of('action-request-with-list-and-first-pblock')({
    invokeIdAndPriority,
    descriptorViews: few(descriptorView),
    pblock: datablock,
  }),
  'action-request-with-pblock': of('action-request-with-pblock')({
    invokeIdAndPriority,
    pblock: datablock,
  }),
  'action-response-normal': of('action-response-normal')({
    invokeIdAndPriority,
    result: unsigned8,
    returned: maybe(dataResult),
  }),
  'action-response-with-pblock': of('action-response-with-pblock')({
    invokeIdAndPriority,
    pblock: datablock,
  }),
  'action-response-with-list': of('action-response-with-list')({
    invokeIdAndPriority,
    responses: few(fc.record({ result: unsigned8, returned: maybe(dataResult) })),
  }),
  'action-response-next-pblock': of('action-response-next-pblock')({
    invokeIdAndPriority,
    blockNumber: unsigned32,
  }),
  'access-request': of('access-request')({
    longInvokeIdAndPriority,
    dateTimeView,
    specifications: few(accessSpecification),
    dataViews: few(valueView),
  }),
  'access-response': of('access-response')({
    longInvokeIdAndPriority,
    dateTimeView,
    specifications: maybe(few(accessSpecification)),
    dataViews: few(valueView),
    results: few(accessResult),
  }),
  aarq: of('aarq')({
    protocolVersion: maybe(bits),
    applicationContextName: maybe(unsigned8),
    calledApTitleView: maybe(some),
    calledAeQualifierView: maybe(some),
    calledApInvocationId: invocationId,
    calledAeInvocationId: invocationId,
    callingApTitleView: maybe(some),
    callingAeQualifierView: maybe(some),
    callingApInvocationId: invocationId,
    callingAeInvocationId: invocationId,
    senderAcseRequirements: maybe(bits),
    mechanismName: maybe(unsigned8),
    callingAuthenticationValue: authenticationValue,
    implementationInformationView: maybe(some),
    userInformation,
  }),
  aare: of('aare')({
    protocolVersion: maybe(bits),
    applicationContextName: maybe(unsigned8),
    result: maybe(signed8),
    resultSourceDiagnostic: maybe(
      fc.record({
        source: fc.constantFrom('acse-service-user' as const, 'acse-service-provider' as const),
        diagnostic: signed8,
      }),
    ),
    respondingApTitleView: maybe(some),
    respondingAeQualifierView: maybe(some),
    respondingApInvocationId: invocationId,
    respondingAeInvocationId: invocationId,
    responderAcseRequirements: maybe(bits),
    mechanismName: maybe(unsigned8),
    respondingAuthenticationValue: authenticationValue,
    implementationInformationView: maybe(some),
    userInformation,
  }),
  rlrq: of('rlrq')({ reason: maybe(signed8), userInformation }),
  rlre: of('rlre')({ reason: maybe(signed8), userInformation }),
}

/** Any APDU; a field that is absent is undefined. */
export const apdus: fc.Arbitrary<Apdu> = fc.oneof(
  ...(Object.values(recipes) as fc.Arbitrary<Apdu>[]),
  cipheredService as fc.Arbitrary<Apdu>,
)
/** How many types of APDU there are. */
export const apduTypeCount: number = Object.keys(recipes).length + serviceTypes.length
