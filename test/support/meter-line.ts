/** Simulated meters behind a connection without sockets, and clients that speak to them over it. */
import { MeterConnection } from '../../actors/simulator/network/connection.ts'
import { FaultBoard } from '../../actors/simulator/network/faults.ts'
import { WrapperFraming } from '../../actors/simulator/network/framing.ts'
import {
  clientKeyOctets,
  deviceKeysOf,
  simulatedClientTitle,
} from '../../actors/simulator/model/meter-keys.ts'
import { simulatedMechanism } from '../../actors/simulator/model/population.ts'
import type { Meter } from '../../actors/simulator/meter.ts'
import { suiteOf } from '../../actors/simulator/model/population.ts'
import { DlmsClient } from '../../core/dlms/client/client.ts'
import type { ShortNames } from '../../core/dlms/client/short-name.ts'
import { CounterWindow, InvocationCounter, suites } from '../../core/dlms/security/index.ts'
import { wrapInPlace, WrapperReader } from '../../core/dlms/framing/wrapper.ts'
import type { DeviceKeys } from '../../core/crypto/key-vault.ts'
import { seededRandom } from '../../core/ports/random.ts'
import type { CosemOperation, CosemResult } from '../../core/ports/wan.ts'

/** Meters at the ports 1, 2 and so on. */
export class MeterLine {
  readonly board = new FaultBoard(1)
  readonly counts = {
    connections: 0,
    requests: 0,
    answers: 0,
    discarded: 0,
    faults: 0,
    malformed: 0,
    refused: 0,
  }
  private readonly meters: readonly Meter[]
  private connection!: MeterConnection
  private answers = new WrapperReader()
  private pending: Buffer[] = []

  constructor(meters: readonly Meter[]) {
    this.meters = meters
    this.reconnect()
  }

  /** The connection is gone, and another one is made. */
  reconnect(): void {
    this.pending = []
    this.answers = new WrapperReader()
    this.connection = new MeterConnection(
      {
        write: (pieces) => void this.pending.push(...pieces),
        bufferedBytes: () => 0,
        pause() {},
        resume() {},
        end() {},
        destroy() {},
      },
      {
        clock: this.meters[0]!.model.clock,
        faults: this.board,
        counts: this.counts,
        random: seededRandom(9),
        placesOf: () => this.meters.map(({ number }, i) => ({ device: 1 + i, number })),
        meterAt: (device) => this.meters[device - 1],
      },
      new WrapperFraming(),
    )
  }

  /** The whole exchange; undefined when no answer comes. */
  exchange(
    client: DlmsClient,
    operations: CosemOperation[],
    port = 1,
    device = 1,
  ): CosemResult[] | undefined {
    let frames = this.send(client.begin(operations), port, device)
    for (;;) {
      const frame = frames.shift()
      if (frame === undefined) return undefined
      const step = client.receive(frame)
      if ('results' in step) return step.results
      // Otherwise it waits for what is already here.
      if ('send' in step) frames = this.send(step.send, port, device)
    }
  }

  /** One APDU and those that come back for it. */
  private send(apdu: Buffer, port: number, device: number): Buffer[] {
    this.connection.take(Buffer.from(wrapInPlace(apdu, port, device)))
    const octets = Buffer.concat(this.pending.splice(0))
    const apdus: Buffer[] = []
    if (octets.length > 0) this.answers.push(octets)
    for (let next = this.answers.next(); next !== undefined; next = this.answers.next())
      apdus.push(Buffer.from(next.apduView))
    return apdus
  }
}

/** A client as the meter wants its managing client: with its secret, its keys, or nothing. */
export function managerOf(
  meter: Meter,
  counter = new InvocationCounter(1),
  keys?: DeviceKeys,
  shortNames?: ShortNames,
): DlmsClient {
  const { population } = meter.model
  const suite = suiteOf(population, meter.seed)
  if (suite === undefined)
    return new DlmsClient({ shortNames, ...(meter.secret && { secret: meter.secret }) })
  return new DlmsClient({
    shortNames,
    mechanism: simulatedMechanism,
    random: seededRandom(4),
    security: {
      suite: suites[suite],
      ownTitle: simulatedClientTitle,
      keys: keys ?? deviceKeysOf(clientKeyOctets(population.seed, meter.seed, suite), suite),
      counters: { unicast: counter },
      windows: { unicast: new CounterWindow() },
    },
  })
}
