/**
 * Objects by the tables of core/dlms/cosem: attributes in words, encoded once for all meters, or worked out when read; what a client
 * writes must be of the class's type, and is kept with the meter. Parameters of methods are checked alike. [IEC 62056-6-2]
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { copyOf } from '../../../core/base/bytes.ts'
import { ActionResult, DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import {
  attributeOf,
  classOf,
  meaningOf,
  methodOf,
  writeAttribute,
  type CosemType,
  type Json,
} from '../../../core/dlms/cosem/index.ts'
import { cosemObject, obisKey, type Outcome, type SimulatedObject } from './cosem-object.ts'
import type { Link } from '../model/access-link.ts'
import type { Meter } from '../meter.ts'

type Reader = (meter: Meter, nowMs: number, link: Link) => Buffer | number
type Doer = (meter: Meter, parameter: AxdrValue, nowMs: number) => Outcome

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
  check?: (meter: Meter, name: string, value: AxdrValue) => number
  /** Told of an attribute that was written. */
  written?: (meter: Meter, name: string, nowMs: number) => void
}

export type ClassObject = SimulatedObject & {
  /** What the meter shows of an attribute that is not worked out: as it was written, or as all have it. */
  shown(meter: Meter, name: string): Buffer
  /** Writes without asking. */
  keep(meter: Meter, name: string, valueView: Buffer): void
}

/** Octets of one written value: more than any calendar of ours needs. */
const writtenBytesMax = 4_096

export function classObject(shape: ClassShape): ClassObject {
  const { obis, classId, version = 0, attributes, methods = {}, check, written } = shape
  const of = { classId, version }
  const known = classOf(classId, version)
  const idOf = (name: string): number => attributeOf(known, name).id
  const given: Array<Buffer | Reader> = []
  for (const [name, value] of Object.entries(attributes))
    given[idOf(name)] = typeof value === 'function' ? value : writeAttribute(of, name, value)
  for (const { id, name } of known.attributes.slice(1))
    if (given[id] === undefined)
      throw new BrokerError('DLMS_VALUE_INVALID', `${obis} lacks ${name}`)
  const doers = Object.entries(methods).map(([name, act]) => ({ ...methodOf(known, name), act }))
  const writable = (shape.writable ?? []).map(idOf)

  const keptOf = (meter: Meter, id: number): Buffer | undefined =>
    meter.doings?.written?.get(writtenKey(object, id))
  const keep = (meter: Meter, id: number, valueView: Buffer): void => {
    const doings = meter.doingsOrNew()
    doings.written ??= new Map()
    doings.written.set(writtenKey(object, id), copyOf(valueView))
  }

  const plain = cosemObject({
    obis,
    classId,
    version,
    attributeMax: known.attributes.length,
    methodMax: known.methods.length,
    isPublic: shape.isPublic ?? false,
    writable,
    unreadable: (shape.unreadable ?? []).map(idOf),
    invocable: doers.map(({ id }) => id),
    ...(shape.isThere && { isThere: shape.isThere }),
    read(meter, attribute, nowMs, _selection, link) {
      const value = given[attribute]!
      if (typeof value === 'function') return value(meter, nowMs, link)
      return keptOf(meter, attribute) ?? value
    },
    ...(writable.length > 0 && {
      write(meter: Meter, attribute: number, valueView: Buffer, nowMs: number): number {
        if (!writable.includes(attribute)) return DataAccessResult.READ_WRITE_DENIED
        if (valueView.length > writtenBytesMax) return DataAccessResult.OTHER_REASON
        const { name, type } = known.attributes[attribute - 1]!
        const before = given[attribute]!
        const value = fitting(valueView, type, typeof before === 'function' ? undefined : before)
        if (value === undefined) return DataAccessResult.TYPE_UNMATCHED
        const result = check?.(meter, name, value) ?? DataAccessResult.SUCCESS
        if (result !== DataAccessResult.SUCCESS) return result
        keep(meter, attribute, valueView)
        written?.(meter, name, nowMs)
        return DataAccessResult.SUCCESS
      },
    }),
    ...(doers.length > 0 && {
      invoke(meter: Meter, method: number, view: Buffer | undefined, nowMs: number): Outcome {
        const doer = doers.find(({ id }) => id === method)
        if (doer === undefined) return ActionResult.READ_WRITE_DENIED
        const parameter = parameterOf(view, doer.parameter)
        return parameter === undefined
          ? ActionResult.TYPE_UNMATCHED
          : doer.act(meter, parameter, nowMs)
      },
    }),
  })
  const object: ClassObject = {
    ...plain,
    shown(meter, name) {
      const value = given[idOf(name)]!
      if (typeof value === 'function')
        throw new BrokerError('DLMS_VALUE_INVALID', `${name} is worked out`)
      return keptOf(meter, idOf(name)) ?? value
    },
    keep: (meter, name, valueView) => keep(meter, idOf(name), valueView),
  }
  return object
}

/** A number for an attribute of an object. */
const writtenKey = ({ obisBytes }: SimulatedObject, attribute: number): number =>
  obisKey(obisBytes, 0) * 64 + attribute

/** The value, when it is of the type; where the class leaves it open, of the same one as `before`. */
function fitting(view: Buffer, type: CosemType, before?: Buffer): AxdrValue | undefined {
  const value = valueOfOctets(view)
  if (value === undefined || value.tag === Tag.NULL) return undefined
  if (type === 'any' && before !== undefined && before[0] !== value.tag) return undefined
  return meaningOf(value, type).notes.length === 0 ? value : undefined
}

const zero: AxdrValue = { tag: Tag.INTEGER, value: 0 }

/** Methods that take no parameter are given integer 0 by the standard, and nothing or null-data by some clients. */
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
