/**
 * How meters of other makers differ from ours, as data: each row has a name, what the meter does,
 * and what a device record has to say of such a meter. A row without a record is a meter that a
 * head-end must handle by itself.
 */
import { Conformance } from '../../../core/dlms/apdu/constants.ts'
import type { DeviceProfileName } from '../../../core/inventory/device-profiles.ts'

/** Everything is optional: what is left out is as our meters do it. */
export type Quirks = {
  /**
   * One client at a time on a connection; what a second one gets. `free` after a release, `taken`
   * until the connection closes.
   */
  readonly secondClient?: 'silence' | 'misaddressed'
  readonly afterRelease?: 'free' | 'taken' | 'closed'
  /** Closes the connection when it receives the AARQ of a ciphered association. */
  readonly closesOnAarq?: boolean
  /** What it answers to a protected APDU that it does not take. */
  readonly refusal?: 'exception' | 'plain-exception' | 'aare' | 'close' | 'silence'
  /** Counters that another client uses after our associations 1, 2, 4, 8, … */
  readonly counterAdvance?: number
  /** When its own counter begins at 0 again. */
  readonly counterRestarts?: 'association' | 'power-up'
  /**
   * OBIS code of the object with the last counter that it received; `nowhere` for a meter without
   * one.
   */
  readonly counterObis?: string
  /** The client that needs neither secret nor keys, in place of 16. */
  readonly publicClient?: number
  /** Conformance bits that it does not agree to. */
  readonly conformanceWithout?: number
  /** The largest APDU that it receives and sends. */
  readonly apduBytesMax?: number
  readonly hasOnlyShortNames?: boolean
  /** Which RLRQ ends a ciphered association; any, when left out. */
  readonly releases?: 'protected' | 'clear'
  readonly isProofUnderGlobalKey?: boolean
  /** Takes an association in the clear that only proves itself. */
  readonly isUnciphered?: boolean
  /** General blocks: all at once although the window is full, or each with the streaming bit. */
  readonly blocks?: 'flood' | 'streaming'
  /** What it sends again and again in place of an answer. */
  readonly uselessApdus?: 'notifications' | 'blocks'
  /** Notifications in front of each answer. */
  readonly notificationsFirst?: number
  /** A wrapper frame of length 0 in front of each answer. */
  readonly hasEmptyFrames?: boolean
  /** The LLC octets of its HDLC frames; E6 E7 00 when left out. */
  readonly llc?: 'none' | 'of-a-client'
  readonly hasModeE?: boolean
  /**
   * No deviation in its times, which are local: with or without daylight saving, with the bit that
   * says so or without.
   */
  readonly localTime?: 'standard' | 'daylight-saving' | 'daylight-saving-unmarked'
  readonly range?: 'ignored' | 'deviation-refused'
  /** Rows of its profiles. */
  readonly rowsMax?: number
  /** Its clock is an octet-string within an octet-string. */
  readonly nestsClock?: boolean
}

/** What a device record has to say of such a meter. */
export type QuirkRecord = {
  readonly profile?: DeviceProfileName
  readonly counter?: { readonly obis?: string; readonly client?: number; readonly initial?: number }
  /** How requests are protected; authenticated and encrypted when left out. */
  readonly protection?: 0
  /** True when the record needs a time zone. */
  readonly isLocal?: boolean
}

type Row = {
  readonly description: string
  readonly does: Quirks
  readonly record?: QuirkRecord
}

// Ten days of half hours: a buffer that is quick to read as a whole.
const rowsMax = 480
// APDUs so small that a few rows of a profile take general blocks.
const apduBytesMax = 256
const { SELECTIVE_ACCESS, GENERAL_BLOCK_TRANSFER } = Conformance
// Long answers go in general blocks where services have no blocks of their own.
const serviceBlocks =
  Conformance.BLOCK_TRANSFER_WITH_GET |
  Conformance.BLOCK_TRANSFER_WITH_SET |
  Conformance.BLOCK_TRANSFER_WITH_ACTION

