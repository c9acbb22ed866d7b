/**
 * The load client of the path benches, one process: submits requests over gRPC (bidirectional
 * stream, unary, batches) or HTTP, receives the deliveries, and measures from submission (closed
 * loop) or from the scheduled time (open loop) to the delivery. The same client drives the bare
 * pipe and the broker. Entry: `client.ts
 * '{"target":"host:port","credentials":{"party":…},"devices":[…],"srv":"4.1.1"}'`; then one command
 * a line on stdin (ClientCommand), one answer a line on stdout (ClientFigures).
 */
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, Metadata, type ClientDuplexStream } from '@grpc/grpc-js'
import autocannon from 'autocannon'
import { credentialHeaders, type PartyCredentials } from '../../core/access/credentials.ts'
import { channelOf, nameOptionsOf } from '../../core/client/supplier-client.ts'
import { Flight, type Tally } from './flight.ts'
import { writeVarint } from './wire.ts'

export type ClientOptions = {
  target: string
  credentials: PartyCredentials
  srv: string
  perDevice?: number
  credit?: number
}

/**
 * Rates are requests a second, `inFlight` and `concurrency` are counts. A measurement lasts
 * `seconds`, and longer where fewer than `latenciesMin` latencies were measured by then.
 */
export type ClientCommand = { warmSeconds: number; seconds: number } & (
  | { mode: 'closed'; inFlight: number }
  | { mode: 'open'; rate: number }
  | { mode: 'unary'; concurrency: number }
  | { mode: 'batch'; concurrency: number; batch: number }
  | { mode: 'http'; concurrency: number; url: string }
)

export type ClientFigures = Tally & {
  perSecond: number
  p50Ms: number
  p99Ms: number
  p999Ms: number
  maxMs: number
  codes: Record<string, number>
}

const raw = (octets: Buffer): Buffer => octets
const requestsPerMessageMax = 500
/** A busy machine may deliver nothing within the time of a smoke run; figures need some. */
const latenciesMin = 10
/** What is still in flight this long after the load has stopped counts as missing. */
const drainMsMax = 60_000
/** A path that has not delivered `latenciesMin` by then is broken: its figures are not numbers. */
const measureMsMax = 120_000

class LoadClient {
  private readonly options: ClientOptions
  private readonly devices: readonly string[]
  private readonly client: Client
  private readonly metadata = new Metadata()
  private readonly flight: Flight
  private readonly submit: ClientDuplexStream<Buffer, Buffer>
  private readonly receive: ClientDuplexStream<Buffer, Buffer>
  private target = 0
  private isRefillDue = false
  private onIdle: (() => void) | undefined
  private onDelivered: (() => void) | undefined

  constructor(options: ClientOptions, devices: readonly string[]) {
    this.options = options
    this.devices = devices
    const { target, credentials } = options
    this.client = new Client(target, channelOf(credentials, target), {
      ...nameOptionsOf(credentials, target),
      'grpc.max_receive_message_length': 16 * 1024 * 1024,
      'grpc.max_send_message_length': 16 * 1024 * 1024,
      'grpc.enable_http_proxy': 0,
    })
    for (const [name, value] of Object.entries(credentialHeaders(options.credentials)))
      this.metadata.set(name, value)
    this.flight = new Flight(
      options.credentials.party,
      devices,
      options.srv,
      options.perDevice ?? 1,
    )
    this.submit = this.client.makeBidiStreamRequest(
      '/busbar.v1.InputGateway/SubmitStream',
      raw,
      raw,
      this.metadata,
    )
    this.submit.on('data', (message: Buffer) => {
      this.flight.onAcknowledgements(message)
      if (this.flight.tally.refused > 0) this.wantRefill()
    })
    this.receive = this.client.makeBidiStreamRequest(
      '/busbar.v1.OutputGateway/Receive',
      raw,
      raw,
      this.metadata,
    )
    this.receive.on('data', (message: Buffer) => this.received(message))
    for (const call of [this.submit, this.receive]) call.on('error', (error) => fail(error))
    const credit = Buffer.from([0x0a, 0, 0x08, 0, 0, 0])
    const end = writeVarint(credit, 3, options.credit ?? 50_000)
    credit[1] = end - 2
    this.receive.write(credit.subarray(0, end))
  }

