/**
 * The operators' door for anomaly detection: GET and POST /v1/thresholds, GET
 * /v1/parties/{eui64}/quarantine, POST /v1/quarantine/release and /delete. What is loaded is on
 * disk when it is answered.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { alertCodeOf, type CountLetter } from '../../core/access/count-letters.ts'
import {
  decodePage,
  decodeQuarantine,
  pageActorOf,
  QuarantineAction,
  quarantineActionBody,
  type QuarantineReport,
} from '../../core/access/quarantine-list.ts'
import { readThresholdsFile } from '../../core/access/thresholds-file.ts'
import { allParties, encodeThresholds, type ThresholdRecord } from '../../core/access/thresholds.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { numberOfCounter } from '../../core/base/counter.ts'
import {
  bytesOfEui64,
  parseEui64,
  readEui64,
  textOfEui64,
  type Eui64,
} from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { formatSrv } from '../../core/base/srv.ts'
import { askActors, type ActorMailPorts, type Question } from '../../core/bus/actor-mail.ts'
import { digest } from '../../core/crypto/crypto.ts'
import { readBodyView } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import { answered, type TwoPersons } from './approvals-door.ts'
import { byIn, deviceIn, expectOnly } from './counters-door.ts'

/** One threshold as JSON; `window` and `passed` are those of its open window. */
export type ThresholdJson = {
  party: string
  variant: string
  hours: number
  warning: number
  quarantine: number
  passed: number
  windowFrom: string
}
export type ValueLimitJson = { variant: string; field: string; min: number; max: number }
export type ThresholdsJson = {
  files: Array<{ party: string; file: number; sha256: string; loadedAt: string; loadedBy: string }>
  thresholds: ThresholdJson[]
  valueLimits: ValueLimitJson[]
}
export type LoadedJson = { file: number; sha256: string; parties: string[] }
/** A request in quarantine as JSON. */
export type QuarantinedJson = {
  event: number
  requestId: string
  variant: string
  alertCode: string
  at: string
}
export type QuarantineJson = {
  party: string
  held: number
  pages: number[]
  requests: QuarantinedJson[]
}
export type ResolvedJson = { done: string[]; refused: Array<{ requestId: string; code: string }> }

type Query = { Querystring: Record<string, unknown> }
type OfParty = Query & { Params: { eui64: string } }

const textOfParty = (party: Eui64): string => (party === allParties ? '*' : textOfEui64(party))
const malformed = (detail: string): BrokerError => new BrokerError('THRESHOLDS_MALFORMED', detail)
const invalid = (detail: string): BrokerError => new BrokerError('VIEW_QUERY_INVALID', detail)

export function addThresholdRoutes(
  app: FastifyInstance,
  ports: ActorMailPorts,
  reader: DirectoryReader,
  persons: TwoPersons,
): void {
  const safe = { exposeHeadRoute: true }
  app.get<Query>('/v1/thresholds', safe, async ({ query }) => {
    expectOnly(query, ['party'])
    const { party } = query
    const wanted = party === undefined ? undefined : partyIn(party)
    await reader.refresh()
    return thresholdsJson(wanted, reader, ports)
  })
  // A file as JSON text takes more octets than it has.
  const bodyLimit = 2 * limits.thresholdsFileBytesMax
  app.post('/v1/thresholds', { bodyLimit }, (request) => loadFile(request, ports, reader))
  app.get<OfParty>('/v1/parties/:eui64/quarantine', safe, ({ params, query }) => {
    expectOnly(query, ['page'])
    return quarantineJson(deviceIn(params.eui64), query['page'], ports)
  })
  for (const [word, action] of [
    ['release', QuarantineAction.RELEASE],
    ['delete', QuarantineAction.DELETE],
  ] as const) {
    const act = `quarantine.${word}` as const
    persons.on(act, (_target, by, content = '') => resolve(action, idsIn(content), by, ports))
    app.post(`/v1/quarantine/${word}`, async (request, reply) => {
      const asked = resolutionIn(request)
      return answered(reply, await persons.ask(request, { act, ...asked }))
    })
  }
}

const objectIn = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}

