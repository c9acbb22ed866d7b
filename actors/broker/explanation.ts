/**
 * Why a request was accepted or rejected, check by check in words, each with the facts that it used
 * and their places in the ledger. Pure: it is made from what the ledger says (request-trail.ts,
 * registration-trail.ts), by the same rules as the decision itself.
 */
import {
  decideAccess,
  oneDoorOf,
  type AccessDecision,
  type CheckResult,
} from '../../core/access/access-control.ts'
import { accessChecks, withoutRegistration } from '../../core/access/access-rules.ts'
import type { PartyRecord } from '../../core/access/party-record.ts'
import { errorCodeOf, errorTable, type ErrorCode } from '../../core/base/error-table.ts'
import { textOfEui64 } from '../../core/base/eui64.ts'
import { formatSrv } from '../../core/base/srv.ts'
import { serviceRequestOf } from '../../core/catalogue/service-requests.ts'
import { initialStatus } from '../../core/inventory/device-status.ts'
import { textOfMeterPoint } from '../../core/registration/meter-point.ts'
import {
  entitlementOf,
  type Entitlement,
  type RightsPeriod,
} from '../../core/registration/rights.ts'
import type { PlacedItem, RegistrationTrail } from './registration-trail.ts'
import type { Decision, Placed } from './request-trail.ts'

/** A fact that a check has used. */
export type UsedFact = {
  /** Sequence of its tick in the ledger. */
  readonly ledgerPosition: number
  readonly what: string
}
export type ExplainedCheck = {
  readonly id: string
  readonly result: CheckResult['result']
  readonly ground: string
  readonly facts: readonly UsedFact[]
}
export type ExplainedDecision = {
  readonly result: 'accepted' | 'rejected'
  /** Absent when it was accepted. */
  readonly code?: ErrorCode | undefined
  readonly message?: string
  readonly decidedBy: 'gateway' | 'device'
  /** UTC. */
  readonly decidedAt: string
  readonly ledgerPosition: number
  readonly sentBy: string
  readonly serviceReferenceVariant: string
  /** Of the content, which is not recorded; only of a rejection. */
  readonly contentHash?: string
  /** Of the directory by which it was rejected. */
  readonly directorySequence?: number
  readonly checks: readonly ExplainedCheck[]
}

/** A party is shown nothing of others: who else is registered, and which operator did what. */
export type Audience = 'operator' | 'party'

/** What the ledger says around one decision. */
export type Ground = {
  readonly decision: Decision
  readonly parties: ReadonlyArray<Placed<{ record: PartyRecord }>>
  readonly registrations: RegistrationTrail
  readonly audience: Audience
}

export function explainDecision(ground: Ground): ExplainedDecision {
  const { decision } = ground
  const { rejection, by, time, sequence, party, srv } = decision
  const code = rejection && errorCodeOf(rejection.outcome)
  return {
    result: rejection === undefined ? 'accepted' : 'rejected',
    ...(code !== undefined && { code, message: errorTable[code].meaning }),
    decidedBy: by,
    decidedAt: new Date(rejection?.time ?? time).toISOString(),
    ledgerPosition: sequence,
    sentBy: textOfEui64(party),
    serviceReferenceVariant: formatSrv(srv),
    ...(rejection !== undefined && {
      contentHash: rejection.contentHash.toString('hex'),
      directorySequence: rejection.directorySequence,
    }),
    checks: checksOf(ground),
  }
}

function checksOf(ground: Ground): ExplainedCheck[] {
  const { decision } = ground
  const byRules = decisionByRules(ground)
  const failed = decision.rejection?.check
  const failedAt = accessChecks.findIndex(({ id }) => id === failed)
  return accessChecks.map(({ id, by, passes }, index): ExplainedCheck => {
    const asked = wasAsked(by, index, failedAt, decision)
    if (asked !== undefined) return { id, result: 'not asked', ground: asked, facts: [] }
    const result = index === failedAt ? 'failed' : 'passed'
    const ruled = byRules?.checks.find((one) => one.id === id)
    if (ruled?.result === 'not asked' && result === 'passed' && ruled.ground !== laterWords)
      return { id, result: ruled.result, ground: ruled.ground, facts: factsOf(id, ground) }
    const text = ruled?.result === result ? ruled.ground : plainGround(ruled, result, passes)
    const registered = id === 'registration' ? registrationWords(ground, result) : undefined
    return { id, result, ground: registered ?? text, facts: factsOf(id, ground) }
  })
}

