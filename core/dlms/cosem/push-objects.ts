/**
 * Pushes that say themselves what is in them: the first element is the push object list, whose
 * entry i describes element i, itself included.
 *
 *   entry = class-id long-unsigned | logical-name octet-string 6 | attribute-index integer | data-index long-unsigned | more from version 2 on
 *
 * [IEC 62056-6-2, Push setup: push_object_list]
 */
import { Tag, type AxdrValue } from '../axdr/axdr.ts'
import { formatObis, obisBytes } from '../axdr/obis.ts'

/** Whose attribute an element of a push is. */
export type PushObject = { classId: number; obis: string; attributeId: number }

const pushSetupClassId = 40
const objectListAttributeId = 2

/**
 * What the elements of `value` are, one each, the list itself first; undefined where it does not
 * say so.
 */
export function pushObjectsIn(value: AxdrValue): PushObject[] | undefined {
  if (value.tag !== Tag.STRUCTURE) return undefined
  const [list] = value.elements
  if (list?.tag !== Tag.ARRAY || list.elements.length !== value.elements.length) return undefined
  const objects = list.elements.map((entry) => objectOf(entry))
  const [own] = objects
  const isOwn = own?.classId === pushSetupClassId && own.attributeId === objectListAttributeId
  return isOwn && objects.every((one) => one !== undefined) ? objects : undefined
}

/**
 * The attribute and its value that a structure of two is, a name of three or four fields in front;
 * undefined for all else.
 */
export function describedValueIn(
  value: AxdrValue,
): { object: PushObject; value: AxdrValue } | undefined {
  if (value.tag !== Tag.STRUCTURE || value.elements.length !== 2) return undefined
  const [name, inner] = value.elements
  const object = name && objectOf(name, 3)
  return object && { object, value: inner! }
}

function objectOf(entry: AxdrValue, fieldsMin: 3 | 4 = 4): PushObject | undefined {
  if (entry.tag !== Tag.STRUCTURE || entry.elements.length < fieldsMin) return undefined
  const [classId, name, attribute, dataIndex] = entry.elements
  const isObject =
    classId?.tag === Tag.LONG_UNSIGNED &&
    name?.tag === Tag.OCTET_STRING &&
    name.value.length === obisBytes &&
    attribute?.tag === Tag.INTEGER &&
    (dataIndex?.tag === Tag.LONG_UNSIGNED || (dataIndex === undefined && fieldsMin === 3))
  return isObject
    ? { classId: classId.value, obis: formatObis(name.value), attributeId: attribute.value }
    : undefined
}
