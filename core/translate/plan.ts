/**
 * The catalogue's operation templates made ready for the wire, once, when the process starts: COSEM
 * descriptors laid out as octets, the constant front of each reading, and which operation gives the
 * scaler, the columns and the period of which other. One plan for each served variant and device
 * type. Between the catalogue (data) and command.ts and answer.ts.
 */
import { assert } from '../base/assert.ts'
import type { DeviceType } from '../inventory/device-record.ts'
import {
  serviceRequests,
  type OperationTemplate,
  type ServiceRequestRow,
} from '../catalogue/service-requests.ts'
import { parseObis } from '../dlms/axdr/obis.ts'
import type { CosemOperation } from '../ports/wan.ts'
import { ProtobufWriter, tagOf, WireType } from './protobuf.ts'

export const descriptorBytes = 9

/** What is the same for every use of an operation. */
export type OperationPlan = {
  readonly template: OperationTemplate
  /** Cosem-Attribute-Descriptor or Cosem-Method-Descriptor. */
  readonly descriptor: Buffer
  /** Fields 1 to 4 of busbar.v1.Reading: OBIS text, class, attribute or method id, is_method. */
  readonly readingFront: Buffer
  /** Index of the operation of the same object that yields this, or -1. */
  readonly scalerIndex: number
  readonly columnsIndex: number
  readonly periodIndex: number
}

/**
 * An operation with the plan that its answer is read by. Constant ones are shared between requests:
 * never change one.
 */
export class PlannedOperation implements CosemOperation {
  readonly kind: 'get' | 'set' | 'action'
  readonly descriptor: Uint8Array
  readonly plan: OperationPlan
  /** The period asked for, UTC ms, inclusive; everything when none was. */
  fromMs = Number.NEGATIVE_INFINITY
  toMs = Number.POSITIVE_INFINITY
  /** UTC ms that the reading is expected to show, for templates that expect something. */
  expectedMs = 0
  // Left undefined where the operation has none; declared by the port as optional.
  declare selection?: Uint8Array
  declare value?: Uint8Array

  constructor(plan: OperationPlan) {
    this.kind = plan.template.kind
    this.descriptor = plan.descriptor
    this.plan = plan
  }
}

/**
 * One operation for each plan, in order; `complete` adds what depends on the request. All lists of
 * operations are made here, item by item, so that the engine sees one kind of array: `map` gives
 * another kind once it is compiled, and everything compiled for the first kind is thrown away then.
 */
export function operationsOf(
  plans: readonly OperationPlan[],
  complete: (operation: PlannedOperation) => void = () => {},
): PlannedOperation[] {
  const operations: PlannedOperation[] = []
  for (const plan of plans) {
    const operation = new PlannedOperation(plan)
    complete(operation)
    operations.push(operation)
  }
  return operations
}

export type CommandPlan = {
  readonly plans: readonly OperationPlan[]
  /** The finished operations, when nothing in them depends on the request. */
  readonly operations: readonly PlannedOperation[] | undefined
}

// [IEC 62056-5-3 Cosem-Attribute-Descriptor]: class-id u16, instance-id 6 octets, attribute-id i8.
function descriptorOf(template: OperationTemplate): Buffer {
  const descriptor = Buffer.alloc(descriptorBytes)
  descriptor.writeUInt16BE(template.classId, 0)
  descriptor.set(parseObis(template.obis), 2)
  descriptor.writeInt8(template.index, 8)
  return descriptor
}

function readingFrontOf(template: OperationTemplate): Buffer {
  const writer = new ProtobufWriter(128)
  const obis = Buffer.from(template.obis, 'latin1')
  writer.octet(tagOf(1, WireType.LENGTH))
  writer.lengthDelimited(obis, 0, obis.length)
  writer.octet(tagOf(2, WireType.VARINT))
  writer.varint(template.classId)
  writer.octet(tagOf(3, WireType.VARINT))
  writer.varint(template.index)
  if (template.kind === 'action') {
    writer.octet(tagOf(4, WireType.VARINT))
    writer.octet(1)
  }
  return Buffer.from(writer.take())
}

function planOf(templates: readonly OperationTemplate[]): CommandPlan {
  const siblingOf = (template: OperationTemplate, yields: OperationTemplate['yields']): number =>
    template.yields === yields
      ? -1
      : templates.findIndex(
          (other) =>
            other.yields === yields &&
            other.classId === template.classId &&
            other.obis === template.obis,
        )
  const plans = templates.map((template): OperationPlan => ({
    template,
    descriptor: descriptorOf(template),
    readingFront: readingFrontOf(template),
    scalerIndex: siblingOf(template, 'scaler-unit'),
    columnsIndex: siblingOf(template, 'columns'),
    periodIndex: siblingOf(template, 'capture-period'),
  }))
  const isConstant = templates.every(
    ({ selection, value, expect }) =>
      selection === undefined && value === undefined && expect === undefined,
  )
  return {
    plans,
    operations: isConstant ? operationsOf(plans) : undefined,
  }
}

type PlansOfRow = {
  readonly byDeviceType: ReadonlyMap<DeviceType, CommandPlan>
  readonly first: CommandPlan
}

const plansOfRow = new Map<ServiceRequestRow, PlansOfRow>()
for (const row of serviceRequests) {
  // What Busbar answers itself becomes no command.
  if (!row.isServed || row.answeredBy !== 'device') continue
  const byDeviceType = new Map<DeviceType, CommandPlan>()
  for (const deviceType of row.deviceTypes) {
    const templates = row.operations.filter(({ deviceTypes }) => deviceTypes.includes(deviceType))
    assert(templates.length > 0, `catalogue: ${row.text} has no operation for ${deviceType}`)
    byDeviceType.set(deviceType, planOf(templates))
  }
  plansOfRow.set(row, { byDeviceType, first: byDeviceType.get(row.deviceTypes[0]!)! })
}

/**
 * The plan of a served variant for a device type; for a type that does not take it, that of the
 * first which does.
 */
export function commandPlanOf(row: ServiceRequestRow, deviceType: DeviceType): CommandPlan {
  const plans = plansOfRow.get(row)
  assert(plans !== undefined, `${row.text} is not served`)
  return plans.byDeviceType.get(deviceType) ?? plans.first
}
