/** A line of the audit of a ledger. */
import type { SealedRequest } from '../../../core/translate/sealed-request.ts'
import type { RequestCounter } from '../../../core/base/counter.ts'
import { textOfEui64, type Eui64 } from '../../../core/base/eui64.ts'

/** One thing that the ledger says, in words; never a reading or a secret. */
export type AuditLine = {
  sequence: number
  /** UTC ms. */
  time: number
  partition: number | undefined
  device: string
  /** `originator:device:counter`; undefined for what is of a device and of no request. */
  requestId: string | undefined
  /**
   * Of an operator's act on the counters of a party at the device: how their RequestIDs begin,
   * `originator:device:`.
   */
  concerns?: string
  /** Of a letter: who sent it, and to whom. */
  actors?: readonly string[]
  /** It is the acceptance of a request. */
  isAcceptance?: true
  /** Of a signed request: its seal and what was signed, or why that cannot be made again. */
  signed?: SealedRequest | string
  what: string
}

/** For people: `originator:device:counter`. */
export function requestIdOf(originator: Eui64, device: Eui64, counter: RequestCounter): string {
  const number = Buffer.from(counter, 'latin1').readBigUInt64BE()
  return `${textOfEui64(originator)}:${textOfEui64(device)}:${number}`
}
