/**
 * Attributes and methods of COSEM objects in words: what a meter answered to a read, what is
 * written, what a method is given and returns. A-XDR on one side, named JSON on the other, by the
 * tables of classes/.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { decodeValue, encodeValue, hasFloatLength, Tag, type AxdrValue } from '../axdr/axdr.ts'
import {
  attributeOf,
  classOf,
  findClass,
  methodOf,
  versionsOf,
  type InterfaceClass,
} from './class-table.ts'
import { scaledFloatText, scaledText } from './decimal.ts'
import { meaningOf, type Note } from './reading.ts'
import { integerOfValue, type CosemType, type Json } from './type.ts'
import { unitNames, unitOf } from './units.ts'
import { valueOf } from './writing.ts'

/**
 * A member of a class: `version` as the object list says it. When it is not known, the newest one
 * that what is read or written fits; the newest when it fits none.
 */
export type MemberOf = { classId: number; version?: number | undefined }

/** A register's scaler_unit: ten to the `scaler`, and the unit's code. */
export type ScalerUnit = { scaler: number; unit: number }

export type Reading = {
  /** `Register`, or `class 9000`. */
  className: string
  /** `value`, or `attribute 200`. */
  name: string
  /** What was read, in the words of the attribute's type; raw where it does not fit. */
  json: Json
  /** What is odd. */
  notes: Note[]
  /** A register's value with its scaler applied, exact, and its unit. */
  scaled?: Scaled
}
/** `decimal` as `-12.50`; `unit` as `Wh`, empty for a count. */
export type Scaled = { decimal: string; unit: string }

// Attributes that the scaler_unit of the same object goes with. [4.3.2 to 4.3.4, 4.3.8, 4.5.11]
const scaledAttributes: { readonly [classId: number]: readonly string[] } = {
  3: ['value'],
  4: ['value'],
  5: ['current_average_value', 'last_average_value'],
  67: ['raw_value'],
}
/** The attribute of the class that holds its scaler_unit, undefined for classes without. */
export function scalerAttributeOf(classId: number): number | undefined {
  return findClass(classId, Number.MAX_SAFE_INTEGER)?.attributes.find(
    ({ name }) => name === 'scaler_unit',
  )?.id
}

/** True when a value of that attribute is to be multiplied by its object's scaler. */
export function isScaled(classId: number, attributeId: number): boolean {
  const name = findClass(classId, Number.MAX_SAFE_INTEGER)?.attributes[attributeId - 1]?.name
  return name !== undefined && (scaledAttributes[classId]?.includes(name) ?? false)
}

/**
 * What an answer to reading an attribute means. With `scalerUnit` a register's value is scaled too.
 * @throws BrokerError as `decodeValue` for octets that are no A-XDR
 */
export function readAttribute(
  of: MemberOf,
  attributeId: number,
  view: Buffer,
  scalerUnit?: ScalerUnit,
): Reading {
  const notes: Note[] = []
  // The tag, a length that should not be there, the content.
  const value = decodeValue(
    hasFloatLength(view) ? Buffer.concat([view.subarray(0, 1), view.subarray(2)]) : view,
  )
  const newest = knownClass(of, notes)
  const known =
    of.version === undefined && newest !== undefined
      ? (versionsOf(of.classId).find((version) => fits(value, version, attributeId)) ?? newest)
      : newest
  const attribute = known?.attributes[attributeId - 1]
  if (known !== undefined && attribute === undefined)
    notes.push({
      path: '',
      problem: 'attribute-unknown',
      detail: `${known.name} has no attribute ${attributeId}`,
    })
  const meaning = meaningOf(value, attribute?.type ?? 'any')
  const reading: Reading = {
    className: known?.name ?? `class ${of.classId}`,
    name: attribute?.name ?? `attribute ${attributeId}`,
    json: meaning.json,
    notes: [...notes, ...meaning.notes],
  }
  const scaled =
    scalerUnit !== undefined && isScaled(of.classId, attributeId)
      ? scaledValue(value, scalerUnit)
      : undefined
  if (scaled !== undefined) reading.scaled = scaled
  return reading
}

