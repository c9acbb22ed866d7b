/**
 * The vault: AES-256-GCM under a key that is derived from the key-encryption key. What is
 * authenticated besides: the purpose, the device, and the head of the sealed octets. The nonce is
 * an HMAC of device and keys, so that the same keys give the same octets and two different contents
 * never share one. [NIST SP 800-38D 8.2; the construction of RFC 5297, with AES-GCM]
 *
 *   plain: field u8 | length u16 | octets, in order of fields; keys of curves begin with an octet for the curve
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { bytesOfEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import {
  authenticate,
  ivBytes,
  openGcm,
  PrivateKey,
  PublicKey,
  sealGcm,
  Secret,
  SecretKey,
  tagBytes,
  type Curve,
} from './crypto.ts'
import type { DeviceKeys, KeyVault } from './key-vault.ts'
import {
  isSealedKeys,
  kekNameBytes,
  kekNameOf,
  keyMarkBytes,
  sealedHeadBytes,
  sealedNonceAt,
  sealedVersion,
} from './sealed-keys.ts'

/** Octets of a key-encryption key. */
export const kekBytes = 32

const purpose = Buffer.from('busbar keys of a device')
const label = (text: string): Buffer => Buffer.from(`busbar ${text}`)
const curves: readonly Curve[] = ['P-256', 'P-384']

// Their places are their numbers in the plain form: new ones go to the end.
const fields = [
  'unicast',
  'broadcast',
  'authentication',
  'master',
  'secret',
  'signing',
  'agreement',
  'peerSigning',
  'peerAgreement',
] as const satisfies (keyof DeviceKeys)[]

/** A key-encryption key and what is derived from it. */
type Kek = { name: string; sealing: SecretKey; nonces: Secret }

function kekOf(key: SecretKey): Kek {
  return {
    name: authenticate(key, label('name')).toString('hex', 0, kekNameBytes),
    sealing: new SecretKey(authenticate(key, label('sealing'))),
    nonces: new Secret(authenticate(key, label('nonces'))),
  }
}

/** The name under which sealed keys know `key`. */
export const kekNameFor = (key: SecretKey): string => kekOf(key).name

export class SealingVault implements KeyVault {
  private readonly load: () => readonly SecretKey[]
  private keks: readonly Kek[] = []
  /** Opened keys by device and sealed octets, the one used longest ago first. */
  private readonly opened = new Map<string, DeviceKeys>()

  /**
   * @param load gives the key-encryption keys as they are now: the first seals, all open. Asked
   * again when sealed keys name one that is not known, and by `currentName`; empty for a vault that
   * seals nothing.
   */
  constructor(load: () => readonly SecretKey[]) {
    this.load = load
    this.refresh()
  }

  private refresh(): void {
    this.keks = this.load().map(kekOf)
  }

  currentName(): string | undefined {
    this.refresh()
    return this.keks[0]?.name
  }

  seal(device: Eui64, keys: DeviceKeys): Buffer {
    const kek = this.keks[0]
    if (kek === undefined) throw new BrokerError('KEYS_ENCRYPTION_KEY_MISSING')
    const plain = plainOf(keys)
    const out = Buffer.alloc(sealedHeadBytes + plain.length + tagBytes)
    out[0] = sealedVersion
    out.write(kek.name, 1, 'hex')
    keyMark(device, keys).copy(out, 1 + kekNameBytes)
    const id = bytesOfEui64(device)
    authenticate(kek.nonces, id, plain).copy(out, sealedNonceAt, 0, ivBytes)
    const { nonce, head } = partsOf(out)
    const aad = Buffer.concat([purpose, id])
    sealGcm({ key: kek.sealing, ivView: nonce, aad, moreAad: head }, plain, out, sealedHeadBytes)
    plain.fill(0)
    return out
  }

  open(device: Eui64, sealedView: Uint8Array): DeviceKeys {
    const sealed = asBuffer(sealedView)
    const place = device + sealed.toString('latin1')
    const known = this.opened.get(place)
    if (known !== undefined) {
      this.opened.delete(place)
      this.opened.set(place, known)
      return known
    }
    const keys = this.unseal(device, sealed)
    this.opened.set(place, keys)
    if (this.opened.size > limits.keysOpenedMax)
      this.opened.delete(this.opened.keys().next().value!)
    return keys
  }

