/**
 * One simulated meter with quirks behind a connection without sockets: raw APDUs in, frames out,
 * and whether it has closed.
 */
import { MeterConnection } from '../../actors/simulator/network/connection.ts'
import { FaultBoard } from '../../actors/simulator/network/faults.ts'
import { WrapperFraming } from '../../actors/simulator/network/framing.ts'
import {
  clientKeyOctets,
  deviceKeysOf,
  simulatedClientTitle,
} from '../../actors/simulator/model/meter-keys.ts'
import { Meter } from '../../actors/simulator/meter.ts'
import { suiteOf } from '../../actors/simulator/model/population.ts'
import { parseQuirks } from '../../actors/simulator/quirks/quirks.ts'
import { DlmsClient } from '../../core/dlms/client/client.ts'
import type { ClientOptions } from '../../core/dlms/client/options.ts'
import {
  blockCipherProof,
  CounterWindow,
  InvocationCounter,
  suites,
  type Mechanism,
} from '../../core/dlms/security/index.ts'
import { wrapInPlace, WrapperReader } from '../../core/dlms/framing/wrapper.ts'
import { seededRandom } from '../../core/ports/random.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import type { CosemOperation, CosemResult } from '../../core/ports/wan.ts'

export type OddFrame = { client: number; apdu: Buffer }
export type OddOptions = {
  suite?: 0 | 1 | 2
  secretShare?: number
  nowMs?: number
  seed?: number
  mechanism?: Mechanism
  timeZone?: string
}

type SecurityOptions = Partial<NonNullable<ClientOptions['security']>>
/** The managing client of a meter, as its mechanism and keys want it. */
export function oddClient(
  { meter }: OddLine,
  options: Omit<Partial<ClientOptions>, 'security'> & { security?: SecurityOptions } = {},
  counter: InvocationCounter = new InvocationCounter(1),
): DlmsClient {
  const { population } = meter.model
  const suite = suiteOf(population, meter.seed)
  const { security, ...rest } = options
  if (suite === undefined) return new DlmsClient({ secret: meter.secret, ...rest })
  return new DlmsClient({
    mechanism: meter.mechanism,
    secret: meter.proofSecret,
    makerProof: blockCipherProof,
    random: seededRandom(4),
    ...rest,
    security: {
      suite: suites[suite],
      ownTitle: simulatedClientTitle,
      keys: deviceKeysOf(clientKeyOctets(population.seed, meter.seed, suite), suite),
      counters: { unicast: counter, session: new InvocationCounter(1) },
      windows: { unicast: new CounterWindow() },
      ...security,
    },
  })
}

/** A meter with the quirks joined by `+`, under a suite or in the clear. */
export function oddMeter(quirks: string, options: OddOptions = {}): Meter {
  const { suite, secretShare = 0, nowMs = Date.UTC(2026, 5, 1), seed = 3 } = options
  const { mechanism, timeZone } = options
  const securityShares: [number, number, number] = [0, 0, 0]
  if (suite !== undefined) securityShares[suite] = 1
  const population = {
    seed,
    gasShare: 0,
    gasProxyShare: 0,
    solarShare: 0,
    secretShare,
    securityShares,
    quirkShares: parseQuirks(quirks),
    ...(mechanism !== undefined && { mechanisms: [mechanism] }),
    ...(timeZone !== undefined && { timeZone }),
  }
  return new Meter({ population, clock: new SimClock(nowMs) }, 6)
}

export class OddLine {
  readonly meter: Meter
  readonly random = seededRandom(9)
  /** APDUs that the meter has received. */
  requests = 0
  isClosed = false
  /** Wrapper frames of length 0 that came, which are cut out of the rest. */
  emptyFrames = 0
  private connection!: MeterConnection
  private reader = new WrapperReader()
  private pending: Buffer[] = []

  constructor(meter: Meter) {
    this.meter = meter
    this.connect()
  }

  /** A new connection; the old one is gone. */
  connect(): void {
    this.connection?.stop()
    this.isClosed = false
    this.pending = []
    this.reader = new WrapperReader()
    const close = (): void => {
      this.isClosed = true
    }
    const counts = {
      connections: 0,
      requests: 0,
      answers: 0,
      discarded: 0,
      faults: 0,
      malformed: 0,
      refused: 0,
    }
    this.connection = new MeterConnection(
      {
        write: (pieces) => void this.pending.push(...pieces),
        bufferedBytes: () => 0,
        pause() {},
        resume() {},
        end: close,
        destroy: close,
      },
      {
        clock: this.meter.model.clock,
        faults: new FaultBoard(1),
        counts,
        random: this.random,
        placesOf: () => [{ device: 1, number: this.meter.number }],
        meterAt: (device) => (device === 1 ? this.meter : undefined),
      },
      new WrapperFraming(),
    )
  }

  /** Sends one APDU of a client, and gives the octets that come back. */
  octets(apdu: Buffer, client: number): Buffer {
    this.requests++
    this.connection.take(Buffer.from(wrapInPlace(apdu, client, 1)))
    return Buffer.concat(this.pending.splice(0))
  }

  /** As `octets`, cut into frames. */
  send(apdu: Buffer, client: number): OddFrame[] {
    return this.cut(this.octets(apdu, client))
  }

  /** What the meter has sent since, by itself. */
  late(): OddFrame[] {
    return this.cut(Buffer.concat(this.pending.splice(0)))
  }

  private cut(given: Buffer): OddFrame[] {
    const octets = this.withoutEmpty(given)
    if (octets.length > 0) this.reader.push(octets)
    const frames: OddFrame[] = []
    for (let next = this.reader.next(); next !== undefined; next = this.reader.next())
      frames.push({ client: next.destination, apdu: Buffer.from(next.apduView) })
    return frames
  }

  private withoutEmpty(octets: Buffer): Buffer {
    const kept: Buffer[] = []
    for (let at = 0; at < octets.length;) {
      const bytes = octets.readUInt16BE(at + 6)
      if (bytes === 0) this.emptyFrames++
      else kept.push(octets.subarray(at, at + 8 + bytes))
      at += 8 + bytes
    }
    return Buffer.concat(kept)
  }

  /** The whole exchange; undefined when an answer is missing. @throws what the client says */
  exchange(
    client: DlmsClient,
    operations: CosemOperation[],
    port: number,
  ): CosemResult[] | undefined {
    return this.steps(client, client.begin(operations), port)
  }

  private steps(client: DlmsClient, first: Buffer, port: number): CosemResult[] | undefined {
    const frames = this.send(first, port)
    for (;;) {
      const frame = frames.shift()
      if (frame === undefined || frame.client !== port) return undefined
      const step = client.receive(frame.apdu)
      if ('results' in step) return step.results
      if (!('send' in step)) continue
      frames.push(...this.send(step.send, port))
      for (let next = client.more(); next !== undefined; next = client.more())
        frames.push(...this.send(next, port))
    }
  }
}
