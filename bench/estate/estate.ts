/**
 * An estate of devices for benches: hosts as processes over one nats-server that flushes every
 * write, and from this process the inventory's door and a gateway's frames. No gRPC, no meters:
 * what is measured is the host.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { registerDevices } from '../../actors/broker/registration.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { errorId } from '../../core/base/error-table.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import { parseSrv } from '../../core/base/srv.ts'
import { NatsBus } from '../../core/bus/nats-bus.ts'
import { Owners } from '../../core/bus/owners.ts'
import type { DeviceEntry } from '../../core/inventory/device-record.ts'
import { readOutcome, writeEnvelope } from '../../core/envelope/envelope.ts'
import { forEachEnvelope, FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, type Kind } from '../../core/envelope/layout.ts'
import { partitionAt } from '../../core/envelope/partition.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { createLedger, type JetStreamLedger } from '../../core/ledger/jetstream.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import { hostSubject } from '../../core/ports/bus.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { SealingVault } from '../../core/crypto/key-vault-sealing.ts'
import { silentLog } from '../../core/ports/log.ts'
import { startNats, startNode, type Child, type NatsProcess } from '../path/processes.ts'
import {
  partitionCount,
  type EstateHostCommand,
  type EstateHostFigures,
  type EstateHostOptions,
  type EstateHostServing,
} from './settings.ts'

const framesInFlight = 8
const envelopesPerFrame = 500
const party = Buffer.from('90B3D51F30010000', 'hex')
export const partyKey = readEui64(party)
export const srv = parseSrv('11.2')!
const accepted = errorId('REQUEST_ACCEPTED')

/** The eight octets of a device of the estate, by number. */
export function deviceBytes(index: number): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeUInt32BE(0x00db2000, 0)
  bytes.writeUInt32BE(index, 4)
  return bytes
}

