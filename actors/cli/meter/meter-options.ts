/**
 * What a person says of a meter on the command line, or an inventory says of it, as where it is and
 * how it is spoken to. Keys may come from the environment or a file, so that no list of processes
 * shows them.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { readEui64, parseEui64 } from '../../../core/base/eui64.ts'
import { hostPortExample, parseHostPort } from '../../../core/base/host-port.ts'
import { limits } from '../../../core/base/limits.ts'
import { deviceProfileOf, unknownProfilesIn } from '../../../core/inventory/device-profiles.ts'
import type { DeviceEntry } from '../../../core/inventory/device-record.ts'
import type { DeviceTime } from '../../../core/catalogue/device-time.ts'
import type { ClientOptions } from '../../../core/dlms/client/client.ts'
import { hdlcAddress, type HdlcAddress } from '../../../core/dlms/framing/hdlc/address.ts'
import {
  blockCipherProof,
  CounterWindow,
  GeneralKey,
  InvocationCounter,
  invocationCounterMax,
  Shape,
  suites,
  systemTitleBytes,
  type SignaturePlace,
} from '../../../core/dlms/security/index.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'
import type { SecretKey } from '../../../core/crypto/crypto.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import type { DeviceAddress } from '../../../core/ports/wan.ts'
import {
  clientOptionsOf as wanOptionsOf,
  ReservedCounter,
} from '../../../core/wan/sockets/client-terms.ts'
import { counterPlaceOf } from '../../../core/wan/sockets/counter-reading.ts'
import { hdlcAddressOf, modeEOf } from '../../../core/wan/sockets/hdlc-framing.ts'
import { devicesIn, keysInFile } from './key-files.ts'
import type { MeterPlace } from './meter-line.ts'
import { modelIn, timeIn } from './meter-model.ts'
import { keyIn, octetsIn, titleIn } from './option-octets.ts'
import type { KeyOptions, MeterOptions } from './option-texts.ts'

/** A meter as it was asked for: where it is, and how it is spoken to. */
export type Meter = {
  place: MeterPlace
  address: DeviceAddress
  keys: DeviceKeys
  /** Of authentication, where no suite says it. */
  mechanism: ClientOptions['mechanism']
  generalKey: GeneralKey | undefined
  /** As the profile has it, when undefined. */
  signature: SignaturePlace | undefined
  /**
   * The next counter to send with, when it was given; the lowest one, where the inventory has one.
   */
  counter: number | undefined
  counterFloor: number
  /** Where the meter tells the counter; undefined when it does not, or none is needed. */
  counterAt: { obis: string; client: number } | undefined
  /** How its clock is understood. */
  time: DeviceTime
}

const publicClient = 16
/** Ours, where neither the command line nor the inventory says another. */
export const titleDefault = '4255530000000001'

const invalid = (detail: string): BrokerError => new BrokerError('CONFIG_INVALID', detail)

export function wholeIn(text: string, what: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw invalid(`${what} must be a whole number from ${min} to ${max}, not ${text}`)
  return value
}

function oneOf<T>(
  text: string | undefined,
  what: string,
  among: { readonly [name: string]: T },
): T | undefined {
  if (text === undefined) return undefined
  if (!Object.hasOwn(among, text))
    throw invalid(`${what} is one of ${Object.keys(among).join(', ')}, not ${text}`)
  return among[text]
}

const transports = { tcp: 'tcp', udp: 'udp', hdlc: 'hdlc' } as const
const protections = { none: 0, authenticated: 0x10, encrypted: 0x20, both: 0x30 } as const
const generalKeys = {
  unicast: GeneralKey.UNICAST,
  wrapped: GeneralKey.WRAPPED,
  'one-pass': GeneralKey.ONE_PASS,
  static: GeneralKey.STATIC_UNIFIED,
} as const
const signaturePlaces = { within: 'within', around: 'around' } as const
const octetCounts = { 1: 1, 2: 2, 4: 4 } as const

/**
 * Everything about the meter at `where`: host and port, or the EUI-64 of a device in the inventory.
 * @throws BrokerError CONFIG_INVALID
 */
