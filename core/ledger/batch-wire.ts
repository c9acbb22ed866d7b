/**
 * One commit on the wire: headers of the atomic batch and the meaning of the server's answer. Pure.
 *
 * Rules of the server, measured on 2.15.1 (test/contracts/ledger.ts keeps them true):
 * - expectations of all messages of a batch are checked at its commit; one that fails refuses the
 *   batch whole (10071);
 * - several expectations, on different or the same subject, may stand in one batch;
 * - an expectation on a subject that an *earlier* message of the same batch writes is refused
 *   (10164); on one that a later message writes, or the message itself, it is fine;
 * - the subject of an expectation is spelled out: of a pattern (`lease.*`) a cluster does not see
 *   what is on its way to disk, so that a tick could be written behind a lease (decision 0011);
 * - of two messages on their way with an expectation on one subject a cluster refuses the second;
 * - a message alone needs no batch headers: a plain publish takes the same expectation. It is much
 *   cheaper too: with one replica the server stages every batch in a file store of its own, with
 *   several flushes before that of the stream (decision 0004).
 *
 * @source NATS ADR-50, atomic batch publishing; the server's table of JetStream error codes
 */
import type { CommitRefusal, LedgerEntry } from '../ports/ledger.ts'

/** The headers of message `index` of `count` in batch `batchId`; empty when it needs none. */
export function batchHeaderBytes(
  batchId: string,
  index: number,
  count: number,
  expect: LedgerEntry['expect'],
  subjectPrefix: string,
): Uint8Array | undefined {
  if (count === 1 && expect === undefined) return undefined
  let text = 'NATS/1.0\r\n'
  if (count > 1) {
    text += `Nats-Batch-Id: ${batchId}\r\nNats-Batch-Sequence: ${index + 1}\r\n`
    if (index + 1 === count) text += 'Nats-Batch-Commit: 1\r\n'
  }
  if (expect !== undefined) {
    text += `Nats-Expected-Last-Subject-Sequence: ${expect.sequence}\r\nNats-Expected-Last-Subject-Sequence-Subject: ${subjectPrefix}.${expect.subject}\r\n`
  }
  return Buffer.from(`${text}\r\n`, 'latin1')
}

/**
 * The server's acknowledgement, or what it said against it. `sequence` is that of the batch's last
 * message.
 */
export type PublishAnswer =
  | { kind: 'stored'; sequence: number; count: number }
  | { kind: 'refused'; refusal: CommitRefusal }
  /** The store refused for a reason that the code alone does not tell: full, or broken. */
  | { kind: 'store-failed'; detail: string }

const fenceCodes = new Set([10071, 10164])
const fullCodes = new Set([10002, 10023, 10028, 10047, 10120])
const tooLargeCodes = new Set([10054, 10097, 10199])
const storeFailedCode = 10077

/** Reads the JSON of a publish acknowledgement. What is not one is `unknown`. */
export function readPublishAnswer(text: string): PublishAnswer {
  const unknown = (detail: string): PublishAnswer => ({
    kind: 'refused',
    refusal: { refused: 'unknown', detail },
  })
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return unknown('the acknowledgement is not JSON')
  }
  if (typeof parsed !== 'object' || parsed === null)
    return unknown('the acknowledgement is not an object')
  const { error, seq, count } = parsed as { error?: unknown; seq?: unknown; count?: unknown }
  if (typeof error === 'object' && error !== null) {
    const { err_code: code, description } = error as { err_code?: unknown; description?: unknown }
    const detail = `${String(code)} ${String(description)}`
    if (typeof code !== 'number') return unknown(detail)
    if (code === storeFailedCode) return { kind: 'store-failed', detail }
    if (fenceCodes.has(code)) return { kind: 'refused', refusal: { refused: 'fence', detail } }
    if (fullCodes.has(code)) return { kind: 'refused', refusal: { refused: 'full', detail } }
    if (tooLargeCodes.has(code))
      return { kind: 'refused', refusal: { refused: 'too-large', detail } }
    return unknown(detail)
  }
  if (typeof seq !== 'number' || seq < 1) return unknown('the acknowledgement has no sequence')
  return { kind: 'stored', sequence: seq, count: typeof count === 'number' ? count : 1 }
}