/** What a method gave back. @throws BrokerError as `decodeValue` */
export function readReturn(of: MemberOf, methodId: number, view: Buffer): Reading {
  const notes: Note[] = []
  const value = decodeValue(view)
  const known = knownClass(of, notes)
  const method = known?.methods[methodId - 1]
  if (known !== undefined && method === undefined)
    notes.push({
      path: '',
      problem: 'method-unknown',
      detail: `${known.name} has no method ${methodId}`,
    })
  const meaning = meaningOf(value, method?.returns ?? 'any')
  return {
    className: known?.name ?? `class ${of.classId}`,
    name: method?.name ?? `method ${methodId}`,
    json: meaning.json,
    notes: [...notes, ...meaning.notes],
  }
}

function fits(value: AxdrValue, version: InterfaceClass, attributeId: number): boolean {
  const type = version.attributes[attributeId - 1]?.type
  return type !== undefined && meaningOf(value, type).notes.length === 0
}

/**
 * The A-XDR to write. @throws BrokerError DLMS_VALUE_INVALID, saying which field should have been
 * what
 */
export function writeAttribute(of: MemberOf, attribute: number | string, json: Json): Buffer {
  const newest = classOf(of.classId, of.version)
  const older = of.version === undefined ? versionsOf(of.classId).slice(1) : []
  try {
    return encodeTyped(json, attributeOf(newest, attribute).type)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    for (const version of older) {
      const type = version.attributes.find(({ id, name }) => attribute === id || attribute === name)
      const octets = type && encodedIfFitting(json, type.type)
      if (octets !== undefined) return octets
    }
    throw error
  }
}

function encodedIfFitting(json: Json, type: CosemType): Buffer | undefined {
  try {
    return encodeTyped(json, type)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return undefined
  }
}

/** The A-XDR of a method's parameter. @throws as `writeAttribute` */
export function writeParameter(of: MemberOf, method: number | string, json: Json): Buffer {
  return encodeTyped(json, methodOf(classOf(of.classId, of.version), method).parameter)
}

function encodeTyped(json: Json, type: CosemType): Buffer {
  return encodeValue(valueOf(json, type))
}

function knownClass({ classId, version }: MemberOf, notes: Note[]): InterfaceClass | undefined {
  const known = findClass(classId, version ?? Number.MAX_SAFE_INTEGER)
  if (known === undefined)
    notes.push({ path: '', problem: 'class-unknown', detail: `class ${classId}` })
  else if (version !== undefined && known.version !== version)
    notes.push({
      path: '',
      problem: 'version-unknown',
      detail: `${known.name} version ${version}, read as ${known.version}`,
    })
  return known
}

/**
 * The scaler_unit in an answer; undefined for null-data and for another type. @throws BrokerError
 * as `decodeValue`
 */
export function decodeScalerUnit(view: Buffer): ScalerUnit | undefined {
  const value = decodeValue(view)
  if (value.tag !== Tag.STRUCTURE || value.elements.length !== 2) return undefined
  const [scaler, unit] = value.elements.map(integerOfValue)
  if (scaler === undefined || unit === undefined || scaler < -128n || scaler > 127n)
    return undefined
  return { scaler: Number(scaler), unit: Number(unit) }
}

/** `value` times its scaler, exact; undefined for what is no number. */
export function scaledValue(value: AxdrValue, { scaler, unit }: ScalerUnit): Scaled | undefined {
  const integer = integerOfValue(value)
  if (integer !== undefined) return { decimal: scaledText(integer, scaler), unit: unitOf(unit) }
  if (value.tag !== Tag.FLOAT32 && value.tag !== Tag.FLOAT64) return undefined
  return {
    decimal: scaledFloatText(value.value, value.tag === Tag.FLOAT32, scaler),
    unit: unitOf(unit),
  }
}

/** The code of a unit's name; undefined when there is none of that name. */
export function unitCode(name: string): number | undefined {
  const found = Object.entries(unitNames).find(([, candidate]) => candidate === name)
  return found === undefined ? undefined : Number(found[0])
}
