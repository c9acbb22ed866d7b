/**
 * The processes of a path bench: started, waited for until they say where they listen, ended with
 * the bench. Each runs on the Node that runs the bench.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createInterface, type Interface } from 'node:readline'
import { connect } from '@nats-io/transport-node'
import { environmentOfNode } from '../../core/ops/setup/child-environment.mjs'
import { cpuMsOf } from '../process-cpu.ts'
import type { ClientCommand, ClientFigures, ClientOptions } from './client.ts'

/** A process of ours, its lines, and how it ends. */
export class Child {
  readonly process: ChildProcess
  private readonly lines: AsyncIterator<string>
  private readonly reader: Interface
  private readonly name: string
  private readonly exited: Promise<void>
  private stderrTail = ''

  constructor(
    name: string,
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = environmentOfNode(process.env),
  ) {
    this.name = name
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env })
    this.reader = createInterface({ input: this.process.stdout! })
    this.lines = this.reader[Symbol.asyncIterator]()
    this.process.stderr!.on('data', (chunk: Buffer) => {
      this.stderrTail = (this.stderrTail + chunk.toString()).slice(-4000)
    })
    this.process.on('error', () => {})
    this.process.stdin!.on('error', () => {})
    this.exited = new Promise((resolve) => this.process.once('close', () => resolve()))
  }

  /** The next line of stdout; throws with the end of stderr when the process ends instead. */
  async line(): Promise<string> {
    const next = await this.lines.next()
    if (next.done)
      throw new Error(
        `${this.name} ended (${this.process.exitCode ?? this.process.signalCode}): ${this.stderrTail}`,
      )
    return next.value
  }

  /** Lines up to the first that is a JSON object, which is returned. */
  async json<T>(): Promise<T> {
    for (;;) {
      const line = await this.line()
      if (line.startsWith('{')) return JSON.parse(line) as T
    }
  }

  /** Milliseconds of CPU that it has used; NaN where the system does not tell. */
  cpuMs(): number {
    return cpuMsOf(this.process.pid)
  }

  write(line: string): void {
    this.process.stdin!.write(`${line}\n`)
  }

  /** Reads and drops whatever else it prints, so that it never waits for us. */
  ignoreOutput(): void {
    void (async () => {
      while (!(await this.lines.next()).done);
    })()
  }

  /** Asks it to end, and waits; after `graceMs` it is killed. */
  async stop(graceMs = 5_000): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill('SIGTERM')
    const killer = setTimeout(() => this.process.kill('SIGKILL'), graceMs)
    await this.exited
    clearTimeout(killer)
  }
}

const here = fileURLToPath(new URL('.', import.meta.url))
/** Runs a TypeScript file of this project; `flags` are Node's own. */
export function startNode(
  name: string,
  file: string,
  args: readonly string[],
  flags: readonly string[] = [],
  env: NodeJS.ProcessEnv = environmentOfNode(process.env),
): Child {
  return new Child(name, process.execPath, [...flags, join(here, '..', '..', file), ...args], env)
}

/** A nats-server that flushes every write, in a folder of its own. */
export type NatsProcess = {
  /** Of a cluster: all of them, separated by commas. */
  url: string
  /** Where it keeps what it flushes. */
  folder: string
  /** Milliseconds of CPU that it has used; NaN where the system does not tell. */
  cpuMs(): number
  stop(): Promise<void>
}

export function startNats(): Promise<NatsProcess> {
  return startServer((port) => [`listen: "127.0.0.1:${port}"`])
}