/** What decideAccess says of a check behind the one that fails. */
const laterWords = 'an earlier check has decided'

/** Why a check was not asked; undefined when it was. */
function wasAsked(
  by: (typeof accessChecks)[number]['by'],
  index: number,
  failedAt: number,
  decision: Decision,
): string | undefined {
  if (by === 'not checked yet') return 'this version of Busbar does not check it'
  const isBehind = failedAt >= 0 && index > failedAt
  if (by === 'device') {
    if (decision.by === 'gateway') return 'the gateway has decided: the device was not asked'
    return isBehind ? laterWords : undefined
  }
  // A gateway has made all of its checks before the device is asked.
  return decision.by === 'gateway' && isBehind ? laterWords : undefined
}

/** The check in general, where the ledger does not show what it was decided by. */
function plainGround(
  ruled: CheckResult | undefined,
  result: 'passed' | 'failed',
  passes: string,
): string {
  const text = result === 'passed' ? passes : `does not hold: ${passes}`
  const isDecided = ruled !== undefined && ruled.ground !== laterWords
  return isDecided ? `${text}; the facts that say so are not in the ledger any more` : text
}

/** The record of the sender by which it was decided. */
function senderOf({ decision, parties }: Ground): Placed<{ record: PartyRecord }> | undefined {
  // A rejection names its directory; an acceptance goes by one that is a second old at most.
  const through = decision.rejection?.directorySequence ?? decision.sequence
  return parties.findLast(({ sequence }) => sequence <= through)
}

/** The rules asked again with the facts of then; undefined without a variant that is known. */
function decisionByRules(ground: Ground): AccessDecision | undefined {
  const { decision } = ground
  const { srv, device, rejection } = decision
  const row = serviceRequestOf(srv)
  if (row === undefined) return undefined
  const record = senderOf(ground)?.record
  const commandVariant = rejection?.commandVariant ?? 0
  const isRemoved = record === undefined || record.status === 'removed'
  return decideAccess({
    row,
    role: record?.role ?? 'OU',
    standing: isRemoved
      ? 'PARTY_UNKNOWN'
      : record.status === 'suspended'
        ? 'PARTY_SUSPENDED'
        : undefined,
    commandVariant,
    door: oneDoorOf(row, commandVariant),
    deviceType: device.type?.type,
    status: device.status?.status ?? initialStatus,
    registration: registrationOf(ground),
  })
}

const timeOf = ({ rejection, time }: Decision): number => rejection?.time ?? time

function registrationOf(ground: Ground): Entitlement | 'not-asked' {
  const { device } = ground.decision
  const points = device.links?.points ?? []
  if (points.length === 0) return 'not-asked'
  const record = senderOf(ground)?.record
  if (record === undefined) return 'not-entitled'
  return entitlementOf(
    points.map((point) => ({ rights: device.rights.get(point)?.rights })),
    record,
    timeOf(ground.decision),
  )
}

const isNow = ({ fromMs, toMs }: RightsPeriod, atMs: number): boolean =>
  fromMs <= atMs && atMs < toMs

/** Periods at the device's meter points that held at the time of the decision. */
function periodsOf(ground: Ground) {
  const { decision, registrations } = ground
  const atMs = timeOf(decision)
  return (decision.device.links?.points ?? []).flatMap((point) =>
    (decision.device.rights.get(point)?.rights.periods ?? [])
      .filter((period) => isNow(period, atMs))
      .map((period) => ({ point, period, item: registrations.sourceOf(point, period, atMs) })),
  )
}

/** Of the sender: an import supplier may be the supplier of an export MPAN, too. */
function isOfSender({ role, participant }: PartyRecord, period: RightsPeriod): boolean {
  const isRole = period.role === role || (role === 'IS' && period.role === 'ES')
  return isRole && period.participant === participant
}

