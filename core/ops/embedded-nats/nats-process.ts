/**
 * One process of nats-server, started so that it can be found and ended whatever becomes of us: the
 * record stands before it runs, a watchdog waits before it runs, and it holds the lock of its
 * store.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { limits } from '../../base/limits.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { pause, type Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { environmentOfServer } from '../setup/child-environment.mjs'
import { endProcess, type RunRecord } from './data-dir-owner.ts'
import { serversOf } from './left-servers.ts'
import { writePrivateFile, type natsPlaces } from './nats-settings.ts'
import { recordOfProcess } from './process-identity.ts'
import { withPrivateUmask } from '../private-umask.ts'
import { isStoreLockHeld, type StoreLock } from './store-lock.ts'
import { startWatchdog, type Watchdog } from './watchdog.ts'

export type NatsProcess = { readonly server: ChildProcess; readonly watchdog: Watchdog }

export type NatsProcessOptions = {
  readonly binary: string
  readonly dataDir: string
  readonly places: ReturnType<typeof natsPlaces>
  readonly mine: RunRecord
  readonly lock: StoreLock
  readonly log: Log
}

/**
 * Starts the server. Nothing is left behind when it throws.
 * @throws what the system says: out of descriptors (EMFILE), processes (EAGAIN) or memory (ENOMEM),
 * no such program (ENOENT)
 */
export async function startNatsProcess(options: NatsProcessOptions): Promise<NatsProcess> {
  const { binary, dataDir, places, mine, lock, log } = options
  writePrivateFile(places.run, JSON.stringify(mine))
  const output = openSync(places.log, 'a', 0o600)
  let watchdog: Watchdog | undefined
  try {
    watchdog = await startWatchdog()
    // A session of its own: a Ctrl-C on the terminal is for the broker, which drains before it ends
    // its server.
    const server = withPrivateUmask(() =>
      spawn(binary, ['-c', places.config], {
        stdio: ['ignore', output, output, lock.descriptor ?? 'ignore'],
        detached: true,
        cwd: dataDir,
        env: environmentOfServer(process.env),
      }),
    )
    const { pid } = server
    if (pid === undefined)
      throw await new Promise<Error>((settle) => void server.once('error', settle))
    watchdog.watch(pid)
    try {
      writePrivateFile(places.run, JSON.stringify({ ...mine, server: recordOfProcess(pid) }))
    } catch (fault) {
      // It is found by its command line, should that be needed.
      log.warn({ pid, fault: String(fault) }, 'nats-server runs, but could not be written down')
    }
    return { server, watchdog }
  } catch (fault) {
    watchdog?.dismiss()
    throw fault
  } finally {
    closeSync(output)
  }
}

/**
 * Ends every server that an earlier broker has left on this store; the data directory is ours
 * already.
 * @throws BrokerError NATS_SERVER_FAILED when one holds the store that this process cannot end
 */
export async function endLeftServers(
  places: ReturnType<typeof natsPlaces>,
  clock: Clock,
  log: Log,
  stopMsMax: number,
): Promise<void> {
  for (const record of serversOf(places.config)) {
    log.warn({ pid: record.pid }, 'ending the nats-server that an earlier broker left behind')
    await endProcess(record, clock, stopMsMax)
  }
  const untilMs = clock.elapsedMs() + stopMsMax
  while (await isStoreLockHeld(places.lock)) {
    if (clock.elapsedMs() >= untilMs)
      throw new BrokerError(
        'NATS_SERVER_FAILED',
        `another process has the store ${places.store} and cannot be seen from here, perhaps in another container or as another user; end it (fuser ${places.lock} names it) and start again`,
      )
    await pause(clock, limits.natsEndLookMs)
  }
}
