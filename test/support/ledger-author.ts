/**
 * Writes a random but lawful life of devices into a simulated ledger, tick by tick, without a host;
 * keeps what views must say of it; and takes snapshots and trims as hosts do. The same seed writes
 * the same ledger.
 */
import { hostMetrics } from '../../actors/runtime/host/host-metrics.ts'
import { genesis, stepChain } from '../../actors/runtime/partition/chain.ts'
import { trimRecordOf } from '../../actors/runtime/recovery/trimmed-history.ts'
import { snapshotChunks } from '../../actors/runtime/recovery/snapshot-codec.ts'
import { packState } from '../../actors/device/state-codec.ts'
import { Tick } from '../../actors/runtime/partition/tick.ts'
import { forgetThrough, trim } from '../../actors/runtime/recovery/trimming.ts'
import { evolve } from '../../actors/device/actor.ts'
import { writeFact, type DeviceFact } from '../../actors/device/facts.ts'
import { emptyState, type DeviceState, type OpenRequest } from '../../actors/device/state.ts'
import { partitionOf } from '../../core/envelope/partition.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { formatSrv, parseSrv } from '../../core/base/srv.ts'
import { encodeDeviceRecord } from '../../core/inventory/device-record.ts'
import { chainLinkBytes, FrameWriter, writeChainLink } from '../../core/envelope/frame.ts'
import { cursorNameOf, deliveryIdOf, encodeCursor } from '../../core/envelope/delivery-id.ts'
import { writeTickMessage } from '../../core/envelope/tick-message.ts'
import { tickSubject, tickSubjects } from '../../core/ports/ledger.ts'
import { silentLog } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { seededRandom } from '../../core/ports/random.ts'
import { SimCursorStore, SimLedger } from '../../core/ports/sim/ledger.ts'
import { SimSnapshotStore } from '../../core/ports/sim/snapshots.ts'
import { encodeSnapshotRecord, snapshotSubject } from '../../core/ports/snapshot.ts'
import type { Checkpoint } from '../../core/ports/store.ts'
import { deviceKey, plainRecord, supplier } from './envelopes.ts'

export const authorPartitions = 4
const parties = [supplier, '\x90\xb3\xd5\x1f\x30\x07\x00\x00' as Eui64]
const srvs = ['4.1.1', '11.2', '7.4'].map(parseSrv)
const ends: ErrorCode[] = ['OK', 'DEVICE_UNREACHABLE', 'DEVICE_SILENT', 'REQUEST_CANCELLED']
const hour = 3_600_000

export class LedgerAuthor {
  readonly ledger = new SimLedger()
  readonly snapshots = new SimSnapshotStore()
  readonly cursors = new SimCursorStore()
  readonly states = new Map<Eui64, DeviceState>()
  /** `day party srv code` → count. */
  readonly usage = new Map<string, number>()
  /** Moves on by up to two hours a tick, so that days change. */
  now = 1_800_000_000_000
  private readonly chains = new Map<number, Checkpoint>()
  private readonly random: ReturnType<typeof seededRandom>
  private readonly deviceCount: number
  private counter = 0n

  constructor(seed: number, deviceCount = 12) {
    this.random = seededRandom(seed)
    this.deviceCount = deviceCount
  }

  private below(count: number): number {
    return Math.floor(this.random.fraction() * count)
  }

  private pick<One>(among: readonly One[]): One {
    return among[this.below(among.length)]!
  }

  partitionOf(device: Eui64): number {
    return partitionOf(device, authorPartitions)
  }

  /** Writes one tick of up to `factsMax` facts. @returns how many there are in it */
  async tick(factsMax = 12): Promise<number> {
    this.now += 1 + this.below(2 * hour)
    const tick = new Tick()
    const frames = new Map<number, FrameWriter>()
    const factCount = 1 + this.below(factsMax)
    for (let fact = 0; fact < factCount; fact++) {
      const device = deviceKey(this.below(this.deviceCount))
      const partition = this.partitionOf(device)
      let frame = frames.get(partition)
      if (frame === undefined) {
        const { frameNumber, hash } = this.chains.get(partition) ?? genesis
        frame = new FrameWriter()
        frame.reserve(chainLinkBytes)
        const link = { partition, frameNumber: frameNumber + 1, previousHash: Buffer.from(hash) }
        writeChainLink(frame.target, 0, link)
        frames.set(partition, frame)
      }
      this.happen(device, frame, tick)
    }
    const facts = Array.from(frames, ([partition, frame]) => ({ partition, frame: frame.take() }))
    const written = await this.ledger.commit([
      { subject: tickSubject('a'), data: writeTickMessage(facts, tick.frames()) },
    ])
    if (written.refused !== undefined) throw new Error(written.detail)
    for (const { partition, frame } of facts) {
      const before = this.chains.get(partition) ?? genesis
      this.chains.set(partition, stepChain(partition, before, frame, written.firstSequence))
    }
    return factCount
  }

