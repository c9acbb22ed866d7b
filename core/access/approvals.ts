/**
 * Acts that need two operators: one requests, another one approves. Pure: each step makes a new
 * list out of the one that stands on the ledger, or says why not.
 *
 *   open ── approve (another operator) ──▶ approved ── the act is carried out ──▶ done
 *    ├── reject ──▶ rejected                  └── approve again: carried out again
 *    └── its time is over: neither any more
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { digest } from '../crypto/crypto.ts'
import { asBuffer } from '../base/bytes.ts'

/**
 * Every act that needs two operators, with what cannot be undone about it. An act of an operator
 * that is not in the table is done at once.
 */
export const approvalActs = [
  { act: 'device.remove', loses: 'open requests of the device, its address and its keys' },
  { act: 'device.keys', loses: 'the keys that the device has now' },
  { act: 'party.remove', loses: 'what the party has open' },
  { act: 'quarantine.release', loses: 'the hold on requests above a threshold: they are sent' },
  { act: 'quarantine.delete', loses: 'requests of a party, without an outcome of the device' },
] as const
export type ApprovalAct = (typeof approvalActs)[number]['act']

export type Approval = {
  readonly id: string
  readonly act: ApprovalAct
  /** EUI-64 as text; for acts on requests the first RequestID, and how many more there are. */
  readonly target: string
  /** What the act is done with, text of its own form; missing where the target says it all. */
  readonly content?: string
  /** Of everything above and of who requested it, until when: what is approved. */
  readonly digest: string
  /** Name of the operator, as the credentials say it. */
  readonly requestedBy: string
  readonly requestedAtMs: number
  readonly expiresAtMs: number
  readonly status: 'open' | 'approved' | 'rejected' | 'done'
  readonly decidedBy?: string
  readonly decidedAtMs?: number
}

export type Approvals = readonly Approval[]

/** Where the list stands on the ledger: the last message counts, the others are its history. */
export const approvalsSubject = 'meta.approvals'

type Wanted = Pick<Approval, 'act' | 'target' | 'requestedBy' | 'content'>

/** Without content as versions before it have made it. */
function digestOf(wanted: Wanted, id: string, expiresAtMs: number): string {
  const { act, target, requestedBy, content } = wanted
  const parts = [id, act, target, requestedBy, expiresAtMs]
  const text = JSON.stringify(content === undefined ? parts : [...parts, content])
  return digest('sha256', Buffer.from(text)).toString('hex')
}

const isOver = ({ status, expiresAtMs }: Approval, nowMs: number): boolean =>
  status === 'rejected' || status === 'done' || nowMs >= expiresAtMs

/**
 * Adds a request; the same one that is open already is left as it is.
 * @throws BrokerError APPROVAL_LIMIT_EXCEEDED, APPROVAL_CONTENT_EXCEEDED
 */
export function requested(
  list: Approvals,
  wanted: Wanted,
  id: string,
  nowMs: number,
): { list: Approvals; approval: Approval } {
  const { act, target, requestedBy, content } = wanted
  const bytes = content === undefined ? 0 : Buffer.byteLength(content)
  if (bytes > limits.approvalContentBytesMax)
    throw new BrokerError(
      'APPROVAL_CONTENT_EXCEEDED',
      `${bytes} octets, at most ${limits.approvalContentBytesMax}`,
    )
  const same = list.find(
    (one) =>
      !isOver(one, nowMs) &&
      one.act === act &&
      one.target === target &&
      one.content === content &&
      one.requestedBy === requestedBy,
  )
  if (same !== undefined) return { list, approval: same }
  const open = list.filter((one) => !isOver(one, nowMs))
  if (open.length >= limits.approvalsMax) throw new BrokerError('APPROVAL_LIMIT_EXCEEDED')
  const expiresAtMs = nowMs + limits.approvalMs
  const approval: Approval = {
    ...{ id, act, target, requestedBy, expiresAtMs },
    ...(content !== undefined && { content }),
    digest: digestOf(wanted, id, expiresAtMs),
    requestedAtMs: nowMs,
    status: 'open',
  }
  // Those that are over make way, oldest first.
  const over = list.filter((one) => isOver(one, nowMs)).slice(-limits.approvalsMax)
  const kept = list.filter((one) => over.includes(one) || open.includes(one))
  return { list: [...kept, approval], approval }
}

/** Who decides what. `digest` is that of the request as the operator has seen it. */
export type Decision = {
  readonly id: string
  readonly digest: string
  readonly decision: 'approve' | 'reject'
  readonly by: string
}

/**
 * @throws BrokerError APPROVAL_UNKNOWN, APPROVAL_OVER, APPROVAL_DIGEST_MISMATCH, and
 * APPROVAL_SAME_OPERATOR for who requested it; that one may take it back, which is a rejection
 */
export function decided(
  list: Approvals,
  { id, digest: seen, decision, by }: Decision,
  nowMs: number,
): { list: Approvals; approval: Approval } {
  const found = list.find((one) => one.id === id)
  if (found === undefined) throw new BrokerError('APPROVAL_UNKNOWN', id.slice(0, 40))
  if (isOver(found, nowMs)) {
    const isPast = found.status === 'open' || found.status === 'approved'
    throw new BrokerError('APPROVAL_OVER', isPast ? 'its time is over' : found.status)
  }
  if (found.digest !== seen) throw new BrokerError('APPROVAL_DIGEST_MISMATCH', id)
  if (decision === 'approve' && found.requestedBy === by)
    throw new BrokerError('APPROVAL_SAME_OPERATOR', by)
  // Approved before, and not carried out to its end: it is carried out again.
  if (found.status === 'approved' && decision === 'approve') return { list, approval: found }
  if (found.status === 'approved') throw new BrokerError('APPROVAL_OVER', found.status)
  const status = decision === 'approve' ? 'approved' : 'rejected'
  const approval: Approval = { ...found, status, decidedBy: by, decidedAtMs: nowMs }
  return { list: list.map((one) => (one === found ? approval : one)), approval }
}

/** The approved act has been carried out. */
export const carriedOut = (list: Approvals, id: string): Approvals =>
  list.map((one) => (one.id === id && one.status === 'approved' ? { ...one, status: 'done' } : one))

export const encodeApprovals = (list: Approvals): Buffer =>
  Buffer.from(JSON.stringify({ version: 1, approvals: list }), 'utf8')

/** @throws BrokerError FORMAT_VERSION_LATER, STORE_DAMAGED */
export function decodeApprovals(view: Uint8Array): Approvals {
  let json: { version?: unknown; approvals?: unknown } | null
  try {
    json = JSON.parse(asBuffer(view).toString('utf8')) as typeof json
  } catch (cause) {
    throw new BrokerError('STORE_DAMAGED', 'the list of approvals', { cause })
  }
  const { version, approvals } = json ?? {}
  if (typeof version === 'number' && version > 1)
    throw new BrokerError('FORMAT_VERSION_LATER', `approvals of version ${version}`)
  if (version !== 1 || !Array.isArray(approvals))
    throw new BrokerError('STORE_DAMAGED', 'the list of approvals')
  return approvals as Approvals
}
