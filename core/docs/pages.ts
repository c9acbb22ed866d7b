/**
 * Pages of the documentation that repeat the source: errors, limits, metrics, service requests and
 * device profiles. Each function returns one page as Markdown, the same text for the same source.
 * generate.ts writes them; test/core/docs/drift.test.ts compares. Not here: the settings of
 * `busbar serve`, and prose.
 */
import { commandVariants, requestKindOf } from '../access/access-rules.ts'
import { mayRoleSend } from '../access/access-control.ts'
import { errorTable, type ErrorCode, type ErrorRow } from '../base/error-table.ts'
import { Lane } from '../base/lane.ts'
import { limits } from '../base/limits.ts'
import { alertCodes, recipientsOfUnknown } from '../catalogue/alert-codes.ts'
import { codesUntilDeadline, retryDelayRows } from '../catalogue/retry-policy.ts'
import { retryHintMs } from '../base/retry-hint.ts'
import { serviceRequests, type ServiceRequestRow } from '../catalogue/service-requests.ts'
import { problemOf } from '../http/problem.ts'
import { deviceProfiles, type DeviceProfile } from '../inventory/device-profiles.ts'

/** The text of a source file; `path` is from the root of the project. */
export type Source = { readonly path: string; readonly text: string }

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
const rowOf = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`

/** A table; `columns` are its headings. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = `|${'---|'.repeat(columns.length)}`
  return [rowOf(columns), rule, ...rows.map(rowOf)].join('\n')
}

/** A generated page. */
export function page(title: string, source: string, ...parts: readonly string[]): string {
  const note = `<!-- Generated from ${source}: change the source, then run \`npm run docs\`. -->`
  return `${[note, `# ${title}`, ...parts].join('\n\n')}\n`
}

const count = new Intl.NumberFormat('en-GB')

// ── errors ──

const faultWords: Readonly<Record<ErrorRow['fault'], string>> = {
  none: 'nobody',
  party: 'party',
  meter: 'device',
  wan: 'WAN',
  broker: 'broker',
  operator: 'operator',
}

function retryWords(code: ErrorCode): string {
  const { retry } = errorTable[code]
  return retry === 'later' ? `after ${count.format(retryHintMs(code))} ms` : retry
}

/** reference/errors.md */
export function errorsPage(): string {
  const codes = Object.keys(errorTable) as ErrorCode[]
  const rows = codes.map((code) => {
    const { duis, fault, grpc, meaning, action } = errorTable[code]
    const status = `${grpc} / ${problemOf(code).status}`
    return [`\`${code}\``, duis, faultWords[fault], status, retryWords(code), meaning, action]
  })
  return page(
    'Error codes',
    'core/base/error-table.ts',
    'One row for each outcome and error. Programs decide by `code` (gRPC trailer `busbar-code`, `reason` of an acknowledgement or response,' +
      ' `code` of a problem over HTTP); sentences may change at any time. How errors reach a party:' +
      ' [parties/errors.md](../parties/errors.md).',
    '* **DUIS** is the response code of the GB interface.\n' +
      '* **Who acts** is the side that has to do something.\n' +
      '* **gRPC / HTTP** are the statuses of a call that fails with the code. Where a code ends a request or stands in an acknowledgement,' +
      ' the call itself succeeds.\n' +
      '* **Retry** says whether the same call may be repeated, and the wait that is proposed where an answer names none of its own.',
    table(
      ['Code', 'DUIS', 'Who acts', 'gRPC / HTTP', 'Retry', 'What happened', 'What to do'],
      rows,
    ),
  )
}

// ── limits ──

type LimitRow = { names: string[]; reason: string }
type LimitSection = { title: string; rows: LimitRow[] }

/**
 * Sections, names and comments of a file of limits. A comment belongs to the names behind it, up to
 * the next comment.
 */
