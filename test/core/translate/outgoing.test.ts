/**
 * What goes back to parties: acknowledgements, deliveries, status; held against the generated
 * decoders.
 */
import fc from 'fast-check'
import t from 'tap'
import { scheduleOfCounter } from '../../../core/schedule/run-counter.ts'
import { errorTable, explain, type ErrorCode } from '../../../core/base/error-table.ts'
import { formatEui64 } from '../../../core/base/eui64.ts'
import { Lane } from '../../../core/base/lane.ts'
import { formatSrv, parseSrv } from '../../../core/base/srv.ts'
import { serviceRequests } from '../../../core/catalogue/service-requests.ts'
import { writeEnvelope, writeSafeU64, type Header } from '../../../core/envelope/envelope.ts'
import { headerBytes, Kind } from '../../../core/envelope/layout.ts'
import { appendAcknowledgement, appendRefusal } from '../../../core/translate/acknowledgement.ts'
import { appendDelivery } from '../../../core/translate/delivery.ts'
import { ProtobufWriter } from '../../../core/translate/protobuf.ts'
import { RequestScan } from '../../../core/translate/scan.ts'
import { notEnded } from '../../../core/envelope/status-body.ts'
import { appendStatus } from '../../../core/translate/status.ts'
import {
  GetRequestStatusResponse,
  SubmitResponse,
  SubmitStreamResponse,
} from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { ReceiveResponse } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { ResponseBody } from '../../../proto/gen/busbar/v1/service_response.ts'

const codes = Object.keys(errorTable) as ErrorCode[]
const octets8 = fc.uint8Array({ minLength: 8, maxLength: 8 })
const time = fc.integer({ min: 1, max: 253_402_300_799_999 })
const counter = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.nat(64).map((bits) => (1n << BigInt(bits)) - 1n),
)
const header: fc.Arbitrary<Header> = fc.record({
  kind: fc.constant(Kind.RESPONSE),
  lane: fc.constantFrom(...Object.values(Lane)),
  srv: fc.constantFrom(...serviceRequests.map(({ srv }) => srv), parseSrv('200.7')),
  outcome: fc.constantFrom(...codes).map((code) => errorTable[code].id),
  bodyType: fc.constant(0),
  attempt: fc.nat(65_535),
  originator: octets8,
  target: octets8,
  counter,
  time,
  deadline: fc.oneof(fc.constant(0), time),
  correlation: time,
})
const codeOf = (outcome: number): ErrorCode =>
  codes.find((code) => errorTable[code].id === outcome)!

// An envelope somewhere in a frame.
function envelope(header: Header, body: Uint8Array, at = 11): Buffer {
  const buffer = Buffer.alloc(at + headerBytes + body.length + 5, 0xee)
  writeEnvelope(buffer, at, header, body)
  return buffer
}
const idOf = ({ originator, target, counter }: Header) => ({
  originator: formatEui64(originator),
  target: formatEui64(target),
  counter,
})

/** Fields of an acknowledgement that no rejection for a counter fills. */
const noCounters = { highestCounter: 0n, counterFloor: 0n, correlation: 0 }

t.test('acknowledgements', (t) => {
  const writer = new ProtobufWriter(64)
  fc.assert(
    fc.property(fc.array(header, { minLength: 1, maxLength: 5 }), (headers) => {
      for (const each of headers)
        appendAcknowledgement(
          writer,
          envelope({ ...each, kind: Kind.ACKNOWLEDGEMENT }, Buffer.alloc(0)),
          11,
        )
      const { acknowledgements } = SubmitStreamResponse.decode(writer.take())
      t.same(
        acknowledgements,
        headers.map((each) => {
          const code = codeOf(each.outcome)
          const retry =
            code === 'REQUEST_ACCEPTED'
              ? 0
              : Math.min(Math.max(0, each.deadline - each.time), 0xffff_ffff)
          return {
            requestId: idOf(each),
            responseCode: errorTable[code].duis,
            reason: code,
            message: explain(code),
            time: new Date(each.time),
            retryAfterMs: retry,
            ...noCounters,
            correlation: Math.min(each.correlation, 0xffff_ffff),
          }
        }),
      )
    }),
    { numRuns: 200 },
  )
  t.end()
})

