/**
 * How models of devices deviate from what Busbar does by itself, as data: which services they take,
 * how they protect APDUs, how their HDLC is written. A device record names a profile; several are
 * joined by `+`, the later one wins. A model that deviates in a new way is a row here.
 */
import { limits } from '../base/limits.ts'
import { Conformance } from '../dlms/apdu/constants.ts'
import type { HdlcParameters } from '../dlms/framing/hdlc/parameters.ts'
import type { SecurityProfile } from '../dlms/security/policy.ts'
import type { CosemOperation } from '../ports/wan.ts'

// Bits of the conformance block that rows leave out.
const { GENERAL_BLOCK_TRANSFER, ACCESS, SELECTIVE_ACCESS, MULTIPLE_REFERENCES } = Conformance

/** Everything is optional: what is left out is as Busbar does it by itself. */
export type DeviceProfile = {
  /** For people: what is behind it. */
  readonly description: string
  /** Conformance bits that are proposed; all that Busbar can. */
  readonly conformance?: number
  /** Conformance bits that are not proposed; those of all rows together. */
  readonly conformanceWithout?: number
  /**
   * The device is spoken to by short names, which come from its object list unless its record has
   * them.
   */
  readonly shortNames?: boolean
  /**
   * What it is asked for is read whole and cut here: it takes no selective access, whatever it
   * agrees to.
   */
  readonly readsWhole?: boolean
  /**
   * How times are sent, bounds of ranges first of all: in UTC, or in the local time of the device
   * without deviation.
   */
  readonly sentTimes?: 'utc' | 'local'
  /** Of its clock when it sends no deviation, where its record has none. */
  readonly timeZone?: string
  /** The line of the device is opened in mode E. */
  readonly modeE?: boolean
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
   * How requests are protected: each service in a tag of its own, or all in one, under the global
   * key or one of each association; or in general-ciphering, under the global key named there, a
   * key wrapped under the master key, or an agreed one.
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
  /**
   * Under which key the proof of high-level security goes where a dedicated key was given: that one
   * when left out.
   */
  readonly proofKey?: 'dedicated' | 'global'
  /** Whether requests are signed: what is ciphered, or around that. */
  readonly signature?: 'within' | 'around'
  readonly security?: Partial<SecurityProfile>
  /**
   * The proof of mechanism 2, which the standard leaves to makers: the challenge under the secret
   * as a key.
   */
  readonly makerProof?: 'block-cipher'
  /** The RLRQ of a ciphered association goes in the clear. */
  readonly releasesInClear?: boolean
  /**
   * Where the device tells which invocation counter it was sent last, to whom, before it has been
   * heard for the first time; undefined when it tells nobody.
   */
  readonly invocationCounter?: { readonly obis: string; readonly client: number } | undefined
  /**
   * It keeps one association on a connection, and does not take a release for its end: a connection
   * for the public client, and another one for what follows. All others are tried both ways.
   */
  readonly isOneAssociation?: boolean
  /**
   * Its own invocation counter begins again with each association or restart: a lower one is
   * accepted at the start of an association. An attacker with a recorded association can then
   * replay its answers to Busbar: only their challenges tell them apart.
   */
  readonly restartsCounter?: boolean
  /**
   * Its unsolicited messages may come with less protection than its answers, or none: then anybody
   * can send them.
   */
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
  'no-general-blocks': {
    description:
      'does not propose general block transfer: agrees to it, and floods or falls silent',
    conformanceWithout: GENERAL_BLOCK_TRANSFER,
  },
  'no-access': {
    description: 'does not propose ACCESS: the device agrees to it, and cannot do it',
    conformanceWithout: ACCESS,
  },
  'no-lists': {
    description: 'does not propose lists: refuses an association with them',
    conformanceWithout: MULTIPLE_REFERENCES,
  },
  'no-selective-access': {
    description: 'reads buffers whole and cuts them here: takes no range and no entry selection',
    conformanceWithout: SELECTIVE_ACCESS,
    readsWhole: true,
  },
  'range-without-deviation': {
    description:
      'takes bounds of ranges in local time with deviation 8000 only; needs a time zone (record: timeZone)',
    sentTimes: 'local',
  },
  'clock-in-utc': {
    description: 'sends no deviation, and its clock shows UTC',
    timeZone: 'UTC',
  },
  'short-names': {
    description: 'short names; base names from its object list, or from the record (shortNames)',
    shortNames: true,
  },
  'mode-e': {
    description: 'HDLC behind the opening of mode E, as on optical heads (transport hdlc)',
    modeE: true,
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
  'proof-under-global-key': {
    description:
      'with a dedicated key: wants pass 3 of high-level security under the global key nevertheless',
    proofKey: 'global',
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
  'counter-for-reader': {
    description: 'IS 15959, meter reader: tells the counter in 0-0:43.1.2.255 to client 16',
    invocationCounter: { obis: '0-0:43.1.2.255', client: 16 },
  },
  'counter-for-settings': {
    description: 'IS 15959, utility settings: tells the counter in 0-0:43.1.3.255 to client 16',
    invocationCounter: { obis: '0-0:43.1.3.255', client: 16 },
  },
  'counter-for-firmware': {
    description: 'IS 15959, firmware upgrade: tells the counter in 0-0:43.1.5.255 to client 16',
    invocationCounter: { obis: '0-0:43.1.5.255', client: 16 },
  },
  'one-association': {
    description: 'keeps one association on a connection: every client on a connection of its own',
    isOneAssociation: true,
  },
  'counter-restarts': {
    description:
      'begins its own invocation counter again with each association: answers of earlier ones can be replayed',
    restartsCounter: true,
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

/**
 * The profile of this name, or of several joined by `+`; the standard one for none, undefined for
 * an unknown name. Shared.
 */
export function deviceProfileOf(name = ''): DeviceProfile | undefined {
  const known = joined.get(name)
  if (known !== undefined) return known
  let profile: DeviceProfile = standard
  for (const one of name.split('+')) {
    if (!Object.hasOwn(deviceProfiles, one)) return undefined
    const row: DeviceProfile = deviceProfiles[one as DeviceProfileName]
    const { security, hdlc, conformanceWithout, ...rest } = row
    profile = {
      ...profile,
      ...rest,
      ...(security && { security: { ...profile.security, ...security } }),
      ...(hdlc && { hdlc: { ...profile.hdlc, ...hdlc } }),
      ...(conformanceWithout && {
        conformanceWithout: conformanceWithout | (profile.conformanceWithout ?? 0),
      }),
    }
  }
  if (joined.size < limits.profilesJoinedMax) joined.set(name, profile)
  return profile
}

/**
 * What is wrong with names joined by `+`, for the operator: one sentence for each that is unknown,
 * with those that it may have meant.
 */
export function unknownProfilesIn(name: string): string[] {
  const names = Object.keys(deviceProfiles)
  const unknown = name.split('+').filter((one) => !names.includes(one))
  return [...new Set(unknown)].map((one) => {
    const close = names.filter((known) => isClose(one, known))
    const known =
      close.length > 0 ? `did you mean ${close.join(' or ')}?` : `there are ${names.join(', ')}`
    return `${JSON.stringify(one.slice(0, 60))} is no device profile; ${known}`
  })
}

/** True for a part of the name, or one that takes a few strokes to mend. */
function isClose(given: string, known: string): boolean {
  const text = given
    .trim()
    .toLowerCase()
    .replaceAll(/[\s_]+/g, '-')
  if (text.length < 3 || text.length > 60) return false
  return (
    known.includes(text) || editsBetween(text, known) <= Math.min(3, Math.floor(text.length / 3))
  )
}

/** Letters to insert, delete or replace. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
