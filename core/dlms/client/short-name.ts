/**
 * Short-name referencing from the head-end's side: GET is a read, SET a write; ACTION is a read
 * with a parameter where the meter agrees to those, so that what the method returns comes back, and
 * a write otherwise. Names come from the meter's object list: attribute n of an object stands at
 * its base name + 8 (n - 1). A value may come, and go, in blocks.
 * [IEC 62056-5-3, Read and Write services; IEC 62056-6-2, association SN]
 */
import { asBuffer } from '../../base/bytes.ts'
import { BrokerError } from '../../base/broker-error.ts'
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'
import { ApduTag, Conformance, DataAccessResult } from '../apdu/constants.ts'
import { decodeApdu, encodeApdu, type ApduOf } from '../apdu/codec.ts'
import type { ReadResult, VariableAccess, WriteResult } from '../apdu/short-name.ts'
import { lengthBytes, readLength, Tag } from '../axdr/layout.ts'
import { BlockCutter, BlockGatherer } from '../transfer/service-blocks.ts'
import {
  countInRow,
  done,
  oneByOne,
  takeResults,
  wrongAcknowledgement,
  type ClientService,
  type ServiceStep,
  type ServiceTerms,
} from './service.ts'
import { encodeValue } from '../axdr/axdr.ts'
import {
  copyOfOctets,
  readResultList,
  refusalResult,
  trimmedTransfer,
  unexpected,
} from './response.ts'

/**
 * The short name of what an operation concerns, an attribute or a method, or undefined when the
 * meter has none.
 */
export type ShortNames = (
  operation: Pick<CosemOperation, 'kind' | 'descriptor'>,
) => number | undefined

/**
 * Short names that come from the meter's object list, or are known already. The caller keeps them
 * for as long as they are valid.
 */
export type ShortNameBook = {
  readonly nameOf: ShortNames
  /** False while the object list is to be read first. */
  readonly isComplete: boolean
  /**
   * Takes the object list of the present association. @throws BrokerError as `decodeValue`,
   * DLMS_VALUE_INVALID for another shape
   */
  learn(listView: Buffer): void
}

/**
 * Base name of the present association, the one object whose place is fixed. [IEC 62056-6-2,
 * association SN]
 */
export const associationBaseName = 0xfa00
/** Octets between the names of two attributes. */
export const attributeStride = 8
// Its method reply_to_HLS_authentication.
export const replyToHlsName: number = associationBaseName + 0x58

// A method has no selectors; makers' heads put 1 there.
const methodSelector = 1
const nullView = Buffer.of(Tag.NULL)
// Tag and count; choice, name, selector.
const headBytes = 2
const specificationBytes = 4

/**
 * How many operations, the first and those behind it, go in one request: reads without selection,
 * or writes that fit.
 */
function countOfShortNames(operations: readonly CosemOperation[], pduBytesMax: number): number {
  if (operations[0]!.kind === 'action') return 1
  return countInRow(operations, 0, pduBytesMax - headBytes - 1, ({ selection, value }) =>
    selection === undefined ? specificationBytes + (value?.length ?? 0) : Infinity,
  )
}

/** Asked for in place of what has no name: no attribute or method stands at such a number. */
const unknownName = 0xfff9

/** True when methods can be called by reading them, which brings back what they return. */
const isParameterized = ({ conformance }: ServiceTerms): boolean =>
  (conformance & Conformance.PARAMETERIZED_ACCESS) !== 0

/** The read that gives our proof of high-level security and brings the meter's. */
export function proofService(
  terms: ServiceTerms,
  proof: CosemOperation,
  results: CosemResult[],
): ClientService {
  const conformance = terms.conformance | Conformance.PARAMETERIZED_ACCESS
  return new ReadService({ ...terms, conformance }, [proof], [replyToHlsName], results)
}

// Association SN of the present association 0-0:40.0.0.255, object_list.
const objectList = Buffer.from('000c0000280000ff02', 'hex')
const objectListName = associationBaseName + attributeStride

/** The read that brings the object list. */
export function listingService(terms: ServiceTerms, results: CosemResult[]): ClientService {
  const operation: CosemOperation = { kind: 'get', descriptor: objectList }
  return new ReadService(terms, [operation], [objectListName], results)
}

