/**
 * What the services of a client's exchange have in common: each carries out some of the operations,
 * from its request to the last of its results. get, set, action, access and the short-name ones
 * stand in files of their own; client.ts goes from one to the next.
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'

/** All results of the service are there. */
export const done = Symbol('done')
/** The meter will not have several operations in one request: the same ones again, one by one. */
export const oneByOne = Symbol('one by one')

/** The next APDU to send, or how the service ended. */
export type ServiceStep = Buffer | typeof done | typeof oneByOne

/**
 * What a service is made with. `pduBytesMax` is the largest APDU that the meter receives, less what
 * protection adds.
 */
export type ServiceTerms = { conformance: number; pduBytesMax: number; invokeId: number }

export interface ClientService {
  /** Operations that it carries out. */
  readonly count: number
  /** First octet of its responses. */
  readonly responseTag: number
  start(): Buffer
  /** Takes a response with `responseTag` and the right invoke id, at least four octets of it. */
  receive(view: Buffer): ServiceStep
}

/**
 * What the services with logical names are made of: `count` operations from `from` on, whose
 * results go to `results`.
 */
export abstract class OperationsService {
  readonly count: number
  protected readonly terms: ServiceTerms
  readonly operations: readonly CosemOperation[]
  readonly from: number
  protected readonly results: CosemResult[]

  constructor(
    terms: ServiceTerms,
    operations: readonly CosemOperation[],
    from: number,
    count: number,
    results: CosemResult[],
  ) {
    this.terms = terms
    this.operations = operations
    this.from = from
    this.count = count
    this.results = results
  }
}

/**
 * The octets of the largest list of operations in one request, in its count: beyond one octet
 * nothing is saved any more.
 */
export const listOperationsMax = 127

/**
 * Takes `results` over; with fewer than were asked for, nothing. @throws DLMS_LENGTH_INVALID for
 * more
 */
export function takeResults(
  into: CosemResult[],
  results: CosemResult[] | undefined,
  count: number,
): typeof done | typeof oneByOne {
  // A list that is cut short is how some meters say that an object is missing.
  if (results === undefined || results.length < count) return oneByOne
  if (results.length > count)
    throw new BrokerError(
      'DLMS_LENGTH_INVALID',
      `${results.length} results for ${count} operations`,
    )
  for (const result of results) into.push(result)
  return done
}

/** A block of ours was acknowledged by another number than it has. */
export function wrongAcknowledgement(acknowledged: number, sent: number): BrokerError {
  return new BrokerError('DLMS_BLOCK_NUMBER_WRONG', `acknowledged ${acknowledged}, sent ${sent}`)
}

/**
 * How many operations of `kind` stand in a row from `from` on and fit, each taking what `bytesOf`
 * says, in `roomBytes`.
 */
export function countInRow(
  operations: readonly CosemOperation[],
  from: number,
  roomBytes: number,
  bytesOf: (operation: CosemOperation) => number,
): number {
  const { kind } = operations[from]!
  const most = Math.min(operations.length, from + listOperationsMax)
  let left = roomBytes
  let end = from
  while (end < most && operations[end]!.kind === kind) {
    left -= bytesOf(operations[end]!)
    if (left < 0) break
    end++
  }
  return Math.max(1, end - from)
}
