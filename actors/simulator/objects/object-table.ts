/**
 * The objects that meters of one kind have: found by OBIS code, listed with the rights of a client,
 * and under short names. One for each kind of meter, shared by all of them. [IEC 62056-6-2,
 * Association LN object_list, Association SN; 4.1.2 short names]
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { associationBaseName } from '../../../core/dlms/client/short-name.ts'
import {
  attributeShortName,
  classOf,
  encodeObjectList,
  methodShortName,
  type ShownObject,
} from '../../../core/dlms/cosem/index.ts'
import { formatObis } from '../../../core/dlms/axdr/obis.ts'
import type { MemberOf, NamedMember } from '../../../core/dlms/server/short-name.ts'
import { parseListSelection } from './list-selection.ts'
import { encoded, obisKey, type SimulatedObject } from './cosem-object.ts'
import type { Link, Role } from '../model/access-link.ts'

/** Of the association objects here; from 3 on rights are bits. */
export const associationVersion = 1
const associationSn = 12
const baseNameMin = 0x0100

/** Access modes of versions 0 to 2. */
const attributeModeOf = (canRead: boolean, canWrite: boolean): number =>
  (canRead ? 1 : 0) + (canWrite ? 2 : 0)

export class ObjectTable {
  private readonly objects: readonly SimulatedObject[]
  private readonly byKey: ReadonlyMap<number, SimulatedObject>
  /** Not listed where logical names are used: its own name belongs to the present association. */
  private readonly shortNameAssociation: SimulatedObject
  private readonly lists = new Map<string, Buffer>()
  private names:
    | { members: ReadonlyMap<number, NamedMember>; lists: Readonly<Record<Role, Buffer>> }
    | undefined

  constructor(objects: readonly SimulatedObject[], shortNameAssociation: SimulatedObject) {
    this.objects = objects
    this.shortNameAssociation = shortNameAssociation
    this.byKey = new Map(objects.map((object) => [obisKey(object.obisBytes, 0), object]))
    if (this.byKey.size !== objects.length)
      throw new BrokerError('DLMS_VALUE_INVALID', 'two objects of one name')
  }

  /** By class-id u16, OBIS code, attribute i8; of another class, too, if only the name is there. */
  find(descriptor: Buffer): SimulatedObject | undefined {
    const found = this.byKey.get(obisKey(descriptor, 2))
    const isShortNamed = descriptor[1] === associationSn && descriptor[0] === 0
    return isShortNamed && found?.classId === 15 ? this.shortNameAssociation : found
  }

  /** The object_list that a client of that role is shown. Shared: not to be changed. */
  list(role: Role, link: Link): Buffer {
    const objects = this.shown(role, link)
    const key = `${role} ${objects.length}`
    let bytes = this.lists.get(key)
    if (bytes === undefined) {
      bytes = encodeObjectList(
        objects.map((object) => shownTo(role, object)),
        associationVersion,
      )
      this.lists.set(key, bytes)
    }
    return bytes
  }

  /** The part of the object_list that `selection` asks for, or a data-access-result. */
  selectedList(role: Role, link: Link, selection: Buffer): Buffer | number {
    const asked = parseListSelection(selection)
    if (typeof asked === 'number') return asked
    const objects = this.shown(role, link).filter(({ classId, obisBytes }) =>
      asked.isWanted(classId, obisBytes),
    )
    if (asked.hasRights)
      return encodeObjectList(
        objects.map((object) => shownTo(role, object)),
        associationVersion,
      )
    return encoded((w) => {
      w.array(objects.length)
      for (const { classId, version, obisBytes } of objects)
        w.structure(3).uint16(classId).uint8(version).octetString(obisBytes)
    })
  }

  private shown(role: Role, link: Link): SimulatedObject[] {
    return this.objects.filter(
      (object) => object.isThere?.(link) !== false && (role !== 'public' || object.isPublic),
    )
  }

  /** What a short name stands for. */
  readonly memberOf: MemberOf = (variableName) => this.shortNames().members.get(variableName)

  /** The object_list of an Association SN that a client of that role is shown. Shared. */
  shortNameList(role: Role): Buffer {
    return this.shortNames().lists[role]
  }

  private shortNames(): NonNullable<typeof this.names> {
    if (this.names !== undefined) return this.names
    const members = new Map<number, NamedMember>()
    const entries: Array<[baseName: number, object: SimulatedObject]> = []
    let next = baseNameMin
    const place = (object: SimulatedObject, baseName: number): void => {
      const { classId, version, obisBytes } = object
      const known = classOf(classId, version)
      const descriptorOf = (member: number): Buffer =>
        Buffer.concat([Buffer.of(classId >> 8, classId), obisBytes, Buffer.of(member)])
      entries.push([baseName, object])
      for (const { id } of known.attributes)
        members.set(attributeShortName(baseName, id), {
          kind: 'attribute',
          descriptor: descriptorOf(id),
        })
      for (const { id } of known.methods)
        members.set(methodShortName(known, baseName, id), {
          kind: 'method',
          descriptor: descriptorOf(id),
        })
      const lastMethod = methodShortName(known, 0, known.methods.length)
      next = baseName + Math.max(attributeShortName(0, known.attributes.length), lastMethod) + 8
    }
    for (const object of this.objects) if (object.classId !== 15) place(object, next)
    if (next > associationBaseName) throw new BrokerError('DLMS_SIZE_EXCEEDED', 'short names')
    place(this.shortNameAssociation, associationBaseName)
    const listOf = (shown: typeof entries): Buffer =>
      encoded((w) => {
        w.array(shown.length)
        for (const [baseName, { classId, version, obisBytes }] of shown)
          w.structure(4)
            .int16((baseName << 16) >> 16)
            .uint16(classId)
            .uint8(version)
            .octetString(obisBytes)
      })
    const lists = {
      public: listOf(entries.filter(([, { isPublic }]) => isPublic)),
      management: listOf(entries),
    }
    this.names = { members, lists }
    return this.names
  }
}

function shownTo(role: Role, object: SimulatedObject): ShownObject {
  const { classId, version, obisBytes, attributeMax, methodMax } = object
  const { selectors, writable, unreadable, invocable } = object
  const isManaging = role === 'management'
  return {
    classId,
    version,
    instanceId: formatObis(obisBytes),
    attributes: Array.from({ length: attributeMax }, (_, i) => ({
      id: i + 1,
      mode: attributeModeOf(!unreadable.includes(i + 1), isManaging && writable.includes(i + 1)),
      ...(i + 1 === 2 && selectors.length > 0 && { selectors: [...selectors] }),
    })),
    methods: Array.from({ length: methodMax }, (_, i) => ({
      id: i + 1,
      mode: isManaging && invocable.includes(i + 1) ? 1 : 0,
    })),
  }
}