const roleWords: Readonly<Partial<Record<RightsPeriod['role'], string>>> = {
  IS: 'supplier',
  ES: 'supplier of the export',
  GS: 'supplier',
  ED: 'distributor',
  GT: 'transporter',
  RSA: 'meter operator or asset manager',
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/** What the sender is at the meter points of the device; undefined when that was not looked at. */
function registrationWords(ground: Ground, result: 'passed' | 'failed'): string | undefined {
  const { decision, audience } = ground
  const record = senderOf(ground)?.record
  const points = decision.device.links?.points ?? []
  if (record === undefined || points.length === 0) return undefined
  if (withoutRegistration.has(decision.srv) || record.role === 'LC') return undefined
  const periods = periodsOf(ground)
  const own = periods.find(({ period }) => isOfSender(record, period))
  if (own !== undefined) {
    const { period, point, item } = own
    const since = `registered ${roleWords[period.role] ?? period.role} of ${textOfMeterPoint(point)} since ${day(period.fromMs)}`
    const words = item === undefined ? since : `${since} ${sourceWords(item, audience)}`
    return result === 'passed' ? words : `${words}, which does not entitle to this request`
  }
  const at = points.map((point) => textOfMeterPoint(point)).join(', ')
  const known = `${record.role} with the participant ${record.participant ?? '(none)'}`
  const not = `${known} was not registered at ${at} on ${day(timeOf(decision))}`
  if (audience === 'party') return not
  const others = periods.map(
    ({ period, point }) =>
      `${roleWords[period.role] ?? period.role} of ${textOfMeterPoint(point)} was ${period.participant}`,
  )
  return others.length === 0 ? not : `${not}; ${others.join('; ')}`
}

/** Where an item of registration data comes from. */
function sourceWords({ order, by, sequence }: PlacedItem, audience: Audience): string {
  const from =
    order.source === 'operator'
      ? audience === 'operator'
        ? `by the operator ${JSON.stringify(by)}`
        : 'by an operator'
      : `by file ${order.sequence} of source ${order.source}, record ${order.instruction}`
  return `${from} (ledger position ${sequence})`
}

/** The facts that a check looks at. */
function factsOf(id: string, ground: Ground): UsedFact[] {
  const { decision, audience } = ground
  const { type, status, links, rights } = decision.device
  switch (id) {
    case 'party':
    case 'roleSrv':
    case 'userStatus': {
      const sender = senderOf(ground)
      if (sender === undefined) return []
      const { role, status: standing, by } = sender.record
      const who = audience === 'operator' ? `, by ${JSON.stringify(by)}` : ''
      return [{ ledgerPosition: sender.sequence, what: `the party is ${standing}, ${role}${who}` }]
    }
    case 'device':
    case 'type':
      return type === undefined
        ? []
        : [{ ledgerPosition: type.sequence, what: `the device is registered as ${type.type}` }]
    case 'status':
      return status === undefined
        ? []
        : [{ ledgerPosition: status.sequence, what: `the status became ${status.status}` }]
    case 'registration': {
      const asked = links?.points ?? []
      const linked =
        links === undefined
          ? []
          : [
              {
                ledgerPosition: links.sequence,
                what: `the device is linked to ${asked.map((one) => textOfMeterPoint(one)).join(', ') || 'no meter point'}`,
              },
            ]
      const known = asked.flatMap((point): UsedFact[] => {
        const received = rights.get(point)
        if (received === undefined) return []
        const { version } = received.rights
        const what = `rights of ${textOfMeterPoint(point)}, version ${version}`
        return [{ ledgerPosition: received.sequence, what }]
      })
      return [...registeredFacts(ground), ...linked, ...known]
    }
    default:
      return []
  }
}

/** The registrations that the device's rights were made of, of the sender alone for a party. */
function registeredFacts(ground: Ground): UsedFact[] {
  const record = senderOf(ground)?.record
  return periodsOf(ground).flatMap(({ point, period, item }): UsedFact[] => {
    const isShown =
      ground.audience === 'operator' || (record !== undefined && isOfSender(record, period))
    if (item === undefined || !isShown) return []
    const what = `${item.item} of ${textOfMeterPoint(point)} is ${item.value} from ${item.from}`
    return [{ ledgerPosition: item.sequence, what }]
  })
}
