/**
 * Requests that wait for their signature: their order, their bounds, and what becomes of them when
 * the verifier fails or the gateway drains. The verifier answers when the test says so.
 */
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { errorTable } from '../../../../core/base/error-table.ts'
import { limits } from '../../../../core/base/limits.ts'
import { RequestSigner } from '../../../../core/client/sign-request.ts'
import { readCounter } from '../../../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../../../core/envelope/frame.ts'
import { Intake } from '../../../../core/gateway/intake/intake.ts'
import { PartyAccount } from '../../../../core/gateway/intake/party-account.ts'
import { readDoorFiles, readPartyFiles } from '../../../../core/ops/pki-folder.ts'
import { SignatureThreads } from '../../../../core/ops/signature-threads.ts'
import { Signers } from '../../../../core/pki/signers.ts'
import { systemClock } from '../../../../core/ports/clock.ts'
import { silentLog } from '../../../../core/ports/log.ts'
import { noMetrics } from '../../../../core/ports/metrics.ts'
import type { SignatureCheck, SignatureVerifier } from '../../../../core/ports/signatures.ts'
import { ServiceRequest } from '../../../../proto/gen/busbar/v1/service_request.ts'
import { demoPki } from '../../../support/pki.ts'
import { Answers, HeldBus, party, turnOver } from '../held-intake.ts'
import { accepted, requestOf, supplier, TestDirectory } from '../rig.ts'

const folder = await demoPki()
const signer = new RequestSigner(readPartyFiles(folder, supplier))

type Batch = {
  checks: readonly SignatureCheck[]
  /** All fit, or as `verdicts` says. */
  settle(verdicts?: number[]): void
  fail(): void
}

/** A verifier that keeps its batches. */
class HeldVerifier implements SignatureVerifier {
  readonly batches: Batch[] = []
  batchesOutMax = 2

  verify(checks: readonly SignatureCheck[]): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.batches.push({
        checks,
        settle: (verdicts = checks.map(() => 1)) => resolve(Uint8Array.from(verdicts)),
        fail: () => reject(new Error('the thread died')),
      })
    })
  }

  close = (): Promise<void> => Promise.resolve()
}

function makeSigned(t: Test) {
  const bus = new HeldBus()
  const verifier = new HeldVerifier()
  const certificates = { current: readDoorFiles(folder), onChange: () => () => undefined }
  const intake = new Intake({
    bus,
    directory: new TestDirectory(1),
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    signatures: { verifier, signers: new Signers(certificates) },
  })
  t.teardown(() => intake.close())
  const account = new PartyAccount(party, 5)
  const answers = new Answers()
  const submit = (request: ServiceRequest, tag: number): void => {
    const bytes = Buffer.from(ServiceRequest.encode(request).finish())
    intake.submit(account, bytes, 0, bytes.length, answers, tag)
    // The view was borrowed.
    bytes.fill(0xff)
  }
  const sent = (): bigint[] => {
    const counters: bigint[] = []
    for (const { frame } of bus.sent)
      forEachEnvelope(frame, 0, (at) => counters.push(readCounter(frame, at)))
    return counters
  }
  return { bus, verifier, intake, account, answers, submit, sent }
}

const counterOf = ({ requestId }: ServiceRequest): bigint => requestId!.counter

t.test('batches that come back in another order are handed on in the first one', async (t) => {
  const { verifier, submit, sent, account, bus, answers } = makeSigned(t)
  const count = 2 * limits.signaturesPerBatchMax
  const requests = Array.from({ length: count }, () => signer.sign(requestOf()))
  const unsigned = requestOf()
  for (const [tag, request] of [...requests, unsigned].entries()) submit(request, tag)
  await turnOver()
  t.equal(verifier.batches.length, 2, 'of a full batch each')
  t.equal(account.unverified, count + 1)
  verifier.batches[1]!.settle()
  await turnOver()
  t.same(sent(), [], 'the unsigned one waits behind them, too')
  verifier.batches[0]!.settle()
  await turnOver()
  t.same(sent(), [...requests, unsigned].map(counterOf))
  t.equal(account.unverified, 0)
  for (const one of bus.sent) one.answer(() => accepted)
  await answers.until(count + 1)
  const again = requestOf()
  submit(again, 1_000)
  await turnOver()
  t.equal(sent().at(-1), counterOf(again), 'nothing to wait for')
})

