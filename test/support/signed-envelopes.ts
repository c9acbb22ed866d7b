/** Envelopes of signed requests, as intake writes them. Not a test. */
import type { Lane } from '../../core/base/lane.ts'
import type { RequestSigner } from '../../core/client/sign-request.ts'
import { writeEnvelope, type Header } from '../../core/envelope/envelope.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'
import { sequencedBodyOf } from '../../core/envelope/sequenced-request.ts'
import { sequenceOf } from '../../core/translate/sequence-of.ts'
import { sealBytesOf, sealedBodyOf } from '../../core/envelope/signed-request.ts'
import { laneUnspecified, RequestScan, scanServiceRequest } from '../../core/translate/scan.ts'
import { furtherFields, readSignature } from '../../core/translate/sealed-request.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'

/** `given` replaces what the request says. */
export function signedEnvelope(
  request: ServiceRequest,
  signer: RequestSigner,
  given: Partial<Header> = {},
): Buffer {
  const wire = Buffer.from(ServiceRequest.encode(signer.sign(request)).finish())
  const scan = new RequestScan()
  const fault = scanServiceRequest(wire, 0, wire.length, scan)
  if (fault !== undefined) throw new Error(fault)
  const found = readSignature(wire, scan.signatureStart, scan.signatureEnd)!
  const seal = {
    thumbprint: Buffer.from(found.certificate, 'hex'),
    signature: found.value,
    further: furtherFields(wire, 0, wire.length)!,
  }
  const sealed = sealedBodyOf(sealBytesOf(seal), wire.subarray(scan.bodyStart, scan.bodyEnd))
  const isSequenced = scan.isFirstInSequence || scan.hasPreceding
  const body = isSequenced ? sequencedBodyOf(sequenceOf(scan), sealed, true) : sealed
  const envelope = Buffer.alloc(headerBytes + body.length)
  const header: Header = {
    kind: isSequenced ? Kind.SEQUENCED_REQUEST : Kind.SIGNED_REQUEST,
    lane: (scan.lane === laneUnspecified ? 1 : scan.lane) as Lane,
    srv: scan.srv,
    outcome: 0,
    bodyType: scan.bodyType,
    attempt: 0,
    originator: scan.originator,
    target: scan.target,
    counter: scan.counter,
    time: 1,
    deadline: scan.deadlineMs || 2 ** 45,
    correlation: 0,
    ...given,
  }
  writeEnvelope(envelope, 0, header, body)
  return envelope
}
