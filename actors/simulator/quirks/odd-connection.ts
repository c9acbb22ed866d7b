/**
 * What meters with quirks do with a connection: whom they admit, when they close it, and how they
 * refuse what they cannot open. Pure; the connection carries it out. [IEC 62056-5-3, COSEM-OPEN,
 * COSEM-RELEASE, ExceptionResponse]
 */
import type { BrokerError } from '../../../core/base/broker-error.ts'
import { ApduTag, ServiceError, StateError } from '../../../core/dlms/apdu/constants.ts'
import { encodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { allocateApdu } from '../../../core/dlms/framing/wrapper.ts'
import { exceptionTo, refusalOf } from '../network/faulty-answer.ts'
import type { MeterAssociation } from '../network/meter-association.ts'

/**
 * What becomes of a frame: it is taken, gets no answer, ends the connection, or gets an answer for
 * another client.
 */
export type Admission = 'taken' | 'silence' | 'close' | { reply: Buffer; client: number }

/**
 * Which client has the association of each meter on one connection, where a meter has no more than
 * one.
 */
export class OddSeats {
  private readonly holders = new Map<number, number>()

  admit({ quirks, role, client, address }: MeterAssociation, requestView: Buffer): Admission {
    const isAarq = requestView[0] === ApduTag.AARQ
    if (isAarq && quirks.closesOnAarq === true && role === 'management') return 'close'
    if (quirks.secondClient === undefined) return 'taken'
    const holder = this.holders.get(address)
    if (holder === undefined) this.holders.set(address, client)
    if (holder === undefined || holder === client) return 'taken'
    return quirks.secondClient === 'silence'
      ? 'silence'
      : { reply: misaddressedError(), client: holder }
  }

  /** Once the frame has been answered: true when the connection ends by it. */
  answered(of: MeterAssociation, requestView: Buffer): boolean {
    const { afterRelease = 'free' } = of.quirks
    const isReleased = requestView[0] === ApduTag.RLRQ && !of.server.isAssociated
    if (afterRelease === 'free' && !of.server.isAssociated) this.holders.delete(of.address)
    return isReleased && afterRelease === 'closed'
  }
}

// Confirmed-service-error of an initiate, which is four octets long: [1] initiateError, [6]
// initiate, 0 other.
function misaddressedError(): Buffer {
  const apdu = allocateApdu(4)
  apdu.set([ApduTag.CONFIRMED_SERVICE_ERROR, 1, 6, 0])
  return apdu
}

/** How the meter refuses what it could not open: an answer, none, or the end of the connection. */
export function oddRefusal(
  { quirks, meter }: MeterAssociation,
  error: BrokerError,
): Buffer | 'silence' | 'close' {
  switch (quirks.refusal) {
    case 'close':
    case 'silence':
      return quirks.refusal
    case 'aare':
      return refusalOf(anyAarq)!
    case 'exception':
      if (error.code !== 'DLMS_COUNTER_REPLAYED') break
      return encodeApdu({
        type: 'exception-response',
        stateError: StateError.SERVICE_NOT_ALLOWED,
        serviceError: {
          error: ServiceError.INVOCATION_COUNTER_ERROR,
          invocationCounter: meter.security!.received + 1,
        },
      })
    default:
      break
  }
  return exceptionTo(anyGet)!
}

const anyAarq = Buffer.of(ApduTag.AARQ)
const anyGet = Buffer.of(ApduTag.GET_REQUEST)
