/**
 * One COSEM object as all meters of a type have it: shared, frozen, told which meter it stands for with each call.
 * [IEC 62056-6-2, clause 4: interface classes]
 */
import { AxdrWriter } from '../../core/dlms/axdr.ts'
import { parseObis } from '../../core/dlms/obis.ts'
import type { Meter } from './meter.ts'

export type SimulatedObject = {
  readonly obisBytes: Buffer
  readonly classId: number
  readonly version: number
  /** Attribute 1, the logical name, encoded. */
  readonly logicalName: Buffer
  readonly attributeMax: number
  readonly methodMax: number
  /** Whether attribute 2 takes selective access. */
  readonly isSelective: boolean
  /** Attributes that may be set. */
  readonly writable: readonly number[]
  /** Reads attribute 2 to `attributeMax`: its A-XDR value (shared: not to be changed), or a data-access-result. */
  read(
    meter: Meter,
    attribute: number,
    nowMs: number,
    selection: Buffer | undefined,
  ): Buffer | number
  /** Gives a data-access-result; absent when nothing may be set. `valueView` is one whole A-XDR value. */
  readonly write?: (meter: Meter, attribute: number, valueView: Buffer, nowMs: number) => number
  /** Gives an action-result, with a value where the method returns one; absent when nobody may invoke anything. */
  readonly invoke?: (
    meter: Meter,
    method: number,
    parameterView: Buffer | undefined,
    nowMs: number,
  ) => number | { result: number; value: Buffer }
}

type Shape = {
  obis: string
  classId: number
  version?: number
  attributeMax: number
  methodMax?: number
  isSelective?: boolean
  writable?: readonly number[]
  read: SimulatedObject['read']
  write?: NonNullable<SimulatedObject['write']>
  invoke?: NonNullable<SimulatedObject['invoke']>
}

export function cosemObject(shape: Shape): SimulatedObject {
  const obisBytes = parseObis(shape.obis)
  const {
    classId,
    version = 0,
    attributeMax,
    methodMax = 0,
    isSelective = false,
    writable = [],
    read,
  } = shape
  return {
    obisBytes,
    classId,
    version,
    logicalName: encoded((writer) => writer.octetString(obisBytes)),
    attributeMax,
    methodMax,
    isSelective,
    writable,
    read,
    ...(shape.write && { write: shape.write }),
    ...(shape.invoke && { invoke: shape.invoke }),
  }
}

const writer = new AxdrWriter()

/** The octets of one value, in memory of their own: for answers that are made once. */
export function encoded(write: (writer: AxdrWriter) => unknown): Buffer {
  writer.clear()
  write(writer)
  return Buffer.from(writer.take())
}

/** Answers that are the same for all meters, made once for each number. */
export const encodedEnumerations: readonly Buffer[] = Array.from({ length: 8 }, (_, value) =>
  encoded((w) => w.enumeration(value)),
)
export const encodedTrue: Buffer = encoded((w) => w.boolean(true))
export const encodedFalse: Buffer = encoded((w) => w.boolean(false))
export const encodedNull: Buffer = encoded((w) => w.null())
export const encodedUint8Zero: Buffer = encoded((w) => w.uint8(0))
export const encodedInt16Zero: Buffer = encoded((w) => w.int16(0))
