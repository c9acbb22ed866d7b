/**
 * The operators' door for meter points and the rights of devices: POST /v1/meter-points, GET
 * /v1/meter-points/{id}, GET /v1/devices/{eui64}/rights, POST /v1/devices/{eui64}/rights/check.
 * What is registered is on disk when it is answered; devices learn of it by letters.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BrokerError } from '../../core/base/broker-error.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { explain, type ErrorCode } from '../../core/base/error-table.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { DeviceStatus } from '../../core/inventory/device-status.ts'
import { askActors, type ActorMailPorts, type Question } from '../../core/bus/actor-mail.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { ContentLimits } from '../../core/http/json-content.ts'
import {
  meterPointWords,
  parseMeterPoint,
  textOfMeterPoint,
  type MeterPointId,
} from '../../core/registration/meter-point.ts'
import {
  decodeMeterPointReport,
  type MeterPointReport,
} from '../../core/registration/meter-point-report.ts'
import {
  encodeRegistrationChange,
  registrationChangeOf,
} from '../../core/registration/registration-change.ts'
import type { Consent } from '../../core/registration/consent.ts'
import type { RegistrationItem } from '../../core/registration/registration-record.ts'
import { rightsOf } from '../../core/registration/registrations.ts'
import type { Rights, RightsPeriod } from '../../core/registration/rights.ts'
import {
  decodeRightsReport,
  type ReportedLink,
  type RightsReport,
} from '../../core/registration/rights-report.ts'
import { statusBody } from '../device/status-fact.ts'
import { byIn, deviceIn, expectOnly, provenBy } from './counters-door.ts'

/** An item as JSON; when it was received is shown, not given. */
export type ItemJson = RegistrationItem & { receivedAt: string }
export type MeterPointJson = {
  meterPoint: string
  items: ItemJson[]
  devices: string[]
  version: number
}
export type RegistrationsAnswer = {
  registered: number
  refused: Array<{ index: number; meterPoint?: string; code: ErrorCode; message: string }>
}
export type PeriodJson = { role: string; participant: string; from: string; to?: string }
/** A consent as a device knows it. */
export type KnownConsentJson = {
  id: string
  party: string
  categories: readonly string[]
  granularity: string
  from: string
  to?: string
}
export type LinkJson = {
  meterPoint: string
  version?: number
  periods?: PeriodJson[]
  consents?: KnownConsentJson[]
}
export type RightsJson = { device: string; status: DeviceStatus; links: LinkJson[] }
/** `differing`: meter points whose rights the device did not have; it has asked them again. */
export type RightsCheck = { device: string; meterPoints: number; differing: string[] }

const recordList: ContentLimits = {
  bytesMax: limits.partyMessageBytesMax,
  itemsMax: limits.requestsPerBatchMax,
  depthMax: limits.jsonNestingMax,
}

type OfPoint = { Params: { id: string } }
type OfDevice = { Params: { eui64: string }; Querystring: Record<string, unknown> }

export function addMeterPointRoutes(app: FastifyInstance, ports: ActorMailPorts): void {
  const safe = { exposeHeadRoute: true }
  app.post('/v1/meter-points', { config: { content: recordList } }, (request) =>
    registerList(request, ports),
  )
  app.get<OfPoint>('/v1/meter-points/:id', safe, async ({ params }): Promise<MeterPointJson> => {
    const point = pointIn(params.id)
    const { items, links, version } = await reportOf(point, ports)
    if (version === 0) throw new BrokerError('METER_POINT_UNKNOWN', textOfMeterPoint(point))
    return {
      meterPoint: textOfMeterPoint(point),
      version,
      devices: links.map(({ device }) => textOfEui64(device)),
      items: items.map(({ receivedAtMs, ...item }) => ({ ...item, receivedAt: iso(receivedAtMs) })),
    }
  })
  app.post<OfDevice>('/v1/devices/:eui64/status', async (request) => {
    const device = deviceIn(request.params.eui64)
    const wanted = statusIn(request)
    const bodyBytes = statusBody(wanted)
    const question = { kind: Kind.DEVICE_STATUS, target: device, bodyBytes }
    const [refused] = await askActors([question], ports)
    if (refused !== undefined) throw new BrokerError(refused.code, textOfEui64(device))
    return { device: textOfEui64(device), status: wanted.status }
  })
  const path = '/v1/devices/:eui64/rights'
  app.get<OfDevice>(path, safe, async ({ params }): Promise<RightsJson> => {
    const device = deviceIn(params.eui64)
    const { links, status } = await rightsAt(device, ports)
    return { device: textOfEui64(device), status, links: links.map(jsonOfLink) }
  })
  app.post<OfDevice>(`${path}/check`, async (request): Promise<RightsCheck> => {
    const { params, query } = request
    const device = deviceIn(params.eui64)
    expectOnly(query, ['by'])
    return checkRights(device, byIn(request, query['by'], 'checks the rights'), ports)
  })
}

/** @throws BrokerError VIEW_QUERY_INVALID */
function statusIn(request: FastifyRequest): { status: DeviceStatus; by: string } {
  const given = (request.body ?? {}) as Record<string, unknown>
  expectOnly(given, ['status', 'by'])
  const status = DeviceStatus.find((word) => word === given['status'])
  if (status === undefined)
    throw new BrokerError('VIEW_QUERY_INVALID', `status must be one of ${DeviceStatus.join(', ')}`)
  return { status, by: byIn(request, given['by'], 'changes the status') }
}

