/**
 * Which objects a meter of each type has, by OBIS code, and the list that the meter itself gives of them.
 * [IEC 62056-6-2, Association LN]
 */
import { cosemObject, encoded, type SimulatedObject } from './cosem-object.ts'
import { deviceObjects } from './device-objects.ts'
import { securityObjects } from './meter-security.ts'
import { electricityRegisters, gasRegisters } from './measuring-objects.ts'
import type { MeterType } from './population.ts'
import { electricityProfiles, gasProfiles } from './profile-objects.ts'

/** A number for the OBIS code of a descriptor (class-id u16, OBIS 6, attribute i8); -1 for codes that no object here has. */
export function objectKey(descriptor: Buffer): number {
  // All objects are of media and channels below 16, and stand for the present.
  if (descriptor[2]! > 7 || descriptor[3]! > 15 || descriptor[7] !== 255) return -1
  return (
    (descriptor[2]! << 28) |
    (descriptor[3]! << 24) |
    (descriptor[4]! << 16) |
    (descriptor[5]! << 8) |
    descriptor[6]!
  )
}

type ObjectTable = ReadonlyMap<number, SimulatedObject>

const descriptorOf = (object: SimulatedObject): Buffer =>
  Buffer.concat([Buffer.alloc(2), object.obisBytes, Buffer.alloc(1)])

// Access modes: 0 none, 1 read, 3 read and write. Method modes: 0 none, 1 allowed.
function objectList(objects: readonly SimulatedObject[]): Buffer {
  return encoded((w) => {
    w.array(objects.length)
    for (const {
      classId,
      version,
      obisBytes,
      attributeMax,
      methodMax,
      isSelective,
      writable,
      invoke,
    } of objects) {
      w.structure(4).uint16(classId).uint8(version).octetString(obisBytes).structure(2)
      w.array(attributeMax)
      for (let attribute = 1; attribute <= attributeMax; attribute++) {
        w.structure(3)
          .int8(attribute)
          .enumeration(writable.includes(attribute) ? 3 : 1)
        if (isSelective && attribute === 2) w.array(2).int8(1).int8(2)
        else w.null()
      }
      w.array(methodMax)
      for (let method = 1; method <= methodMax; method++)
        w.structure(2)
          .int8(method)
          .enumeration(invoke === undefined ? 0 : 1)
    }
  })
}

function tableOf(objects: readonly SimulatedObject[]): ObjectTable {
  const association = cosemObject({
    obis: '0-0:40.0.0.255',
    classId: 15,
    version: 0,
    attributeMax: 2,
    read: () => list,
  })
  const all = [...objects, association]
  const list = objectList(all)
  return new Map(all.map((object) => [objectKey(descriptorOf(object)), object]))
}

const electricityObjects = [...deviceObjects, ...electricityRegisters, ...electricityProfiles]
const gasObjects = [...deviceObjects, ...gasRegisters, ...gasProfiles]

function tablesOf(further: readonly SimulatedObject[]): Readonly<Record<MeterType, ObjectTable>> {
  const gas = tableOf([...gasObjects, ...further])
  return { ESME: tableOf([...electricityObjects, ...further]), GSME: gas, GPF: gas }
}

export const objectsOf = tablesOf([])
/** Of meters under a security suite. */
export const securedObjectsOf = tablesOf(securityObjects)
