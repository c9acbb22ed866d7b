/**
 * How models of devices deviate from what Busbar does by itself, as data: which services they take, how they protect APDUs, how their
 * HDLC is written. A device record names a profile; several are joined by `+`, the later one wins. A model that deviates in a new way
 * is a row here.
 */
import type { HdlcParameters } from '../dlms/hdlc/parameters.ts'
import type { SecurityProfile } from '../dlms/security/policy.ts'
import type { CosemOperation } from '../ports/wan.ts'

/** Everything is optional: what is left out is as Busbar does it by itself. */
export type DeviceProfile = {
  /** For people: what is behind it. */
  readonly description: string
  /** Conformance bits that are proposed; all that Busbar can. */
  readonly conformance?: number
  /** Kinds of operations that go in lists where the device agrees to lists: GET alone. */
  readonly lists?: ReadonlyArray<CosemOperation['kind']>
  /** ACCESS for everything, where the device agrees to it. */
  readonly prefersAccess?: boolean
  /** Every service in general blocks, where the device agrees to them. */
  readonly prefersGeneralBlocks?: boolean
  /** What the device is told that we receive, octets. */
  readonly apduBytesMax?: number
  /** The association is there without an AARQ, with `conformance` and `apduBytesMax`. */
  readonly isPreEstablished?: boolean
  /**
   * How requests are protected: each service in a tag of its own, or all in one, under the global key or one of each association; or in
   * general-ciphering, under the global key named there, a key wrapped under the master key, or an agreed one.
   */
  readonly shape?:
    | 'global'
    | 'general-global'
    | 'dedicated'
    | 'general-dedicated'
    | 'identified'
    | 'wrapped'
    | 'one-pass'
    | 'static-unified'
  /** Whether requests are signed: what is ciphered, or around that. */
  readonly signature?: 'within' | 'around'
  readonly security?: Partial<SecurityProfile>
  /** The proof of mechanism 2, which the standard leaves to makers: the challenge under the secret as a key. */
  readonly makerProof?: 'block-cipher'
  /** The RLRQ of a ciphered association goes in the clear. */
  readonly releasesInClear?: boolean
  /**
   * Where the device tells which invocation counter it was sent last, to whom, before it has been heard for the first time; undefined
   * when it tells nobody.
   */
  readonly invocationCounter?: { readonly obis: string; readonly client: number } | undefined
  /** What it says unasked may come with less protection than its answers, or none: then anybody can say it. */
  readonly clearPushes?: boolean
  readonly hdlc?: {
    /** In how many octets the device's address is written; as few as it takes. */
    readonly addressOctets?: 1 | 2 | 4
    readonly proposal?: 'alternating' | 'always' | 'never'
    readonly parameters?: Partial<HdlcParameters>
    readonly receiveNumbers?: 'counted' | 'ignored'
  }
}

const standard: DeviceProfile = {
  description: 'as the standards have it',
  invocationCounter: { obis: '0-0:43.1.0.255', client: 16 },
}

