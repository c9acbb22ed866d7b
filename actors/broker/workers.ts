/**
 * The further processes of one `busbar serve --workers`: each a host with its own connections to
 * devices, over the same NATS, in a folder of the data directory, started again when it dies. What
 * a dead one served is taken over by the others meanwhile.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { limits } from '../../core/base/limits.ts'
import { environmentOfNode } from '../../core/ops/setup/child-environment.mjs'
import type { BrokerConfig } from '../../core/ops/broker-config.ts'
import { settings } from '../../core/ops/settings.ts'
import { natsUrlOf, type NatsAddress } from '../../core/nats/options.ts'
import { systemClock } from '../../core/ports/clock.ts'
import type { Log } from '../../core/ports/log.ts'
import { ownEntry } from '../own-entry.ts'

export type Workers = { close(): Promise<void> }

/**
 * Starts them; does not wait for them: partitions move to each when it is there. `secrets` are
 * settings that are neither in `config` in a readable form nor in the environment of this process.
 */
export function startWorkers(
  config: BrokerConfig,
  nats: NatsAddress,
  log: Log,
  secrets: Readonly<Record<string, string>> = {},
): Workers {
  const workers = Array.from({ length: workerCountOf(config) }, (_, index) => new Worker(index + 1))
  const inherited = { ...environmentFor(config), ...secrets }
  for (const worker of workers) worker.start(config, nats, log, inherited)
  return {
    close: async () => {
      await Promise.all(workers.map((worker) => worker.stop()))
    },
  }
}

/** How many processes `--workers` asks for. */
export const workerCountOf = ({ workerCount }: BrokerConfig): number =>
  workerCount < 0 ? availableParallelism() - 1 : workerCount

/**
 * Of ours, without settings of Busbar: a worker gets its own, below. A key that is in no file must
 * be inherited.
 */
function environmentFor(config: BrokerConfig): NodeJS.ProcessEnv {
  const kept = config.keyEncryption.kind === 'given' ? settings.keyEncryptionKey.env : undefined
  return {
    ...environmentOfNode(process.env),
    ...(kept !== undefined && { [kept]: process.env[kept] }),
  }
}

/**
 * A worker joins a server of this machine by its data directory, and so knows the disk of the
 * ledger. The address of another one stands in the environment, not on the command line: it holds
 * the password.
 */
function natsOf({ nats, dataDir }: BrokerConfig, address: NatsAddress): NodeJS.ProcessEnv {
  if (nats.kind === 'external') return { BUSBAR_NATS_URL: natsUrlOf(address) }
  return { BUSBAR_JOIN: nats.kind === 'joined' ? nats.dataDir : dataDir }
}

class Worker {
  private readonly number: number
  private child: ChildProcess | undefined
  private isStopping = false
  private callOff: (() => void) | undefined

  constructor(number: number) {
    this.number = number
  }

  start(config: BrokerConfig, nats: NatsAddress, log: Log, inherited: NodeJS.ProcessEnv): void {
    const child = spawn(process.execPath, [ownEntry, 'serve', '--ends-with-input'], {
      stdio: ['pipe', 'ignore', 'inherit'],
      // In a group of its own: Ctrl-C is for us, who end the workers in order.
      detached: true,
      env: {
        ...inherited,
        BUSBAR_DATA_DIR: join(config.dataDir, `worker-${this.number}`),
        BUSBAR_ROLES: 'host,wan',
        BUSBAR_WORKERS: '0',
        BUSBAR_OPS: '127.0.0.1:0',
        BUSBAR_OPERATORS: config.operators?.folder ?? '',
        BUSBAR_INSECURE_OPERATORS: String(config.operators === undefined),
        // There is one such door, ours.
        BUSBAR_DIAL_IN: '',
        BUSBAR_DIAL_IN_NAMES: config.dialInNamesFile ?? '',
        ...natsOf(config, nats),
        ...(config.keyEncryption.kind === 'file' && {
          BUSBAR_KEY_ENCRYPTION_KEY_FILE: config.keyEncryption.path,
        }),
        BUSBAR_PARTITIONS: String(config.partitionCount),
        BUSBAR_REPLICAS: String(config.replicas),
        BUSBAR_LEDGER_BYTES: String(config.ledgerBytesMax),
        BUSBAR_DISK_RESERVE: String(config.diskReserveBytes),
        BUSBAR_DISK_RESERVE_PERCENT: String(config.diskReservePercent),
        BUSBAR_DELIVERY_KEEP: String(config.deliveryKeepMs),
        BUSBAR_WAN_CONNECTIONS: String(config.wanConnectionsMax),
        BUSBAR_ACTORS: String(config.actorsAwakeMax),
        BUSBAR_ACTOR_IDLE: String(config.actorIdleMs),
        BUSBAR_LOG_LEVEL: config.logLevel,
      },
    })
    const again = (how: string): void => {
      this.child = undefined
      if (this.isStopping) return
      log.error({ worker: this.number, how }, 'a worker died; it is started again')
      this.callOff = systemClock.at(systemClock.now() + limits.workerRestartDelayMs, () =>
        this.start(config, nats, log, inherited),
      )
    }
    // Out of descriptors, processes or memory: that may pass, and the broker lives on.
    if (child.pid === undefined) return void child.once('error', (fault) => again(String(fault)))
    child.on('error', () => {})
    this.child = child
    log.info({ worker: this.number, pid: child.pid }, 'a worker was started')
    child.once('exit', (code, signal) => again(String(signal ?? code)))
  }

  async stop(): Promise<void> {
    this.isStopping = true
    this.callOff?.()
    const { child } = this
    if (child === undefined) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }
}