export const quirkTable = {
  'one-association': {
    description: 'one association per connection: a second client gets no answer until a release',
    does: { secondClient: 'silence' },
  },
  'one-association-misaddressed': {
    description: 'as one-association, but the second client gets an error addressed to the first',
    does: { secondClient: 'misaddressed' },
  },
  'one-client': {
    description: 'one client per connection: another client gets no answer, even after a release',
    does: { secondClient: 'silence', afterRelease: 'taken' },
  },
  'closed-after-release': {
    description: 'closes the connection after it has answered a release',
    does: { afterRelease: 'closed' },
  },
  'closed-on-aarq': {
    description: 'closes the connection when it receives the AARQ of a ciphered association',
    does: { closesOnAarq: true },
  },
  'clear-release': {
    description: 'ends a ciphered association only for an RLRQ in the clear',
    does: { releases: 'clear' },
    record: { profile: 'clear-release' },
  },
  'protected-release': {
    description: 'ends a ciphered association only for a ciphered RLRQ',
    does: { releases: 'protected' },
  },
  'counter-advanced': {
    description: 'another client uses 1,000 counters after associations 1, 2, 4, 8, …',
    does: { counterAdvance: 1_000 },
  },
  'counter-restarted': {
    description: 'its own counter begins at 0 again with each association',
    does: { counterRestarts: 'association' },
    record: { profile: 'counter-restarts' },
  },
  'counter-restarted-at-power-up': {
    description: 'its own counter begins at 0 again when the simulator starts',
    does: { counterRestarts: 'power-up' },
  },
  'counter-for-settings': {
    description: 'has the counter that it received last in 0-0:43.1.3.255',
    does: { counterObis: '0-0:43.1.3.255' },
    record: { profile: 'counter-for-settings' },
  },
  'counter-elsewhere': {
    description: 'has the counter in 0-0:43.1.8.255, and client 32 is the public client',
    does: { counterObis: '0-0:43.1.8.255', publicClient: 32 },
    record: { counter: { obis: '0-0:43.1.8.255', client: 32 } },
  },
  'counter-untold': {
    description: 'has no object with the counter that it received last',
    does: { counterObis: 'nowhere' },
    record: { profile: 'counter-untold' },
  },
  'refusal-exception': {
    description: 'refuses a counter or a key with invocation-counter-error, the AARQ too',
    does: { refusal: 'exception' },
  },
  'refusal-plain-exception': {
    description: 'refuses a counter or a key with an exception-response without a reason',
    does: { refusal: 'plain-exception' },
  },
  'refusal-aare': {
    description: 'refuses a counter or a key with an AARE, also outside an AARQ',
    does: { refusal: 'aare' },
  },
  'refusal-close': {
    description: 'closes the connection when a counter or a key is wrong',
    does: { refusal: 'close' },
  },
  'refusal-silence': {
    description: 'gives no answer when a counter or a key is wrong',
    does: { refusal: 'silence' },
  },
  'proof-under-global-key': {
    description: 'with a dedicated key: takes the proof of the client only under the global key',
    does: { isProofUnderGlobalKey: true },
    record: { profile: 'proof-under-global-key' },
  },
  'proof-without-ciphering': {
    description: 'takes an association in the clear from a client that proves itself',
    does: { isUnciphered: true },
    record: { protection: 0 },
  },
  'short-names-only': {
    description: 'refuses associations with logical names',
    does: { hasOnlyShortNames: true },
    record: { profile: 'short-names' },
  },
  'no-selective-access': {
    description: 'agrees to no selective access; its profiles have 480 rows',
    does: { conformanceWithout: SELECTIVE_ACCESS, rowsMax },
  },
  'no-general-blocks': {
    description: 'agrees to no general block transfer, and to APDUs of 256 octets',
    does: { conformanceWithout: GENERAL_BLOCK_TRANSFER, apduBytesMax },
  },
  'block-flood': {
    description: 'sends general blocks without a pause although the window of the client is full',
    does: { blocks: 'flood', apduBytesMax, conformanceWithout: serviceBlocks },
  },
  'block-streaming': {
    description: 'sets the streaming bit in the last general block of a window, and waits',
    does: { blocks: 'streaming', apduBytesMax, conformanceWithout: serviceBlocks },
  },
  'range-ignored': {
    description: 'answers a range with all of its rows, which are 480',
    does: { range: 'ignored', rowsMax },
  },
  'range-deviation-refused': {
    description: 'refuses a range whose bounds have a deviation (type-unmatched)',
    does: { range: 'deviation-refused' },
    record: { profile: 'range-without-deviation', isLocal: true },
  },
  'local-time': {
    description: 'times without deviation in --time-zone, with the bit of daylight saving',
    does: { localTime: 'daylight-saving' },
    record: { isLocal: true },
  },
  'local-time-unmarked': {
    description: 'times without deviation and status in --time-zone, with daylight saving',
    does: { localTime: 'daylight-saving-unmarked' },
    record: { isLocal: true },
  },
  'local-standard-time': {
    description: 'times without deviation in the standard time of --time-zone all year',
    does: { localTime: 'standard' },
    record: { isLocal: true },
  },
  'clock-nested': {
    description: 'gives its clock as an octet-string within an octet-string',
    does: { nestsClock: true },
  },
  'useless-notifications': {
    description: 'sends notifications without an end in place of an answer to a request',
    does: { uselessApdus: 'notifications' },
  },
  'useless-blocks': {
    description: 'sends general blocks without content, without an end, in place of an answer',
    does: { uselessApdus: 'blocks' },
  },
  'notifications-first': {
    description: 'sends three notifications in front of each answer',
    does: { notificationsFirst: 3 },
  },
  'empty-frames': {
    description: 'sends a wrapper frame of length 0 in front of each answer',
    does: { hasEmptyFrames: true },
  },
  'hdlc-without-llc': {
    description: 'HDLC: leaves the three LLC octets out',
    does: { llc: 'none' },
  },
  'hdlc-llc-of-client': {
    description: 'HDLC: writes the LLC octets of a client, E6 E6 00',
    does: { llc: 'of-a-client' },
  },
  'mode-e': {
    description: 'HDLC behind the opening of mode E; the first meter on a line decides',
    does: { hasModeE: true },
    record: { profile: 'mode-e' },
  },
} as const satisfies Record<string, Row>

export type QuirkName = keyof typeof quirkTable
export const quirkNames = Object.keys(quirkTable) as QuirkName[]
export const quirkRow = (name: QuirkName): Row => quirkTable[name]
