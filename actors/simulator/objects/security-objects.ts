/**
 * Objects of a meter under a security suite: its security setup (class 64), and the object that
 * tells the public client the invocation counter received last. [IEC 62056-6-2, Security setup
 * version 1; IEC 62056-5-3, 5.3.5 key management]
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import {
  ephemeralUnifiedKey,
  KeyId,
  openEphemeralKey,
  securityPolicyValue,
  signedEphemeralKey,
} from '../../../core/dlms/security/index.ts'
import { PrivateKey, unwrapKey, type SecretKey } from '../../../core/crypto/crypto.ts'
import { simulatedClientTitle } from '../model/meter-keys.ts'
import type { MeterSecurity } from '../model/meter-security.ts'
import { cosemObject, encoded, type Outcome, type SimulatedObject } from './cosem-object.ts'

/** An array of structures of a key id and octets: what key_transfer and key_agreement take. */
function keyParts(parameterView: Buffer | undefined): Map<KeyId, Buffer> | undefined {
  const array = parameterView && valueOf(parameterView)
  if (array?.tag !== Tag.ARRAY || array.elements.length === 0) return undefined
  const parts = new Map<KeyId, Buffer>()
  for (const element of array.elements) {
    if (element.tag !== Tag.STRUCTURE || element.elements.length !== 2) return undefined
    const [id, content] = element.elements
    if (id?.tag !== Tag.ENUM || id.value > KeyId.MASTER || content?.tag !== Tag.OCTET_STRING)
      return undefined
    parts.set(id.value as KeyId, content.value)
  }
  return parts
}

function valueOf(view: Buffer): AxdrValue | undefined {
  try {
    return decodeValue(view)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return undefined
  }
}

function transferKeys(security: MeterSecurity, parameterView: Buffer | undefined): Outcome {
  const parts = keyParts(parameterView)
  if (parts === undefined) return DataAccessResult.TYPE_UNMATCHED
  const fresh = new Map<KeyId, SecretKey>()
  for (const [id, wrappedView] of parts) {
    const key = unwrapKey(security.keys.master, wrappedView)
    if (key?.bytes !== security.suite.keyBytes) return DataAccessResult.READ_WRITE_DENIED
    fresh.set(id, key)
  }
  security.replace(fresh)
  return DataAccessResult.SUCCESS
}

function agreeKeys(security: MeterSecurity, parameterView: Buffer | undefined): Outcome {
  const { suite, keys, title } = security
  const parts = keyParts(parameterView)
  if (parts === undefined) return DataAccessResult.TYPE_UNMATCHED
  if (suite.curve === undefined) return DataAccessResult.READ_WRITE_DENIED
  const fresh = new Map<KeyId, SecretKey>()
  const answers: AxdrValue[] = []
  try {
    for (const [id, keyView] of parts) {
      const theirs = openEphemeralKey(suite, id, keyView, keys.peerSigning!)
      const ours = PrivateKey.generate(suite.curve)
      fresh.set(
        id,
        ephemeralUnifiedKey(suite, id, ours, theirs, {
          client: simulatedClientTitle,
          server: title,
        }),
      )
      const value = signedEphemeralKey(id, ours.publicKey, keys.signing!)
      answers.push({
        tag: Tag.STRUCTURE,
        elements: [
          { tag: Tag.ENUM, value: id },
          { tag: Tag.OCTET_STRING, value },
        ],
      })
    }
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return DataAccessResult.READ_WRITE_DENIED
  }
  security.replace(fresh)
  const value = encodeValue({ tag: Tag.ARRAY, elements: answers })
  return { result: DataAccessResult.SUCCESS, value }
}

function activatePolicy(security: MeterSecurity, parameterView: Buffer | undefined): Outcome {
  const policy = parameterView && valueOf(parameterView)
  if (policy?.tag !== Tag.ENUM) return DataAccessResult.TYPE_UNMATCHED
  const asked = securityPolicyValue(1, security.policy) | policy.value
  // Protection is never taken away. [IEC 62056-6-2, security_activate]
  if (asked !== policy.value) return DataAccessResult.READ_WRITE_DENIED
  try {
    security.activate(policy.value)
    return DataAccessResult.SUCCESS
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return DataAccessResult.READ_WRITE_DENIED
  }
}

const octetString = (octetsView: Buffer): Buffer => encoded((w) => w.octetString(octetsView))
const noCertificates = encoded((w) => w.array(0))

const securitySetup = cosemObject({
  obis: '0-0:43.0.0.255',
  classId: 64,
  version: 1,
  attributeMax: 6,
  methodMax: 8,
  invocable: [1, 2, 3],
  read(meter, attribute) {
    const { policy, suite, title } = meter.security!
    switch (attribute) {
      case 2:
        return encoded((w) => w.enumeration(securityPolicyValue(1, policy)))
      case 3:
        return encoded((w) => w.enumeration(suite.id))
      case 4:
        return octetString(simulatedClientTitle)
      case 5:
        return octetString(title)
      default:
        return noCertificates
    }
  },
  invoke(meter, method, parameterView) {
    const security = meter.security!
    switch (method) {
      case 1:
        return activatePolicy(security, parameterView)
      case 2:
        return transferKeys(security, parameterView)
      case 3:
        return agreeKeys(security, parameterView)
      default:
        return DataAccessResult.READ_WRITE_DENIED
    }
  },
})

/** The last counter heard under the unicast key, or 0: what a client goes on from. */
const invocationCounter = (obis: string): SimulatedObject =>
  cosemObject({
    obis,
    classId: 1,
    attributeMax: 2,
    isPublic: true,
    read: (meter) => encoded((w) => w.uint32(Math.max(0, meter.security!.received))),
  })
export const counterObisDefault = '0-0:43.1.0.255'

/** @param counterObis  of the invocation counter; `nowhere` for meters that tell nobody */
export const securityObjectsWith = (counterObis: string): readonly SimulatedObject[] =>
  counterObis === 'nowhere' ? [securitySetup] : [securitySetup, invocationCounter(counterObis)]
