/** What an operators' door answers instead of what was asked for, as a sentence for a terminal. */
import { errorTable, explain, type ErrorCode } from '../../core/base/error-table.ts'

/** The members of a problem (core/http/problem.ts) that commands look at. */
export type OpsProblem = { code?: string; detail?: string }

/**
 * The code of `problem` when it is one that this version knows. It gives no code for
 * a path that the door does not have: that is another door, or a process with other roles, and the
 * command says so itself.
 */
export function problemCode({ code }: OpsProblem): ErrorCode | undefined {
  if (code === 'REQUEST_PATH_UNKNOWN') return undefined
  return code !== undefined && Object.hasOwn(errorTable, code) ? (code as ErrorCode) : undefined
}

/** `CODE: what happened (detail) what to do`; undefined for what is not a problem of a broker. */
export function problemSentence(problem: OpsProblem): string | undefined {
  const code = problemCode(problem)
  return code && `${code}: ${explain(code, problem.detail)}`
}
