/**
 * The sample file of `npm start`: what the demonstration supplier asks for. JSON lines, each
 *
 *   {"serviceReferenceVariant":"4.8.1","deviceType":"ESME","share":0.5,"readPeriod":{"startTime":"-7d","endTime":"now"}}
 *
 * asks that variant of the first `share` (0 to 1, default all) of the fleet's devices of that type,
 * or of the one device named by `target`. The body is given as in the HTTP form; times may be RFC
 * 3339, `now`, or `-<number>` of d, h or m before it.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { parseEui64 } from '../../core/base/eui64.ts'
import { parseSrv } from '../../core/base/srv.ts'
import { serviceRequestOf, type Role } from '../../core/catalogue/service-requests.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'

export type DemoDevice = { eui64: string; type: string }
/** One request to be made; its counter is given when it is submitted. */
export type Planned = { srv: string; role: Role; target: string; request: ServiceRequest }

const unitMs: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000 }
// Who asks, when several roles may: suppliers first.
const preferredRoles: readonly Role[] = ['IS', 'GS', 'ES', 'ED', 'GT', 'RSA', 'OU']

/**
 * Every request that the lines of `text` ask for, mixed so that no device is asked everything at
 * once. @throws BrokerError CONFIG_INVALID
 */
export function planOf(text: string, devices: readonly DemoDevice[], nowMs: number): Planned[] {
  const lists = text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      return [plansOfLine(JSON.parse(line) as Record<string, unknown>, devices, nowMs)]
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new BrokerError('CONFIG_INVALID', `line ${index + 1} of the requests file: ${why}`, {
        cause,
      })
    }
  })
  const longest = Math.max(0, ...lists.map((list) => list.length))
  const mixed: Planned[] = []
  for (let index = 0; index < longest; index++) {
    for (const list of lists) if (index < list.length) mixed.push(list[index]!)
  }
  return mixed
}

function plansOfLine(
  json: Record<string, unknown>,
  devices: readonly DemoDevice[],
  nowMs: number,
): Planned[] {
  const { deviceType, share = 1, target, serviceReferenceVariant: srv, ...rest } = json
  if (typeof srv !== 'string') throw new Error('serviceReferenceVariant is missing')
  if (typeof share !== 'number' || share < 0 || share > 1)
    throw new Error('share must lie between 0 and 1')
  if (target !== undefined && (typeof target !== 'string' || parseEui64(target) === undefined))
    throw new Error('target must be an EUI-64')
  const known = devices.filter((device) =>
    target === undefined ? device.type === deviceType : device.eui64 === target,
  )
  const targets =
    target === undefined
      ? known.slice(0, Math.ceil(known.length * share))
      : [known[0] ?? { eui64: target, type: 'ESME' }]
  const body = Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [name, withTimes(value, nowMs)]),
  )
  const row = serviceRequestOf(parseSrv(srv))
  return targets.map(({ eui64, type }) => {
    const eligible = preferredRoles.filter((role) => row?.roles.includes(role) ?? true)
    const isGas = type !== 'ESME'
    const role = eligible.find((one) => (isGas ? one !== 'IS' : one !== 'GS')) ?? 'IS'
    return {
      srv,
      role,
      target: eui64,
      request: ServiceRequest.fromJSON({ ...body, serviceReferenceVariant: srv }),
    }
  })
}

function withTimes(value: unknown, nowMs: number): unknown {
  if (typeof value === 'string') {
    if (value === 'now') return new Date(nowMs).toISOString()
    const ago = /^-(\d+)([dhm])$/.exec(value)
    return ago ? new Date(nowMs - Number(ago[1]) * unitMs[ago[2]!]!).toISOString() : value
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, withTimes(inner, nowMs)]),
  )
}
