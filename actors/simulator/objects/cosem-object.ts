/**
 * One COSEM object as all meters of a type have it: shared, frozen, told which meter it stands for
 * with each call. [IEC 62056-6-2, clause 4: interface classes]
 */
import { AxdrWriter } from '../../../core/dlms/axdr/axdr.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'
import type { Link } from '../model/access-link.ts'
import type { MeterState } from '../model/meter-state.ts'

/** An action-result, with a value where the method returns one. */
export type Outcome = number | { result: number; value: Buffer }

export type SimulatedObject = {
  readonly obisBytes: Buffer
  readonly classId: number
  readonly version: number
  /** Attribute 1, the logical name, encoded. */
  readonly logicalName: Buffer
  readonly attributeMax: number
  readonly methodMax: number
  /** Selectors of selective access that attribute 2 takes. */
  readonly selectors: readonly number[]
  /** Whether the public client may read it, too. */
  readonly isPublic: boolean
  /** Attributes that may be set, that may not be read, and methods that may be invoked. */
  readonly writable: readonly number[]
  readonly unreadable: readonly number[]
  readonly invocable: readonly number[]
  /** Absent for an object that is always there. */
  readonly isThere?: (link: Link) => boolean
  /**
   * Reads attribute 2 to `attributeMax`: its A-XDR value (shared: not to be changed), or a
   * data-access-result.
   */
  read(
    meter: MeterState,
    attribute: number,
    nowMs: number,
    selection: Buffer | undefined,
    link: Link,
  ): Buffer | number
  /**
   * Gives a data-access-result; absent when nothing may be set. `valueView` is one whole A-XDR
   * value.
   */
  readonly write?: (
    meter: MeterState,
    attribute: number,
    valueView: Buffer,
    nowMs: number,
  ) => number
  /** Absent when nobody may invoke anything. */
  readonly invoke?: (
    meter: MeterState,
    method: number,
    parameterView: Buffer | undefined,
    nowMs: number,
  ) => Outcome
}

type Shape = {
  obis: string
  classId: number
  version?: number
  attributeMax: number
  methodMax?: number
  selectors?: readonly number[]
  isPublic?: boolean
  writable?: readonly number[]
  unreadable?: readonly number[]
  /** All methods when there is an `invoke`. */
  invocable?: readonly number[]
  isThere?: NonNullable<SimulatedObject['isThere']>
  read: SimulatedObject['read']
  write?: NonNullable<SimulatedObject['write']>
  invoke?: NonNullable<SimulatedObject['invoke']>
}

export function cosemObject(shape: Shape): SimulatedObject {
  const obisBytes = parseObis(shape.obis)
  const { classId, version = 0, attributeMax, methodMax = 0, read, isThere, write, invoke } = shape
  const { selectors = [], isPublic = false, writable = [], unreadable = [] } = shape
  const allMethods = Array.from({ length: invoke === undefined ? 0 : methodMax }, (_, i) => i + 1)
  return {
    obisBytes,
    classId,
    version,
    logicalName: encoded((writer) => writer.octetString(obisBytes)),
    attributeMax,
    methodMax,
    selectors,
    isPublic,
    writable,
    unreadable,
    invocable: shape.invocable ?? allMethods,
    read,
    ...(isThere && { isThere }),
    ...(write && { write }),
    ...(invoke && { invoke }),
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

/** A number for the OBIS code at `at`; -1 for codes that no object here has. */
export function obisKey(view: Buffer, at: number): number {
  // All objects are of media below 8 and channels below 16, and stand for the present.
  if (view[at]! > 7 || view[at + 1]! > 15 || view[at + 5] !== 255) return -1
  return (
    (view[at]! << 28) |
    (view[at + 1]! << 24) |
    (view[at + 2]! << 16) |
    (view[at + 3]! << 8) |
    view[at + 4]!
  )
}
