/**
 * A party of a soak: asks its devices in rounds of one request each, receives, and sees that
 * nothing is missing, doubled, refused or out of order. It remembers what is open and the last of
 * what has ended, so that an hour takes no more memory than a minute.
 */
import type { Lane } from '../../core/base/lane.ts'
import { parseSrv } from '../../core/base/srv.ts'
import { serviceRequestOf } from '../../core/catalogue/service-requests.ts'
import { SupplierClient, type DeliveryStream } from '../../core/client/supplier-client.ts'
import type {
  Acknowledgement,
  ServiceResponse,
} from '../../proto/gen/busbar/v1/service_response.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'

/** Rounds that may be open at one time. */
const openRoundsMax = 4
/** Delivery ids that are remembered, of responses and of alerts. */
const rememberedMax = 20_000
const faultsMax = 20
const repeatMs = 50
const credit = 1_000
/** Of the profiles that are read: 480 half hours, which fill a ledger sooner than registers do. */
const profileMs = 10 * 86_400_000
/**
 * Carried out, or the device could not be reached or did not answer well in any of its attempts.
 */
const goodCodes: readonly string[] = ['I0', 'E20', 'E21']
const laneOf = (variant: string): Lane => serviceRequestOf(parseSrv(variant)!)!.lane

type Open = { readonly sinceMs: number; isDisturbed: boolean }

export class SoakParty {
  readonly party: string
  accepted = 0
  ended = 0
  alerts = 0
  /** Came a second time under the same id, which is as promised. */
  repeated = 0
  /** How requests ended, and why some were rejected for now. */
  readonly codes = new Map<string, number>()
  readonly rejected = new Map<string, number>()
  /** What must not be, in words. */
  readonly faults: string[] = []
  /**
   * Of what has ended since they were taken last, ms, without what was open while meters were away.
   */
  private latenciesMs: number[] = []
  private readonly open = new Map<string, Open>()
  private readonly deliveryIds = new Map<string, bigint>()
  /** By device and lane, the highest counter whose response has come. */
  private readonly last = new Map<string, bigint>()
  private isDisturbed = false
  private round = 0
  private isClosed = false
  private watchers: Array<() => void> = []
  private receiver: { client: SupplierClient; stream: DeliveryStream } | undefined
  private readonly address: string
  private readonly devices: readonly string[]
  private readonly variants: readonly string[]

  /** @param variants  service reference variants of its rounds, in turn */
  constructor(
    address: string,
    party: string,
    devices: readonly string[],
    variants: readonly string[],
  ) {
    this.address = address
    this.party = party
    this.devices = devices
    this.variants = variants
    this.receive()
  }

  /** Rounds of the `ask` under way that were accepted. */
  takenRounds = 0

  get openCount(): number {
    return this.open.size
  }

  /** Submits `count` rounds; settles when the last one is accepted. */
  async ask(count: number): Promise<void> {
    for (this.takenRounds = 0; this.takenRounds < count && !this.isClosed; this.takenRounds++) {
      this.round++
      await this.submit(this.devices.map((device) => this.requestOf(device)))
      this.tell()
      const openMax = openRoundsMax * this.devices.length
      await this.until(() => this.open.size <= openMax)
    }
  }

  /** Settles when everything that was accepted has been answered. */
  rest(): Promise<void> {
    return this.until(() => this.open.size === 0)
  }

