/**
 * The operators' door for the registration and removal of devices, their keys and their invocation
 * counters.
 */
import type { FastifyInstance } from 'fastify'
import { limits } from '../../core/base/limits.ts'
import type { DeviceEntry } from '../../core/inventory/device-record.ts'
import { send } from '../../core/http/door.ts'
import type { ContentLimits } from '../../core/http/json-content.ts'
import { textOfEui64 } from '../../core/base/eui64.ts'
import { problemOf } from '../../core/http/problem.ts'
import { byIn, deviceIn, expectOnly } from './counters-door.ts'
import { failureOf, registerList } from './device-list.ts'
import {
  acceptCounters,
  counterIn,
  removeDevice,
  replaceKeys,
  type RegistrationPorts,
  type RegistrationResult,
} from './registration.ts'

const deviceList: ContentLimits = {
  bytesMax: limits.partyMessageBytesMax,
  itemsMax: limits.requestsPerBatchMax,
  depthMax: limits.jsonNestingMax,
}

type OfDevice = { Params: { eui64: string }; Querystring: Record<string, unknown> }
/** The answer to `DELETE /v1/devices/{eui64}`, which may be asked again: the device is gone. */
export type RemovalAnswer = { removed: string; wasRemovedBefore: boolean }

/** @param register settles when each entry is on disk or rejected */
export function addDeviceRoutes(
  app: FastifyInstance,
  ports: RegistrationPorts,
  register: (entries: readonly DeviceEntry[]) => Promise<RegistrationResult>,
): void {
  app.post('/v1/devices', { config: { content: deviceList } }, async (request, reply) => {
    const result = await registerList(request.body, register)
    const failure = failureOf(result)
    if (failure === undefined) return result
    const { code, message } = failure
    send(reply, problemOf(code, { detail: message, members: result }))
    return reply
  })
  app.delete<OfDevice>('/v1/devices/:eui64', async (request): Promise<RemovalAnswer> => {
    const { params, query } = request
    const device = deviceIn(params.eui64)
    expectOnly(query, ['by'])
    const isDone = await removeDevice(
      device,
      byIn(request, query['by'], 'removes the device'),
      ports,
    )
    return { removed: textOfEui64(device), wasRemovedBefore: !isDone }
  })
  app.post<OfDevice>('/v1/devices/:eui64/keys', async ({ params }) =>
    replaceKeys([deviceIn(params.eui64)], ports),
  )
  app.post<OfDevice>('/v1/devices/:eui64/counter', async ({ params, body }) =>
    acceptCounters([deviceIn(params.eui64)], counterIn(body), ports),
  )
}
