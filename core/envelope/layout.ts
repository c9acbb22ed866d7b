/**
 * The one internal message: a MessagePack array of thirteen elements whose header elements always
 * use fixed-width encodings, so that every header field stands at a constant offset, and whose last
 * element is the body as bin 32. Any MessagePack library reads it; Busbar reads fields where they
 * stand. Integers are big-endian, as MessagePack has them.
 *
 *  element        encoding   meaning
 *  kind           cd u16     layout version × 256 + kind (below)
 *  lane           cd u16     0 urgent, 1 normal, 2 bulk
 *  srv            ce u32     service reference variant, see base/srv
 *  outcome        cd u16     row of the error table
 *  bodyType       cd u16     field number of the body in its protobuf oneof, 0 for none; in a RESPONSE 65535 when its body is the cause of a failure
 *  attempt        cd u16     attempts at the command so far
 *  originator     c4 08      EUI-64 of the party
 *  target         c4 08      EUI-64 of the device
 *  counter        cf u64     of the RequestID; in DEVICE_PUSH and DEVICE_ALERTED any number that names the push
 *  time           cf u64     when this envelope came to be, UTC ms
 *  deadline       cf u64     UTC ms, 0 for none; in a refusal: not before this time again; in ATTEMPT_FAILED and KEYS_TRIED: the next attempt
 *  correlation    cf u64     whatever its sender needs to find its place again; in a RESPONSE: when the request was accepted, in an ALERT: when it came in, UTC ms
 *  body           c6 u32     borrowed as it came in
 *
 * @source MessagePack specification, "Formats"; golden bytes in test/core/envelope
 */

export const layoutVersion = 1

