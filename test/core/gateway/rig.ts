/**
 * A gateway on loopback with simulated hosts behind it: what the tests of core/gateway share. Not a
 * test.
 */
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { errorId, type ErrorCode } from '../../../core/base/error-table.ts'
import { readEui64, parseEui64 } from '../../../core/base/eui64.ts'
import type { CertificateSource } from '../../../core/pki/certificate-source.ts'
import type { PartyCertificateFiles } from '../../../core/access/credentials.ts'
import { fixedParties } from '../../../core/access/directory.ts'
import { demoParties, demoPartiesJson, type Parties } from '../../../core/access/parties.ts'
import { neverAccepted } from '../../../core/envelope/counter-bounds.ts'
import { readCorrelation, writeEnvelope, type Header } from '../../../core/envelope/envelope.ts'
import { FrameWriter, forEachEnvelope } from '../../../core/envelope/frame.ts'
import { headerBytes, Kind, offsetOf } from '../../../core/envelope/layout.ts'
import { partyFramesOf, writeTickMessage } from '../../../core/envelope/tick-message.ts'
import { Gateway } from '../../../core/gateway/gateway.ts'
import type { SigningFiles } from '../../../core/client/sign-request.ts'
import { SupplierClient } from '../../../core/client/supplier-client.ts'
import { ResponseFinder } from '../../../core/ledger/response-finder.ts'
import { hostSubject, type Bus, type OwnerDirectory } from '../../../core/ports/bus.ts'
import { tickSubject, tickSubjects, type DeliveryFeed } from '../../../core/ports/ledger.ts'
import { cursorNameOf } from '../../../core/envelope/delivery-id.ts'
import { systemClock, type Clock } from '../../../core/ports/clock.ts'
import { silentLog, type Log } from '../../../core/ports/log.ts'
import { noMetrics } from '../../../core/ports/metrics.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import type { ResponseLookup } from '../../../core/ports/responses.ts'
import type { SignatureVerifier } from '../../../core/ports/signatures.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SimCursorStore, SimLedger } from '../../../core/ports/sim/ledger.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import { ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'

export const supplier = demoPartiesJson[0]!.eui64
export const gasSupplier = demoPartiesJson[2]!.eui64
export const meter = '00-DB-12-34-56-78-90-A0'

/** Owners that a test moves by hand. */
export class TestDirectory implements OwnerDirectory {
  readonly partitionCount: number
  private readonly owners: (string | undefined)[]
  private readonly waiting = new Set<() => void>()
  private readonly clock: Clock

  constructor(partitionCount = 4, owner: string | undefined = 'a', clock: Clock = systemClock) {
    this.partitionCount = partitionCount
    this.owners = new Array<string | undefined>(partitionCount).fill(owner)
    this.clock = clock
  }

  ownerOf(partition: number): string | undefined {
    return this.owners[partition]
  }

  move(owner: string | undefined): void {
    this.owners.fill(owner)
    for (const wake of [...this.waiting]) wake()
  }

  changed(partition: number, was: string | undefined, timeoutMs: number): Promise<void> {
    if (this.owners[partition] !== was) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        disarm()
        this.waiting.delete(wake)
        resolve()
      }
      const disarm = this.clock.at(this.clock.now() + timeoutMs, wake)
      this.waiting.add(wake)
    })
  }
}

export type HostAnswer =
  | {
      outcome: ErrorCode
      retryMs?: number
      isNeverAccepted?: boolean
      bounds?: { highest: bigint; floor: bigint }
      status?: { state: number; acceptedMs: number; endedMs: number }
    }
  | undefined

/**
 * The answers to a frame: one acknowledgement (or status) an envelope, in reverse order; none where
 * `answerOf` says undefined.
 */
