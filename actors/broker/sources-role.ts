/**
 * Registration systems in a broker process: it keeps and applies the files that it is given, and
 * says how old the data of each system are.
 */
import { join } from 'node:path'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import type { OpsServer } from '../../core/ops/server.ts'
import { textOfSource, type SourceId } from '../../core/registration/source-id.ts'
import { dataSinceMs } from '../../core/registration/source-report.ts'
import { BulkBrake } from './bulk-brake.ts'
import { KeptFiles } from './kept-files.ts'
import type { OpenedLedger } from './ledger-role.ts'
import { SourceFiles } from './source-files.ts'
import type { StartContext } from './start-context.ts'
import { WatchedFolder } from './watched-folder.ts'

export type SourcesRole = {
  readonly files: SourceFiles
  readonly kept: KeptFiles
  /** Has readiness say which data are old, and which files are not applied. */
  tell(ops: Pick<OpsServer, 'addDegradation'>): void
}

/** Goes on with files that this process has kept. */
export async function startSources(
  { config, hostId, clock, log, metrics, closers }: StartContext,
  { bus, owners }: OpenedLedger,
  reader: DirectoryReader,
): Promise<SourcesRole> {
  const { changePercentMax, ageMsMax } = config.registration
  const kept = new KeptFiles(join(config.dataDir, 'registration-files'), hostId)
  await kept.start()
  const brake = new BulkBrake({ bus, clock, aliveHosts: () => owners.aliveHosts })
  const files = new SourceFiles({
    ...{ bus, directory: owners, clock, log, kept, changePercentMax },
    keeper: hostId,
    mayGoOn: () => brake.mayGoOn(),
    records: metrics.counter(
      'busbar_registration_records_total',
      'Records of registration files that were registered or rejected',
    ),
  })
  closers.push(() => files.close())
  closers.push(() => brake.close())
  metrics.gauge(
    'busbar_bulk_paused',
    '1 while registration files wait for letters between actors to be read',
    () => (brake.isOn ? 1 : 0),
  )
  files.start()
  const { folder } = config.registration
  const watched =
    folder === undefined ? undefined : new WatchedFolder({ folder, files, clock, log })
  await watched?.start()
  closers.push(() => watched?.close())
  const ages = (): Array<{ source: string; ageMs: number }> =>
    Array.from(reader.current.sources, ([id, record]) => ({
      source: textOfSource(id as SourceId),
      ageMs: Math.max(0, clock.now() - dataSinceMs(record)),
    }))
  metrics.gauges(
    'busbar_source_age_seconds',
    'Age of the data of each registration system, by its newest file',
    () => ages().map(({ source, ageMs }) => ({ labels: { source }, value: ageMs / 1_000 })),
  )
  metrics.gauges(
    'busbar_source_files_held',
    'Registration files that wait for an earlier one, by registration system',
    () =>
      Array.from(reader.current.sources, ([id, { held }]) => ({
        labels: { source: textOfSource(id as SourceId) },
        value: held,
      })),
  )
  const oldTrouble = (): string | undefined => {
    const old = ages().filter(({ ageMs }) => ageMs > ageMsMax)
    const [first] = old.toSorted((a, b) => b.ageMs - a.ageMs)
    if (first === undefined) return undefined
    const others = old.length > 1 ? `, and those of ${old.length - 1} more are old` : ''
    return `data of ${first.source} are ${Math.round(first.ageMs / 3_600_000)} h old${others}`
  }
  return {
    files,
    kept,
    tell(ops) {
      ops.addDegradation('registration', () => files.trouble ?? watched?.trouble ?? oldTrouble())
    },
  }
}
