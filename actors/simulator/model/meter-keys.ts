/**
 * Keys of simulated meters, all from the seed and the number, so that a fleet comes back with the
 * keys that a broker was told. They protect nothing that is worth it: chance.ts is no generator of
 * keys.
 */
import { PrivateKey, PublicKey, SecretKey } from '../../../core/crypto/crypto.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'
import { suites, type Suite } from '../../../core/dlms/security/index.ts'
import { Stream, draw } from './chance.ts'

/** Our system title towards every simulated meter. */
export const simulatedClientTitle: Buffer = Buffer.from('4253420000000001', 'hex')

/**
 * Keys as octets, for the record of the device: secret keys, scalars of private ones, points of
 * public ones.
 */
export type KeyOctets = Partial<Record<keyof DeviceKeys, Buffer>>

/** Which key is drawn; those of the client belong to the whole fleet. */
const Draw = {
  UNICAST: 0,
  BROADCAST: 1,
  AUTHENTICATION: 2,
  MASTER: 3,
  SIGNING: 4,
  AGREEMENT: 5,
} as const

function octets(seed: number, which: number, bytes: number): Buffer {
  const drawn = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 4) drawn.writeInt32BE(draw(seed, Stream.KEY, which, at), at)
  return drawn
}

/** A scalar below the order of either curve, and above zero. */
function scalar(seed: number, which: number, bytes: number): Buffer {
  const drawn = octets(seed, which, bytes)
  drawn[0] = 1
  return drawn
}

const scalarBytes = { 'P-256': 32, 'P-384': 48 } as const

/** The keys that a client of the meter needs. */
export function clientKeyOctets(
  fleetSeed: number,
  meterSeed: number,
  suiteId: 0 | 1 | 2,
): KeyOctets {
  const { keyBytes, curve } = suites[suiteId]
  const secret: KeyOctets = {
    unicast: octets(meterSeed, Draw.UNICAST, keyBytes),
    broadcast: octets(meterSeed, Draw.BROADCAST, keyBytes),
    authentication: octets(meterSeed, Draw.AUTHENTICATION, keyBytes),
    master: octets(meterSeed, Draw.MASTER, keyBytes),
  }
  if (curve === undefined) return secret
  const bytes = scalarBytes[curve]
  const pointOf = (which: number): Buffer =>
    PrivateKey.of(curve, scalar(meterSeed, which, bytes))!.publicKey.pointBytes
  return {
    ...secret,
    signing: scalar(fleetSeed, Draw.SIGNING, bytes),
    agreement: scalar(fleetSeed, Draw.AGREEMENT, bytes),
    peerSigning: pointOf(Draw.SIGNING),
    peerAgreement: pointOf(Draw.AGREEMENT),
  }
}

/** `octets` as keys. */
export function deviceKeysOf(keyOctets: KeyOctets, suiteId: 0 | 1 | 2): DeviceKeys {
  const { unicast, broadcast, authentication, master } = keyOctets
  const { curve } = suites[suiteId]
  const secret = (view: Buffer | undefined) => view && new SecretKey(view)
  const own = (view: Buffer | undefined) => view && curve && PrivateKey.of(curve, view)
  const peer = (view: Buffer | undefined) => view && curve && PublicKey.of(curve, view)
  return {
    unicast: secret(unicast),
    broadcast: secret(broadcast),
    authentication: secret(authentication),
    master: secret(master),
    signing: own(keyOctets.signing),
    agreement: own(keyOctets.agreement),
    peerSigning: peer(keyOctets.peerSigning),
    peerAgreement: peer(keyOctets.peerAgreement),
  }
}

/** The keys of the meter itself; those of curves are made when first asked for. */
export class MeterKeys implements DeviceKeys {
  unicast: SecretKey
  broadcast: SecretKey
  authentication: SecretKey
  master: SecretKey
  private readonly fleetSeed: number
  private readonly meterSeed: number
  private readonly suite: Suite
  private readonly pairs = new Map<string, PrivateKey>()

  constructor(fleetSeed: number, meterSeed: number, suite: Suite) {
    this.fleetSeed = fleetSeed
    this.meterSeed = meterSeed
    this.suite = suite
    const secret = (which: number): SecretKey =>
      new SecretKey(octets(meterSeed, which, suite.keyBytes))
    this.unicast = secret(Draw.UNICAST)
    this.broadcast = secret(Draw.BROADCAST)
    this.authentication = secret(Draw.AUTHENTICATION)
    this.master = secret(Draw.MASTER)
  }

  get signing(): PrivateKey | undefined {
    return this.pair(this.meterSeed, Draw.SIGNING)
  }

  get agreement(): PrivateKey | undefined {
    return this.pair(this.meterSeed, Draw.AGREEMENT)
  }

  get peerSigning(): PublicKey | undefined {
    return this.pair(this.fleetSeed, Draw.SIGNING)?.publicKey
  }

  get peerAgreement(): PublicKey | undefined {
    return this.pair(this.fleetSeed, Draw.AGREEMENT)?.publicKey
  }

  private pair(seed: number, which: number): PrivateKey | undefined {
    const { curve } = this.suite
    if (curve === undefined) return undefined
    const name = `${seed}.${which}`
    let pair = this.pairs.get(name)
    if (pair === undefined) {
      pair = PrivateKey.of(curve, scalar(seed, which, scalarBytes[curve]))!
      this.pairs.set(name, pair)
    }
    return pair
  }
}
