/**
 * Tells the devices' actors what the inventory says of them, and what operators want done with
 * their keys: the same way that requests take, from the operator's side. Registering a device again
 * with the same record changes nothing; with another, the record is replaced.
 *
 * This is the door at which keys and secrets are sealed: nothing behind it sees them in the clear
 * but exchanges.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { partitionOf } from '../../core/envelope/partition.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import { bytesOfEui64, textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import type { Srv } from '../../core/base/srv.ts'
import {
  encodeDeviceRecord,
  type DeviceEntry,
  type DeviceRecord,
} from '../../core/inventory/device-record.ts'
import {
  readBodyView,
  readCorrelation,
  readKind,
  readOutcome,
  writeEnvelope,
} from '../../core/envelope/envelope.ts'
import { forEachEnvelope, FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'
import { hostSubject, type Bus, type OwnerDirectory } from '../../core/ports/bus.ts'
import { nextTurn, pause, type Clock } from '../../core/ports/clock.ts'
import { Secret } from '../../core/crypto/crypto.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import { readCounters, type PartyCounters } from '../device/counters-reset.ts'

export type RegistrationPorts = { bus: Bus; directory: OwnerDirectory; clock: Clock }
export type RegistrationResult = {
  registered: number
  /** `index` is the place in the list that was given, from 0. Rising. */
  refused: Array<{ index: number; eui64: string; code: ErrorCode }>
}

const noId = Buffer.alloc(8)
/** Entries that are sealed before others have the thread: some ms. */
const entriesPerTurn = 25

/** Settles when every entry is on disk or refused. At most `requestsPerBatchMax` entries. */
export async function registerDevices(
  entries: readonly DeviceEntry[],
  ports: RegistrationPorts & { keys: KeyVault },
): Promise<RegistrationResult> {
  const questions: Question[] = []
  const refused: RegistrationResult['refused'] = []
  const indexes: number[] = []
  for (const [index, entry] of entries.entries()) {
    if (index > 0 && index % entriesPerTurn === 0) await nextTurn()
    try {
      const body = encodeDeviceRecord(sealedRecordOf(entry, ports.keys))
      questions.push({ kind: Kind.DEVICE_REGISTRATION, device: entry.key, body })
      indexes.push(index)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      refused.push({ index, eui64: textOfEui64(entry.key), code: fault.code })
    }
  }
  for (const one of await askActors(questions, ports))
    refused.push({ ...one, index: indexes[one.index]! })
  refused.sort((a, b) => a.index - b.index)
  return { registered: entries.length - refused.length, refused }
}

/** Keys and secret are sealed together. */
function sealedRecordOf({ key, record, keys }: DeviceEntry, vault: KeyVault): DeviceRecord {
  const { secret, ...address } = record.address
  if (keys === undefined && secret === undefined) return record
  const all = { ...keys, ...(secret && { secret: new Secret(secret) }) }
  return { ...record, address, sealedKeys: vault.seal(key, all) }
}

export type ReplacementResult = { started: number; refused: RegistrationResult['refused'] }

/**
 * Settles when each device has new keys on disk, which are on their way to it from then on, or has
 * refused.
 */
export async function replaceKeys(
  devices: readonly Eui64[],
  ports: RegistrationPorts,
): Promise<ReplacementResult> {
  const question = { kind: Kind.KEYS_REPLACEMENT, body: emptyBytes }
  const refused = await askActors(
    devices.map((device) => ({ ...question, device })),
    ports,
  )
  return { started: devices.length - refused.length, refused }
}

export type AcceptanceResult = { accepted: number; refused: RegistrationResult['refused'] }

/**
 * Settles when the counter of each device is accepted as it is now, as a fact on the ledger:
 * answers with a counter below the last one are taken again, once. `next` is the lowest counter
 * that Busbar sends with from then on; without it, the next one that was never reserved.
 */
export async function acceptCounters(
  devices: readonly Eui64[],
  next: number | undefined,
  ports: RegistrationPorts,
): Promise<AcceptanceResult> {
  const body = Buffer.alloc(5)
  body.writeUIntBE(next ?? 0, 0, 5)
  const question = { kind: Kind.COUNTER_ACCEPTANCE, body }
  const refused = await askActors(
    devices.map((device) => ({ ...question, device })),
    ports,
  )
  return { accepted: devices.length - refused.length, refused }
}

/**
 * The counter in the body of a call to accept one, undefined when it names none.
 * @throws BrokerError CONFIG_INVALID when it is no counter of 32 bits
 */
export function counterIn(body: unknown): number | undefined {
  const { counter } = (body ?? {}) as { counter?: unknown }
  if (counter === undefined || counter === null) return undefined
  if (
    typeof counter !== 'number' ||
    !Number.isInteger(counter) ||
    counter < 0 ||
    counter > 0xffff_ffff
  )
    throw new BrokerError('CONFIG_INVALID', 'counter is a whole number below 4294967296')
  return counter
}

