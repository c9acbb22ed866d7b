/**
 * Names of attributes and methods, and selective access to buffers and object lists, from octets
 * and to octets.
 *
 *   descriptor = class-id u16, instance-id OBIS code of 6 octets, attribute-id or method-id i8
 *   selection  = selector u8, parameters Data:
 *     profile, 1 range: structure (capture object | from | to | array of capture objects; an empty array: all columns)
 *     profile, 2 entry: structure (from entry u32 | to entry u32, 0 the last | from column u16, first is 1 | to column u16, 0 the last)
 *     association, 1 class: array of class-id u16 | 2 … 3 as an array of class-id and logical name
 *     capture object = structure (class-id u16 | logical name | attribute i8 | data index u16)
 *
 * [IEC 62056-5-3, Cosem-Attribute-Descriptor, Selective-Access-Descriptor; IEC 62056-6-2, Profile generic]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { descriptorBytes } from './constants.ts'
import { skipValue, Tag } from '../axdr/layout.ts'
import { AxdrView } from '../axdr/view.ts'
import { decodeValue, encodeValue, type AxdrValue } from '../axdr/value.ts'
import { AxdrWriter } from '../axdr/writer.ts'
import { formatObis, obisBytes, parseObis } from '../axdr/obis.ts'

/**
 * An attribute or a method: `instanceId` as `1-0:1.8.0.255`, `memberId` the attribute's or the
 * method's number.
 */
export type Descriptor = { classId: number; instanceId: string; memberId: number }

/** @throws BrokerError DLMS_LENGTH_INVALID for other than nine octets */
export function decodeDescriptor(view: Buffer): Descriptor {
  if (view.length !== descriptorBytes)
    throw new BrokerError('DLMS_LENGTH_INVALID', `descriptor of ${view.length} octets`)
  return {
    classId: view.readUInt16BE(0),
    instanceId: formatObis(view, 2),
    memberId: view.readInt8(8),
  }
}

/** Nine octets; owned. @throws BrokerError DLMS_VALUE_INVALID for what is no OBIS code */
export function encodeDescriptor({ classId, instanceId, memberId }: Descriptor): Buffer {
  const bytes = Buffer.allocUnsafe(descriptorBytes)
  bytes.writeUInt16BE(classId, 0)
  bytes.set(parseObis(instanceId), 2)
  bytes.writeInt8(memberId, 8)
  return bytes
}

/** A column of a profile. `dataIndex` 0: the whole attribute. */
export type CaptureObject = {
  classId: number
  instanceId: string
  attributeId: number
  dataIndex: number
}

/**
 * What of an attribute is asked for. Bounds of a range are Data, as a rule octet-strings of twelve
 * octets of date-time. What is neither range nor entry stays selector and parameters.
 */
export type Selection =
  | {
      type: 'range'
      restricting: CaptureObject
      from: AxdrValue
      to: AxdrValue
      columns: CaptureObject[]
    }
  | { type: 'entry'; fromEntry: number; toEntry: number; fromColumn: number; toColumn: number }
  | { type: 'other'; selector: number; parameters: AxdrValue }

const rangeSelector = 1
const entrySelector = 2

/**
 * Selector and parameters as an APDU has them; owned. @throws BrokerError DLMS_VALUE_INVALID,
 * DLMS_SIZE_EXCEEDED
 */
export function encodeSelection(selection: Selection): Buffer {
  const out = new AxdrWriter(64)
  if (selection.type === 'range') {
    const { restricting, from, to, columns } = selection
    writeCaptureObject(out.octet(rangeSelector).structure(4), restricting)
    out.octets(encodeValue(from)).octets(encodeValue(to)).array(columns.length)
    for (const column of columns) writeCaptureObject(out, column)
  } else if (selection.type === 'entry') {
    const { fromEntry, toEntry, fromColumn, toColumn } = selection
    out.octet(entrySelector).structure(4)
    out.uint32(fromEntry).uint32(toEntry).uint16(fromColumn).uint16(toColumn)
  } else out.octet(selection.selector).octets(encodeValue(selection.parameters))
  return out.take()
}

/**
 * Reads selector and parameters of an attribute of any class: what has not the shape of a range or
 * an entry is `other`.
 * @throws BrokerError as `decodeValue`
 */
export function decodeSelection(view: Buffer): Selection {
  const selector = view[0]
  if (selector === undefined) throw new BrokerError('DLMS_LENGTH_INVALID', 'no selector')
  // Whole, so that what follows may look at parts.
  void skipValue(view, 1)
  return (
    (selector === rangeSelector ? rangeOf(view) : undefined) ??
    (selector === entrySelector ? entryOf(view) : undefined) ?? {
      type: 'other',
      selector,
      parameters: decodeValue(view, 1),
    }
  )
}

function rangeOf(view: Buffer): Selection | undefined {
  const parameters = new AxdrView(view, 1)
  if (parameters.tag !== Tag.STRUCTURE || parameters.count !== 4) return undefined
  const restricting = captureObjectOf(parameters.element(0))
  const list = parameters.element(3)
  if (restricting === undefined || list.tag !== Tag.ARRAY) return undefined
  const columns = [...list].map(captureObjectOf)
  if (!columns.every((column) => column !== undefined)) return undefined
  return {
    type: 'range',
    restricting,
    from: parameters.element(1).value(),
    to: parameters.element(2).value(),
    columns,
  }
}

function entryOf(view: Buffer): Selection | undefined {
  const parameters = new AxdrView(view, 1)
  if (parameters.tag !== Tag.STRUCTURE || parameters.count !== 4) return undefined
  const numbers = [...parameters]
  const tags = [
    Tag.DOUBLE_LONG_UNSIGNED,
    Tag.DOUBLE_LONG_UNSIGNED,
    Tag.LONG_UNSIGNED,
    Tag.LONG_UNSIGNED,
  ]
  if (numbers.some(({ tag }, i) => tag !== tags[i])) return undefined
  const [fromEntry, toEntry, fromColumn, toColumn] = numbers.map((number) => number.number())
  return {
    type: 'entry',
    fromEntry: fromEntry!,
    toEntry: toEntry!,
    fromColumn: fromColumn!,
    toColumn: toColumn!,
  }
}

function captureObjectOf(object: AxdrView): CaptureObject | undefined {
  if (object.tag !== Tag.STRUCTURE || object.count !== 4) return undefined
  const [classId, instance, attribute, index] = [...object]
  if (
    classId!.tag !== Tag.LONG_UNSIGNED ||
    instance!.tag !== Tag.OCTET_STRING ||
    instance!.octets().length !== obisBytes ||
    attribute!.tag !== Tag.INTEGER ||
    index!.tag !== Tag.LONG_UNSIGNED
  )
    return undefined
  return {
    classId: classId!.number(),
    instanceId: formatObis(instance!.octets()),
    attributeId: attribute!.number(),
    dataIndex: index!.number(),
  }
}

function writeCaptureObject(out: AxdrWriter, object: CaptureObject): void {
  out.structure(4).uint16(object.classId).octetString(parseObis(object.instanceId))
  out.int8(object.attributeId).uint16(object.dataIndex)
}
