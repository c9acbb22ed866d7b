/**
 * The rows of a status file: the service flag of each meter point of a source that has a meter in
 * the inventory. The list of meters is that of views; their status and their meter points are asked
 * of the actors themselves, a page at a time, so that memory does not grow with the inventory.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { askActors, type ActorMailPorts } from '../../core/bus/actor-mail.ts'
import { readBodyView, readCorrelation, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { fuelOf, textOfMeterPoint, type MeterPointId } from '../../core/registration/meter-point.ts'
import {
  decodeMeterPointReport,
  type MeterPointReport,
} from '../../core/registration/meter-point-report.ts'
import { valueAt } from '../../core/registration/registrations.ts'
import { decodeRightsReport, type RightsReport } from '../../core/registration/rights-report.ts'
import { serviceFlagOf } from '../../core/registration/service-flag.ts'
import { fuelOfSource, nameOfSource, type SourceId } from '../../core/registration/source-id.ts'
import type { StatusRow } from '../../core/registration/status-file.ts'

/** Meters of one type by rising EUI-64; more follow behind `next`. */
export type MeterPage = { readonly meters: readonly Eui64[]; readonly next: string | undefined }
export type MeterType = 'ESME' | 'GSME'

export type StatusRowsPorts = ActorMailPorts & {
  /** The page behind `after`, which `next` of the page before gave. */
  metersOf: (type: MeterType, after: string | undefined) => MeterPage
}

/**
 * A meter point belongs to the source if a file of it has changed what is registered there.
 * @param day YYYYMMDD, from which the flags are said to hold
 */
export async function* statusRows(
  source: SourceId,
  day: number,
  ports: StatusRowsPorts,
): AsyncGenerator<StatusRow> {
  const type = fuelOfSource(source) === 'gas' ? 'GSME' : 'ESME'
  let after: string | undefined
  do {
    const { meters, next } = ports.metersOf(type, after)
    yield* rowsOf(meters, { source, day, type }, ports)
    after = next
  } while (after !== undefined)
}

type Wanted = { source: SourceId; day: number; type: MeterType }

async function* rowsOf(
  page: readonly Eui64[],
  { source, day, type }: Wanted,
  ports: ActorMailPorts,
): AsyncGenerator<StatusRow> {
  const devices = await devicesOf(page, ports)
  const linked = new Set(
    [...devices.values()].flatMap(({ links }) => links.map(({ point }) => point)),
  )
  const points = await pointsOf(
    [...linked].filter((point) => fuelOf(point) === fuelOfSource(source)),
    ports,
  )
  const others = new Set(
    [...points.values()].flatMap(({ links }) => links.map(({ device }) => device)),
  )
  const missing = [...others].filter((device) => !devices.has(device))
  const all = new Map([...devices, ...(await devicesOf(missing, ports))])
  const name = nameOfSource(source)
  for (const [point, { items, links, orders }] of points) {
    if (!orders.some((order) => order.source === name)) continue
    const meters = links
      .map(({ device }) => device)
      .filter((device) => all.get(device)?.type === type)
      .toSorted()
    // A point with several meters stands on the page of the first one.
    if (!devices.has(meters[0]!)) continue
    const number = textOfMeterPoint(point).slice(5)
    const flag = serviceFlagOf(meters.map((device) => all.get(device)!.status))
    const supplier = valueAt(items, 'supplier', ports.clock.now()) ?? ''
    yield { number, flag, from: day, supplier }
  }
}

/** Reports of those that are in the inventory. */
const devicesOf = (devices: readonly Eui64[], ports: ActorMailPorts) =>
  reportsOf<Eui64, RightsReport>(devices, ports, {
    ask: Kind.RIGHTS_QUERY,
    answer: Kind.RIGHTS,
    read: decodeRightsReport,
    nameOf: textOfEui64,
  })

const pointsOf = (points: readonly MeterPointId[], ports: ActorMailPorts) =>
  reportsOf<MeterPointId, MeterPointReport>(points, ports, {
    ask: Kind.METER_POINT_QUERY,
    answer: Kind.METER_POINT,
    read: decodeMeterPointReport,
    nameOf: textOfMeterPoint,
  })

type Asking<Id, Report> = {
  ask: Kind
  answer: Kind
  read: (view: Uint8Array) => Report
  nameOf: (id: Id) => string
}

/**
 * What actors say of themselves, without those that are not known.
 * @throws BrokerError when one does not answer: a file must not lack it
 */
async function reportsOf<Id extends Eui64, Report>(
  ids: readonly Id[],
  ports: ActorMailPorts,
  { ask, answer: wanted, read, nameOf }: Asking<Id, Report>,
): Promise<Map<Id, Report>> {
  const found = new Map<Id, Report>()
  for (let from = 0; from < ids.length; from += limits.requestsPerBatchMax) {
    const some = ids.slice(from, from + limits.requestsPerBatchMax)
    const refused = await askActors(
      some.map((target) => ({ kind: ask, target, bodyBytes: emptyBytes })),
      ports,
      (answer, at) => {
        const id = some[readCorrelation(answer, at)]
        if (id === undefined || readKind(answer, at) !== wanted) return
        found.set(id, read(readBodyView(answer, at)))
      },
    )
    for (const { index, code } of refused)
      if (code !== 'DEVICE_UNKNOWN') throw new BrokerError(code, nameOf(some[index]!))
  }
  return found
}
