/**
 * Interface classes for access control and management: associations, SAP, image transfer, security,
 * push. [IEC 62056-6-2, 4.4]
 */
import { conformanceNames } from '../../apdu/constants.ts'
import type { AttributeTuple, ClassRow, MethodTuple } from '../class-row.ts'
import type { CosemType } from '../type.ts'
import { array, captureObject, choice, names, structure, zero } from './parts.ts'

// ── access rights ──
const attributeModes0 = names(['no_access', 'read_only', 'write_only', 'read_and_write'])
const attributeModes1 = names([
  'no_access', 'read_only', 'write_only', 'read_and_write',
  'authenticated_read_only', 'authenticated_write_only', 'authenticated_read_and_write',
])
const protections = ['authenticated_request', 'encrypted_request', 'digitally_signed_request', 'authenticated_response', 'encrypted_response', 'digitally_signed_response']
const attributeModes3: CosemType = { mask: ['read', 'write', ...protections], tag: 'enum' }
const methodModes0: CosemType = { enum: ['no_access', 'access'], tag: 'boolean' }
const methodModes1 = names(['no_access', 'access', 'authenticated_access'])
// Bit 1 is reserved.
const methodModes3: CosemType = { mask: ['access', 'reserved_1', ...protections], tag: 'enum' }

const attributeAccess = (mode: CosemType): CosemType =>
  array(structure({ attribute_id: 'integer', access_mode: mode, access_selectors: array('integer') }))
const methodAccess = (mode: CosemType): CosemType => array(structure({ method_id: 'integer', access_mode: mode }))

// ── 12: Association SN ──
const shortNameObject = structure({ base_name: 'long', class_id: 'long-unsigned', version: 'unsigned', logical_name: 'obis' })
const shortNameRights = (attribute: CosemType, method: CosemType): CosemType =>
  array(structure({ base_name: 'long', attribute_access: attributeAccess(attribute), method_access: methodAccess(method) }))
const user = structure({ user_id: 'unsigned', user_name: 'visible-string' })
const users: AttributeTuple[] = [['user_list', array(user), 'sw'], ['current_user', user, 'dr']]
const userMethods: MethodTuple[] = [['add_user', user], ['remove_user', user]]

const readByLogicalName: MethodTuple = ['read_by_logicalname', array(structure({ class_id: 'long-unsigned', logical_name: 'obis', attribute_index: 'integer' })), 'any']
const shortNameMethods: MethodTuple[] = [
  ['reserved_1', 'any'],
  ['reserved_2', 'any'],
  readByLogicalName,
  ['reserved_4', 'any'],
  ['change_secret', 'octet-string'],
  ['reserved_6', 'any'],
  ['reserved_7', 'any'],
  ['reply_to_HLS_authentication', 'octet-string', 'octet-string'],
]
const shortNameAttributes = (attribute: CosemType, method: CosemType): AttributeTuple[] => [
  ['object_list', array(shortNameObject), 'sr'],
  ['access_rights_list', shortNameRights(attribute, method), 'sr'],
  ['security_setup_reference', 'obis', 'sr'],
]

// ── 15: Association LN ──
const objectListElement = (attribute: CosemType, method: CosemType): CosemType =>
  structure({
    class_id: 'long-unsigned',
    version: 'unsigned',
    logical_name: 'obis',
    access_rights: structure({ attribute_access: attributeAccess(attribute), method_access: methodAccess(method) }),
  })
const objectIdentifier = (last: string): CosemType =>
  choice(
    structure({
      joint_iso_ctt_element: 'unsigned', country_element: 'unsigned', country_name_element: 'long-unsigned', identified_organization_element: 'unsigned',
      DLMS_UA_element: 'unsigned', [last.split(' ')[0]!]: 'unsigned', [last.split(' ')[1]!]: 'unsigned',
    }),
    'octet-string',
  )
