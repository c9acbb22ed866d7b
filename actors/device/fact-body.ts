/** Bodies of facts that have a version: `version 1 | content`. */
import { BrokerError } from '../../core/base/broker-error.ts'
import { readBodyView } from '../../core/envelope/envelope.ts'

const bodyVersion = 1

/** A body of version 1 with this content. */
export const versioned = (content: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(bodyVersion), content])

/**
 * What stands behind the version in the body of the envelope at `at`; borrowed.
 * @throws BrokerError ENVELOPE_MALFORMED; FORMAT_VERSION_LATER for the body of a later version
 */
export function readVersioned(buffer: Buffer, at: number, what: string): Buffer {
  const body = readBodyView(buffer, at)
  const version = body[0] ?? 0
  if (version > bodyVersion)
    throw new BrokerError('FORMAT_VERSION_LATER', `${what} of version ${version}, 1 is known`)
  if (version !== bodyVersion) throw new BrokerError('ENVELOPE_MALFORMED', what)
  return body.subarray(1)
}