/**
 * The list that `listingService` brought. @throws BrokerError DLMS_VALUE_INVALID when the meter
 * refused it
 */
export function namesIn([listed]: readonly CosemResult[]): Buffer {
  if (listed?.value === undefined)
    throw new BrokerError(
      'DLMS_VALUE_INVALID',
      `the object list with short names was refused: result ${listed?.result}`,
    )
  return asBuffer(listed.value)
}

/**
 * True for an operation with a selection that this association has no words for: the bit that says
 * so was not agreed to.
 */
const isSelectionRefused = (terms: ServiceTerms, { kind, selection }: CosemOperation): boolean =>
  kind !== 'action' && selection !== undefined && !isParameterized(terms)

abstract class ShortNameService {
  readonly count: number
  protected readonly terms: ServiceTerms
  protected readonly operations: readonly CosemOperation[]
  protected readonly results: CosemResult[]
  protected readonly names: readonly number[]

  constructor(
    terms: ServiceTerms,
    operations: readonly CosemOperation[],
    names: readonly number[],
    results: CosemResult[],
  ) {
    this.terms = terms
    this.operations = operations
    this.names = names
    this.count = operations.length
    this.results = results
  }

  protected specification(index: number): VariableAccess {
    const { kind, selection, value } = this.operations[index]!
    const variableName = this.names[index]!
    if (kind === 'action' || selection === undefined)
      return kind === 'action' && isParameterized(this.terms)
        ? {
            type: 'parameterized-access',
            variableName,
            selector: methodSelector,
            parameterView: value === undefined ? nullView : asBuffer(value),
          }
        : { type: 'variable-name', variableName }
    return {
      type: 'parameterized-access',
      variableName,
      selector: selection[0]!,
      parameterView: asBuffer(selection).subarray(1),
    }
  }
}

class ReadService extends ShortNameService implements ClientService {
  readonly responseTag = ApduTag.READ_RESPONSE
  private gatherer: BlockGatherer | undefined

  start(): Buffer {
    const specifications = this.operations.map((_, index) => this.specification(index))
    return encodeApdu({ type: 'read-request', specifications })
  }

  receive(view: Buffer): ServiceStep {
    const { results } = decodeApdu(view, { isTolerant: true }) as ApduOf<'read-response'>
    const [first] = results
    if (first?.type === 'data-block-result') return this.receiveBlock(first)
    if (first?.type === 'block-number' || this.gatherer !== undefined)
      throw unexpected(view, 'a read')
    return takeResults(this.results, results.map(resultOf), this.count)
  }

  private receiveBlock(block: ReadResult & { type: 'data-block-result' }): ServiceStep {
    const { lastBlock, blockNumber, rawDataView } = block
    const gatherer = (this.gatherer ??= new BlockGatherer())
    if (blockNumber !== gatherer.blockNumber + 1)
      throw new BrokerError(
        'DLMS_BLOCK_NUMBER_WRONG',
        `block ${blockNumber} after block ${gatherer.blockNumber}`,
      )
    if (rawDataView.length === 0 && !lastBlock)
      throw new BrokerError('DLMS_LENGTH_INVALID', `block ${blockNumber} is empty`)
    gatherer.append(rawDataView, 0, rawDataView.length, lastBlock)
    gatherer.blockNumber = blockNumber
    if (!lastBlock) {
      const specifications: VariableAccess[] = [{ type: 'block-number-access', blockNumber }]
      return encodeApdu({ type: 'read-request', specifications })
    }
    return this.finish(gatherer.take())
  }

  /** What the blocks bring is the list of results; some meters send the one value alone. */
  private finish(bytes: Buffer): ServiceStep {
    const count = readLength(bytes, 0)
    const isList = count === this.count && (bytes[lengthBytes(bytes, 0)] ?? 9) <= 1
    const listed = isList ? readResultList(bytes, count) : undefined
    if (listed !== undefined) return takeResults(this.results, listed, this.count)
    if (this.count > 1) return oneByOne
    this.results.push({ value: trimmedTransfer(bytes), result: DataAccessResult.SUCCESS })
    return done
  }
}