const xdlmsContext = structure({
  conformance: { bits: conformanceNames },
  max_receive_pdu_size: 'long-unsigned',
  max_send_pdu_size: 'long-unsigned',
  dlms_version_number: 'unsigned',
  quality_of_service: 'integer',
  cyphering_info: 'octet-string',
})
const association = (element: CosemType, secret: string): AttributeTuple[] => [
  ['object_list', array(element), 'sr'],
  ['associated_partners_id', structure({ client_SAP: 'integer', server_SAP: 'long-unsigned' }), 'dr'],
  ['application_context_name', objectIdentifier('application_context_element context_id_element'), 'sr'],
  ['xDLMS_context_info', xdlmsContext, 'dr'],
  ['authentication_mechanism_name', objectIdentifier('authentication_mechanism_name_element mechanism_id_element'), 'sr'],
  [secret, 'octet-string', 'sw'],
  ['association_status', names(['non_associated', 'association_pending', 'associated']), 'dr'],
]
const associationMethods = (element: CosemType): MethodTuple[] => [
  ['reply_to_HLS_authentication', 'octet-string', 'octet-string'],
  ['change_HLS_secret', 'octet-string'],
  ['add_object', element],
  ['remove_object', element],
]
const [element0, element1, element3] = [
  objectListElement(attributeModes0, methodModes0),
  objectListElement(attributeModes1, methodModes1),
  objectListElement(attributeModes3, methodModes3),
]
const setupReference: AttributeTuple = ['security_setup_reference', 'obis', 'sr']

// ── 18: Image transfer ──
export const imageStatusNames = [
  'not_initiated', 'initiated', 'verification_initiated', 'verification_successful', 'verification_failed',
  'activation_initiated', 'activation_successful', 'activation_failed',
] as const
const sap = structure({ SAP: 'long-unsigned', logical_device_name: 'octets-text' })

// ── 64: Security setup ──
const suites = names(['AES_GCM_128', 'ECDH_ECDSA_AES_GCM_128_SHA_256', 'ECDH_ECDSA_AES_GCM_256_SHA_384'])
const policies0 = names(['none', 'authenticated', 'encrypted', 'authenticated_and_encrypted'])
const policies1: CosemType = { mask: ['reserved_0', 'reserved_1', ...protections], tag: 'enum' }
const keyIds = names(['global_unicast_encryption_key', 'global_broadcast_encryption_key', 'authentication_key', 'master_key'])
const keyPairs = names(['digital_signature', 'key_agreement', 'TLS'])
const wrappedKeys = array(structure({ key_id: keyIds, key_wrapped: 'octet-string' }))
const agreedKeys = array(structure({ key_id: keyIds, key_data: 'octet-string' }))
const entities = names(['server', 'client', 'certification_authority', 'other'])
const certificateTypes = names(['digital_signature', 'key_agreement', 'TLS', 'other'])
const certificateIdentification = structure({
  certificate_identification_type: names(['certificate_entity', 'certificate_serial_number']),
  certification_identification_options: choice(
    structure({ certificate_entity: entities, certificate_type: certificateTypes, system_title: 'octet-string' }),
    structure({ serial_number: 'octet-string', issuer: 'octet-string' }),
  ),
})
const certificate = structure({
  certificate_entity: entities,
  certificate_type: certificateTypes,
  serial_number: 'octet-string',
  issuer: 'octet-string',
  subject: 'octet-string',
  subject_alt_name: 'octet-string',
})
const securityAttributes = (policy: CosemType): AttributeTuple[] => [
  ['security_policy', policy, 'sr'],
  ['security_suite', suites, 'sr'],
  ['client_system_title', 'octet-string', 'dw'],
  ['server_system_title', 'octet-string', 'sr'],
]

