/**
 * What the services of a device's side share: the objects, what was agreed with the client, and the
 * one transfer in blocks that may be under way. server.ts owns it; the services stand in files of
 * their own. [IEC 62056-5-3, xDLMS services]
 */
import { DataAccessResult, descriptorBytes, Conformance } from '../apdu/constants.ts'
import { skipValue, Tag } from '../axdr/layout.ts'
import type { BlockCutter, BlockGatherer } from '../transfer/service-blocks.ts'
import { leftOver } from './response.ts'

/**
 * The COSEM objects of a logical device. Everything given borrows for the call. Descriptors have
 * nine octets (class-id, OBIS code, attribute-id or method-id); a selection is the selector octet
 * and its parameters; values are A-XDR.
 */
export interface CosemObjects {
  /**
   * The value, not changed by anybody until it has been sent as a whole (blocks are cut from it),
   * or a data-access-result.
   */
  get(descriptor: Buffer, selection: Buffer | undefined): Buffer | number
  /** A data-access-result, 0 for success. `valueView` is one whole value. */
  set(descriptor: Buffer, selection: Buffer | undefined, valueView: Buffer): number
  /** An action-result, 0 for success, and the value that the method returns, if it does. */
  invoke(
    descriptor: Buffer,
    parameterView: Buffer | undefined,
  ): { result: number; value?: Buffer | undefined }
}

/** A transfer in blocks: what is being sent, or what is being gathered and what it is for. */
export type Transfer =
  | { kind: 'get'; invokeId: number; cutter: BlockCutter }
  | { kind: 'action-out'; invokeId: number; cutter: BlockCutter }
  | { kind: 'read'; cutter: BlockCutter }
  | { kind: 'write'; gatherer: BlockGatherer }
  | {
      kind: 'set' | 'action-in'
      invokeId: number
      gatherer: BlockGatherer
      /** Owned: attribute or method descriptors, one for each value. */
      targets: Target[]
      isList: boolean
    }
export type Target = { descriptor: Buffer; selection: Buffer | undefined }

export interface ServerSession {
  readonly objects: CosemObjects
  /** Agreed bits. */
  readonly conformance: number
  /** What the client receives and we send. */
  readonly pduBytesMax: number
  /** True when an answer of any size can be sent, in general blocks. */
  readonly takesAnySize: boolean
  transfer: Transfer | undefined
}

/** The value of the attribute, or a data-access-result. */
export function readAttribute(
  { objects, conformance }: ServerSession,
  descriptor: Buffer,
  selection: Buffer | undefined,
): Buffer | number {
  if (selection !== undefined && (conformance & Conformance.SELECTIVE_ACCESS) === 0)
    return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
  return objects.get(descriptor, selection)
}

/**
 * Writes the one value that `valueView` is; gives a data-access-result. @throws DLMS_LENGTH_INVALID
 * when it is more or less
 */
export function writeAttribute(
  { objects, conformance }: ServerSession,
  { descriptor, selection }: Target,
  valueView: Buffer,
): number {
  if (selection !== undefined && (conformance & Conformance.SELECTIVE_ACCESS) === 0)
    return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
  const end = skipValue(valueView, 0)
  if (end !== valueView.length) throw leftOver(end)
  return objects.set(descriptor, selection, valueView)
}

/** In a list null-data stands for a method without parameter. */
export const parameterOf = (valueView: Buffer): Buffer | undefined =>
  valueView.length === 1 && valueView[0] === Tag.NULL ? undefined : valueView

/** The descriptor at `at`, borrowed. */
export const descriptorAt = (view: Buffer, at: number): Buffer =>
  view.subarray(at, at + descriptorBytes)
