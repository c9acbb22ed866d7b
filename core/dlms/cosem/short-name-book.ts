/**
 * Short names of a meter's attributes and methods, from base names that are known or from its
 * object list. Attribute n of an object stands at its base name + 8 (n - 1), methods where their
 * class has them. [IEC 62056-6-2, association SN]
 */
import {
  associationBaseName,
  attributeStride,
  type ShortNameBook,
  type ShortNames,
} from '../client/short-name.ts'
import { asBuffer } from '../../base/bytes.ts'
import { decodeDescriptor } from '../apdu/descriptor.ts'
import { findClass, methodShortName } from './class-table.ts'
import { decodeShortNameList } from './object-list.ts'

type Place = { baseName: number; version: number }

const newestVersion = Number.MAX_SAFE_INTEGER
const currentAssociation = '0-0:40.0.0.255'

/** @param baseNames  by OBIS code; when they are given the object list is not read */
export function shortNameBook(baseNames?: Readonly<Record<string, number>>): ShortNameBook {
  const places = new Map<string, Place>()
  let isComplete = baseNames !== undefined
  for (const [obis, baseName] of Object.entries(baseNames ?? {}))
    places.set(obis, { baseName, version: newestVersion })
  places.set(currentAssociation, { baseName: associationBaseName, version: newestVersion })
  const nameOf: ShortNames = ({ kind, descriptor }) => {
    const { classId, instanceId, memberId } = decodeDescriptor(asBuffer(descriptor))
    // Objects of several classes may share a name.
    const place = places.get(`${classId}/${instanceId}`) ?? places.get(instanceId)
    if (place === undefined) return undefined
    if (kind !== 'action') return (place.baseName + attributeStride * (memberId - 1)) & 0xffff
    const of = findClass(classId, place.version)
    if (of?.methods.some(({ id }) => id === memberId) !== true) return undefined
    return methodShortName(of, place.baseName, memberId)
  }
  return {
    nameOf,
    get isComplete() {
      return isComplete
    },
    learn(listView) {
      for (const { classId, version, instanceId, baseName } of decodeShortNameList(listView)
        .objects)
        if (baseName !== undefined) {
          places.set(`${classId}/${instanceId}`, { baseName, version })
          if (!places.has(instanceId)) places.set(instanceId, { baseName, version })
        }
      isComplete = true
    },
  }
}
