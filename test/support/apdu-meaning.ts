/**
 * APDUs in the words of the shared vectors, so that each field can be held against what the vector
 * says.
 */
import { conformanceBits } from '../../core/dlms/apdu/constants.ts'
import type { Apdu } from '../../core/dlms/apdu/codec.ts'
import type { InformationApdu } from '../../core/dlms/apdu/information.ts'
import type { Datablock, DataResult } from '../../core/dlms/apdu/parts.ts'
import type { Ciphered } from '../../core/dlms/apdu/protected.ts'
import { decodeValue } from '../../core/dlms/axdr/axdr.ts'
import { decodeDescriptor } from '../../core/dlms/apdu/descriptor.ts'
import { meaningOf, type Meaning } from './dlms.ts'

const hex = (view: Buffer | undefined): string | undefined => view?.toString('hex')
const hexOrNull = (view: Buffer | undefined): string | null =>
  view === undefined || view.length === 0 ? null : view.toString('hex')
const data = (view: Buffer): unknown => meaningOf(decodeValue(view))
const dataOrNull = (view: Buffer | undefined): unknown => (view === undefined ? null : data(view))

function memberOf(view: Buffer, kind: 'attribute' | 'method'): Meaning {
  const { classId, instanceId, memberId } = decodeDescriptor(view)
  return { class: classId, instance: instanceId.replace(/[-:]/g, '.'), [kind]: memberId }
}

type Selected = { descriptorView: Buffer; selectionView?: Buffer | undefined }
function attributeOf({ descriptorView, selectionView }: Selected): Meaning {
  return {
    ...memberOf(descriptorView, 'attribute'),
    access_selection:
      selectionView === undefined
        ? null
        : { selector: selectionView[0], parameters: data(selectionView.subarray(1)) },
  }
}

function resultOf(result: DataResult): Meaning {
  return result.type === 'data' ? { data: data(result.valueView) } : { error: result.result }
}

function returnOf(result: DataResult | undefined): Meaning | null {
  return result === undefined ? null : resultOf(result)
}

function datablockOf({ lastBlock, blockNumber, rawDataView }: Datablock): Meaning {
  return { last: lastBlock, block: blockNumber, raw: hex(rawDataView) }
}

function invokeOf(octet: number): Meaning {
  return {
    invoke_id: octet & 15,
    confirmed: (octet & 0x40) !== 0,
    high_priority: (octet & 0x80) !== 0,
    self_descriptive: false,
    break_on_error: false,
  }
}

function longInvokeOf(octets: number): Meaning {
  return { long_invoke_id: octets & 0xff_ffff, flags: octets >>> 24 }
}

function conformanceOf(bits: number): Meaning {
  return { hex: bits.toString(16).padStart(6, '0'), bits: conformanceBits(bits) }
}

function cipheredOf({ securityControl, invocationCounter, contentView }: Ciphered): Meaning {
  return {
    security_control: {
      suite: securityControl & 15,
      authenticated: (securityControl & 0x10) !== 0,
      encrypted: (securityControl & 0x20) !== 0,
      broadcast_key: (securityControl & 0x40) !== 0,
      compressed: (securityControl & 0x80) !== 0,
    },
    invocation_counter: invocationCounter,
    content: hex(contentView),
  }
}

const contexts: (string | undefined)[] = [undefined, 'LN', 'SN', 'LN-ciphered', 'SN-ciphered']
const mechanisms = ['none', 'low', 'high', 'high-md5', 'high-sha1', 'high-gmac', 'high-sha256']

function contextOf(context: number | undefined): Meaning {
  return {
    application_context: contexts[context ?? 0],
    application_context_oid: context === undefined ? undefined : `0607608574050801${`0${context}`}`,
  }
}

/** The content octets of a bit string. */
function bitsOf(bits: string | undefined): string | undefined {
  if (bits === undefined) return undefined
  const padded = bits.padEnd(8 * Math.ceil(bits.length / 8), '0')
  const octets = Buffer.from((padded.match(/.{8}/g) ?? []).map((eight) => parseInt(eight, 2)))
  return Buffer.concat([Buffer.of(padded.length - bits.length), octets]).toString('hex')
}

