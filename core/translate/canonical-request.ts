/**
 * The canonical form of a ServiceRequest: the octets that a party signs. Lines of ASCII, each ended
 * by LF, so that any language can make it from what it knows of the request:
 *
 *     busbar.v1.ServiceRequest
 *     certificate 5f1c…                   SHA-256 of the signing certificate, 64 hexadecimal digits
 *     request_id
 *     request_id.originator 90B3D51F30010000
 *     request_id.target 00DB100000000001
 *     request_id.counter 1764547200000000000
 *     service_reference_variant 3.1
 *     deadline 1764547320000
 *     display_message
 *     display_message.text 48656c6c6f
 *
 * One line for each field whose value is not the default of proto3, in the order of field numbers;
 * a message that is there has a line with its name alone, and then its fields. A Timestamp is one
 * value. It does not depend on the order of fields on the wire, on unknown fields, or on how EUI-64
 * are written. A field that is added later leaves the form of requests without it as it is.
 *
 * What is read is what is executed: as in scan.ts the last value wins, and the last body.
 * @source decision 0024; vectors in core/docs/parties/signature-vectors.json
 */
import { emptyBytes } from '../base/bytes.ts'
import { eui64Bytes, parseEui64Into } from '../base/eui64.ts'
import { formatSrv, parseSrvAt } from '../base/srv.ts'
import { ProtobufReader, WireType } from './protobuf.ts'
import { readTimestamp } from './timestamp.ts'

/** First line of every canonical form: nothing else that a key signs begins with it. */
export const canonicalTitle = 'busbar.v1.ServiceRequest'

/** How a value is written; a list of fields for a message. */
export type CanonicalType =
  | 'eui64'
  | 'srv'
  | 'text'
  | 'octets'
  | 'time'
  | 'bool'
  | 'enum'
  | 'uint32'
  | 'uint64'
  | readonly CanonicalField[]

export type CanonicalField = {
  readonly number: number
  /** As in the proto file. */
  readonly name: string
  readonly type: CanonicalType
  /** Of the members of one oneof the last one on the wire counts. */
  readonly oneof?: string
}

const requestIdFields: readonly CanonicalField[] = [
  { number: 1, name: 'originator', type: 'eui64' },
  { number: 2, name: 'target', type: 'eui64' },
  { number: 3, name: 'counter', type: 'uint64' },
]

const bodyOf = (
  number: number,
  name: string,
  fields: readonly CanonicalField[],
): CanonicalField => ({ number, name, type: fields, oneof: 'body' })

/** The field of the signature, which is not in the form. */
export const signatureField = 15

/** In the order of field numbers, as every list here; all fields but the signature. */
export const canonicalFields: readonly CanonicalField[] = [
  { number: 1, name: 'request_id', type: requestIdFields },
  { number: 2, name: 'service_reference_variant', type: 'srv' },
  { number: 3, name: 'deadline', type: 'time' },
  { number: 4, name: 'priority', type: 'enum' },
  { number: 5, name: 'assign_counter', type: 'bool' },
  { number: 6, name: 'correlation', type: 'uint32' },
  { number: 7, name: 'command_variant', type: 'uint32' },
  { number: 10, name: 'first_in_sequence', type: 'bool' },
  { number: 11, name: 'preceding_request_id', type: requestIdFields },
  { number: 12, name: 'execution_time', type: 'time' },
  bodyOf(16, 'display_message', [{ number: 1, name: 'text', type: 'text' }]),
  bodyOf(17, 'read_period', [
    { number: 1, name: 'start_time', type: 'time' },
    { number: 2, name: 'end_time', type: 'time' },
  ]),
  bodyOf(18, 'synchronise_clock', [{ number: 1, name: 'tolerance_seconds', type: 'uint32' }]),
  bodyOf(19, 'create_schedule', [
    { number: 1, name: 'frequency', type: 'enum' },
    { number: 2, name: 'start_date', type: 'text' },
    { number: 3, name: 'end_date', type: 'text' },
    { number: 4, name: 'start_time', type: 'text' },
    { number: 5, name: 'spread_minutes', type: 'uint32' },
    { number: 6, name: 'time_zone', type: 'text' },
    { number: 7, name: 'service_reference_variant', type: 'text' },
    {
      number: 8,
      name: 'log_window',
      type: [
        { number: 1, name: 'start_days_before', type: 'uint32' },
        { number: 2, name: 'start_time', type: 'text' },
        { number: 3, name: 'end_days_before', type: 'uint32' },
        { number: 4, name: 'end_time', type: 'text' },
      ],
    },
  ]),
  bodyOf(20, 'read_schedules', [{ number: 1, name: 'schedule_id', type: 'uint64' }]),
  bodyOf(21, 'delete_schedules', [{ number: 1, name: 'schedule_id', type: 'uint64' }]),
]