// ── 40: Push setup ──
const transports = names({
  0: 'TCP', 1: 'UDP', 2: 'FTP', 3: 'SMTP', 4: 'SMS', 5: 'HDLC', 6: 'M_Bus', 7: 'ZigBee', 8: 'DLMS_gateway', 9: 'reliable_CoAP', 10: 'unreliable_CoAP',
})
const destination = structure({ transport_service: transports, destination: 'octets-text', message: names({ 0: 'A_XDR_encoded_xDLMS_APDU', 1: 'XML_encoded_xDLMS_APDU' }) })
const window = structure({ start_time: 'octets-date-time', end_time: 'octets-date-time' })
const restriction = structure({ restriction_type: names(['none', 'date', 'entry']), restriction_value: 'any' })
const keyInformation = structure({
  key_info_type: names(['identified_key', 'wrapped_key', 'agreed_key']),
  key_info_options: choice(
    names(['global_unicast_encryption_key', 'global_broadcast_encryption_key']),
    structure({ kek_id: names(['master_key']), key_ciphered_data: 'octet-string' }),
    structure({ key_parameters: 'octet-string', key_ciphered_data: 'octet-string' }),
  ),
})
const pushProtection = structure({
  protection_type: names({ 0: 'authentication', 1: 'encryption', 2: 'authentication_and_encryption', 3: 'digital_signature' }),
  protection_options: structure({
    transaction_id: 'octet-string', originator_system_title: 'octet-string', recipient_system_title: 'octet-string', other_information: 'octet-string',
    key_info: keyInformation,
  }),
})
const pushObject = { class_id: 'long-unsigned', logical_name: 'obis', attribute_index: 'integer', data_index: 'long-unsigned' } as const
const repetition = structure({ repetition_delay_min: 'long-unsigned', repetition_delay_exponent: 'long-unsigned', repetition_delay_max: 'long-unsigned' })
const push = (object: CosemType, delay: CosemType): AttributeTuple[] => [
  ['push_object_list', array(object), 'sw'],
  ['send_destination_and_method', destination, 'sw'],
  ['communication_window', array(window), 'sw'],
  ['randomisation_start_interval', 'long-unsigned', 'sw'],
  ['number_of_retries', 'unsigned', 'sw'],
  ['repetition_delay', delay, 'sw'],
]
const pushPort: AttributeTuple[] = [
  ['port_reference', 'obis', 'sw'],
  ['push_client_SAP', 'integer', 'sw'],
  ['push_protection_parameters', array(pushProtection), 'sw'],
]
const pushConfirmation: AttributeTuple[] = [
  ['push_operation_method', names(['unconfirmed_retry_on_failure', 'unconfirmed_retry_on_missing_confirmation', 'confirmed']), 'sw'],
  ['confirmation_parameters', structure({ confirmation_start_date: 'octets-date-time', confirmation_interval: 'double-long-unsigned' }), 'sw'],
  ['last_confirmation_date_time', 'date-time', 'dr'],
]

