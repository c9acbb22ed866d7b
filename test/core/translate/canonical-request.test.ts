/**
 * The canonical form that parties sign: the published vectors, every field of the contract in it,
 * no dependence on how a request is encoded, and the same form again from what the ledger has.
 */
import { verify, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createFileRegistry, fromBinary, ScalarType, type DescField } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import fc from 'fast-check'
import t from 'tap'
import { parseEui64 } from '../../../core/base/eui64.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import { canonicalFormOf, RequestSigner } from '../../../core/client/sign-request.ts'
import type { Header } from '../../../core/envelope/envelope.ts'
import { headerBytes } from '../../../core/envelope/layout.ts'
import { sequenceBytes } from '../../../core/envelope/sequenced-request.ts'
import {
  canonicalFields,
  canonicalRequest,
  signatureField,
  type CanonicalField,
} from '../../../core/translate/canonical-request.ts'
import { ProtobufReader } from '../../../core/translate/protobuf.ts'
import { readSignature, sealedRequestOf } from '../../../core/translate/sealed-request.ts'
import { signedEnvelope } from '../../support/signed-envelopes.ts'
import { RequestSignature, ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'

type Vectors = {
  certificatePem: string
  keyPem: string
  certificate: string
  vectors: { what: string; request: object; canonical: string; signature: string }[]
}
const published = JSON.parse(
  readFileSync(
    new URL('../../../core/docs/parties/signature-vectors.json', import.meta.url),
    'utf8',
  ),
) as Vectors
const { certificatePem, keyPem, certificate, vectors } = published
const files = { certificatePem, keyPem }

const wireOf = (request: ServiceRequest): Buffer =>
  Buffer.from(ServiceRequest.encode(request).finish())
const formOf = (wire: Buffer): string | undefined =>
  canonicalRequest(wire, 0, wire.length, certificate)?.toString('latin1')

t.test('the published vectors hold, and openssl agrees with each signature', async (t) => {
  const { publicKey, fingerprint256 } = new X509Certificate(certificatePem)
  t.equal(fingerprint256.replaceAll(':', '').toLowerCase(), certificate)
  t.equal(new RequestSigner(files).certificate, certificate)
  t.ok(vectors.length >= 7)
  for (const { what, request, canonical, signature } of vectors) {
    const read = ServiceRequest.fromJSON(request)
    t.equal(canonicalFormOf(read, certificate).toString('latin1'), canonical, what)
    const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
    t.ok(verify('sha256', Buffer.from(canonical), key, Buffer.from(signature, 'hex')), what)
    const { value } = new RequestSigner(files).sign(read).signature!
    t.ok(verify('sha256', Buffer.from(canonical), key, value), `${what}: signed again`)
  }
  t.equal(vectors[0]!.canonical, vectors[1]!.canonical, 'spellings do not matter')
})

const kinds: Partial<Record<ScalarType, string>> = {
  [ScalarType.STRING]: 'text',
  [ScalarType.BYTES]: 'octets',
  [ScalarType.BOOL]: 'bool',
  [ScalarType.UINT32]: 'uint32',
  [ScalarType.UINT64]: 'uint64',
}
const spelled = new Set(['originator', 'target', 'service_reference_variant'])

/** A field as the contract has it: number, name, type, members of a message. */
function contractOf({ number, name, fieldKind, scalar, message, oneof }: DescField): unknown {
  if (message?.typeName === 'google.protobuf.Timestamp') return [number, name, 'time', '']
  if (message !== undefined)
    return [number, name, message.fields.map(contractOf), oneof?.name ?? '']
  return [number, name, fieldKind === 'enum' ? 'enum' : (kinds[scalar!] ?? fieldKind), '']
}

function tableOf({ number, name, type, oneof = '' }: CanonicalField): unknown {
  if (typeof type !== 'string') return [number, name, type.map(tableOf), oneof]
  return [number, name, spelled.has(name) ? 'text' : type, oneof]
}

t.test(
  'every field of a ServiceRequest is signed: a new one belongs in canonicalFields',
  async (t) => {
    const descriptors = new URL('../../../proto/gen/descriptors.binpb', import.meta.url)
    const registry = createFileRegistry(
      fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)),
    )
    const { fields } = registry.getMessage('busbar.v1.ServiceRequest')!
    const contract = fields
      .toSorted((a, b) => a.number - b.number)
      .filter(({ number }) => number !== signatureField)
    t.same(canonicalFields.map(tableOf), contract.map(contractOf))
    t.ok(
      fields.every(({ fieldKind }) => fieldKind !== 'list' && fieldKind !== 'map'),
      'no lists yet',
    )
  },
)