  private received(message: Buffer): void {
    const last = this.flight.onDeliveries(message, performance.now())
    // ReceiveRequest{acknowledge=2{delivery_id=1}}; written into memory of its own, as the stream
    // keeps it.
    const out = Buffer.allocUnsafe(16)
    out[0] = 0x12
    out[2] = 0x08
    const end = writeVarint(out, 3, last)
    out[1] = end - 2
    this.receive.write(out.subarray(0, end))
    this.onDelivered?.()
    this.wantRefill()
  }

  // All deliveries of this turn of the event loop are answered with one message.
  private wantRefill(): void {
    if (this.isRefillDue) return
    this.isRefillDue = true
    setImmediate(() => {
      this.isRefillDue = false
      const free = this.target - this.flight.inFlight
      if (free > 0) this.send(free, performance.now(), 0)
      if (this.flight.inFlight === 0) this.onIdle?.()
      this.onFree?.()
    })
  }

  private onFree: (() => void) | undefined

  /**
   * Sends up to `count` requests; the i-th counts its latency from `firstMs + i × stepMs`. Returns
   * how many it had devices for.
   */
  private send(count: number, firstMs: number, stepMs: number): number {
    let sent = 0
    while (sent < count && this.flight.hasIdle) {
      const out = Buffer.allocUnsafe(
        Math.min(count - sent, requestsPerMessageMax) * this.flight.requestBytes,
      )
      let at = 0
      while (at < out.length && this.flight.hasIdle)
        at = this.flight.writeRequest(out, at, firstMs + sent++ * stepMs)
      this.submit.write(out.subarray(0, at))
    }
    return sent
  }

  async run(command: ClientCommand): Promise<ClientFigures> {
    const { flight } = this
    Object.assign(flight.tally, {
      requests: 0,
      delivered: 0,
      refused: 0,
      failed: 0,
      duplicates: 0,
      missing: 0,
    } satisfies Tally)
    flight.codes.clear()
    const stop = await this.start(command)
    await sleep(command.warmSeconds * 1000)
    const measuredFrom = performance.now()
    const deliveredBefore = flight.tally.delivered
    flight.measure(measuredFrom)
    await sleep(command.seconds * 1000)
    await this.measured()
    const perSecond =
      ((flight.tally.delivered - deliveredBefore) * 1000) / (performance.now() - measuredFrom)
    await stop()
    await this.drained()
    flight.stopMeasuring()
    flight.abandon()
    const latencies = flight.sortedLatencies()
    const quantile = (q: number): number =>
      latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? NaN
    return {
      ...flight.tally,
      perSecond,
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      p999Ms: quantile(0.999),
      maxMs: quantile(1),
      codes: Object.fromEntries(flight.codes),
    }
  }

  // Starts the load and returns what stops it.
  private async start(command: ClientCommand): Promise<() => Promise<void>> {
    switch (command.mode) {
      case 'closed':
        this.target = command.inFlight
        this.wantRefill()
        return async () => {
          this.target = 0
        }
      case 'open':
        return this.startOpen(command.rate)
      case 'unary':
        return this.startCalls(command.concurrency, () => this.callUnary())
      case 'batch':
        return this.startCalls(command.concurrency, () => this.callBatch(command.batch))
      case 'http':
        return this.startHttp(command.url, command.concurrency)
    }
  }

  private startOpen(rate: number): () => Promise<void> {
    const stepMs = 1000 / rate
    const startMs = performance.now()
    let sent = 0
    const pump = (): void => {
      const due = Math.floor((performance.now() - startMs) / stepMs) - sent
      if (due > 0) sent += this.send(due, startMs + sent * stepMs, stepMs)
    }
    const timer = setInterval(pump, 1)
    return async () => clearInterval(timer)
  }