/** Three servers that are one cluster, on one disk. */
export async function startNatsCluster(): Promise<NatsProcess> {
  const routePorts: number[] = []
  for (let i = 0; i < 3; i++) routePorts.push(await freePort())
  const routes = routePorts.map((port) => `"nats://127.0.0.1:${port}"`).join(', ')
  const servers: NatsProcess[] = []
  for (const [index, routePort] of routePorts.entries()) {
    const cluster = `cluster { name: bench, listen: "127.0.0.1:${routePort}", routes: [${routes}] }`
    servers.push(
      await startServer((port) => [
        `server_name: n${index}`,
        `listen: "127.0.0.1:${port}"`,
        cluster,
      ]),
    )
  }
  const url = servers.map((server) => server.url).join(',')
  await waitForJetStream(url)
  return {
    url,
    folder: servers[0]!.folder,
    cpuMs: () => servers.reduce((sum, server) => sum + server.cpuMs(), 0),
    async stop() {
      await Promise.all(servers.map((server) => server.stop()))
    },
  }
}

async function startServer(linesFor: (port: number) => string[]): Promise<NatsProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'busbar-bench-'))
  const port = await freePort()
  const config = join(folder, 'nats.conf')
  const lines = [
    ...linesFor(port),
    'max_payload: 8MB',
    'max_pending: 256MB',
    `jetstream { store_dir: "${folder}/store", sync_interval: always, max_file_store: 20GB }`,
  ]
  await writeFile(config, `${lines.join('\n')}\n`)
  const child = new Child('nats-server', await findNatsServer(), ['-c', config])
  child.ignoreOutput()
  await waitForPort(port)
  return {
    url: `nats://127.0.0.1:${port}`,
    folder,
    cpuMs: () => child.cpuMs(),
    async stop() {
      await child.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** NATS_SERVER_BIN, the PATH, or the newest in the cache that `npm start` fills. */
export async function findNatsServer(): Promise<string> {
  const given = process.env.NATS_SERVER_BIN
  if (given) return given
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder && existsSync(join(folder, 'nats-server'))) return join(folder, 'nats-server')
  }
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'busbar')
  const found = existsSync(cache)
    ? (await readdir(cache)).filter((name) => name.startsWith('nats-server-')).sort()
    : []
  for (const name of found.reverse())
    if (existsSync(join(cache, name, 'nats-server'))) return join(cache, name, 'nats-server')
  throw new Error('no nats-server: run `npm start` once, or name one in NATS_SERVER_BIN')
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

// nats-server says that it is ready in its log only; an answered connection says it too.
async function waitForPort(port: number): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = createConnection(port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (isOpen) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error('nats-server did not start')
}

// A cluster answers once its servers have agreed on a leader.
async function waitForJetStream(url: string): Promise<void> {
  const connection = await connect({ servers: url.split(',') })
  try {
    for (let attempt = 0; attempt < 100; attempt++) {
      const answer = await connection
        .request('$JS.API.INFO', '', { timeout: 500 })
        .catch(() => undefined)
      if (answer !== undefined && (answer.json() as { error?: unknown }).error === undefined) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error('the cluster of nats-servers did not become one')
  } finally {
    await connection.close()
  }
}

type Figures = Omit<ClientFigures, 'p50Ms' | 'p99Ms'> & Record<'p50Ms' | 'p99Ms', number | null>

/** The load client as a process that takes commands. */
export class LoadClientProcess {
  private readonly child: Child

  constructor(options: ClientOptions, devices: readonly string[], flags: readonly string[] = []) {
    this.child = startNode('load client', 'bench/path/client.ts', [JSON.stringify(options)], flags)
    this.child.write(JSON.stringify(devices))
  }

  async run(command: ClientCommand): Promise<ClientFigures> {
    this.child.write(JSON.stringify(command))
    const { p50Ms, p99Ms, ...figures } = await this.child.json<Figures>()
    // JSON has no NaN, which is the median of nothing.
    return { ...figures, p50Ms: p50Ms ?? NaN, p99Ms: p99Ms ?? NaN }
  }

  cpuMs(): number {
    return this.child.cpuMs()
  }

  stop(): Promise<void> {
    this.child.process.stdin!.end()
    return this.child.stop()
  }
}
