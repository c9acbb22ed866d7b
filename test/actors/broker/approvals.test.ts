/**
 * Two operators for acts that destroy: the rules one by one, and over a ledger with two doors that
 * decide at the same time.
 */
import fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { addApprovalRoutes, TwoPersons } from '../../../actors/broker/approvals-door.ts'
import { addThresholdRoutes } from '../../../actors/broker/threshold-door.ts'
import {
  approvalsSubject,
  carriedOut,
  decided,
  decodeApprovals,
  encodeApprovals,
  requested,
  type Approvals,
} from '../../../core/access/approvals.ts'
import { QuarantineAction } from '../../../core/access/quarantine-list.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import type { LedgerEntry } from '../../../core/ports/ledger.ts'
import type { ActorMailPorts } from '../../../core/bus/actor-mail.ts'
import { readBodyView } from '../../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../../core/envelope/frame.ts'
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
/** Calls of a door with `routes` and those of approvals; a header names the operator. */
function callsOf(t: Test, persons: TwoPersons, routes: (app: FastifyInstance) => void) {
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
  routes(app)
  addApprovalRoutes(app, persons)
  t.teardown(() => app.close())
  return async (method: 'DELETE' | 'POST' | 'GET', url: string, name: string, body?: object) => {
    const headers = { 'x-name': name }
    const answer = await app.inject({ method, url, headers, ...(body && { payload: body }) })
    return answer.json<{
      code?: string
      approval: { id: string; digest: string; status: string; target: string; content?: string }
      result?: object
    }>()
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
      return callsOf(t, persons, (app) => {
        app.delete('/device', (request) =>
          persons.ask(request, { act: 'device.remove', target: device, by: 'ann' }),
        )
      })
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

t.test('what an act is done with is part of what is approved', async (t) => {
  const release = { ...wanted, act: 'quarantine.release', content: 'one two' } as const
  const { list, approval } = requested([], release, 'id', 1_000)
  const bare = requested([], { ...wanted, act: 'quarantine.release' }, 'id', 1_000).approval
  t.not(approval.digest, bare.digest)
  const other = requested(list, { ...release, content: 'one three' }, 'other', 1_000)
  t.equal(other.list.length, 2, 'the same act with something else is another request')
  t.not(other.approval.digest, approval.digest)
  t.same(decodeApprovals(encodeApprovals(other.list)), other.list)
  const content = 'x'.repeat(limits.approvalContentBytesMax + 1)
  t.throws(() => requested([], { ...release, content }, 'id', 1_000), {
    code: 'APPROVAL_CONTENT_EXCEEDED',
  })
})

t.test('the longest list is one message of the ledger', async (t) => {
  let list: Approvals = []
  const content = 'x'.repeat(limits.approvalContentBytesMax)
  for (let number = 0; number < 2 * limits.approvalsMax; number++) {
    const nowMs = number < limits.approvalsMax ? 1_000 : 1_000 + limits.approvalMs
    const one = { ...wanted, target: String(number), content, requestedBy: 'x'.repeat(64) }
    list = requested(list, one, `id-${number}`, nowMs).list
  }
  t.equal(list.length, 2 * limits.approvalsMax)
  t.ok(encodeApprovals(list).length < 1_000_000, `${encodeApprovals(list).length} octets`)
})

t.test('quarantine: requests are released after the approval, exactly those', async (t) => {
  const clock = new SimClock(1_000)
  let count = 0
  const random = { bytes: (size: number) => Buffer.alloc(size, ++count), uint32: () => 0 }
  const ledger = subjectOf()
  const persons = new TwoPersons({ ledger, clock, random: random as never }, false)
  const asked: string[] = []
  const bus = {
    async request(_subject: string, frame: Buffer) {
      const answer = Buffer.from(frame)
      forEachEnvelope(answer, 0, (at) => {
        const body = readBodyView(answer, at)
        asked.push(`${body[0]} ${body.toString('utf8', 1)}`)
      })
      return answer
    },
  }
  const directory = { partitionCount: 1, ownerOf: () => 'host' }
  const ports = { bus, directory, clock } as unknown as ActorMailPorts
  const call = callsOf(t, persons, (app) => addThresholdRoutes(app, ports, {} as never, persons))
  const ids = [1, 2].map((number) => `90-B3-D5-1F-30-01-00-00:${device}:${number}`)
  const malformed = await call('POST', '/v1/quarantine/release', 'ann', { requestIds: ['x'] })
  t.equal(malformed.code, 'VIEW_QUERY_INVALID', 'nobody is asked to approve what cannot be done')
  const { approval } = await call('POST', '/v1/quarantine/release', 'ann', { requestIds: ids })
  t.match(approval, { target: `${ids[0]} and 1 more`, content: ids.join(' '), status: 'open' })
  t.same(asked, [])
  const body = { digest: approval.digest }
  const path = `/v1/approvals/${approval.id}/approve`
  t.equal((await call('POST', path, 'ann', body)).code, 'APPROVAL_SAME_OPERATOR')
  t.same(asked, [])
  const done = await call('POST', path, 'bob', body)
  t.match(done, { approval: { status: 'done' }, result: { done: ids, refused: [] } })
  t.same(asked, Array(2).fill(`${QuarantineAction.RELEASE} ann (approved by bob)`))

  const many = Array.from({ length: limits.approvalRequestsMax }, (_, index) => {
    const counter = BigInt(2 ** 62) + BigInt(index)
    return `90-B3-D5-1F-30-01-00-00:${device}:${counter}`
  })
  const all = await call('POST', '/v1/quarantine/delete', 'ann', { requestIds: many })
  t.equal(all.approval.content?.split(' ').length, many.length, 'as many as the limit says fit')
  const more = [...many, ...many]
  const over = await call('POST', '/v1/quarantine/delete', 'ann', { requestIds: more })
  t.equal(over.code, 'APPROVAL_CONTENT_EXCEEDED')
})

t.test('an act of a later version still waits', async (t) => {
  const clock = new SimClock(1_000)
  const random = { bytes: (size: number) => Buffer.alloc(size, 7), uint32: () => 0 }
  const ports = { ledger: subjectOf(), clock, random: random as never }
  const later = new TwoPersons(ports, false)
  const app = (app: FastifyInstance): void => {
    app.post('/later', (request) =>
      later.ask(request, { act: 'later' as never, target: 'x', by: '' }),
    )
  }
  const { approval } = await callsOf(t, later, app)('POST', '/later', 'ann')
  const call = callsOf(t, new TwoPersons(ports, false), () => undefined)
  const path = `/v1/approvals/${approval.id}`
  const body = { digest: approval.digest }
  t.equal((await call('POST', `${path}/approve`, 'bob', body)).code, 'APPROVAL_ACT_UNKNOWN')
  const rejected = await call('POST', `${path}/reject`, 'bob', body)
  t.equal(rejected.approval.status, 'rejected', 'it was open, and may be rejected')
})
