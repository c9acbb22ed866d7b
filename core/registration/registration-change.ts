/**
 * What is to be registered at a meter point: the body of a METER_POINT_REGISTRATION envelope, which
 * doors and readers of registration files write; and the form of an item in facts and states.
 */
import { Packr } from 'msgpackr'
import { BrokerError } from '../base/broker-error.ts'
import { copyOf } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { parseMeterPoint } from './meter-point.ts'
import type { ItemKind, RegistrationItem } from './registration-record.ts'
import { isDay, itemKinds, type KnownItem } from './registrations.ts'

export type RegistrationChange = {
  /** Who or what registers it, for people. */
  by: string
  order: RegistrationOrder
  items: readonly RegistrationItem[]
}

/**
 * Where a change stands among those of its source. A meter point takes nothing that does not come
 * behind what it has of that source: a frame that comes late, or twice, changes nothing.
 */
export type RegistrationOrder = {
  /** The registration system, or `operator`. */
  readonly source: string
  /** Of its file; of an operator the time, UTC ms. */
  readonly sequence: number
  /** Within the file. */
  readonly instruction: number
}

export const isBehind = (a: RegistrationOrder, b: RegistrationOrder): boolean =>
  a.sequence > b.sequence || (a.sequence === b.sequence && a.instruction > b.instruction)

/** `[source, sequence, instruction]` */
export type PackedOrder = [string, number, number]
export const packedOrder = ({ source, sequence, instruction }: RegistrationOrder): PackedOrder => [
  source,
  sequence,
  instruction,
]
export const orderIn = ([source, sequence, instruction]: PackedOrder): RegistrationOrder => ({
  source,
  sequence,
  instruction,
})

/** `[index of the item, value, from, to or 0]` */
export type PackedItem = [number, string, number, number]

const packr = new Packr({ useRecords: false })
const bodyVersion = 1

export const packedItem = ({ item, value, from, to }: RegistrationItem): PackedItem => [
  itemKinds.indexOf(item),
  value,
  from,
  to ?? 0,
]

/** @throws BrokerError ENVELOPE_MALFORMED */
export function itemIn([index, value, from, to]: PackedItem, receivedAtMs: number): KnownItem {
  const item = itemKinds[index]
  if (item === undefined) throw new BrokerError('ENVELOPE_MALFORMED', 'an item of a meter point')
  return { item, value, from, ...(to !== 0 && { to }), receivedAtMs }
}

export const encodeRegistrationChange = ({ by, order, items }: RegistrationChange): Buffer =>
  copyOf(packr.pack([bodyVersion, by, packedOrder(order), items.map(packedItem)]))

/** @throws BrokerError REGISTRATION_MALFORMED, saying what is wrong */
export function decodeRegistrationChange(view: Uint8Array): RegistrationChange {
  let tree: unknown
  try {
    tree = packr.unpack(view)
  } catch {
    tree = undefined
  }
  const [version, by, order, packed] = Array.isArray(tree) ? (tree as unknown[]) : []
  if (version !== bodyVersion || !Array.isArray(packed) || !Array.isArray(order))
    throw malformed('no registration')
  const items = packed.map((one: unknown): unknown => {
    const [index, value, from, to] = Array.isArray(one) ? (one as unknown[]) : []
    return { item: itemKinds[Number(index)], value, from, ...(to !== 0 && { to }) }
  })
  return registrationChangeOf({ by, ...orderIn(order as PackedOrder), items }, 0)
}

/**
 * Reads `{ "by": …, "items": [{ "item": …, "value": …, "from": …, "to": … }, …] }`, strictly, with
 * `source`, `sequence` and `instruction`; without a source it is of an operator, `nowMs`.
 * @throws BrokerError REGISTRATION_MALFORMED, saying what is wrong
 */
export function registrationChangeOf(json: unknown, nowMs: number): RegistrationChange {
  const { by, items, source, sequence, instruction, ...others } = objectIn(json, 'a registration')
  expectNone(others, 'a registration')
  if (typeof by !== 'string' || by === '' || Buffer.byteLength(by) > limits.operatorNameBytesMax)
    throw malformed(`by must say who registers it, in ${limits.operatorNameBytesMax} octets`)
  const count = limits.registrationItemsPerRecordMax
  if (!Array.isArray(items) || items.length === 0 || items.length > count)
    throw malformed(`items must be a list of 1 to ${count}`)
  const isOperators = source === undefined
  const order = isOperators
    ? { source: 'operator', sequence: nowMs, instruction: 0 }
    : { source, sequence, instruction: instruction ?? 0 }
  if (!isOrder(order)) throw malformed(orderWords)
  return { by, order, items: items.map(registrationItemOf) }
}

const orderWords =
  'source must be one to ten letters or digits, sequence and instruction whole numbers'

const isOrder = (order: Record<keyof RegistrationOrder, unknown>): order is RegistrationOrder =>
  typeof order.source === 'string' &&
  /^[A-Za-z0-9]{1,10}$/.test(order.source) &&
  Number.isSafeInteger(order.sequence) &&
  Number.isSafeInteger(order.instruction)

function registrationItemOf(json: unknown, index: number): RegistrationItem {
  const where = `item ${index + 1}`
  const { item, value, from, to, ...others } = objectIn(json, where)
  expectNone(others, where)
  const name = itemKinds.find((word) => word === item)
  if (name === undefined) throw malformed(`${where}: item must be one of ${itemKinds.join(', ')}`)
  if (typeof value !== 'string' || !isValueOf(name, value))
    throw malformed(`${where}: value must be ${valueWords[name]}`)
  if (!isDay(from)) throw malformed(`${where}: from must be a day YYYYMMDD`)
  if (to === undefined || to === null) return { item: name, value, from }
  if (!isDay(to) || to < from) throw malformed(`${where}: to must be a day, not before from`)
  return { item: name, value, from, to }
}

const participant = 'a market participant id: one to four capital letters or digits'
const valueWords: Readonly<Record<ItemKind, string>> = {
  supplier: participant,
  'network-operator': participant,
  agent: participant,
  energisation: 'E or D',
  'profile-class': 'two digits',
  domestic: 'T or F',
  direction: 'I or E',
  related: 'a meter point',
}
const patterns: Readonly<Partial<Record<ItemKind, RegExp>>> = {
  supplier: /^[A-Z0-9]{1,4}$/,
  'network-operator': /^[A-Z0-9]{1,4}$/,
  agent: /^[A-Z0-9]{1,4}$/,
  energisation: /^[ED]$/,
  'profile-class': /^\d\d$/,
  domestic: /^[TF]$/,
  direction: /^[IE]$/,
}

/** True for a value that an item of this name may have. */
export const isValueOf = (name: ItemKind, value: string): boolean =>
  patterns[name]?.test(value) ?? parseMeterPoint(value) !== undefined

function objectIn(json: unknown, what: string): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw malformed(`${what} is an object`)
  return json as Record<string, unknown>
}

function expectNone(others: Record<string, unknown>, where: string): void {
  const [name] = Object.keys(others)
  if (name !== undefined)
    throw malformed(`${where}: ${JSON.stringify(name.slice(0, 40))} is not a field`)
}

const malformed = (detail: string): BrokerError => new BrokerError('REGISTRATION_MALFORMED', detail)
