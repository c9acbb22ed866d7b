/**
 * A broker inside the test's process for tests of its doors: given parties, doors on any port, a
 * header that names the party, operators without authentication. It may be started again on the
 * same data.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBroker, type RunningBroker } from '../../actors/library/index.ts'
import { silentLog } from '../../core/ports/log.ts'
import { startTestNats } from './nats.ts'

type Options = NonNullable<Parameters<typeof startBroker>[0]>
type Teardown = { teardown(end: () => unknown): void }

export type PartyBroker = {
  /** Of its own, removed with the test. */
  folder: string
  natsUrl: string
  start(): Promise<RunningBroker>
}

/** `t` ends folder and nats-server; the test itself ends the brokers that `start` gives. */
export async function partyBroker(
  t: Teardown,
  parties: readonly object[],
  optionsIn: (folder: string) => Partial<Options> = () => ({}),
): Promise<PartyBroker> {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-doors-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const partiesFile = join(folder, 'parties.json')
  writeFileSync(partiesFile, JSON.stringify(parties))
  const nats = await startTestNats({ syncAlways: true })
  t.teardown(() => nats.close())
  return {
    folder,
    natsUrl: nats.url,
    async start() {
      const started = await startBroker({
        grpc: '127.0.0.1:0',
        http: '127.0.0.1:0',
        ops: '127.0.0.1:0',
        partitions: 4,
        ledgerBytes: '64MiB',
        natsUrl: nats.url,
        dataDir: join(folder, 'data'),
        parties: partiesFile,
        insecurePartyHeader: true,
        insecureOperators: true,
        log: silentLog,
        ...optionsIn(folder),
      })
      await started.ready
      return started
    },
  }
}
