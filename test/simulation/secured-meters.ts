/**
 * What meters under a security suite add to a life: each has the keys of one set, refuses all
 * others and counters that it has seen, and takes new keys when they come. They show that no
 * counter value is used twice with a key, none before it was reserved on the ledger, and that
 * nobody is locked out.
 */
import type { DeviceFact } from '../../actors/device/facts.ts'
import { asBuffer } from '../../core/base/bytes.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { decodeDeviceRecord, type DeviceRecord } from '../../core/inventory/device-record.ts'
import { decodeValue } from '../../core/dlms/index.ts'
import { unwrapKey, type SecretKey } from '../../core/crypto/crypto.ts'
import { keyMarkOf } from '../../core/crypto/sealed-keys.ts'
import type { CosemOperation, CountersUsed, ExchangeSecurity } from '../../core/ports/wan.ts'
import type { MeterPointId } from '../../core/registration/meter-point.ts'
import { deviceKey, plainRecord } from '../support/envelopes.ts'
import { securedRecord, suite0Keys, vault } from '../support/keys.ts'
import { addressOf, meterCount } from './names.ts'

export const isSecured = (meter: number): boolean => meter % 2 === 1

/** What the operator registers; the door seals the keys. */
export function entryOf(meter: number, meterPoints: readonly MeterPointId[] = []) {
  const key = deviceKey(meter)
  const address = addressOf(meter)
  const linked = meterPoints.length > 0 && { meterPoints }
  if (!isSecured(meter)) return { key, record: { ...plainRecord, address, ...linked } }
  const { type, address: secured } = securedRecord(key)
  const record: DeviceRecord = {
    type,
    address: { ...secured, ...address },
    ...linked,
  }
  return { key, record, keys: suite0Keys }
}

const securitySetup = 64
export const isOfKeys = ([operation]: readonly CosemOperation[]): boolean =>
  operation !== undefined && asBuffer(operation.descriptor).readUInt16BE(0) === securitySetup
const isTransfer = ([operation]: readonly CosemOperation[]): boolean => operation?.kind === 'action'

const markOf = (device: Eui64, unicast: SecretKey): string =>
  keyMarkOf(vault.seal(device, { unicast }))

/** One that was on its way when faults stopped, and the one that tells. */
const refusalsInCalmMax = 2

/** Place of the current set while the device is not registered. */
const removed = 0

type Known = { sets: Map<number, string>; current: number; isInDoubt: boolean }

export class SecuredMeters {
  private readonly marks = new Map<number, string>()
  private readonly highest = new Map<string, number>()
  private readonly used = new Map<string, Array<readonly [from: number, to: number]>>()
  /** By mark, as the ledger says. */
  private readonly reservedTo = new Map<string, number>()
  private readonly known = new Map<Eui64, Known>()
  private readonly refusalsInCalm = new Map<number, number>()
  private readonly fault: (what: string) => void
  /** Keys that were taken into use. */
  changedCount = 0

  constructor(fault: (what: string) => void) {
    this.fault = fault
    for (let meter = 0; meter < meterCount; meter++)
      if (isSecured(meter)) this.marks.set(meter, markOf(deviceKey(meter), suite0Keys.unicast!))
  }

  /** An exchange goes out with `count` of its counters, if there are so many. */
  use({ device, sealedKeys, counters }: ExchangeSecurity, count: number): CountersUsed {
    const { from, to, received } = counters
    const mark = keyMarkOf(sealedKeys)
    const next = Math.min(from + count, to)
    const before = this.used.get(mark) ?? []
    for (const [start, end] of before)
      if (from < end && start < next)
        this.fault(`counters ${from} to ${next} of ${nameOf(device)} used twice`)
    if (next > (this.reservedTo.get(mark) ?? 0))
      this.fault(`counters up to ${next} of ${nameOf(device)} used before they were reserved`)
    this.used.set(mark, [...before, [from, next]])
    return { next, received }
  }

