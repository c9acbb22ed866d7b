/**
 * Which objects of an association's object_list a client asks for. [IEC 62056-6-2, Association LN,
 * object_list, selective access]
 *
 *   1   null-data                               all of them, without their access rights
 *   2   array of class_id                       those of the classes, without their access rights
 *   3   array of { class_id, logical_name }     these
 *   4   { class_id, logical_name }              this one
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, skipValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'

export const listSelectors: readonly number[] = [1, 2, 3, 4]

export type ListSelection = {
  hasRights: boolean
  isWanted: (classId: number, obisBytes: Buffer) => boolean
}

const { SCOPE_OF_ACCESS_VIOLATED, TYPE_UNMATCHED } = DataAccessResult

/**
 * Parses `view`: the access-selector octet and its A-XDR parameters; or gives the
 * data-access-result that says no.
 */
export function parseListSelection(view: Buffer): ListSelection | number {
  try {
    if (view.length < 2 || skipValue(view, 1) !== view.length) return TYPE_UNMATCHED
    return selectionOf(view[0]!, decodeValue(view, 1)) ?? TYPE_UNMATCHED
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return TYPE_UNMATCHED
  }
}

function selectionOf(selector: number, parameters: AxdrValue): ListSelection | number | undefined {
  switch (selector) {
    case 1:
      return parameters.tag === Tag.NULL ? { hasRights: false, isWanted: () => true } : undefined
    case 2: {
      const classIds =
        parameters.tag === Tag.ARRAY ? parameters.elements.map(classIdOf) : [undefined]
      if (classIds.includes(undefined)) return undefined
      return { hasRights: false, isWanted: (classId) => classIds.includes(classId) }
    }
    case 3:
      return parameters.tag === Tag.ARRAY ? namedObjects(parameters.elements) : undefined
    case 4:
      return namedObjects([parameters])
    default:
      return SCOPE_OF_ACCESS_VIOLATED
  }
}

function namedObjects(objects: readonly AxdrValue[]): ListSelection | undefined {
  const wanted = new Set<string>()
  for (const object of objects) {
    const [id, name] = object.tag === Tag.STRUCTURE ? object.elements : []
    const classId = classIdOf(id)
    if (classId === undefined || name?.tag !== Tag.OCTET_STRING) return undefined
    wanted.add(`${classId} ${name.value.toString('hex')}`)
  }
  return {
    hasRights: true,
    isWanted: (classId, obisBytes) => wanted.has(`${classId} ${obisBytes.toString('hex')}`),
  }
}

const classIdOf = (value: AxdrValue | undefined): number | undefined =>
  value?.tag === Tag.LONG_UNSIGNED ? value.value : undefined
