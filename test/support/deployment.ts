/**
 * A whole deployment of real processes for tests: meters, broker, its nats-server; each can be
 * killed and started again.
 */
import './party-header.ts'
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { startChild, type Child } from '../../actors/demo/children.ts'
import { registerWholeFile } from '../../actors/cli/operator/device-registration.ts'
import { addressOf } from '../../actors/cli/operator/operator-ledger.ts'
import { rotateKeyFile } from '../../core/ops/key-encryption-keys.ts'
import { natsUrlOf } from '../../core/nats/options.ts'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { freePort, freePorts } from './free-port.ts'

/** What a broker with an embedded nats-server writes down of both. */
type Run = { broker: { pid: number }; server?: { pid: number } }
export type Listening = { grpc: string; http: string; ops: string; nats: string }

export class Deployment {
  readonly dataDir = mkdtempSync(join(tmpdir(), 'busbar-test-'))
  readonly devicesFile = join(this.dataDir, 'devices.jsonl')
  readonly keyFile = join(this.dataDir, 'key-encryption-keys')
  readonly env: Record<string, string> = {}
  meters: Child | undefined
  broker: Child | undefined
  devices: Array<{
    eui64: string
    type: string
    address: { security?: { suite: number } }
  }> = []
  /** Where the broker's stderr goes instead of ours, with every line that it can write. */
  readonly logFile: string | undefined
  private readonly metersPerListener: number
  private readonly roles: string
  /** Servers that are not the broker's own; undefined for an embedded one. */
  private readonly cluster: { url: string; replicas: number } | undefined
  private ports: Listening | undefined
  private fleetLines: Interface | undefined
  private meterArguments: readonly string[] = []
  /** Where devices dial in and push to; empty unless they do. */
  dialIn = ''
  private readonly alertsTo: readonly string[]
  private readonly moreMeterArguments: readonly string[]
  private readonly isDialIn: boolean
  /** The broker's data directory. */
  readonly brokerDir: string
  /** Of the Node that the broker runs on. */
  private readonly nodeArguments: () => readonly string[]
  private readonly moreBrokerArguments: readonly string[]

  constructor({
    logTo,
    metersPerListener = 20,
    roles = '',
    brokerFolder = 'data',
    cluster,
    alertsTo = [],
    meterArguments = [],
    isDialIn = false,
    nodeArguments = () => [],
    brokerArguments = [],
  }: {
    logTo?: string
    metersPerListener?: number
    roles?: string
    /** Where the broker's data directory is, from `dataDir`, or absolute. */
    brokerFolder?: string
    cluster?: { url: string; replicas: number }
    /** Parties of all devices' alerts: there is a door for devices then, and the meters know it. */
    alertsTo?: readonly string[]
    meterArguments?: readonly string[]
    /** Meters connect to that door, and are reached so. */
    isDialIn?: boolean
    nodeArguments?: () => readonly string[]
    brokerArguments?: readonly string[]
  } = {}) {
    this.alertsTo = alertsTo
    this.moreMeterArguments = meterArguments
    this.isDialIn = isDialIn
    this.cluster = cluster
    this.logFile = logTo === undefined ? undefined : join(this.dataDir, logTo)
    this.metersPerListener = metersPerListener
    this.roles = roles
    this.nodeArguments = nodeArguments
    this.moreBrokerArguments = brokerArguments
    this.brokerDir = resolve(this.dataDir, brokerFolder)
  }

  get listening(): Listening {
    return this.ports!
  }

