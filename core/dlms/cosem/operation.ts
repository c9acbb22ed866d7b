/**
 * Reads, writes and invocations of COSEM objects as the operations that core/ports/wan carries,
 * from names and JSON.
 */
import type { CosemOperation } from '../../ports/wan.ts'
import { encodeDescriptor, encodeSelection, type Selection } from '../apdu/descriptor.ts'
import { writeAttribute, writeParameter } from './attribute.ts'
import { attributeOf, classOf, methodOf } from './class-table.ts'
import type { Json } from './type.ts'

/**
 * An object of a device. `version` as its object list says it; the newest known when it is not
 * known.
 */
export type CosemObject = { classId: number; version?: number | undefined; instanceId: string }

/**
 * GET; an attribute by number may be one that no table knows. @throws BrokerError
 * DLMS_VALUE_INVALID, as those below
 */
export function readOperation(
  object: CosemObject,
  attribute: number | string,
  selection?: Selection,
): CosemOperation {
  const memberId =
    typeof attribute === 'number'
      ? attribute
      : attributeOf(classOf(object.classId, object.version), attribute).id
  const descriptor = encodeDescriptor({ ...object, memberId })
  if (selection === undefined) return { kind: 'get', descriptor }
  return { kind: 'get', descriptor, selection: encodeSelection(selection) }
}

/** SET of named JSON. */
export function writeOperation(
  object: CosemObject,
  attribute: number | string,
  json: Json,
): CosemOperation {
  const { id } = attributeOf(classOf(object.classId, object.version), attribute)
  return {
    kind: 'set',
    descriptor: encodeDescriptor({ ...object, memberId: id }),
    value: writeAttribute(object, id, json),
  }
}

/** ACTION; methods without a parameter of their own take integer 0. */
export function invokeOperation(
  object: CosemObject,
  method: number | string,
  json: Json = 0,
): CosemOperation {
  const { id } = methodOf(classOf(object.classId, object.version), method)
  return {
    kind: 'action',
    descriptor: encodeDescriptor({ ...object, memberId: id }),
    value: writeParameter(object, id, json),
  }
}
