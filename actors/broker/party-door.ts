/**
 * The operators' door for parties: GET and POST /v1/parties, GET and DELETE /v1/parties/{eui64},
 * POST /v1/parties/{eui64}/suspend, /resume and /require-signatures. A change is on disk when it is
 * answered, and in the directory of this process. Removal needs two operators; to stop a party at
 * once, one operator suspends it.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { decodePartyChange, encodePartyChange } from '../../core/access/party-change.ts'
import type { PartyRecord } from '../../core/access/party-record.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { parseEui64, readEui64, textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { askActors, type ActorMailPorts } from '../../core/bus/actor-mail.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import { answered, type TwoPersons } from './approvals-door.ts'
import { expectOnly, provenBy } from './counters-door.ts'

/** A party as JSON. */
export type PartyJson = {
  eui64: string
  role: string
  name: string
  participant?: string
  /** Requests that it has to sign; absent for none. */
  mustSign?: readonly string[]
  status: string
  changedAt: string
  changedBy: string
}
/** `sequence` is that of the ledger's last record in the directory. */
export type PartiesJson = { parties: PartyJson[]; isInForce: boolean; sequence: number }

type OfParty = { Params: { eui64: string } }
type Query = { Querystring: Record<string, unknown> }

export function addPartyRoutes(
  app: FastifyInstance,
  ports: ActorMailPorts,
  reader: DirectoryReader,
  persons: TwoPersons,
): void {
  persons.on('party.remove', (target, by) =>
    changeParty(partyIn(target), { change: 'remove', by }, ports, reader),
  )
  const change = (
    request: FastifyRequest,
    party: Eui64,
    wanted: Record<string, unknown>,
  ): Promise<PartyJson> => {
    const by = provenBy(request, wanted['by'], 'changes the party') ?? ''
    return changeParty(party, { ...wanted, by }, ports, reader)
  }
  const safe = { exposeHeadRoute: true }
  app.get<Query>('/v1/parties', safe, ({ query }): PartiesJson => {
    const { isInForce, sequence, records } = reader.current
    const isAll = isAllIn(query)
    const parties = Array.from(records, ([id, record]) => jsonOf(id, record))
      .filter(({ status }) => isAll || status !== 'removed')
      .sort((a, b) => (a.eui64 < b.eui64 ? -1 : 1))
    return { parties, isInForce, sequence }
  })
  app.get<OfParty>('/v1/parties/:eui64', safe, ({ params }) =>
    knownParty(partyIn(params.eui64), reader),
  )
  app.post('/v1/parties', (request) => {
    const { eui64, ...rest } = onlyIn(request.body, ['eui64', 'role', 'name', 'participant', 'by'])
    return change(request, partyIn(eui64), { ...rest, change: 'add' })
  })
  for (const word of ['suspend', 'resume'] as const)
    app.post<OfParty>(`/v1/parties/:eui64/${word}`, (request) =>
      change(request, partyIn(request.params.eui64), {
        ...onlyIn(request.body, ['by']),
        change: word,
      }),
    )
  app.post<OfParty>('/v1/parties/:eui64/require-signatures', (request) =>
    change(request, partyIn(request.params.eui64), {
      ...onlyIn(request.body, ['mustSign', 'by']),
      change: 'require-signatures',
    }),
  )
  app.delete<OfParty & Query>('/v1/parties/:eui64', async (request, reply) => {
    const { params, query } = request
    const party = partyIn(params.eui64)
    expectOnly(query, ['by'])
    const said = provenBy(request, query['by'], 'changes the party')
    const by = typeof said === 'string' ? said : ''
    // Asked for what is not there, nobody would have to approve anything.
    await reader.refresh()
    const { eui64: target } = knownParty(party, reader)
    return answered(reply, await persons.ask(request, { act: 'party.remove', target, by }))
  })
}

async function changeParty(
  party: Eui64,
  wanted: Record<string, unknown>,
  ports: ActorMailPorts,
  reader: DirectoryReader,
): Promise<PartyJson> {
  // What this process has may be old; the actor compares.
  await reader.refresh()
  const { revision = 0 } = reader.current.records.get(party) ?? {}
  const json = { ...wanted, revision }
  const change = decodePartyChange(Buffer.from(JSON.stringify(json), 'utf8'))
  const question = { kind: Kind.PARTY_CHANGE, target: party, bodyBytes: encodePartyChange(change) }
  const [refused] = await askActors([question], ports)
  if (refused !== undefined) throw new BrokerError(refused.code, textOfEui64(party))
  if (!(await reader.refresh()))
    throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'the change is made; it cannot be read yet')
  return knownParty(party, reader)
}

/** @throws BrokerError PARTY_UNKNOWN */
function knownParty(party: Eui64, { current }: DirectoryReader): PartyJson {
  const record = current.records.get(party)
  if (record === undefined) throw new BrokerError('PARTY_UNKNOWN', textOfEui64(party))
  return jsonOf(party, record)
}

const jsonOf = (
  id: Eui64,
  { role, name, participant, mustSign, status, changedAtMs, by }: PartyRecord,
): PartyJson => ({
  eui64: textOfEui64(id),
  role,
  name,
  ...(participant !== undefined && { participant }),
  ...(mustSign !== undefined && { mustSign }),
  status,
  changedAt: new Date(changedAtMs).toISOString(),
  changedBy: by,
})

/** @throws BrokerError PARTY_RECORD_MALFORMED */
function partyIn(value: unknown): Eui64 {
  const octets = typeof value === 'string' ? parseEui64(value) : undefined
  if (octets === undefined)
    throw new BrokerError('PARTY_RECORD_MALFORMED', 'eui64 must be sixteen hexadecimal digits')
  return readEui64(octets)
}

const objectIn = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}

/**
 * The object in a body, which may have these fields alone.
 * @throws BrokerError PARTY_RECORD_MALFORMED naming the first other one
 */
function onlyIn(value: unknown, names: readonly string[]): Record<string, unknown> {
  const json = objectIn(value)
  const other = Object.keys(json).find((name) => !names.includes(name))
  if (other === undefined) return json
  throw new BrokerError('PARTY_RECORD_MALFORMED', `${other.slice(0, 40)} is not a field here`)
}

function isAllIn(query: Record<string, unknown>): boolean {
  expectOnly(query, ['all'])
  const { all } = query
  if (all !== undefined && all !== 'true' && all !== 'false')
    throw new BrokerError('VIEW_QUERY_INVALID', 'all must be true or false')
  return all === 'true'
}
