/**
 * The operators' door for RequestCounters of devices: GET and DELETE /v1/devices/{eui64}/counters.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { actingName } from '../../core/access/operators.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readEui64, textOfEui64, parseEui64, type Eui64 } from '../../core/base/eui64.ts'
import { requestCounterMax } from '../../core/base/request-counter.ts'
import { operatorOf } from '../../core/ops/operator-gate.ts'
import type { PartyCounters } from '../device/counters-reset.ts'
import { countersOf, resetCounters, type RegistrationPorts } from './registration.ts'

/** Counters as JSON: text, because they do not fit a double. */
export type CountersJson = {
  party: string
  highestCounter: string
  counterFloor: string
  open: number
  ended: number
  past: number
}
export type CountersAnswer = { device: string; counters: CountersJson[] }

type Params = { eui64: string }
type Query = Record<string, unknown>

export function addCounterRoutes(app: FastifyInstance, ports: RegistrationPorts): void {
  const path = '/v1/devices/:eui64/counters'
  const safe = { exposeHeadRoute: true }
  app.get<{ Params: Params; Querystring: Query }>(path, safe, async ({ params, query }) => {
    const device = deviceIn(params.eui64)
    expectOnly(query, ['party'])
    const party = query['party'] === undefined ? undefined : partyIn(query['party'])
    return answerOf(device, await countersOf(device, party, ports))
  })
  // A reset is what is left when the resource is deleted; what the actor remembers stays.
  app.delete<{ Params: Params; Querystring: Query }>(path, async (request) => {
    const { params, query } = request
    const device = deviceIn(params.eui64)
    expectOnly(query, ['party', 'to', 'by'])
    const party = partyIn(query['party'])
    const by = byIn(request, query['by'], 'resets the counters')
    await resetCounters({ device, party, to: toIn(query['to']), by }, ports)
    return answerOf(device, await countersOf(device, party, ports))
  })
}

const invalid = (detail: string): BrokerError => new BrokerError('VIEW_QUERY_INVALID', detail)

export function expectOnly(query: Query, names: readonly string[]): void {
  for (const name of Object.keys(query))
    if (!names.includes(name)) throw invalid(`${name.slice(0, 40)} is not a parameter here`)
}

/** @throws BrokerError DEVICE_UNKNOWN for what is not an EUI-64 */
export function deviceIn(text: string): Eui64 {
  const octets = parseEui64(text)
  if (octets === undefined) throw new BrokerError('DEVICE_UNKNOWN', 'not an EUI-64')
  return readEui64(octets)
}

function partyIn(value: unknown): Eui64 {
  const octets = typeof value === 'string' ? parseEui64(value) : undefined
  if (octets === undefined) throw invalid('party must be an EUI-64')
  return readEui64(octets)
}

function toIn(value: unknown): bigint {
  if (value === undefined) return 0n
  const to = typeof value === 'string' && /^\d{1,19}$/.test(value) ? BigInt(value) : -1n
  if (to < 0n || to > requestCounterMax)
    throw invalid(`to must be a counter from 0 to ${requestCounterMax}`)
  return to
}

/** Who does `what`, for the ledger, of which `said` is what the caller says. */
export const byIn = (request: FastifyRequest, said: unknown, what: string): string =>
  actingName(operatorOf(request), said, what)

/** As `byIn`; at a door without authentication `said` stays; the record checks it. */
export const provenBy = (request: FastifyRequest, said: unknown, what: string): unknown =>
  operatorOf(request).isProven ? byIn(request, said, what) : said

function answerOf(device: Eui64, counters: readonly PartyCounters[]): CountersAnswer {
  return {
    device: textOfEui64(device),
    counters: counters.map(({ party, highest, floor, open, ended, past }) => ({
      party: textOfEui64(party),
      highestCounter: String(highest),
      counterFloor: String(floor),
      open,
      ended,
      past,
    })),
  }
}