  /** One fact of the device, whatever may happen to it now. */
  private happen(device: Eui64, frame: FrameWriter, tick: Tick): void {
    const state = this.states.get(device) ?? emptyState()
    this.states.set(device, state)
    const { now: time } = this
    const write = (fact: DeviceFact): void => {
      writeFact(frame, device, fact)
      evolve(state, fact)
    }
    const request: OpenRequest | undefined = this.pick(state.open)
    const chance = this.below(20)
    if (state.record === undefined || chance === 0) {
      const port = 1_024 + this.below(1_000)
      const address = { ...plainRecord.address, port, secret: Buffer.from('not to be seen') }
      const recordBytes = encodeDeviceRecord({
        type: chance % 2 ? 'GSME' : 'ESME',
        address,
      })
      const isPart = this.below(2) === 1
      write({ type: isPart ? 'DEVICE_ADDRESSED' : 'DEVICE_REGISTERED', time, recordBytes })
    } else if (request === undefined && chance === 19)
      write({ type: 'DEVICE_REMOVED', time, by: 'ann' })
    else if (request === undefined || (chance < 9 && state.open.length < 64)) {
      const accepted = this.requestOf()
      write({ type: 'REQUEST_ACCEPTED', request: accepted })
      this.count(accepted, 'REQUEST_ACCEPTED')
    } else {
      const { originator, counter, attempt } = request
      const about = { originator, counter, time, attempt: attempt + 1 }
      if (chance === 9) {
        const outcome = errorId('DEVICE_SILENT')
        write({ type: 'ATTEMPT_FAILED', ...about, outcome, nextAttemptAt: time + 1 })
      } else if (chance === 10) {
        // A new request on which the actor failed: it never was open.
        const { counter: other } = this.requestOf()
        const outcome = errorId('DEVICE_ACTOR_PARKED')
        const bodyBytes = Buffer.from('a body')
        write({ type: 'REQUEST_PARKED', ...about, counter: other, outcome, bodyBytes })
      } else {
        const code = chance === 11 ? 'DEVICE_ACTOR_PARKED' : this.pick(ends)
        const end = { ...about, outcome: errorId(code) }
        if (code === 'DEVICE_ACTOR_PARKED')
          write({ type: 'REQUEST_PARKED', ...end, bodyBytes: Buffer.alloc(0) })
        else write({ type: 'REQUEST_ENDED', ...end })
        const { outcome } = end
        tick.deliver(device, { request, outcome, attempt, time, bodyBytes: Buffer.from('reading') })
        this.count(request, code)
      }
    }
  }

  private requestOf(): OpenRequest {
    const octets = Buffer.alloc(8)
    octets.writeBigUInt64BE(++this.counter)
    return {
      originator: this.pick(parties),
      counter: readRequestCounter(octets, 0),
      lane: Lane.NORMAL,
      srv: this.pick(srvs),
      bodyType: 0,
      contentHash: 0,
      acceptedAt: this.now,
      deadline: this.now + hour,
      attempt: 0,
      nextAttemptAt: 0,
      lastOutcome: 0,
      bodyBytes: Buffer.from('what is asked'),
    }
  }

  private count({ originator, srv }: OpenRequest, code: ErrorCode): void {
    const day = new Date(this.now).toISOString().slice(0, 10)
    const key = `${day} ${textOfEui64(originator)} ${formatSrv(srv)} ${code}`
    this.usage.set(key, (this.usage.get(key) ?? 0) + 1)
  }

  /** Snapshots of all partitions as they are now. */
  async snapshot(): Promise<void> {
    for (const [partition, checkpoint] of this.chains) {
      const name = `${partition}.${checkpoint.sequence}.a`
      const records = [...this.states]
        .filter(([device]) => this.partitionOf(device) === partition)
        .map(([device, state]) => ({ actor: device, state: packState(state), wakeAtMs: 0 }))
      await this.snapshots.put(
        name,
        (async function* () {
          yield* snapshotChunks(records)
        })(),
      )
      const record = { name, devices: records.length, takenAtMs: this.now, ...checkpoint }
      await this.ledger.commit([
        { subject: snapshotSubject(partition), data: encodeSnapshotRecord(record) },
      ])
    }
  }

  /** Every delivery written so far. */
  async acknowledge(): Promise<void> {
    const { sequence } = (await this.ledger.lastOn(tickSubjects))!
    for (const party of parties)
      await this.cursors.put(cursorNameOf(party), encodeCursor(deliveryIdOf(sequence + 1, 0)))
  }

  /** Forgets what may go, as a host does; deliveries count as old after `deliveryKeepMs`. */
  async trim(deliveryKeepMs: number): Promise<void> {
    const { ledger, cursors } = this
    const ports = { partitionCount: authorPartitions, ledger, cursors, deliveryKeepMs }
    await trim(
      {
        ...ports,
        nowMs: () => this.now,
        log: silentLog,
        metrics: hostMetrics(noMetrics),
      },
      Infinity,
    )
    await forgetThrough(ledger, (await trimRecordOf(ledger)).through)
  }
}
