/**
 * The operators' door for acts that need two operators: GET /v1/approvals, POST
 * /v1/approvals/{id}/approve and /reject. The list stands on the ledger, where each change expects
 * the one before, so two operators at two doors cannot both decide.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  approvalActs,
  approvalsSubject,
  carriedOut,
  decided,
  decodeApprovals,
  encodeApprovals,
  requested,
  type Approval,
  type ApprovalAct,
  type Approvals,
} from '../../core/access/approvals.ts'
import { assert } from '../../core/base/assert.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { operatorOf } from '../../core/ops/operator-gate.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import type { Random } from '../../core/ports/random.ts'

export type ApprovalPorts = {
  ledger: Pick<Ledger, 'lastOn' | 'commit'>
  clock: Clock
  random: Random
}

/** An approval as JSON; times as ISO 8601. */
export type ApprovalJson = Omit<Approval, 'requestedAtMs' | 'expiresAtMs' | 'decidedAtMs'> & {
  requestedAt: string
  expiresAt: string
  decidedAt?: string
}
/** The answer to an act that waits for another operator. */
export type WaitingAnswer = { approval: ApprovalJson }
export type ApprovalsAnswer = { approvals: ApprovalJson[] }

/** What is asked for; `content` as in Approval. `by` is for the ledger when it is done at once. */
export type Asked = { act: ApprovalAct; target: string; by: string; content?: string }

/**
 * Carries out an act; `by` names both operators. May be called again for the same approval, and
 * with one that an earlier process has recorded: it checks `target` and `content` as they come.
 */
export type CarryOut = (target: string, by: string, content?: string) => Promise<object>

export class TwoPersons {
  private readonly ports: ApprovalPorts
  /** What is asked for is done at once: one operator is enough, for development. */
  private readonly isSingle: boolean
  private readonly acts = new Map<ApprovalAct, CarryOut>()

  constructor(ports: ApprovalPorts, isSingle: boolean) {
    this.ports = ports
    this.isSingle = isSingle
  }

  /** What carries out an act, once it may be. */
  on(act: ApprovalAct, carryOut: CarryOut): void {
    this.acts.set(act, carryOut)
  }

  /** @throws AssertionError naming an act of the table that nothing carries out */
  expectEvery(): void {
    for (const { act } of approvalActs) assert(this.acts.has(act), `${act} can be carried out`)
  }

  /** Carries out what a single operator may, as `by`; else requests it. */
  async ask(request: FastifyRequest, { by, ...what }: Asked): Promise<object> {
    if (this.isSingle) return this.actOf(what.act)(what.target, by, what.content)
    const wanted = { ...what, requestedBy: operatorOf(request).name }
    const id = Buffer.from(this.ports.random.bytes(limits.approvalIdBytes)).toString('hex')
    const { approval } = await this.change((list, nowMs) => requested(list, wanted, id, nowMs))
    return { approval: jsonOf(approval) } satisfies WaitingAnswer
  }

  async list(): Promise<Approvals> {
    return (await this.read()).list
  }

  async decide(
    request: FastifyRequest,
    id: string,
    decision: 'approve' | 'reject',
  ): Promise<object> {
    const by = operatorOf(request).name
    const { digest } = (request.body ?? {}) as { digest?: unknown }
    if (typeof digest !== 'string')
      throw new BrokerError('APPROVAL_DIGEST_MISMATCH', 'digest is missing')
    const { approval } = await this.change((list, nowMs) => {
      const after = decided(list, { id, digest, decision, by }, nowMs)
      // Before it counts as approved: a later version may have recorded it.
      if (decision === 'approve') this.actOf(after.approval.act)
      return after
    })
    if (decision === 'reject') return { approval: jsonOf(approval) }
    const { act, target, requestedBy, content, decidedBy = by } = approval
    const names = `${requestedBy} (approved by ${decidedBy})`
    const result = await this.actOf(act)(target, names, content)
    const done = await this.change((list) => ({ list: carriedOut(list, id), approval }))
    const after = done.list.find((one) => one.id === id) ?? approval
    return { approval: jsonOf(after), result }
  }

  /** @throws BrokerError APPROVAL_ACT_UNKNOWN */
  private actOf(act: string): CarryOut {
    const carryOut = this.acts.get(act as ApprovalAct)
    if (carryOut === undefined) throw new BrokerError('APPROVAL_ACT_UNKNOWN', act.slice(0, 40))
    return carryOut
  }

  private async read(): Promise<{ list: Approvals; sequence: number }> {
    const last = await this.ports.ledger.lastOn(approvalsSubject)
    if (last === undefined) return { list: [], sequence: 0 }
    return { list: decodeApprovals(last.data), sequence: last.sequence }
  }

  /** @throws BrokerError what `step` throws, BROKER_LEDGER_UNAVAILABLE */
  private async change(
    step: (list: Approvals, nowMs: number) => { list: Approvals; approval: Approval },
  ): Promise<{ list: Approvals; approval: Approval }> {
    for (let attempt = 0; attempt < limits.approvalAttemptsMax; attempt++) {
      const { list, sequence } = await this.read()
      const after = step(list, this.ports.clock.now())
      if (after.list === list) return after
      const expect = { subject: approvalsSubject, sequence }
      const data = encodeApprovals(after.list)
      const outcome = await this.ports.ledger.commit([{ subject: approvalsSubject, data, expect }])
      if (outcome.refused === undefined) return after
    }
    throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'the list of approvals')
  }
}

/** 202 for what waits for another operator. */
export const answered = (reply: FastifyReply, answer: object): object => {
  if ('approval' in answer) reply.code(202)
  return answer
}

export function addApprovalRoutes(app: FastifyInstance, persons: TwoPersons): void {
  const safe = { exposeHeadRoute: true }
  app.get('/v1/approvals', safe, async (): Promise<ApprovalsAnswer> => ({
    approvals: (await persons.list()).map(jsonOf),
  }))
  for (const word of ['approve', 'reject'] as const)
    app.post<{ Params: { id: string } }>(`/v1/approvals/:id/${word}`, (request) =>
      persons.decide(request, request.params.id, word),
    )
}

const iso = (atMs: number): string => new Date(atMs).toISOString()

const jsonOf = ({
  requestedAtMs,
  expiresAtMs,
  decidedAtMs,
  ...approval
}: Approval): ApprovalJson => ({
  ...approval,
  requestedAt: iso(requestedAtMs),
  expiresAt: iso(expiresAtMs),
  ...(decidedAtMs !== undefined && { decidedAt: iso(decidedAtMs) }),
})
