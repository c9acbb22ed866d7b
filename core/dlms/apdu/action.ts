/**
 * ACTION.
 *
 *   action-request [C3] = normal [1]: invoke id and priority, method, parameters Data OPTIONAL
 *                       | next-pblock [2]: invoke id and priority, block-number Unsigned32
 *                       | with-list [3]: invoke id and priority, SEQUENCE OF method, SEQUENCE OF Data
 *                       | with-first-pblock [4]: invoke id and priority, method, DataBlock-SA
 *                       | with-list-and-first-pblock [5]: invoke id and priority, SEQUENCE OF method, DataBlock-SA
 *                       | with-pblock [6]: invoke id and priority, DataBlock-SA
 *   action-response [C7] = normal [1]: invoke id and priority, result, Get-Data-Result OPTIONAL
 *                        | with-pblock [2]: invoke id and priority, DataBlock-SA
 *                        | with-list [3]: invoke id and priority, SEQUENCE OF (result, Get-Data-Result OPTIONAL)
 *                        | next-pblock [4]: invoke id and priority, block-number Unsigned32
 *
 * [IEC 62056-5-3, Action-Request, Action-Response]
 */
import { ActionRequest, ActionResponse } from './constants.ts'
import {
  choice,
  data,
  list,
  optional,
  readListCount,
  sequence,
  unsigned32,
  type Codec,
  type ValueOf,
} from './grammar.ts'
import {
  actionResult,
  datablock,
  dataResult,
  invokeIdAndPriority,
  methodDescriptor,
} from './parts.ts'

const singleResponse = sequence({ result: actionResult, returned: optional(dataResult) })
/** Action-Response-With-Optional-Data. */
export type ActionOutcome = ValueOf<typeof singleResponse>

const plainResponses = list(singleResponse, 'response')
/**
 * A tolerant reader takes a list of bare results: as many octets as responses. Some meters leave
 * the optional's flag out.
 */
const responses: Codec<ActionOutcome[]> = {
  ...plainResponses,
  read(reader) {
    const { at } = reader
    const count = readListCount(reader)
    if (reader.isTolerant && reader.left === count) {
      return Array.from({ length: count }, () => ({
        result: reader.part('result', actionResult),
        returned: undefined,
      }))
    }
    reader.at = at
    return plainResponses.read(reader)
  },
}

const methods = list(methodDescriptor, 'method')

export const actionRequest = choice({
  [ActionRequest.NORMAL]: [
    'action-request-normal',
    { invokeIdAndPriority, descriptorView: methodDescriptor, parametersView: optional(data) },
  ],
  [ActionRequest.NEXT_PBLOCK]: [
    'action-request-next-pblock',
    { invokeIdAndPriority, blockNumber: unsigned32 },
  ],
  [ActionRequest.WITH_LIST]: [
    'action-request-with-list',
    { invokeIdAndPriority, descriptorViews: methods, parametersViews: list(data, 'parameters') },
  ],
  [ActionRequest.WITH_FIRST_PBLOCK]: [
    'action-request-with-first-pblock',
    { invokeIdAndPriority, descriptorView: methodDescriptor, pblock: datablock },
  ],
  [ActionRequest.WITH_LIST_AND_FIRST_PBLOCK]: [
    'action-request-with-list-and-first-pblock',
    { invokeIdAndPriority, descriptorViews: methods, pblock: datablock },
  ],
  [ActionRequest.WITH_PBLOCK]: [
    'action-request-with-pblock',
    { invokeIdAndPriority, pblock: datablock },
  ],
})

export const actionResponse = choice({
  [ActionResponse.NORMAL]: [
    'action-response-normal',
    { invokeIdAndPriority, result: actionResult, returned: optional(dataResult) },
  ],
  [ActionResponse.WITH_PBLOCK]: [
    'action-response-with-pblock',
    { invokeIdAndPriority, pblock: datablock },
  ],
  [ActionResponse.WITH_LIST]: ['action-response-with-list', { invokeIdAndPriority, responses }],
  [ActionResponse.NEXT_PBLOCK]: [
    'action-response-next-pblock',
    { invokeIdAndPriority, blockNumber: unsigned32 },
  ],
})
