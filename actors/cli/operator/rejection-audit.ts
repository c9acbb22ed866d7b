/** Facts of parties, and rejections, in words for an audit. */
import type { Rejection } from '../../../core/access/rejection.ts'
import { numberOfCounter } from '../../../core/base/counter.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { formatSrv } from '../../../core/base/srv.ts'
import type { PartyFact } from '../../party/facts.ts'
import type { AuditLine } from './audit-line.ts'

type Said = Pick<AuditLine, 'requestId' | 'what'>

const codeOf = (outcome: number): string => errorCodeOf(outcome) ?? String(outcome)

export function lineOfRejection(type: string, rejection: Rejection): Said {
  const { originator, target, counter, srv, outcome, check } = rejection
  return {
    requestId: `${textOfEui64(originator)}:${textOfEui64(target)}:${numberOfCounter(counter)}`,
    what: `${type} ${formatSrv(srv)} ${codeOf(outcome)}${check && `, check ${check}`}`,
  }
}

export function lineOfPartyFact(fact: PartyFact): Said {
  switch (fact.type) {
    case 'PARTY_CHANGED': {
      const { status, role, name, by, mustSign } = fact.record
      const signs = mustSign === undefined ? '' : `, signs ${mustSign.join()}`
      const what = `${fact.type} ${status}, ${role} ${JSON.stringify(name)}${signs}, by ${JSON.stringify(by)}`
      return { requestId: undefined, what }
    }
    case 'REJECTION_REPORTED':
      return lineOfRejection(fact.type, fact.rejection)
    case 'REJECTIONS_COUNTED': {
      const { outcome, caller, fromMs, toMs, count } = fact.count
      const period = `${new Date(fromMs).toISOString()} to ${new Date(toMs).toISOString()}`
      const from = caller && ` of callers over ${caller}`
      const what = `${fact.type} ${count} times ${codeOf(outcome)}${from}, ${period}`
      return { requestId: undefined, what }
    }
  }
}