  private unseal(device: Eui64, sealed: Buffer): DeviceKeys {
    if (!isSealedKeys(sealed)) throw new BrokerError('KEYS_SEALED_UNREADABLE', 'not sealed keys')
    const name = kekNameOf(sealed)
    const kek = this.kekNamed(name)
    const { nonce, head } = partsOf(sealed)
    const cipher = sealed.subarray(sealedHeadBytes, sealed.length - tagBytes)
    const aad = Buffer.concat([purpose, bytesOfEui64(device)])
    const context = { key: kek.sealing, ivView: nonce, aad, moreAad: head }
    const plain = openGcm(context, cipher, sealed.subarray(-tagBytes))
    if (plain === undefined)
      throw new BrokerError('KEYS_SEALED_UNREADABLE', 'changed, or sealed for another device')
    try {
      return keysIn(plain)
    } finally {
      plain.fill(0)
    }
  }

  private kekNamed(name: string): Kek {
    const find = (): Kek | undefined => this.keks.find((kek) => kek.name === name)
    let kek = find()
    if (kek === undefined) {
      this.refresh()
      kek = find()
    }
    if (kek === undefined)
      throw new BrokerError('KEYS_SEALED_UNREADABLE', `sealed under the key-encryption key ${name}`)
    return kek
  }
}

function partsOf(sealed: Buffer): { nonce: Buffer; head: Buffer } {
  return {
    nonce: sealed.subarray(sealedNonceAt, sealedHeadBytes),
    head: sealed.subarray(0, sealedNonceAt),
  }
}

function keyMark(device: Eui64, { unicast }: DeviceKeys): Buffer {
  if (unicast === undefined) return Buffer.alloc(keyMarkBytes)
  const mark = authenticate(unicast, label('key mark'), bytesOfEui64(device))
  return mark.subarray(0, keyMarkBytes)
}

/** Whoever takes it wipes it. */
function plainOf(keys: DeviceKeys): Buffer {
  const parts: Buffer[] = []
  for (const [number, field] of fields.entries()) {
    const key = keys[field]
    if (key === undefined) continue
    const octets = octetsOf(key)
    const front = Buffer.alloc(3)
    front[0] = number
    front.writeUInt16BE(octets.length, 1)
    parts.push(front, octets)
  }
  const plain = Buffer.concat(parts)
  for (const part of parts) part.fill(0)
  return plain
}

/** A copy, for the caller to wipe. */
function octetsOf(key: Secret | PrivateKey | PublicKey): Buffer {
  if (key instanceof Secret) return key.copyOfOctets()
  const curve = Buffer.of(curves.indexOf(key.curve))
  if (key instanceof PublicKey) return Buffer.concat([curve, key.pointBytes])
  const scalar = key.copyOfScalar()
  const octets = Buffer.concat([curve, scalar])
  scalar.fill(0)
  return octets
}

/**
 * Reads what `plainOf` wrote; it was authenticated, so what does not fit was written by a later
 * version.
 */
function keysIn(plain: Buffer): DeviceKeys {
  const keys: Partial<Record<keyof DeviceKeys, unknown>> = {}
  for (let at = 0; at < plain.length;) {
    const field = fields[plain[at]!]
    const end = at + 3 + plain.readUInt16BE(at + 1)
    const octets = plain.subarray(at + 3, end)
    const key = field && keyIn(field, octets)
    if (key === undefined) throw new BrokerError('KEYS_SEALED_UNREADABLE', 'of a later version')
    keys[field!] = key
    at = end
  }
  return keys as DeviceKeys
}

function keyIn(field: (typeof fields)[number], octets: Buffer): unknown {
  switch (field) {
    case 'unicast':
    case 'broadcast':
    case 'authentication':
    case 'master':
      return SecretKey.of(octets)
    case 'secret':
      return new Secret(octets)
    case 'signing':
    case 'agreement':
      return PrivateKey.of(curves[octets[0]!]!, octets.subarray(1))
    case 'peerSigning':
    case 'peerAgreement':
      return PublicKey.of(curves[octets[0]!]!, octets.subarray(1))
  }
}