/** Each device has an address of its own, as in a network of one modem a meter. */
export function deviceEntry(index: number): DeviceEntry {
  const host = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`
  return {
    key: readEui64(deviceBytes(index)),
    record: { type: 'ESME', address: { host, port: 4059, logicalDevice: 1, client: 16 } },
  }
}

/** Writes a request of the bench's party for each device into `frame`. */
export function writeRequest(
  frame: FrameWriter,
  index: number,
  kind: Kind,
  counter: number,
  deadline: number,
): void {
  const at = frame.reserve(headerBytes)
  const header = {
    kind,
    lane: Lane.NORMAL,
    srv,
    outcome: 0,
    bodyType: 0,
    attempt: 0,
    originator: party,
    target: deviceBytes(index),
    counter: BigInt(counter),
    time: 0,
    deadline,
    correlation: index,
  }
  writeEnvelope(frame.target, at, header, emptyBytes)
  frame.count++
}

/** One host's process. */
export class EstateHost {
  readonly serving: EstateHostServing
  /** From the start of the process, ms. */
  readonly startMs: number
  private readonly child: Child

  private constructor(child: Child, serving: EstateHostServing, spawnedAtMs: number) {
    this.child = child
    this.serving = serving
    this.startMs = serving.servingAtMs - spawnedAtMs
  }

  static async start(options: EstateHostOptions): Promise<EstateHost> {
    const spawnedAtMs = Date.now()
    const child = startNode(`host ${options.hostId}`, 'bench/estate/host-process.ts', [
      JSON.stringify(options),
    ])
    return new EstateHost(child, await child.json<EstateHostServing>(), spawnedAtMs)
  }

  figures(command: EstateHostCommand = {}): Promise<EstateHostFigures> {
    this.child.write(JSON.stringify(command))
    return this.child.json<EstateHostFigures>()
  }

  stop(): Promise<void> {
    return this.child.stop(60_000)
  }

  /** As a crash does it. */
  async kill(): Promise<void> {
    await this.child.stop(0)
  }
}

export class Estate {
  readonly bus: NatsBus
  readonly owners: Owners
  readonly ledger: JetStreamLedger
  private readonly nats: NatsProcess
  private readonly folder: string
  private readonly connections: readonly NatsConnection[]
  private readonly ledgerBytesMax: number
  private readonly hosts = new Set<EstateHost>()

  private constructor(
    parts: Pick<Estate, 'bus' | 'owners' | 'ledger'>,
    nats: NatsProcess,
    folder: string,
    connections: readonly NatsConnection[],
    ledgerBytesMax: number,
  ) {
    this.bus = parts.bus
    this.owners = parts.owners
    this.ledger = parts.ledger
    this.nats = nats
    this.folder = folder
    this.connections = connections
    this.ledgerBytesMax = ledgerBytesMax
  }

  static async start(ledgerBytesMax = 8 * 1024 ** 3): Promise<Estate> {
    const folder = await mkdtemp(join(tmpdir(), 'busbar-bench-'))
    const nats = await startNats()
    const connection = await connectNats(natsConnectOptions({ url: nats.url }, 'bench'))
    const followConnection = await connectNats(
      natsConnectOptions({ url: nats.url }, 'bench follow'),
    )
    const ledger = await createLedger({
      connection,
      followConnection,
      bytesMax: ledgerBytesMax,
      partitionCount,
    })
    const bus = new NatsBus({ connection })
    const owners = new Owners({ ledger, bus, clock: systemClock, log: silentLog, partitionCount })
    await owners.start()
    return new Estate(
      { bus, owners, ledger },
      nats,
      folder,
      [connection, followConnection],
      ledgerBytesMax,
    )
  }

  async startHost(hostId: string, actorsAwakeMax: number): Promise<EstateHost> {
    const { nats, ledgerBytesMax } = this
    const host = await EstateHost.start({
      natsUrl: nats.url,
      folder: this.storeFolder(hostId),
      hostId,
      partitionCount,
      ledgerBytesMax,
      actorsAwakeMax,
    })
    this.hosts.add(host)
    return host
  }

  natsCpuMs(): number {
    return this.nats.cpuMs()
  }

  storeFolder(hostId: string): string {
    return join(this.folder, hostId)
  }

  /** Octets of a host's store on disk. */
  async storeBytes(hostId: string): Promise<number> {
    const folder = this.storeFolder(hostId)
    let bytes = 0
    // Blocks, because the file may be longer than what is written of it.
    for (const name of await readdir(folder)) bytes += (await stat(join(folder, name))).blocks * 512
    return bytes
  }

  /** Through the inventory's door, devices `first` to `first + count - 1`. */
  async register(first: number, count: number): Promise<void> {
    let next = first
    const end = first + count
    const { bus, owners } = this
    const worker = async (): Promise<void> => {
      while (next < end) {
        const from = next
        next = Math.min(end, from + limits.requestsPerBatchMax)
        const entries = Array.from({ length: next - from }, (_, i) => deviceEntry(from + i))
        const { refused } = await registerDevices(entries, {
          bus,
          directory: owners,
          clock: systemClock,
          keys: new SealingVault(() => []),
        })
        if (refused.length > 0) throw new Error(`not registered: ${JSON.stringify(refused[0])}`)
      }
    }
    await Promise.all(Array.from({ length: framesInFlight }, worker))
  }

  /**
   * Asks each of `count` devices from `first` on something, as a gateway does, and settles when all
   * have been answered.
   * @returns how many said yes
   */
  async ask(
    kind: typeof Kind.SERVICE_REQUEST | typeof Kind.STATUS_QUERY,
    first: number,
    count: number,
    counter: number,
    deadline = Date.now() + limits.requestLifetimeMsMax,
  ): Promise<number> {
    let next = first
    let yes = 0
    const end = first + count
    const { bus, owners } = this
    const worker = async (): Promise<void> => {
      while (next < end) {
        const frames = new Map<string, FrameWriter>()
        for (let i = 0; i < envelopesPerFrame && next < end; i++, next++) {
          const owner = owners.ownerOf(partitionAt(deviceBytes(next), 0, partitionCount))
          if (owner === undefined) throw new Error('a partition has no owner')
          const frame = frames.get(owner) ?? new FrameWriter()
          frames.set(owner, frame)
          writeRequest(frame, next, kind, counter, deadline)
        }
        await Promise.all(
          Array.from(frames, async ([owner, frame]) => {
            const answer = await bus.request(hostSubject(owner), frame.take(), 60_000)
            forEachEnvelope(answer, 0, (at) => {
              if (readOutcome(answer, at) === accepted) yes++
            })
          }),
        )
      }
    }
    await Promise.all(Array.from({ length: framesInFlight }, worker))
    return yes
  }

  /** Waits until the host's figures are so. */
  async until(host: EstateHost, isSo: (figures: EstateHostFigures) => boolean): Promise<void> {
    while (!isSo(await host.figures({ isQuick: true }))) await wait(50)
  }

  async stop(): Promise<void> {
    for (const host of this.hosts) await host.stop()
    await this.owners.close()
    await this.ledger.close()
    for (const connection of this.connections) await connection.close()
    await this.nats.stop()
    await rm(this.folder, { recursive: true, force: true })
  }
}
