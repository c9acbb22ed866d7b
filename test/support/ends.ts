/** How often each request ended, as the deliveries in the ledger say: by `party/device/counter`. */
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { forEachEnvelope } from '../../core/envelope/frame.ts'
import { readCounter, readKind, readTarget } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'

export function endsOf(messages: readonly LedgerMessage[]): Map<string, number> {
  const ends = new Map<string, number>()
  for (const { subject, data } of messages) {
    if (!subject.startsWith('log.')) continue
    readTickMessage(data, undefined, (party, frame) =>
      forEachEnvelope(frame, 0, (at) => {
        if (readKind(frame, at) !== Kind.RESPONSE) return
        const id = `${party}/${readTarget(frame, at)}/${readCounter(frame, at)}`
        ends.set(id, (ends.get(id) ?? 0) + 1)
      }),
    )
  }
  return ends
}