export async function meterOf(where: string, options: MeterOptions): Promise<Meter> {
  const entry = await entryOf(where, options)
  const address = addressOf(where, options, entry?.record.address)
  const { suite } = address.security ?? {}
  const profile = deviceProfileOf(address.profile)!
  const transport = address.transport as MeterPlace['transport']
  const octets =
    oneOf(options.hdlcAddressOctets, '--hdlc-address-octets', octetCounts) ??
    profile.hdlc?.addressOctets
  const logicalDevice = options.logicalDevice ?? String(address.logicalDevice)
  const isHdlc = transport === 'hdlc'
  if (!isHdlc && (address.modeE !== undefined || profile.modeE === true))
    throw invalid('mode E needs --transport hdlc')
  if (isHdlc && address.client > 0x7f) throw invalid('--client is at most 127 in HDLC')
  const place: MeterPlace = {
    host: address.host,
    port: address.port,
    transport,
    client: address.client,
    logicalDevice: address.logicalDevice,
    server: isHdlc ? hdlcAddressIn(logicalDevice, octets) : hdlcAddress(0),
    hdlc: profile.hdlc ?? {},
    modeE: modeEOf(address, profile),
    answerMs:
      options.waitMs === undefined
        ? limits.wanResponseMsMax
        : wholeIn(options.waitMs, '--wait-ms', 1, limits.meterWaitMsMax),
  }
  needSecret(address, mechanismIn(options))
  const generalKey = oneOf(options.generalCiphering, '--general-ciphering', generalKeys)
  const signature = oneOf(options.sign, '--sign', signaturePlaces)
  if (suite === undefined && (generalKey !== undefined || signature !== undefined))
    throw invalid('--general-ciphering and --sign need --suite')
  return {
    place,
    address,
    keys: { ...entry?.keys, ...keysOf(options, suite) },
    mechanism: mechanismIn(options) ?? (address.security?.mechanism as ClientOptions['mechanism']),
    generalKey,
    signature,
    counter: options.counter === undefined ? undefined : address.counter?.initial,
    counterFloor: address.counter?.initial ?? 1,
    counterAt: suite === undefined ? undefined : counterPlaceOf(address, profile.invocationCounter),
    time: timeIn(options, address, entry?.record.timeZone),
  }
}

const withSecret: readonly (number | undefined)[] = [1, 2, 3, 4, 6]
const withSuite: readonly (number | undefined)[] = [5, 6, 7]

function needSecret({ secret, security }: DeviceAddress, given: number | undefined): void {
  const mechanism = given ?? security?.mechanism
  if (withSecret.includes(mechanism) && secret === undefined)
    throw invalid(`mechanism ${mechanism} needs --password, or BUSBAR_METER_PASSWORD`)
  if (withSuite.includes(mechanism) && security === undefined)
    throw invalid(`mechanism ${mechanism} needs --suite and keys`)
}

const mechanismIn = ({ mechanism }: MeterOptions): ClientOptions['mechanism'] =>
  mechanism === undefined
    ? undefined
    : (wholeIn(mechanism, '--mechanism', 0, 7) as ClientOptions['mechanism'])

/** The address as the WAN takes it: of the inventory, with what the command line says otherwise. */
function addressOf(
  where: string,
  options: MeterOptions,
  known: DeviceAddress | undefined,
): DeviceAddress {
  const { client, logicalDevice, password, profile = known?.profile } = options
  if (deviceProfileOf(profile) === undefined)
    throw invalid(`--profile: ${unknownProfilesIn(profile!).join('; ')}`)
  return {
    ...(known ?? hostAndPort(where)),
    ...modelIn(options, known),
    client:
      client === undefined
        ? (known?.client ?? publicClient)
        : wholeIn(client, '--client', 1, 0xffff),
    // An address in two parts is the HDLC line's alone.
    logicalDevice:
      logicalDevice === undefined || partsOf(logicalDevice) !== undefined
        ? (known?.logicalDevice ?? 1)
        : wholeIn(logicalDevice, '--logical-device', 0, 0xffff),
    secret: password === undefined ? known?.secret : secretIn(password),
    transport:
      oneOf(options.transport ?? known?.transport, '--transport', transports) ?? transports.tcp,
    profile,
    security: securityOf(options, known),
  }
}

function hostAndPort(where: string): { host: string; port: number } {
  const address = parseHostPort(where)
  if (address === undefined || address.port === 0)
    throw invalid(`${where} is not ${hostPortExample}, and not the EUI-64 of a device in --devices`)
  return address
}

function securityOf(
  options: MeterOptions,
  known: DeviceAddress | undefined,
): DeviceAddress['security'] {
  const { suite, systemTitle, meterTitle } = options
  const protection = oneOf(options.protection, '--protection', protections)
  const mechanism = mechanismIn(options)
  if (suite === undefined && known?.security === undefined) return undefined
  const { security } = known ?? {}
  const deviceTitle =
    meterTitle === undefined ? security?.deviceTitle : titleIn(meterTitle, '--meter-title')
  const hasSecret = options.password !== undefined || known?.secret !== undefined
  return {
    suite: suite === undefined ? security!.suite : suiteIn(suite),
    mechanism: mechanism ?? security?.mechanism ?? (hasSecret ? 1 : 0),
    protection: protection ?? security?.protection ?? protections.both,
    clientTitle:
      systemTitle === undefined && security !== undefined
        ? security.clientTitle
        : titleIn(systemTitle ?? titleDefault, '--system-title'),
    ...(deviceTitle && { deviceTitle }),
  }
}

