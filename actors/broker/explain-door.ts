/**
 * Explanations of requests and lists of rejections, read from the ledger: for operators at their
 * door, and for a party of its own requests at its own. One is read at a time in a process, because
 * each goes through the whole ledger.
 */
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../core/base/broker-error.ts'
import { numberOfCounter, readRequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, errorTable } from '../../core/base/error-table.ts'
import { parseEui64, readEui64, textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { cursorNameOf, decodeCursor } from '../../core/envelope/delivery-id.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { tickSubjects, type CursorStore, type Ledger } from '../../core/ports/ledger.ts'
import { trimRecordOf } from '../runtime/recovery/trimmed-history.ts'
import { expectOnly } from './counters-door.ts'
import { explainDecision, type Audience, type ExplainedDecision } from './explanation.ts'
import { queryIn, RejectionList, type RejectionPage } from './rejection-list.ts'
import { RegistrationTrail } from './registration-trail.ts'
import { RequestTrail, type Event, type RequestName } from './request-trail.ts'

export type CountJson = {
  ledgerPosition: number
  code: string
  from: string
  to: string
  count: number
}
export type ExplanationJson = {
  requestId: string
  /** In the order of the ledger; a request that is repeated is decided again. */
  decisions: ExplainedDecision[]
  /** What became of it, in words. */
  events: Array<{ ledgerPosition: number; time: string; what: string }>
  /** Rejections of its originator that were not recorded one by one. */
  counted: CountJson[]
  /** Ticks up to this position are forgotten. */
  forgottenThrough: number
}

export type ExplainPorts = { ledger: Ledger; cursors: CursorStore; clock: Clock }

export class Explainer {
  private readonly ports: ExplainPorts
  private isReading = false
  /** When a party may ask again, elapsed time; those in the future only. */
  private readonly askedBy = new Map<Eui64, number>()

  constructor(ports: ExplainPorts) {
    this.ports = ports
  }

  /** Explains a request to an operator. @throws BrokerError as `explanationOf` */
  explain(name: RequestName): Promise<ExplanationJson> {
    return this.alone(() => this.explanationOf(name, 'operator'))
  }

  /**
   * Explains a request to its originator.
   * @throws BrokerError LEDGER_READERS_BUSY; REQUEST_NOT_FOUND; PARTY_ORIGINATOR_MISMATCH
   */
  explainTo(party: Eui64, name: RequestName): Promise<ExplanationJson> {
    if (name.originator !== party) throw new BrokerError('PARTY_ORIGINATOR_MISMATCH')
    const now = this.ports.clock.elapsedMs()
    for (const [one, untilMs] of this.askedBy) if (untilMs <= now) this.askedBy.delete(one)
    if (this.askedBy.has(party)) throw new BrokerError('LEDGER_READERS_BUSY')
    return this.alone(() => {
      this.askedBy.set(party, now + limits.explanationIntervalMs)
      return this.explanationOf(name, 'party')
    })
  }

  /** One page. @throws BrokerError VIEW_QUERY_INVALID, LEDGER_READERS_BUSY */
  list(query: Record<string, unknown>): Promise<RejectionPage> {
    const list = new RejectionList(queryIn(query))
    return this.alone(async () => {
      await list.readFrom(this.ports.ledger)
      return list.page()
    })
  }

  private async alone<Answer>(read: () => Promise<Answer>): Promise<Answer> {
    if (this.isReading) throw new BrokerError('LEDGER_READERS_BUSY')
    this.isReading = true
    try {
      return await read()
    } finally {
      this.isReading = false
    }
  }

  /** @throws BrokerError REQUEST_NOT_FOUND when the ledger says nothing of it */
  private async explanationOf(name: RequestName, audience: Audience): Promise<ExplanationJson> {
    const { ledger, cursors } = this.ports
    const { through } = await trimRecordOf(ledger)
    const trail = new RequestTrail(name)
    await ledger.read(tickSubjects, through + 1, (message) => trail.read(message))
    // To a party its own requests only, not what others sent in its name.
    const decisions = trail.decisions.filter(
      ({ party }) => audience === 'operator' || party === name.originator,
    )
    if (decisions.length + trail.events.length + trail.counts.length === 0)
      throw new BrokerError('REQUEST_NOT_FOUND', notFoundWords(through))
    const last = decisions.at(-1)
    const points = new Set(decisions.flatMap(({ device }) => device.links?.points ?? []))
    const registrations = new RegistrationTrail([...points])
    if (last !== undefined && points.size > 0)
      await ledger.read(tickSubjects, through + 1, (message) => {
        if (message.sequence <= last.sequence) registrations.read(message)
      })
    const acknowledged = decodeCursor(await cursors.get(cursorNameOf(name.originator)))
    return {
      requestId: textOfRequest(name),
      decisions: decisions.map((decision) =>
        explainDecision({ decision, parties: trail.parties, registrations, audience }),
      ),
      events: trail.events.map((event) => ({
        ledgerPosition: event.sequence,
        time: new Date(event.time).toISOString(),
        what: eventWords(event, acknowledged),
      })),
      counted: trail.counts.map(({ sequence, outcome, fromMs, toMs, count }) => ({
        ledgerPosition: sequence,
        code: errorCodeOf(outcome) ?? String(outcome),
        from: new Date(fromMs).toISOString(),
        to: new Date(toMs).toISOString(),
        count,
      })),
      forgottenThrough: through,
    }
  }
}

const notFoundWords = (through: number): string =>
  through === 0
    ? 'the ledger says nothing of it'
    : `the ledger says nothing of it; it has forgotten what stood up to position ${through}`

export const textOfRequest = ({ originator, target, counter }: RequestName): string =>
  `${textOfEui64(originator)}:${textOfEui64(target)}:${numberOfCounter(counter)}`

function eventWords({ what, code, attempt, deliveryId }: Event, acknowledged: number): string {
  const outcome = code === undefined ? 'with a code of a newer Busbar' : `with ${code}`
  const meaning = code === undefined ? '' : `: ${errorTable[code].meaning}`
  if (what === 'attempt failed')
    return `sent to the device; attempt ${attempt} failed ${outcome}${meaning}`
  if (what === 'ended') return `ended ${outcome} after ${attempt} attempts${meaning}`
  const isRead = deliveryId !== undefined && deliveryId <= acknowledged
  return `response written for the party, which has ${isRead ? '' : 'not '}acknowledged it`
}

/** @throws BrokerError REQUEST_ID_MALFORMED */
export function requestNameIn(text: string): RequestName {
  const [originator = '', target = '', counter = '', ...more] = splitId(text)
  const octets = [parseEui64(originator), parseEui64(target)]
  const isCounter = /^\d{1,20}$/.test(counter) && BigInt(counter) < 2n ** 64n
  if (octets[0] === undefined || octets[1] === undefined || !isCounter || more.length > 0)
    throw new BrokerError('REQUEST_ID_MALFORMED', 'not originator:target:counter')
  const counterOctets = Buffer.alloc(8)
  counterOctets.writeBigUInt64BE(BigInt(counter))
  return {
    originator: readEui64(octets[0]),
    target: readEui64(octets[1]),
    counter: readRequestCounter(counterOctets),
  }
}

/** An EUI-64 may have colons between its octets, too. */
function splitId(text: string): string[] {
  const parts = text.split(':')
  if (parts.length !== 17) return parts
  return [parts.slice(0, 8).join(':'), parts.slice(8, 16).join(':'), parts[16]!]
}

type Params = { Params: { id: string }; Querystring: Record<string, unknown> }

export function addExplainRoutes(app: FastifyInstance, explainer: Explainer): void {
  const safe = { exposeHeadRoute: true }
  app.get<Params>('/v1/requests/:id/explanation', safe, ({ params, query }) => {
    expectOnly(query, [])
    return explainer.explain(requestNameIn(params.id))
  })
  app.get<Params>('/v1/rejections', safe, ({ query }) => explainer.list(query))
}
