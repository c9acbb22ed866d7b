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
import { operatorOf } from '../../core/ops/operator-gate.ts'
import { answered, type TwoPersons } from './approvals-door.ts'
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

/**
 * @param register settles when each entry is on disk or rejected
 * @param persons asks a second operator before a device is removed, or gets other keys
 */
export function addDeviceRoutes(
  app: FastifyInstance,
  ports: RegistrationPorts,
  register: (entries: readonly DeviceEntry[]) => Promise<RegistrationResult>,
  persons: TwoPersons,
): void {
  persons.on('device.remove', async (target, by): Promise<RemovalAnswer> => {
    const device = deviceIn(target)
    const isDone = await removeDevice(device, by, ports)
    return { removed: textOfEui64(device), wasRemovedBefore: !isDone }
  })
  persons.on('device.keys', (target) => replaceKeys([deviceIn(target)], ports))
  app.post('/v1/devices', { config: { content: deviceList } }, async (request, reply) => {
    const result = await registerList(request.body, register)
    const failure = failureOf(result)
    if (failure === undefined) return result
    const { code, message } = failure
    send(reply, problemOf(code, { detail: message, members: result }))
    return reply
  })
  app.delete<OfDevice>('/v1/devices/:eui64', async (request, reply) => {
    const { params, query } = request
    const target = textOfEui64(deviceIn(params.eui64))
    expectOnly(query, ['by'])
    const by = byIn(request, query['by'], 'removes the device')
    return answered(reply, await persons.ask(request, { act: 'device.remove', target, by }))
  })
  app.post<OfDevice>('/v1/devices/:eui64/keys', async (request, reply) => {
    const target = textOfEui64(deviceIn(request.params.eui64))
    const { name: by } = operatorOf(request)
    return answered(reply, await persons.ask(request, { act: 'device.keys', target, by }))
  })
  app.post<OfDevice>('/v1/devices/:eui64/counter', async ({ params, body }) =>
    acceptCounters([deviceIn(params.eui64)], counterIn(body), ports),
  )
}
