/**
 * A real nats-server for tests: loopback, a free port, a store of its own, every write fsynced; it
 * can be killed with SIGKILL and started again on the same port and store. Test-only: the product's
 * supervised child is core/ops/embedded-nats/nats-child.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

const cachedServer = join(homedir(), '.cache', 'busbar', 'nats-server-2.15.1', 'nats-server')

function natsServerFile(): string {
  const named = process.env['NATS_SERVER_BIN']
  if (named !== undefined && named !== '') return named
  if (spawnSync('nats-server', ['--version']).status === 0) return 'nats-server'
  if (existsSync(cachedServer)) return cachedServer
  throw new Error('tests need nats-server >= 2.15.1: name it in NATS_SERVER_BIN')
}

export type TestNats = {
  readonly url: string
  readonly port: number
  /** Of the process that runs now. */
  readonly pid: number | undefined
  /** Where it keeps its streams. */
  readonly storeDir: string
  /** SIGKILL; settles when the process is gone. */
  kill(): Promise<void>
  /** SIGTERM: it ends in order. */
  stop(): Promise<void>
  /** Starts again on the same port and store; settles when it is ready for connections. */
  start(): Promise<void>
  /** Stops reading sockets without dying (SIGSTOP), and goes on (SIGCONT). */
  freeze(): void
  thaw(): void
  /** Kills it and removes its store. */
  close(): Promise<void>
}

export type TestNatsOptions = {
  syncAlways?: boolean
  maxPayloadBytes?: number
  maxFileStoreBytes?: number
  /** Instead of one of its own; the caller removes it. */
  storeDir?: string
  /** More lines of its configuration, asked for at each start. */
  moreConfig?: () => readonly string[]
}

/** Starts one; the caller closes it. */
export async function startTestNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const file = natsServerFile()
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'busbar-nats-'))
  const configFile = join(folder, 'nats.conf')
  const storeDir = options.storeDir ?? join(folder, 'store')
  const config = (): string =>
    [
      `listen: 127.0.0.1:${port}`,
      `max_payload: ${options.maxPayloadBytes ?? 8 * 1024 * 1024}`,
      `jetstream {`,
      `  store_dir: ${JSON.stringify(storeDir)}`,
      ...(options.syncAlways === false ? [] : [`  sync_interval: always`]),
      ...(options.maxFileStoreBytes === undefined
        ? []
        : [`  max_file_store: ${options.maxFileStoreBytes}`]),
      `}`,
      ...(options.moreConfig?.() ?? []),
      '',
    ].join('\n')
  let child: ChildProcess | undefined

  const start = (): Promise<void> =>
    new Promise((resolve, reject) => {
      writeFileSync(configFile, config())
      const started = spawn(file, ['-c', configFile], { stdio: ['ignore', 'ignore', 'pipe'] })
      child = started
      let log = ''
      const onLog = (chunk: Buffer): void => {
        log += chunk.toString('utf8')
        if (!log.includes('Server is ready')) return
        started.stderr.off('data', onLog)
        started.stderr.resume()
        resolve()
      }
      started.stderr.on('data', onLog)
      started.once('error', reject)
      started.once('exit', () => reject(new Error(`nats-server ended at once:\n${log}`)))
    })

  const endBy = (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> =>
    new Promise((resolve) => {
      const dying = child
      child = undefined
      if (!dying || dying.exitCode !== null || dying.signalCode !== null) return resolve()
      dying.once('exit', () => resolve())
      dying.kill(signal)
    })
  const kill = (): Promise<void> => endBy('SIGKILL')

  // A test that ends early, or fails to close it, leaves no server behind.
  const end = (): void => {
    child?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', end)
  await start()
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    storeDir,
    get pid() {
      return child?.pid
    },
    start,
    kill,
    stop: () => endBy('SIGTERM'),
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async close() {
      process.off('exit', end)
      await kill()
      end()
    },
  }
}
