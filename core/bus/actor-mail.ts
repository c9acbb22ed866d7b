/**
 * One way to ask actors, from the operators' side: an envelope for each question, gathered by the
 * host that owns the actor's partition, and asked again while that host has no room, is not known
 * or does not answer. Service requests take the hot path of intake instead.
 */
import { BrokerError } from '../base/broker-error.ts'
import { errorCodeOf, type ErrorCode } from '../base/error-table.ts'
import { bytesOfEui64, type Eui64 } from '../base/eui64.ts'
import { Lane } from '../base/lane.ts'
import { limits } from '../base/limits.ts'
import type { Srv } from '../base/srv.ts'
import { readCorrelation, readOutcome, writeEnvelope } from '../envelope/envelope.ts'
import { forEachEnvelope, FrameWriter } from '../envelope/frame.ts'
import { headerBytes, type Kind } from '../envelope/layout.ts'
import { partitionOf } from '../envelope/partition.ts'
import { hostSubject, type Bus, type OwnerDirectory } from '../ports/bus.ts'
import { pause, type Clock } from '../ports/clock.ts'

export type ActorMailPorts = { bus: Bus; directory: OwnerDirectory; clock: Clock }

/** What is asked of one actor. The envelope's kind says of which kind of actor. */
export type Question = {
  kind: Kind
  /** The eight octets of the actor. */
  target: Eui64
  bodyBytes: Buffer
  /** Eight octets; a party that it is about. */
  originator?: Buffer
  counter?: bigint
}

/** A question that was not accepted; `index` is its place in the list, from 0. */
export type Refused = { index: number; code: ErrorCode }

const nobody = Buffer.alloc(8)

/**
 * Settles with those that were not accepted, in rising order. `onAnswer` gets the envelope of each
 * answer, borrowed. Asking twice must be harmless: an answer may be lost.
 * @throws BrokerError REQUEST_SIZE_EXCEEDED for more than `requestsPerBatchMax`
 */
export async function askActors(
  questions: readonly Question[],
  { bus, directory, clock }: ActorMailPorts,
  onAnswer: (answer: Buffer, at: number) => void = () => undefined,
): Promise<Refused[]> {
  if (questions.length > limits.requestsPerBatchMax)
    throw new BrokerError('REQUEST_SIZE_EXCEEDED', `${questions.length} actors`)
  const partitionFor = (index: number): number =>
    partitionOf(questions[index]!.target, directory.partitionCount)
  const codes = new Map<number, ErrorCode>()
  const take = (answer: Buffer): void =>
    forEachEnvelope(answer, 0, (at) => {
      onAnswer(answer, at)
      const code = errorCodeOf(readOutcome(answer, at)) ?? 'ENVELOPE_MALFORMED'
      codes.set(readCorrelation(answer, at), code)
    })
  let open = questions.map((_, index) => index)
  for (let attempt = 1; open.length > 0 && attempt <= limits.registrationAttemptsMax; attempt++) {
    const frames = new Map<string, FrameWriter>()
    const orphan = open.find((index) => {
      const owner = directory.ownerOf(partitionFor(index))
      if (owner === undefined) return true
      const frame = frames.get(owner) ?? new FrameWriter()
      frames.set(owner, frame)
      write(frame, questions[index]!, index, clock.now())
      return false
    })
    if (orphan !== undefined) {
      await directory.changed(partitionFor(orphan), undefined, limits.unavailableRetryMs)
      continue
    }
    await Promise.all(
      Array.from(frames, ([owner, frame]) =>
        bus
          .request(hostSubject(owner), frame.take(), limits.acknowledgementWaitMsMax)
          .then(take)
          .catch(unlessOurs),
      ),
    )
    open = open.filter((index) => isToBeAskedAgain(codes.get(index)))
    if (open.length > 0) await pause(clock, limits.unavailableRetryMs)
  }
  return questions.flatMap((_, index) => {
    const code = codes.get(index) ?? 'BROKER_PARTITION_UNAVAILABLE'
    return code === 'REQUEST_ACCEPTED' || code === 'OK' ? [] : [{ index, code }]
  })
}

/** A host that does not answer, or with what is no frame, is asked again. */
function unlessOurs(fault: unknown): void {
  if (!(fault instanceof BrokerError)) throw fault
}

const isToBeAskedAgain = (code: ErrorCode | undefined): boolean =>
  code === undefined || code === 'BROKER_PARTITION_UNAVAILABLE' || code === 'BROKER_PARTITION_BUSY'

function write(
  frame: FrameWriter,
  { kind, target, bodyBytes, originator = nobody, counter = 0n }: Question,
  correlation: number,
  now: number,
): void {
  const at = frame.reserve(headerBytes + bodyBytes.length)
  const header = {
    kind,
    lane: Lane.BULK,
    srv: 0 as Srv,
    outcome: 0,
    bodyType: 0,
    attempt: 0,
    originator,
    target: bytesOfEui64(target),
    counter,
    time: now,
    deadline: 0,
    correlation,
  }
  writeEnvelope(frame.target, at, header, bodyBytes)
  frame.count++
}
