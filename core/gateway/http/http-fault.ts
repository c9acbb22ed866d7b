/** Rejections of calls over HTTP by what their content or path is, and which field of it. */
import { limits } from '../../base/limits.ts'
import type { HttpAnswer } from '../../http/problem.ts'
import { httpRefusal } from './http-answer.ts'
import type { Malformed } from './http-request.ts'

/** A request in JSON that has no form in protobuf; `index` is its place in a list. */
export function malformedAnswer({ code, detail, field }: Malformed, index?: number): HttpAnswer {
  const [place, prefix] =
    index === undefined ? ['', ''] : [`requests/${index}: `, `requests[${index}].`]
  return httpRefusal(code, place + detail, [{ field: prefix + field, description: detail }])
}

/** A path that does not have a RequestID where one belongs. */
export const pathIdAnswer = (detail: string): HttpAnswer =>
  httpRefusal('REQUEST_ID_MALFORMED', detail, [{ field: 'id', description: detail }])

/** A list of more requests than one call may have. */
export const tooManyAnswer = (count: number): HttpAnswer =>
  httpRefusal('REQUEST_SIZE_EXCEEDED', `${count} requests`, [
    { field: 'requests', description: `has more than ${limits.requestsPerBatchMax} requests` },
  ])
