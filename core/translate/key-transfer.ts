/**
 * New keys on their way to a device, and the question that proves which ones it has, as COSEM
 * operations on its security setup.
 * @source IEC 62056-6-2, class 64 security setup: method 2 key_transfer, array of structure
 * (key_id, key_wrapped); RFC 3394
 */
import { AxdrWriter, encodeDescriptor } from '../dlms/index.ts'
import { KeyId } from '../dlms/security/index.ts'
import { wrapKey, type SecretKey } from '../crypto/crypto.ts'
import type { DeviceKeys } from '../crypto/key-vault.ts'
import type { CosemOperation } from '../ports/wan.ts'

const securitySetup = { classId: 64, instanceId: '0-0:43.0.0.255' }
const keyTransfer = encodeDescriptor({ ...securitySetup, memberId: 2 })

/** Reads the logical name of the security setup: any answer to it will do. */
export const provingOperations: readonly CosemOperation[] = [
  { kind: 'get', descriptor: encodeDescriptor({ ...securitySetup, memberId: 1 }) },
]

/**
 * Brings `keys` to a device, wrapped under its master key: all at once, so that it takes all or
 * none.
 */
export function keyTransferOf(master: SecretKey, keys: DeviceKeys): CosemOperation[] {
  const { unicast, broadcast, authentication } = keys
  const wrapped: Array<[KeyId, Buffer]> = []
  const add = (id: KeyId, key: SecretKey | undefined): void => {
    if (key !== undefined) wrapped.push([id, wrapKey(master, key)])
  }
  add(KeyId.GLOBAL_UNICAST, unicast)
  add(KeyId.GLOBAL_BROADCAST, broadcast)
  add(KeyId.AUTHENTICATION, authentication)
  const writer = new AxdrWriter()
  writer.array(wrapped.length)
  for (const [id, octets] of wrapped) writer.structure(2).enumeration(id).octetString(octets)
  return [{ kind: 'action', descriptor: keyTransfer, value: writer.take() }]
}