function limitSections({ path, text }: Source): LimitSection[] {
  const sections: LimitSection[] = [{ title: path, rows: [] }]
  const bare = (line: string): string =>
    line
      .replaceAll(/\/\*\*|\*\//g, '')
      .replace(/^\s*\* /, '')
      .trim()
  let reason: string[] = []
  let isComment = false
  for (const line of text.split('\n')) {
    const title = /^ {2}\/\/ ── (.+) ──$/.exec(line)?.[1]
    const name = /^ {2}([a-z][A-Za-z]+): /.exec(line)?.[1]
    const current = sections.at(-1)!
    if (title !== undefined) sections.push({ title, rows: [] })
    else if (isComment || /^ {2}\/\*\*/.test(line)) {
      if (!isComment) reason = []
      reason.push(bare(line))
      isComment = !line.includes('*/')
      if (!isComment) current.rows.push({ names: [], reason: reason.filter(Boolean).join(' ') })
    } else if (name !== undefined) {
      if (current.rows.length === 0) current.rows.push({ names: [], reason: '' })
      current.rows.at(-1)!.names.push(name)
    }
  }
  return sections
    .map((section) => ({ ...section, rows: section.rows.filter(({ names }) => names.length > 0) }))
    .filter(({ rows }) => rows.length > 0)
}

const quantities: readonly (readonly [RegExp, (value: number) => string])[] = [
  [/Bytes(Max|Min)?$|BytesInFlightMax$/, bytesText],
  [/Ms(Max|Min)?$/, durationText],
  [/Percent$/, (value) => `${value} %`],
]

function bytesText(value: number): string {
  for (const [unit, size] of [
    ['MiB', 1024 * 1024],
    ['KiB', 1024],
  ] as const)
    if (value >= size && value % size === 0) return `${count.format(value / size)} ${unit}`
  return `${count.format(value)} octets`
}

function durationText(value: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const)
    if (value >= size && value % size === 0) return `${count.format(value / size)} ${unit}`
  return `${count.format(value)} ms`
}

function limitText(name: string): string {
  const value: number | undefined = (limits as Readonly<Record<string, number>>)[name]
  if (value === undefined) throw new Error(`${name} is not a limit`)
  return (quantities.find(([ending]) => ending.test(name))?.[1] ?? count.format)(value)
}

/** reference/limits.md; `sources` are the files of core/base whose names end in `limits.ts`. */
export function limitsPage(sources: readonly Source[]): string {
  const sections = sources.flatMap(limitSections)
  const named = sections.flatMap(({ rows }) => rows.flatMap(({ names }) => names))
  const missing = Object.keys(limits).filter((name) => !named.includes(name))
  if (missing.length > 0) throw new Error(`limits that no file defines: ${missing.join(', ')}`)
  return page(
    'Limits',
    sources.map(({ path }) => path).join(', '),
    'Every queue, size and wait of Busbar has a name here. Relations between them are asserted where they are defined. Operators change' +
      ' some of them by [settings](../operating/settings.md), whose defaults these are.',
    ...sections.flatMap(({ title, rows }) => [
      `## ${title.startsWith('core/') ? `From ${title}` : title[0]!.toUpperCase() + title.slice(1)}`,
      table(
        ['Name', 'Value', 'What it limits, and why'],
        rows.map(({ names, reason }) => [
          names.map((name) => `\`${name}\``).join(', '),
          names.map(limitText).join(', '),
          reason,
        ]),
      ),
    ]),
  )
}

// ── alert codes ──

/** parties/alert-codes.md */
export function alertCodesPage(): string {
  return page(
    'Alert codes',
    'core/catalogue/alert-codes.json',
    'What devices say by themselves comes as a DeviceAlert. A message that begins with an alert code of the GB interface has `alert_code`, `alert_name` and' +
      ' `severity`; its content is there as the device sent it in any case.',
    `Of a device with meter points, an alert goes to the parties that are registered there at that moment: the supplier (IS, GS) or the network operator (ED, GT)` +
      ` as the table says; to the ${recipientsOfUnknown.join(' and the ')} where the recipients of a code are not known, or the message has no code.` +
      ' Parties of `alertsTo` get all alerts while they are registered there, third parties while they have a consent. Of a device without meter points, alerts go' +
      ' to `alertsTo`.',
    `Of one device and code, ${limits.alertsPassedMax} alerts within ${limits.alertWindowMs / 60_000} minutes are delivered. The rest is held; at the end of that time one` +
      ' DeviceAlert of kind THROTTLED says how many were held (`throttled_alert_count`), with a number that rises by one with each notice of the device and code' +
      ' (`throttled_alert_sequence_id`). It goes to the parties that are entitled to the code then. What was held is not delivered later.',
    table(
      ['Code', 'Meaning', 'Severity', 'Recipients', 'Throttled'],
      alertCodes.map(({ text, name, isCritical, recipients, isThrottled }) => [
        text,
        name,
        isCritical ? 'critical' : 'non-critical',
        recipients.join(', ') || 'not known',
        isThrottled ? 'yes' : 'never',
      ]),
    ),
  )
}

// ── retries ──

