/**
 * SET.
 *
 *   set-request [C1] = normal [1]: invoke id and priority, attribute, selection OPTIONAL, value Data
 *                    | with-first-datablock [2]: invoke id and priority, attribute, selection OPTIONAL, DataBlock-SA
 *                    | with-datablock [3]: invoke id and priority, DataBlock-SA
 *                    | with-list [4]: invoke id and priority, SEQUENCE OF (attribute, selection OPTIONAL), SEQUENCE OF Data
 *                    | with-list-and-first-datablock [5]: as with-list, DataBlock-SA in the place of the values
 *   set-response [C5] = normal [1]: invoke id and priority, result
 *                     | datablock [2]: invoke id and priority, block-number Unsigned32
 *                     | last-datablock [3]: invoke id and priority, result, block-number
 *                     | last-datablock-with-list [4]: invoke id and priority, SEQUENCE OF result, block-number
 *                     | with-list [5]: invoke id and priority, SEQUENCE OF result
 *
 * [IEC 62056-5-3, Set-Request, Set-Response]
 */
import { SetRequest, SetResponse } from './constants.ts'
import { attributeWithSelection } from './get.ts'
import { choice, data, list, optional, unsigned32 } from './grammar.ts'
import {
  attributeDescriptor,
  dataAccessResult,
  datablock,
  invokeIdAndPriority,
  selection,
} from './parts.ts'

const attributes = list(attributeWithSelection, 'attribute')
const results = list(dataAccessResult, 'result')

export const setRequest = choice({
  [SetRequest.NORMAL]: [
    'set-request-normal',
    {
      invokeIdAndPriority,
      descriptorView: attributeDescriptor,
      selectionView: optional(selection),
      valueView: data,
    },
  ],
  [SetRequest.WITH_FIRST_DATABLOCK]: [
    'set-request-with-first-datablock',
    {
      invokeIdAndPriority,
      descriptorView: attributeDescriptor,
      selectionView: optional(selection),
      datablock,
    },
  ],
  [SetRequest.WITH_DATABLOCK]: ['set-request-with-datablock', { invokeIdAndPriority, datablock }],
  [SetRequest.WITH_LIST]: [
    'set-request-with-list',
    { invokeIdAndPriority, attributes, valueViews: list(data, 'value') },
  ],
  [SetRequest.WITH_LIST_AND_FIRST_DATABLOCK]: [
    'set-request-with-list-and-first-datablock',
    { invokeIdAndPriority, attributes, datablock },
  ],
})

export const setResponse = choice({
  [SetResponse.NORMAL]: ['set-response-normal', { invokeIdAndPriority, result: dataAccessResult }],
  [SetResponse.DATABLOCK]: [
    'set-response-datablock',
    { invokeIdAndPriority, blockNumber: unsigned32 },
  ],
  [SetResponse.LAST_DATABLOCK]: [
    'set-response-last-datablock',
    { invokeIdAndPriority, result: dataAccessResult, blockNumber: unsigned32 },
  ],
  [SetResponse.LAST_DATABLOCK_WITH_LIST]: [
    'set-response-last-datablock-with-list',
    { invokeIdAndPriority, results, blockNumber: unsigned32 },
  ],
  [SetResponse.WITH_LIST]: ['set-response-with-list', { invokeIdAndPriority, results }],
})
