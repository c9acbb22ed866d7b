/**
 * Objects by the tables of core/dlms/cosem: attributes in words, encoded once for all meters, or
 * worked out when read; what a client writes must be of the class's type, and is kept with the
 * meter. Parameters of methods are checked alike. [IEC 62056-6-2]
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { copyOf } from '../../../core/base/bytes.ts'
import { ActionResult, DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'
import {
  attributeOf,
  classOf,
  meaningOf,
  methodOf,
  writeAttribute,
  type InterfaceClass,
  type CosemType,
  type Json,
} from '../../../core/dlms/cosem/index.ts'
import { cosemObject, obisKey, type Outcome, type SimulatedObject } from './cosem-object.ts'
import type { Link } from '../model/access-link.ts'
import type { MeterState } from '../model/meter-state.ts'

type Reader = (meter: MeterState, nowMs: number, link: Link) => Buffer | number
type Doer = (meter: MeterState, parameter: AxdrValue, nowMs: number) => Outcome

export type ClassShape = {
  obis: string
  classId: number
  version?: number
  /** All of the class from 2 on, by name. */
  attributes: { readonly [name: string]: Json | Reader }
  writable?: readonly string[]
  unreadable?: readonly string[]
  methods?: { readonly [name: string]: Doer }
  isPublic?: boolean
  isThere?: NonNullable<SimulatedObject['isThere']>
  /** Asked about a value of the right type; what it gives, unless success, refuses it. */
  check?: (meter: MeterState, name: string, value: AxdrValue) => number
  /** Called after an attribute was written. */
  written?: (meter: MeterState, name: string, nowMs: number) => void
}

export type ClassObject = SimulatedObject & {
  /**
   * What the meter shows of an attribute that is not worked out: as it was written, or as all have
   * it.
   */
  shown(meter: MeterState, name: string): Buffer
  /** Writes without asking. */
  keep(meter: MeterState, name: string, valueView: Buffer): void
}

/** Octets of one written value: more than any calendar of ours needs. */
const writtenBytesMax = 4_096

export function classObject(shape: ClassShape): ClassObject {
  const { obis, classId, version = 0, isPublic = false, isThere, methods = {} } = shape
  const known = classOf(classId, version)
  const attributes = new ClassAttributes(shape, known)
  const { writable } = attributes
  const doers = Object.entries(methods).map(([name, act]) => ({ ...methodOf(known, name), act }))
  const plain = cosemObject({
    obis,
    classId,
    version,
    attributeMax: known.attributes.length,
    methodMax: known.methods.length,
    isPublic,
    writable,
    unreadable: (shape.unreadable ?? []).map((name) => attributes.idOf(name)),
    invocable: doers.map(({ id }) => id),
    ...(isThere && { isThere }),
    read: (meter, attribute, nowMs, _selection, link) =>
      attributes.read(meter, attribute, nowMs, link),
    ...(writable.length > 0 && {
      write: (meter: MeterState, attribute: number, valueView: Buffer, nowMs: number): number =>
        attributes.write(meter, attribute, valueView, nowMs),
    }),
    ...(doers.length > 0 && {
      invoke(meter: MeterState, method: number, view: Buffer | undefined, nowMs: number): Outcome {
        const doer = doers.find(({ id }) => id === method)
        if (doer === undefined) return ActionResult.READ_WRITE_DENIED
        const parameter = parameterOf(view, doer.parameter)
        return parameter === undefined
          ? ActionResult.TYPE_UNMATCHED
          : doer.act(meter, parameter, nowMs)
      },
    }),
  })
  return {
    ...plain,
    shown: (meter, name) => attributes.shown(meter, name),
    keep: (meter, name, valueView) => attributes.keep(meter, attributes.idOf(name), valueView),
  }
}

/**
 * Attributes of one object: the value that all meters have or compute, and what clients wrote to a
 * meter.
 */
class ClassAttributes {
  /** Attributes that clients may set. */
  readonly writable: readonly number[]
  private readonly known: InterfaceClass
  private readonly shape: ClassShape
  /** By attribute. */
  private readonly given: Array<Buffer | Reader> = []
  /** Key of attribute 0 among what is written to a meter. */
  private readonly firstKey: number