  private async startCalls(
    concurrency: number,
    call: () => Promise<void>,
  ): Promise<() => Promise<void>> {
    let isOn = true
    const loop = async (): Promise<void> => {
      while (isOn) {
        if (this.flight.hasIdle) await call()
        else await new Promise<void>((resolve) => this.waitFree(resolve))
      }
    }
    const loops = Array.from({ length: concurrency }, loop)
    return async () => {
      isOn = false
      await Promise.all(loops)
    }
  }

  private readonly freeWaiters: Array<() => void> = []
  private waitFree(resolve: () => void): void {
    this.freeWaiters.push(resolve)
    this.onFree = () => {
      for (const waiter of this.freeWaiters.splice(0)) waiter()
    }
  }

  private callUnary(): Promise<void> {
    const out = Buffer.allocUnsafe(this.flight.requestBytes)
    this.flight.writeRequest(out, 0, performance.now())
    return this.call('/busbar.v1.InputGateway/Submit', out)
  }

  private callBatch(size: number): Promise<void> {
    const out = Buffer.allocUnsafe(this.flight.requestBytes * size)
    let at = 0
    while (at < out.length && this.flight.hasIdle)
      at = this.flight.writeRequest(out, at, performance.now())
    return this.call('/busbar.v1.InputGateway/SubmitBatch', out.subarray(0, at))
  }

  private call(path: string, message: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(path, raw, raw, message, this.metadata, (error, response) => {
        if (error) fail(error)
        if (response) this.flight.onAcknowledgements(response)
        resolve()
      })
    })
  }

  // autocannon asks for each body as it sends it; what it sent when it is stopped still counts.
  private startHttp(url: string, concurrency: number): () => Promise<void> {
    const { flight, options, devices } = this
    const cannon = autocannon({
      url,
      connections: concurrency,
      duration: 3_600,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...credentialHeaders(options.credentials) },
      requests: [
        {
          path: '/v1/service-requests',
          setupRequest: (request: autocannon.Request) => {
            request.body = flight.nextJson(
              performance.now(),
              options.credentials.party,
              devices,
              options.srv,
            )
            return request
          },
          onResponse: (status: number) => {
            if (status < 200 || status > 299)
              flight.codes.set(`http ${status}`, (flight.codes.get(`http ${status}`) ?? 0) + 1)
          },
        },
      ],
    })
    const ended = new Promise<void>((resolve) => cannon.on('done', () => resolve()))
    return async () => {
      cannon.stop()
      await ended
    }
  }

  private async measured(): Promise<void> {
    if (this.flight.latencyCount >= latenciesMin) return
    await within(measureMsMax, (resolve) => {
      this.onDelivered = () => {
        if (this.flight.latencyCount >= latenciesMin) resolve()
      }
    })
    this.onDelivered = undefined
  }

  private async drained(): Promise<void> {
    if (this.flight.inFlight === 0) return
    await within(drainMsMax, (resolve) => {
      this.onIdle = resolve
    })
    this.onIdle = undefined
  }

  close(): void {
    this.submit.end()
    this.receive.end()
    this.client.close()
  }
}

/** Waits until `begin` calls its argument, at most `ms`. */
async function within(ms: number, begin: (resolve: () => void) => void): Promise<void> {
  const gone = new AbortController()
  await Promise.race([
    new Promise<void>(begin),
    sleep(ms, undefined, { signal: gone.signal }).catch(() => {}),
  ])
  gone.abort()
}

let isClosing = false
function fail(error: Error): void {
  if (isClosing) return
  process.stderr.write(`load client: ${error.message}\n`)
  process.exit(1)
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const firstLine = await lines.next()
const client = new LoadClient(
  JSON.parse(process.argv[2] ?? '{}') as ClientOptions,
  JSON.parse(firstLine.value ?? '[]') as string[],
)
for (let line = await lines.next(); !line.done; line = await lines.next()) {
  process.stdout.write(
    `${JSON.stringify(await client.run(JSON.parse(line.value) as ClientCommand))}\n`,
  )
}
isClosing = true
client.close()
process.exit(0)
