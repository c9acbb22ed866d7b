/**
 * What is to be registered at a meter point: the body of a METER_POINT_REGISTRATION envelope, which
 * doors and readers of registration files write; and the form of an item in facts and states.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { isItemValue } from './item-values.ts'
import { parseMeterPoint } from './meter-point.ts'
import type { ItemKind, RegistrationItem } from './registration-record.ts'
import { isDay } from './days.ts'
import { itemKinds, type KnownItem } from './registrations.ts'
import { packTree, readTree } from './versioned-tree.ts'

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
  packTree(by, packedOrder(order), items.map(packedItem))

/**
 * @throws BrokerError REGISTRATION_MALFORMED, saying what is wrong; FORMAT_VERSION_LATER,
 * ENVELOPE_MALFORMED
 */
export const decodeRegistrationChange = (view: Uint8Array): RegistrationChange =>
  readTree(view, 'a registration', (members) => {
    const [by, order, items] = members as [string, PackedOrder, PackedItem[]]
    return registrationChangeOf({ by, ...orderIn(order), items: items.map(givenItem) }, 0)
  })

const givenItem = ([index, value, from, to]: PackedItem): unknown => ({
  item: itemKinds[index],
  value,
  from,
  ...(to !== 0 && { to }),
})

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
  if (typeof value !== 'string' || !isGivenValue(name, value))
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
  'profile-class': '00 to 08',
  domestic: 'T or F',
  direction: 'I or E',
  related: 'a meter point',
}

/** A related meter point is named as all are outside files, with its fuel. */
const isGivenValue = (kind: ItemKind, value: string): boolean =>
  kind === 'related' ? parseMeterPoint(value) !== undefined : isItemValue(kind, value)

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
