/**
 * What several services have in common: invoke ids, descriptors, selective access, results, blocks.
 *
 *   Cosem-Attribute-Descriptor = class-id Unsigned16, instance-id OCTET STRING (SIZE(6)), attribute-id Integer8
 *   Selective-Access-Descriptor = access-selector Unsigned8, access-parameters Data
 *   Get-Data-Result = data [0] Data | data-access-result [1]
 *   DataBlock-SA = last-block BOOLEAN, block-number Unsigned32, raw-data OCTET STRING
 *   DataBlock-G = last-block BOOLEAN, block-number Unsigned32, (raw-data [0] OCTET STRING | data-access-result [1])
 *
 * [IEC 62056-5-3, ASN.1 module COSEMpdu]. Descriptors, selections and values stay the octets that they are, borrowed:
 * `descriptor.ts` takes them apart, `decodeValue` and `AxdrView` read values.
 */
import { ActionResult, DataAccessResult, descriptorBytes } from './constants.ts'
import { skipValue } from '../axdr/layout.ts'
import {
  boolean,
  choice,
  enumerated,
  data,
  octets,
  octetString,
  sequence,
  unsigned32,
  unsigned8,
  type Codec,
  type ValueOf,
} from './grammar.ts'

/** Bits 0 to 3 the invoke id, 6 confirmed, 7 high priority. */
export const invokeIdAndPriority: Codec<number> = {
  ...unsigned8,
  show: (value) => `invoke-id ${value & 15}${flagWords(value >> 6)}`,
}

/**
 * Bits 0 to 23 the invoke id, 28 self-descriptive, 29 break on error, 30 confirmed, 31 high
 * priority.
 */
export const longInvokeIdAndPriority: Codec<number> = {
  ...unsigned32,
  show: (value) =>
    `long-invoke-id ${value & 0xff_ffff}${flagWords(value >>> 30)}${(value >> 28) & 1 ? ', self-descriptive' : ''}${(value >> 29) & 1 ? ', break on error' : ''}`,
}

function flagWords(flags: number): string {
  return `${flags & 1 ? ', confirmed' : ', unconfirmed'}${flags & 2 ? ', high priority' : ''}`
}

export const attributeDescriptor: Codec<Buffer> = octets(descriptorBytes, 'attribute')
export const methodDescriptor: Codec<Buffer> = octets(descriptorBytes, 'method')

/** Selector and parameters. */
export const selection: Codec<Buffer> = {
  kind: 'selection',
  read: (reader) => reader.octets(skipValue(reader.view, reader.at + 1, reader.end) - reader.at),
  write: (out, view) => void out.octets(view),
}

export const dataAccessResult: Codec<number> = enumerated(DataAccessResult)
export const actionResult: Codec<number> = enumerated(ActionResult)

export const dataResult = choice({
  0: ['data', { valueView: data }],
  1: ['data-access-result', { result: dataAccessResult }],
})
/** Get-Data-Result. */
export type DataResult = ValueOf<typeof dataResult>

export const datablock = sequence({
  lastBlock: boolean,
  blockNumber: unsigned32,
  rawDataView: octetString('raw'),
})
/** DataBlock-SA, of requests and of actions both ways. */
export type Datablock = ValueOf<typeof datablock>

export const resultDatablock = sequence({
  lastBlock: boolean,
  blockNumber: unsigned32,
  result: choice({
    0: ['raw-data', { rawDataView: octetString('raw') }],
    1: ['data-access-result', { result: dataAccessResult }],
  }),
})
/** DataBlock-G, of get-responses. */
export type ResultDatablock = ValueOf<typeof resultDatablock>
