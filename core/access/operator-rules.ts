/**
 * Which role an operator needs for each route of the operators' door, as data. A route that is not
 * in the table stops the start of the door, so a new route cannot be open by accident.
 */

/** Each role may do what the roles before it may. */
export const OperatorRole = ['viewer', 'operator', 'security-officer'] as const
export type OperatorRole = (typeof OperatorRole)[number]

/**
 * `anybody`: without credentials, wherever the door listens. `anybody-here`: without credentials
 * while the door listens on loopback, else a viewer.
 */
export type RouteNeed = OperatorRole | 'anybody' | 'anybody-here'

export type OperatorRoute = {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** As the route is added to the door. */
  readonly path: string
  readonly need: RouteNeed
}

const of = (need: RouteNeed, ...routes: readonly string[]): OperatorRoute[] =>
  routes.map((route) => {
    const [method, path] = route.split(' ') as [OperatorRoute['method'], string]
    return { method, path, need }
  })

/** The answer to HEAD is that to GET. */
export const operatorRoutes: readonly OperatorRoute[] = [
  // Probes of supervisors and load balancers carry no credentials, and learn no data of devices.
  ...of('anybody', 'GET /health/live', 'GET /health/ready', 'GET /problems/:code'),
  ...of('anybody-here', 'GET /metrics'),
  ...of(
    'viewer',
    'GET /v1/access',
    'GET /v1/approvals',
    'GET /v1/consents/evidence',
    'GET /v1/devices',
    'GET /v1/devices/:eui64',
    'GET /v1/devices/:eui64/counters',
    'GET /v1/devices/:eui64/rights',
    'GET /v1/devices/:eui64/schedules',
    'GET /v1/inventory',
    'GET /v1/inventory/:eui64',
    'GET /v1/meter-points/:id',
    'GET /v1/meter-points/:id/consents',
    'GET /v1/parties',
    'GET /v1/parties/:eui64',
    'GET /v1/parties/:eui64/quarantine',
    'GET /v1/rejections',
    'GET /v1/requests/:id/explanation',
    'GET /v1/sources',
    'GET /v1/sources/:id',
    'GET /v1/sources/:id/files/:sequence',
    'GET /v1/sources/:id/files/:sequence/response',
    'GET /v1/sources/:id/status-file',
    'GET /v1/thresholds',
    'GET /v1/usage',
  ),
  ...of(
    'operator',
    'POST /v1/devices',
    'POST /v1/devices/:eui64/rights/check',
    'POST /v1/devices/:eui64/status',
    'POST /v1/meter-points',
    'POST /v1/meter-points/:id/consents',
    'POST /v1/meter-points/:id/consents/:consent/withdrawal',
    'POST /v1/meter-points/:id/tenancy',
    'POST /v1/registration-files',
    'POST /v1/sources/:id/approve',
    'POST /v1/sources/:id/reject',
    'POST /v1/sources/:id/release',
  ),
  // Who may use the system, keys, and what protects a device against replayed messages.
  ...of(
    'security-officer',
    'DELETE /v1/devices/:eui64',
    'POST /v1/approvals/:id/approve',
    'POST /v1/approvals/:id/reject',
    'DELETE /v1/devices/:eui64/counters',
    'POST /v1/devices/:eui64/counter',
    'POST /v1/devices/:eui64/keys',
    'DELETE /v1/parties/:eui64',
    'POST /v1/parties',
    'POST /v1/parties/:eui64/require-signatures',
    'POST /v1/parties/:eui64/resume',
    'POST /v1/parties/:eui64/suspend',
    'POST /v1/quarantine/delete',
    'POST /v1/quarantine/release',
    'POST /v1/thresholds',
  ),
]

const needs = new Map(operatorRoutes.map(({ method, path, need }) => [`${method} ${path}`, need]))

/** What a call of this route needs; undefined for a route that is not in the table. */
export const needOf = (method: string, path: string): RouteNeed | undefined =>
  needs.get(`${method === 'HEAD' ? 'GET' : method} ${path}`)

/** Whether `role` may do what needs `need`. */
export const isRoleEnough = (role: OperatorRole, need: OperatorRole): boolean =>
  OperatorRole.indexOf(role) >= OperatorRole.indexOf(need)
