/**
 * What an association shows of a device: classes, versions, names and access rights of its objects,
 * and back for a device that shows itself. Association LN lists everything in attribute 2;
 * Association SN has base names there and rights in attribute 3.
 *
 *   access mode   versions 0 to 2 of LN, to 3 of SN: a number      version 3 of LN, 4 of SN: bits
 *
 * [IEC 62056-6-2, Association LN, object_list; Association SN, object_list and access_rights_list]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../axdr/axdr.ts'
import { formatObis, obisBytes, parseObis } from '../axdr/obis.ts'
import { attributeShortName, findClass, methodShortName } from './class-table.ts'
import { rawJson } from './raw-json.ts'
import { integerOfValue, type Json } from './type.ts'

/** What a request and its answer must be protected with. */
export type Protection =
  | 'authenticated_request'
  | 'encrypted_request'
  | 'digitally_signed_request'
  | 'authenticated_response'
  | 'encrypted_response'
  | 'digitally_signed_response'

/** `mode` is the number that the device gave. */
export type AttributeRights = {
  id: number
  mode: number
  canRead: boolean
  canWrite: boolean
  protections: Protection[]
  /** Selectors of selective access. */
  selectors: number[]
}
export type MethodRights = {
  id: number
  mode: number
  canInvoke: boolean
  protections: Protection[]
}

export type ListedObject = {
  classId: number
  version: number
  instanceId: string
  /** With short-name referencing. */
  baseName?: number
  attributes: AttributeRights[]
  methods: MethodRights[]
}

/** `odd`: entries of another shape, raw. */
export type ObjectList = { objects: ListedObject[]; odd: Json[] }

const associationLn = 15
/** The versions from which access modes are bits. */
const bitVersionLn = 3
const bitVersionSn = 4

// From bit 2 up.
const protections: readonly Protection[] = [
  'authenticated_request',
  'encrypted_request',
  'digitally_signed_request',
  'authenticated_response',
  'encrypted_response',
  'digitally_signed_response',
]

/**
 * The object_list of an Association LN. Its version says how rights are told; when it is not given,
 * the list's own entry of class 15 is believed. @throws BrokerError as `decodeValue`,
 * DLMS_VALUE_INVALID for what is no array
 */
export function decodeObjectList(view: Buffer, associationVersion?: number): ObjectList {
  const entries = elementsOf(decodeValue(view))
  const version =
    associationVersion ??
    numberOf(
      fieldsOf(entries.find((entry) => numberOf(fieldsOf(entry)[0]) === associationLn))[1],
    ) ??
    0
  const isBits = version >= bitVersionLn
  const list: ObjectList = { objects: [], odd: [] }
  for (const entry of entries) {
    const object = listedObject(entry, isBits)
    if (object === undefined) list.odd.push(rawJson(entry))
    else list.objects.push(object)
  }
  return list
}

/**
 * The object_list of an Association SN, and its access_rights_list where there is one.
 * @throws as `decodeObjectList`
 */
export function decodeShortNameList(
  listView: Buffer,
  rightsView?: Buffer,
  associationVersion = bitVersionSn - 1,
): ObjectList {
  const list: ObjectList = { objects: [], odd: [] }
  const byBaseName = new Map<number, ListedObject>()
  for (const entry of elementsOf(decodeValue(listView))) {
    const [baseName, classId, version, name] = fieldsOf(entry)
    const identity = identityOf(classId, version, name)
    const base = numberOf(baseName)
    if (identity === undefined || base === undefined) list.odd.push(rawJson(entry))
    else {
      // A base name is a signed 16-bit number that stands for an unsigned one.
      const object = { ...identity, baseName: base & 0xffff, attributes: [], methods: [] }
      list.objects.push(object)
      byBaseName.set(object.baseName, object)
    }
  }
  const isBits = associationVersion >= bitVersionSn
  for (const entry of rightsView === undefined ? [] : elementsOf(decodeValue(rightsView))) {
    const [baseName, attributes, methods] = fieldsOf(entry)
    const object = byBaseName.get((numberOf(baseName) ?? -1) & 0xffff)
    if (object === undefined) list.odd.push(rawJson(entry))
    else {
      object.attributes = rightsOf(attributes, (fields) => attributeRights(fields, isBits))
      object.methods = rightsOf(methods, (fields) => methodRights(fields, isBits))
    }
  }
  return list
}

/** The object of that name; of that class when one name has several. */
export function findObject(
  list: ObjectList,
  instanceId: string,
  classId?: number,
): ListedObject | undefined {
  return list.objects.find(
    (object) => object.instanceId === instanceId && (classId ?? object.classId) === object.classId,
  )
}

/**
 * The short names of an object's attributes and methods, by number; undefined without a base name
 * or for a class not known.
 */
export function shortNamesOf({
  classId,
  version,
  baseName,
}: ListedObject): { attributes: Map<number, number>; methods: Map<number, number> } | undefined {
  const of = findClass(classId, version)
  if (baseName === undefined || of === undefined) return undefined
  return {
    attributes: new Map(of.attributes.map(({ id }) => [id, attributeShortName(baseName, id)])),
    methods: new Map(of.methods.map(({ id }) => [id, methodShortName(of, baseName, id)])),
  }
}

/**
 * Attributes that may be read by itself and with which rights, for a device that shows what it has.
 */