export const suiteIn = (text: string): 0 | 1 | 2 => wholeIn(text, '--suite', 0, 2) as 0 | 1 | 2

/** A password as it is, or in hexadecimal digits behind 0x. */
const secretIn = (text: string): Buffer =>
  /^0x/i.test(text) ? octetsIn(text, '--password') : Buffer.from(text, 'latin1')

/** `1/17`, an upper and a lower HDLC address; undefined for a number as inventories have it. */
function partsOf(text: string): [upper: number, lower: number] | undefined {
  const match = /^(\d{1,5})\/(\d{1,5})$/.exec(text)
  return match === null ? undefined : [Number(match[1]), Number(match[2])]
}

function hdlcAddressIn(text: string, octets: 1 | 2 | 4 | undefined): HdlcAddress {
  const parts = partsOf(text)
  try {
    return parts === undefined
      ? hdlcAddressOf(wholeIn(text, '--logical-device', 0, 0xffff), octets)
      : hdlcAddress(...parts, octets)
  } catch (fault) {
    if (fault instanceof BrokerError) throw fault
    throw invalid(
      `${text} is no HDLC address in ${octets ?? 'one, two or four'} octets: each part is up to 127, or 16383 in four octets`,
    )
  }
}

// ── keys ──

/**
 * Keys that are given by themselves, or in a file. @throws BrokerError CONFIG_INVALID, which shows
 * nothing of them
 */
export function keysOf(options: KeyOptions, suite: 0 | 1 | 2 | undefined): DeviceKeys {
  const { keys: file, unicastKey, broadcastKey, authenticationKey } = options
  if (suite === undefined) {
    if (file !== undefined) throw invalid('--keys needs --suite')
    return {}
  }
  const { keyBytes } = suites[suite]
  const given = (text: string | undefined, what: string): SecretKey | undefined =>
    text === undefined ? undefined : keyIn(text, what, [keyBytes])
  const unicast = given(unicastKey, '--unicast-key')
  const broadcast = given(broadcastKey, '--broadcast-key')
  const authentication = given(authenticationKey, '--authentication-key')
  return {
    ...(file !== undefined && keysInFile(file, suite)),
    ...(unicast && { unicast }),
    ...(broadcast && { broadcast }),
    ...(authentication && { authentication }),
  }
}

async function entryOf(where: string, { devices }: MeterOptions): Promise<DeviceEntry | undefined> {
  const octets = parseEui64(where)
  if (octets === undefined || devices === undefined) return undefined
  const wanted = readEui64(octets)
  for await (const entry of devicesIn(devices)) if (entry.key === wanted) return entry
  throw invalid(`${where} is not in ${devices}`)
}

// ── the client ──

/**
 * Options of the public client, which asks the meter for its counter: without security, in all else
 * as the meter is spoken to.
 */
export function publicOptionsOf({ address }: Meter): ClientOptions {
  const terms = { apduBytesMax: limits.apduBytesMax, invokeIdLast: 0, random: systemRandom }
  return wanOptionsOf({ ...address, secret: undefined, security: undefined }, terms)
}

/** The client's options; `counter` is the next one to send with, where there is a suite. */
export function clientOptionsOf(meter: Meter, counter: number): ClientOptions {
  const { address, keys, mechanism, generalKey } = meter
  const terms = {
    apduBytesMax: limits.apduBytesMax,
    invokeIdLast: 0,
    random: systemRandom,
  }
  const opened = {
    keys,
    counter: new ReservedCounter(counter, invocationCounterMax + 1),
    window: new CounterWindow(),
  }
  const { security, ...plain } = wanOptionsOf(address, terms, opened)
  // What the profile has, unless it is said otherwise.
  const signature = meter.signature ?? security?.choice?.signature ?? 'none'
  return {
    ...plain,
    makerProof: plain.makerProof ?? blockCipherProof,
    ...(mechanism !== undefined && { mechanism }),
    ...(security && {
      security: {
        ...security,
        // Keys that are agreed for this association alone: their counter begins again.
        counters: { ...security.counters, session: new InvocationCounter() },
        isCiphered: security.isCiphered !== false || signature !== 'none',
        choice: {
          ...security.choice!,
          ...(security.isCiphered === false && { shape: Shape.PLAIN }),
          ...(generalKey !== undefined && { shape: Shape.GENERAL, generalKey }),
          signature,
          transactionId: systemRandom.bytes(systemTitleBytes),
        },
      },
    }),
  }
}
