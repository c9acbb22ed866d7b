/**
 * A load run over gRPC: requests on the bidirectional stream, responses from the party's receiver,
 * which acknowledges them.
 */
import { SupplierClient, type SupplierClientOptions } from '../../core/client/supplier-client.ts'
import type { Delivery } from '../../proto/gen/busbar/v1/output_gateway.ts'
import type { Acknowledgement } from '../../proto/gen/busbar/v1/service_response.ts'
import type { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import type { LoadDoor, LoadEvents } from './load-run.ts'

/** Requests in one message of the stream. */
const requestsPerMessage = 500
/** Deliveries that the receiver holds unacknowledged. */
const credit = 20_000

export function grpcDoor(options: SupplierClientOptions, events: LoadEvents): LoadDoor {
  const client = new SupplierClient(options)
  const { plan, tally } = events
  const stream = client.submitStream((list) => {
    const now = events.nowMs()
    for (const acknowledgement of list) acknowledged(acknowledgement, now)
  })
  const receiver = client.receive(credit, (list) => {
    const now = events.nowMs()
    for (const delivery of list) received(delivery, now)
    receiver.acknowledge(list.at(-1)!.deliveryId)
  })

  function acknowledged(one: Acknowledgement, now: number): void {
    const { requestId, responseCode, reason, retryAfterMs } = one
    if (requestId === undefined) return
    const isOver = tally.acknowledged(requestId.counter, responseCode, reason, now)
    if (isOver) events.ended(true, retryAfterMs)
  }

  function received({ deliveryId, content }: Delivery, now: number): void {
    if (content?.$case !== 'response' || content.value.requestId === undefined) return
    const { counter } = content.value.requestId
    if (tally.responded(counter, deliveryId, content.value, now)) events.ended(false, 0)
  }

  return {
    send(count, firstMs, stepMs) {
      for (let sent = 0; sent < count; sent += requestsPerMessage) {
        const requests: ServiceRequest[] = []
        for (let i = sent; i < Math.min(count, sent + requestsPerMessage); i++) {
          const { counter, request } = plan.next()
          tally.submitted(counter, firstMs + i * stepMs)
          requests.push(request)
        }
        stream.send(requests)
      }
    },
    async stop() {
      // Acknowledgements of all requests have come when the gateway ends the stream.
      await stream.end().catch(() => {})
    },
    async close() {
      await receiver.end().catch(() => {})
      client.close()
    },
    failed: new Promise((_resolve, reject) => {
      stream.done.catch(reject)
      receiver.done.catch(reject)
    }),
  }
}
