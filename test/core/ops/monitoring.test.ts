/**
 * The Grafana dashboard and the alert rules: every expression is PromQL, every metric exists in the
 * code with the type that the expression needs, and the checked-in JSON is the one that the rows
 * make.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import t from 'tap'
import { parse } from 'yaml'
import { dashboard, rows } from '../../../core/ops/monitoring/dashboard.ts'

const root = join(import.meta.dirname, '../../..')
const folder = join(root, 'core/ops/monitoring')

type Kind = 'counter' | 'gauge' | 'histogram'

/** Names of metrics in the code, with their kind. */
function metricsInCode(): Map<string, Kind> {
  const found = new Map<string, Kind>()
  const call = /\.(counter|gauge|gauges|histogram)\(\s*'(busbar_[a-z_]+)'/g
  for (const path of globSync('{core,actors}/**/*.ts', { cwd: root }))
    for (const [, method, name] of readFileSync(join(root, path), 'utf8').matchAll(call))
      found.set(name!, (method === 'gauges' ? 'gauge' : method) as Kind)
  // Its name is in a constant.
  found.set('busbar_wan_apdus_refused_total', 'counter')
  return found
}

/** Metrics of prom-client's default collectors, and of Prometheus itself. */
const foreign = new Set(['process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds', 'up'])

/** What is wrong with an expression; Grafana's variables are given values first. */
function faultsOf(expression: string, known: ReadonlyMap<string, Kind>): string[] {
  const expr = expression.replaceAll('$__rate_interval', '5m').replaceAll(/"\$\w+"/g, '".+"')
  const faults: string[] = []
  parser.parse(expr).iterate({
    enter: (node) => {
      const text = expr.slice(node.from, node.to)
      if (node.type.isError) faults.push(`not PromQL at ${node.from}: ${expr}`)
      if (node.name === 'VectorSelector') {
        const name = /^\w+/.exec(text)?.[0] ?? ''
        const bare = name.replace(/_(bucket|sum|count)$/, '')
        const isHistogram = known.get(bare) === 'histogram' && bare !== name
        if (!known.has(name) && !isHistogram && !foreign.has(name)) faults.push(`no metric ${name}`)
        if (known.get(name) === 'histogram') faults.push(`${name} is a histogram: take its buckets`)
      }
      if (node.name === 'FunctionCall' && /^(rate|increase)\b/.test(text)) {
        const name = /\((\w+)/.exec(text)?.[1] ?? ''
        if (known.get(name) === 'gauge') faults.push(`the rate of the gauge ${name}`)
      }
    },
  })
  return faults
}

type Rule = {
  alert: string
  expr: string
  for?: string
  labels: { severity: string }
  annotations: { summary: string; description: string }
}
const rulesIn = (text: string): Rule[] =>
  (parse(text) as { groups: Array<{ rules: Rule[] }> }).groups.flatMap(({ rules }) => rules)

t.test('expressions of dashboard and alerts', async (t) => {
  const known = metricsInCode()
  t.ok(known.size > 40, `${known.size} metrics`)
  t.not(faultsOf('sum(rate(busbar_nothing_total[5m]))', known).length, 0)
  t.not(faultsOf('sum(rate(busbar_ready[5m]))', known).length, 0)
  t.not(faultsOf('sum(rate(busbar_ready[5m])', known).length, 0)
  const all = rows.flatMap(({ panels }) => panels.flatMap(({ targets }) => targets))
  for (const { expr } of all) t.same(faultsOf(expr, known), [], expr)
  const rules = rulesIn(readFileSync(join(folder, 'alerts.yaml'), 'utf8'))
  for (const { alert, expr } of rules) t.same(faultsOf(expr, known), [], alert)
})

t.test('every alert rule has a severity, a summary and what to do', async (t) => {
  const rules = rulesIn(readFileSync(join(folder, 'alerts.yaml'), 'utf8'))
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length)
  for (const { alert, for: wait, labels, annotations } of rules) {
    t.match(alert, /^Busbar[A-Z]\w+$/)
    t.ok(['critical', 'warning', 'info'].includes(labels.severity), `${alert} has a severity`)
    t.ok(annotations.summary.length > 10 && annotations.description.endsWith('.'), alert)
    t.ok(wait === undefined || /^\d+[smh]$/.test(wait))
  }
})

t.test('the dashboard is checked in, and its panels do not overlap', async (t) => {
  const written = readFileSync(join(folder, 'grafana-dashboard.json'), 'utf8')
  t.equal(
    written,
    `${JSON.stringify(dashboard(), null, 2)}\n`,
    'node core/ops/monitoring/dashboard.ts > core/ops/monitoring/grafana-dashboard.json',
  )
  const { panels } = JSON.parse(written) as {
    panels: Array<{ id: number; gridPos: { x: number; y: number; w: number; h: number } }>
  }
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const taken = new Set<string>()
  for (const { id, gridPos } of panels)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        t.notOk(taken.has(`${x} ${y}`), `panel ${id}`)
        taken.add(`${x} ${y}`)
      }
})
