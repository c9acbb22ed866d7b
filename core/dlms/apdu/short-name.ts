/**
 * The services of short-name referencing: read, write, unconfirmed write, information report.
 *
 *   readRequest [05] = SEQUENCE OF Variable-Access-Specification
 *     Variable-Access-Specification = variable-name [2] Integer16
 *       | parameterized-access [4]: variable-name, selector Unsigned8, parameter Data
 *       | block-number-access [5]: block-number Unsigned16
 *       | read-data-block-access [6]: last-block BOOLEAN, block-number Unsigned16, raw-data OCTET STRING
 *       | write-data-block-access [7]: last-block BOOLEAN, block-number Unsigned16
 *   readResponse [0C] = SEQUENCE OF (data [0] Data | data-access-error [1]
 *       | data-block-result [2]: last-block, block-number Unsigned16, raw-data | block-number [3] Unsigned16)
 *   writeRequest [06] = SEQUENCE OF Variable-Access-Specification, SEQUENCE OF Data
 *   writeResponse [0D] = SEQUENCE OF (success [0] | data-access-error [1] | block-number [2] Unsigned16)
 *   unconfirmedWriteRequest [16] = as writeRequest
 *   informationReportRequest [18] = current-time GeneralizedTime OPTIONAL, SEQUENCE OF specification, SEQUENCE OF Data
 *
 * [IEC 62056-5-3, ReadRequest to InformationReportRequest]. A variable name is written as in the Blue Book: FA00, not -1536.
 */
import {
  boolean,
  choice,
  data,
  list,
  octetString,
  optional,
  service,
  unsigned16,
  unsigned8,
  type Codec,
  type ValueOf,
} from './grammar.ts'
import { dataAccessResult } from './parts.ts'

/** ObjectName. */
export const objectName: Codec<number> = {
  ...unsigned16,
  show: (value) => value.toString(16).toUpperCase().padStart(4, '0'),
}

const datablock = { lastBlock: boolean, blockNumber: unsigned16, rawDataView: octetString('raw') }

const variableAccess = choice({
  2: ['variable-name', { variableName: objectName }],
  4: [
    'parameterized-access',
    { variableName: objectName, selector: unsigned8, parameterView: data },
  ],
  5: ['block-number-access', { blockNumber: unsigned16 }],
  6: ['read-data-block-access', datablock],
  7: ['write-data-block-access', { lastBlock: boolean, blockNumber: unsigned16 }],
})
/** Variable-Access-Specification. */
export type VariableAccess = ValueOf<typeof variableAccess>

const specifications = list(variableAccess, 'variable-access-specification')
const dataViews = list(data, 'data')

const readResult = choice({
  0: ['data', { valueView: data }],
  1: ['data-access-error', { result: dataAccessResult }],
  2: ['data-block-result', datablock],
  3: ['block-number', { blockNumber: unsigned16 }],
})
export type ReadResult = ValueOf<typeof readResult>

const writeResult = choice({
  0: ['success', {}],
  1: ['data-access-error', { result: dataAccessResult }],
  2: ['block-number', { blockNumber: unsigned16 }],
})
export type WriteResult = ValueOf<typeof writeResult>

export const readRequest = service('read-request', { specifications })
export const readResponse = service('read-response', { results: list(readResult, 'result') })
export const writeRequest = service('write-request', { specifications, dataViews })
export const writeResponse = service('write-response', { results: list(writeResult, 'result') })
export const unconfirmedWriteRequest = service('unconfirmed-write-request', {
  specifications,
  dataViews,
})
export const informationReportRequest = service('information-report-request', {
  currentTimeView: optional(octetString('text')),
  specifications,
  dataViews,
})
