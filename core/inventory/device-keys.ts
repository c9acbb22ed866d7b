/**
 * Keys of a device as operators write them: hexadecimal digits for symmetric keys; PEM for private
 * keys of curves and for certificates of the device, or hexadecimal digits for scalars and points.
 * They become opaque here, before anything else sees them; no fault shows what was written.
 */
import { emptyBytes } from '../base/bytes.ts'
import { PrivateKey, PublicKey, readCertificate, SecretKey, type Curve } from '../crypto/crypto.ts'
import type { DeviceKeys } from '../crypto/key-vault.ts'

const symmetric = ['unicast', 'broadcast', 'authentication', 'master'] as const
const own = ['signing', 'agreement'] as const
const peers = ['peerSigning', 'peerAgreement'] as const
const names: readonly string[] = [...symmetric, ...own, ...peers]
const curves: readonly (Curve | undefined)[] = [undefined, 'P-256', 'P-384']

/**
 * Reads `{ "unicast", "broadcast", "authentication", "master", "signing", "agreement",
 * "peerSigning", "peerAgreement" }`, all of them texts and optional. Faults are appended to
 * `faults`.
 * @param suite of the device's security; undefined when it has none, which is a fault
 */
export function deviceKeysOf(
  json: unknown,
  suite: 0 | 1 | 2 | undefined,
  faults: string[],
): DeviceKeys | undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    faults.push('keys must be an object')
    return undefined
  }
  if (suite === undefined) {
    faults.push('keys need address.security')
    return undefined
  }
  const raw = json as Record<string, unknown>
  for (const name of Object.keys(raw))
    if (!names.includes(name)) faults.push(`keys: ${JSON.stringify(name.slice(0, 40))} is no key`)
  const keys: Partial<Record<keyof DeviceKeys, SecretKey | PrivateKey | PublicKey>> = {}
  const take = <T extends SecretKey | PrivateKey | PublicKey>(
    among: readonly (keyof DeviceKeys)[],
    read: (text: string) => T | undefined,
    what: string,
  ): void => {
    for (const name of among) {
      const text = raw[name]
      if (text === undefined || text === null) continue
      const key = typeof text === 'string' ? read(text) : undefined
      if (key === undefined) faults.push(`keys.${name} must be ${what}`)
      else keys[name] = key
    }
  }
  const keyBytes = suite === 2 ? 32 : 16
  const curve = curves[suite]
  const onCurve = <T extends { curve: Curve }>(key: T | undefined): T | undefined =>
    key?.curve === curve ? key : undefined
  take(
    symmetric,
    (text) =>
      text.length === 2 * keyBytes ? SecretKey.of(octetsIn(text) ?? emptyBytes) : undefined,
    `hexadecimal digits for ${keyBytes} octets`,
  )
  const named = (what: string): string =>
    curve === undefined ? 'left out in suite 0' : `${what}, of a key on ${curve}`
  take(
    own,
    (text) => {
      const scalar = octetsIn(text)
      return onCurve(scalar && curve ? PrivateKey.of(curve, scalar) : PrivateKey.ofPem(text))
    },
    named('PEM, or the scalar in hexadecimal digits'),
  )
  take(
    peers,
    (text) => {
      const point = octetsIn(text)
      if (point && curve) return PublicKey.of(curve, point)
      return onCurve(readCertificate(Buffer.from(text))?.publicKey)
    },
    named('PEM of a certificate, or the point in hexadecimal digits'),
  )
  return keys as DeviceKeys
}

function octetsIn(text: string): Buffer | undefined {
  return /^([0-9a-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : undefined
}