/** Where the last value of each field stands; -1 for none. Of a varint its two halves. */
type Found = { wireType: number; first: number; second: number }

/**
 * The canonical form of the ServiceRequest in `view[start, end)`, signed with the certificate whose
 * SHA-256 is `certificate`. Undefined when the wire is malformed, or a value is not of its type.
 *
 * @param certificate  64 hexadecimal digits, in lower case
 */
export function canonicalRequest(
  view: Buffer,
  start: number,
  end: number,
  certificate: string,
): Buffer | undefined {
  const lines = [canonicalTitle, `certificate ${certificate}`]
  return appendFields(view, [start, end], canonicalFields, '', lines)
    ? Buffer.from(`${lines.join('\n')}\n`, 'latin1')
    : undefined
}

/** False when the message is malformed. */
function appendFields(
  view: Buffer,
  [start, end]: readonly [number, number],
  fields: readonly CanonicalField[],
  prefix: string,
  lines: string[],
): boolean {
  const found = lastValues(view, start, end, fields)
  if (found === undefined) return false
  for (const [index, { name, type }] of fields.entries()) {
    const value = found[index]
    if (value === undefined) continue
    const path = prefix + name
    if (typeof type !== 'string') {
      lines.push(path)
      const place = [value.first, value.second] as const
      if (!appendFields(view, place, type, `${path}.`, lines)) return false
      continue
    }
    const text = textOf(view, value, type)
    if (text === undefined) return false
    if (text !== '') lines.push(`${path} ${text}`)
  }
  return true
}

function lastValues(
  view: Buffer,
  start: number,
  end: number,
  fields: readonly CanonicalField[],
): (Found | undefined)[] | undefined {
  const found = Array.from<Found | undefined>({ length: fields.length })
  const reader = new ProtobufReader(emptyBytes).open(view, start, end)
  while (reader.nextField()) {
    const { field, wireType } = reader
    const index = fields.findIndex(({ number }) => number === field)
    const known = fields[index]
    if (known === undefined || wireType !== wireTypeOf(known.type)) {
      reader.skip()
      continue
    }
    if (wireType === WireType.VARINT) {
      reader.readVarint()
      found[index] = { wireType, first: reader.low, second: reader.high }
      continue
    }
    const to = reader.readLength()
    if (reader.isBroken) return undefined
    const { oneof } = known
    if (oneof !== undefined)
      for (const [other, one] of fields.entries()) if (one.oneof === oneof) found[other] = undefined
    found[index] = { wireType, first: reader.at, second: to }
    reader.at = to
  }
  return reader.isBroken ? undefined : found
}

function wireTypeOf(type: CanonicalType): WireType {
  switch (type) {
    case 'bool':
    case 'enum':
    case 'uint32':
    case 'uint64':
      return WireType.VARINT
    default:
      return WireType.LENGTH
  }
}

const euiOctets = Buffer.alloc(eui64Bytes)

/** Empty for the default of the type; undefined for what is not of the type. */
function textOf(
  view: Buffer,
  { first, second }: Found,
  type: Exclude<CanonicalType, readonly CanonicalField[]>,
): string | undefined {
  switch (type) {
    case 'eui64':
      return parseEui64Into(view, first, second, euiOctets, 0)
        ? euiOctets.toString('hex').toUpperCase()
        : undefined
    case 'srv': {
      const srv = parseSrvAt(view, first, second)
      return srv === 0 ? undefined : formatSrv(srv)
    }
    case 'time':
      return readTimestamp(view, first, second)?.toString()
    case 'text':
    case 'octets':
      return view.toString('hex', first, second)
    case 'bool':
      return (first | second) === 0 ? '' : 'true'
    case 'enum':
      return numberText(first | 0)
    case 'uint32':
      return numberText(first)
    case 'uint64':
      return second === 0 ? numberText(first) : String((BigInt(second) << 32n) | BigInt(first))
  }
}

const numberText = (value: number): string => (value === 0 ? '' : String(value))
