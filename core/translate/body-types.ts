/**
 * Types of the body of a ServiceRequest: members of its oneof `body`, by field number. The one
 * registry: numbers are those of the generated code, and a member that the proto gains and this
 * list lacks does not compile.
 */
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import {
  CreateSchedule,
  DeleteSchedules,
  ReadSchedules,
} from '../../proto/gen/busbar/v1/schedule.ts'
import { ProtobufReader } from './protobuf.ts'

type Body = NonNullable<ServiceRequest['body']>

/** An empty body of each type. */
const empty: { readonly [name in Body['$case']]: Extract<Body, { $case: name }> } = {
  displayMessage: { $case: 'displayMessage', value: { text: '' } },
  readPeriod: { $case: 'readPeriod', value: { startTime: undefined, endTime: undefined } },
  synchroniseClock: { $case: 'synchroniseClock', value: { toleranceSeconds: 0 } },
  createSchedule: { $case: 'createSchedule', value: CreateSchedule.decode(new Uint8Array()) },
  readSchedules: { $case: 'readSchedules', value: ReadSchedules.decode(new Uint8Array()) },
  deleteSchedules: { $case: 'deleteSchedules', value: DeleteSchedules.decode(new Uint8Array()) },
}

/** The field that a request with nothing but `body` has on the wire. */
function numberOf(body: Body): number {
  const wire = Buffer.from(
    ServiceRequest.encode({ ...ServiceRequest.decode(new Uint8Array()), body }).finish(),
  )
  const reader = new ProtobufReader(wire).open(wire, 0, wire.length)
  reader.nextField()
  return reader.field
}

/** `bodyType` of envelopes and of the catalogue. */
export const BodyType = {
  NONE: 0,
  DISPLAY_MESSAGE: numberOf(empty.displayMessage),
  READ_PERIOD: numberOf(empty.readPeriod),
  SYNCHRONISE_CLOCK: numberOf(empty.synchroniseClock),
  CREATE_SCHEDULE: numberOf(empty.createSchedule),
  READ_SCHEDULES: numberOf(empty.readSchedules),
  DELETE_SCHEDULES: numberOf(empty.deleteSchedules),
} as const

const numbers = Object.values(BodyType).filter((number) => number !== BodyType.NONE)
/** True for the body of a request about schedules, which Busbar itself answers. */
export const isOfSchedules = (bodyType: number): boolean =>
  bodyType >= BodyType.CREATE_SCHEDULE && bodyType <= BodyType.DELETE_SCHEDULES

/** Lowest and highest field number of the oneof. */
export const bodyTypeMin: number = Math.min(...numbers)
export const bodyTypeMax: number = Math.max(...numbers)
