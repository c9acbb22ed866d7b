/**
 * GET.
 *
 *   get-request [C0] = normal [1]: invoke id and priority, attribute, selection OPTIONAL
 *                    | next [2]: invoke id and priority, block-number Unsigned32
 *                    | with-list [3]: invoke id and priority, SEQUENCE OF (attribute, selection OPTIONAL)
 *   get-response [C4] = normal [1]: invoke id and priority, Get-Data-Result
 *                     | with-datablock [2]: invoke id and priority, DataBlock-G
 *                     | with-list [3]: invoke id and priority, SEQUENCE OF Get-Data-Result
 *
 * [IEC 62056-5-3, Get-Request, Get-Response]
 */
import { GetRequest, GetResponse } from './constants.ts'
import { choice, list, optional, sequence, unsigned32 } from './grammar.ts'
import {
  attributeDescriptor,
  dataResult,
  invokeIdAndPriority,
  resultDatablock,
  selection,
} from './parts.ts'

/** Cosem-Attribute-Descriptor-With-Selection. */
export const attributeWithSelection = sequence({
  descriptorView: attributeDescriptor,
  selectionView: optional(selection),
})

export const getRequest = choice({
  [GetRequest.NORMAL]: [
    'get-request-normal',
    {
      invokeIdAndPriority,
      descriptorView: attributeDescriptor,
      selectionView: optional(selection),
    },
  ],
  [GetRequest.NEXT]: ['get-request-next', { invokeIdAndPriority, blockNumber: unsigned32 }],
  [GetRequest.WITH_LIST]: [
    'get-request-with-list',
    { invokeIdAndPriority, attributes: list(attributeWithSelection, 'attribute') },
  ],
})

export const getResponse = choice({
  [GetResponse.NORMAL]: ['get-response-normal', { invokeIdAndPriority, result: dataResult }],
  [GetResponse.WITH_DATABLOCK]: [
    'get-response-with-datablock',
    { invokeIdAndPriority, datablock: resultDatablock },
  ],
  [GetResponse.WITH_LIST]: [
    'get-response-with-list',
    { invokeIdAndPriority, results: list(dataResult, 'result') },
  ],
})
