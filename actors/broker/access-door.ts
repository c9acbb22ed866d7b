/**
 * The operators' door for the question "may this party send this to that device now, and why?": GET
 * /v1/access. It asks the same checks as gateways and devices, with what this process knows of the
 * party and what the device knows of its meter points.
 */
import type { FastifyInstance } from 'fastify'
import {
  decideAccess,
  oneDoorOf,
  type AccessDecision,
  type AccessQuestion,
} from '../../core/access/access-control.ts'
import { commandVariantMax } from '../../core/access/access-rules.ts'
import { consentNeedOf } from '../../core/access/consent-rules.ts'
import { standingOf } from '../../core/access/directory.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readEui64, textOfEui64, parseEui64, type Eui64 } from '../../core/base/eui64.ts'
import { parseSrv } from '../../core/base/srv.ts'
import type { ActorMailPorts } from '../../core/bus/actor-mail.ts'
import { serviceRequestOf, type ServiceRequestRow } from '../../core/catalogue/service-requests.ts'
import { initialStatus } from '../../core/inventory/device-status.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import type { Party } from '../../core/access/parties.ts'
import { textOfMeterPoint } from '../../core/registration/meter-point.ts'
import {
  consentAt,
  entitlementOf,
  firstEntryMs,
  registeredAt,
  withoutConsent,
  type Entitlement,
} from '../../core/registration/rights.ts'
import type { ReportedLink, RightsReport } from '../../core/registration/rights-report.ts'
import { expectOnly } from './counters-door.ts'
import { oldDataOf, type OldData } from './data-age.ts'
import { rightsAt } from './meter-point-door.ts'

export type AccessJson = AccessDecision & {
  party: string
  device: string
  serviceReferenceVariant: string
  /** UTC; of a moment ago. */
  at: string
  /** Of the last record of the directory that was looked at, in the ledger. */
  directorySequence: number
  /** Registration data behind the answer that are old; a version before does not say. */
  oldData?: OldData[]
}

type Query = { Querystring: Record<string, unknown> }
export function addAccessRoutes(
  app: FastifyInstance,
  ports: ActorMailPorts,
  reader: DirectoryReader,
  dataAgeMsMax: number,
): void {
  app.get<Query>(
    '/v1/access',
    { exposeHeadRoute: true },
    async ({ query }): Promise<AccessJson> => {
      expectOnly(query, ['party', 'device', 'srv', 'commandVariant'])
      const [party, device] = [eui64In(query, 'party'), eui64In(query, 'device')]
      const row = rowIn(query['srv'])
      const commandVariant = commandVariantIn(query['commandVariant'])
      await reader.refresh()
      const report = await rightsAt(device, ports).catch(unlessUnknown)
      const { current } = reader
      return {
        ...answerTo({ party, device, row, commandVariant }, report, reader, ports.clock.now()),
        oldData: await oldDataOf(report?.links ?? [], current, dataAgeMsMax, ports),
      }
    },
  )
}

type Asked = { party: Eui64; device: Eui64; row: ServiceRequestRow; commandVariant: number }

function answerTo(
  { party, device, row, commandVariant }: Asked,
  report: RightsReport | undefined,
  { current }: DirectoryReader,
  now: number,
): Omit<AccessJson, 'oldData'> {
  const holder = current.parties.get(party)
  const links = report?.links ?? []
  const right = holder && rightOf(links, holder, row, now)
  const decision = decideAccess({
    row,
    // A party that is not known fails before its role is looked at.
    role: holder?.role ?? 'OU',
    standing: holder === undefined ? 'PARTY_UNKNOWN' : standingOf(current, party),
    commandVariant,
    door: oneDoorOf(row, commandVariant),
    deviceType: report?.type,
    status: report?.status ?? initialStatus,
    registration:
      links.length === 0 && !current.needsMeterPoints
        ? 'not-asked'
        : (right?.registration ?? 'not-entitled'),
    ...right?.grounds,
  })
  return {
    party: textOfEui64(party),
    device: textOfEui64(device),
    serviceReferenceVariant: row.text,
    at: new Date(now).toISOString(),
    directorySequence: current.sequence,
    ...decision,
  }
}

type Right = {
  registration: Entitlement
  grounds?: Pick<AccessQuestion, 'consent' | 'readableFrom'>
}

/** What the meter points of a device say of a party, its consent, and how far it reads back. */
function rightOf(
  links: readonly ReportedLink[],
  holder: Party,
  row: ServiceRequestRow,
  now: number,
): Right {
  const readsPast = row.operations.some(({ selection }) => selection === 'period')
  const from = (sinceMs: number): { readableFrom?: string } =>
    readsPast ? { readableFrom: new Date(sinceMs + firstEntryMs).toISOString() } : {}
  if (holder.role !== 'OU') {
    const since = registeredAt(links, holder, now)
    const registration = entitlementOf(links, holder, now)
    return { registration, ...(since && { grounds: from(since.sinceMs) }) }
  }
  const found = consentAt(links, holder, consentNeedOf(row.srv), now)
  if (found === undefined) return { registration: withoutConsent(links) }
  const consent = { id: found.consent.id, meterPoint: textOfMeterPoint(found.point.point) }
  return { registration: 'entitled', grounds: { consent, ...from(found.consent.fromMs) } }
}

/** A device that is not in the inventory is an answer, too. */
function unlessUnknown(fault: unknown): undefined {
  if (!(fault instanceof BrokerError) || fault.code !== 'DEVICE_UNKNOWN') throw fault
}

const invalid = (detail: string): BrokerError => new BrokerError('VIEW_QUERY_INVALID', detail)

function eui64In(query: Record<string, unknown>, name: string): Eui64 {
  const value = query[name]
  const octets = typeof value === 'string' ? parseEui64(value) : undefined
  if (octets === undefined) throw invalid(`${name} must be an EUI-64`)
  return readEui64(octets)
}

function rowIn(value: unknown): ServiceRequestRow {
  const row = typeof value === 'string' ? serviceRequestOf(parseSrv(value)) : undefined
  if (row === undefined) throw invalid('srv must be a service reference variant, such as 4.1.1')
  return row
}

function commandVariantIn(value: unknown): number {
  if (value === undefined) return 0
  const number = typeof value === 'string' && /^\d$/.test(value) ? Number(value) : 0
  if (number < 1 || number > commandVariantMax)
    throw invalid(`commandVariant must be a number from 1 to ${commandVariantMax}`)
  return number
}
