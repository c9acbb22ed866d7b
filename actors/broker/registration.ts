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
import type { ErrorCode } from '../../core/base/error-table.ts'
import { bytesOfEui64, textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { askActors, type ActorMailPorts, type Question } from '../../core/bus/actor-mail.ts'
import {
  encodeDeviceRecord,
  type DeviceEntry,
  type DeviceRecord,
} from '../../core/inventory/device-record.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { nextTurn } from '../../core/ports/clock.ts'
import { Secret } from '../../core/crypto/crypto.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import { readCounters, type PartyCounters } from '../device/counters-reset.ts'

export type RegistrationPorts = ActorMailPorts
export type RegistrationResult = {
  registered: number
  /** `index` is the place in the list that was given, from 0. Rising. */
  refused: Array<{ index: number; eui64: string; code: ErrorCode }>
}

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
      const bodyBytes = encodeDeviceRecord(sealedRecordOf(entry, ports.keys))
      questions.push({ kind: Kind.DEVICE_REGISTRATION, target: entry.key, bodyBytes })
      indexes.push(index)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      refused.push({ index, eui64: textOfEui64(entry.key), code: fault.code })
    }
  }
  for (const one of await ask(questions, ports))
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
  const question = { kind: Kind.KEYS_REPLACEMENT, bodyBytes: emptyBytes }
  const refused = await ask(
    devices.map((target) => ({ ...question, target })),
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
  const bodyBytes = Buffer.alloc(5)
  bodyBytes.writeUIntBE(next ?? 0, 0, 5)
  const question = { kind: Kind.COUNTER_ACCEPTANCE, bodyBytes }
  const refused = await ask(
    devices.map((target) => ({ ...question, target })),
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
  const question = { kind: Kind.COUNTERS_QUERY, target: device, bodyBytes: emptyBytes }
  let counters: PartyCounters[] = []
  const asked = party === undefined ? question : { ...question, originator: bytesOfEui64(party) }
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
  const bodyBytes = Buffer.from(by, 'utf8')
  const question = { kind: Kind.COUNTERS_RESET, target: device, bodyBytes, counter: to }
  await askOne({ ...question, originator: bytesOfEui64(party) }, ports)
}

/**
 * Removes `device` from the inventory; settles when that is on disk. Its open requests end with
 * DEVICE_REMOVED. `by` says who wants it, and stands in the ledger.
 * @returns false when it was removed before: by somebody else, or at an attempt of this call whose
 * answer was lost
 * @throws BrokerError DEVICE_UNKNOWN for one that was never registered; VIEW_QUERY_INVALID
 */
export async function removeDevice(
  device: Eui64,
  by: string,
  ports: RegistrationPorts,
): Promise<boolean> {
  const bodyBytes = Buffer.from(by, 'utf8')
  const [refused] = await ask([{ kind: Kind.DEVICE_REMOVAL, target: device, bodyBytes }], ports)
  if (refused === undefined) return true
  if (refused.code === 'DEVICE_REMOVED') return false
  throw new BrokerError(refused.code, refused.eui64)
}

/** @throws BrokerError with why the actor refuses */
async function askOne(
  question: Question,
  ports: RegistrationPorts,
  onAnswer?: (answer: Buffer, at: number) => void,
): Promise<void> {
  const [refused] = await ask([question], ports, onAnswer)
  if (refused !== undefined) throw new BrokerError(refused.code, refused.eui64)
}

/** Settles with those that were not accepted. */
async function ask(
  questions: readonly Question[],
  ports: RegistrationPorts,
  onAnswer?: (answer: Buffer, at: number) => void,
): Promise<RegistrationResult['refused']> {
  const refused = await askActors(questions, ports, onAnswer)
  return refused.map(({ index, code }) => ({
    index,
    eui64: textOfEui64(questions[index]!.target),
    code,
  }))
}
