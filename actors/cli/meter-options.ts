/** What a person says of a meter on the command line, as options of the DLMS client. Keys may come from the environment, so that no list of processes shows them. */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ClientOptions } from '../../core/dlms/client.ts'
import {
  blockCipherProof,
  InvocationCounter,
  Shape,
  suites,
  systemTitleBytes,
} from '../../core/dlms/security/index.ts'
import { SecretKey } from '../../core/ports/crypto.ts'
import { systemRandom } from '../../core/ports/random.ts'
import { octetsIn } from './dlms-decode.ts'
import type { MeterPlace } from './meter-session.ts'

/** Texts of the command line. */
export type MeterOptions = {
  client: string
  logicalDevice: string
  password?: string
  mechanism?: string
  suite?: string
  protection: string
  unicastKey?: string
  authenticationKey?: string
  systemTitle: string
  meterTitle?: string
  counter?: string
  hex: boolean
  json: boolean
}

const invalid = (detail: string): BrokerError => new BrokerError('CONFIG_INVALID', detail)

function wholeIn(text: string, what: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw invalid(`${what} must be a whole number from ${min} to ${max}`)
  return value
}

/** `host:port`, `[host]:port`. @throws BrokerError CONFIG_INVALID, as those below */
export function placeOf(address: string, options: MeterOptions): MeterPlace {
  const match = /^(\[[0-9a-f:]+\]|[^:\s]+):(\d{1,5})$/i.exec(address)
  if (match === null) throw invalid(`${address} is not host:port`)
  return {
    host: match[1]!.replace(/^\[|\]$/g, ''),
    port: wholeIn(match[2]!, 'the port', 1, 65_535),
    client: wholeIn(options.client, '--client', 1, 65_535),
    logicalDevice: wholeIn(options.logicalDevice, '--logical-device', 0, 65_535),
  }
}

const protections: { readonly [name: string]: number } = {
  none: 0,
  authenticated: 0x10,
  encrypted: 0x20,
  both: 0x30,
}

const keyOf = (text: string | undefined, name: string, bytes: number): SecretKey | undefined => {
  if (text === undefined) return undefined
  const octets = octetsIn(text, name)
  if (octets.length !== bytes) throw invalid(`${name} has ${bytes} octets in this suite`)
  return SecretKey.of(octets)
}

function titleOf(text: string, name: string): Buffer {
  const title = octetsIn(text, name)
  if (title.length !== systemTitleBytes) throw invalid(`${name} has eight octets`)
  return title
}

/** The client's options; `counter` is the next one to send with, where there is a suite. */
export function clientOptionsOf(options: MeterOptions, counter: number): ClientOptions {
  const { password, suite: suiteText, meterTitle } = options
  const protection = protections[options.protection]
  if (protection === undefined)
    throw invalid(`--protection is one of ${Object.keys(protections).join(', ')}`)
  const plain: ClientOptions = {
    secret: password === undefined ? undefined : secretIn(password),
    random: systemRandom,
    makerProof: blockCipherProof,
    ...(options.mechanism !== undefined && {
      mechanism: wholeIn(options.mechanism, '--mechanism', 0, 7) as NonNullable<
        ClientOptions['mechanism']
      >,
    }),
  }
  if (suiteText === undefined) return plain
  const suite = suites[wholeIn(suiteText, '--suite', 0, 2) as 0 | 1 | 2]
  return {
    ...plain,
    security: {
      suite,
      ownTitle: titleOf(options.systemTitle, '--system-title'),
      peerTitle: meterTitle === undefined ? undefined : titleOf(meterTitle, '--meter-title'),
      keys: {
        unicast: keyOf(options.unicastKey, '--unicast-key', suite.keyBytes),
        authentication: keyOf(options.authenticationKey, '--authentication-key', suite.keyBytes),
      },
      counters: { unicast: new InvocationCounter(counter) },
      choice: { shape: Shape.GLOBAL, protection },
      isCiphered: protection !== 0,
    },
  }
}

/** A password as it is, or in hexadecimal digits behind 0x. */
const secretIn = (text: string): Buffer =>
  /^0x/i.test(text) ? octetsIn(text, '--password') : Buffer.from(text, 'latin1')

/** The counter that was given, or undefined: then the meter is asked. */
export function givenCounter({ counter }: MeterOptions): number | undefined {
  return counter === undefined ? undefined : wholeIn(counter, '--counter', 0, 0xffff_ffff)
}
