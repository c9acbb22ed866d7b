/**
 * RequestId messages and outcome texts in protobuf, from the octets they stand in; shared by all
 * that goes back to parties.
 */
import { errorCodeOf, errorTable, explain } from '../base/error-table.ts'
import { formatSrv, type Srv } from '../base/srv.ts'
import { serviceRequests } from '../catalogue/service-requests.ts'
import { offsetOf } from '../envelope/layout.ts'
import { ProtobufWriter, tagOf, varintBytes, WireType } from './protobuf.ts'

const eui64TextBytes = 23

// Both digits of each octet, as they stand in the text.
const highDigit = new Uint8Array(256)
const lowDigit = new Uint8Array(256)
for (let i = 0; i < 256; i++) {
  const text = i.toString(16).toUpperCase().padStart(2, '0')
  highDigit[i] = text.charCodeAt(0)
  lowDigit[i] = text.charCodeAt(1)
}
const dash = 45

// Two EUI-64 texts with tag and length each, tags already in place; only digits are written.
const idFront = Buffer.alloc(2 * (2 + eui64TextBytes), dash)
idFront[0] = tagOf(1, WireType.LENGTH)
idFront[1] = idFront[2 + eui64TextBytes + 1] = eui64TextBytes
idFront[2 + eui64TextBytes] = tagOf(2, WireType.LENGTH)

function writeEui64Text(view: Uint8Array, from: number, at: number): void {
  for (let i = 0, p = at; i < 8; i++, p += 3) {
    const octet = view[from + i]!
    idFront[p] = highDigit[octet]!
    idFront[p + 1] = lowDigit[octet]!
  }
}

const originatorTextAt = 2
const targetTextAt = 4 + eui64TextBytes

/**
 * Appends `1: RequestId`, field 1 of every message that names a request, with the texts that stand
 * in `idFront`.
 */
function appendIdFront(writer: ProtobufWriter, counterLow: number, counterHigh: number): void {
  const counterBytes =
    counterHigh === 0
      ? counterLow === 0
        ? 0
        : 1 + varintBytes(counterLow)
      : 1 + varint64Bytes(counterLow, counterHigh)
  writer.octet(tagOf(1, WireType.LENGTH))
  writer.octet(idFront.length + counterBytes)
  writer.raw(idFront)
  if (counterBytes > 0) {
    writer.octet(tagOf(3, WireType.VARINT))
    writer.varint64(counterLow, counterHigh)
  }
}

function varint64Bytes(low: number, high: number): number {
  let count = 4
  for (let rest = high * 16 + (low >>> 28); rest >= 1; rest = Math.floor(rest / 128)) count++
  return count
}

/** Appends the RequestId in the header of the envelope at `at`, as field 1. */
export function appendRequestIdOf(writer: ProtobufWriter, buffer: Buffer, at: number): void {
  writeEui64Text(buffer, at + offsetOf.originator, originatorTextAt)
  writeEui64Text(buffer, at + offsetOf.target, targetTextAt)
  const low = buffer.readUInt32BE(at + offsetOf.counter + 4)
  appendIdFront(writer, low, buffer.readUInt32BE(at + offsetOf.counter))
}

/** The same for a request that has no envelope. Originator and target are eight octets each. */
export function appendRequestId(
  writer: ProtobufWriter,
  { originator, target, counter }: ScannedId,
): void {
  writeEui64Text(originator, 0, originatorTextAt)
  writeEui64Text(target, 0, targetTextAt)
  appendIdFront(writer, Number(counter & 0xffff_ffffn), Number(counter >> 32n))
}

type ScannedId = {
  readonly originator: Uint8Array
  readonly target: Uint8Array
  readonly counter: bigint
}

/** Appends a text at `field`; nothing when it is empty. */
export function textField(writer: ProtobufWriter, field: number, text: string): void {
  if (text === '') return
  const bytes = Buffer.from(text, 'utf8')
  writer.octet(tagOf(field, WireType.LENGTH))
  writer.lengthDelimited(bytes, 0, bytes.length)
}

/** When an outcome's sentence goes along. */
type Sentence = 'always' | 'unless-good' | 'never'

/**
 * Makes a look-up from outcome ids to encoded fields: response_code at `firstField`, reason behind
 * it, then message. Encoded once each. Ids of a newer Busbar get E51 and say their number.
 */
export function outcomeFields(firstField: number, sentence: Sentence): (outcome: number) => Buffer {
  const encoded: Buffer[] = []
  const encode = (outcome: number): Buffer => {
    const code = errorCodeOf(outcome)
    const duis = code === undefined ? 'E51' : errorTable[code].duis
    const writer = new ProtobufWriter(512)
    textField(writer, firstField, duis)
    textField(writer, firstField + 1, code ?? `OUTCOME_${outcome}`)
    const isSaid = sentence === 'always' || (sentence === 'unless-good' && duis !== 'I0')
    if (isSaid)
      textField(
        writer,
        firstField + 2,
        code === undefined ? 'This outcome is of a newer Busbar.' : explain(code),
      )
    return Buffer.from(writer.take())
  }
  for (const { id } of Object.values(errorTable)) encoded[id] = encode(id)
  return (outcome) => encoded[outcome] ?? encode(outcome)
}

/**
 * response_code at `firstField`, reason and message behind it, the message with `detail`. For what
 * is rare: nothing is kept.
 */
export function appendOutcome(
  writer: ProtobufWriter,
  firstField: number,
  outcome: number,
  detail: string,
): void {
  const code = errorCodeOf(outcome)
  textField(writer, firstField, code === undefined ? 'E51' : errorTable[code].duis)
  textField(writer, firstField + 1, code ?? `OUTCOME_${outcome}`)
  textField(writer, firstField + 2, code === undefined ? detail : explain(code, detail))
}

const srvTexts = new Map<number, Buffer>(
  serviceRequests.map(({ srv, text }) => [srv, Buffer.from(text, 'latin1')]),
)

/** Appends service_reference_variant at `field`; nothing when `srv` is 0. */
export function appendSrv(writer: ProtobufWriter, field: number, srv: Srv): void {
  if (srv === 0) return
  const text = srvTexts.get(srv) ?? Buffer.from(formatSrv(srv), 'latin1')
  writer.octet(tagOf(field, WireType.LENGTH))
  writer.lengthDelimited(text, 0, text.length)
}

/** Appends a Timestamp at `field`; nothing when `utcMs` is 0. */
export function appendTime(writer: ProtobufWriter, field: number, utcMs: number): void {
  if (utcMs === 0) return
  writer.octet(tagOf(field, WireType.LENGTH))
  writer.timestamp(utcMs)
}