const sample = ServiceRequest.create({
  requestId: { originator: '90-B3-D5-1F-30-01-00-00', target: '00DB100000000001', counter: 7n },
  serviceReferenceVariant: '4.8.1',
  deadline: new Date(1_764_547_320_000),
  priority: 3,
  correlation: 9,
  commandVariant: 1,
  body: { $case: 'readPeriod', value: { startTime: new Date(1_000), endTime: new Date(2_000) } },
})

/** The fields of a message as the octets they stand in. */
function fieldsOf(view: Buffer): Buffer[] {
  const reader = new ProtobufReader(view).open(view, 0, view.length)
  const fields: Buffer[] = []
  for (let from = 0; reader.nextField(); from = reader.at) {
    reader.skip()
    fields.push(view.subarray(from, reader.at))
  }
  return fields
}

t.test('the form does not depend on order, unknown fields, the signature or repeats', async (t) => {
  const fields = fieldsOf(wireOf(sample))
  const form = formOf(wireOf(sample))
  t.match(form, /^busbar\.v1\.ServiceRequest\ncertificate a8a0/)
  // Field 30, of any wire type; and a field 1 that another value replaces.
  const unknown = [Buffer.of(0xf0, 1, 7), Buffer.of(0xf2, 1, 1, 1), Buffer.of(0xf5, 1, 0, 0, 0, 0)]
  const signature = { certificate, value: Buffer.alloc(64) }
  const signed = fieldsOf(
    Buffer.from(ServiceRequest.encode({ ...ServiceRequest.create(), signature }).finish()),
  )[0]!
  const extra = [...unknown, signed]
  fc.assert(
    fc.property(
      fc.shuffledSubarray(
        fields.map((_, i) => i),
        { minLength: fields.length },
      ),
      fc.nat(),
      (order, at) => {
        const list = order.map((index) => fields[index]!)
        list.splice(at % (list.length + 1), 0, extra[at % extra.length]!)
        return formOf(Buffer.concat(list)) === form
      },
    ),
  )
  const other = fieldsOf(wireOf({ ...sample, priority: 1, serviceReferenceVariant: '4.1.1' }))
  t.equal(formOf(Buffer.concat([...other, ...fields])), form, 'the last value counts')
  const two = wireOf({ ...sample, body: { $case: 'displayMessage', value: { text: 'x' } } })
  const bodyFirst = Buffer.concat([...fieldsOf(two).slice(-1), ...fields])
  t.equal(formOf(bodyFirst), form, 'the last body counts')
  t.not(formOf(Buffer.concat([...fields, ...fieldsOf(two).slice(-1)])), form)
})

t.test('any other value of any field gives another form', async (t) => {
  const id = sample.requestId!
  const changes: Partial<ServiceRequest>[] = [
    { requestId: { ...id, counter: 8n } },
    { requestId: { ...id, target: '00DB100000000002' } },
    { requestId: { ...id, originator: '90-B3-D5-1F-30-02-00-00' } },
    { serviceReferenceVariant: '4.10' },
    { deadline: new Date(1_764_547_320_001) },
    { deadline: undefined },
    { priority: 0 },
    { priority: 2 },
    { assignCounter: true },
    { correlation: 0 },
    { commandVariant: 2 },
    { firstInSequence: true },
    { precedingRequestId: id },
    { precedingRequestId: { ...id, counter: 8n } },
    { executionTime: new Date(1_764_547_320_001) },
    { body: undefined },
    { body: { $case: 'synchroniseClock', value: { toleranceSeconds: 0 } } },
    { body: { $case: 'readPeriod', value: { startTime: new Date(1_000), endTime: undefined } } },
    {
      body: {
        $case: 'readPeriod',
        value: { startTime: new Date(1_001), endTime: new Date(2_000) },
      },
    },
    { body: { $case: 'displayMessage', value: { text: '1000' } } },
  ]
  const forms = new Set(
    [sample, ...changes.map((one) => ({ ...sample, ...one }))].map((one) => formOf(wireOf(one))),
  )
  t.equal(forms.size, changes.length + 1)
  t.notOk(forms.has(undefined))
  t.not(canonicalFormOf(sample, 'b'.repeat(64)).toString(), formOf(wireOf(sample)), 'certificate')
})

