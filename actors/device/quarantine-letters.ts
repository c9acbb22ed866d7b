/** The letter by which a device says that a request has left quarantine. */
import {
  encodeCount,
  QuarantineReason,
  type CountedRequest,
} from '../../core/access/count-letters.ts'
import { actorIdOf, ActorKindNumber } from '../../core/base/actor-id.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { Tell } from '../kind/letters.ts'

const nobody = '\0'.repeat(8) as Eui64

/** To the thresholds of its party. */
export const tellLeft = (
  { originator, counter, srv }: Omit<CountedRequest, 'device'>,
  event: number,
): Tell => ({
  type: 'TELL',
  to: actorIdOf(ActorKindNumber.THRESHOLD, originator),
  bodyBytes: encodeCount({
    word: 'LEFT',
    originator,
    // Its sender.
    device: nobody,
    counter,
    srv,
    reason: QuarantineReason.NONE,
    event,
    atMs: 0,
  }),
})
