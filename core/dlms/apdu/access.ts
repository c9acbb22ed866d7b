/**
 * ACCESS: several gets, sets and actions in one request, each answered by data and a result.
 *
 *   access-request [D9] = long invoke id and priority, date-time OCTET STRING, SEQUENCE OF specification, SEQUENCE OF Data
 *     specification = get [1]: attribute | set [2]: attribute | action [3]: method
 *                   | get-with-selection [4]: attribute, selection | set-with-selection [5]: attribute, selection
 *   access-response [DA] = long invoke id and priority, date-time, SEQUENCE OF specification OPTIONAL, SEQUENCE OF Data,
 *                          SEQUENCE OF (get [1] result | set [2] result | action [3] result)
 *
 * An empty date-time means no time. [IEC 62056-5-3, Access-Request, Access-Response]
 */
import { choice, data, list, octetString, optional, service, type ValueOf } from './grammar.ts'
import {
  actionResult,
  attributeDescriptor,
  dataAccessResult,
  longInvokeIdAndPriority,
  methodDescriptor,
  selection,
} from './parts.ts'

const specification = choice({
  1: ['access-request-get', { descriptorView: attributeDescriptor }],
  2: ['access-request-set', { descriptorView: attributeDescriptor }],
  3: ['access-request-action', { descriptorView: methodDescriptor }],
  4: [
    'access-request-get-with-selection',
    { descriptorView: attributeDescriptor, selectionView: selection },
  ],
  5: [
    'access-request-set-with-selection',
    { descriptorView: attributeDescriptor, selectionView: selection },
  ],
})
/** Access-Request-Specification. */
export type AccessSpecification = ValueOf<typeof specification>

const result = choice({
  1: ['access-response-get', { result: dataAccessResult }],
  2: ['access-response-set', { result: dataAccessResult }],
  3: ['access-response-action', { result: actionResult }],
})
/** Access-Response-Specification. */
export type AccessResult = ValueOf<typeof result>

const specifications = list(specification, 'access-request-specification')

export const accessRequest = service('access-request', {
  longInvokeIdAndPriority,
  dateTimeView: octetString('date-time'),
  specifications,
  dataViews: list(data, 'data'),
})

export const accessResponse = service('access-response', {
  longInvokeIdAndPriority,
  dateTimeView: octetString('date-time'),
  specifications: optional(specifications),
  dataViews: list(data, 'data'),
  results: list(result, 'access-response-specification'),
})
