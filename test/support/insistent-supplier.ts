/**
 * A supplier that does what the contract asks of one: submits until it has an acknowledgement, with
 * the same RequestID; receives until it has an answer, over as many connections as it takes; and
 * writes down everything it was told.
 */
import { SupplierClient, type DeliveryStream } from '../../core/client/supplier-client.ts'
import type { DeviceAlert } from '../../proto/gen/busbar/v1/device_alert.ts'
import type {
  Acknowledgement,
  ServiceResponse,
} from '../../proto/gen/busbar/v1/service_response.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import { supplierText } from './envelopes.ts'

export class InsistentSupplier {
  readonly accepted = new Set<string>()
  readonly refused = new Map<string, Acknowledgement>()
  /** By RequestID, the delivery ids it came with. */
  readonly delivered = new Map<string, Set<bigint>>()
  readonly responses = new Map<string, ServiceResponse>()
  /** As they came, repeats too. */
  readonly alerts: DeviceAlert[] = []
  /** By device, counters in the order in which their responses came first. */
  readonly order = new Map<string, bigint[]>()
  private readonly address: string
  readonly party: string
  private readonly callMs: number
  private receiver: DeliveryStream | undefined
  private receiving: SupplierClient | undefined
  private isClosed = false
  private watchers: Array<() => void> = []

  constructor(address: string, party = supplierText, callMs = 20_000) {
    this.address = address
    this.party = party
    this.callMs = callMs
  }

  static keyOf(id: { target: string; counter: bigint } | undefined): string {
    return id === undefined ? '' : `${id.target}:${id.counter}`
  }

  request(
    target: string,
    counter: number,
    srv: string,
    body?: ServiceRequest['body'],
  ): ServiceRequest {
    const requestId = { originator: this.party, target, counter: BigInt(counter) }
    return ServiceRequest.fromPartial({ requestId, serviceReferenceVariant: srv, body })
  }

  /** Settles when each request is accepted or refused for good. */
  async submit(requests: readonly ServiceRequest[]): Promise<void> {
    let open = [...requests]
    while (open.length > 0 && !this.isClosed) {
      const client = new SupplierClient({
        address: this.address,
        credentials: { party: this.party },
        callMs: this.callMs,
      })
      try {
        const acknowledgements = await client.submitBatch(open)
        open = open.filter((_, index) => !this.onAcknowledgement(acknowledgements[index]!))
      } catch {
        // The gateway is gone, or was when it mattered: the same requests again.
        await new Promise((resolve) => setTimeout(resolve, 50))
      } finally {
        client.close()
      }
      this.tell()
    }
  }

  /** True when it is settled. */
  private onAcknowledgement(acknowledgement: Acknowledgement): boolean {
    const key = InsistentSupplier.keyOf(acknowledgement.requestId)
    if (acknowledgement.responseCode === 'I99') this.accepted.add(key)
    else if (acknowledgement.retryAfterMs > 0) return false
    else this.refused.set(key, acknowledgement)
    return true
  }

  /** Keeps a receiver open until `close`. */
  receive(): void {
    if (this.isClosed) return
    const client = new SupplierClient({
      address: this.address,
      credentials: { party: this.party },
    })
    this.receiving = client
    const stream = client.receive(1_000, (list) => {
      for (const { deliveryId, content } of list) {
        if (content?.$case === 'alert') this.alerts.push(content.value)
        if (content?.$case !== 'response') continue
        const key = InsistentSupplier.keyOf(content.value.requestId)
        const ids = this.delivered.get(key) ?? new Set()
        if (ids.size === 0) {
          const { target = '', counter = 0n } = content.value.requestId ?? {}
          const counters = this.order.get(target) ?? []
          counters.push(counter)
          this.order.set(target, counters)
        }
        this.delivered.set(key, ids.add(deliveryId))
        this.responses.set(key, content.value)
      }
      if (list.length > 0) stream.acknowledge(list.at(-1)!.deliveryId)
      this.tell()
    })
    this.receiver = stream
    stream.done
      .catch(() => undefined)
      .finally(() => {
        client.close()
        if (!this.isClosed) setTimeout(() => this.receive(), 50)
      })
  }

  /** Settles when `condition` holds; it is looked at whenever something comes in. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.watchers.push(resolve))
  }

  private tell(): void {
    const { watchers } = this
    this.watchers = []
    for (const watcher of watchers) watcher()
  }

  close(): void {
    this.isClosed = true
    this.receiver?.cancel()
    this.receiving?.close()
  }
}