/** By name. */
export const deviceProfiles = {
  standard,
  'one-by-one': {
    description:
      'agrees to lists and answers them cut short: every operation in a service of its own',
    lists: [],
  },
  'all-lists': {
    description: 'takes lists of SET and ACTION as well as of GET',
    lists: ['get', 'set', 'action'],
  },
  access: {
    description: 'prefers ACCESS, which carries all kinds in one APDU',
    prefersAccess: true,
  },
  streaming: {
    description: 'long answers stream in general blocks',
    prefersGeneralBlocks: true,
  },
  'small-apdus': {
    description: 'promises APDUs that it cannot send: told that we receive 1 KiB',
    apduBytesMax: 1_024,
  },
  'pre-established': {
    description: 'an association that needs no AARQ, and knows no release',
    isPreEstablished: true,
    invocationCounter: undefined,
  },
  'general-ciphering': {
    description: 'all services in general-glo-ciphering',
    shape: 'general-global',
  },
  'dedicated-key': {
    description: 'a key of its own for each association, in ded-ciphering',
    shape: 'dedicated',
  },
  'general-dedicated-key': {
    description: 'a key of its own for each association, in general-ded-ciphering',
    shape: 'general-dedicated',
  },
  'identified-key': {
    description: 'general-ciphering with the global key named in it',
    shape: 'identified',
  },
  'wrapped-key': {
    description: 'general-ciphering with a key wrapped under the master key',
    shape: 'wrapped',
  },
  'one-pass-key': {
    description: 'general-ciphering with a key agreed by one-pass Diffie-Hellman, C(1e, 1s)',
    shape: 'one-pass',
  },
  'static-unified-key': {
    description: 'general-ciphering with a key agreed by static unified Diffie-Hellman, C(0e, 2s)',
    shape: 'static-unified',
  },
  'signed-within': {
    description: 'requests are signed before they are ciphered',
    signature: 'within',
  },
  'signed-around': {
    description: 'requests are signed after they are ciphered',
    signature: 'around',
  },
  'tag-authenticated': {
    description:
      "authenticates without encryption over the APDU's tag in place of the security control",
    security: { authenticationOnly: 'apdu-tag' },
  },
  'authenticated-enciphered': {
    description: 'enciphers what is only to be authenticated',
    security: { authenticationOnly: 'enciphered' },
  },
  'header-not-authenticated': {
    description: 'the tag of general-ciphering does not cover its header',
    security: { generalHeader: 'not-authenticated' },
  },
  'agreed-counter-zero': {
    description: 'agreed keys with a counter of zero in the vector',
    security: { agreedKeyCounter: 'zero' },
  },
  'nonce-without-length': {
    description: 'static unified key agreement without the length of the transaction id',
    security: { agreementNonce: 'without-length' },
  },
  'ephemeral-key-identified': {
    description: 'signs the ephemeral key of an APDU with the number of the scheme in front',
    security: { ephemeralSignature: 'identified' },
  },
  'block-cipher-proof': {
    description: 'mechanism 2 with the challenge enciphered under the secret',
    makerProof: 'block-cipher',
  },
  'clear-release': {
    description: 'closes, or answers an exception, when the RLRQ has a ciphered InitiateRequest',
    releasesInClear: true,
  },
  'counter-untold': {
    description: 'has no public client, or does not tell it the invocation counter',
    invocationCounter: undefined,
  },
  'clear-pushes': {
    description: 'pushes in the clear what it protects when asked',
    clearPushes: true,
  },
  'hdlc-proposing': {
    description: 'drops an SNRM without parameters',
    hdlc: { proposal: 'always' },
  },
  'hdlc-not-proposing': {
    description: 'drops an SNRM with parameters',
    hdlc: { proposal: 'never' },
  },
  'hdlc-uncounted': {
    description: 'counts what it receives wrongly',
    hdlc: { receiveNumbers: 'ignored' },
  },
  'hdlc-wide': {
    description: 'wants its address in four octets',
    hdlc: { addressOctets: 4 },
  },
} as const satisfies Record<string, DeviceProfile>

export type DeviceProfileName = keyof typeof deviceProfiles

const joined = new Map<string, DeviceProfile>([['', standard]])
// Names come with device records: more combinations than this are made anew each time.
const joinedMax = 1_000

/** The profile of this name, or of several joined by `+`; the standard one for none, undefined for an unknown name. Shared. */
export function deviceProfileOf(name = ''): DeviceProfile | undefined {
  const known = joined.get(name)
  if (known !== undefined) return known
  let profile: DeviceProfile = standard
  for (const one of name.split('+')) {
    if (!Object.hasOwn(deviceProfiles, one)) return undefined
    const { security, hdlc, ...rest }: DeviceProfile = deviceProfiles[one as DeviceProfileName]
    profile = {
      ...profile,
      ...rest,
      ...(security && { security: { ...profile.security, ...security } }),
      ...(hdlc && { hdlc: { ...profile.hdlc, ...hdlc } }),
    }
  }
  if (joined.size < joinedMax) joined.set(name, profile)
  return profile
}
