/**
 * The Grafana dashboard of a deployment, as rows of panels. `node core/ops/monitoring/dashboard.ts`
 * prints the JSON that stands beside this file; a test compares the two, checks every expression
 * with the PromQL grammar and every metric name against the code.
 * @source Grafana dashboard JSON model, schema version 39
 */
type Unit = 'reqps' | 'ops' | 's' | 'bytes' | 'short' | 'percentunit' | 'Bps'
type Panel = {
  readonly title: string
  /** What it shows and what to look for, for the operator. */
  readonly description: string
  readonly unit: Unit
  /** PromQL by legend. */
  readonly targets: ReadonlyArray<{ readonly expr: string; readonly legend: string }>
}
type Row = { readonly title: string; readonly panels: readonly Panel[] }

const selector = '{job=~"$job",instance=~"$instance"}'
const rate = (name: string, by: string): string =>
  `sum by (${by}) (rate(${name}${selector}[$__rate_interval]))`
const quantiles = (name: string): Panel['targets'] =>
  [0.5, 0.95, 0.99].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, ${rate(`${name}_bucket`, 'le')})`,
    legend: `p${quantile * 100}`,
  }))
const one = (expr: string, legend: string): Panel['targets'] => [{ expr, legend }]

export const rows: readonly Row[] = [
  {
    title: 'Service',
    panels: [
      {
        title: 'Ready processes',
        description:
          '1 for each process whose readiness checks all pass. /health/ready gives the reasons.',
        unit: 'short',
        targets: one(`busbar_ready${selector}`, '{{instance}}'),
      },
      {
        title: 'Requests by outcome',
        description: 'Requests that ended, by outcome. OK is the answer of the device.',
        unit: 'reqps',
        targets: one(rate('busbar_requests_ended_total', 'code'), '{{code}}'),
      },
      {
        title: 'Rejections by code',
        description:
          'Requests that were not accepted. Codes with BROKER ask the operator to act, codes with REQUEST the party.',
        unit: 'reqps',
        targets: one(rate('busbar_gateway_rejections_total', 'code'), '{{code}}'),
      },
      {
        title: 'Acceptance latency',
        description: 'From the request at the gateway to its acknowledgement I99, on disk.',
        unit: 's',
        targets: quantiles('busbar_request_acceptance_seconds'),
      },
      {
        title: 'Completion latency',
        description: 'From acceptance to the response on disk; contains the wait for the device.',
        unit: 's',
        targets: quantiles('busbar_request_completion_seconds'),
      },
      {
        title: 'Requests in progress',
        description:
          'Requests that wait for their acknowledgement, and exchanges with devices. Both are 0 in an idle system.',
        unit: 'short',
        targets: [
          { expr: `sum(busbar_gateway_requests_in_flight${selector})`, legend: 'not acknowledged' },
          { expr: `sum(busbar_exchanges_under_way${selector})`, legend: 'at devices' },
          { expr: `sum(busbar_mailbox_messages${selector})`, legend: 'waiting for a tick' },
        ],
      },
    ],
  },
  {
    title: 'Parties',
    panels: [
      {
        title: 'Pending deliveries',
        description:
          'Deliveries that a party has not acknowledged. A party that stays away keeps the ledger from being trimmed.',
        unit: 'short',
        targets: one(`max by (party) (busbar_party_deliveries_pending${selector})`, '{{party}}'),
      },
      {
        title: 'Age of the oldest pending delivery',
        description: 'Rises without end while a party does not fetch or does not acknowledge.',
        unit: 's',
        targets: one(`max by (party) (busbar_party_delivery_age_seconds${selector})`, '{{party}}'),
      },
    ],
  },
  {
    title: 'Devices',
    panels: [
      {
        title: 'Exchanges by result',
        description: 'Exchanges with devices by how they ended.',
        unit: 'ops',
        targets: one(rate('busbar_wan_exchanges_total', 'outcome'), '{{outcome}}'),
      },
      {
        title: 'Exchange duration',
        description:
          'From the start of an exchange to its result; contains the wait for a connection.',
        unit: 's',
        targets: quantiles('busbar_wan_exchange_seconds'),
      },
      {
        title: 'Connections to devices',
        description: 'Open connections; compare with the limit on connections.',
        unit: 'short',
        targets: one(`sum by (instance) (busbar_wan_connections_open${selector})`, '{{instance}}'),
      },
      {
        title: 'Alarms and rejected APDUs',
        description: 'Alarms of devices by code, and what security or the codec rejected.',
        unit: 'ops',
        targets: [
          { expr: rate('busbar_device_alarms_total', 'code'), legend: 'alarm {{code}}' },
          { expr: rate('busbar_wan_apdus_refused_total', 'code'), legend: 'APDU {{code}}' },
        ],
      },
      {
        title: 'Unsolicited messages',
        description:
          'Messages that devices sent by themselves, and those that no host has acknowledged yet.',
        unit: 'ops',
        targets: [
          { expr: rate('busbar_wan_pushes_total', 'instance'), legend: '{{instance}}' },
          { expr: `sum(busbar_wan_pushes_waiting${selector})`, legend: 'waiting' },
        ],
      },
    ],
  },
  {
    title: 'Ledger and processes',
    panels: [
      {
        title: 'Ledger use',
        description:
          'Part of the byte limit that is in use. New requests are rejected when it is full.',
        unit: 'percentunit',
        targets: one(
          `max(busbar_ledger_used_bytes${selector}) / max(busbar_ledger_max_bytes${selector})`,
          'used',
        ),
      },
      {
        title: 'Replicas',
        description: 'Replicas of the ledger and its buckets that are not current, by state.',
        unit: 'short',
        targets: one(
          `max by (stream, state) (busbar_replicas{job=~"$job",instance=~"$instance",state!="current"})`,
          '{{stream}} {{state}}',
        ),
      },
      {
        title: 'Replica lag and damage',
        description:
          'Operations that each server is behind, and faults found in its copy of the ledger.',
        unit: 'short',
        targets: [
          {
            expr: `max by (stream, server) (busbar_replica_lag_messages${selector})`,
            legend: 'lag {{stream}} {{server}}',
          },
          {
            expr: `max by (server) (busbar_replica_faults${selector})`,
            legend: 'faults {{server}}',
          },
        ],
      },
      {
        title: 'Tick duration',
        description:
          'From taking messages to their facts being on disk: the flush of nats-server is in it.',
        unit: 's',
        targets: quantiles('busbar_tick_seconds'),
      },
      {
        title: 'Ledger writes',
        description: 'Octets of facts and deliveries written per second.',
        unit: 'Bps',
        targets: one(rate('busbar_ledger_bytes_total', 'instance'), '{{instance}}'),
      },
      {
        title: 'Partitions served',
        description:
          'Partitions by process; the sum is the number of partitions of the deployment.',
        unit: 'short',
        targets: one(`busbar_partitions_owned${selector}`, '{{instance}}'),
      },
      {
        title: 'Memory',
        description: 'Resident memory of each process.',
        unit: 'bytes',
        targets: one(`process_resident_memory_bytes${selector}`, '{{instance}}'),
      },
      {
        title: 'Event loop delay',
        description: 'p99 of the delay of the one thread; above 0.1 s the process is overloaded.',
        unit: 's',
        targets: one(`nodejs_eventloop_lag_p99_seconds${selector}`, '{{instance}}'),
      },
    ],
  },
]

const panelWidth = 8
const panelHeight = 8
const gridWidth = 24

function panelsOf(all: readonly Row[]): unknown[] {
  const panels: unknown[] = []
  let id = 1
  let y = 0
  for (const row of all) {
    const gridPos = { h: 1, w: gridWidth, x: 0, y: y++ }
    panels.push({ id: id++, type: 'row', title: row.title, collapsed: false, gridPos, panels: [] })
    row.panels.forEach((panel, index) => {
      const x = (index * panelWidth) % gridWidth
      if (index > 0 && x === 0) y += panelHeight
      panels.push(timeSeries(id++, panel, { h: panelHeight, w: panelWidth, x, y }))
    })
    y += panelHeight
  }
  return panels
}

function timeSeries(id: number, panel: Panel, gridPos: object): unknown {
  const datasource = { type: 'prometheus', uid: '${datasource}' }
  return {
    id,
    type: 'timeseries',
    title: panel.title,
    description: panel.description,
    datasource,
    gridPos,
    fieldConfig: { defaults: { unit: panel.unit, min: 0 }, overrides: [] },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } },
    targets: panel.targets.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
      datasource,
      expr,
      legendFormat: legend,
    })),
  }
}

const labelVariable = (name: string, query: string): unknown => ({
  name,
  type: 'query',
  datasource: { type: 'prometheus', uid: '${datasource}' },
  query: { query, refId: name },
  refresh: 2,
  includeAll: true,
  multi: true,
  current: { text: 'All', value: '$__all' },
})

export function dashboard(): unknown {
  return {
    uid: 'busbar',
    title: 'Busbar',
    description: 'Requests, parties, devices, ledger and processes of a Busbar deployment.',
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    tags: ['busbar'],
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus', current: {} },
        labelVariable('job', 'label_values(busbar_build_info, job)'),
        labelVariable('instance', 'label_values(busbar_build_info{job=~"$job"}, instance)'),
      ],
    },
    panels: panelsOf(rows),
  }
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(dashboard(), null, 2)}\n`)
