/** One call to the operators' door of a broker, for commands. */
import { directFetch } from '../../../core/ops/direct-fetch.ts'
import { OperatorFault } from '../operator-fault.ts'
import { problemSentence, type OpsProblem } from '../problem-sentence.ts'

/**
 * The JSON that the door at `ops` (host:port) answers with.
 * @throws OperatorFault when nobody answers there, or with a problem, which it says
 */
export async function askDoor<T>(
  ops: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: object,
): Promise<T> {
  const content = body !== undefined && {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  const response = await directFetch(`http://${ops}${path}`, { method, ...content }).catch(
    (cause: unknown) => {
      throw new OperatorFault(
        `nobody answers at ${ops}. Name a broker's operators' door with --ops host:port.`,
        { cause },
      )
    },
  )
  const answer = (await response.json().catch(() => ({}))) as T & OpsProblem
  if (response.ok) return answer
  throw new OperatorFault(problemSentence(answer) ?? `HTTP ${response.status} from ${ops}`)
}
