/**
 * Hosts with the trial kind as processes over a real nats-server, and from this process what a
 * gateway does: envelopes to the owners of their partitions. For tests and benches of letters.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { NatsConnection } from '@nats-io/transport-node'
import { NatsBus } from '../../core/bus/nats-bus.ts'
import { Owners } from '../../core/bus/owners.ts'
import { errorId } from '../../core/base/error-table.ts'
import { readCorrelation, readOutcome } from '../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../core/envelope/frame.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import { partitionAt } from '../../core/envelope/partition.ts'
import { createLedger, type JetStreamLedger } from '../../core/ledger/jetstream.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import { environmentOfNode } from '../../core/ops/setup/child-environment.mjs'
import { hostSubject } from '../../core/ports/bus.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { silentLog } from '../../core/ports/log.ts'
import { startTestNats, type TestNats } from './nats.ts'
import { polled } from './polled.ts'
import type { TrialHostFigures, TrialHostOptions } from './trial-host.ts'

const accepted = errorId('REQUEST_ACCEPTED')
const program = join(import.meta.dirname, 'trial-host.ts')
const answerMsMax = 2_000

/** One host's process. */
export class TrialHost {
  private readonly child: ChildProcess
  private readonly lines: Interface
  private readonly ended: Promise<unknown>

  private constructor(child: ChildProcess) {
    this.child = child
    this.lines = createInterface({ input: child.stdout! })
    this.ended = once(child, 'exit')
  }

  static async start(options: TrialHostOptions): Promise<TrialHost> {
    const child = spawn(process.execPath, [program, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: environmentOfNode(process.env),
    })
    const host = new TrialHost(child)
    await host.line()
    return host
  }

  private async line(): Promise<string> {
    const line = once(this.lines, 'line').then(([text]) => String(text))
    const end = this.ended.then(() => Promise.reject(new Error('a trial host has ended')))
    return Promise.race([line, end])
  }

  async figures(): Promise<TrialHostFigures> {
    const answer = this.line()
    this.child.stdin!.write('\n')
    return JSON.parse(await answer) as TrialHostFigures
  }

  /** As a crash does it. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }

  /** In order. */
  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM')
    await this.ended
  }
}

export type TrialEstateOptions = Partial<
  Pick<TrialHostOptions, 'partitionCount' | 'ledgerBytesMax' | 'snapshotTicks'>
> & { nats?: TestNats }

export class TrialEstate {
  readonly nats: TestNats
  readonly ledger: JetStreamLedger
  readonly bus: NatsBus
  readonly owners: Owners
  private readonly connections: readonly NatsConnection[]
  private readonly folder = mkdtempSync(join(tmpdir(), 'busbar-trial-'))
  private readonly options: Omit<TrialHostOptions, 'hostId' | 'folder' | 'natsUrl' | 'isDeaf'>
  private readonly hosts = new Set<TrialHost>()

  private constructor(
    parts: Pick<TrialEstate, 'nats' | 'ledger' | 'bus' | 'owners'>,
    options: TrialEstate['options'],
    connections: readonly NatsConnection[],
  ) {
    this.nats = parts.nats
    this.ledger = parts.ledger
    this.bus = parts.bus
    this.owners = parts.owners
    this.options = options
    this.connections = connections
  }

  /** A server given to it is closed with it. */
  static async start(given: TrialEstateOptions = {}): Promise<TrialEstate> {
    const { partitionCount = 4, ledgerBytesMax = 1024 ** 3, snapshotTicks = 100 } = given
    const nats = given.nats ?? (await startTestNats())
    const connect = (name: string) => connectNats(natsConnectOptions({ url: nats.url }, name))
    const connection = await connect('trial estate')
    const followConnection = await connect('trial estate follow')
    const bytesMax = ledgerBytesMax
    const ledger = await createLedger({ connection, followConnection, bytesMax, partitionCount })
    const bus = new NatsBus({ connection })
    const owners = new Owners({ ledger, bus, clock: systemClock, log: silentLog, partitionCount })
    await owners.start()
    const options = { partitionCount, ledgerBytesMax, snapshotTicks }
    const connections = [connection, followConnection]
    return new TrialEstate({ nats, ledger, bus, owners }, options, connections)
  }

  async startHost(hostId: string, isDeaf = false): Promise<TrialHost> {
    const folder = join(this.folder, hostId)
    const natsUrl = this.nats.url
    const host = await TrialHost.start({ ...this.options, natsUrl, folder, hostId, isDeaf })
    this.hosts.add(host)
    return host
  }

  /** Settles when each of `hosts` has its share of the partitions. */
  async shared(hosts: readonly TrialHost[]): Promise<void> {
    const share = this.options.partitionCount / hosts.length
    const areShared = (figures: readonly TrialHostFigures[]): boolean =>
      figures.every(({ partitions }) => Math.abs(partitions - share) < 1)
    await polled(() => Promise.all(hosts.map((host) => host.figures())), areShared)
  }

  /**
   * Sends each envelope to the owner of its partition. @returns the correlations of those that were
   * accepted; of the others it is not known
   */
  async send(envelopes: readonly Buffer[]): Promise<number[]> {
    const frames = new Map<string, Buffer[]>()
    for (const envelope of envelopes) {
      const number = partitionAt(envelope, offsetOf.target, this.options.partitionCount)
      const owner = this.owners.ownerOf(number)
      if (owner !== undefined) frames.set(owner, [...(frames.get(owner) ?? []), envelope])
    }
    const found = await Promise.all(
      Array.from(frames, async ([owner, of]) => {
        const frame = Buffer.concat(of)
        const answer = await this.bus
          .request(hostSubject(owner), frame, answerMsMax)
          .catch(() => Buffer.alloc(0))
        const yes: number[] = []
        forEachEnvelope(answer, 0, (at) => {
          if (readOutcome(answer, at) === accepted) yes.push(readCorrelation(answer, at))
        })
        return yes
      }),
    )
    return found.flat()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.hosts].map((host) => host.stop()))
    await this.owners.close()
    await this.ledger.close()
    for (const connection of this.connections) await connection.close()
    await this.nats.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
