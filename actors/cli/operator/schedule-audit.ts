/** Facts of the schedules of devices, in words for an audit. */
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { formatSrv } from '../../../core/base/srv.ts'
import { readTarget, readTime } from '../../../core/envelope/envelope.ts'
import { readFact, type ScheduleFact } from '../../schedule/facts.ts'
import type { AuditLine } from './audit-line.ts'

/** The fact of the schedules of a device at `frame[at]`. */
export const lineOfSchedule = (
  frame: Buffer,
  at: number,
  place: { sequence: number; partition: number },
): AuditLine => ({
  ...place,
  time: readTime(frame, at),
  device: textOfEui64(readTarget(frame, at)),
  requestId: undefined,
  what: meaningOf(readFact(frame, at)),
})

function meaningOf(fact: ScheduleFact): string {
  if (fact.type === 'SCHEDULE_RAN') {
    const { id, made, missed, next } = fact
    const parts = [
      ...(made === undefined ? [] : [`run ${made} made`]),
      ...(missed === 0 ? [] : [`${missed} runs missed`]),
      next === undefined ? 'ended' : `next is run ${next}`,
    ]
    return `${fact.type} schedule ${id}: ${parts.join(', ')}`
  }
  const { created, ended } = fact
  const parts: string[] = []
  if (created !== undefined) {
    const { id, party, spec } = created.schedule
    const often = spec.frequency.toLowerCase().replace('_', '-')
    parts.push(`schedule ${id} of ${textOfEui64(party)}: ${formatSrv(spec.srv)} ${often}`)
  }
  if (ended.length > 0) parts.push(`ended: ${ended.join(', ')}`)
  return `${fact.type} ${parts.join('; ')}`.trimEnd()
}
