/**
 * Status answers: from a STATUS envelope to busbar.v1.GetRequestStatusResponse. Its body is nine octets: state u8
 * (1 waiting, 2 sent, 3 ended) and the time of acceptance, u64 UTC ms; outcome is `notEnded` until it has ended.
 */
import { BrokerError } from '../base/broker-error.ts'
import {
  readAttempt,
  readBodyView,
  readOutcome,
  readSafeU64,
  readSrv,
  readTime,
} from '../envelope/envelope.ts'
import { appendRequestIdOf, appendSrv, appendTime, outcomeFields } from './request-identity.ts'
import { type ProtobufWriter, tagOf, WireType } from './protobuf.ts'

export const statusBodyBytes = 9
/** The outcome of a STATUS envelope whose request has not ended. */
export const notEnded = 0xffff
const stateMax = 3

const fieldsOf = outcomeFields(4, 'never')

/**
 * Appends the fields of the GetRequestStatusResponse that the STATUS envelope at `at` stands for: a whole message.
 * @throws BrokerError ENVELOPE_MALFORMED when its body is not a status
 */
export function appendStatus(writer: ProtobufWriter, buffer: Buffer, at: number): void {
  const body = readBodyView(buffer, at)
  const state = body[0]
  if (body.length !== statusBodyBytes || state === undefined || state < 1 || state > stateMax) {
    throw new BrokerError('ENVELOPE_MALFORMED', 'the body is not a status')
  }
  appendRequestIdOf(writer, buffer, at)
  writer.octet(tagOf(2, WireType.VARINT))
  writer.octet(state)
  appendSrv(writer, 3, readSrv(buffer, at))
  const outcome = readOutcome(buffer, at)
  if (outcome !== notEnded) writer.raw(fieldsOf(outcome))
  appendTime(writer, 6, readSafeU64(body, 1))
  appendTime(writer, 7, readTime(buffer, at))
  const attempts = readAttempt(buffer, at)
  if (attempts > 0) {
    writer.octet(tagOf(8, WireType.VARINT))
    writer.varint(attempts)
  }
}
