/**
 * How the client speaks to one device: its address, the profile of its model and its keys, as
 * options of the DLMS client. Also the counters that it sends with, which stay within what the
 * ledger has reserved.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { deviceProfileOf, type DeviceProfile } from '../../inventory/device-profiles.ts'
import type { ClientSecurity } from '../../dlms/client/association.ts'
import type { ClientOptions } from '../../dlms/client/options.ts'
import type { ShortNameBook } from '../../dlms/client/short-name.ts'
import { shortNameBook } from '../../dlms/cosem/index.ts'
import {
  blockCipherProof,
  type CounterSource,
  type CounterWindow,
  GeneralKey,
  type ProtectionChoice,
  Shape,
  standardProfile,
  suites,
} from '../../dlms/security/index.ts'
import { SecretKey } from '../../crypto/crypto.ts'
import type { DeviceKeys } from '../../crypto/key-vault.ts'
import type { Random } from '../../ports/random.ts'
import type { DeviceAddress } from '../../ports/wan.ts'

/** Values from `from` on and below `to`, which are reserved on the ledger for one exchange. */
export class ReservedCounter implements CounterSource {
  private upcoming: number
  private readonly to: number

  constructor(from: number, to: number) {
    this.upcoming = from
    this.to = to
  }

  /** The first value that was not taken. */
  get next(): number {
    return this.upcoming
  }

  take(): number {
    if (this.upcoming >= this.to)
      throw new BrokerError('DLMS_COUNTER_EXHAUSTED', `${this.to} and above are not reserved`)
    return this.upcoming++
  }
}

/** Keys that an association goes under, where its counters come from, and what it has heard. */
export type OpenedSecurity = { keys: DeviceKeys; counter: CounterSource; window: CounterWindow }

/**
 * The profile that `address` names.
 * @throws BrokerError DEVICE_RECORD_MALFORMED for an unknown name
 */
export function profileOf({ profile }: DeviceAddress): DeviceProfile {
  const found = deviceProfileOf(profile)
  if (found === undefined)
    throw new BrokerError('DEVICE_RECORD_MALFORMED', `no device profile ${profile}`)
  return found
}

/**
 * Options of a client for one association with `address`; `opened` is there when the device has
 * keys or a sealed secret. `shortNames`: what an association before it has learnt.
 */
export function clientOptionsOf(
  address: DeviceAddress,
  {
    apduBytesMax,
    invokeIdLast,
    random,
  }: { apduBytesMax: number; invokeIdLast: number; random: Random },
  opened?: OpenedSecurity,
  shortNames: ClientOptions['shortNames'] = shortNamesOf(address),
): ClientOptions {
  const profile = profileOf(address)
  const { security, transport } = address
  const carriedMax = transport === 'udp' ? limits.datagramApduBytesMax : apduBytesMax
  return {
    secret: opened?.keys.secret?.copyOfOctets() ?? address.secret,
    invokeIdLast,
    random,
    apduBytesMax: Math.min(apduBytesMax, carriedMax, profile.apduBytesMax ?? apduBytesMax),
    isUnordered: transport === 'udp',
    conformance: address.conformance ?? profile.conformance,
    conformanceWithout: profile.conformanceWithout,
    selections: profile.readsWhole === true ? 'never' : 'agreed',
    shortNames,
    lists: profile.lists && new Set(profile.lists),
    prefersAccess: profile.prefersAccess,
    prefersGeneralBlocks: profile.prefersGeneralBlocks,
    isPreEstablished: profile.isPreEstablished,
    ...(profile.makerProof && { makerProof: blockCipherProof }),
    ...(security !== undefined &&
      opened !== undefined && {
        mechanism: security.mechanism as NonNullable<ClientOptions['mechanism']>,
        security: securityOf(security, profile, opened, random),
      }),
  }
}

/** The book of short names to speak to a device with; undefined for one with logical names. */
export function shortNamesOf(address: DeviceAddress): ShortNameBook | undefined {
  const { shortNames } = address
  if (shortNames !== undefined) return shortNameBook(shortNames)
  return profileOf(address).shortNames === true ? shortNameBook() : undefined
}

type Place = Pick<ProtectionChoice, 'shape' | 'generalKey'>
const shapes: Readonly<Record<NonNullable<DeviceProfile['shape']>, Place>> = {
  global: { shape: Shape.GLOBAL },
  'general-global': { shape: Shape.GENERAL_GLOBAL },
  dedicated: { shape: Shape.DEDICATED },
  'general-dedicated': { shape: Shape.GENERAL_DEDICATED },
  identified: { shape: Shape.GENERAL, generalKey: GeneralKey.UNICAST },
  wrapped: { shape: Shape.GENERAL, generalKey: GeneralKey.WRAPPED },
  'one-pass': { shape: Shape.GENERAL, generalKey: GeneralKey.ONE_PASS },
  'static-unified': { shape: Shape.GENERAL, generalKey: GeneralKey.STATIC_UNIFIED },
}
const transactionIdBytes = 8

function securityOf(
  { suite: suiteId, protection, clientTitle, deviceTitle }: NonNullable<DeviceAddress['security']>,
  { shape = 'global', signature, security, releasesInClear, proofKey }: DeviceProfile,
  { keys, counter, window }: OpenedSecurity,
  random: Random,
): ClientSecurity {
  const suite = suites[suiteId]
  const isDedicated = shape === 'dedicated' || shape === 'general-dedicated'
  const isTransaction = signature !== undefined || shapes[shape].shape === Shape.GENERAL
  return {
    suite,
    ownTitle: clientTitle,
    peerTitle: deviceTitle,
    keys,
    counters: { unicast: counter, session: counter },
    windows: { unicast: window },
    choice: {
      ...shapes[shape],
      protection,
      ...(signature && { signature }),
      ...(isTransaction && { transactionId: random.bytes(transactionIdBytes) }),
    },
    isCiphered: protection !== 0,
    releasesInClear,
    proofKey,
    ...(security && { profile: { ...standardProfile, ...security } }),
    ...(isDedicated && { dedicatedKey: () => SecretKey.random(random, suite.keyBytes) }),
  }
}
