/**
 * Status answers: from a STATUS envelope (core/envelope/status-body) to
 * busbar.v1.GetRequestStatusResponse.
 */
import { readAttempt, readOutcome, readSrv, readTime } from '../envelope/envelope.ts'
import { notEnded, readAcceptedAtMs, readStatusState } from '../envelope/status-body.ts'
import { appendRequestIdOf, appendSrv, appendTime, outcomeFields } from './request-identity.ts'
import { type ProtobufWriter, tagOf, WireType } from './protobuf.ts'

const fieldsOf = outcomeFields(4, 'never')

/**
 * Appends the fields of the GetRequestStatusResponse that the STATUS envelope at `at` stands for: a
 * whole message.
 * @throws BrokerError ENVELOPE_MALFORMED when its body is not a status
 */
export function appendStatus(writer: ProtobufWriter, buffer: Buffer, at: number): void {
  const state = readStatusState(buffer, at)
  appendRequestIdOf(writer, buffer, at)
  writer.octet(tagOf(2, WireType.VARINT))
  writer.octet(state)
  appendSrv(writer, 3, readSrv(buffer, at))
  const outcome = readOutcome(buffer, at)
  if (outcome !== notEnded) writer.raw(fieldsOf(outcome))
  appendTime(writer, 6, readAcceptedAtMs(buffer, at))
  appendTime(writer, 7, readTime(buffer, at))
  const attempts = readAttempt(buffer, at)
  if (attempts > 0) {
    writer.octet(tagOf(8, WireType.VARINT))
    writer.varint(attempts)
  }
}
