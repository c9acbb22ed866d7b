/** A vault and devices with keys, for tests. */
import type { Eui64 } from '../../core/base/eui64.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import { suites } from '../../core/dlms/security/index.ts'
import { SecretKey } from '../../core/crypto/crypto.ts'
import { SealingVault } from '../../core/crypto/key-vault-sealing.ts'
import type { DeviceKeys } from '../../core/crypto/key-vault.ts'
import { plainRecord } from './envelopes.ts'
import { clientTitle, meterTitle, secretKeys } from './security.ts'

export const kekOf = (fill: number): SecretKey => new SecretKey(Buffer.alloc(32, fill))
export const vault = new SealingVault(() => [kekOf(1)])

const [unicast, broadcast, authentication, master] = secretKeys(suites[0])
export const suite0Keys: DeviceKeys = {
  unicast: unicast!,
  broadcast: broadcast!,
  authentication: authentication!,
  master: master!,
}

/** A device under suite 0, with `keys`, or without any in its record. */
export function securedRecord(
  device: Eui64,
  keys: DeviceKeys | undefined = suite0Keys,
): DeviceRecord {
  const { type, address } = plainRecord
  const security = {
    suite: 0,
    mechanism: 5,
    protection: 0x30,
    clientTitle,
    deviceTitle: meterTitle,
  } as const
  return { type, address: { ...address, security }, sealedKeys: vault.seal(device, keys) }
}

/** The same with other unicast and authentication keys. */
export const otherKeys = (fill: number): DeviceKeys => ({
  ...suite0Keys,
  unicast: new SecretKey(Buffer.alloc(16, fill)),
  authentication: new SecretKey(Buffer.alloc(16, fill + 1)),
})