t.test('refusals at the gateway name the request when it could be read', (t) => {
  const writer = new ProtobufWriter()
  const scan = new RequestScan()
  scan.hasRequestId = true
  scan.counter = 2n ** 64n - 1n
  scan.originator.fill(0xab)
  scan.target.fill(0x01)
  appendRefusal(writer, scan, 'BROKER_GATEWAY_BUSY', 1000, 250)
  t.same(SubmitResponse.decode(writer.take()).acknowledgement, {
    requestId: {
      originator: 'AB-AB-AB-AB-AB-AB-AB-AB',
      target: '01-01-01-01-01-01-01-01',
      counter: 2n ** 64n - 1n,
    },
    responseCode: 'E57',
    reason: 'BROKER_GATEWAY_BUSY',
    message: explain('BROKER_GATEWAY_BUSY'),
    time: new Date(1000),
    retryAfterMs: 250,
    ...noCounters,
  })
  scan.reset()
  appendRefusal(writer, scan, 'REQUEST_WIRE_MALFORMED', 1000)
  const refusal = SubmitResponse.decode(writer.take()).acknowledgement!
  t.equal(refusal.requestId, undefined)
  t.equal(refusal.responseCode, 'E48')
  t.equal(refusal.retryAfterMs, 0)
  t.end()
})

t.test('deliveries, with the body as it came', (t) => {
  const writer = new ProtobufWriter(64)
  const body = fc.oneof(
    fc.constant(Buffer.alloc(0)),
    fc.nat(300).map((count) =>
      Buffer.from(
        ResponseBody.encode(
          ResponseBody.fromPartial({
            readings: Array.from({ length: count }, (_, i) => ({
              obis: `1-0:${i}.8.0.255`,
              status: 1,
            })),
          }),
        ).finish(),
      ),
    ),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(header, body, fc.nat({ max: Number.MAX_SAFE_INTEGER })), {
        minLength: 1,
        maxLength: 4,
      }),
      (responses) => {
        for (const [each, bytes, id] of responses)
          appendDelivery(writer, id, envelope(each, bytes), 11)
        const { deliveries } = ReceiveResponse.decode(writer.take())
        t.same(
          deliveries,
          responses.map(([each, bytes, id]) => {
            const code = codeOf(each.outcome)
            const { duis } = errorTable[code]
            const value = {
              requestId: idOf(each),
              serviceReferenceVariant: formatSrv(each.srv),
              responseCode: duis,
              reason: code,
              message: duis === 'I0' ? '' : explain(code),
              acceptedAt: new Date(each.correlation),
              answeredAt: new Date(each.time),
              attempts: each.attempt,
              scheduleId: BigInt(scheduleOfCounter(BigInt(each.counter))),
              body: bytes.length === 0 ? undefined : ResponseBody.decode(bytes),
            }
            return { deliveryId: BigInt(id), content: { $case: 'response', value } }
          }),
        )
      },
    ),
    { numRuns: 200 },
  )
  t.end()
})

t.test('an outcome of a newer Busbar is still delivered', (t) => {
  const writer = new ProtobufWriter()
  const [sample] = fc.sample(header, { numRuns: 1, seed: 1 })
  appendDelivery(writer, 1, envelope({ ...sample!, outcome: 9999 }, Buffer.alloc(0)), 11)
  const { content } = ReceiveResponse.decode(writer.take()).deliveries[0]!
  t.match(content!.value, { responseCode: 'E51', reason: 'OUTCOME_9999' })
  t.end()
})

t.test('status', (t) => {
  const writer = new ProtobufWriter()
  const statusBody = (state: number, acceptedAtMs: number): Buffer => {
    const body = Buffer.alloc(9)
    body[0] = state
    writeSafeU64(body, acceptedAtMs, 1)
    return body
  }
  fc.assert(
    fc.property(header, fc.integer({ min: 1, max: 4 }), time, (each, state, acceptedAtMs) => {
      const hasEnded = state === 3
      const status = {
        ...each,
        kind: Kind.STATUS,
        outcome: hasEnded ? each.outcome : notEnded,
        time: hasEnded ? each.time : 0,
      }
      appendStatus(writer, envelope(status, statusBody(state, acceptedAtMs)), 11)
      const code = codeOf(each.outcome)
      t.same(GetRequestStatusResponse.decode(writer.take()), {
        requestId: idOf(each),
        state,
        serviceReferenceVariant: formatSrv(each.srv),
        responseCode: hasEnded ? errorTable[code].duis : '',
        reason: hasEnded ? code : '',
        acceptedAt: new Date(acceptedAtMs),
        endedAt: hasEnded ? new Date(each.time) : undefined,
        attempts: each.attempt,
      })
    }),
    { numRuns: 200 },
  )
  const [sample] = fc.sample(header, { numRuns: 1, seed: 1 })
  for (const body of [Buffer.alloc(0), Buffer.alloc(8), statusBody(0, 1), statusBody(8, 1)]) {
    t.throws(() => appendStatus(writer, envelope({ ...sample!, kind: Kind.STATUS }, body), 11), {
      code: 'ENVELOPE_MALFORMED',
    })
  }
  t.end()
})
