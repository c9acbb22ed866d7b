/**
 * Deliveries: from a RESPONSE, ALERT or DCC_ALERT envelope to busbar.v1.Delivery. Station 13 of a
 * message's way. The envelope's body is a ResponseBody, fields of a DeviceAlert or a DccAlert
 * already and is copied as it is. Written as field 1 of the message around it, which is
 * `deliveries` of ReceiveResponse: one after another they make the whole message.
 */
import { formatEui64 } from '../base/eui64.ts'
import { errorCodeOf, explain } from '../base/error-table.ts'
import { causeBodyType, headerBytes, Kind, offsetOf } from '../envelope/layout.ts'
import {
  envelopeEnd,
  readAttempt,
  readBodyType,
  readCorrelation,
  readCounter,
  readKind,
  readOutcome,
  readSrv,
  readTime,
} from '../envelope/envelope.ts'
import { scheduleOfCounter } from '../schedule/run-counter.ts'
import {
  appendRequestIdOf,
  appendSrv,
  appendTime,
  outcomeFields,
  textField,
} from './request-identity.ts'
import { type ProtobufWriter, tagOf, varintBytes, WireType } from './protobuf.ts'

const fieldsOf = outcomeFields(3, 'unless-good')
/** Without the sentence, which a cause makes longer. */
const codesOf = outcomeFields(3, 'never')
const messageField = 5

// What a good response takes besides its body: id 62, variant 7, outcome 8, two times 28, attempts
// 2, body's own front 3.
const usualFrontBytes = 110

/** By kind of envelope: the field of a Delivery, where it is not that of a response. */
const contentField: Readonly<Partial<Record<number, number>>> = {
  [Kind.ALERT]: 3,
  [Kind.DCC_ALERT]: 4,
}

/** True for the envelope of a delivery that this version knows. */
export function isDelivery(buffer: Buffer, at: number): boolean {
  const kind = readKind(buffer, at)
  return kind === Kind.RESPONSE || kind === Kind.ALERT || kind === Kind.DCC_ALERT
}

/**
 * Appends the Delivery of the envelope at `at`, which `isDelivery`, as field 1.
 * @param deliveryId  a whole number below 2^53
 */
export function appendDelivery(
  writer: ProtobufWriter,
  deliveryId: number,
  buffer: Buffer,
  at: number,
): void {
  const bodyStart = at + headerBytes
  const bodyEnd = envelopeEnd(buffer, at)
  // Lengths that are guessed right need no moving of the body afterwards.
  const lengthBytes = varintBytes(bodyEnd - bodyStart + usualFrontBytes)
  writer.octet(tagOf(1, WireType.LENGTH))
  const delivery = writer.open(lengthBytes)
  writer.octet(tagOf(1, WireType.VARINT))
  writer.varint(deliveryId)
  const kind = readKind(buffer, at)
  writer.octet(tagOf(contentField[kind] ?? 2, WireType.LENGTH))
  const content = writer.open(lengthBytes)
  if (kind === Kind.ALERT) appendAlert(writer, buffer, at, bodyEnd)
  else if (kind === Kind.DCC_ALERT) writer.rawPart(buffer, bodyStart, bodyEnd)
  else appendResponse(writer, buffer, at, bodyEnd)
  writer.close(content, lengthBytes)
  writer.close(delivery, lengthBytes)
}

/** The fields of a DeviceAlert, the body being those from the third on. */
function appendAlert(writer: ProtobufWriter, buffer: Buffer, at: number, bodyEnd: number): void {
  const device = Buffer.from(formatEui64(buffer, at + offsetOf.target), 'latin1')
  writer.octet(tagOf(1, WireType.LENGTH))
  writer.lengthDelimited(device, 0, device.length)
  appendTime(writer, 2, readCorrelation(buffer, at))
  writer.rawPart(buffer, at + headerBytes, bodyEnd)
}

function appendResponse(writer: ProtobufWriter, buffer: Buffer, at: number, bodyEnd: number): void {
  const bodyStart = at + headerBytes
  appendRequestIdOf(writer, buffer, at)
  appendSrv(writer, 2, readSrv(buffer, at))
  const outcome = readOutcome(buffer, at)
  const isCause = readBodyType(buffer, at) === causeBodyType
  if (isCause) {
    const code = errorCodeOf(outcome)
    const cause = buffer.toString('utf8', bodyStart, bodyEnd)
    writer.raw(codesOf(outcome))
    textField(writer, messageField, code === undefined ? cause : `${explain(code)} Cause: ${cause}`)
  } else writer.raw(fieldsOf(outcome))
  appendTime(writer, 6, readCorrelation(buffer, at))
  appendTime(writer, 7, readTime(buffer, at))
  const attempts = readAttempt(buffer, at)
  if (attempts > 0) {
    writer.octet(tagOf(8, WireType.VARINT))
    writer.varint(attempts)
  }
  if (bodyEnd > bodyStart && !isCause) {
    writer.octet(tagOf(9, WireType.LENGTH))
    writer.lengthDelimited(buffer, bodyStart, bodyEnd)
  }
  // Parties' own counters end below.
  if (buffer[at + offsetOf.counter]! >= 0x80) {
    writer.octet(tagOf(10, WireType.VARINT))
    writer.varint(scheduleOfCounter(readCounter(buffer, at)))
  }
}
