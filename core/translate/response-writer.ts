/**
 * The writer of what a device gave: protobuf fields, and beside them what every value of the device
 * is read with. Made once where answers or alerts are encoded and passed down; used for one after
 * another. Station 10 to 12 of a message's way.
 */
import type { LocalZone } from '../dlms/axdr/local-time.ts'
import { ProtobufWriter } from './protobuf.ts'

/** Columns of a profile. */
export const columnsMax = 255

export class ResponseWriter extends ProtobufWriter {
  /** Of the device's clock, where it sends no deviation and its zone is known. */
  zone: LocalZone | undefined
  /**
   * Where each element of the present row of a profile begins, and in the last place where the row
   * ends.
   */
  readonly elementAt: Int32Array = new Int32Array(columnsMax + 1)
}
