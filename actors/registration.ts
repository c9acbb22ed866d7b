/**
 * Tells the devices' actors what the inventory says of them: the same way that requests take, from the operator's side.
 * Registering a device again with the same record changes nothing; with another, the record is replaced.
 */
import { BrokerError } from '../core/base/broker-error.ts'
import { fnv1a32 } from '../core/base/bytes.ts'
import { errorCodeOf, type ErrorCode } from '../core/base/error-table.ts'
import { bytesOfEui64Key, formatEui64Key } from '../core/base/eui64.ts'
import { Lane } from '../core/base/lane.ts'
import { limits } from '../core/base/limits.ts'
import type { Srv } from '../core/base/srv.ts'
import { encodeDeviceRecord, type DeviceEntry } from '../core/catalogue/device-record.ts'
import { readCorrelation, readOutcome, writeEnvelope } from '../core/envelope/envelope.ts'
import { forEachEnvelope, FrameWriter } from '../core/envelope/frame.ts'
import { headerBytes, Kind } from '../core/envelope/layout.ts'
import { hostSubject, type Bus, type OwnerDirectory } from '../core/ports/bus.ts'
import type { Clock } from '../core/ports/clock.ts'

export type RegistrationPorts = { bus: Bus; directory: OwnerDirectory; clock: Clock }
export type RegistrationResult = {
  registered: number
  refused: Array<{ eui64: string; code: ErrorCode }>
}

const noId = Buffer.alloc(8)
const attemptsMax = 10

/** Settles when every entry is on disk or refused. At most `requestsPerBatchMax` entries. */
export async function registerDevices(
  entries: readonly DeviceEntry[],
  { bus, directory, clock }: RegistrationPorts,
): Promise<RegistrationResult> {
  if (entries.length > limits.requestsPerBatchMax) {
    throw new BrokerError('REQUEST_SIZE_EXCEEDED', `${entries.length} devices`)
  }
  const codes = new Map<number, ErrorCode>()
  let open = entries.map((_, index) => index)
  for (let attempt = 1; open.length > 0 && attempt <= attemptsMax; attempt++) {
    const frames = new Map<string, FrameWriter>()
    const orphan = open.find((index) => {
      const partition = fnv1a32(bytesOfEui64Key(entries[index]!.key)) % directory.partitionCount
      const owner = directory.ownerOf(partition)
      if (owner === undefined) return true
      const frame = frames.get(owner) ?? new FrameWriter()
      frames.set(owner, frame)
      write(frame, entries[index]!, index, clock.now())
      return false
    })
    if (orphan !== undefined) {
      const partition = fnv1a32(bytesOfEui64Key(entries[orphan]!.key)) % directory.partitionCount
      await directory.changed(partition, undefined, limits.unavailableRetryMs)
      continue
    }
    await Promise.all(
      Array.from(frames, async ([owner, frame]) => {
        try {
          const answer = await bus.request(
            hostSubject(owner),
            frame.take(),
            limits.acknowledgementWaitMsMax,
          )
          forEachEnvelope(answer, 0, (at) => {
            codes.set(
              readCorrelation(answer, at),
              errorCodeOf(readOutcome(answer, at)) ?? 'ENVELOPE_MALFORMED',
            )
          })
        } catch (fault) {
          if (!(fault instanceof BrokerError)) throw fault
        }
      }),
    )
    open = open.filter((index) => isToBeTriedAgain(codes.get(index)))
    if (open.length > 0) await pause(clock, limits.unavailableRetryMs)
  }
  const refused = entries.flatMap(({ key }, index) => {
    const code = codes.get(index) ?? 'BROKER_PARTITION_UNAVAILABLE'
    return code === 'REQUEST_ACCEPTED' ? [] : [{ eui64: formatEui64Key(key), code }]
  })
  return { registered: entries.length - refused.length, refused }
}

function isToBeTriedAgain(code: ErrorCode | undefined): boolean {
  return (
    code === undefined ||
    code === 'BROKER_PARTITION_UNAVAILABLE' ||
    code === 'BROKER_PARTITION_BUSY'
  )
}

function write(frame: FrameWriter, entry: DeviceEntry, correlation: number, now: number): void {
  const body = encodeDeviceRecord(entry.record)
  const at = frame.reserve(headerBytes + body.length)
  const target = bytesOfEui64Key(entry.key)
  writeEnvelope(
    frame.target,
    at,
    {
      kind: Kind.DEVICE_REGISTRATION,
      lane: Lane.BULK,
      srv: 0 as Srv,
      outcome: 0,
      bodyType: 0,
      attempt: 0,
      originator: noId,
      target,
      counter: 0n,
      time: now,
      deadline: 0,
      correlation,
    },
    body,
  )
  frame.count++
}

const pause = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => void clock.at(clock.now() + ms, resolve))
