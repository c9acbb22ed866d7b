/**
 * The operators' door for consents of third parties and for changes of tenancy: GET and POST
 * /v1/meter-points/{id}/consents, POST /v1/meter-points/{id}/consents/{consent}/withdrawal, POST
 * /v1/meter-points/{id}/tenancy, and GET /v1/consents/evidence. What is granted or withdrawn is on
 * disk when it is answered; devices learn of it by letters.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { parseEui64, readEui64, textOfEui64 } from '../../core/base/eui64.ts'
import { askActors, type ActorMailPorts, type Question } from '../../core/bus/actor-mail.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { requestIdOf } from '../../core/gateway/http/http-request.ts'
import {
  encodeGrant,
  encodeTenancy,
  encodeWithdrawal,
  grantOf,
  tenancyOf,
  withdrawalOf,
} from '../../core/registration/consent-change.ts'
import {
  endOfConsent,
  standingOfConsent,
  type ConsentRecord,
  type ConsentStanding,
} from '../../core/registration/consent-register.ts'
import type { Grant } from '../../core/registration/grant.ts'
import { textOfMeterPoint, type MeterPointId } from '../../core/registration/meter-point.ts'
import { expectOnly, provenBy } from './counters-door.ts'
import { pointIn, reportOf, rightsAt } from './meter-point-door.ts'

/** Times are UTC. `until` is when it stops to hold by all that is known, absent for an open end. */
export type ConsentJson = {
  id: string
  party: string
  standing: ConsentStanding
  categories: readonly string[]
  granularity: string
  purpose: string
  evidence: string
  from: string
  to?: string
  until?: string
  grantedAt: string
  by: string
  withdrawal?: { at: string; by: string; reason: string }
}
export type ConsentsJson = { meterPoint: string; tenancies: string[]; consents: ConsentJson[] }
/** By which right a request was accepted, with the consent of a third party. */
export type EvidenceJson = {
  requestId: string
  acceptedAt: string
  meterPoint: string
  /** Of the rights that decided. */
  rightsVersion: number
  /** Earlier times that the request asked for were left out. */
  readFrom?: string
  consentId?: string
  /** Absent when the register of the meter point has forgotten it. */
  consent?: ConsentJson
}

type OfPoint = { Params: { id: string } }
type OfConsent = { Params: { id: string; consent: string } }
type Query = { Querystring: Record<string, unknown> }

export function addConsentRoutes(app: FastifyInstance, ports: ActorMailPorts): void {
  const safe = { exposeHeadRoute: true }
  const path = '/v1/meter-points/:id/consents'
  app.get<OfPoint>(path, safe, ({ params }) => consentsOf(pointIn(params.id), ports))
  app.post<OfPoint>(path, async (request): Promise<ConsentsJson> => {
    const target = pointIn(request.params.id)
    const bodyBytes = encodeGrant(grantOf(actOf(request, 'grants the consent')))
    await change({ kind: Kind.CONSENT_GRANT, target, bodyBytes }, ports)
    return consentsOf(target, ports)
  })
  app.post<OfConsent>(`${path}/:consent/withdrawal`, async (request) => {
    const { id: point, consent: id } = request.params
    const target = pointIn(point)
    const given = actOf(request, 'withdraws the consent')
    const bodyBytes = encodeWithdrawal(withdrawalOf({ ...given, id }))
    await change({ kind: Kind.CONSENT_WITHDRAWAL, target, bodyBytes }, ports)
    return consentsOf(target, ports)
  })
  app.post<OfPoint>('/v1/meter-points/:id/tenancy', async (request) => {
    const target = pointIn(request.params.id)
    const bodyBytes = encodeTenancy(tenancyOf(actOf(request, 'begins the tenancy')))
    await change({ kind: Kind.TENANCY_CHANGE, target, bodyBytes }, ports)
    return consentsOf(target, ports)
  })
  app.get<Query>('/v1/consents/evidence', safe, async ({ query }): Promise<EvidenceJson> => {
    expectOnly(query, ['request'])
    return evidenceOf(requestIn(query['request']), ports)
  })
}

