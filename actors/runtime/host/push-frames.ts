/**
 * What comes on the subject of a host for pushes: what devices say by themselves, and nothing else.
 * Who may send there holds connections to devices, and must not hand in requests with it.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { readKind } from '../../../core/envelope/envelope.ts'
import { Kind } from '../../../core/envelope/layout.ts'

/** @throws BrokerError ENVELOPE_MALFORMED for an envelope of another kind at `at` */
export function expectPush(view: Buffer, at: number): void {
  const kind = readKind(view, at)
  if (kind !== Kind.DEVICE_PUSH)
    throw new BrokerError('ENVELOPE_MALFORMED', `kind ${kind} where only pushes are taken`)
}
