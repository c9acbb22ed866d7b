/**
 * Load classes as data (load-classes.json): what is taken last and shed first when a gateway or a
 * host fills up. Top-ups and what restores a supply are never shed for others. Pure.
 */
import { assert } from '../base/assert.ts'
import { parseSrv, type Srv } from '../base/srv.ts'
import { Lane } from '../base/lane.ts'
import classes from './load-classes.json' with { type: 'json' }
import { serviceRequestOf, type ServiceRequestRow } from './service-requests.ts'

type ClassRow = {
  readonly name: string
  readonly fullAtPercent: number
  readonly variants?: readonly string[]
  readonly lane?: string
  readonly critical?: boolean
}

export type LoadClass = {
  readonly name: string
  /** Requests of the class are taken while less of the room is used, 0 to 1. */
  readonly fullAt: number
}

const rows: readonly ClassRow[] = classes.classes
export const loadClasses: readonly LoadClass[] = rows.map(({ name, fullAtPercent }) => {
  assert(fullAtPercent > 0 && fullAtPercent <= 100, `load-classes.json: ${name}`)
  return { name, fullAt: fullAtPercent / 100 }
})
for (const { name, variants = [], lane } of rows) {
  assert(lane === undefined || lane in Lane, `load-classes.json: lane of ${name}`)
  for (const variant of variants)
    assert(serviceRequestOf(parseSrv(variant)) !== undefined, `load-classes.json: ${variant}`)
}
const last = rows.at(-1)
assert(
  last !== undefined && last.variants === undefined && last.lane === undefined && !last.critical,
  'the last class of load-classes.json takes the rest',
)

function fits({ variants, lane, critical }: ClassRow, row: ServiceRequestRow): boolean {
  if (variants !== undefined) return variants.some((variant) => parseSrv(variant) === row.srv)
  if (lane !== undefined) return Lane[lane as keyof typeof Lane] === row.lane
  return critical !== true || row.isCritical
}

const known = new Map<Srv, LoadClass>()

/**
 * The class of a variant. What is no service request, such as a cancellation, and variants outside
 * of the catalogue are taken as long as there is room.
 */
export function loadClassOf(srv: Srv): LoadClass {
  let found = known.get(srv)
  if (found !== undefined) return found
  const row = serviceRequestOf(srv)
  if (row === undefined) return loadClasses[0]!
  found = loadClasses[rows.findIndex((one) => fits(one, row))]!
  known.set(srv, found)
  return found
}