export function answerFrame(frame: Buffer, answerOf: (at: number) => HostAnswer): Buffer {
  const writer = new FrameWriter()
  const places: number[] = []
  forEachEnvelope(frame, 0, (at) => places.push(at))
  for (const at of places.reverse()) {
    const answer = answerOf(at)
    if (answer === undefined) continue
    const now = Date.now()
    const body = Buffer.alloc(answer.status ? 9 : answer.bounds ? 16 : 0)
    if (answer.bounds) {
      body.writeBigUInt64BE(answer.bounds.highest, 0)
      body.writeBigUInt64BE(answer.bounds.floor, 8)
    }
    if (answer.status) {
      body[0] = answer.status.state
      body.writeBigUInt64BE(BigInt(answer.status.acceptedMs), 1)
    }
    const header: Header = {
      kind: answer.status ? Kind.STATUS : Kind.ACKNOWLEDGEMENT,
      lane: 1,
      srv: parseSrv('4.1.1'),
      outcome: answer.status && answer.status.state < 3 ? 0xffff : errorId(answer.outcome),
      bodyType: 0,
      attempt: answer.isNeverAccepted ? neverAccepted : 2,
      originator: frame.subarray(at + offsetOf.originator, at + offsetOf.originator + 8),
      target: frame.subarray(at + offsetOf.target, at + offsetOf.target + 8),
      counter: frame.readBigUInt64BE(at + offsetOf.counter),
      time: answer.status ? answer.status.endedMs : now,
      deadline: answer.retryMs ? now + answer.retryMs : 0,
      correlation: readCorrelation(frame, at),
    }
    const place = writer.reserve(headerBytes + body.length)
    writeEnvelope(writer.target, place, header, body)
  }
  return writer.take()
}

export const accepted: HostAnswer = { outcome: 'REQUEST_ACCEPTED' }

export type Rig = {
  gateway: Gateway
  address: string
  httpUrl: string
  bus: Bus
  directory: TestDirectory
  ledger: SimLedger
  cursors: SimCursorStore
  /** A client that is closed with the rig. */
  client(party?: string, tls?: PartyCertificateFiles, signing?: SigningFiles): SupplierClient
  close(): Promise<void>
}

export async function makeRig(
  options: {
    bus?: Bus
    directory?: TestDirectory
    ledger?: SimLedger
    cursors?: SimCursorStore
    responses?: ResponseLookup
    clock?: Clock
    /** Mutual TLS at both doors. */
    certificates?: CertificateSource
    log?: Log
    parties?: Parties
    verifier?: SignatureVerifier
    /** Of the deployment, core/cluster/format.ts. */
    format?: number
  } = {},
): Promise<Rig> {
  const clock = options.clock ?? systemClock
  const bus = options.bus ?? new SimBus({ clock: systemClock })
  const directory = options.directory ?? new TestDirectory()
  const ledger = options.ledger ?? new SimLedger()
  const cursors = options.cursors ?? new SimCursorStore()
  const responses = new ResponseFinder(ledger)
  // Past what a WatchedLedger counts: this one is always there.
  const ticks = await SimLedger.prototype.follow.call(ledger, tickSubjects, 1, (message) =>
    responses.add(message.sequence, partyFramesOf(message.data)),
  )
  const format = options.format === undefined ? {} : { format: options.format }
  const gateway = new Gateway({
    bus,
    directory,
    feed: feedOf(ledger),
    cursors,
    responses: options.responses ?? responses,
    parties: { ...fixedParties(options.parties ?? demoParties()), ...format },
    clock,
    random: systemRandom,
    log: options.log ?? silentLog,
    metrics: noMetrics,
    certificates: options.certificates,
    ...(options.verifier && { verifier: options.verifier }),
  })
  const { grpcPort, httpPort } = await gateway.listen(
    { host: '127.0.0.1', port: 0 },
    { host: '127.0.0.1', port: 0 },
  )
  const address = `127.0.0.1:${grpcPort}`
  const clients: SupplierClient[] = []
  return {
    gateway,
    address,
    httpUrl: `${options.certificates ? 'https' : 'http'}://127.0.0.1:${httpPort}`,
    bus,
    directory,
    ledger,
    cursors,
    client(party = supplier, tls, signing) {
      const client = new SupplierClient({ address, credentials: { party, tls }, signing })
      clients.push(client)
      return client
    },
    async close() {
      for (const client of clients) client.close()
      await gateway.close(100)
      await ticks.close()
    },
  }
}

/** A host that answers every envelope as `answerOf` says, and keeps the frames. */
export async function serveHost(
  bus: Bus,
  name: string,
  answerOf: (frame: Buffer, at: number) => HostAnswer,
): Promise<Buffer[]> {
  const frames: Buffer[] = []
  await bus.serve(hostSubject(name), (frame, reply) => {
    frames.push(frame)
    reply(answerFrame(frame, (at) => answerOf(frame, at)))
  })
  return frames
}

