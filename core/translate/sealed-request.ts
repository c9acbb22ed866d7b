/**
 * The signature of a request: read from the wire, kept as a seal, and the signed request made again
 * from what the ledger has, so that it can be verified later. Checks no signature: pure octets.
 */
import { emptyBytes } from '../base/bytes.ts'
import { formatEui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { formatSrv } from '../base/srv.ts'
import { readBodyType, readCounter, readDeadline, readLane, readSrv } from '../envelope/envelope.ts'
import { offsetOf } from '../envelope/layout.ts'
import {
  requestBodyView,
  sealIn,
  sealViewOf,
  signatureBytes,
  type Seal,
} from '../envelope/signed-request.ts'
import { executeAtIn } from '../envelope/future-request.ts'
import { isSameSequence, sequenceIn } from '../envelope/sequenced-request.ts'
import { sequenceOf } from './sequence-of.ts'
import { canonicalFields, canonicalRequest } from './canonical-request.ts'
import { ProtobufReader, ProtobufWriter, WireType } from './protobuf.ts'
import { laneUnspecified, RequestScan, scanServiceRequest } from './scan.ts'

/** A RequestSignature as it came. */
export type ScannedSignature = {
  /** SHA-256 of the certificate: 64 hexadecimal digits in lower case. */
  readonly certificate: string
  /** r || s, 64 octets, each from 1 to the order of P-256 less 1. Borrowed. */
  readonly value: Buffer
}

/** Order of the group of P-256. [FIPS 186-4 D.1.2.3] */
const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
const zero = Buffer.alloc(32)
const isScalar = (octets: Buffer): boolean => octets.compare(order) < 0 && octets.compare(zero) > 0

/**
 * The RequestSignature in `view[start, end)`; undefined when it is not one: of other lengths, DER,
 * with r or s outside of the order. An s above half of the order is accepted: nothing depends on a
 * signature having one form only, and openssl makes such ones.
 */
export function readSignature(
  view: Buffer,
  start: number,
  end: number,
): ScannedSignature | undefined {
  let certificate = ''
  let value: Buffer = emptyBytes
  const reader = new ProtobufReader(emptyBytes).open(view, start, end)
  while (reader.nextField()) {
    const { field, wireType } = reader
    if (wireType !== WireType.LENGTH || (field !== 1 && field !== 2)) {
      reader.skip()
      continue
    }
    const to = reader.readLength()
    if (reader.isBroken) return undefined
    if (field === 1)
      certificate = to - reader.at === 64 ? view.toString('latin1', reader.at, to) : ''
    else value = view.subarray(reader.at, to)
    reader.at = to
  }
  const isWhole = !reader.isBroken && value.length === signatureBytes
  if (!isWhole || !/^[0-9a-f]{64}$/i.test(certificate)) return undefined
  if (!isScalar(value.subarray(0, 32)) || !isScalar(value.subarray(32))) return undefined
  return { certificate: certificate.toLowerCase(), value }
}

const isInEnvelope = (name: string): boolean =>
  name === 'request_id' || name === 'service_reference_variant'
const furtherNumbers = canonicalFields
  .filter(({ name, oneof }) => !isInEnvelope(name) && oneof === undefined)
  .map(({ number }) => number)

/**
 * Known fields of the request in `view[start, end)` that neither header nor body of an envelope
 * has, in the order of their numbers; of each the last value. Undefined when they take too much
 * room, or the wire is malformed.
 */
export function furtherFields(view: Buffer, start: number, end: number): Buffer | undefined {
  const found = new Map<number, Buffer>()
  const reader = new ProtobufReader(emptyBytes).open(view, start, end)
  for (let from = start; reader.nextField(); from = reader.at) {
    const { field } = reader
    reader.skip()
    if (furtherNumbers.includes(field)) found.set(field, view.subarray(from, reader.at))
  }
  const parts = furtherNumbers.flatMap((number) => found.get(number) ?? [])
  const bytes = parts.reduce((sum, { length }) => sum + length, 0)
  return reader.isBroken || bytes > limits.sealFurtherBytesMax ? undefined : Buffer.concat(parts)
}

/** A signed request as the ledger has it. */
export type SealedRequest = {
  readonly seal: Seal
  /** What was signed. */
  readonly canonical: Buffer
}

/**
 * The signed request in the SIGNED_REQUEST or SIGNED_REQUEST_ACCEPTED envelope at `at`; undefined
 * when it has no signature. A string says why the request that was accepted cannot be the one that
 * was signed.
 * @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER
 */
export function sealedRequestOf(buffer: Buffer, at: number): SealedRequest | string | undefined {
  const sealView = sealViewOf(buffer, at)
  if (sealView === undefined) return undefined
  const seal = sealIn(sealView)
  const request = requestOf(buffer, at, seal)
  const scan = new RequestScan()
  const fault = scanServiceRequest(request, 0, request.length, scan)
  if (fault !== undefined) return `the fields of the request: ${fault}`
  if (scan.deadlineMs !== 0 && scan.deadlineMs !== readDeadline(buffer, at))
    return 'it was accepted with another deadline than was signed'
  if (scan.lane !== laneUnspecified && scan.lane !== readLane(buffer, at))
    return 'it was accepted with another priority than was signed'
  const isNamed = scan.isFirstInSequence || scan.hasPreceding
  if (!isSameSequence(sequenceIn(buffer, at), isNamed ? sequenceOf(scan) : undefined))
    return 'it was accepted with another place in a sequence than was signed'
  if (scan.executeAtMs !== (executeAtIn(buffer, at) ?? 0))
    return 'it was accepted with another execution time than was signed'
  const certificate = seal.thumbprint.toString('hex')
  const canonical = canonicalRequest(request, 0, request.length, certificate)
  return canonical === undefined ? 'the fields of the request' : { seal, canonical }
}

/** The ServiceRequest, without its signature. */
function requestOf(buffer: Buffer, at: number, { further }: Seal): Buffer {
  const writer = new ProtobufWriter(1024)
  const text = (field: number, value: string): void => {
    writer.varint((field << 3) | WireType.LENGTH)
    writer.varint(value.length)
    writer.raw(Buffer.from(value, 'latin1'))
  }
  writer.octet((1 << 3) | WireType.LENGTH)
  const mark = writer.open()
  text(1, formatEui64(buffer, at + offsetOf.originator))
  text(2, formatEui64(buffer, at + offsetOf.target))
  const counter = readCounter(buffer, at)
  writer.octet((3 << 3) | WireType.VARINT)
  writer.varint64(Number(counter & 0xffff_ffffn), Number(counter >> 32n))
  writer.close(mark)
  text(2, formatSrv(readSrv(buffer, at)))
  writer.raw(further)
  const bodyType = readBodyType(buffer, at)
  if (bodyType !== 0) {
    const body = requestBodyView(buffer, at)
    writer.varint((bodyType << 3) | WireType.LENGTH)
    writer.lengthDelimited(body, 0, body.length)
  }
  return writer.take()
}
