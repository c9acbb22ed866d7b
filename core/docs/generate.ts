/**
 * Writes the generated pages of the documentation: `npm run docs`, or
 * `node core/docs/generate.ts`. `--check` writes nothing and ends with 1 when a page differs from
 * its source. The pages themselves are made in pages.ts.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { natsUsersFile } from '../ops/nats-users-file.ts'
import { settingsPage } from '../ops/settings-page.ts'
import { accessPage } from './access-page.ts'
import {
  alertCodesPage,
  errorsPage,
  limitsPage,
  metricsPage,
  profilesPage,
  retriesPage,
  serviceRequestsPage,
  type Source,
} from './pages.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

const sourceAt = (path: string): Source => ({
  path,
  text: readFileSync(join(root, path), 'utf8'),
})

function sourcesIn(pattern: string): Source[] {
  const paths = globSync(pattern, { cwd: root }).map((path) => path.replaceAll('\\', '/'))
  return paths.toSorted().map(sourceAt)
}

/** Each generated page: its path from the root, and the text that it must have. */
export function generatedPages(): ReadonlyMap<string, string> {
  const metricSources = ['core/**/*.ts', 'actors/**/*.ts'].flatMap(sourcesIn)
  return new Map([
    ['core/docs/reference/errors.md', errorsPage()],
    ['core/docs/reference/limits.md', limitsPage(sourcesIn('core/base/**/*limits.ts'))],
    ['core/docs/reference/retries.md', retriesPage()],
    ['core/docs/parties/alert-codes.md', alertCodesPage()],
    ['core/docs/operating/metrics.md', metricsPage(metricSources)],
    [
      'core/docs/parties/service-requests.md',
      serviceRequestsPage(sourceAt('proto/busbar/v1/service_request.proto')),
    ],
    ['core/docs/parties/access.md', accessPage()],
    ['core/docs/meters/profiles.md', profilesPage()],
    ['core/docs/operating/settings.md', settingsPage()],
    ['core/ops/deploy/nats-users.conf', natsUsersFile()],
  ])
}

/** Pages whose file is missing or has another text. */
export function stalePages(): string[] {
  return [...generatedPages()]
    .filter(([path, text]) => {
      const [stored] = globSync(path, { cwd: root })
      return stored === undefined || readFileSync(join(root, path), 'utf8') !== text
    })
    .map(([path]) => path)
}

if (import.meta.main) {
  const stale = stalePages()
  const isCheck = process.argv.includes('--check')
  if (!isCheck) for (const [path, text] of generatedPages()) writeFileSync(join(root, path), text)
  for (const path of stale) process.stderr.write(`${isCheck ? 'stale' : 'written'}: ${path}\n`)
  process.exitCode = isCheck && stale.length > 0 ? 1 : 0
}