/** The body of an act, with who is known to do it. */
function actOf(request: FastifyRequest, what: string): Record<string, unknown> {
  const { body } = request
  const given = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  const by = provenBy(request, given['by'], what)
  return by === undefined ? given : { ...given, by }
}

async function change(question: Question, ports: ActorMailPorts): Promise<void> {
  const [refused] = await askActors([question], ports)
  if (refused !== undefined)
    throw new BrokerError(refused.code, textOfMeterPoint(question.target as MeterPointId))
}

async function consentsOf(point: MeterPointId, ports: ActorMailPorts): Promise<ConsentsJson> {
  const { register, version } = await reportOf(point, ports)
  if (version === 0) throw new BrokerError('METER_POINT_UNKNOWN', textOfMeterPoint(point))
  const now = ports.clock.now()
  return {
    meterPoint: textOfMeterPoint(point),
    tenancies: register.tenancies.map(iso),
    consents: register.consents.map((one) => jsonOf(one, register.tenancies, now)),
  }
}

const iso = (atMs: number): string => new Date(atMs).toISOString()

function jsonOf(consent: ConsentRecord, tenancies: readonly number[], now: number): ConsentJson {
  const { id, party, categories, granularity, purpose, evidence, by, withdrawal } = consent
  const until = endOfConsent(consent, tenancies)
  return {
    id,
    party: textOfEui64(party),
    standing: standingOfConsent(consent, tenancies, now),
    categories,
    granularity,
    purpose,
    evidence: evidence.toString('hex'),
    from: iso(consent.fromMs),
    ...(consent.toMs !== Infinity && { to: iso(consent.toMs) }),
    ...(until !== Infinity && { until: iso(until) }),
    grantedAt: iso(consent.grantedAtMs),
    by,
    ...(withdrawal && {
      withdrawal: { at: iso(withdrawal.atMs), by: withdrawal.by, reason: withdrawal.reason },
    }),
  }
}

type AskedRequest = Pick<Grant, 'originator' | 'counter'> & {
  target: Grant['originator']
  text: string
}

/** @throws BrokerError VIEW_QUERY_INVALID */
function requestIn(value: unknown): AskedRequest {
  const text = String(value)
  const requestId = requestIdOf(text)
  const [from, to] = [requestId?.originator, requestId?.target].map((one) => parseEui64(one ?? ''))
  if (requestId === undefined || from === undefined || to === undefined)
    throw new BrokerError(
      'VIEW_QUERY_INVALID',
      'request must be a RequestID: originator:target:counter',
    )
  const octets = Buffer.alloc(8)
  octets.writeBigUInt64BE(requestId.counter)
  return {
    originator: readEui64(from),
    target: readEui64(to),
    counter: readRequestCounter(octets),
    text,
  }
}

/** One question leads from a RequestID to the evidence. */
async function evidenceOf(
  { originator, target, counter, text }: AskedRequest,
  ports: ActorMailPorts,
): Promise<EvidenceJson> {
  const { grants } = await rightsAt(target, ports)
  const grant = grants.find((one) => one.originator === originator && one.counter === counter)
  if (grant === undefined) throw new BrokerError('GRANT_UNKNOWN', text)
  const { register } = await reportOf(grant.point, ports)
  const consent = register.consents.find(({ id }) => id === grant.consent)
  return {
    requestId: text,
    acceptedAt: iso(grant.atMs),
    meterPoint: textOfMeterPoint(grant.point),
    rightsVersion: grant.version,
    ...(grant.readableFromMs !== undefined && { readFrom: iso(grant.readableFromMs) }),
    ...(grant.consent !== undefined && { consentId: grant.consent }),
    ...(consent && { consent: jsonOf(consent, register.tenancies, ports.clock.now()) }),
  }
}