t.test('a bad signature is refused, and its neighbours go on', async (t) => {
  const { verifier, submit, sent, answers } = makeSigned(t)
  const requests = [requestOf(), requestOf(), requestOf()].map((one) => signer.sign(one))
  for (const [tag, request] of requests.entries()) submit(request, tag)
  await turnOver()
  verifier.batches[0]!.settle([1, 0, 1])
  await turnOver()
  t.same([...answers.codes], [[1, 'REQUEST_SIGNATURE_INVALID']])
  t.same(sent(), [counterOf(requests[0]!), counterOf(requests[2]!)])
})

t.test('no more batches are out than the verifier takes; the next ones follow', async (t) => {
  const { verifier, submit, sent } = makeSigned(t)
  const count = 5 * limits.signaturesPerBatchMax
  const signed = signer.sign(requestOf())
  for (let tag = 0; tag < count; tag++) submit(signed, tag)
  await turnOver()
  t.equal(verifier.batches.length, 2)
  for (let index = 0; index < 5; index++) {
    verifier.batches[index]!.settle()
    await turnOver()
  }
  t.equal(verifier.batches.length, 5)
  t.equal(sent().length, count)
})

t.test('what finds no room may come again', async (t) => {
  const { submit, answers, account, intake } = makeSigned(t)
  const signed = signer.sign(requestOf())
  for (let tag = 0; tag <= limits.partySignaturesWaitingMax; tag++) submit(signed, tag)
  t.same([...answers.codes], [[limits.partySignaturesWaitingMax, 'BROKER_SIGNATURES_BUSY']])
  t.ok([...answers.waits.values()][0]! > 0, 'after a wait')
  t.equal(errorTable.BROKER_SIGNATURES_BUSY.retry, 'later')
  t.equal(account.unverified, limits.partySignaturesWaitingMax)
  const drained = intake.drain()
  t.equal(account.unverified, 0, 'a gateway that drains refuses all of them')
  const codes = new Set(answers.codes.values())
  t.same([...codes].toSorted(), ['BROKER_DRAINING', 'BROKER_SIGNATURES_BUSY'])
  await drained
})

t.test('a verifier that fails costs its batch a retry, nothing else', async (t) => {
  const { verifier, submit, sent, answers } = makeSigned(t)
  submit(signer.sign(requestOf()), 0)
  await turnOver()
  verifier.batches[0]!.fail()
  await answers.until(1)
  t.equal(answers.codes.get(0), 'BROKER_SIGNATURES_BUSY')
  const next = signer.sign(requestOf())
  submit(next, 1)
  await turnOver()
  verifier.batches[1]!.settle()
  await turnOver()
  t.same(sent(), [counterOf(next)])
})

t.test('threads: good and bad ones of a batch, and a new thread for one that died', async (t) => {
  const threads = new SignatureThreads(silentLog, 1)
  t.teardown(() => threads.close())
  const { submit, verifier } = makeSigned(t)
  for (let tag = 0; tag < 4; tag++) submit(signer.sign(requestOf()), tag)
  await turnOver()
  const [{ checks }] = verifier.batches as [Batch]
  const other = { ...checks[1]!, signed: checks[2]!.signed }
  const noPoint = { ...checks[3]!, point: Buffer.alloc(64, 1) }
  const mixed = [checks[0]!, other, checks[2]!, noPoint]
  t.same([...(await threads.verify(mixed))], [1, 0, 1, 0])
  t.same([...(await threads.verify([]))], [])
  const [thread] = Reflect.get(threads, 'threads') as Set<object>
  // No batch: the thread throws on it, and what it has behind it is lost.
  const worker = Reflect.get(thread!, 'worker') as Worker
  worker.postMessage(null)
  await t.rejects(threads.verify(mixed), TypeError)
  t.same([...(await threads.verify([checks[0]!]))], [1])
})
