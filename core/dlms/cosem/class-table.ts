/**
 * What is known of interface classes: look-up of attributes and methods by number or name, and
 * their short names. The rows stand in classes/. [IEC 62056-6-2, 4.2 Overview of the COSEM
 * interface classes; 4.1.2 Referencing methods]
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { ClassRow } from './class-row.ts'
import { accessControlClasses } from './classes/access-control.ts'
import { communicationClasses } from './classes/communication.ts'
import { controlClasses } from './classes/control.ts'
import { measurementClasses } from './classes/measurement.ts'
import { paymentClasses } from './classes/payment.ts'
import type { CosemType } from './type.ts'

export type Attribute = {
  readonly id: number
  readonly name: string
  readonly type: CosemType
  /** Set up once; the others change by themselves. */
  readonly isStatic: boolean
  /** As the standard and most meters have it; the association's object list has the last word. */
  readonly isWritable: boolean
}
export type Method = {
  readonly id: number
  readonly name: string
  readonly parameter: CosemType
  readonly returns: CosemType | undefined
}
/** `attributes[0]` is attribute 1, the logical name; `methods[0]` method 1. */
export type InterfaceClass = {
  readonly id: number
  readonly version: number
  readonly name: string
  readonly attributes: readonly Attribute[]
  readonly methods: readonly Method[]
  /** Short name of method 1 less the base name. */
  readonly methodsAt: number
}

const logicalName: Attribute = {
  id: 1,
  name: 'logical_name',
  type: 'obis',
  isStatic: true,
  isWritable: false,
}
const shortNameStep = 8

function classesOf(row: ClassRow): InterfaceClass[] {
  const attributes = [
    logicalName,
    ...row.attributes.map(([name, type, hint], i) => ({
      id: i + 2,
      name,
      type,
      isStatic: hint.startsWith('s'),
      isWritable: hint.endsWith('w'),
    })),
  ]
  const methods = (row.methods ?? []).map(([name, parameter, returns], i) => ({
    id: i + 1,
    name,
    parameter,
    returns,
  }))
  const methodsAt = row.methodsAt ?? attributes.length * shortNameStep
  return row.versions.map((version) => ({
    id: row.id,
    version,
    name: row.name,
    attributes,
    methods,
    methodsAt,
  }))
}

/** Every class and version, by class-id, then version. */
export const interfaceClasses: readonly InterfaceClass[] = [
  measurementClasses,
  accessControlClasses,
  controlClasses,
  communicationClasses,
  paymentClasses,
]
  .flatMap((rows) => rows.flatMap(classesOf))
  .toSorted((a, b) => a.id - b.id || a.version - b.version)

const versionsById = new Map<number, InterfaceClass[]>()
for (const one of interfaceClasses) {
  const versions = versionsById.get(one.id)
  if (versions) versions.push(one)
  else versionsById.set(one.id, [one])
}

/**
 * The class in that version; else, with `version` unlike the one asked for, in the next lower or
 * the lowest; undefined when not known.
 */
export function findClass(classId: number, version: number): InterfaceClass | undefined {
  const versions = versionsById.get(classId)
  return versions?.findLast((candidate) => candidate.version <= version) ?? versions?.[0]
}

/** All versions that are known, the newest first. */
export function versionsOf(classId: number): readonly InterfaceClass[] {
  return versionsById.get(classId)?.toReversed() ?? []
}

/**
 * As `findClass`, the newest version when none is given. @throws BrokerError DLMS_VALUE_INVALID for
 * a class that is not known
 */
export function classOf(classId: number, version = Number.MAX_SAFE_INTEGER): InterfaceClass {
  const found = findClass(classId, version)
  if (found === undefined)
    throw new BrokerError('DLMS_VALUE_INVALID', `class ${classId} is not known`)
  return found
}

/** By number or name. @throws BrokerError DLMS_VALUE_INVALID for one that the class has not */
export function attributeOf(of: InterfaceClass, attribute: number | string): Attribute {
  return memberOf(of, of.attributes, attribute, 'attribute')
}

/** As `attributeOf`. */
export function methodOf(of: InterfaceClass, method: number | string): Method {
  return memberOf(of, of.methods, method, 'method')
}

function memberOf<T extends { id: number; name: string }>(
  of: InterfaceClass,
  members: readonly T[],
  member: number | string,
  kind: string,
): T {
  const found = members.find(({ id, name }) => id === member || name === member)
  if (found === undefined)
    throw new BrokerError(
      'DLMS_VALUE_INVALID',
      `${of.name} (class ${of.id}, version ${of.version}) has no ${kind} ${member}: ${members.map(({ name }) => name).join(', ')}`,
    )
  return found
}

/**
 * The short name of an attribute of the object at `baseName`; eight apart. [4.1.2, short name
 * referencing]
 */
export function attributeShortName(baseName: number, attributeId: number): number {
  return (baseName + (attributeId - 1) * shortNameStep) & 0xffff
}

/** The short name of a method of the object at `baseName`; where methods begin is the class's. */
export function methodShortName(of: InterfaceClass, baseName: number, methodId: number): number {
  return (baseName + of.methodsAt + (methodId - 1) * shortNameStep) & 0xffff
}
