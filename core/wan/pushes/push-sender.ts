/**
 * Unsolicited messages of devices, on their way to the actors: each push becomes a DEVICE_PUSH
 * envelope for the owner of its device's partition, many in a frame, and waits here until it is
 * answered for. Bounded; whatever does not come through is dropped and counted by why.
 *
 * At most once until it is on disk: what was refused for want of room or of an owner is sent again
 * for a while; when nobody knows what became of it, only what a counter lets the actor know again
 * is. Station 10 and 11 of a message's way.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { partitionAt } from '../../envelope/partition.ts'
import { errorCodeOf, errorTable, type ErrorCode } from '../../base/error-table.ts'
import { bytesOfEui64, type Eui64 } from '../../base/eui64.ts'
import { Lane } from '../../base/lane.ts'
import { limits } from '../../base/limits.ts'
import type { Srv } from '../../base/srv.ts'
import { encodePush, pushBytesOf } from '../../envelope/device-push.ts'
import { readCorrelation, readOutcome, writeEnvelope } from '../../envelope/envelope.ts'
import { forEachEnvelope, FrameWriter } from '../../envelope/frame.ts'
import { headerBytes, Kind } from '../../envelope/layout.ts'
import { Shape, shapeOfTag } from '../../dlms/security/index.ts'
import { pushSubject, type Bus, type OwnerDirectory } from '../../ports/bus.ts'
import type { Clock } from '../../ports/clock.ts'
import { digest } from '../../crypto/crypto.ts'
import type { Log } from '../../ports/log.ts'
import type { Counter, Metrics } from '../../ports/metrics.ts'
import type { Random } from '../../ports/random.ts'
import type { DevicePush } from '../../ports/wan.ts'
import { FrameQueue, type Queued } from '../remote/frame-queue.ts'
import { deviceNamed } from './push-names.ts'

export type PushSenderOptions = {
  bus: Bus
  directory: OwnerDirectory
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
  /** The device that is known by a name which is not its EUI-64. */
  deviceCalled?: (name: string) => Eui64 | undefined
}

type Waiting = Queued & {
  number: number
  /** Names it to the actor, wherever it comes from and however often. */
  id: bigint
  target: Buffer
  partition: number
  body: Buffer
  /** UTC ms, when it came in. */
  receivedAt: number
  dueMs: number
  /** The actor knows it again: it may be sent twice. */
  isKnownAgain: boolean
  confirm: DevicePush['confirm']
}

const noId = Buffer.alloc(8)

export class PushSender {
  private readonly options: PushSenderOptions
  private readonly queues = new Map<string, FrameQueue<Waiting>>()
  /** All that are not ended, by number. */
  private readonly waiting = new Map<number, Waiting>()
  private lastNumber = 0
  private bytesWaiting = 0
  /** To be sent again, or for the first time when there is an owner. */
  private again: Waiting[] = []
  private callOff: (() => void) | undefined
  private isClosed = false
  private toldAtMs = -Infinity
  private untold = 0
  private readonly ended = new Map<ErrorCode, Counter>()

  constructor(options: PushSenderOptions) {
    this.options = options
    options.metrics.gauge(
      'busbar_wan_pushes_waiting',
      'Unsolicited messages of devices that no host has acknowledged yet',
      () => this.waiting.size,
    )
  }

  /** Takes over what a device has said. Keeps its octets. */
  send(push: DevicePush): void {
    const { clock, directory, random, deviceCalled } = this.options
    const device = push.device ?? deviceNamed(push.names, deviceCalled)
    if (device === undefined) return this.count('DEVICE_PUSH_UNATTRIBUTED', push.address.host)
    const bytes = headerBytes + pushBytesOf(push)
    if (bytes > headerBytes + limits.pushBytesMax) return this.count('DLMS_SIZE_EXCEEDED')
    const isFull =
      this.waiting.size >= limits.pushesWaitingMax ||
      this.bytesWaiting + bytes > limits.pushBytesWaitingMax
    if (isFull || this.isClosed) return this.count('DEVICE_PUSH_DROPPED')
    const target = bytesOfEui64(device)
    const body = encodePush(push)
    const item: Waiting = {
      number: ++this.lastNumber,
      // One that is said again until it is confirmed is the same one.
      id: (push.confirm ? digest('sha256', body) : random.bytes(8)).readBigUInt64BE(),
      target,
      partition: partitionAt(target, 0, directory.partitionCount),
      body,
      receivedAt: clock.now(),
      dueMs: clock.elapsedMs() + limits.pushWaitMsMax,
      isKnownAgain:
        push.counter !== undefined || push.confirm !== undefined || isCounted(push.apduBytes),
      confirm: push.confirm,
      lane: Lane.NORMAL,
      bytes,
      isEnded: false,
    }
    this.waiting.set(item.number, item)
    this.bytesWaiting += bytes
    this.route(item)
  }

