/** The operators' door for schedules: GET /v1/devices/{eui64}/schedules. */
import type { FastifyInstance } from 'fastify'
import { Schedule } from '../../proto/gen/busbar/v1/schedule.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { askActors, type ActorMailPorts } from '../../core/bus/actor-mail.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { readTree } from '../../core/registration/versioned-tree.ts'
import { answersIn, type ScheduleAnswer } from '../../core/schedule/letters.ts'
import { wireSchedule } from '../../core/translate/schedule-body.ts'
import { deviceIn } from './counters-door.ts'

/** A schedule as parties see it in JSON, and whose it is. */
export type ScheduleJson = { party: string } & Record<string, unknown>
export type SchedulesJson = { device: string; schedules: ScheduleJson[] }

export function addScheduleRoutes(app: FastifyInstance, ports: ActorMailPorts): void {
  app.get<{ Params: { eui64: string } }>(
    '/v1/devices/:eui64/schedules',
    { exposeHeadRoute: true },
    async ({ params }): Promise<SchedulesJson> => {
      const device = deviceIn(params.eui64)
      const schedules = (await schedulesAt(device, ports)).map((one) => ({
        party: textOfEui64(one.party),
        ...(Schedule.toJSON(wireSchedule(one)) as Record<string, unknown>),
      }))
      return { device: textOfEui64(device), schedules }
    },
  )
}

/** The schedules of a device, of all parties; none for a device that nobody has any of. */
async function schedulesAt(device: Eui64, ports: ActorMailPorts): Promise<ScheduleAnswer[]> {
  let found: ScheduleAnswer[] | undefined
  const question = { kind: Kind.SCHEDULES_QUERY, target: device, bodyBytes: emptyBytes }
  const [refused] = await askActors([question], ports, (answer, at) => {
    if (readKind(answer, at) === Kind.SCHEDULES)
      found = readTree(readBodyView(answer, at), 'schedules', ([packed]) => answersIn(packed))
  })
  if (found === undefined)
    throw new BrokerError(refused?.code ?? 'BROKER_PARTITION_UNAVAILABLE', textOfEui64(device))
  return found
}