/** Registers `[{ "meterPoint": …, "items": […], "by": … }, …]`; each stands alone. */
async function registerList(
  request: FastifyRequest,
  ports: ActorMailPorts,
): Promise<RegistrationsAnswer> {
  const { body } = request
  if (!Array.isArray(body))
    throw new BrokerError('REGISTRATION_MALFORMED', 'a list of objects with meterPoint, items, by')
  const refused: RegistrationsAnswer['refused'] = []
  const questions: Question[] = []
  const indexOf: number[] = []
  body.forEach((entry: unknown, index) => {
    try {
      questions.push(questionOf(entry, request, ports.clock.now()))
      indexOf.push(index)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      refused.push({ index, code: fault.code, message: fault.message })
    }
  })
  for (const { index, code } of await askActors(questions, ports))
    refused.push({ index: indexOf[index]!, code, message: explain(code) })
  refused.sort((a, b) => a.index - b.index)
  return { registered: body.length - refused.length, refused }
}

/** @throws BrokerError REGISTRATION_MALFORMED */
function questionOf(entry: unknown, request: FastifyRequest, nowMs: number): Question {
  const { meterPoint, ...given } = (entry ?? {}) as Record<string, unknown>
  const target = pointIn(meterPoint)
  const rest = { ...given, by: provenBy(request, given['by'], 'registers the meter point') }
  const bodyBytes = encodeRegistrationChange(registrationChangeOf(rest, nowMs))
  return { kind: Kind.METER_POINT_REGISTRATION, target, bodyBytes }
}

/** @throws BrokerError REGISTRATION_MALFORMED */
export function pointIn(value: unknown): MeterPointId {
  const point = typeof value === 'string' ? parseMeterPoint(value) : undefined
  if (point === undefined)
    throw new BrokerError('REGISTRATION_MALFORMED', `a meter point is ${meterPointWords}`)
  return point
}

export async function reportOf(
  point: MeterPointId,
  ports: ActorMailPorts,
): Promise<MeterPointReport> {
  let report: MeterPointReport | undefined
  const question = { kind: Kind.METER_POINT_QUERY, target: point, bodyBytes: emptyBytes }
  const [refused] = await askActors([question], ports, (answer, at) => {
    if (readKind(answer, at) === Kind.METER_POINT)
      report = decodeMeterPointReport(readBodyView(answer, at))
  })
  if (report === undefined)
    throw new BrokerError(refused?.code ?? 'BROKER_PARTITION_UNAVAILABLE', textOfMeterPoint(point))
  return report
}

/** @throws BrokerError DEVICE_UNKNOWN */
export async function rightsAt(device: Eui64, ports: ActorMailPorts): Promise<RightsReport> {
  let report: RightsReport | undefined
  const question = { kind: Kind.RIGHTS_QUERY, target: device, bodyBytes: emptyBytes }
  const [refused] = await askActors([question], ports, (answer, at) => {
    if (readKind(answer, at) === Kind.RIGHTS) report = decodeRightsReport(readBodyView(answer, at))
  })
  if (report === undefined)
    throw new BrokerError(refused?.code ?? 'BROKER_PARTITION_UNAVAILABLE', textOfEui64(device))
  return report
}

/**
 * Compares the rights of a device with what its meter points have now, and lets it ask them again
 * where they differ.
 */
async function checkRights(device: Eui64, by: string, ports: ActorMailPorts): Promise<RightsCheck> {
  const { links } = await rightsAt(device, ports)
  const now = ports.clock.now()
  const differing: string[] = []
  for (const { point, link, rights } of links) {
    const report = await reportOf(point, ports)
    const isLinked = report.links.some((one) => one.device === device && one.link === link)
    const expected = isLinked ? rightsOf(point, report.items, now, report.register) : undefined
    if (expected === undefined || textOf(rights, now) !== textOf(expected, now))
      differing.push(textOfMeterPoint(point))
  }
  if (differing.length > 0) {
    const question = { kind: Kind.RIGHTS_REFRESH, target: device, bodyBytes: Buffer.from(by) }
    const [refused] = await askActors([question], ports)
    if (refused !== undefined) throw new BrokerError(refused.code, textOfEui64(device))
  }
  return { device: textOfEui64(device), meterPoints: links.length, differing }
}

/** Periods that only one side has already forgotten are no difference. */
const textOf = (
  rights: Pick<Rights, 'direction' | 'periods' | 'consents'> | undefined,
  now: number,
): string | undefined =>
  rights &&
  JSON.stringify([
    rights.direction,
    rights.periods.map(jsonOfPeriod),
    rights.consents?.filter(({ toMs }) => toMs > now).map(jsonOfConsent) ?? [],
  ])

const iso = (atMs: number): string => new Date(atMs).toISOString()

const jsonOfPeriod = ({ role, participant, fromMs, toMs }: RightsPeriod): PeriodJson => ({
  role,
  participant,
  from: iso(fromMs),
  ...(toMs !== Infinity && { to: iso(toMs) }),
})

const jsonOfConsent = (consent: Consent): KnownConsentJson => ({
  id: consent.id,
  party: textOfEui64(consent.party),
  categories: consent.categories,
  granularity: consent.granularity,
  from: iso(consent.fromMs),
  ...(consent.toMs !== Infinity && { to: iso(consent.toMs) }),
})

const jsonOfLink = ({ point, rights }: ReportedLink): LinkJson => ({
  meterPoint: textOfMeterPoint(point),
  ...(rights && { version: rights.version, periods: rights.periods.map(jsonOfPeriod) }),
  ...(rights?.consents && { consents: rights.consents.map(jsonOfConsent) }),
})