/** reference/retries.md */
export function retriesPage(): string {
  return page(
    'Retries',
    'core/catalogue/retry-policy.json',
    'When Busbar sends a command again to a device. The octets are the same until the device has answered; the next request of the same lane waits' +
      ' meanwhile. A request ends at its deadline (without one, 2 minutes after it was accepted), with the outcome of its last attempt; earlier, when' +
      ' no further attempt fits before the deadline.',
    `After ${codesUntilDeadline.map((code) => `\`${code}\``).join(', ')} attempts go on until the deadline. After what the device answers, and may` +
      ` answer otherwise later, there are ${limits.attemptsMax} attempts in all. A device that dials in and is not there costs no attempt: it is asked` +
      ` for every ${durationText(limits.dialInRetryMs)}.`,
    'Each delay varies by a quarter, so that devices that were lost together do not come back at once.',
    table(
      ['Transport', 'Lane', 'First delay', 'Then times', 'Longest delay'],
      retryDelayRows.map(({ transport, lane, firstMs, growth, longestMs }) => [
        transport,
        lane,
        durationText(firstMs),
        String(growth),
        durationText(longestMs),
      ]),
    ),
  )
}

// ── metrics ──

type MetricRow = { name: string; kind: string; labels: string; help: string }

const metricName = /'(busbar_[a-z_]+)'/g
const declaration = /\b(counter|gauge|histogram)s?\(\s*$/
const helpText = /,\s*(?:'([^']*)'|"([^"]*)"|help\b)/

/** The arguments of a call whose opening bracket stands before `start`. */
function argumentsAt(text: string, start: number): string {
  let depth = 1
  let end = start
  for (; depth > 0 && end < text.length; end++)
    depth += Number(text[end] === '(') - Number(text[end] === ')')
  return text.slice(start, end - 1)
}

function metricsOf({ path, text }: Source): MetricRow[] {
  return [...text.matchAll(metricName)].flatMap((match) => {
    const name = match[1]!
    const before = text.slice(Math.max(0, match.index - 80), match.index)
    let kind = declaration.exec(before)?.[1]
    let call = kind === undefined ? '' : argumentsAt(text, match.index)
    if (before.endsWith('const name = ')) {
      // Name, and sometimes help, are constants of the call behind them.
      const later = /metrics\.(counter|gauge|histogram)\(/.exec(text.slice(match.index))!
      kind = later[1]
      call = argumentsAt(text, match.index + later.index + later[0].length)
    }
    // What else is named so is no declaration: the label of a bucket, a query of the dashboard.
    if (kind === undefined) return []
    const constantHelp = /const help = '([^']*)'/.exec(text.slice(match.index))?.[1]
    const found = helpText.exec(call)
    const help = found?.[1] ?? found?.[2] ?? constantHelp
    if (help === undefined) throw new Error(`${path}: no help text of ${name}`)
    const label = /\{\s*(\w+)(?:: [^{}]*)?,?\s*\}\s*,?\s*$/.exec(call)?.[1]
    return [{ name, kind, labels: computedLabels[name] ?? label ?? '', help }]
  })
}

// Labels whose values are computed where the series are read.
const computedLabels: Readonly<Record<string, string>> = {
  busbar_build_info: 'version, node',
  busbar_disk_free_bytes: 'path, uses',
  busbar_disk_low: 'path, uses',
  busbar_disk_reserve_bytes: 'path, uses',
  busbar_disk_total_bytes: 'path, uses',
  busbar_party_deliveries_pending: 'party',
  busbar_party_delivery_age_seconds: 'party',
  busbar_replica_faults: 'server',
  busbar_replica_lag_messages: 'stream, server',
  busbar_replicas: 'stream, state',
}

/** operating/metrics.md; `sources` are all source files that may declare metrics. */
export function metricsPage(sources: readonly Source[]): string {
  const found = new Map<string, MetricRow>()
  for (const row of sources.flatMap(metricsOf)) found.set(row.name, row)
  const names = [...found.keys()].toSorted()
  return page(
    'Metrics',
    'the declarations of metrics in core/ and actors/',
    "The operators' door (`--ops`, 127.0.0.1:9464) shows them at `/metrics` in the format of Prometheus. A process shows those of its" +
      ' roles; the metrics `nodejs_*` and `process_*` of prom-client stand beside them. A Grafana dashboard and alert rules are in' +
      ' `core/ops/monitoring`.',
    table(
      ['Name', 'Type', 'Labels', 'Meaning'],
      names.map((name) => {
        const { kind, labels, help } = found.get(name)!
        return [`\`${name}\``, kind, labels, help]
      }),
    ),
  )
}

// ── service requests ──

const laneWords = new Map<number, string>(
  Object.entries(Lane).map(([word, lane]) => [lane as number, word.toLowerCase()]),
)

/** Field name of each body in ServiceRequest, by its number. */
function bodyNames({ text }: Source): ReadonlyMap<number, string> {
  const oneof = /oneof body \{([^}]*)\}/.exec(text)?.[1] ?? ''
  const fields = oneof.matchAll(/^\s*(\w+) (\w+) = (\d+);/gm)
  return new Map([...fields].map(([, type, name, number]) => [Number(number), `${name} (${type})`]))
}

