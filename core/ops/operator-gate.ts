/**
 * Who calls the operators' door, and whether the role is enough: looked at for each call before its
 * content is read. Failed attempts are counted and logged; of one address only so many a minute are
 * looked at one by one. A good token always passes: at a door on loopback all callers share one
 * address, and nobody may lock the others out. Tokens of 32 octets cannot be guessed.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  isRoleEnough,
  needOf,
  type OperatorRole,
  type RouteNeed,
} from '../access/operator-rules.ts'
import { operatorOfToken, type Operator, type Operators } from '../access/operators.ts'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import { problemOf, type HttpAnswer } from '../http/problem.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Metrics } from '../ports/metrics.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls the operators' door; undefined where anybody may. */
    operator: Operator | undefined
  }
}

export type OperatorGateOptions = {
  /** As they are now; undefined for a door without authentication. */
  readonly operators: (() => Operators) | undefined
  /** Whether only this machine reaches the door. */
  readonly isLoopback: boolean
  /** What a call of a route needs; operator-rules.ts unless a test has routes of its own. */
  readonly needOf?: typeof needOf
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}

/** At a door without authentication the caller says who acts. */
const unproven: Operator = { name: 'unproven', role: 'security-officer', isProven: false }
const challenge = { 'www-authenticate': 'Bearer realm="busbar operators"' }

type Failures = { untilMs: number; count: number }

export class OperatorGate {
  private readonly options: OperatorGateOptions
  /** Failed attempts by address, in the order of their first one. */
  private readonly failures = new Map<string, Failures>()

  constructor(options: OperatorGateOptions) {
    this.options = options
  }

  /** To be called for each route that is added. @throws AssertionError for one without a need */
  expectKnown(methods: readonly string[], path: string): void {
    for (const method of methods)
      assert(this.needOf(method, path) !== undefined, `${method} ${path} is in operator-rules.ts`)
  }

  private get needOf(): typeof needOf {
    return this.options.needOf ?? needOf
  }

  /** Why a call is rejected; else `request.operator` is who calls. */
  identify(request: FastifyRequest): HttpAnswer | undefined {
    const { method, routeOptions } = request
    const need = this.needOf(method, routeOptions.url ?? '')
    const role = need === undefined ? 'security-officer' : this.roleOf(need)
    if (role === undefined) return undefined
    const { operators } = this.options
    const operator = operators === undefined ? unproven : this.callerOf(request, operators())
    if ('status' in operator) return operator
    if (!isRoleEnough(operator.role, role)) {
      const detail = `${operator.name} has the role ${operator.role}, this needs ${role}`
      return this.refusal(request, 'OPERATOR_ROLE_INSUFFICIENT', detail)
    }
    request.operator = operator
    return undefined
  }

  /** Writes into the log who has done what, when the answer is out. */
  readonly answered = (request: FastifyRequest, reply: FastifyReply): void => {
    const { operator, method, routeOptions, params } = request
    if (operator === undefined || method === 'GET' || method === 'HEAD') return
    this.options.log.info(
      {
        operator: operator.name,
        role: operator.role,
        isProven: operator.isProven,
        act: `${method} ${routeOptions.url ?? ''}`,
        of: Object.values(params as Record<string, string>).join(),
        status: reply.statusCode,
      },
      'an operator acted',
    )
  }

  private roleOf(need: RouteNeed): OperatorRole | undefined {
    if (need === 'anybody') return undefined
    if (need === 'anybody-here') return this.options.isLoopback ? undefined : 'viewer'
    return need
  }

  private callerOf(request: FastifyRequest, operators: Operators): Operator | HttpAnswer {
    const { authorization } = request.headers
    if (authorization === undefined) return this.refusal(request, 'OPERATOR_CREDENTIALS_MISSING')
    const [, token = ''] = /^bearer +(\S+) *$/i.exec(authorization) ?? []
    return (
      operatorOfToken(operators, token) ?? this.refusal(request, 'OPERATOR_CREDENTIALS_UNKNOWN')
    )
  }

  private refusal(request: FastifyRequest, given: ErrorCode, detail?: string): HttpAnswer {
    const { log, metrics } = this.options
    const address = request.socket.remoteAddress ?? ''
    // An operator without the role is known, and is told so each time.
    const isKnown = given === 'OPERATOR_ROLE_INSUFFICIENT'
    const code = !isKnown && this.isExceeded(address) ? 'OPERATOR_ATTEMPTS_EXCEEDED' : given
    metrics
      .counter(
        'busbar_operator_calls_refused_total',
        "Calls to the operators' door that were refused for their credentials or their role",
        { code },
      )
      .add()
    if (code === given) {
      const { method, routeOptions } = request
      const act = `${method} ${routeOptions.url ?? ''}`
      log.warn({ address, code, act, detail }, "a call to the operators' door was refused")
    }
    const headers = isKnown ? {} : challenge
    return problemOf(code, { detail, headers })
  }

  /** Counts a failed attempt; true for one above those that are looked at. */
  private isExceeded(address: string): boolean {
    const nowMs = this.options.clock.now()
    const { failures } = this
    for (const [one, { untilMs }] of failures) {
      if (untilMs > nowMs && failures.size <= limits.operatorAddressesMax) break
      failures.delete(one)
    }
    const found = failures.get(address) ?? {
      untilMs: nowMs + limits.operatorAttemptsMs,
      count: 0,
    }
    failures.set(address, found)
    found.count += 1
    return found.count > limits.operatorAttemptsMax
  }
}

/** Who calls a route that needs a role. */
export function operatorOf({ operator }: FastifyRequest): Operator {
  if (operator === undefined) throw new BrokerError('OPERATOR_CREDENTIALS_MISSING')
  return operator
}
