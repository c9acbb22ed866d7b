/**
 * What one core decides, folds and commits, with nothing else in the way; against a Map in which
 * each message is noted.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { encodeDeviceRecord } from '../../core/inventory/device-record.ts'
import { readCounter, readTarget, writeEnvelope } from '../../core/envelope/envelope.ts'
import { forEachEnvelope, FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'
import { hostSubject } from '../../core/ports/bus.ts'
import { SimPartitionStore } from '../../core/ports/sim/store.ts'
import { median } from '../harness.ts'
import { cpuMsNow } from './cpu-time.ts'
import { deviceBytes, deviceEntry, writeRequest } from './estate.ts'
import { localHost, localHostId } from './local-host.ts'

const devices = 20_000
const envelopesPerFrame = 500
const framesInFlight = 8

export type Decisions = {
  /** A request is two messages: it arrives, and its device answers. */
  messagesPerCpuSecond: number
  mapUpdatesPerCpuSecond: number
  ratio: number
}

/** `messages` in five turns. */
export async function measureDecisions(messages: number): Promise<Decisions> {
  const { host, bus, ledger } = localHost(() => new SimPartitionStore())
  await host.start()
  const ask = (frame: Buffer): Promise<unknown> =>
    bus.request(hostSubject(localHostId), frame, 60_000)
  const deadline = Date.now() + limits.requestLifetimeMsMax
  const perTurn = Math.min(devices, Math.ceil(messages / 10))
  for (const frame of registrations(perTurn)) await ask(frame)
  const ofBusbar: number[] = []
  const ofMap: number[] = []
  const noted = new Map<Eui64, { count: number; counter: bigint }>()
  // The first turn warms up.
  for (let turn = 0; turn <= 5; turn++) {
    const frames = requests(perTurn, turn + 1, deadline)
    const before = ledger.deliveries
    const from = cpuMsNow()
    await Promise.all(
      Array.from({ length: framesInFlight }, async (_, first) => {
        for (let i = first; i < frames.length; i += framesInFlight) await ask(frames[i]!)
      }),
    )
    while (ledger.deliveries < before + perTurn) await wait(1)
    const between = cpuMsNow()
    for (let twice = 0; twice < 2; twice++)
      for (const frame of frames) forEachEnvelope(frame, 0, (at) => note(noted, frame, at))
    const to = cpuMsNow()
    if (turn === 0) continue
    ofBusbar.push((2 * perTurn * 1_000) / (between - from))
    ofMap.push((2 * perTurn * 1_000) / (to - between))
  }
  await host.close()
  const messagesPerCpuSecond = median(ofBusbar)
  const mapUpdatesPerCpuSecond = median(ofMap)
  return {
    messagesPerCpuSecond,
    mapUpdatesPerCpuSecond,
    ratio: messagesPerCpuSecond / mapUpdatesPerCpuSecond,
  }
}

function note(
  noted: Map<Eui64, { count: number; counter: bigint }>,
  frame: Buffer,
  at: number,
): void {
  const device = readTarget(frame, at)
  const known = noted.get(device)
  const counter = readCounter(frame, at)
  if (known === undefined) noted.set(device, { count: 1, counter })
  else {
    known.count++
    known.counter = counter
  }
}

function requests(count: number, counter: number, deadline: number): Buffer[] {
  return frames(count, (frame, index) =>
    writeRequest(frame, index, Kind.SERVICE_REQUEST, counter, deadline),
  )
}

function registrations(count: number): Buffer[] {
  return frames(count, (frame, index) => {
    const body = encodeDeviceRecord(deviceEntry(index).record)
    const at = frame.reserve(headerBytes + body.length)
    const header = {
      kind: Kind.DEVICE_REGISTRATION,
      lane: Lane.BULK,
      srv: 0 as Srv,
      outcome: 0,
      bodyType: 0,
      attempt: 0,
      originator: Buffer.alloc(8),
      target: deviceBytes(index),
      counter: 0n,
      time: 0,
      deadline: 0,
      correlation: index,
    }
    writeEnvelope(frame.target, at, header, body)
    frame.count++
  })
}

function frames(count: number, write: (frame: FrameWriter, index: number) => void): Buffer[] {
  const all: Buffer[] = []
  const writer = new FrameWriter()
  for (let index = 0; index < count; index++) {
    write(writer, index)
    if (writer.count === envelopesPerFrame || index + 1 === count) all.push(writer.take())
  }
  return all
}
