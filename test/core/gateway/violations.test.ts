/**
 * Malformed calls over gRPC name their fields as google.rpc.BadRequest, read here by the wire
 * format alone.
 */
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { grpcRefusal } from '../../../core/gateway/grpc/refusal.ts'
import { requestViolations } from '../../../core/gateway/intake/request-violations.ts'
import {
  GetRequestStatusRequest,
  SubmitBatchRequest,
  SubmitRequest,
} from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { GetResponseRequest, ReceiveRequest } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'
import { accepted, fault, makeRig, meter, serveHost, supplier, type Rig } from './rig.ts'

type Fields = Array<[number, Uint8Array]>

/** Fields of a message that have a length. */
function fieldsOf(octets: Uint8Array): Fields {
  const reader = new BinaryReader(octets)
  const fields: Fields = []
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag()
    if (wireType === 2) fields.push([number, reader.bytes()])
    else reader.skip(wireType, number)
  }
  return fields
}
const text = (octets: Uint8Array | undefined): string => Buffer.from(octets ?? []).toString()

/** Types of the details of google.rpc.Status, and the violations of its BadRequest. */
function detailsOf(metadata: Metadata): { types: string[]; violations: Array<[string, string]> } {
  const [octets] = metadata.get('grpc-status-details-bin')
  const details = fieldsOf(octets as Buffer)
    .filter(([number]) => number === 3)
    .map(([, any]) => new Map(fieldsOf(any)))
  const bad = details.find((any) => text(any.get(1)).endsWith('/google.rpc.BadRequest'))
  const violations = bad === undefined ? [] : fieldsOf(bad.get(2)!)
  return {
    types: details.map((any) => text(any.get(1)).replace('type.googleapis.com/', '')),
    violations: violations.map(([, violation]) => {
      const members = new Map(fieldsOf(violation))
      return [text(members.get(1)), text(members.get(2))]
    }),
  }
}

const asItIs = (octets: Uint8Array): Buffer => Buffer.from(octets)

async function refusalOf(rig: Rig, path: string, message: Uint8Array): Promise<ServiceError> {
  const client = new Client(rig.address, credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
  })
  const metadata = new Metadata()
  metadata.set('x-busbar-party', supplier)
  const isStream = /Stream$|Receive$/.test(path)
  try {
    return (await fault(
      new Promise((resolve, reject) => {
        if (!isStream)
          return void client.makeUnaryRequest(
            `/busbar.v1.${path}`,
            asItIs,
            asItIs,
            Buffer.from(message),
            metadata,
            (error, answer) => (error ? reject(error) : resolve(answer)),
          )
        const call = client.makeBidiStreamRequest(`/busbar.v1.${path}`, asItIs, asItIs, metadata)
        call.on('error', reject).on('end', resolve).resume()
        call.write(Buffer.from(message))
      }),
    )) as ServiceError
  } finally {
    client.close()
  }
}

const id = { originator: supplier, target: meter, counter: 1n }
/**
 * A request with field `number` in the place of a message of that number, which is broken inside.
 */
const broken = (number: number): Buffer => Buffer.of(0x0a, 5, ...tag(number), 2, 0x0a, 0x7f)
const tag = (number: number): [number, number] => [
  (((number << 3) | 2) % 128) | 128,
  (number << 3) >> 7,
]

