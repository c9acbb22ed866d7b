/** Registration data behind a decision that are older than they should be, as grounds of it. */
import type { Directory } from '../../core/access/directory.ts'
import type { ActorMailPorts } from '../../core/bus/actor-mail.ts'
import { fuelOf, textOfMeterPoint } from '../../core/registration/meter-point.ts'
import type { ReportedLink } from '../../core/registration/rights-report.ts'
import { parseSource } from '../../core/registration/source-id.ts'
import { dataSinceMs } from '../../core/registration/source-report.ts'
import { reportOf } from './meter-point-door.ts'

/** A meter point whose registration system has sent nothing for too long. */
export type OldData = {
  meterPoint: string
  source: string
  /** ISO 8601, UTC. */
  dataSince: string
  ageSeconds: number
}

/** Those of the meter points in `links`, with each registration system that has said something. */
export async function oldDataOf(
  links: readonly ReportedLink[],
  { sources }: Directory,
  ageMsMax: number,
  ports: ActorMailPorts,
): Promise<OldData[]> {
  if (sources.size === 0) return []
  const now = ports.clock.now()
  const old: OldData[] = []
  for (const { point } of links) {
    const { orders } = await reportOf(point, ports)
    for (const { source: name } of orders) {
      const source = `${fuelOf(point)}:${name}`
      const id = parseSource(source)
      const record = id && sources.get(id)
      if (record === undefined) continue
      const sinceMs = dataSinceMs(record)
      if (now - sinceMs <= ageMsMax) continue
      const dataSince = new Date(sinceMs).toISOString()
      const ageSeconds = Math.round((now - sinceMs) / 1_000)
      old.push({ meterPoint: textOfMeterPoint(point), source, dataSince, ageSeconds })
    }
  }
  return old
}