  /** Why meter number `meter` does not answer, or undefined. Takes note of the counters. */
  refusal(
    meter: number,
    { sealedKeys, counters: { from } }: ExchangeSecurity,
    next: number,
  ): { expected?: number } | undefined {
    const mark = keyMarkOf(sealedKeys)
    if (this.marks.get(meter) !== mark) return {}
    const highest = this.highest.get(mark) ?? -1
    if (from <= highest) return { expected: highest + 1 }
    this.highest.set(mark, next - 1)
    return undefined
  }

  /**
   * Nothing goes wrong any more, and the meter refuses a counter: the next exchange begins above
   * what it said.
   */
  refusedInCalm(meter: number): void {
    const count = (this.refusalsInCalm.get(meter) ?? 0) + 1
    this.refusalsInCalm.set(meter, count)
    if (count > refusalsInCalmMax)
      this.fault(
        `meter ${meter} has said ${count} times which counter it expects, and is not heard`,
      )
  }

  /** Another head-end sends `count` counters to a meter; false when it has no keys. */
  moveOn(meter: number, count: number): boolean {
    const mark = this.marks.get(meter)
    if (mark === undefined) return false
    this.highest.set(mark, (this.highest.get(mark) ?? -1) + count)
    return true
  }

  /** Carries out an operation on its security setup. */
  carryOut(meter: number, operations: readonly CosemOperation[]): void {
    if (!isTransfer(operations)) return
    const transferred = decodeValue(Buffer.from(operations[0]!.value!)) as unknown as Transfer
    const unicast = transferred.elements.find(({ elements: [id] }) => id!.value === 0)!
    const key = unwrapKey(suite0Keys.master!, unicast.elements[1]!.value as Buffer)!
    const mark = markOf(deviceKey(meter), key)
    if (this.marks.get(meter) !== mark) this.changedCount++
    this.marks.set(meter, mark)
  }

  /** What the ledger says. */
  readFact(device: Eui64, fact: DeviceFact): void {
    if (fact.type === 'DEVICE_REGISTERED' || fact.type === 'DEVICE_KEYED') {
      const { sealedKeys } = 'sealedKeys' in fact ? fact : decodeDeviceRecord(fact.recordBytes)
      const before = this.known.get(device)
      if (sealedKeys === undefined || (before !== undefined && before.current !== removed)) return
      const sets = before?.sets ?? new Map<number, string>()
      const current = sets.size + 1
      sets.set(current, keyMarkOf(sealedKeys))
      this.known.set(device, { sets, current, isInDoubt: false })
      return
    }
    const known = this.known.get(device)
    if (known === undefined) return
    switch (fact.type) {
      case 'COUNTERS_RESERVED':
        this.reservedTo.set(known.sets.get(fact.number)!, fact.to)
        return
      case 'KEYS_PENDING':
        known.sets.set(fact.number, keyMarkOf(fact.sealedKeys))
        known.isInDoubt = true
        return
      case 'KEYS_TRIED':
        known.isInDoubt = fact.stage !== 'RESTING'
        return
      case 'DEVICE_REMOVED':
        known.current = removed
        return
      case 'KEYS_PROVED':
        known.isInDoubt = false
        known.current = fact.number
        return
      default:
    }
  }

  /** Meters of which the ledger does not know which keys they have, or knows it wrongly. */
  lockedOut(): string[] {
    const out: string[] = []
    for (const [meter, mark] of this.marks) {
      const known = this.known.get(deviceKey(meter))
      if (known === undefined || known.current === removed) continue
      if (known.isInDoubt) out.push(`the keys of meter ${meter} are in doubt`)
      else if (known.sets.get(known.current) !== mark) out.push(`meter ${meter} is locked out`)
    }
    return out
  }
}

type Transfer = { elements: Array<{ elements: Array<{ value: unknown }> }> }
const nameOf = (device: Eui64): string => `meter ${Buffer.from(device, 'latin1').readUInt32BE(4)}`
