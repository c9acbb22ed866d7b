/**
 * Pages of the documentation that are data of the source say what the source says. When this fails
 * after a change of errors, limits, metrics, service requests or device profiles: `npm run docs`.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { accessChecks } from '../../../core/access/access-rules.ts'
import { errorTable } from '../../../core/base/error-table.ts'
import { limits } from '../../../core/base/limits.ts'
import { serviceRequests } from '../../../core/catalogue/service-requests.ts'
import { generatedPages, stalePages } from '../../../core/docs/generate.ts'
import { limitsPage } from '../../../core/docs/pages.ts'
import { deviceProfiles } from '../../../core/inventory/device-profiles.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..')

t.test('generated pages are as the source has it: `npm run docs` writes them', async (t) => {
  t.same(stalePages(), [], 'run `npm run docs`, and commit the pages')
})

t.test('no row is left out', async (t) => {
  const pages = generatedPages()
  const lacks = (path: string, names: readonly string[]): string[] =>
    names.filter((name) => !pages.get(path)!.includes(name))
  const codes = Object.keys(errorTable).map((code) => `| \`${code}\` |`)
  t.same(lacks('core/docs/reference/errors.md', codes), [])
  const names = Object.keys(limits).map((name) => `\`${name}\``)
  t.same(lacks('core/docs/reference/limits.md', names), [])
  const variants = serviceRequests.map(({ text, name }) => `| ${text} | ${name} |`)
  t.same(lacks('core/docs/parties/service-requests.md', variants), [])
  const checks = accessChecks.map(({ id, passes }) => `| ${id} | ${passes} |`)
  t.same(lacks('core/docs/parties/access.md', checks), [])
  const profiles = Object.keys(deviceProfiles).map((name) => `| \`${name}\` |`)
  t.same(lacks('core/docs/meters/profiles.md', profiles), [])
})

t.test('every metric that is declared, or that monitoring reads, has a row', async (t) => {
  const page = generatedPages().get('core/docs/operating/metrics.md')!
  // The label of a NATS bucket is named like a metric.
  const known = new Set(['busbar_ledger'])
  const mentions = ['core/**/*.ts', 'actors/**/*.ts', 'core/ops/monitoring/*.yaml']
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .flatMap((path) => [
      ...readFileSync(join(root, path), 'utf8').matchAll(/\bbusbar_[a-z_]+[a-z]\b/g),
    ])
    .map(([name]) => name.replace(/_(bucket|sum|count)$/, ''))
  t.ok(mentions.length > 100, `${mentions.length} mentions`)
  const missing = mentions.filter((name) => !known.has(name) && !page.includes(`| \`${name}\` |`))
  t.same([...new Set(missing)], [])
})

t.test('a limit that none of the files defines is an error', async (t) => {
  const text = 'export const limits = {\n  attemptsMax: 3,\n} as const\n'
  t.throws(() => limitsPage([{ path: 'core/base/limits.ts', text }]), /that no file defines: /)
})