t.test('what is not a request has no form', async (t) => {
  const wire = wireOf(sample)
  t.equal(formOf(wireOf({ ...sample, serviceReferenceVariant: 'x' })), undefined)
  t.equal(
    formOf(wireOf({ ...sample, requestId: { originator: 'x', target: '', counter: 1n } })),
    undefined,
  )
  for (let end = 1; end < wire.length; end++) t.doesNotThrow(() => formOf(wire.subarray(0, end)))
  t.throws(
    () => canonicalFormOf({ ...sample, serviceReferenceVariant: 'x' }, certificate),
    TypeError,
  )
  const signer = new RequestSigner(files)
  t.throws(() => signer.sign({ ...sample, assignCounter: true }), TypeError)
  t.throws(() => new RequestSigner({ certificatePem, keyPem: 'x' }), TypeError)
  t.throws(() => new RequestSigner({ certificatePem: 'x', keyPem }), TypeError)
})

const sealed = (request: ServiceRequest, given: Partial<Header> = {}): Buffer =>
  signedEnvelope(request, new RequestSigner(files), given)

t.test(
  'the ledger gives the signed form again, and not when one of its fields differs',
  async (t) => {
    for (const { what, request, canonical } of vectors) {
      const again = sealedRequestOf(sealed(ServiceRequest.fromJSON(request)), 0)
      t.equal(typeof again === 'object' && again.canonical.toString('latin1'), canonical, what)
    }
    const changes: Partial<Header>[] = [
      { counter: 8n },
      { target: parseEui64('00DB100000000002')! },
      { originator: parseEui64('90-B3-D5-1F-30-02-00-00')! },
      { srv: parseSrv('4.10') },
      { bodyType: 18 },
    ]
    const form = formOf(wireOf(sample))
    for (const change of changes) {
      const again = sealedRequestOf(sealed(sample, change), 0)
      t.not(typeof again === 'object' && again.canonical.toString('latin1'), form)
    }
    t.match(sealedRequestOf(sealed(sample, { deadline: 5 }), 0), /another deadline/)
    t.match(sealedRequestOf(sealed(sample, { lane: 0 }), 0), /another priority/)
    const behind = sealed({ ...sample, precedingRequestId: { ...sample.requestId!, counter: 6n } })
    t.match(sealedRequestOf(behind, 0), { seal: {} })
    behind[headerBytes + sequenceBytes - 1] = 5
    t.match(sealedRequestOf(behind, 0), /another place in a sequence/)
    behind[headerBytes] = 2
    t.throws(() => sealedRequestOf(behind, 0), { code: 'FORMAT_VERSION_LATER' })
    const ahead = sealed({ ...sample, executionTime: new Date(7_000) })
    t.match(sealedRequestOf(ahead, 0), { seal: {} })
    ahead.writeUInt8(8, headerBytes + 9)
    t.match(sealedRequestOf(ahead, 0), /another execution time/)
    ahead[headerBytes] = 2
    t.throws(() => sealedRequestOf(ahead, 0), { code: 'FORMAT_VERSION_LATER' })
    const cut = sealed(sample)
    cut.writeUInt16BE(5, headerBytes)
    t.throws(() => sealedRequestOf(cut, 0), { code: 'ENVELOPE_MALFORMED' })
    const later = sealed(sample)
    later[headerBytes + 2] = 2
    t.throws(() => sealedRequestOf(later, 0), { code: 'FORMAT_VERSION_LATER' })
  },
)

t.test('a signature is 64 octets, r and s, within the order of the curve', async (t) => {
  const read = (fields: Partial<RequestSignature>): unknown => {
    const wire = Buffer.from(RequestSignature.encode(RequestSignature.create(fields)).finish())
    return readSignature(wire, 0, wire.length)
  }
  const value = Buffer.alloc(64, 1)
  t.same(read({ certificate: certificate.toUpperCase(), value }), { certificate, value })
  const order = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'
  const one = '00'.repeat(31) + '01'
  const highest = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550'
  const hex = (r: string, s: string): Buffer => Buffer.from(r + s, 'hex')
  t.ok(read({ certificate, value: hex(one, highest) }), 'a high s')
  for (const [what, fields] of [
    ['no certificate', { value }],
    ['a short certificate', { certificate: certificate.slice(2), value }],
    ['not hexadecimal', { certificate: `${certificate.slice(1)}g`, value }],
    ['no value', { certificate }],
    ['63 octets', { certificate, value: value.subarray(1) }],
    ['65 octets', { certificate, value: Buffer.alloc(65, 1) }],
    ['DER', { certificate, value: Buffer.from(`3044022${'0'.repeat(133)}`.slice(0, 140), 'hex') }],
    ['r is 0', { certificate, value: hex('00'.repeat(32), one) }],
    ['s is 0', { certificate, value: hex(one, '00'.repeat(32)) }],
    ['r is the order', { certificate, value: hex(order, one) }],
    ['s is the order', { certificate, value: hex(one, order) }],
  ] as const)
    t.equal(read(fields), undefined, what)
})