  /**
   * Settles when `condition` holds, which is looked at whenever something came, or this is closed.
   */
  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.isClosed)
      await new Promise<void>((resolve) => this.watchers.push(resolve))
  }

  /** Meters go away or come back: what is open meanwhile says nothing of latency. */
  disturb(isDisturbed: boolean): void {
    this.isDisturbed = isDisturbed
    for (const open of this.open.values()) open.isDisturbed = true
  }

  takeLatenciesMs(): number[] {
    const taken = this.latenciesMs
    this.latenciesMs = []
    return taken
  }

  close(): void {
    this.isClosed = true
    this.receiver?.stream.cancel()
    this.receiver?.client.close()
    this.tell()
  }

  private variantOf(round: number): string {
    return this.variants[round % this.variants.length]!
  }

  private requestOf(target: string): ServiceRequest {
    const srv = this.variantOf(this.round)
    const to = new Date()
    const from = new Date(to.getTime() - profileMs)
    return ServiceRequest.fromPartial({
      requestId: { originator: this.party, target, counter: BigInt(this.round) },
      serviceReferenceVariant: srv,
      ...(srv === '4.8.1' && {
        body: { $case: 'readPeriod', value: { startTime: from, endTime: to } },
      }),
    })
  }

  private async submit(requests: ServiceRequest[]): Promise<void> {
    const sinceMs = performance.now()
    for (const { requestId } of requests)
      this.open.set(keyOf(requestId), { sinceMs, isDisturbed: this.isDisturbed })
    let left = requests
    const credentials = { party: this.party }
    const client = new SupplierClient({ address: this.address, credentials })
    try {
      while (left.length > 0 && !this.isClosed) {
        const answers = await client.submitBatch(left).catch(() => [])
        left = left.filter((_, index) => !this.isSettled(answers[index]))
        if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, repeatMs))
      }
    } finally {
      client.close()
    }
  }

  private isSettled(answer: Acknowledgement | undefined): boolean {
    if (answer === undefined) return false
    const { responseCode, reason, retryAfterMs, requestId } = answer
    if (responseCode === 'I99') {
      this.accepted++
      return true
    }
    count(this.rejected, reason)
    if (retryAfterMs > 0) return false
    this.open.delete(keyOf(requestId))
    this.fault(`${keyOf(requestId)} was refused: ${responseCode} ${reason}`)
    return true
  }

  private receive(): void {
    const credentials = { party: this.party }
    const client = new SupplierClient({ address: this.address, credentials })
    const stream = client.receive(credit, (list) => {
      for (const { deliveryId, content } of list) {
        if (content?.$case === 'response') this.onResponse(content.value, deliveryId)
        if (content?.$case === 'alert') this.onAlert(deliveryId)
      }
      if (list.length > 0) stream.acknowledge(list.at(-1)!.deliveryId)
      this.tell()
    })
    this.receiver = { client, stream }
    void stream.done
      .catch(() => undefined)
      .then(() => {
        client.close()
        if (!this.isClosed) setTimeout(() => !this.isClosed && this.receive(), repeatMs)
      })
  }

  private onResponse({ requestId, responseCode, reason }: ServiceResponse, id: bigint): void {
    const key = keyOf(requestId)
    if (!this.isFirst(key, id)) return
    const open = this.open.get(key)
    if (open === undefined) return this.fault(`${key} was answered and is not open`)
    this.open.delete(key)
    this.ended++
    if (!open.isDisturbed) this.latenciesMs.push(performance.now() - open.sinceMs)
    count(this.codes, `${responseCode} ${reason}`)
    if (!goodCodes.includes(responseCode)) this.fault(`${key} ended with ${responseCode} ${reason}`)
    const { target, counter } = requestId!
    const lane = `${target} ${laneOf(this.variantOf(Number(counter)))}`
    if (counter <= (this.last.get(lane) ?? 0n)) this.fault(`${key} came out of order`)
    this.last.set(lane, counter)
  }

  /** One that was written twice has two ids: then more have come than the broker has taken. */
  private onAlert(id: bigint): void {
    if (this.isFirst(`alert ${id}`, id)) this.alerts++
  }

  /** False for a repeat; one under another id is a fault. */
  private isFirst(key: string, id: bigint): boolean {
    const before = this.deliveryIds.get(key)
    if (before !== undefined) {
      if (before === id) this.repeated++
      else this.fault(`${key} came twice: as delivery ${before} and ${id}`)
      return false
    }
    this.deliveryIds.set(key, id)
    if (this.deliveryIds.size > rememberedMax)
      this.deliveryIds.delete(this.deliveryIds.keys().next().value!)
    return true
  }

  private fault(what: string): void {
    if (this.faults.length < faultsMax) this.faults.push(`${this.party}: ${what}`)
    this.tell()
  }

  private tell(): void {
    const { watchers } = this
    this.watchers = []
    for (const watcher of watchers) watcher()
  }
}

const keyOf = (id: { target: string; counter: bigint } | undefined): string =>
  `${id?.target}:${id?.counter}`

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
