/**
 * The fact that says by which right a request was accepted, beside REQUEST_ACCEPTED: of a third
 * party always, of others when what they read is cut. Decided and applied in grants.ts; its octets
 * are those of core/registration/grant.ts with a version in front.
 */
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind, readOriginator, readTime } from '../../core/envelope/envelope.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import {
  basisIn,
  packedBasis,
  type GrantBasis,
  type PackedBasis,
} from '../../core/registration/grant.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'

export type RequestGranted = {
  type: 'REQUEST_GRANTED'
  originator: Eui64
  counter: RequestCounter
  time: number
  basis: GrantBasis
}

/** Its body. */
export const grantBody = ({ basis }: RequestGranted): Buffer => packTree(packedBasis(basis))

/**
 * The fact in the envelope at `at`; undefined when it is another one.
 * @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED
 */
export function readGrantFact(buffer: Buffer, at: number): RequestGranted | undefined {
  if (readKind(buffer, at) !== Kind.REQUEST_GRANTED) return undefined
  return {
    type: 'REQUEST_GRANTED',
    originator: readOriginator(buffer, at),
    counter: readRequestCounter(buffer, at + offsetOf.counter),
    time: readTime(buffer, at),
    basis: readTree(readBodyView(buffer, at), 'a grant', ([basis]) =>
      basisIn(basis as PackedBasis),
    ),
  }
}
