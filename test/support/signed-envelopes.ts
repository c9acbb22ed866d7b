/** Envelopes of signed requests, as intake writes them. Not a test. */
import type { Lane } from '../../core/base/lane.ts'
import type { RequestSigner } from '../../core/client/sign-request.ts'
import { writeEnvelope, type Header } from '../../core/envelope/envelope.ts'
import { headerBytes } from '../../core/envelope/layout.ts'
import { bodyOfRequest, kindOfRequest } from '../../core/gateway/intake/request-body.ts'
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
  const body = bodyOfRequest(wire, scan, seal)
  const envelope = Buffer.alloc(headerBytes + body.length)
  const header: Header = {
    kind: kindOfRequest(scan, seal),
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
