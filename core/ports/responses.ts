/**
 * Finds the response to one request among the deliveries of a party. Implemented by
 * core/ledger/response-finder over the ticks of the ledger.
 */
import type { Eui64 } from '../base/eui64.ts'

/** A request of a party: EUI-64 of the device, eight octets, and the counter. */
export type ResponseKey = { readonly target: Uint8Array; readonly counter: bigint }

/** The RESPONSE envelope at `at` of `frame`, which is the caller's to keep. */
export type FoundResponse = { frame: Buffer; at: number; deliveryId: number }

/**
 * Waits for a response that is delivered from now on. Call `close` when it is not needed any more.
 */
export type ResponseWatch = {
  /** Settles when the response is delivered; never, if it was delivered before. */
  readonly found: Promise<FoundResponse>
  close(): void
}

export interface ResponseLookup {
  /** Undefined when too many callers wait already. */
  watch(party: Eui64, key: ResponseKey): ResponseWatch | undefined
  /**
   * Looks among the deliveries that are indexed already. @throws BrokerError
   * BROKER_LEDGER_UNAVAILABLE
   */
  find(party: Eui64, key: ResponseKey): Promise<FoundResponse | undefined>
  /**
   * Looks among all deliveries that the ledger keeps, from the newest to the oldest, and indexes
   * them on the way; undefined when there is no such response.
   * @throws BrokerError BROKER_LEDGER_UNAVAILABLE, BROKER_GATEWAY_BUSY when too many searches wait
   */
  search(party: Eui64, key: ResponseKey): Promise<FoundResponse | undefined>
}