function resultOf(result: ReadResult): CosemResult {
  switch (result.type) {
    case 'data':
      return {
        value: copyOfOctets(result.valueView, 0, result.valueView.length),
        result: DataAccessResult.SUCCESS,
      }
    case 'data-access-error':
      return { value: undefined, result: refusalResult(result.result) }
    default:
      throw new BrokerError('DLMS_SERVICE_UNEXPECTED', `${result.type} among results`)
  }
}

/**
 * In place of an operation with a selection that was not agreed to: without it, all of the
 * attribute would be read or written. Nothing of the operation goes out; the meter is asked for
 * what has no name, so that the exchange goes on.
 */
class SelectionRefusedService extends ShortNameService implements ClientService {
  readonly responseTag = ApduTag.READ_RESPONSE

  start(): Buffer {
    return encodeApdu({
      type: 'read-request',
      specifications: [{ type: 'variable-name', variableName: unknownName }],
    })
  }

  receive(): ServiceStep {
    this.results.push({ value: undefined, result: DataAccessResult.SCOPE_OF_ACCESS_VIOLATED })
    return done
  }
}

class WriteService extends ShortNameService implements ClientService {
  readonly responseTag = ApduTag.WRITE_RESPONSE
  private cutter: BlockCutter | undefined

  start(): Buffer {
    const apdu = encodeApdu({
      type: 'write-request',
      specifications: this.operations.map((operation, index) =>
        // A method that is called by a write has its parameter as the value.
        operation.kind === 'action'
          ? { type: 'variable-name', variableName: this.names[index]! }
          : this.specification(index),
      ),
      dataViews: this.operations.map(({ value }) =>
        value === undefined ? nullView : asBuffer(value),
      ),
    })
    const { conformance, pduBytesMax } = this.terms
    const isInBlocks = (conformance & Conformance.BLOCK_TRANSFER_WITH_SET) !== 0
    if (apdu.length <= pduBytesMax || !isInBlocks) return apdu
    // What goes in blocks is the request without its tag.
    this.cutter = new BlockCutter(Buffer.from(apdu.subarray(1)))
    return this.nextBlock(this.cutter)
  }

  receive(view: Buffer): ServiceStep {
    const { results } = decodeApdu(view, { isTolerant: true }) as ApduOf<'write-response'>
    const [first] = results
    if (first?.type === 'block-number') {
      const { cutter } = this
      if (cutter === undefined || cutter.isDone) throw unexpected(view, 'a write')
      if (first.blockNumber !== cutter.blockNumber)
        throw wrongAcknowledgement(first.blockNumber, cutter.blockNumber)
      return this.nextBlock(cutter)
    }
    return takeResults(this.results, results.map(writtenOf), this.count)
  }

  private nextBlock(cutter: BlockCutter): Buffer {
    // Tag, count, specification with its number, count, octet-string with a length of up to three
    // octets.
    const block = cutter.next(this.terms.pduBytesMax - 11)
    return encodeApdu({
      type: 'write-request',
      specifications: [
        {
          type: 'write-data-block-access',
          lastBlock: cutter.isDone,
          blockNumber: cutter.blockNumber,
        },
      ],
      dataViews: [encodeValue({ tag: Tag.OCTET_STRING, value: block })],
    })
  }
}

function writtenOf(result: WriteResult): CosemResult {
  switch (result.type) {
    case 'success':
      return { value: undefined, result: DataAccessResult.SUCCESS }
    case 'data-access-error':
      return { value: undefined, result: refusalResult(result.result) }
    default:
      throw new BrokerError('DLMS_SERVICE_UNEXPECTED', `${result.type} among results`)
  }
}

/** What carries out the first of `operations`, and those behind it that go with it in one list. */
export function shortNameService(
  terms: ServiceTerms,
  operations: readonly CosemOperation[],
  shortNames: ShortNames,
  results: CosemResult[],
): ClientService {
  const some = operations.slice(0, countOfShortNames(operations, terms.pduBytesMax))
  const [first] = some as [CosemOperation]
  const names = some.map((operation) => shortNames(operation) ?? unknownName)
  if (isSelectionRefused(terms, first))
    return new SelectionRefusedService(terms, some, names, results)
  return first.kind === 'get' || (first.kind === 'action' && isParameterized(terms))
    ? new ReadService(terms, some, names, results)
    : new WriteService(terms, some, names, results)
}