  /**
   * Starts `count` meters with the given faults, a broker, what `beside` starts, and registers the
   * devices.
   */
  async start(
    count: number,
    faults = '',
    beside: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<void> {
    writeFileSync(join(this.dataDir, 'parties.json'), JSON.stringify(demoPartiesJson))
    rotateKeyFile(this.keyFile)
    if (this.alertsTo.length > 0) this.dialIn = `127.0.0.1:${await freePort()}`
    this.meterArguments = [
      'meters',
      ...this.moreMeterArguments,
      ...(this.dialIn === '' ? [] : ['--push-to', this.dialIn]),
      ...(this.isDialIn ? ['--transport', 'dial-in', '--dial-in-to', this.dialIn] : []),
      '--meters',
      String(count),
      '--seed',
      '7',
      '--devices',
      this.devicesFile,
      '--base-port',
      String(await freePorts(Math.ceil(count / this.metersPerListener))),
      '--meters-per-listener',
      String(this.metersPerListener),
    ].concat(faults === '' ? [] : ['--faults', faults])
    await this.startMeters()
    // The same doors after a restart, as in a real deployment.
    const grpc = `127.0.0.1:${await freePort()}`
    const http = `127.0.0.1:${await freePort()}`
    const ops = `127.0.0.1:${await freePort()}`
    this.ports = { grpc, http, ops, nats: '' }
    await this.startBroker()
    await beside()
    this.devices = readFileSync(this.devicesFile, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    if (this.alertsTo.length > 0) {
      const told = this.devices.map((one) => JSON.stringify({ ...one, alertsTo: this.alertsTo }))
      writeFileSync(this.devicesFile, told.join('\n'))
    }
    await registerWholeFile(this.devicesFile, ops)
  }

  /** The same meters, at the same ports. */
  async startMeters(): Promise<void> {
    this.meters = await startChild(this.meterArguments)
    this.fleetLines = undefined
  }

  async startBroker(): Promise<void> {
    const { grpc, http, ops } = this.listening
    this.broker = await startChild(
      [
        'serve',
        '--data-dir',
        this.brokerDir,
        '--parties',
        join(this.dataDir, 'parties.json'),
        '--key-encryption-key-file',
        this.keyFile,
        '--grpc',
        grpc,
        '--http',
        http,
        '--ops',
        ops,
        '--log-level',
        this.logFile === undefined ? (process.env['BUSBAR_LOG_LEVEL'] ?? 'silent') : 'debug',
        ...(this.roles === '' ? [] : ['--roles', this.roles]),
        ...(this.dialIn === '' ? [] : ['--dial-in', this.dialIn]),
        ...(this.cluster === undefined
          ? []
          : ['--nats-url', this.cluster.url, '--replicas', String(this.cluster.replicas)]),
        ...this.moreBrokerArguments,
      ],
      this.logFile === undefined ? 'inherit' : openSync(this.logFile, 'a'),
      this.nodeArguments(),
    )
    this.ports = { ...this.listening, ...(this.broker.said['listening'] as Listening) }
  }

  /** Where nats-server listens, with who we are there. */
  get natsUrl(): string {
    return this.cluster?.url ?? natsUrlOf(addressOf({ dataDir: this.brokerDir }))
  }

  /** A further process of the same deployment. */
  startHost(name: string, roles = 'host,wan'): Promise<Child> {
    return startChild([
      'serve',
      '--roles',
      roles,
      '--data-dir',
      join(this.dataDir, name),
      '--key-encryption-key-file',
      this.keyFile,
      '--nats-url',
      this.natsUrl,
      '--replicas',
      String(this.cluster?.replicas ?? 1),
      '--ops',
      '127.0.0.1:0',
      '--log-level',
      process.env['BUSBAR_LOG_LEVEL'] ?? 'silent',
    ])
  }

  /**
   * Says a line of actors/simulator/network/fleet-process.ts to the meters; settles when they have
   * obeyed.
   */
  async tellMeters(line: string): Promise<void> {
    const { stdin, stdout } = this.meters!.process
    this.fleetLines ??= createInterface({ input: stdout! })
    const lines = this.fleetLines
    await new Promise<void>((resolve) => {
      const onLine = (answer: string): void => {
        const { faults, pushed } = JSON.parse(answer) as { faults?: string; pushed?: string }
        if ((faults ?? pushed) !== line) return
        lines.off('line', onLine)
        resolve()
      }
      lines.on('line', onLine)
      stdin!.write(`${line}\n`)
    })
  }

  /** kill -9; settles when it is gone. */
  async killBroker(): Promise<void> {
    await kill(this.broker!)
  }

  /**
   * The broker and the nats-server that it supervises, as it wrote them down; undefined when it did
   * not.
   */
  processes(): { broker: number; server: number } | undefined {
    try {
      const file = join(this.brokerDir, 'nats-server.run')
      const { broker, server } = JSON.parse(readFileSync(file, 'utf8')) as Run
      return server && { broker: broker.pid, server: server.pid }
    } catch {
      return undefined
    }
  }

  /** kill -9 of the nats-server that the broker supervises. */
  killNats(): void {
    process.kill(this.processes()!.server, 'SIGKILL')
  }

  async stop(): Promise<void> {
    await this.broker?.stop()
    await this.meters?.stop()
    rmSync(this.dataDir, { recursive: true, force: true })
  }
}

export async function kill(child: Child): Promise<void> {
  const ended = once(child.process, 'exit')
  child.process.kill('SIGKILL')
  await ended
}
