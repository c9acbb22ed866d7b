/**
 * Real processes: far more requests at once for one device than it takes, repeated as the contract
 * says over Submit, SubmitStream and HTTP, through a kill of the broker. Each is accepted and ends
 * once. Then an operator resets the counters, across another kill.
 */
import { once } from 'node:events'
import t from 'tap'
import { auditOf, show } from '../../actors/cli/operator/ledger-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import type { CountersAnswer } from '../../actors/broker/counters-door.ts'
import { SupplierClient } from '../../core/client/supplier-client.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import type { Acknowledgement } from '../../proto/gen/busbar/v1/service_response.ts'
import { Deployment } from '../support/deployment.ts'
import { supplierText } from '../support/envelopes.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'

const count = 600
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * What one answer says: settled, or the wait before the same request again; a call that failed is
 * repeated after its hint.
 */
type Said = { code: string; retryMs: number }

class Party {
  readonly codes = new Map<string, number>()
  acceptedCount = 0
  private readonly deployment: Deployment
  private watchers: Array<() => void> = []

  constructor(deployment: Deployment) {
    this.deployment = deployment
  }

  /** One call a request, each repeated by itself. */
  async one(request: ServiceRequest, ask: (request: ServiceRequest) => Promise<Said>) {
    for (;;) {
      const said = await ask(request).catch((error: unknown) => hintOf(error))
      if (this.note(said)) return
      await wait(said.retryMs)
    }
  }

  /** All over one stream, the refused ones again in reverse order. */
  async stream(requests: readonly ServiceRequest[]): Promise<void> {
    let open = [...requests]
    while (open.length > 0) {
      const client = this.client()
      const answers = new Map<bigint, Acknowledgement>()
      const stream = client.submitStream((list) => {
        for (const one of list) answers.set(one.requestId!.counter, one)
      })
      stream.send(open)
      await stream.end().catch(() => undefined)
      client.close()
      open = open
        .filter(({ requestId }) => {
          const answer = answers.get(requestId!.counter)
          return answer === undefined || !this.note(saidOf(answer))
        })
        .reverse()
      if (open.length > 0) await wait(250)
    }
  }

  client(): SupplierClient {
    return new SupplierClient({
      address: this.deployment.listening.grpc,
      credentials: { party: supplierText },
    })
  }

  private note({ code, retryMs }: Said): boolean {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
    if (code === 'REQUEST_ACCEPTED') this.acceptedCount++
    else if (retryMs === 0) throw new Error(`rejected for good: ${code}`)
    for (const watcher of this.watchers.splice(0)) watcher()
    return code === 'REQUEST_ACCEPTED'
  }

  async until(accepted: number): Promise<void> {
    while (this.acceptedCount < accepted)
      await new Promise<void>((resolve) => this.watchers.push(resolve))
  }
}

const saidOf = ({ reason, retryAfterMs }: Acknowledgement): Said => ({
  code: reason,
  retryMs: retryAfterMs,
})

function hintOf(error: unknown): Said {
  const { metadata } = error as { metadata?: { get(name: string): string[] } }
  const code = metadata?.get('busbar-code')[0] ?? 'NOBODY'
  return { code, retryMs: Number(metadata?.get('retry-after-ms')[0] ?? 250) }
}

t.test(
  '600 requests at once for one device, and a kill: each is accepted and ends once',
  async (t) => {
    const deployment = new Deployment()
    t.teardown(() => deployment.stop())
    await deployment.start(1)
    const target = deployment.devices[0]!.eui64
    const party = new Party(deployment)
    const receiver = new InsistentSupplier(deployment.listening.grpc)
    t.teardown(() => receiver.close())
    receiver.receive()
    const client = party.client()
    const requests = Array.from({ length: count }, () =>
      ServiceRequest.fromPartial({
        requestId: { originator: supplierText, target, counter: client.nextCounter() },
        serviceReferenceVariant: '4.1.1',
        deadline: new Date(Date.now() + 3_600_000),
      }),
    )
    const third = count / 3
    const byGrpc = async (request: ServiceRequest): Promise<Said> => {
      const caller = party.client()
      return caller
        .submit(request)
        .then(saidOf)
        .finally(() => caller.close())
    }
    const byHttp = async (request: ServiceRequest): Promise<Said> => {
      const response = await fetch(`http://${deployment.listening.http}/v1/service-requests`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-busbar-party': supplierText },
        body: JSON.stringify(ServiceRequest.toJSON(request)),
      })
      const json = (await response.json()) as {
        code?: string
        reason?: string
        retryAfterMs?: number
      }
      return { code: json.reason ?? json.code ?? '', retryMs: json.retryAfterMs ?? 0 }
    }
    const all = Promise.all([
      ...requests.slice(0, third).map((request) => party.one(request, byGrpc)),
      party.stream(requests.slice(third, 2 * third)),
      ...requests.slice(2 * third).map((request) => party.one(request, byHttp)),
    ])
    await party.until(count / 4)
    const killed = once(deployment.broker!.process, 'exit')
    deployment.broker!.process.kill('SIGKILL')
    await killed
    await deployment.startBroker()
    await all
    t.ok(party.codes.has('DEVICE_QUEUE_FULL'), JSON.stringify([...party.codes]))
    await receiver.until(() => receiver.delivered.size === count)
    t.ok([...receiver.delivered.values()].every((ids) => ids.size === 1))

    const url = `http://${deployment.listening.ops}/v1/devices/${target}/counters`
    const last = requests.at(-1)!.requestId!.counter
    const shown = (await (await fetch(url)).json()) as CountersAnswer
    t.match(shown.counters, [{ party: supplierText, open: 0, counterFloor: '0' }])
    t.equal(shown.counters[0]!.highestCounter, String(last))
    const query = `party=${supplierText}&to=7&by=ann`
    for (let time = 0; time < 2; time++)
      t.equal((await fetch(`${url}?${query}`, { method: 'DELETE' })).status, 200)
    deployment.broker!.process.kill('SIGKILL')
    await once(deployment.broker!.process, 'exit')
    await deployment.startBroker()
    const again = (await (await fetch(url)).json()) as CountersAnswer
    t.match(
      again.counters,
      [{ highestCounter: '7', counterFloor: '7' }],
      'as it was before the kill',
    )
    const later = party.client()
    const low = { ...requests[0]!, requestId: { originator: supplierText, target, counter: 8n } }
    t.match(await later.submit(low), { reason: 'REQUEST_ACCEPTED' })
    t.match(await later.submit(requests[5]!), { reason: 'REQUEST_ACCEPTED' }, 'known')
    later.close()
    client.close()
    await receiver.until(() => receiver.delivered.size === count + 1)
    const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
    const audit = await auditOf(operator.ledger)
    t.same([audit.faults, audit.accepted, audit.ended, audit.open], [[], count + 1, count + 1, 0])
    const lines: string[] = []
    await show(operator.ledger, `${supplierText}:${target}:8`, (line) => void lines.push(line))
    t.equal(lines.filter((line) => /REQUEST_COUNTERS_RESET .* to 7 by "ann"/.test(line)).length, 1)
    await operator.close()
  },
)
