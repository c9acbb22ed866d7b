/**
 * The operators' door for status files: GET /v1/sources/{id}/status-file?sequence=N, the service
 * flags of the meter points of a source, streamed as its registration system takes them.
 */
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ActorMailPorts } from '../../core/bus/actor-mail.ts'
import { generationDigitsMax } from '../../core/registration/gas-file.ts'
import { fuelOfSource, nameOfSource, type SourceId } from '../../core/registration/source-id.ts'
import { writeElectricityStatus, writeGasStatus } from '../../core/registration/status-file.ts'
import { expectOnly } from './counters-door.ts'
import { ourId, ourOrganisation, ourRole, registrationSystem } from './file-response.ts'
import { sourceIn } from './source-door.ts'
import { statusRows } from './status-rows.ts'
import type { ViewsRole } from './views-role.ts'

type OfSource = { Params: { id: string }; Querystring: Record<string, unknown> }

/** @param views those of this process, which has the list of meters; undefined without the role */
export function addStatusFileRoute(
  app: FastifyInstance,
  ports: ActorMailPorts,
  views: Pick<ViewsRole, 'metersOf'> | undefined,
): void {
  app.get<OfSource>('/v1/sources/:id/status-file', async ({ params, query }, reply) => {
    const source = sourceIn(params.id)
    expectOnly(query, ['sequence'])
    const sequence = sequenceIn(query['sequence'])
    if (views === undefined)
      throw new BrokerError(
        'REQUEST_PATH_UNKNOWN',
        "this process has no views of devices; ask the operators' door of a process with the role views",
      )
    const created = ports.clock.now()
    const day = Number(new Date(created).toISOString().slice(0, 10).replaceAll('-', ''))
    const rows = statusRows(source, day, { ...ports, metersOf: views.metersOf })
    const octets = statusFileOf(source, { sequence, created }, rows)
    return reply.type('text/plain; charset=us-ascii').send(Readable.from(octets))
  })
}

function statusFileOf(
  source: SourceId,
  { sequence, created }: { sequence: number; created: number },
  rows: ReturnType<typeof statusRows>,
): AsyncGenerator<Buffer> {
  if (fuelOfSource(source) === 'gas')
    return writeGasStatus({ from: ourOrganisation, created, sequence }, rows)
  const names = { fromRole: ourRole, from: ourId, toRole: registrationSystem }
  const file = `S${String(sequence).padStart(7, '0')}`
  const to = nameOfSource(source)
  return writeElectricityStatus({ file, ...names, to, created, sequence }, rows)
}

/** Gas has the shorter numbers; one file a day takes 2,700 years. */
function sequenceIn(value: unknown): number {
  const isNumber = typeof value === 'string' && /^\d+$/.test(value)
  const sequence = isNumber && value.length <= generationDigitsMax ? Number(value) : 0
  if (sequence < 1)
    throw new BrokerError(
      'VIEW_QUERY_INVALID',
      `sequence must be the number of the file, of up to ${generationDigitsMax} digits, from 1`,
    )
  return sequence
}