export const accessControlClasses: readonly ClassRow[] = [
  {
    id: 12, versions: [0], name: 'Association SN', attributes: [['object_list', array(shortNameObject), 'sr']],
    methods: [
      ['getlist_by_classid', 'long-unsigned', array(shortNameObject)],
      ['getobj_by_logicalname', structure({ class_id: 'long-unsigned', logical_name: 'obis' }), shortNameObject],
      readByLogicalName,
      ['get_attributes_and_services', 'any', 'any'],
      ['change_LLS_secret', 'octet-string'],
      ['change_HLS_secret', 'octet-string'],
      ['reserved_7', 'any'],
      ['reply_to_HLS_authentication', 'octet-string', 'octet-string'],
    ],
    methodsAt: 0x20,
  },
  { id: 12, versions: [1], name: 'Association SN', attributes: [['object_list', array(shortNameObject), 'sr']], methods: shortNameMethods, methodsAt: 0x20 },
  { id: 12, versions: [2], name: 'Association SN', attributes: shortNameAttributes(attributeModes1, methodModes1), methods: shortNameMethods, methodsAt: 0x20 },
  { id: 12, versions: [3], name: 'Association SN', attributes: [...shortNameAttributes(attributeModes1, methodModes1), ...users], methods: [...shortNameMethods, ...userMethods], methodsAt: 0x20 },
  { id: 12, versions: [4], name: 'Association SN', attributes: [...shortNameAttributes(attributeModes3, methodModes3), ...users], methods: [...shortNameMethods, ...userMethods], methodsAt: 0x20 },
  { id: 15, versions: [0], name: 'Association LN', attributes: association(element0, 'LLS_secret'), methods: associationMethods(element0) },
  { id: 15, versions: [1], name: 'Association LN', attributes: [...association(element1, 'secret'), setupReference], methods: associationMethods(element1) },
  { id: 15, versions: [2], name: 'Association LN', attributes: [...association(element1, 'secret'), setupReference, ...users], methods: [...associationMethods(element1), ...userMethods] },
  { id: 15, versions: [3], name: 'Association LN', attributes: [...association(element3, 'secret'), setupReference, ...users], methods: [...associationMethods(element3), ...userMethods] },
  { id: 17, versions: [0], name: 'SAP assignment', attributes: [['SAP_assignment_list', array(sap), 'sw']], methods: [['connect_logical_device', sap]], methodsAt: 0x20 },
  {
    id: 18, versions: [0], name: 'Image transfer',
    attributes: [
      ['image_block_size', 'double-long-unsigned', 'sr'],
      ['image_transferred_blocks_status', 'bit-string', 'dr'],
      ['image_first_not_transferred_block_number', 'double-long-unsigned', 'dr'],
      ['image_transfer_enabled', 'boolean', 'sw'],
      ['image_transfer_status', names(imageStatusNames), 'dr'],
      [
        'image_to_activate_info',
        array(structure({ image_to_activate_size: 'double-long-unsigned', image_to_activate_identification: 'octet-string', image_to_activate_signature: 'octet-string' })),
        'dr',
      ],
    ],
    methods: [
      ['image_transfer_initiate', structure({ image_identifier: 'octet-string', image_size: 'double-long-unsigned' })],
      ['image_block_transfer', structure({ image_block_number: 'double-long-unsigned', image_block_value: 'octet-string' })],
      ['image_verify', zero],
      ['image_activate', zero],
    ],
    methodsAt: 0x40,
  },
  {
    id: 40, versions: [0], name: 'Push setup',
    attributes: push(captureObject, 'long-unsigned'), methods: [['push', zero]],
  },
  { id: 40, versions: [1], name: 'Push setup', attributes: [...push(captureObject, 'long-unsigned'), ...pushPort], methods: [['push', zero]] },
  {
    id: 40, versions: [2], name: 'Push setup',
    attributes: [...push(structure({ ...pushObject, restriction }), repetition), ...pushPort, ...pushConfirmation], methods: [['push', zero], ['reset', zero]],
  },
  {
    id: 40, versions: [3], name: 'Push setup',
    attributes: [...push(structure({ ...pushObject, restriction, columns: array(captureObject) }), repetition), ...pushPort, ...pushConfirmation],
    methods: [['push', zero], ['reset', zero]],
  },
  {
    id: 64, versions: [0], name: 'Security setup', attributes: securityAttributes(policies0),
    methods: [['security_activate', policies0], ['global_key_transfer', wrappedKeys]],
  },
  {
    id: 64, versions: [1], name: 'Security setup', attributes: [...securityAttributes(policies1), ['certificates', array(certificate), 'dr']],
    methods: [
      ['security_activate', policies1],
      ['key_transfer', wrappedKeys],
      ['key_agreement', agreedKeys, agreedKeys],
      ['generate_key_pair', keyPairs],
      ['generate_certificate_request', keyPairs, 'octet-string'],
      ['import_certificate', 'octet-string'],
      ['export_certificate', certificateIdentification, 'octet-string'],
      ['remove_certificate', certificateIdentification],
    ],
  },
]
