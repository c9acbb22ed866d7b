/**
 * Two operators for acts that destroy: the rules one by one, and over a ledger with two doors that
 * decide at the same time.
 */
import fastify from 'fastify'
import t from 'tap'
import { addApprovalRoutes, TwoPersons } from '../../../actors/broker/approvals-door.ts'
import {
  approvalsSubject,
  carriedOut,
  decided,
  decodeApprovals,
  encodeApprovals,
  requested,
  type Approvals,
} from '../../../core/access/approvals.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import type { LedgerEntry } from '../../../core/ports/ledger.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'

const device = '00-DB-10-00-00-00-00-01'
const wanted = { act: 'device.remove', target: device, requestedBy: 'ann' } as const
const approve = { decision: 'approve', by: 'bob' } as const

t.test('another operator approves, once, what was requested', async (t) => {
  const { list, approval } = requested([], wanted, 'id', 1_000)
  const { id, digest } = approval
  t.equal(requested(list, wanted, 'other', 2_000).approval, approval, 'one request for one act')
  t.throws(() => decided(list, { ...approve, id, digest, by: 'ann' }, 2_000), {
    code: 'APPROVAL_SAME_OPERATOR',
  })
  t.throws(() => decided(list, { ...approve, id, digest: 'x' }, 2_000), {
    code: 'APPROVAL_DIGEST_MISMATCH',
  })
  t.throws(() => decided(list, { ...approve, id: 'x', digest }, 2_000), {
    code: 'APPROVAL_UNKNOWN',
  })
  t.throws(() => decided(list, { ...approve, id, digest }, 1_000 + limits.approvalMs), {
    code: 'APPROVAL_OVER',
    detail: 'its time is over',
  })
  const after = decided(list, { ...approve, id, digest }, 2_000)
  t.match(after.approval, { status: 'approved', decidedBy: 'bob', decidedAtMs: 2_000 })
  const again = decided(after.list, { ...approve, id, digest }, 3_000)
  t.equal(again.list, after.list, 'what was cut short is carried out again')
  t.throws(() => decided(after.list, { id, digest, decision: 'reject', by: 'cat' }, 3_000), {
    code: 'APPROVAL_OVER',
  })
  const done = carriedOut(after.list, id)
  t.throws(() => decided(done, { ...approve, id, digest }, 3_000), {
    code: 'APPROVAL_OVER',
    detail: 'done',
  })
  t.not(requested(done, wanted, 'next', 4_000).approval.id, id, 'it may be requested again')
  t.same(decodeApprovals(encodeApprovals(done)), done)
})

t.test('who requested it may take it back', async (t) => {
  const { list, approval } = requested([], wanted, 'id', 1_000)
  const { id, digest } = approval
  const after = decided(list, { id, digest, decision: 'reject', by: 'ann' }, 2_000)
  t.equal(after.approval.status, 'rejected')
  t.throws(() => decided(after.list, { ...approve, id, digest }, 3_000), {
    code: 'APPROVAL_OVER',
    detail: 'rejected',
  })
})

t.test('the list is bounded: what waits is kept, what is over makes way', async (t) => {
  let list: Approvals = []
  const ask = (number: number, nowMs: number) =>
    (list = requested(list, { ...wanted, target: String(number) }, `id-${number}`, nowMs).list)
  for (let number = 0; number < limits.approvalsMax; number++) ask(number, 1_000)
  t.throws(() => ask(-1, 1_000), { code: 'APPROVAL_LIMIT_EXCEEDED' })
  const laterMs = 1_000 + limits.approvalMs
  for (let number = 0; number < limits.approvalsMax; number++) ask(1_000 + number, laterMs)
  t.ok(list.length <= 2 * limits.approvalsMax)
  for (let number = 0; number < limits.approvalsMax; number++)
    t.ok(list.some(({ id }) => id === `id-${1_000 + number}`))
  t.ok(encodeApprovals(list).length < 128 * 1024)
})

