/**
 * Requests that wait for their signature to be verified. They leave in the order in which they
 * came, and so do requests of the same party without a signature behind them: a stream keeps its
 * order.
 *
 * What came in one turn of the event loop goes to the verifier in batches. Everything is bounded: a
 * request that finds no room is refused and may come again.
 */
import { copyOf } from '../../base/bytes.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import type { Seal } from '../../envelope/signed-request.ts'
import type { Signers } from '../../pki/signers.ts'
import type { Log } from '../../ports/log.ts'
import type { Counter, Metrics } from '../../ports/metrics.ts'
import type { SignatureCheck, SignatureVerifier } from '../../ports/signatures.ts'
import { canonicalRequest } from '../../translate/canonical-request.ts'
import type { RequestScan } from '../../translate/scan.ts'
import { furtherFields, readSignature } from '../../translate/sealed-request.ts'
import type { PartyAccount } from './party-account.ts'
import type { AnswerSink } from './slots.ts'
import type { Flushable, Turn } from './turn-flush.ts'

/** A request that waits. */
export type WaitingRequest = {
  readonly account: PartyAccount
  /** The ServiceRequest on the wire, owned. */
  readonly bytes: Buffer
  readonly sink: AnswerSink
  readonly tag: number
  /** What goes along when the signature fits; undefined for a request without one. */
  readonly seal: Seal | undefined
}

type Entry = WaitingRequest & {
  readonly check: SignatureCheck | undefined
  verdict: 'waits' | ErrorCode | undefined
}

/** Gets each request when its turn comes: with why it is refused, or undefined. */
export type OnVerified = (request: WaitingRequest, refusal: ErrorCode | undefined) => void

export type SignedRequestsPorts = {
  signers: Signers
  verifier: SignatureVerifier
  log: Log
  metrics: Metrics
}

export class SignedRequests implements Flushable {
  private readonly ports: SignedRequestsPorts
  private readonly turn: Turn
  private readonly onVerified: OnVerified
  /** In the order of arrival; what is behind `sentCount` is not with the verifier yet. */
  private entries: Entry[] = []
  private sentCount = 0
  private batchesOut = 0
  private bytes = 0
  private isDue = false
  private readonly verified: Record<'good' | 'bad', Counter>

  constructor(ports: SignedRequestsPorts, turn: Turn, onVerified: OnVerified) {
    this.ports = ports
    this.turn = turn
    this.onVerified = onVerified
    const of = (result: string): Counter =>
      ports.metrics.counter(
        'busbar_signatures_verified_total',
        'Signatures of requests that were verified, by result',
        { result },
      )
    this.verified = { good: of('good'), bad: of('bad') }
    ports.metrics.gauge(
      'busbar_signatures_waiting',
      'Requests that wait for their signature, or one before them, to be verified',
      () => this.entries.length,
    )
  }

  /**
   * Takes the request at `view[start, end)`, which `scan` has read; the view is copied. A code when
   * it is refused at once.
   */
  // oxlint-disable-next-line max-params -- an object would be made for each request
  take(
    account: PartyAccount,
    view: Buffer,
    [start, end]: readonly [number, number],
    scan: RequestScan,
    sink: AnswerSink,
    tag: number,
    nowMs: number,
  ): ErrorCode | undefined {
    const isFull =
      this.entries.length >= limits.signaturesWaitingMax ||
      account.unverified >= limits.partySignaturesWaitingMax ||
      this.bytes + end - start > limits.signatureBytesWaitingMax
    if (isFull) return 'BROKER_SIGNATURES_BUSY'
    const bytes = copyOf(view.subarray(start, end))
    const sealed =
      scan.signatureStart > 0 ? this.sealed(account, bytes, scan, start, nowMs) : undefined
    if (typeof sealed === 'string') return sealed
    this.entries.push({
      account,
      bytes,
      sink,
      tag,
      seal: sealed?.seal,
      check: sealed?.check,
      verdict: sealed === undefined ? undefined : 'waits',
    })
    account.unverified++
    this.bytes += bytes.length
    this.ask()
    return undefined
  }

  /** Refuses everything that waits. */
  refuseAll(code: ErrorCode): void {
    const entries = this.entries
    this.entries = []
    this.sentCount = 0
    for (const entry of entries) this.leave(entry, code)
  }

  flush(): void {
    this.isDue = false
    const { verifier } = this.ports
    while (this.sentCount < this.entries.length && this.batchesOut < verifier.batchesOutMax) {
      const batch: Entry[] = []
      const checks: SignatureCheck[] = []
      while (this.sentCount < this.entries.length && checks.length < limits.signaturesPerBatchMax) {
        const entry = this.entries[this.sentCount++]!
        if (entry.check === undefined) continue
        batch.push(entry)
        checks.push(entry.check)
      }
      if (batch.length > 0) this.send(batch, checks)
    }
    this.release()
  }

  private sealed(
    account: PartyAccount,
    bytes: Buffer,
    scan: RequestScan,
    start: number,
    nowMs: number,
  ): { seal: Seal; check: SignatureCheck } | ErrorCode {
    const { signatureStart, signatureEnd, assignsCounter } = scan
    const found = readSignature(bytes, signatureStart - start, signatureEnd - start)
    // Without a counter the same signature would be good for any number of requests.
    if (found === undefined || assignsCounter) return 'REQUEST_SIGNATURE_MALFORMED'
    const { certificate, value: signature } = found
    const point = this.ports.signers.keyOf(certificate, account.party.id, nowMs)
    if (typeof point === 'string') return point
    const signed = canonicalRequest(bytes, 0, bytes.length, certificate)
    const further = furtherFields(bytes, 0, bytes.length)
    if (signed === undefined || further === undefined) return 'REQUEST_SIGNATURE_MALFORMED'
    const thumbprint = Buffer.from(certificate, 'hex')
    return { seal: { thumbprint, signature, further }, check: { point, signature, signed } }
  }

  private send(batch: readonly Entry[], checks: readonly SignatureCheck[]): void {
    this.batchesOut++
    const settle = (verdictOf: (index: number) => ErrorCode | undefined): void => {
      this.batchesOut--
      for (const [index, entry] of batch.entries())
        if (entry.verdict === 'waits') entry.verdict = verdictOf(index)
      // Releases, and sends what has come meanwhile.
      this.flush()
    }
    this.ports.verifier.verify(checks).then(
      (verdicts) =>
        settle((index) => {
          const isGood = verdicts[index] === 1
          this.verified[isGood ? 'good' : 'bad'].add()
          return isGood ? undefined : 'REQUEST_SIGNATURE_INVALID'
        }),
      (fault: unknown) => {
        this.ports.log.error(
          { fault: String(fault), requests: batch.length },
          'signatures were not verified',
        )
        settle(() => 'BROKER_SIGNATURES_BUSY')
      },
    )
  }

  /** Gives out, in order, what has its verdict. */
  private release(): void {
    let count = 0
    while (count < this.sentCount && this.entries[count]!.verdict !== 'waits') count++
    if (count === 0) return
    const released = this.entries.splice(0, count)
    this.sentCount -= count
    for (const entry of released)
      this.leave(entry, entry.verdict === 'waits' ? undefined : entry.verdict)
  }

  private leave(entry: Entry, refusal: ErrorCode | undefined): void {
    entry.account.unverified--
    this.bytes -= entry.bytes.length
    this.onVerified(entry, refusal)
  }

  private ask(): void {
    if (this.isDue) return
    this.isDue = true
    this.turn.add(this)
  }
}
