/**
 * Signed requests through intake: what a gateway takes when every request is signed and verified,
 * against the same requests without a signature in the same run, turn by turn. The real intake and
 * the real threads; the bus answers at once, in this process. Time of the event loop is told apart
 * from that of all threads.
 */
import { readEui64, parseEui64, type Eui64 } from '../core/base/eui64.ts'
import { demoParties, demoPartiesJson } from '../core/access/parties.ts'
import { errorId } from '../core/base/error-table.ts'
import { limits } from '../core/base/limits.ts'
import { RequestSigner } from '../core/client/sign-request.ts'
import { envelopeEnd, readKind, readOutcome } from '../core/envelope/envelope.ts'
import { headerBytes, Kind, offsetOf } from '../core/envelope/layout.ts'
import { Intake } from '../core/gateway/intake/intake.ts'
import { PartyAccount } from '../core/gateway/intake/party-account.ts'
import { readDoorFiles, readPartyFiles } from '../core/ops/pki-folder.ts'
import { SignatureThreads } from '../core/ops/signature-threads.ts'
import { Signers } from '../core/pki/signers.ts'
import type { Bus, OwnerDirectory } from '../core/ports/bus.ts'
import { systemClock } from '../core/ports/clock.ts'
import { silentLog } from '../core/ports/log.ts'
import { noMetrics } from '../core/ports/metrics.ts'
import { ServiceRequest } from '../proto/gen/busbar/v1/service_request.ts'
import { demoPki } from '../test/support/pki.ts'
import { median, type BenchOptions } from './harness.ts'

export const name = 'signatures'
export const describe = 'requests a second through intake with every request signed, and with none'

const party = demoPartiesJson[0]!.eui64
const inFlightMax = 2_000
const accepted = errorId('REQUEST_ACCEPTED')

/** Answers every envelope of a frame with an acceptance. */
const bus: Bus = {
  request(_subject, frame) {
    const asked = frame as Buffer
    const answers: Buffer[] = []
    for (let at = 0; at < asked.length; at = envelopeEnd(asked, at)) {
      const answer = Buffer.from(asked.subarray(at, at + headerBytes))
      answer[offsetOf.kind + 1] = Kind.ACKNOWLEDGEMENT
      answer.writeUInt16BE(accepted, offsetOf.outcome)
      answer.writeUInt32BE(0, offsetOf.body)
      answers.push(answer)
    }
    return Promise.resolve(Buffer.concat(answers))
  },
  serve: () => Promise.reject(new Error('not here')),
  listen: () => Promise.reject(new Error('not here')),
  announce: () => undefined,
}

const owners: OwnerDirectory = {
  partitionCount: 1,
  ownerOf: () => 'a',
  changed: (_partition, _was, timeoutMs) =>
    new Promise((resolve) => void systemClock.at(systemClock.now() + timeoutMs, resolve)),
}

/** Submits all of `wires`, at most `inFlightMax` at a time; settles with how many were accepted. */
function submitAll(
  intake: Intake,
  account: PartyAccount,
  wires: readonly Buffer[],
): Promise<number> {
  return new Promise((resolve) => {
    let next = 0
    let open = 0
    let good = 0
    const more = (): void => {
      for (; open < inFlightMax && next < wires.length; next++) {
        const wire = wires[next]!
        open++
        intake.submit(account, wire, 0, wire.length, sink, 0)
      }
      if (open === 0 && next === wires.length) resolve(good)
    }
    const sink = {
      answer(_tag: number, buffer: Buffer, at: number): void {
        open--
        const isGood = readKind(buffer, at) === Kind.ACKNOWLEDGEMENT
        if (isGood && readOutcome(buffer, at) === accepted) good++
        if (open <= inFlightMax / 2) setImmediate(more)
      },
    }
    more()
  })
}

function requestsOf(count: number): ServiceRequest[] {
  return Array.from({ length: count }, (_, index) =>
    ServiceRequest.create({
      requestId: {
        originator: party,
        target: `00DB1000000000${(index % 256).toString(16).padStart(2, '0')}`,
        counter: BigInt(index + 1),
      },
      serviceReferenceVariant: '4.1.1',
      deadline: new Date(Date.now() + 3_600_000),
    }),
  )
}

type Turn = { perSecond: number; loopMicros: number; allMicros: number }

/** A gateway's intake in front of `bus`. */
function intakeWith(folder: string, verifier: SignatureThreads): Intake {
  const certificates = { current: readDoorFiles(folder), onChange: () => () => undefined }
  return new Intake({
    bus,
    directory: owners,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    signatures: { verifier, signers: new Signers(certificates) },
  })
}

export async function run({ smoke, log }: BenchOptions): Promise<Record<string, unknown>> {
  const count = smoke ? 300 : 30_000
  const turns = smoke ? 1 : 5
  const folder = await demoPki()
  const signer = new RequestSigner(readPartyFiles(folder, party))
  const verifier = new SignatureThreads(silentLog)
  const intake = intakeWith(folder, verifier)
  const id: Eui64 = readEui64(parseEui64(party)!)
  const account = new PartyAccount(demoParties().get(id)!, 1)
  const requests = requestsOf(count)
  const wireOf = (request: ServiceRequest): Buffer =>
    Buffer.from(ServiceRequest.encode(request).finish())
  const startedMs = performance.now()
  const signed = requests.map((request) => wireOf(signer.sign(request)))
  const signMicros = ((performance.now() - startedMs) * 1_000) / count
  const unsigned = requests.map(wireOf)
  let wrong = 0
  const turn = async (wires: readonly Buffer[]): Promise<Turn> => {
    const loop = process.threadCpuUsage()
    const cpu = process.cpuUsage()
    const fromMs = performance.now()
    wrong += count - (await submitAll(intake, account, wires))
    const ms = performance.now() - fromMs
    const { user, system } = process.cpuUsage(cpu)
    const own = process.threadCpuUsage(loop)
    return {
      perSecond: (count * 1_000) / ms,
      loopMicros: (own.user + own.system) / count,
      allMicros: (user + system) / count,
    }
  }
  await turn(signed)
  await turn(unsigned)
  const with_: Turn[] = []
  const without: Turn[] = []
  for (let index = 0; index < turns; index++) {
    with_.push(await turn(signed))
    without.push(await turn(unsigned))
  }
  intake.close()
  await verifier.close()
  const of = (list: Turn[], field: keyof Turn): number => median(list.map((one) => one[field]))
  const signedPerSecond = of(with_, 'perSecond')
  const unsignedPerSecond = of(without, 'perSecond')
  const figures = {
    signedPerSecond,
    unsignedPerSecond,
    ratio: signedPerSecond / unsignedPerSecond,
    signedLoopMicros: of(with_, 'loopMicros'),
    unsignedLoopMicros: of(without, 'loopMicros'),
    signedCpuMicros: of(with_, 'allMicros'),
    unsignedCpuMicros: of(without, 'allMicros'),
    threads: verifier.batchesOutMax / limits.signatureBatchesOutMax,
    signMicros,
    signedBytes: signed[0]!.length,
    unsignedBytes: unsigned[0]!.length,
    wrong,
  }
  log(
    `${signedPerSecond.toFixed(0)} signed requests/s, ${unsignedPerSecond.toFixed(0)} unsigned; ${figures.signedCpuMicros.toFixed(0)} µs of CPU each, ${figures.signedLoopMicros.toFixed(0)} of them of the event loop; ${wrong} went wrong`,
  )
  return figures
}
