/**
 * Values that say by themselves what they are, as notifications and free-form structures carry
 * them: a logical name, the value behind it, and perhaps its scaler and unit, in a structure of
 * their own or one after another; or class, name and attribute in front of each value; or a push
 * object list in front of all.
 */
import { Tag, type AxdrValue } from '../axdr/axdr.ts'
import { formatObis, obisBytes } from '../axdr/obis.ts'
import { scaledValue, type Scaled, type ScalerUnit } from './attribute.ts'
import { mediumNames } from './obis-media.ts'
import { describedValueIn, pushObjectsIn, type PushObject } from './push-objects.ts'
import { unitNames } from './units.ts'

/**
 * `obis` where a logical name stood in front, or its attribute is named, and then `object` too;
 * `scaled` where scaler and unit stood behind.
 */
export type LabelledValue = {
  obis: string | undefined
  object?: PushObject
  value: AxdrValue
  scaled: Scaled | undefined
}

/** The logical name that six octets of a known medium are taken for; undefined for all else. */
export function obisIn(value: AxdrValue | undefined): string | undefined {
  if (value?.tag !== Tag.OCTET_STRING || value.value.length !== obisBytes) return undefined
  return mediumNames[value.value[0]!] !== undefined && value.value[5] === 0xff
    ? formatObis(value.value)
    : undefined
}

/** The scaler_unit that a structure of an integer and a unit is; undefined for all else. */
export function scalerUnitIn(value: AxdrValue | undefined): ScalerUnit | undefined {
  return value?.tag === Tag.STRUCTURE && value.elements.length === 2
    ? scalerUnitOf(value.elements[0], value.elements[1])
    : undefined
}

function scalerUnitOf(
  scaler: AxdrValue | undefined,
  unit: AxdrValue | undefined,
): ScalerUnit | undefined {
  const isOne =
    scaler?.tag === Tag.INTEGER && unit?.tag === Tag.ENUM && unitNames[unit.value] !== undefined
  return isOne ? { scaler: scaler.value, unit: unit.value } : undefined
}

/** Everything in `value` that is no list, in order, with what stands about it. */
export function labelledValues(value: AxdrValue): LabelledValue[] {
  const objects = pushObjectsIn(value)
  if (objects !== undefined && 'elements' in value)
    return value.elements.slice(1).map((element, i) => {
      const object = objects[i + 1]!
      return { obis: object.obis, object, value: element, scaled: undefined }
    })
  const found: LabelledValue[] = []
  if (describedValueIn(value) !== undefined) gather([value], found)
  else gather('elements' in value ? value.elements : [value], found)
  return found
}

function gather(elements: readonly AxdrValue[], found: LabelledValue[]): void {
  let at = 0
  while (at < elements.length) {
    const name = obisIn(elements[at])
    const behind = elements[at + 1]
    const isLabel =
      name !== undefined &&
      behind !== undefined &&
      !('elements' in behind) &&
      obisIn(behind) === undefined
    if (isLabel) at++
    const value = elements[at++]!
    const described = describedValueIn(value)
    if (described !== undefined) {
      const { object } = described
      found.push({ obis: object.obis, object, value: described.value, scaled: undefined })
      continue
    }
    if ('elements' in value) {
      gather(value.elements, found)
      continue
    }
    const own = scalerUnitIn(elements[at])
    const flat = own === undefined ? scalerUnitOf(elements[at], elements[at + 1]) : undefined
    const scalerUnit = own ?? flat
    const scaled = scalerUnit && scaledValue(value, scalerUnit)
    if (scaled !== undefined) at += own === undefined ? 2 : 1
    found.push({ obis: isLabel ? name : undefined, value, scaled })
  }
}
