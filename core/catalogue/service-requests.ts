/**
 * The catalogue: what Busbar knows of every service reference variant, and for those that it serves
 * the COSEM operations that carry them out. Station 2 and 8 of a message's way. The rows are data:
 * service-requests.json names all 129 variants of DUIS 5.4, operations.json gives body type and
 * operations of the served ones. To serve another variant, add its operations there (and a body
 * type to the proto, if it takes a new one); no code asks which variant it has in hand. This file
 * does not encode anything: core/translate does.
 */
import { assert } from '../base/assert.ts'
import { Lane } from '../base/lane.ts'
import { parseSrv, type Srv } from '../base/srv.ts'
import { DeviceType } from '../inventory/device-record.ts'
import operationRows from './operations.json' with { type: 'json' }
import requestRows from './service-requests.json' with { type: 'json' }

/** User roles of the GB interface. */
export const Role = ['IS', 'ES', 'GS', 'RSA', 'ED', 'GT', 'OU', 'LC'] as const
export type Role = (typeof Role)[number]

/**
 * Which part of Busbar answers a variant: the device itself, by a command over the WAN; the actor
 * of the device, for what Busbar keeps about it (schedules, life cycle); views of the ledger; or a
 * campaign over many devices.
 */
export const AnsweredBy = ['device', 'device-actor', 'view', 'campaign'] as const
export type AnsweredBy = (typeof AnsweredBy)[number]

/** Who keeps a request for a later time. */
export const FutureDated = ['busbar', 'device'] as const
export type FutureDated = (typeof FutureDated)[number]

/**
 * What takes part in an operation's value, by name, because it is known only when the command is
 * built.
 */
export const ValueSource = ['text', 'preset-time', 'zero', 'internal-crystal'] as const
export type ValueSource = (typeof ValueSource)[number]

/**
 * What an answer is: a reading of its own (the default), the scaler_unit of the register with the
 * same class and OBIS code, or the buffer, capture_objects or capture_period of a profile.
 */
export const Yield = ['reading', 'scaler-unit', 'profile', 'columns', 'capture-period'] as const
export type Yield = (typeof Yield)[number]

/** One COSEM operation of a variant, as data. */
export type OperationTemplate = {
  readonly kind: 'get' | 'set' | 'action'
  readonly classId: number
  /** For example `1-0:1.8.0.255`. */
  readonly obis: string
  /** Attribute id, or method id of an action. */
  readonly index: number
  /** When the meter refuses it, the request still counts as done. */
  readonly isOptional: boolean
  readonly yields: Yield
  /** How octets are to be read where COSEM leaves it open. */
  readonly as: 'any' | 'text' | 'time'
  /** GET with selective access by the period of the body. */
  readonly selection: 'period' | undefined
  /** SET and ACTION: the value or parameter. */
  readonly value: ValueSource | undefined
  /** The reading must say that what was asked came about: the clock stands where it was set. */
  readonly expect: 'now' | undefined
  /** Device types it is sent to. */
  readonly deviceTypes: readonly DeviceType[]
}

export type ServiceRequestRow = {
  readonly srv: Srv
  /** As parties write it. */
  readonly text: string
  readonly name: string
  readonly roles: readonly Role[]
  readonly deviceTypes: readonly DeviceType[]
  /** Needs the party's own signature on the command in the GB interface. */
  readonly isCritical: boolean
  /** Only those of the device itself end in a command, and have operations. */
  readonly answeredBy: AnsweredBy
  /** A schedule may run it. */
  readonly isSchedulable: boolean
  /** Where the party names no priority. */
  readonly lane: Lane
  /** Where a request for a later time may be kept until then: at Busbar, at the device. */
  readonly futureDated: readonly FutureDated[]
  /** Busbar carries it out; if false it is refused with REQUEST_SRV_UNSUPPORTED. */
  readonly isServed: boolean
  /** Field number in the `body` oneof of busbar.v1.ServiceRequest; 0 when it takes none. */
  readonly bodyType: number
  readonly operations: readonly OperationTemplate[]
}

type RawOperation = {
  kind: string
  class: number
  obis: string
  index: number
  devices?: string
  optional?: boolean
  yields?: string
  as?: string
  selection?: string
  value?: string
  expect?: string
}

// JSON gives plain strings; the words are checked against their lists once, when the process
// starts.
function oneOf<Word extends string>(words: readonly Word[], text: string, where: string): Word {
  assert((words as readonly string[]).includes(text), `catalogue: ${text} in ${where}`)
  return text as Word
}

function listOf<Word extends string>(words: readonly Word[], text: string, where: string): Word[] {
  return text === '' ? [] : text.split(' ').map((word) => oneOf(words, word, where))
}

function templateOf(
  raw: RawOperation,
  deviceTypes: readonly DeviceType[],
  where: string,
): OperationTemplate {
  assert(raw.kind === 'get' || raw.value !== undefined, `catalogue: no value in ${where}`)
  return {
    kind: oneOf(['get', 'set', 'action'], raw.kind, where),
    classId: raw.class,
    obis: raw.obis,
    index: raw.index,
    isOptional: raw.optional === true,
    yields: oneOf(Yield, raw.yields ?? 'reading', where),
    as: oneOf(['any', 'text', 'time'], raw.as ?? 'any', where),
    selection:
      raw.selection === undefined ? undefined : oneOf<'period'>(['period'], raw.selection, where),
    value: raw.value === undefined ? undefined : oneOf(ValueSource, raw.value, where),
    expect: raw.expect === undefined ? undefined : oneOf<'now'>(['now'], raw.expect, where),
    deviceTypes: raw.devices === undefined ? deviceTypes : listOf(DeviceType, raw.devices, where),
  }
}

/** All variants, in the order of the catalogue. */
export const serviceRequests: readonly ServiceRequestRow[] = requestRows.map(
  (raw): ServiceRequestRow => {
    const served = (
      operationRows as Record<string, { bodyType: number; operations: RawOperation[] }>
    )[raw.srv]
    const deviceTypes = listOf(DeviceType, raw.devices, raw.srv)
    return {
      srv: parseSrv(raw.srv),
      text: raw.srv,
      name: raw.name,
      roles: listOf(Role, raw.roles, raw.srv),
      deviceTypes,
      isCritical: raw.critical,
      answeredBy: oneOf(AnsweredBy, raw.answeredBy, raw.srv),
      futureDated: listOf(FutureDated, raw.futureDated ?? '', raw.srv),
      isSchedulable: raw.schedulable === true,
      lane: Lane[oneOf(['URGENT', 'NORMAL', 'BULK'], raw.lane, raw.srv)],
      isServed: served !== undefined,
      bodyType: served?.bodyType ?? 0,
      operations: (served?.operations ?? []).map((operation) =>
        templateOf(operation, deviceTypes, raw.srv),
      ),
    }
  },
)

const rowOf = new Map<number, ServiceRequestRow>(serviceRequests.map((row) => [row.srv, row]))
assert(
  rowOf.size === serviceRequests.length && !rowOf.has(0),
  'catalogue: a variant stands twice or is malformed',
)
assert(
  Object.entries(operationRows).every(([text, { operations }]) => {
    const by = rowOf.get(parseSrv(text))?.answeredBy
    return operations.length > 0 ? by === 'device' : by === 'device-actor'
  }),
  'catalogue: operations of a variant that does not exist, or that no device answers',
)

/** The row of a variant, or undefined when there is no such variant. */
export function serviceRequestOf(srv: Srv): ServiceRequestRow | undefined {
  return rowOf.get(srv)
}