export const Kind = {
  // between gateway and host
  SERVICE_REQUEST: 1,
  ACKNOWLEDGEMENT: 2,
  CANCEL: 3,
  STATUS_QUERY: 4,
  STATUS: 5,
  DEVICE_REGISTRATION: 6,
  KEYS_REPLACEMENT: 7,
  COUNTER_ACCEPTANCE: 12,
  DEVICE_REMOVAL: 13,
  // between an operator's door and a host: rights of a device
  RIGHTS_QUERY: 14,
  RIGHTS: 15,
  RIGHTS_REFRESH: 16,
  // between an operator's door and a host: the life cycle of a device
  DEVICE_STATUS: 17,
  // between gateway and host: a request with its signature, signed-request.ts
  SIGNED_REQUEST: 31,
  // and one in a sequence, sequenced-request.ts
  SEQUENCED_REQUEST: 176,
  // and one for a later time, future-request.ts
  FUTURE_REQUEST: 185,
  // from a party, or an operator's door, to a host: releases or deletes a request in quarantine
  QUARANTINE_ACTION: 24,
  // between an operator's door and a host: counters of parties at a device
  COUNTERS_QUERY: 9,
  COUNTERS_RESET: 10,
  COUNTERS: 11,
  // between a process with connections to devices and a host
  DEVICE_PUSH: 8,
  // between an operator's door and a host: schedules of a device
  SCHEDULES_QUERY: 178,
  SCHEDULES: 179,
  // facts, in a tick's frame of a partition
  DEVICE_REGISTERED: 32,
  REQUEST_ACCEPTED: 33,
  ATTEMPT_FAILED: 34,
  REQUEST_ENDED: 35,
  REQUEST_PARKED: 36,
  COUNTERS_RESERVED: 37,
  KEYS_PENDING: 38,
  KEYS_TRIED: 39,
  KEYS_PROVED: 40,
  DEVICE_KEYS_SEALED: 41,
  DEVICE_ALERTED: 42,
  COUNTER_ACCEPTED: 43,
  COUNTER_CONFIRMED: 47,
  REQUEST_COUNTERS_RESET: 46,
  DEVICE_REMOVED: 48,
  DEVICE_ADDRESSED: 49,
  DEVICE_KEYED: 50,
  DEVICE_ALERTS_ADDRESSED: 51,
  DEVICE_LINKED: 52,
  RIGHTS_RECEIVED: 53,
  DEVICE_STATUS_CHANGED: 54,
  REQUEST_GRANTED: 55,
  SIGNED_REQUEST_ACCEPTED: 56,
  // changes nothing: a record of what the device has rejected
  REQUEST_REJECTED: 63,
  REQUEST_HELD: 60,
  SEQUENCED_REQUEST_ACCEPTED: 192,
  PREDECESSOR_SUCCEEDED: 193,
  FUTURE_REQUEST_ACCEPTED: 206,
  EXECUTION_TIME_CAME: 207,
  ALERTS_TAKEN: 200,
  HELD_ALERTS_TOLD: 201,
  SCHEDULED_RUN_REFUSED: 195,
  SCHEDULES_KNOWN: 197,
  // facts of the schedules of a device
  SCHEDULES_CHANGED: 198,
  SCHEDULE_RAN: 199,
  // deliveries, in a tick's frame of a party
  RESPONSE: 64,
  ALERT: 65,
  DCC_ALERT: 66,
  // between actors
  LETTER: 72,
  // between an operator's door and a host: what is changed of a party; and its fact
  PARTY_CHANGE: 80,
  PARTY_CHANGED: 88,
  // from any process to a party: what was rejected without a device; and its facts, which change
  // nothing
  REJECTIONS_REPORT: 87,
  REJECTION_REPORTED: 94,
  REJECTIONS_COUNTED: 95,
  // between an operator's door, or a reader of registration files, and a host: what is registered
  // at a meter point, and what is known of one; and its facts
  METER_POINT_REGISTRATION: 96,
  METER_POINT_QUERY: 97,
  METER_POINT: 98,
  METER_POINT_COMPARISON: 99,
  METER_POINT_NEWS: 100,
  METER_POINT_REGISTERED: 104,
  METER_POINT_LINKED: 105,
  // between an operator's door and a host: consents of the people at a meter point; and the facts
  CONSENT_GRANT: 101,
  CONSENT_WITHDRAWAL: 102,
  TENANCY_CHANGE: 103,
  CONSENT_GRANTED: 106,
  CONSENT_WITHDRAWN: 107,
  TENANCY_CHANGED: 108,
  // between an operator's door and a host: files of a registration system; and their facts
  SOURCE_CHANGE: 128,
  SOURCE_QUERY: 129,
  SOURCE: 130,
  SOURCE_FILE_HELD: 136,
  SOURCE_FILE_BEGUN: 137,
  SOURCE_FILE_COMPARED: 138,
  SOURCE_FILE_APPROVED: 139,
  SOURCE_FILE_PROGRESSED: 140,
  SOURCE_FILE_ENDED: 141,
  SOURCE_RELEASED: 142,
  // between an operator's door and a host: thresholds of a party; and the facts of counting
  THRESHOLDS_CHANGE: 144,
  QUARANTINE_QUERY: 145,
  QUARANTINE: 146,
  THRESHOLDS_SET: 152,
  REQUEST_COUNTED: 153,
  QUARANTINE_LEFT: 154,
  // one page of what a party has in quarantine; and its fact
  QUARANTINE_PAGE_QUERY: 160,
  QUARANTINE_PAGE: 161,
  QUARANTINE_LISTED: 168,
  // from an operator to a partition's letterbox, and the facts of that
  SET_LETTERS_ASIDE: 216,
  LETTERS_READ: 224,
  LETTERS_SET_ASIDE: 225,
  // of the kind of actor that tests have: a message and a fact
  TRIAL_ADD: 240,
  TRIAL_ADDED: 248,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** Envelope kinds from `first` to `last`. */
export type KindBlock = readonly [first: number, last: number]
/** The envelope kinds of one kind of actor: messages to it from outside, and its facts. */
export type KindBlocks = {
  readonly messages: readonly KindBlock[]
  readonly facts: readonly KindBlock[]
}

/**
 * A process that meets an unknown envelope kind of a block reads a later version. Kinds 64 to 79
 * are deliveries; 112 to 127 and 208 to 215 are for further kinds of actor.
 */
export const deviceBlocks: KindBlocks = {
  messages: [
    [1, 31],
    [176, 177],
    [183, 191],
  ],
  facts: [
    [32, 63],
    [192, 197],
    [200, 207],
  ],
}
/** Of the actor that keeps the schedules of a device; cut out of the second block of devices. */
export const scheduleBlocks: KindBlocks = { messages: [[178, 182]], facts: [[198, 199]] }
export const partyBlocks: KindBlocks = { messages: [[80, 87]], facts: [[88, 95]] }
export const meterPointBlocks: KindBlocks = { messages: [[96, 103]], facts: [[104, 111]] }
export const sourceBlocks: KindBlocks = { messages: [[128, 135]], facts: [[136, 143]] }
export const thresholdBlocks: KindBlocks = { messages: [[144, 151]], facts: [[152, 159]] }
export const quarantinePageBlocks: KindBlocks = { messages: [[160, 167]], facts: [[168, 175]] }
/** Of the letterbox that each partition has; operators alone write to it. */
export const letterboxBlocks: KindBlocks = { messages: [[216, 223]], facts: [[224, 231]] }
/** Of the kind of actor that tests have. */
export const trialBlocks: KindBlocks = { messages: [[240, 247]], facts: [[248, 255]] }

/**
 * `bodyType` of a RESPONSE whose body is the sentence that says why the request failed, UTF-8, and
 * no ResponseBody.
 */
export const causeBodyType = 0xffff

/** True when an envelope kind stands in one of `blocks`. */
export function isInBlock(kind: number, blocks: readonly KindBlock[]): boolean {
  for (const [first, last] of blocks) if (kind >= first && kind <= last) return true
  return false
}

type Field = { readonly name: string; readonly tag: number; readonly width: number }
const fields = [
  { name: 'kind', tag: 0xcd, width: 2 },
  { name: 'lane', tag: 0xcd, width: 2 },
  { name: 'srv', tag: 0xce, width: 4 },
  { name: 'outcome', tag: 0xcd, width: 2 },
  { name: 'bodyType', tag: 0xcd, width: 2 },
  { name: 'attempt', tag: 0xcd, width: 2 },
  { name: 'originator', tag: 0xc4, width: 8 },
  { name: 'target', tag: 0xc4, width: 8 },
  { name: 'counter', tag: 0xcf, width: 8 },
  { name: 'time', tag: 0xcf, width: 8 },
  { name: 'deadline', tag: 0xcf, width: 8 },
  { name: 'correlation', tag: 0xcf, width: 8 },
  { name: 'body', tag: 0xc6, width: 4 },
] as const satisfies readonly Field[]
type FieldName = (typeof fields)[number]['name']

const arrayTag = 0x90 | fields.length

/**
 * Where each field's value stands, from the first octet of the envelope; `body` is where its length
 * stands.
 */
export const offsetOf: Readonly<Record<FieldName, number>> = (() => {
  const offsets: Partial<Record<FieldName, number>> = {}
  let at = 1
  for (const { name, tag, width } of fields) {
    at += tag === 0xc4 ? 2 : 1
    offsets[name] = at
    at += width
  }
  return offsets as Record<FieldName, number>
})()

/** Octets before the body. */
export const headerBytes = offsetOf.body + 4

/**
 * A header with every tag in place and every value zero: written first, then the values over it.
 */
export const headerTemplate: Buffer = (() => {
  const template = Buffer.alloc(headerBytes)
  template[0] = arrayTag
  for (const { name, tag, width } of fields) {
    if (tag === 0xc4) template[offsetOf[name] - 1] = width
    template[offsetOf[name] - (tag === 0xc4 ? 2 : 1)] = tag
  }
  template[offsetOf.kind] = layoutVersion
  return template
})()

/** Offsets of the octets that never change, to check a received header by. */
export const fixedOffsets: readonly number[] = (() => {
  const valueOctets = new Set<number>()
  for (const { name, width } of fields)
    for (let i = 0; i < width; i++) valueOctets.add(offsetOf[name] + i)
  const fixed: number[] = []
  for (let i = 0; i < headerBytes; i++) if (!valueOctets.has(i)) fixed.push(i)
  fixed.push(offsetOf.kind)
  return fixed
})()