t.test('BadRequest over gRPC', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  const one = ServiceRequest.create({ requestId: id })
  const many = SubmitBatchRequest.encode({
    requests: Array(limits.requestsPerBatchMax + 1).fill(one),
  }).finish()
  const large = SubmitRequest.encode({
    request: { ...one, body: { $case: 'displayMessage', value: { text: 'x'.repeat(70_000) } } },
  })
  const single = SubmitRequest.encode({ request: one }).finish()
  const status = (requestId: object | undefined): Uint8Array =>
    GetRequestStatusRequest.encode(
      GetRequestStatusRequest.fromPartial({ requestId: requestId! }),
    ).finish()
  const step = (value: object): Uint8Array =>
    ReceiveRequest.encode(ReceiveRequest.fromPartial(value)).finish()
  const open = (credit: number): object => ({ step: { $case: 'openReceiver', value: { credit } } })
  const input = 'InputGateway/'
  const cases: Array<
    [path: string, message: Uint8Array, code: string, ...violations: Array<[string, RegExp]>]
  > = [
    [`${input}Submit`, Buffer.alloc(0), 'REQUEST_WIRE_MALFORMED', ['request', /missing/]],
    [
      `${input}Submit`,
      Buffer.concat([single, single]),
      'REQUEST_WIRE_MALFORMED',
      ['request', /more than once/],
    ],
    [`${input}Submit`, large.finish(), 'REQUEST_SIZE_EXCEEDED', ['request', /70\d{3} octets/]],
    [
      `${input}Submit`,
      Buffer.of(0x0a, 4, 0x1a, 2, 0x0a, 0x7f),
      'REQUEST_WIRE_MALFORMED',
      ['request.deadline', /encoded/],
    ],
    [
      `${input}Submit`,
      Buffer.of(0x0a, 4, 0x0a, 2, 0x0a, 0x7f),
      'REQUEST_WIRE_MALFORMED',
      ['request.request_id', /encoded/],
    ],
    [
      `${input}Cancel`,
      Buffer.of(0x0a, 2, 0x0a, 0x7f),
      'REQUEST_WIRE_MALFORMED',
      ['request_id', /encoded/],
    ],
    [`${input}Submit`, Buffer.of(0x0a, 0x7f), 'REQUEST_WIRE_MALFORMED'],
    // Broken in its body, and without a RequestID, which intake finds first.
    [
      `${input}Submit`,
      broken(16),
      'REQUEST_WIRE_MALFORMED',
      ['request.display_message', /encoded/],
    ],
    [`${input}SubmitBatch`, many, 'REQUEST_SIZE_EXCEEDED', ['requests', /more than 1000/]],
    [`${input}SubmitStream`, many, 'REQUEST_SIZE_EXCEEDED', ['requests', /more than 1000/]],
    [
      `${input}GetRequestStatus`,
      Buffer.alloc(0),
      'REQUEST_ID_MALFORMED',
      ['request_id', /missing/],
    ],
    [
      `${input}GetRequestStatus`,
      status({ ...id, counter: 0n }),
      'REQUEST_ID_MALFORMED',
      ['request_id.counter', /missing/],
    ],
    [
      `${input}GetRequestStatus`,
      status({ originator: 'me', counter: 1n }),
      'REQUEST_ID_MALFORMED',
      ['request_id.originator', /not an EUI-64/],
      ['request_id.target', /missing/],
    ],
    [
      'OutputGateway/GetResponse',
      GetResponseRequest.encode({ requestId: { ...id, target: '' }, waitMs: 0 }).finish(),
      'REQUEST_ID_MALFORMED',
      ['request_id.target', /missing/],
    ],
    [
      'OutputGateway/Receive',
      step(open(0)),
      'DELIVERY_CREDIT_INVALID',
      ['open_receiver.credit', /credit 0/],
    ],
    ['OutputGateway/Receive', Buffer.alloc(0), 'REQUEST_WIRE_MALFORMED', ['step', /missing/]],
  ]
  for (const [path, message, code, ...violations] of cases) {
    const { metadata } = await refusalOf(rig, path, message)
    t.equal(metadata.get('busbar-code')[0], code, path)
    const details = detailsOf(metadata)
    t.match(details.violations, violations, `${path} ${code}`)
    t.equal(details.violations.length, violations.length, `${path} ${code}`)
    t.equal(details.types[0], 'google.rpc.ErrorInfo')
    t.equal(details.types.includes('google.rpc.BadRequest'), violations.length > 0)
  }
})

t.test('bodies that are broken inside are named', (t) => {
  for (const [number, field] of [
    [16, 'display_message'],
    [17, 'read_period'],
    [18, 'synchronise_clock'],
  ] as const) {
    const view = broken(number).subarray(2)
    t.match(requestViolations('REQUEST_WIRE_MALFORMED', view), [{ field }], field)
  }
  t.same(requestViolations('REQUEST_WIRE_MALFORMED', Buffer.of(0x0a, 0x7f)), [])
  t.same(requestViolations('REQUEST_SRV_UNKNOWN', Buffer.of(0x0a, 0x7f)), [])
  t.same(requestViolations('BROKER_GATEWAY_BUSY', Buffer.alloc(0)), [])
  t.end()
})

t.test('a status never has more violations than fit into trailers', (t) => {
  const violations = Array.from({ length: 50 }, (_, i) => ({ field: `f${i}`, description: 'x' }))
  const { metadata } = grpcRefusal('REQUEST_WIRE_MALFORMED', undefined, violations)
  t.equal(detailsOf(metadata).violations.length, 8)
  t.end()
})
