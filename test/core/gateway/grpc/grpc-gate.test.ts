/**
 * The gate of the gRPC door without sockets: limits that need more calls than a test can make over
 * a network.
 */
import { EventEmitter } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http2'
import { status, type Server } from '@grpc/grpc-js'
import t from 'tap'
import { fixedParties } from '../../../../core/access/directory.ts'
import { demoParties, demoPartiesJson } from '../../../../core/access/parties.ts'
import { assert } from '../../../../core/base/assert.ts'
import { BytesInFlight } from '../../../../core/base/bytes-in-flight.ts'
import { limits } from '../../../../core/base/limits.ts'
import { GrpcGate } from '../../../../core/gateway/grpc/grpc-gate.ts'
import { PartyAccounts } from '../../../../core/gateway/intake/party-account.ts'
import { noMetrics } from '../../../../core/ports/metrics.ts'
import { SimClock } from '../../../../core/ports/sim/clock.ts'
import { systemRandom } from '../../../../core/ports/random.ts'

const path = '/busbar.v1.InputGateway/SubmitStream'

/** What the gate uses of a ServerHttp2Stream. */
class SimStream extends EventEmitter {
  answer: OutgoingHttpHeaders | undefined
  readonly rstCode = 0
  readonly destroyed = false
  readonly readableEnded = true

  get headersSent(): boolean {
    return this.answer !== undefined
  }

  respond(headers: OutgoingHttpHeaders): void {
    this.answer = headers
  }

  sendTrailers(): void {}
}

/** The gate in front of a server that only counts the calls which the gate lets through. */
function makeGate(): { call(party: string): SimStream; served(): number } {
  const gate = new GrpcGate(
    {
      parties: fixedParties(demoParties()),
      accounts: new PartyAccounts(systemRandom),
      bytes: new BytesInFlight(),
      clock: new SimClock(),
      metrics: noMetrics,
    },
    new Map([[path, { bytesMax: 1024, isUnary: false, needsParty: true }]]),
  )
  let served = 0
  const http2Server = new EventEmitter()
  http2Server.on('connection', () => undefined)
  http2Server.on('stream', () => served++)
  gate.guard({ http2Servers: new Map([[http2Server, undefined]]) } as unknown as Server)
  return {
    call(party) {
      const stream = new SimStream()
      const headers = {
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        'x-busbar-party': party,
      }
      http2Server.emit('stream', stream, headers)
      return stream
    },
    served: () => served,
  }
}

t.test('the calls of all parties together are limited', async (t) => {
  const { call, served } = makeGate()
  const parties = demoPartiesJson.map(({ eui64 }) => eui64)
  assert(parties.length * limits.partyCallsMax > limits.gatewayCallsMax, 'enough parties')
  // No party comes near its own limit before the gateway is full.
  const open = Array.from({ length: limits.gatewayCallsMax }, (_, at) =>
    call(parties[at % parties.length]!),
  )
  t.equal(open.filter(({ answer }) => answer !== undefined).length, 0, 'all of these are open')
  t.equal(served(), limits.gatewayCallsMax)

  for (const party of parties) {
    const { answer } = call(party)
    t.match(
      answer,
      { 'busbar-code': 'BROKER_GATEWAY_BUSY', 'grpc-status': status.RESOURCE_EXHAUSTED },
      party,
    )
  }
  t.equal(served(), limits.gatewayCallsMax, 'the server sees none of the refused calls')

  open[0]!.emit('close')
  t.equal(call(parties[0]!).answer, undefined, 'the place of a call that has ended is free')
  t.ok(call(parties[0]!).answer, 'and it is one place')
})
