/** Calls to the operators' door of a broker, for commands. */
import { directFetch } from '../../../core/ops/direct-fetch.ts'
import { operatorHeaders } from '../../../core/ops/operator-credentials.ts'
import { OperatorFault } from '../operator-fault.ts'
import { problemSentence, type OpsProblem } from '../problem-sentence.ts'

type Method = 'GET' | 'POST' | 'DELETE'
/** `json` is a body that is JSON already; `otherwise` says what else may answer at that address. */
export type DoorCall = { body?: object; json?: string; otherwise?: string }

/** A call of the operators' door with the credentials for it; its body or answer may be no JSON. */
export function fetchDoor(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = {
    ...(init.headers as object),
    ...operatorHeaders(new URL(url).hostname, process.env),
  }
  return directFetch(url, { ...init, headers })
}

/**
 * What the door at `ops` (host:port) answers, also when that is a problem; `{}` for no JSON.
 * @throws OperatorFault when nobody answers there
 */
export async function callDoor<T>(
  ops: string,
  method: Method,
  path: string,
  { body, json = body && JSON.stringify(body) }: DoorCall = {},
): Promise<{ status: number; answer: T & OpsProblem }> {
  const content = json !== undefined && {
    headers: { 'content-type': 'application/json' },
    body: json,
  }
  const call = { method, ...content }
  const response = await fetchDoor(`http://${ops}${path}`, call).catch((cause: unknown) => {
    throw new OperatorFault(
      `nobody answers at ${ops}. Start a broker with \`busbar serve\`, or name its operators' door with --ops host:port or BUSBAR_OPS.`,
      { cause },
    )
  })
  const answer = (await response.json().catch(() => ({}))) as T & OpsProblem
  return { status: response.status, answer }
}

/**
 * The JSON that the door at `ops` answers with.
 * @throws OperatorFault when nobody answers there, or with a problem, which it says
 */
export async function askDoor<T>(
  ops: string,
  method: Method,
  path: string,
  call: DoorCall = {},
): Promise<T> {
  const { status, answer } = await callDoor<T>(ops, method, path, call)
  if (status < 300) return answer
  throw faultOf(answer, call.otherwise ?? `HTTP ${status} from ${ops}`)
}

/** The fault that says what `answer` says, or `otherwise` when that is no problem of a broker. */
export const faultOf = (answer: OpsProblem, otherwise: string): OperatorFault =>
  new OperatorFault(problemSentence(answer) ?? otherwise)
