/**
 * Reads the response to one request by its RequestID (GetResponse): from the index of the party's
 * deliveries, without a receiver and without moving the party's cursor. Whether a request that has
 * no response yet is under way, ended or unknown is asked of the device's actor.
 */
import { GetResponseRequest } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { isOriginator } from '../../access/intake.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import { isNeverAccepted } from '../../envelope/counter-bounds.ts'
import { readKind, readOutcome } from '../../envelope/envelope.ts'
import { Kind } from '../../envelope/layout.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { FoundResponse, ResponseKey, ResponseLookup } from '../../ports/responses.ts'
import { appendDelivery } from '../../translate/delivery.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import { RequestScan, scanRequestId } from '../../translate/scan.ts'
import { notEnded } from '../../envelope/status-body.ts'
import type { Intake } from '../intake/intake.ts'
import type { PartyAccount } from '../intake/party-account.ts'

export type ResponsesPorts = { intake: Intake; responses: ResponseLookup; clock: Clock; log: Log }

/** The encoded GetResponseResponse, or the reason for its absence. */
export type ResponseResult = { message: Buffer } | { code: ErrorCode; detail?: string }

/**
 * The request in `view`, by `key`; `delivered` settles when its response is delivered from now on.
 */
type WantedResponse = {
  view: Buffer
  key: ResponseKey
  delivered: Promise<FoundResponse>
  waitMs: number
}

type Standing = 'open' | 'ended' | 'never' | ErrorCode

const notFoundId = errorId('REQUEST_NOT_FOUND')

export class Responses {
  private readonly ports: ResponsesPorts
  private readonly scan = new RequestScan()
  private readonly writer = new ProtobufWriter()
  /** Ends each wait that is under way. */
  private readonly waits = new Set<() => void>()

  constructor(ports: ResponsesPorts) {
    this.ports = ports
  }

  /**
   * Answers the GetResponseRequest in `view`, which is borrowed until the result settles. Never
   * rejects. `abandoned` is given a function that ends the wait early, for a client that has gone.
   */
  async get(
    account: PartyAccount,
    view: Buffer,
    abandoned: (stop: () => void) => void,
  ): Promise<ResponseResult> {
    const { scan } = this
    const fault = scanRequestId(view, 0, view.length, scan)
    if (fault) return { code: fault }
    const { party } = account
    if (!isOriginator(party, scan.originator)) return { code: 'PARTY_ORIGINATOR_MISMATCH' }
    const key = { target: Buffer.from(scan.target), counter: scan.counter }
    let waitMs: number
    try {
      waitMs = Math.min(GetResponseRequest.decode(view).waitMs, limits.longPollMsMax)
    } catch {
      return { code: 'REQUEST_WIRE_MALFORMED' }
    }
    const watch = this.ports.responses.watch(party.id, key)
    if (watch === undefined) return { code: 'BROKER_GATEWAY_BUSY' }
    let stop = (): void => {}
    try {
      const wanted = { view, key, delivered: watch.found, waitMs }
      const result = await this.find(account, wanted, (end) => {
        stop = end
        account.lasting.add(stop)
        abandoned(stop)
      })
      if (account.refusal !== undefined) return { code: account.refusal }
      return typeof result === 'string'
        ? { code: result }
        : { message: encode(this.writer, result) }
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : 'BROKER_GATEWAY_FAILED'
      this.ports.log.warn({ reason: String(error) }, 'a response cannot be read')
      return { code }
    } finally {
      account.lasting.delete(stop)
      watch.close()
    }
  }

  /** Ends all waits; their callers are answered that the response is not ready. */
  close(): void {
    for (const stop of this.waits) stop()
  }

  private async find(
    account: PartyAccount,
    { view, key, delivered, waitMs }: WantedResponse,
    abandoned: (stop: () => void) => void,
  ): Promise<FoundResponse | ErrorCode> {
    const { responses } = this.ports
    const known = await responses.find(account.party.id, key)
    if (known !== undefined) return known
    const standing = await Promise.race([delivered, this.standingOf(account, view)])
    if (typeof standing === 'object') return standing
    if (standing === 'open') {
      const found = waitMs > 0 ? await this.within(waitMs, delivered, abandoned) : undefined
      return found ?? 'RESPONSE_NOT_READY'
    }
    // A party that invents RequestIDs must not make the gateway read the ledger.
    if (standing === 'never') return 'REQUEST_NOT_FOUND'
    const absent = standing === 'ended' ? 'RESPONSE_NOT_KEPT' : standing
    const search = responses.search(account.party.id, key).then((found) => found ?? absent)
    // A search that is left alone goes on; its failure is then nobody's.
    search.catch(() => {})
    const searched = await this.within(
      limits.responseSearchMsMax,
      Promise.race([delivered, search]),
      abandoned,
    )
    return searched ?? 'RESPONSE_SEARCH_RUNNING'
  }

  /**
   * How far the request is by the device's actor: a code when it does not know the request, or
   * cannot be asked.
   */
  private standingOf(account: PartyAccount, view: Buffer): Promise<Standing> {
    return new Promise((resolve) => {
      const answer = (_tag: number, buffer: Buffer, at: number): void => {
        const outcome = readOutcome(buffer, at)
        if (readKind(buffer, at) === Kind.STATUS)
          return resolve(outcome === notEnded ? 'open' : 'ended')
        if (outcome === notFoundId && isNeverAccepted(buffer, at)) return resolve('never')
        resolve(errorCodeOf(outcome) ?? 'BROKER_PARTITION_UNAVAILABLE')
      }
      this.ports.intake.queryStatus(account, view, { answer }, 0)
    })
  }

  /** What `promise` gives within `ms`; undefined when that time is over or the caller has gone. */
  private async within<T>(
    ms: number,
    promise: Promise<T>,
    abandoned: (stop: () => void) => void,
  ): Promise<T | undefined> {
    const { clock } = this.ports
    let stop = (): void => {}
    const over = new Promise<undefined>((resolve) => (stop = () => resolve(undefined)))
    const disarm = clock.at(clock.now() + ms, stop)
    this.waits.add(stop)
    abandoned(stop)
    try {
      return await Promise.race([promise, over])
    } finally {
      this.waits.delete(stop)
      disarm()
    }
  }
}

/** Field 1 of GetResponseResponse is a Delivery, which is what the writer appends. */
function encode(writer: ProtobufWriter, { frame, at, deliveryId }: FoundResponse): Buffer {
  try {
    appendDelivery(writer, deliveryId, frame, at)
    return writer.take()
  } catch (error) {
    writer.reset()
    throw error
  }
}