/** @throws BrokerError VIEW_QUERY_INVALID */
function partyIn(value: unknown): Eui64 {
  if (value === '*') return allParties
  const octets = typeof value === 'string' ? parseEui64(value) : undefined
  if (octets === undefined) throw invalid('party must be an EUI-64, or * for all of them')
  return readEui64(octets)
}

/** Asks in as many calls as it takes. @throws BrokerError with the first refusal */
async function askAll(
  questions: readonly Question[],
  ports: ActorMailPorts,
  onAnswer?: (answer: Buffer, at: number) => void,
): Promise<void> {
  for (let from = 0; from < questions.length; from += limits.requestsPerBatchMax) {
    const some = questions.slice(from, from + limits.requestsPerBatchMax)
    const [refused] = await askActors(some, ports, onAnswer)
    if (refused !== undefined)
      throw new BrokerError(refused.code, textOfParty(some[refused.index]!.target))
  }
}

async function loadFile(
  request: FastifyRequest,
  ports: ActorMailPorts,
  reader: DirectoryReader,
): Promise<LoadedJson> {
  const { file: text, by, ...rest } = objectIn(request.body)
  const other = Object.keys(rest)[0]
  if (other !== undefined) throw malformed(`${other.slice(0, 40)} is not a field here`)
  if (typeof text !== 'string') throw malformed('file must be the text of a thresholds file')
  if (Buffer.byteLength(text) > limits.thresholdsFileBytesMax)
    throw malformed(`the file has more than ${limits.thresholdsFileBytesMax} octets`)
  const who = byIn(request, by, 'loads the file')
  const file = readThresholdsFile(text)
  if ('faults' in file) throw malformed(file.faults.join('; '))
  await reader.refresh()
  const unknown = [...file.rules.keys()].find(
    (party) => party !== allParties && !reader.current.records.has(party),
  )
  // Told before anything is loaded.
  if (unknown !== undefined) throw new BrokerError('PARTY_UNKNOWN', textOfEui64(unknown))
  const sha256 = digest('sha256', Buffer.from(text, 'utf8')).toString('hex')
  const questions = Array.from(file.rules, ([target, rules]) => ({
    kind: Kind.THRESHOLDS_CHANGE,
    target,
    bodyBytes: encodeThresholds({
      ...rules,
      file: file.number,
      fileHash: sha256,
      changedAtMs: 0,
      by: who,
    }),
  }))
  await askAll(questions, ports)
  await reader.refresh()
  return { file: file.number, sha256, parties: [...file.rules.keys()].map(textOfParty) }
}

/** How each of `parties` stands; one that was never counted has no report of its own. */
async function reportsOf(
  parties: readonly Eui64[],
  ports: ActorMailPorts,
): Promise<ReadonlyMap<Eui64, QuarantineReport>> {
  const reports = new Map<Eui64, QuarantineReport>()
  const questions = parties.map((target) => ({
    kind: Kind.QUARANTINE_QUERY,
    target,
    bodyBytes: emptyBytes,
  }))
  for (const [index, question] of questions.entries())
    await askAll([question], ports, (answer, at) =>
      reports.set(parties[index]!, decodeQuarantine(readBodyView(answer, at))),
    )
  return reports
}

async function thresholdsJson(
  wanted: Eui64 | undefined,
  { current }: DirectoryReader,
  ports: ActorMailPorts,
): Promise<ThresholdsJson> {
  const records: ReadonlyMap<Eui64, ThresholdRecord> = current.thresholds ?? new Map()
  const chosen = [...records].filter(([party]) => wanted === undefined || party === wanted)
  const reports = await reportsOf(
    chosen.map(([party]) => party),
    ports,
  )
  return {
    files: chosen.map(([party, { file, fileHash, changedAtMs, by }]) => ({
      party: textOfParty(party),
      file,
      sha256: fileHash,
      loadedAt: new Date(changedAtMs).toISOString(),
      loadedBy: by,
    })),
    thresholds: chosen.flatMap(([party, { thresholds }]) =>
      thresholds.map(({ srv, hours, warning, quarantine }, index) => {
        const [window = -1, passed = 0] = reports.get(party)?.windows[index] ?? []
        const present = Math.floor(ports.clock.now() / (hours * 3_600_000))
        return {
          party: textOfParty(party),
          variant: srv === 0 ? '*' : formatSrv(srv),
          hours,
          warning,
          quarantine,
          passed: window >= present ? passed : 0,
          windowFrom: new Date(Math.max(window, present) * hours * 3_600_000).toISOString(),
        }
      }),
    ),
    valueLimits: chosen.flatMap(([, { valueLimits }]) =>
      valueLimits.map(({ srv, field, min, max }) => ({ variant: formatSrv(srv), field, min, max })),
    ),
  }
}