export type ShownObject = {
  classId: number
  version: number
  instanceId: string
  attributes: readonly { id: number; mode: number; selectors?: readonly number[] }[]
  methods: readonly { id: number; mode: number }[]
}

/**
 * The object_list of an Association LN of that version. @throws BrokerError DLMS_VALUE_INVALID for
 * what is no OBIS code
 */
export function encodeObjectList(
  objects: readonly ShownObject[],
  associationVersion: number,
): Buffer {
  return encodeValue({
    tag: Tag.ARRAY,
    elements: objects.map(({ classId, version, instanceId, attributes, methods }) =>
      structure([
        { tag: Tag.LONG_UNSIGNED, value: classId },
        { tag: Tag.UNSIGNED, value: version },
        { tag: Tag.OCTET_STRING, value: parseObis(instanceId) },
        structure([
          array(
            attributes.map(({ id, mode, selectors = [] }) =>
              structure([
                { tag: Tag.INTEGER, value: id },
                { tag: Tag.ENUM, value: mode },
                selectors.length === 0
                  ? { tag: Tag.NULL }
                  : array(selectors.map((value) => ({ tag: Tag.INTEGER, value }))),
              ]),
            ),
          ),
          array(
            methods.map(({ id, mode }) =>
              structure([
                { tag: Tag.INTEGER, value: id },
                associationVersion === 0
                  ? { tag: Tag.BOOLEAN, value: mode !== 0 }
                  : { tag: Tag.ENUM, value: mode },
              ]),
            ),
          ),
        ]),
      ]),
    ),
  })
}

function array(elements: AxdrValue[]): AxdrValue {
  return { tag: Tag.ARRAY, elements }
}

function structure(elements: AxdrValue[]): AxdrValue {
  return { tag: Tag.STRUCTURE, elements }
}

function elementsOf(value: AxdrValue): AxdrValue[] {
  if (value.tag === Tag.NULL) return []
  if (value.tag !== Tag.ARRAY && value.tag !== Tag.COMPACT_ARRAY)
    throw new BrokerError('DLMS_VALUE_INVALID', 'an object list is no array')
  return value.elements
}

function listedObject(entry: AxdrValue, isBits: boolean): ListedObject | undefined {
  const [classId, version, name, rights] = fieldsOf(entry)
  const identity = identityOf(classId, version, name)
  if (identity === undefined) return undefined
  const [attributes, methods] = fieldsOf(rights)
  return {
    ...identity,
    attributes: rightsOf(attributes, (fields) => attributeRights(fields, isBits)),
    methods: rightsOf(methods, (fields) => methodRights(fields, isBits)),
  }
}

function identityOf(
  classId: AxdrValue | undefined,
  version: AxdrValue | undefined,
  name: AxdrValue | undefined,
): { classId: number; version: number; instanceId: string } | undefined {
  const [id, of] = [numberOf(classId), numberOf(version)]
  if (id === undefined || of === undefined) return undefined
  if (name?.tag !== Tag.OCTET_STRING || name.value.length !== obisBytes) return undefined
  return { classId: id, version: of, instanceId: formatObis(name.value) }
}

function rightsOf<T>(
  list: AxdrValue | undefined,
  read: (fields: AxdrValue[]) => T | undefined,
): T[] {
  const entries = list !== undefined && 'elements' in list ? list.elements : []
  return entries.map((entry) => read(fieldsOf(entry))).filter((rights) => rights !== undefined)
}

function attributeRights(fields: AxdrValue[], isBits: boolean): AttributeRights | undefined {
  const [id, mode] = [numberOf(fields[0]), numberOf(fields[1])]
  if (id === undefined || mode === undefined) return undefined
  const selectors = (fields[2] !== undefined && 'elements' in fields[2] ? fields[2].elements : [])
    .map(numberOf)
    .filter((selector) => selector !== undefined)
  // 1 to 3 and 4 to 6: read, write, both; the latter authenticated.
  const kind = isBits ? mode : mode > 6 ? 0 : mode > 3 ? mode - 3 : mode
  return {
    id,
    mode,
    canRead: (kind & 1) !== 0,
    canWrite: (kind & 2) !== 0,
    protections: protectionsOf(mode, isBits, mode > 3),
    selectors,
  }
}

function methodRights(fields: AxdrValue[], isBits: boolean): MethodRights | undefined {
  const [id, mode] = [numberOf(fields[0]), numberOf(fields[1])]
  if (id === undefined || mode === undefined) return undefined
  return {
    id,
    mode,
    canInvoke: isBits ? (mode & 1) !== 0 : mode === 1 || mode === 2,
    protections: protectionsOf(mode, isBits, mode === 2),
  }
}

function protectionsOf(mode: number, isBits: boolean, isAuthenticated: boolean): Protection[] {
  if (isBits) return protections.filter((_, i) => (mode >> (i + 2)) & 1)
  return isAuthenticated ? ['authenticated_request', 'authenticated_response'] : []
}

function fieldsOf(value: AxdrValue | undefined): AxdrValue[] {
  return value?.tag === Tag.STRUCTURE ? value.elements : []
}

function numberOf(value: AxdrValue | undefined): number | undefined {
  if (value?.tag === Tag.BOOLEAN) return value.value ? 1 : 0
  const integer = integerOfValue(value)
  return integer === undefined ? undefined : Number(integer)
}
