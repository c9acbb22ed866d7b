/**
 * Operations on a Security setup object, and what they give back; octets of keys and certificates
 * are made and checked elsewhere. [IEC 62056-6-2, Security setup (class_id 64), versions 0 and 1]
 */
import { asBuffer } from '../../base/bytes.ts'
import type { CosemOperation } from '../../ports/wan.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { decodeValue, Tag } from '../axdr/axdr.ts'
import { KeyId } from '../security/suite.ts'
import { invokeOperation, type CosemObject } from './operation.ts'
import type { Json } from './type.ts'

/** `octets`: a wrapped key for a transfer; public key and signature for an agreement. */
export type KeyOctets = { keyId: KeyId; octets: Uint8Array }

/** What a key pair, or a certificate, is for. */
export type KeyPairUse = 'digital_signature' | 'key_agreement' | 'TLS'

/** A certificate by whom and what it is for, or by its serial number. */
export type CertificateName =
  | {
      entity: 'server' | 'client' | 'certification_authority' | 'other'
      use: KeyPairUse | 'other'
      systemTitle: Uint8Array
    }
  | { serialNumber: Uint8Array; issuer: Uint8Array }

/**
 * A Security setup; `version` as the object list says it, because version 0 and 1 take different
 * policies and methods.
 */
export type SecuritySetup = { instanceId: string; version: 0 | 1 }

const classId = 64
/** Method numbers that both versions share. */
const activateMethod = 1
const transferMethod = 2

const objectOf = (setup: SecuritySetup): CosemObject => ({ classId, ...setup })
const hexOf = (octets: Uint8Array): string => asBuffer(octets).toString('hex')

/**
 * security_activate. `policy` in version 0: 0 none, 1 authenticated, 2 encrypted, 3 both; in
 * version 1 the bits of security_policy.
 */
export function activatePolicy(setup: SecuritySetup, policy: number): CosemOperation {
  const parameter: Json = { axdr: 'enum', value: policy }
  return invokeOperation(objectOf(setup), activateMethod, parameter)
}

/** key_transfer (global_key_transfer in version 0): keys wrapped with the master key. */
export function transferKeys(setup: SecuritySetup, keys: readonly KeyOctets[]): CosemOperation {
  return invokeOperation(
    objectOf(setup),
    transferMethod,
    keys.map(({ keyId, octets }) => ({ key_id: keyId, key_wrapped: hexOf(octets) })),
  )
}

/** key_agreement: for each key the ephemeral public key and its signature. Version 1. */
export function agreeKeys(setup: SecuritySetup, keys: readonly KeyOctets[]): CosemOperation {
  return invokeOperation(
    objectOf(setup),
    'key_agreement',
    keys.map(({ keyId, octets }) => ({ key_id: keyId, key_data: hexOf(octets) })),
  )
}

/**
 * What key_agreement gives back: the device's public keys and signatures. @throws BrokerError as
 * `decodeValue`, DLMS_VALUE_INVALID
 */
export function decodeAgreedKeys(view: Buffer): KeyOctets[] {
  const list = decodeValue(view)
  if (list.tag !== Tag.ARRAY)
    throw new BrokerError('DLMS_VALUE_INVALID', 'agreed keys are no array')
  return list.elements.map((element, i) => {
    const [id, octets] = element.tag === Tag.STRUCTURE ? element.elements : []
    const isKnown = id?.tag === Tag.ENUM && Object.values(KeyId).includes(id.value as KeyId)
    if (!isKnown || octets?.tag !== Tag.OCTET_STRING)
      throw new BrokerError('DLMS_VALUE_INVALID', `agreed key ${i}`)
    return { keyId: id.value as KeyId, octets: octets.value }
  })
}

/** generate_key_pair. Version 1, as those below. */
export function generateKeyPair(setup: SecuritySetup, use: KeyPairUse): CosemOperation {
  return invokeOperation(objectOf(setup), 'generate_key_pair', use)
}

/** generate_certificate_request; gives a PKCS#10 request in DER back. */
export function requestCertificateSigning(setup: SecuritySetup, use: KeyPairUse): CosemOperation {
  return invokeOperation(objectOf(setup), 'generate_certificate_request', use)
}

/** import_certificate. `certificate` is X.509 v3 in DER. */
export function importCertificate(setup: SecuritySetup, certificate: Uint8Array): CosemOperation {
  return invokeOperation(objectOf(setup), 'import_certificate', hexOf(certificate))
}

/** export_certificate; gives X.509 v3 in DER back. */
export function exportCertificate(setup: SecuritySetup, name: CertificateName): CosemOperation {
  return invokeOperation(objectOf(setup), 'export_certificate', certificateJson(name))
}

/** remove_certificate. */
export function removeCertificate(setup: SecuritySetup, name: CertificateName): CosemOperation {
  return invokeOperation(objectOf(setup), 'remove_certificate', certificateJson(name))
}

/**
 * DER octets that generate_certificate_request and export_certificate give back. @throws
 * BrokerError as `decodeValue`, DLMS_VALUE_INVALID
 */
export function decodeDer(view: Buffer): Buffer {
  const value = decodeValue(view)
  if (value.tag !== Tag.OCTET_STRING) throw new BrokerError('DLMS_VALUE_INVALID', 'no octet-string')
  return value.value
}

function certificateJson(name: CertificateName): Json {
  if ('serialNumber' in name)
    return {
      certificate_identification_type: 'certificate_serial_number',
      certification_identification_options: {
        serial_number: hexOf(name.serialNumber),
        issuer: hexOf(name.issuer),
      },
    }
  return {
    certificate_identification_type: 'certificate_entity',
    certification_identification_options: {
      certificate_entity: name.entity,
      certificate_type: name.use,
      system_title: hexOf(name.systemTitle),
    },
  }
}