function operationWords({ operations }: ServiceRequestRow): string {
  // Scalers, columns and periods are read to make sense of a value; they give nothing of their own.
  const main = operations.filter(({ yields }) => yields === 'reading' || yields === 'profile')
  return main
    .map(({ kind, classId, obis, index }) => `${kind} ${classId}/${obis}/${index}`)
    .join(', ')
}

/** Roles that may send a variant now; none while it is switched off. */
const roleWords = (row: ServiceRequestRow): string =>
  row.roles.some((role) => mayRoleSend(row, role)) ? row.roles.join(' ') : 'none yet'

/** Command variants that fit a variant. */
function commandVariantWords(row: ServiceRequestRow): string {
  const kind = requestKindOf(row)
  const fitting = commandVariants.filter((one) => one.kind === kind)
  return fitting.map(({ number }) => number).join(' ')
}

/** parties/service-requests.md; `proto` is the file that defines ServiceRequest. */
export function serviceRequestsPage(proto: Source): string {
  const bodies = bodyNames(proto)
  const served = serviceRequests.filter(({ isServed }) => isServed)
  const others = serviceRequests.filter(({ isServed }) => !isServed)
  return page(
    'Service requests',
    'core/catalogue/service-requests.json, core/catalogue/operations.json',
    `Busbar serves ${served.length} of the ${serviceRequests.length} service reference variants (SRV) of DUIS 5.4. A request for another` +
      ' one is rejected with `REQUEST_SRV_UNSUPPORTED`, one for a variant that does not exist with `REQUEST_SRV_UNKNOWN`. Roles are those' +
      ' of the GB interface: a party that has another role is rejected with `PARTY_ROLE_INELIGIBLE`, a device of another type with' +
      ' `DEVICE_TYPE_UNFIT`.',
    `A body is required where one is named, and no other is accepted; its fields are explained in proto/busbar/v1/service_request.proto. A` +
      ` period (\`ReadPeriod\`) has at most ${limits.profileDaysMax} days. Without a priority in the request its lane is the one below.`,
    'Later time: who keeps a request with an [execution time](future-dated.md) until then.',
    'Command variants are those that fit the variant; which of them are available, and all checks of a request in their order:' +
      ' [access control](access.md).',
    '## Served',
    table(
      [
        'SRV',
        'Name',
        'Roles',
        'Devices',
        'Command variants',
        'Lane',
        'Later time',
        'Body',
        'COSEM operations (class/object/index)',
      ],
      served.map((row) => [
        row.text,
        row.name,
        roleWords(row),
        row.deviceTypes.join(' '),
        commandVariantWords(row),
        laneWords.get(row.lane)!,
        row.futureDated.join(' '),
        row.bodyType === 0 ? '' : `\`${bodies.get(row.bodyType)}\``,
        operationWords(row),
      ]),
    ),
    '## Known, not served',
    'Critical: the GB interface asks for the signature of the party on the command. Answered by: the device (a command over the WAN), the actor that Busbar has for each device, views of the ledger, or a campaign over many devices.',
    table(
      ['SRV', 'Name', 'Roles', 'Devices', 'Command variants', 'Critical', 'Answered by'],
      others.map((row) => [
        row.text,
        row.name,
        roleWords(row),
        row.deviceTypes.join(' '),
        commandVariantWords(row),
        row.isCritical ? 'yes' : '',
        row.answeredBy.replace('-', ' '),
      ]),
    ),
  )
}

// ── device profiles ──

function valueText(value: unknown): string {
  if (value === undefined) return 'none'
  return JSON.stringify(value).replaceAll('"', '')
}

/** meters/profiles.md */
export function profilesPage(): string {
  const rows = Object.entries<DeviceProfile>(deviceProfiles).map(([name, profile]) => {
    const { description, ...deviations } = profile
    const settings = Object.entries(deviations).map(([field, value]) =>
      field === 'conformanceWithout'
        ? `${field} 0x${(value as number).toString(16).padStart(6, '0')}`
        : `${field} ${valueText(value)}`,
    )
    return [`\`${name}\``, description, settings.map((text) => `\`${text}\``).join(', ')]
  })
  return page(
    'Device profiles',
    'core/inventory/device-profiles.ts',
    'A profile says how a model of device deviates from the standards. A device record names one in `address.profile`, or several joined by' +
      ' `+`, of which the later one wins: `one-association+counter-untold`. `busbar meter --profile` takes the same names, and' +
      ' `busbar meter device-profiles` lists them. A name that does not exist is rejected when the device is registered.',
    'Deviations of one device stand in its record: see [operating/inventory.md](../operating/inventory.md).',
    table(['Profile', 'For a device that …, or what Busbar does for it', 'What it sets'], rows),
  )
}