/** Counters of `party` at `device`, or of all parties. @throws BrokerError DEVICE_UNKNOWN */
export async function countersOf(
  device: Eui64,
  party: Eui64 | undefined,
  ports: RegistrationPorts,
): Promise<PartyCounters[]> {
  const question = { kind: Kind.COUNTERS_QUERY, device, body: emptyBytes }
  let counters: PartyCounters[] = []
  const asked = party === undefined ? question : { ...question, party: bytesOfEui64(party) }
  await askOne(asked, ports, (answer, at) => {
    if (readKind(answer, at) === Kind.COUNTERS) counters = readCounters(readBodyView(answer, at))
  })
  return counters
}

/**
 * Sets highest counter and floor of `party` at `device` to `to`, 0 for none; `by` says who wants
 * it, and stands in the ledger.
 * @throws BrokerError DEVICE_UNKNOWN, COUNTERS_PARTY_UNKNOWN, VIEW_QUERY_INVALID
 */
export async function resetCounters(
  { device, party, to, by }: { device: Eui64; party: Eui64; to: bigint; by: string },
  ports: RegistrationPorts,
): Promise<void> {
  const body = Buffer.from(by, 'utf8')
  const question = { kind: Kind.COUNTERS_RESET, device, body, counter: to }
  await askOne({ ...question, party: bytesOfEui64(party) }, ports)
}

/**
 * Removes `device` from the inventory; settles when that is on disk. Its open requests end with
 * DEVICE_REMOVED. `by` says who wants it, and stands in the ledger.
 * @throws BrokerError DEVICE_UNKNOWN, also when it was removed before; VIEW_QUERY_INVALID
 */
export async function removeDevice(
  device: Eui64,
  by: string,
  ports: RegistrationPorts,
): Promise<void> {
  await askOne({ kind: Kind.DEVICE_REMOVAL, device, body: Buffer.from(by, 'utf8') }, ports)
}

/** @throws BrokerError with why the actor refuses */
async function askOne(
  question: Question,
  ports: RegistrationPorts,
  onAnswer?: (answer: Buffer, at: number) => void,
): Promise<void> {
  const [refused] = await askActors([question], ports, onAnswer)
  if (refused !== undefined) throw new BrokerError(refused.code, refused.eui64)
}

/** What an operator wants of one device. */
type Question = { kind: Kind; device: Eui64; body: Buffer; party?: Buffer; counter?: bigint }

/** Settles with those that were not accepted. */
async function askActors(
  questions: readonly Question[],
  { bus, directory, clock }: RegistrationPorts,
  onAnswer: (answer: Buffer, at: number) => void = () => undefined,
): Promise<RegistrationResult['refused']> {
  if (questions.length > limits.requestsPerBatchMax) {
    throw new BrokerError('REQUEST_SIZE_EXCEEDED', `${questions.length} devices`)
  }
  const partitionFor = (index: number): number =>
    partitionOf(questions[index]!.device, directory.partitionCount)
  const codes = new Map<number, ErrorCode>()
  let open = questions.map((_, index) => index)
  for (let attempt = 1; open.length > 0 && attempt <= limits.registrationAttemptsMax; attempt++) {
    const frames = new Map<string, FrameWriter>()
    const orphan = open.find((index) => {
      const owner = directory.ownerOf(partitionFor(index))
      if (owner === undefined) return true
      const frame = frames.get(owner) ?? new FrameWriter()
      frames.set(owner, frame)
      write(frame, questions[index]!, index, clock.now())
      return false
    })
    if (orphan !== undefined) {
      await directory.changed(partitionFor(orphan), undefined, limits.unavailableRetryMs)
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
            onAnswer(answer, at)
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
  return questions.flatMap(({ device }, index) => {
    const code = codes.get(index) ?? 'BROKER_PARTITION_UNAVAILABLE'
    return code === 'REQUEST_ACCEPTED' || code === 'OK'
      ? []
      : [{ index, eui64: textOfEui64(device), code }]
  })
}

function isToBeTriedAgain(code: ErrorCode | undefined): boolean {
  return (
    code === undefined ||
    code === 'BROKER_PARTITION_UNAVAILABLE' ||
    code === 'BROKER_PARTITION_BUSY'
  )
}

function write(
  frame: FrameWriter,
  { kind, device, body, party = noId, counter = 0n }: Question,
  correlation: number,
  now: number,
): void {
  const at = frame.reserve(headerBytes + body.length)
  const target = bytesOfEui64(device)
  writeEnvelope(
    frame.target,
    at,
    {
      kind,
      lane: Lane.BULK,
      srv: 0 as Srv,
      outcome: 0,
      bodyType: 0,
      attempt: 0,
      originator: party,
      target,
      counter,
      time: now,
      deadline: 0,
      correlation,
    },
    body,
  )
  frame.count++
}