  /** Drops what waits; what is out ends by itself. */
  close(): void {
    this.isClosed = true
    this.callOff?.()
    for (const item of this.again.splice(0)) this.end(item, 'DEVICE_PUSH_DROPPED')
    for (const queue of this.queues.values()) queue.stop()
  }

  private route(item: Waiting): void {
    const owner = this.options.directory.ownerOf(item.partition)
    if (owner === undefined) this.retry(item)
    else this.queueTo(owner).push(item)
  }

  private queueTo(owner: string): FrameQueue<Waiting> {
    const present = this.queues.get(owner)
    if (present !== undefined) return present
    const forget = (): void => {
      if (queue.isIdle) this.queues.delete(owner)
    }
    const queue = new FrameQueue<Waiting>({
      bus: this.options.bus,
      subject: pushSubject(owner),
      frameOf: (items) => this.frameOf(items),
      landed: (items, reply) => {
        this.land(items, reply)
        forget()
      },
      lost: (items) => {
        this.inDoubt(items)
        forget()
      },
    })
    this.queues.set(owner, queue)
    return queue
  }

  private frameOf(items: readonly Waiting[]): Buffer {
    const frame = new FrameWriter()
    for (const { number, id, target, body, receivedAt, lane } of items) {
      const at = frame.reserve(headerBytes + body.length)
      writeEnvelope(
        frame.target,
        at,
        {
          kind: Kind.DEVICE_PUSH,
          lane,
          srv: 0 as Srv,
          outcome: 0,
          bodyType: 0,
          attempt: 0,
          originator: noId,
          target,
          counter: id,
          time: receivedAt,
          deadline: 0,
          correlation: number,
        },
        body,
      )
      frame.count++
    }
    return frame.take()
  }

  private land(items: readonly Waiting[], reply: Buffer): void {
    const open = new Map(items.map((item) => [item.number, item]))
    try {
      forEachEnvelope(reply, 0, (at) => {
        const item = open.get(readCorrelation(reply, at))
        if (item === undefined || !open.delete(item.number)) return
        this.answered(item, errorCodeOf(readOutcome(reply, at)) ?? 'ENVELOPE_MALFORMED')
      })
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      this.options.log.error({ code: fault.code }, 'a host answered with what is not a frame')
    }
    this.inDoubt([...open.values()])
  }

  private answered(item: Waiting, code: ErrorCode): void {
    if (isForWantOfRoom(code)) this.retry(item)
    else this.end(item, code)
  }

  private inDoubt(items: readonly Waiting[]): void {
    for (const item of items)
      if (item.isKnownAgain) this.retry(item)
      else this.end(item, 'DEVICE_PUSH_DROPPED')
  }

  private retry(item: Waiting): void {
    const { clock } = this.options
    if (this.isClosed || clock.elapsedMs() >= item.dueMs)
      return this.end(item, 'DEVICE_PUSH_DROPPED')
    this.again.push(item)
    this.callOff ??= clock.at(clock.now() + limits.pushRetryMs, () => {
      this.callOff = undefined
      for (const one of this.again.splice(0)) this.route(one)
    })
  }

  private end(item: Waiting, code: ErrorCode): void {
    if (!this.waiting.delete(item.number)) return
    this.bytesWaiting -= item.bytes
    this.count(code)
    if (code === 'REQUEST_ACCEPTED') this.confirm(item)
  }

  private confirm({ confirm }: Waiting): void {
    try {
      confirm?.()
    } catch (fault) {
      this.options.log.error({ fault: String(fault) }, 'a push could not be confirmed')
    }
  }

  /** Never what it said; `from` is where it came from. */
  private count(outcome: ErrorCode, from?: string): void {
    const { metrics, log, clock } = this.options
    let counter = this.ended.get(outcome)
    if (counter === undefined) {
      counter = metrics.counter(
        'busbar_wan_pushes_ended_total',
        'Unsolicited messages of devices, by what became of them: REQUEST_ACCEPTED, or why it was not delivered',
        { outcome },
      )
      this.ended.set(outcome, counter)
    }
    counter.add()
    if (outcome === 'REQUEST_ACCEPTED') return
    this.untold++
    const now = clock.elapsedMs()
    if (now - this.toldAtMs < limits.pushRefusalLogMs) return
    log.warn(
      { code: outcome, count: this.untold, ...(from && { from }) },
      'unsolicited messages of devices were not delivered; the last of them for this reason',
    )
    this.toldAtMs = now
    this.untold = 0
  }
}

function isForWantOfRoom(code: ErrorCode): boolean {
  return code.startsWith('BROKER_') && errorTable[code].retry === 'later'
}

/** Ciphered, so that it has an invocation counter which the actor remembers. */
function isCounted(apduBytes: Buffer): boolean {
  const tag = apduBytes[0]
  return tag !== undefined && shapeOfTag(tag) !== Shape.PLAIN
}
