/**
 * The page on access control, from access-rules.json: the checks in their order with their codes,
 * command variants, what each device status allows, what gives a right to act on a device.
 */
import { mayRoleSend, oneDoorOf, refusalAtDoor } from '../access/access-control.ts'
import {
  accessChecks,
  commandVariantLeftOut,
  commandVariants,
  localDelivery,
  registrationBasisOf,
  registrationTimes,
  requestKindOf,
  statusRows,
  switchedOff,
  typesWithoutStatus,
  type RequestKind,
} from '../access/access-rules.ts'
import { consentNeeds } from '../access/consent-rules.ts'
import { DeviceStatus } from '../inventory/device-status.ts'
import { errorTable } from '../base/error-table.ts'
import { formatSrv, type Srv } from '../base/srv.ts'
import { Role, serviceRequests } from '../catalogue/service-requests.ts'
import { DeviceType } from '../inventory/device-record.ts'
import { page, table } from './pages.ts'

const kindWords: Readonly<Record<RequestKind, string>> = {
  nonCritical: 'non-critical',
  critical: 'critical',
  nonDevice: 'non-device',
}
const byWords = {
  connection: 'the door, before requests are read',
  door: 'a gateway',
  device: "the device's actor",
  'not checked yet': 'not checked yet',
} as const

const srvWords = (srvs: Iterable<Srv>): string =>
  [...srvs]
    .sort((a, b) => a - b)
    .map(formatSrv)
    .join(', ')

/** What the one door answers to a command variant, for a variant that is served. */
function answerWords(number: number, kind: RequestKind | undefined): string {
  const known = serviceRequests.find(
    (row) => requestKindOf(row) === (kind ?? 'nonCritical') && mayRoleSend(row, row.roles[0]!),
  )!
  const row = { ...known, isServed: true }
  const refusal = refusalAtDoor(row, row.roles[0]!, undefined, number, oneDoorOf(row, number))
  return refusal === undefined ? 'accepted' : `\`${refusal}\``
}

function checksTable(): string {
  return table(
    ['Check', 'Passes when', 'Code', 'DUIS', 'Made by'],
    accessChecks.map(({ id, by, codes, duis, passes }) => [
      id,
      passes,
      codes.map((code) => `\`${code}\``).join(', '),
      codes.length === 0
        ? duis
        : [...new Set(codes.map((code) => errorTable[code].duis))].join(', '),
      byWords[by],
    ]),
  )
}

function variantsTable(): string {
  return table(
    ['Command variant', 'Asks for', 'Kind', 'Web service of the GB interface', 'Answer of Busbar'],
    commandVariants.map(({ number, asks, kind, door }) => [
      String(number),
      asks,
      kind === undefined ? 'none' : kindWords[kind],
      door ?? 'none',
      answerWords(number, kind),
    ]),
  )
}

function statusCells(status: DeviceStatus): string[] {
  const { allowed, local } = statusRows.get(status)!
  const missing = serviceRequests.filter(({ srv }) => !allowed.has(srv))
  if (missing.length === 0) return [status, 'all']
  if (allowed.size > missing.length)
    return [status, `all but ${srvWords(missing.map(({ srv }) => srv))}`]
  const onSpot = local.size === 0 ? '' : `; for local delivery ${srvWords(local)}`
  return [status, srvWords(allowed) + onSpot]
}

function registrationTable(): string {
  const rows = DeviceType.flatMap((type) =>
    Role.map((role) => [type, role, registrationBasisOf(role, type)] as const),
  )
  return table(
    ['Device', 'Role', 'The party must be'],
    rows.flatMap(([type, role, holds]) => (holds === undefined ? [] : [[type, role, holds]])),
  )
}

function consentsTable(): string {
  return table(
    ['Variant', 'Category', 'Granularity'],
    [...consentNeeds]
      .sort(([a], [b]) => a - b)
      .map(([srv, { category, granularity }]) => [
        formatSrv(srv),
        category ?? 'any',
        granularity ?? 'any',
      ]),
  )
}

/** Of the served variants, those that read a period. */
const periodSrvs = serviceRequests
  .filter(({ operations }) => operations.some(({ selection }) => selection === 'period'))
  .map(({ srv }) => srv)

/** parties/access.md */
export function accessPage(): string {
  const { nonCritical, critical, nonDevice } = commandVariantLeftOut
  return page(
    'Access control',
    'core/access/access-rules.json',
    'These are the checks of a request in the order of the GB interface. The first one that fails gives the code of the rejection.',
    checksTable(),
    'A call of a suspended or unknown party is rejected before its requests are read; the order above holds for open streams.' +
      ' A variant that is not served is rejected by the gateway, and its device is not asked. The gateway makes its checks, that of the body' +
      " included, before the device's actor makes those of its own. The actor looks for repeats first: a repeat gets its first acknowledgement" +
      ' whatever has changed since.',
    '## Command variants',
    `A request without a command variant counts as ${nonCritical} when it is non-critical, ${critical} when it is critical and ${nonDevice}` +
      ' when no device answers it. Busbar does not demand a signed pre-command yet: it sends a critical request as it is. Any other' +
      ' combination of command variant and kind is rejected with `REQUEST_COMMAND_VARIANT_UNFIT`. Busbar has one door, which counts as the web' +
      ` service of the request; it makes no pre-commands. Local delivery is ${localDelivery.isServed ? 'served' : 'not served yet'}.`,
    variantsTable(),
    '## Device status',
    `A variant that is not named for the status of its device is rejected with \`DEVICE_STATUS_UNFIT\`. Devices of the types` +
      ` ${[...typesWithoutStatus].join(' and ')} have no status. The lists are of medium confidence for the first four statuses and of low` +
      ' confidence for the others.',
    table(['Status', 'Allows'], DeviceStatus.map(statusCells)),
    '## Registration',
    'What gives a party the right to act on a device; a role that is not named for a device type has none. 8.2, 12.1 and 12.2 need no' +
      ' registration, and 5.2 and 5.3 none when they name a schedule instead of a device.',
    registrationTable(),
    table(
      ['Request', 'Registration is checked for'],
      registrationTimes.map(({ request, checkedFor }) => [request, checkedFor]),
    ),
    '## Consents',
    'A third party (OU) needs a consent of the people at a meter point of the device that covers the variant, at this granularity or a finer' +
      ' one; see [consents](../operating/consents.md). Other roles need none.',
    consentsTable(),
    '## Reads of the past',
    `Of a variant that reads a period (${srvWords(periodSrvs)}) the times before the party's own registration or consent are left out; a` +
      ' request for earlier times alone is rejected with `READ_PERIOD_NOT_OWN`.',
    '## Switched off',
    `${srvWords(switchedOff)} are for no role, because public sources disagree on who may send them.`,
  )
}