t.test('a list that cannot be read is not replaced', async (t) => {
  t.throws(() => decodeApprovals(Buffer.from('{"version":2}')), { code: 'FORMAT_VERSION_LATER' })
  for (const text of ['', '{}', 'null', '{"version":1}'])
    t.throws(() => decodeApprovals(Buffer.from(text)), { code: 'STORE_DAMAGED' }, text)
})

/** A subject of a ledger: each commit expects the last one. */
function subjectOf() {
  let last: { subject: string; sequence: number; data: Buffer } | undefined
  return {
    lastOn: async () => last,
    async commit([entry]: readonly LedgerEntry[]) {
      const { data, expect } = entry!
      if (expect?.sequence !== (last?.sequence ?? 0))
        return { refused: 'fence', detail: 'another was faster' } as const
      const sequence = (last?.sequence ?? 0) + 1
      last = { subject: approvalsSubject, sequence, data: Buffer.from(data) }
      return { firstSequence: sequence }
    },
  }
}
t.test(
  'at doors: the act runs after the approval, under both names, and again when cut short',
  async (t) => {
    const acts: string[] = []
    let fault: Error | undefined
    const ledger = subjectOf()
    const clock = new SimClock(1_000)
    let count = 0
    const random = { bytes: (size: number) => Buffer.alloc(size, ++count), uint32: () => 0 }
    const doorOf = (isSingle = false) => {
      const persons = new TwoPersons({ ledger, clock, random: random as never }, isSingle)
      persons.on('device.remove', async (target, by) => {
        acts.push(`${target} by ${by}`)
        if (fault !== undefined) throw fault
        return { removed: target }
      })
      const app = fastify()
      app.decorateRequest('operator', undefined)
      app.addHook('onRequest', (request, _reply, done) => {
        const name = String(request.headers['x-name'])
        request.operator = { name, role: 'security-officer', isProven: true }
        done()
      })
      app.setErrorHandler((error, _request, reply) => {
        const code = error instanceof BrokerError ? error.code : 'FAULT'
        void reply.code(400).send({ code })
      })
      app.delete('/device', (request) =>
        persons.ask(request, { act: 'device.remove', target: device, by: 'ann' }),
      )
      addApprovalRoutes(app, persons)
      t.teardown(() => app.close())
      return async (
        method: 'DELETE' | 'POST' | 'GET',
        url: string,
        name: string,
        body?: object,
      ) => {
        const headers = { 'x-name': name }
        const answer = await app.inject({ method, url, headers, ...(body && { payload: body }) })
        return answer.json<{
          code?: string
          approval: { id: string; digest: string; status: string }
        }>()
      }
    }
    const [first, second] = [doorOf(), doorOf()]
    const { approval } = await first('DELETE', '/device', 'ann')
    t.same(acts, [], 'nothing is done yet')
    const path = `/v1/approvals/${approval.id}/approve`
    const body = { digest: approval.digest }
    t.equal((await second('POST', path, 'ann', body)).code, 'APPROVAL_SAME_OPERATOR')
    t.equal((await second('POST', path, 'bob', {})).code, 'APPROVAL_DIGEST_MISMATCH')
    t.same(acts, [])

    fault = new Error('cut short')
    t.equal((await second('POST', path, 'bob', body)).code, 'FAULT')
    fault = undefined
    const answers = await Promise.all([
      first('POST', path, 'cat', body),
      second('POST', path, 'bob', body),
    ])
    t.ok(answers.some((answer) => answer.approval?.status === 'done'))
    for (const act of acts) t.equal(act, `${device} by ann (approved by bob)`)
    t.equal((await first('POST', path, 'cat', body)).code, 'APPROVAL_OVER')

    const next = await first('DELETE', '/device', 'ann')
    const of = `/v1/approvals/${next.approval.id}`
    const both = await Promise.all([
      first('POST', `${of}/reject`, 'cat', { digest: next.approval.digest }),
      second('POST', `${of}/approve`, 'bob', { digest: next.approval.digest }),
    ])
    t.equal(both.filter(({ code }) => code === 'APPROVAL_OVER').length, 1, 'one decision counts')

    const before = acts.length
    await doorOf(true)('DELETE', '/device', 'ann')
    t.equal(acts[before], `${device} by ann`, 'in development one operator is enough')
  },
)
