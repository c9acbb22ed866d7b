/**
 * Who owns a data directory: one broker at a time, written down in a file with its nats-server, so
 * that a second broker is refused and a server that an earlier one left behind is ended. Processes
 * are told apart by process-identity.ts.
 */
import { linkSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { limits } from '../../base/limits.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { pause, type Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { writePrivateFile } from './nats-settings.ts'
import { isSameProcessAlive, recordOfProcess, type ProcessRecord } from './process-identity.ts'

/** What the file says. */
export type RunRecord = { readonly broker: ProcessRecord; readonly server?: ProcessRecord }

function readRunRecord(path: string): RunRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as RunRecord
  } catch {
    // Missing, or cut short by a crash of the machine: then its processes are gone too.
    return undefined
  }
}

/** Ends a process that may not be our child; settles when it is gone. */
export async function endProcess(
  record: ProcessRecord,
  clock: Clock,
  stopMsMax: number,
): Promise<void> {
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(record.pid, name)
    } catch (fault) {
      // It may have gone by itself in between.
      if ((fault as NodeJS.ErrnoException).code === 'EPERM')
        throw new BrokerError(
          'NATS_SERVER_FAILED',
          `process ${record.pid} has the store and is another user's; end it, or run the broker as that user`,
        )
    }
  }
  const untilMs = clock.elapsedMs() + stopMsMax
  signal('SIGTERM')
  for (let isKilled = false; isSameProcessAlive(record);) {
    if (!isKilled && clock.elapsedMs() >= untilMs) {
      isKilled = true
      signal('SIGKILL')
    }
    await pause(clock, limits.processEndLookMs)
  }
}

/**
 * Takes the data directory for this process and ends a server that an earlier broker left behind.
 * @throws BrokerError DATA_DIR_TAKEN when a living broker has it, NATS_SERVER_FAILED when this
 * process cannot see itself
 */
export async function takeDataDir(
  path: string,
  clock: Clock,
  log: Log,
  stopMsMax: number,
): Promise<RunRecord> {
  const broker = recordOfProcess(process.pid)
  if (!broker)
    throw new BrokerError('NATS_SERVER_FAILED', 'this process cannot see itself: is /proc mounted?')
  const mine: RunRecord = { broker }
  for (;;) {
    const fresh = `${path}.${process.pid}.mine`
    writePrivateFile(fresh, JSON.stringify(mine))
    try {
      // link(2) puts it in place whole, and only when there is none.
      linkSync(fresh, path)
      return mine
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      rmSync(fresh, { force: true })
    }
    const other = readRunRecord(path)
    if (other && isSameProcessAlive(other.broker)) {
      throw new BrokerError('DATA_DIR_TAKEN', `process ${other.broker.pid}`)
    }
    if (other?.server && isSameProcessAlive(other.server)) {
      log.warn(
        { pid: other.server.pid },
        'ending the nats-server that an earlier broker left behind',
      )
      await endProcess(other.server, clock, stopMsMax)
    }
    const aside = `${path}.${process.pid}.old`
    try {
      renameSync(path, aside)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    rmSync(aside, { force: true })
  }
}
