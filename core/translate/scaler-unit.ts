/**
 * The scaler_unit attribute: structure of integer (a power of ten) and enum (a unit by its COSEM
 * code).
 * @source IEC 62056-6-2 register, scaler_unit; table of units
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { Tag } from '../dlms/axdr/axdr.ts'
import type { CosemResult } from '../ports/wan.ts'
import { type ProtobufWriter, tagOf, WireType } from './protobuf.ts'

const scalerUnitBytes = 6

/**
 * What is wrong with a result that should be a scaler_unit; undefined for one, and where the meter
 * has none.
 */
export function scalerProblem({ result, value }: CosemResult): string | undefined {
  if (result !== 0 || value === undefined || (value[0] === Tag.NULL && value.length === 1))
    return undefined
  return isScalerUnit(asBuffer(value))
    ? undefined
    : 'its scaler_unit is no structure of scaler and unit: the value is not scaled'
}

function isScalerUnit(view: Buffer): boolean {
  return (
    view.length === scalerUnitBytes &&
    view[0] === Tag.STRUCTURE &&
    view[1] === 2 &&
    view[2] === Tag.INTEGER &&
    // Some meters send the unit as unsigned.
    (view[4] === Tag.ENUM || view[4] === Tag.UNSIGNED)
  )
}

/**
 * Appends the scaler (sint32) at `firstField` and the unit behind it; nothing when the meter
 * refused them or has null there.
 * @throws BrokerError DLMS_VALUE_INVALID when the value is no scaler_unit
 */
export function appendScalerUnit(
  writer: ProtobufWriter,
  firstField: number,
  { result, value }: CosemResult,
): void {
  if (result !== 0 || value === undefined || (value[0] === Tag.NULL && value.length === 1)) return
  const view = asBuffer(value)
  if (!isScalerUnit(view)) throw new BrokerError('DLMS_VALUE_INVALID', 'not a scaler_unit')
  const scaler = view.readInt8(3)
  const unit = view[5]!
  if (scaler !== 0) {
    writer.octet(tagOf(firstField, WireType.VARINT))
    writer.zigzag(scaler)
  }
  if (unit !== 0) {
    writer.octet(tagOf(firstField + 1, WireType.VARINT))
    writer.varint(unit)
  }
}
