/**
 * A load run over HTTP: autocannon posts the requests, one in each call; responses come from the
 * long poll, which acknowledges them. autocannon keeps the loop: `connections` calls open at a
 * time, or so many calls a second. A request counts from the moment that it is written to its
 * connection.
 */
import autocannon from 'autocannon'
import { credentialHeaders, type PartyCredentials } from '../../core/access/credentials.ts'
import { partyFetchOf, type PartyFetch } from '../../core/ops/party-fetch.ts'
import type { LoadShape } from './load-plan.ts'
import type { LoadDoor, LoadEvents } from './load-run.ts'

export type HttpDoorOptions = {
  /** For example http://127.0.0.1:8080 */
  readonly url: string
  readonly credentials: PartyCredentials
  readonly shape: LoadShape
  readonly connections: number
}

/** A poll waits this long for deliveries, ms. */
const pollWaitMs = 1_000
const deliveriesPerPoll = 1_000
/** autocannon wants an end; the run stops it before. */
const durationSecondsMax = 20 * 86_400

type DeliveryJson = {
  deliveryId: string
  response?: { requestId?: { counter: string }; responseCode?: string; reason?: string }
}

type Call = { counter: bigint }

export class HttpDoor implements LoadDoor {
  private readonly options: HttpDoorOptions
  private readonly events: LoadEvents
  private readonly headers: Readonly<Record<string, string>>
  private readonly fetch: PartyFetch
  private readonly abort = new AbortController()
  private readonly polling: Promise<void>
  private cannon: { stop(): void } | undefined
  private posting: Promise<void> = Promise.resolve()
  private isStopped = false
  private fail: (fault: unknown) => void = () => {}
  readonly failed: Promise<never>

  constructor(options: HttpDoorOptions, events: LoadEvents) {
    this.options = options
    this.headers = credentialHeaders(options.credentials)
    this.events = events
    this.fetch = partyFetchOf(options.credentials.tls)
    this.failed = new Promise((_resolve, reject) => {
      this.fail = reject
    })
    this.failed.catch(() => {})
    this.polling = this.poll().catch((fault: unknown) => {
      if (!this.abort.signal.aborted) this.fail(fault)
    })
  }

  /** autocannon paces the calls itself from the first `send` on. */
  send(): void {
    if (this.cannon !== undefined || this.isStopped) return
    const { url, connections, shape, credentials } = this.options
    const { tls } = credentials
    const cannon = autocannon({
      url,
      connections,
      duration: durationSecondsMax,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.headers },
      ...(tls && { tlsOptions: { cert: tls.certificatePem, key: tls.keyPem } }),
      ...(shape.kind === 'open' && { overallRate: Math.ceil(shape.perSecond) }),
      requests: [
        {
          path: '/v1/service-requests',
          setupRequest: (request, context) => this.setUp(request, context as Call),
          onResponse: (status, body, context) => this.answered(status, body, context as Call),
        },
      ],
    })
    this.cannon = cannon
    this.posting = new Promise((resolve) => cannon.on('done', () => resolve()))
  }

  async stop(): Promise<void> {
    this.isStopped = true
    this.cannon?.stop()
    await this.posting
  }

  async close(): Promise<void> {
    this.abort.abort()
    await this.polling
  }

  private setUp<R extends { body?: string }>(request: R, call: Call): R {
    const { counter, request: wanted } = this.events.plan.next()
    call.counter = counter
    this.events.tally.submitted(counter, this.events.nowMs())
    const { requestId, serviceReferenceVariant } = wanted
    const id = { ...requestId, counter: String(counter) }
    return { ...request, body: JSON.stringify({ requestId: id, serviceReferenceVariant }) }
  }

  private answered(status: number, body: string, { counter }: Call): void {
    const { tally, nowMs } = this.events
    let answer: { responseCode?: string; reason?: string; code?: string } = {}
    try {
      answer = JSON.parse(body) as typeof answer
    } catch {
      return tally.lost(counter, `HTTP ${status}`)
    }
    const reason = answer.reason ?? answer.code ?? `HTTP ${status}`
    tally.acknowledged(counter, answer.responseCode ?? 'E0', reason, nowMs())
  }

  private async poll(): Promise<void> {
    const { url } = this.options
    const { signal } = this.abort
    while (!signal.aborted) {
      const query = `waitMs=${pollWaitMs}&max=${deliveriesPerPoll}`
      const answer = await this.fetch(`${url}/v1/deliveries?${query}`, {
        headers: this.headers,
        signal,
      })
      if (!answer.ok) throw new Error(`GET /v1/deliveries: ${answer.status} ${await answer.text()}`)
      const { deliveries = [] } = (await answer.json()) as { deliveries?: DeliveryJson[] }
      const now = this.events.nowMs()
      for (const { deliveryId, response } of deliveries) {
        if (response?.requestId === undefined) continue
        const outcome = {
          responseCode: response.responseCode ?? '',
          reason: response.reason ?? '',
        }
        const counter = BigInt(response.requestId.counter)
        if (this.events.tally.responded(counter, BigInt(deliveryId), outcome, now))
          this.events.ended(false, 0)
      }
      const last = deliveries.at(-1)
      if (last === undefined) continue
      await this.fetch(`${url}/v1/deliveries/acknowledgements`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...this.headers },
        body: JSON.stringify({ deliveryId: last.deliveryId }),
        signal,
      })
    }
  }
}