let counter = 0n
/** A request that intake lets pass, unless `fields` spoils it. */
export function requestOf(
  fields: Parameters<typeof ServiceRequest.create>[0] = {},
): ServiceRequest {
  counter++
  return ServiceRequest.create({
    requestId: { originator: supplier, target: meter, counter },
    serviceReferenceVariant: '4.1.1',
    ...fields,
  })
}

export const octetsOf = (text: string): Buffer => parseEui64(text)!

/**
 * A frame of RESPONSE envelopes, as a host commits it for the party. Bodies are ResponseBody
 * messages.
 */
export function responseFrame(
  party: string,
  counters: readonly bigint[],
  body: Buffer = Buffer.alloc(0),
): Buffer {
  const writer = new FrameWriter()
  for (const counter of counters) {
    const header: Header = {
      kind: Kind.RESPONSE,
      lane: 1,
      srv: parseSrv('4.1.1'),
      outcome: errorId('OK'),
      bodyType: 0,
      attempt: 1,
      originator: octetsOf(party),
      target: octetsOf(meter),
      counter,
      time: 1_700_000_001_000,
      deadline: 0,
      correlation: 1_700_000_000_000,
    }
    const at = writer.reserve(headerBytes + body.length)
    writeEnvelope(writer.target, at, header, body)
  }
  return writer.take()
}

/** Where the rig's ledger has the frames of a party, in place of ticks. */
export const outSubject = (party: string): string =>
  `out.${cursorNameOf(readEui64(octetsOf(party)))}`

/** The feed of a ledger that has each party's frames on a subject of their own. */
const feedOf = (ledger: SimLedger): DeliveryFeed => ({
  follow: (party, from, onFrame) => ledger.follow(`out.${cursorNameOf(party)}`, from, onFrame),
  lastOf: (party) => ledger.lastOn(`out.${cursorNameOf(party)}`),
})

/** Commits frames of `perFrame` responses with counters `from` to `to`, inclusive. */
export async function deliver(
  ledger: SimLedger,
  party: string,
  from: number,
  to: number,
  perFrame = 10,
  body?: Buffer,
): Promise<void> {
  for (let first = from; first <= to; first += perFrame) {
    const counters = Array.from({ length: Math.min(perFrame, to - first + 1) }, (_, i) =>
      BigInt(first + i),
    )
    await ledger.commit([
      { subject: outSubject(party), data: responseFrame(party, counters, body) },
    ])
  }
}

/** Commits a tick with one frame of deliveries to the party, for GetResponse. */
export async function commitTick(ledger: SimLedger, party: string, frame: Buffer): Promise<void> {
  const data = writeTickMessage([], [{ party: readEui64(octetsOf(party)), frame }])
  await ledger.commit([{ subject: tickSubject('a'), data }])
}

/** Things that come, and a way to wait for the n-th. */
export class Inbox<T> {
  readonly items: T[] = []
  private waiting: (() => void)[] = []

  readonly put = (...items: T[]): void => {
    this.items.push(...items)
    for (const wake of this.waiting.splice(0)) wake()
  }

  async until(count: number): Promise<T[]> {
    while (this.items.length < count)
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    return this.items
  }
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The rejection of `promise`, which must come. */
export async function fault(
  promise: Promise<unknown>,
): Promise<Error & { code?: number; details?: string }> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not reject')
}

/** Counts who follows it. */
export class WatchedLedger extends SimLedger {
  following = 0

  override async follow(
    ...rest: Parameters<SimLedger['follow']>
  ): Promise<{ close(): Promise<void> }> {
    const followed = await super.follow(...rest)
    this.following++
    return {
      close: async () => {
        await followed.close()
        this.following--
      },
    }
  }
}

export const raw = (bytes: Buffer): Buffer => bytes

/** A unary call with bytes as they are. */
export function callRaw(
  address: string,
  path: string,
  message: Buffer,
  headers: Record<string, string | Buffer> = { 'x-busbar-party': supplier },
): Promise<Buffer> {
  const client = new Client(address, credentials.createInsecure())
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  return new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest(path, raw, raw, message, metadata, (error, response) =>
      error ? reject(error) : resolve(response!),
    )
  }).finally(() => client.close())
}