function informationOf(apdu: InformationApdu | undefined): Meaning | undefined {
  if (apdu === undefined) return undefined
  const isInitiate = apdu.type.startsWith('initiate')
  return { [apdu.type]: { ...apduMeaning(apdu), ...(isInitiate && { trailing: null }) } }
}

/** The meaning of `apdu`; what is absent is undefined or null, as the vectors have it. */
export function apduMeaning(apdu: Apdu): Meaning {
  const invoke = 'invokeIdAndPriority' in apdu ? invokeOf(apdu.invokeIdAndPriority) : {}
  const longInvoke =
    'longInvokeIdAndPriority' in apdu ? longInvokeOf(apdu.longInvokeIdAndPriority) : {}
  return { ...invoke, ...longInvoke, ...fieldsOf(apdu) }
}

function fieldsOf(apdu: Apdu): Meaning {
  switch (apdu.type) {
    case 'get-request-normal':
      return { attribute: attributeOf(apdu) }
    case 'get-request-with-list':
      return { attributes: apdu.attributes.map(attributeOf) }
    case 'get-request-next':
    case 'set-response-datablock':
    case 'action-request-next-pblock':
    case 'action-response-next-pblock':
      return { block: apdu.blockNumber }
    case 'get-response-normal':
      return resultOf(apdu.result)
    case 'get-response-with-datablock': {
      const { lastBlock, blockNumber, result } = apdu.datablock
      const content =
        result.type === 'raw-data' ? { raw: hex(result.rawDataView) } : { error: result.result }
      return { last: lastBlock, block: blockNumber, ...content }
    }
    case 'get-response-with-list':
      return { results: apdu.results.map(resultOf) }
    case 'set-request-normal':
      return { attribute: attributeOf(apdu), value: data(apdu.valueView) }
    case 'set-request-with-first-datablock':
      return { attribute: attributeOf(apdu), datablock: datablockOf(apdu.datablock) }
    case 'set-request-with-datablock':
      return { datablock: datablockOf(apdu.datablock) }
    case 'set-request-with-list':
      return { attributes: apdu.attributes.map(attributeOf), values: apdu.valueViews.map(data) }
    case 'set-request-with-list-and-first-datablock':
      return {
        attributes: apdu.attributes.map(attributeOf),
        datablock: datablockOf(apdu.datablock),
      }
    case 'set-response-normal':
      return { result: apdu.result }
    case 'set-response-last-datablock':
      return { result: apdu.result, block: apdu.blockNumber }
    case 'set-response-last-datablock-with-list':
      return { results: apdu.results, block: apdu.blockNumber }
    case 'set-response-with-list':
      return { results: apdu.results }
    case 'action-request-normal':
      return {
        method: memberOf(apdu.descriptorView, 'method'),
        parameter: dataOrNull(apdu.parametersView),
      }
    case 'action-request-with-list':
      return {
        methods: apdu.descriptorViews.map((view) => memberOf(view, 'method')),
        parameters: apdu.parametersViews.map(data),
      }
    case 'action-request-with-first-pblock':
      return { method: memberOf(apdu.descriptorView, 'method'), pblock: datablockOf(apdu.pblock) }
    case 'action-request-with-list-and-first-pblock':
      return {
        methods: apdu.descriptorViews.map((view) => memberOf(view, 'method')),
        pblock: datablockOf(apdu.pblock),
      }
    case 'action-request-with-pblock':
    case 'action-response-with-pblock':
      return { pblock: datablockOf(apdu.pblock) }
    case 'action-response-normal':
      return { result: apdu.result, return: returnOf(apdu.returned) }
    case 'action-response-with-list':
      return {
        results: apdu.responses.map(({ result, returned }) => ({
          result,
          return: returnOf(returned),
        })),
      }
    case 'access-request':
      return {
        date_time: hexOrNull(apdu.dateTimeView),
        specifications: apdu.specifications.map(({ type, descriptorView }) => {
          const service = type.replace('access-request-', '')
          return {
            [service]: memberOf(descriptorView, service === 'action' ? 'method' : 'attribute'),
          }
        }),
        data: apdu.dataViews.map(data),
      }
    case 'access-response':
      return {
        date_time: hexOrNull(apdu.dateTimeView),
        data: apdu.dataViews.map(data),
        results: apdu.results.map(({ type, result }) => ({
          service: ['', 'get', 'set', 'action'].indexOf(type.replace('access-response-', '')),
          result,
        })),
      }
    case 'data-notification':
      return { date_time: hexOrNull(apdu.dateTimeView), body: data(apdu.valueView) }
    case 'event-notification-request':
      return {
        time: hexOrNull(apdu.timeView),
        attribute: memberOf(apdu.descriptorView, 'attribute'),
        value: data(apdu.valueView),
      }
    case 'general-block-transfer':
      return {
        last: (apdu.blockControl & 0x80) !== 0,
        streaming: (apdu.blockControl & 0x40) !== 0,
        window: apdu.blockControl & 0x3f,
        block: apdu.blockNumber,
        ack: apdu.blockNumberAck,
        data: hex(apdu.blockDataView),
      }
    case 'exception-response':
      return { state_error: apdu.stateError, service_error: apdu.serviceError.error }
    case 'confirmed-service-error':
      return {
        service: apdu.service,
        error_group: apdu.serviceError.group,
        error: apdu.serviceError.error,
      }
    case 'initiate-request':
      return {
        dedicated_key: hexOrNull(apdu.dedicatedKeyView),
        response_allowed: apdu.responseAllowed,
        qos: apdu.proposedQualityOfService ?? null,
        dlms_version: apdu.proposedDlmsVersionNumber,
        conformance: conformanceOf(apdu.proposedConformance),
        max_receive_pdu: apdu.clientMaxReceivePduSize,
      }
    case 'initiate-response':
      return {
        qos: apdu.negotiatedQualityOfService ?? null,
        dlms_version: apdu.negotiatedDlmsVersionNumber,
        conformance: conformanceOf(apdu.negotiatedConformance),
        max_receive_pdu: apdu.serverMaxReceivePduSize,
        vaa_name: apdu.vaaName,
      }
    case 'aarq':
      return {
        protocol_version: bitsOf(apdu.protocolVersion),
        ...contextOf(apdu.applicationContextName),
        calling_ap_title: hex(apdu.callingApTitleView),
        sender_acse_requirements: bitsOf(apdu.senderAcseRequirements),
        mechanism: mechanisms[apdu.mechanismName ?? -1],
        calling_authentication_value: hex(apdu.callingAuthenticationValue?.valueView),
        user_information: informationOf(apdu.userInformation),
      }
    case 'aare':
      return {
        protocol_version: bitsOf(apdu.protocolVersion),
        ...contextOf(apdu.applicationContextName),
        result: apdu.result,
        result_source_diagnostic: {
          source: apdu.resultSourceDiagnostic?.source,
          value: apdu.resultSourceDiagnostic?.diagnostic,
        },
        responding_ap_title: hex(apdu.respondingApTitleView),
        responder_acse_requirements: bitsOf(apdu.responderAcseRequirements),
        mechanism: mechanisms[apdu.mechanismName ?? -1],
        responding_authentication_value: hex(apdu.respondingAuthenticationValue?.valueView),
        user_information: informationOf(apdu.userInformation),
      }
    case 'rlrq':
    case 'rlre':
      return { reason: apdu.reason, user_information: informationOf(apdu.userInformation) }
    case 'general-glo-ciphering':
    case 'general-ded-ciphering':
      return { system_title: hex(apdu.systemTitleView), ...cipheredOf(apdu.ciphered) }
    case 'general-ciphering':
    case 'general-signing': {
      const header = {
        transaction_id: hex(apdu.transactionIdView),
        originator: hex(apdu.originatorSystemTitleView),
        recipient: hex(apdu.recipientSystemTitleView),
        date_time: hexOrNull(apdu.dateTimeView),
        other: hexOrNull(apdu.otherInformationView),
      }
      if (apdu.type === 'general-signing')
        return { ...header, content: hex(apdu.contentView), signature: hex(apdu.signatureView) }
      const agreed = apdu.keyInfo?.type === 'agreed-key' ? apdu.keyInfo : undefined
      return {
        ...header,
        key_info: {
          agreed_key: {
            parameters: hex(agreed?.keyParametersView),
            ciphered_data: hex(agreed?.keyCipheredDataView),
          },
        },
        ...cipheredOf(apdu.ciphered),
      }
    }
    default:
      if ('ciphered' in apdu) return cipheredOf(apdu.ciphered)
      // Short names: the shared vectors have none of them.
      throw new Error(`no words for ${apdu.type}`)
  }
}