  constructor(shape: ClassShape, known: InterfaceClass) {
    const { obis, classId, version = 0 } = shape
    this.shape = shape
    this.known = known
    this.firstKey = obisKey(parseObis(obis), 0) * 64
    const of = { classId, version }
    for (const [name, value] of Object.entries(shape.attributes))
      this.given[this.idOf(name)] =
        typeof value === 'function' ? value : writeAttribute(of, name, value)
    for (const { id, name } of known.attributes.slice(1))
      if (this.given[id] === undefined)
        throw new BrokerError('DLMS_VALUE_INVALID', `${obis} lacks ${name}`)
    this.writable = (shape.writable ?? []).map((name) => this.idOf(name))
  }

  idOf(name: string): number {
    return attributeOf(this.known, name).id
  }

  read(meter: MeterState, attribute: number, nowMs: number, link: Link): Buffer | number {
    const value = this.given[attribute]!
    if (typeof value === 'function') return value(meter, nowMs, link)
    return this.writtenTo(meter, attribute) ?? value
  }

  /** Writes a client's value, or returns the data-access-result that refuses it. */
  write(meter: MeterState, attribute: number, valueView: Buffer, nowMs: number): number {
    const { check, written } = this.shape
    if (!this.writable.includes(attribute)) return DataAccessResult.READ_WRITE_DENIED
    if (valueView.length > writtenBytesMax) return DataAccessResult.OTHER_REASON
    const { name, type } = this.known.attributes[attribute - 1]!
    const before = this.given[attribute]!
    const value = fitting(valueView, type, typeof before === 'function' ? undefined : before)
    if (value === undefined) return DataAccessResult.TYPE_UNMATCHED
    const result = check?.(meter, name, value) ?? DataAccessResult.SUCCESS
    if (result !== DataAccessResult.SUCCESS) return result
    this.keep(meter, attribute, valueView)
    written?.(meter, name, nowMs)
    return DataAccessResult.SUCCESS
  }

  /** The value as it was written, or as all meters have it; not for one that is computed. */
  shown(meter: MeterState, name: string): Buffer {
    const id = this.idOf(name)
    const value = this.given[id]!
    if (typeof value === 'function')
      throw new BrokerError('DLMS_VALUE_INVALID', `${name} is worked out`)
    return this.writtenTo(meter, id) ?? value
  }

  keep(meter: MeterState, attribute: number, valueView: Buffer): void {
    const changes = meter.changesOrNew()
    changes.written ??= new Map()
    changes.written.set(this.firstKey + attribute, copyOf(valueView))
  }

  private writtenTo(meter: MeterState, attribute: number): Buffer | undefined {
    return meter.changes?.written?.get(this.firstKey + attribute)
  }
}

/**
 * The value, when it is of the type; where the class leaves it open, of the same one as `before`.
 */
function fitting(view: Buffer, type: CosemType, before?: Buffer): AxdrValue | undefined {
  const value = valueOfOctets(view)
  if (value === undefined || value.tag === Tag.NULL) return undefined
  if (type === 'any' && before !== undefined && before[0] !== value.tag) return undefined
  return meaningOf(value, type).notes.length === 0 ? value : undefined
}

const zero: AxdrValue = { tag: Tag.INTEGER, value: 0 }

/**
 * Methods that take no parameter are given integer 0 by the standard, and nothing or null-data by
 * some clients.
 */
function parameterOf(view: Buffer | undefined, type: CosemType): AxdrValue | undefined {
  const isNothing = view === undefined || (view.length === 1 && view[0] === Tag.NULL)
  if (type !== 'integer') return isNothing ? undefined : fitting(view, type)
  const value = isNothing ? zero : fitting(view, type)
  return value?.tag === Tag.INTEGER && value.value === 0 ? value : undefined
}

/** One whole value; undefined for other octets. */
export function valueOfOctets(view: Buffer): AxdrValue | undefined {
  try {
    const value = decodeValue(view)
    return encodeValue(value).length === view.length ? value : undefined
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return undefined
  }
}
