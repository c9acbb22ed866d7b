/** Verifying signatures of requests away from the event loop, many at once. */

/** One signature to verify: ECDSA on P-256 with SHA-256. */
export type SignatureCheck = {
  /** x || y of the public key, 64 octets. */
  readonly point: Uint8Array
  /** r || s, 64 octets. */
  readonly signature: Uint8Array
  readonly signed: Uint8Array
}

export interface SignatureVerifier {
  /** Batches that may be out at once without one waiting behind all others. */
  readonly batchesOutMax: number
  /**
   * Settles with an octet for each check, 1 when the signature fits. Rejects when what verifies
   * has failed; the next call begins with a new one. Copies what it needs before it returns.
   */
  verify(checks: readonly SignatureCheck[]): Promise<Uint8Array>
  close(): Promise<void>
}