// ── quarantine ──

async function quarantineJson(
  party: Eui64,
  wanted: unknown,
  ports: ActorMailPorts,
): Promise<QuarantineJson> {
  if (wanted !== undefined && (typeof wanted !== 'string' || !/^\d{1,10}$/.test(wanted)))
    throw invalid('page must be a number out of pages')
  const { held = 0, pages = [] } = (await reportsOf([party], ports)).get(party) ?? {}
  const numbers = pages.map(([page]) => page)
  const page = wanted === undefined ? numbers[0] : Number(wanted)
  const entries: CountLetter[] = []
  if (page !== undefined) {
    const target = pageActorOf(party, page)
    const question = { kind: Kind.QUARANTINE_PAGE_QUERY, target, bodyBytes: emptyBytes }
    await askAll([question], ports, (answer, at) =>
      entries.push(...decodePage(readBodyView(answer, at))),
    )
  }
  const requests = entries
    .filter(({ originator }) => originator === party)
    .map(({ event, originator, device, counter, srv, reason, atMs }) => ({
      event,
      requestId: `${textOfEui64(originator)}:${textOfEui64(device)}:${numberOfCounter(counter)}`,
      variant: formatSrv(srv),
      alertCode: alertCodeOf[reason] ?? '',
      at: new Date(atMs).toISOString(),
    }))
  return { party: textOfEui64(party), held, pages: numbers, requests }
}

/** What a call asks for: its RequestIDs are the content. @throws BrokerError VIEW_QUERY_INVALID */
function resolutionIn(request: FastifyRequest): { target: string; by: string; content: string } {
  const { requestIds, by, ...rest } = objectIn(request.body)
  const other = Object.keys(rest)[0]
  if (other !== undefined) throw invalid(`${other.slice(0, 40)} is not a field here`)
  const ids = Array.isArray(requestIds) ? (requestIds as unknown[]) : []
  if (ids.length === 0 || ids.length > limits.requestsPerBatchMax)
    throw invalid(`requestIds must be a list of 1 to ${limits.requestsPerBatchMax} RequestIDs`)
  // Before anybody is asked to approve it.
  for (const id of ids) requestIn(id)
  const more = ids.length === 1 ? '' : ` and ${ids.length - 1} more`
  return {
    target: `${String(ids[0])}${more}`,
    by: byIn(request, by, 'decides about the requests'),
    content: ids.join(' '),
  }
}

const idsIn = (content: string): string[] => content.split(' ')

async function resolve(
  action: QuarantineAction,
  ids: readonly string[],
  by: string,
  ports: ActorMailPorts,
): Promise<ResolvedJson> {
  const bodyBytes = quarantineActionBody(action, by)
  const questions = ids.map((id) => ({ ...requestIn(id), kind: Kind.QUARANTINE_ACTION, bodyBytes }))
  const refused = await askActors(questions, ports)
  const indexes = new Set(refused.map(({ index }) => index))
  return {
    done: ids.filter((_, index) => !indexes.has(index)),
    refused: refused.map(({ index, code }) => ({ requestId: ids[index]!, code })),
  }
}

/** @throws BrokerError VIEW_QUERY_INVALID */
function requestIn(
  id: unknown,
): Pick<Question, 'target'> & { originator: Buffer; counter: bigint } {
  const [originator, device, counter, ...rest] = typeof id === 'string' ? id.split(':') : []
  const party = parseEui64(originator ?? '')
  const target = parseEui64(device ?? '')
  if (!party || !target || rest.length > 0 || !/^\d{1,19}$/.test(counter ?? ''))
    throw invalid('a RequestID is originator:target:counter')
  return {
    originator: bytesOfEui64(readEui64(party)),
    target: readEui64(target),
    counter: BigInt(counter!),
  }
}
