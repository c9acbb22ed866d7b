/**
 * Signed requests at the party doors, from an attacker's side: what does not fit is refused with
 * its own code on every way in, and nothing of it reaches a host. Real certificates and threads.
 */
import { createPrivateKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { demoParties, type Parties } from '../../../core/access/parties.ts'
import type { MustSign } from '../../../core/access/signing.ts'
import { parseEui64, readEui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  canonicalFormOf,
  RequestSigner,
  type SigningFiles,
} from '../../../core/client/sign-request.ts'
import { readCounter, readKind } from '../../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../../core/envelope/frame.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { partyFetchOf } from '../../../core/ops/party-fetch.ts'
import { readPartyFiles, revokeIn } from '../../../core/ops/pki-folder.ts'
import { PkiWatch } from '../../../core/ops/pki-watch.ts'
import { SignatureThreads } from '../../../core/ops/signature-threads.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { sealedRequestOf } from '../../../core/translate/sealed-request.ts'
import {
  ServiceRequest,
  type RequestSignature,
} from '../../../proto/gen/busbar/v1/service_request.ts'
import type { Acknowledgement } from '../../../proto/gen/busbar/v1/service_response.ts'
import { demoPki, issueParty, newPki, shiftedClock } from '../../support/pki.ts'
import { accepted, gasSupplier, Inbox, makeRig, requestOf, serveHost, supplier } from './rig.ts'

const dayMs = 86_400_000

/** The parties of the examples; of the supplier requests have to be signed. */
function partiesOf(mustSign: MustSign): Parties {
  const parties = new Map(demoParties())
  const id = readEui64(parseEui64(supplier)!)
  return parties.set(id, { ...parties.get(id)!, mustSign })
}

/** A gateway with certificates and threads, and a host behind it. */
async function makeSigningRig(
  t: Test,
  { mustSign, format }: { mustSign?: MustSign; format?: number } = {},
) {
  const folder = await demoPki()
  const certificates = new PkiWatch(folder, { clock: systemClock, log: silentLog })
  const verifier = new SignatureThreads(silentLog, 2)
  const bus = new SimBus({ clock: systemClock })
  const frames = await serveHost(bus, 'a', () => accepted)
  const parties = mustSign && { parties: partiesOf(mustSign) }
  const formatOf = format === undefined ? {} : { format }
  const rig = await makeRig({ certificates, bus, verifier, ...parties, ...formatOf })
  t.teardown(async () => {
    certificates.close()
    await rig.close()
    await verifier.close()
  })
  const tls = readPartyFiles(folder, supplier)
  /** Settles when the gateway has read its files again. */
  const replaced = (): Promise<void> =>
    new Promise((resolve) => {
      const stop = certificates.onChange(() => {
        stop()
        resolve()
      })
    })
  /** Kinds of what hosts got, by counter. */
  const arrived = (): Map<bigint, Kind> => {
    const kinds = new Map<bigint, Kind>()
    for (const frame of frames)
      forEachEnvelope(frame, 0, (at) => kinds.set(readCounter(frame, at), readKind(frame, at)))
    return kinds
  }
  return { ...rig, folder, tls, signer: new RequestSigner(tls), replaced, arrived, frames }
}
type SigningRig = Awaited<ReturnType<typeof makeSigningRig>>

/** The reasons that each way in gives for `requests`, which are submitted over and over. */
async function reasonsOf(rig: SigningRig, requests: ServiceRequest[]): Promise<string[][]> {
  const client = rig.client(supplier, rig.tls)
  const reasons = (list: Acknowledgement[]): string[] => list.map(({ reason }) => reason)
  const single = await Promise.all(requests.map((one) => client.submit(one).catch(codeOf)))
  const inbox = new Inbox<Acknowledgement>()
  const stream = client.submitStream((list) => inbox.put(...list))
  stream.send(requests)
  const streamed = [...(await inbox.until(requests.length))]
  await stream.end()
  const place = ({ requestId }: Acknowledgement): number =>
    requests.findIndex((one) => one.requestId?.counter === requestId?.counter)
  const ask = partyFetchOf(rig.tls)
  const posted = await ask(`${rig.httpUrl}/v1/service-requests`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ requests: requests.map((one) => ServiceRequest.toJSON(one)) }),
  })
  const { acknowledgements } = (await posted.json()) as { acknowledgements: Acknowledgement[] }
  return [
    reasons(single as Acknowledgement[]),
    reasons(await client.submitBatch(requests)),
    reasons(streamed.toSorted((a, b) => place(a) - place(b))),
    reasons(acknowledgements),
  ]
}

/** A refusal of the whole call, as an acknowledgement. */
const codeOf = (error: { metadata?: { get(name: string): unknown[] } }): { reason: unknown } => ({
  reason: error.metadata?.get('busbar-code')[0],
})

/** Every way in answers `wanted`, and nothing gets to a host. */
async function refused(
  t: Test,
  rig: SigningRig,
  requests: ServiceRequest[],
  wanted: string,
): Promise<void> {
  const before = rig.arrived()
  const all = requests.map(() => wanted)
  t.same(await reasonsOf(rig, requests), [all, all, all, all], wanted)
  t.same(rig.arrived(), before, 'nothing was handed on')
}

const withSignature = (
  request: ServiceRequest,
  changes: Partial<RequestSignature>,
): ServiceRequest => ({ ...request, signature: { ...request.signature!, ...changes } })

t.test('a signed request is accepted on every way in, and its seal goes along', async (t) => {
  const rig = await makeSigningRig(t, { mustSign: ['all'] })
  const requests = [requestOf(), requestOf()].map((one) => rig.signer.sign(one))
  const yes = ['REQUEST_ACCEPTED', 'REQUEST_ACCEPTED']
  t.same(await reasonsOf(rig, requests), [yes, yes, yes, yes])
  for (const { requestId } of requests)
    t.equal(rig.arrived().get(requestId!.counter), Kind.SIGNED_REQUEST)
  forEachEnvelope(rig.frames[0]!, 0, (at) => {
    const sealed = sealedRequestOf(rig.frames[0]!, at)
    t.equal(
      typeof sealed === 'object' && sealed.canonical.toString(),
      canonicalFormOf(
        requests.find((one) => one.requestId!.counter === readCounter(rig.frames[0]!, at))!,
        rig.signer.certificate,
      ).toString(),
    )
  })
})

t.test('unsigned requests of a party that has to sign are refused, repeats too', async (t) => {
  const rig = await makeSigningRig(t, { mustSign: ['all'] })
  const signed = rig.signer.sign(requestOf())
  const yes = ['REQUEST_ACCEPTED']
  t.same(await reasonsOf(rig, [signed]), [yes, yes, yes, yes])
  await refused(t, rig, [{ ...signed, signature: undefined }], 'REQUEST_SIGNATURE_MISSING')
  await refused(t, rig, [requestOf(), requestOf()], 'REQUEST_SIGNATURE_MISSING')
  const assigned = requestOf({ assignCounter: true })
  assigned.requestId!.counter = 0n
  await refused(t, rig, [assigned], 'REQUEST_SIGNATURE_MISSING')
  const other = rig.client(gasSupplier, readPartyFiles(rig.folder, gasSupplier))
  const { requestId } = requestOf()
  const theirs = requestOf({ requestId: { ...requestId!, originator: gasSupplier } })
  t.equal((await other.submit(theirs)).reason, 'REQUEST_ACCEPTED', 'others need not sign')
})

t.test('a party may have to sign critical requests alone, or some variants', async (t) => {
  const clock = { serviceReferenceVariant: '6.11', body: clockBody }
  const critical = await makeSigningRig(t, { mustSign: ['critical'] })
  await refused(t, critical, [requestOf(clock)], 'REQUEST_SIGNATURE_MISSING')
  const client = critical.client(supplier, critical.tls)
  t.equal((await client.submit(requestOf())).reason, 'REQUEST_ACCEPTED')
  const some = await makeSigningRig(t, { mustSign: ['4.2'] })
  const wide = requestOf({ serviceReferenceVariant: '4.2' })
  await refused(t, some, [wide], 'REQUEST_SIGNATURE_MISSING')
  const one = some.client(supplier, some.tls)
  t.equal((await one.submit(requestOf(clock))).reason, 'REQUEST_ACCEPTED')
})
const clockBody = { $case: 'synchroniseClock', value: { toleranceSeconds: 5 } } as const

t.test('what was altered, replayed or moved does not fit', async (t) => {
  const rig = await makeSigningRig(t)
  const { signer } = rig
  const text = { $case: 'displayMessage', value: { text: 'pay 5' } } as const
  const signed = signer.sign(requestOf({ serviceReferenceVariant: '3.1', body: text }))
  const other = signer.sign(requestOf({ serviceReferenceVariant: '3.1', body: text }))
  const id = signed.requestId!
  const altered: Partial<ServiceRequest>[] = [
    { body: { $case: 'displayMessage', value: { text: 'pay 6' } } },
    { requestId: { ...id, counter: id.counter + 1_000n } },
    { requestId: { ...id, target: '00-DB-12-34-56-78-90-A1' } },
    { serviceReferenceVariant: '6.11', body: clockBody },
    { deadline: new Date(Date.now() + 60_000) },
    { priority: 1 },
    { commandVariant: 1 },
    { correlation: 5 },
    { signature: other.signature },
  ]
  for (const change of altered)
    await refused(t, rig, [{ ...signed, ...change }], 'REQUEST_SIGNATURE_INVALID')
  const moved = [
    { ...signed, signature: other.signature },
    { ...other, signature: signed.signature },
  ]
  await refused(t, rig, moved, 'REQUEST_SIGNATURE_INVALID')
  const yes = ['REQUEST_ACCEPTED', 'REQUEST_ACCEPTED']
  t.same(await reasonsOf(rig, [signed, other]), [yes, yes, yes, yes], 'as they were signed')
})

t.test('garbage is refused before it is verified', async (t) => {
  const rig = await makeSigningRig(t)
  const { signer, tls } = rig
  const request = requestOf()
  const good = signer.sign(request)
  const form = canonicalFormOf(request, signer.certificate)
  const der = sign('sha256', form, createPrivateKey(tls.keyPem))
  for (const value of [
    der,
    Buffer.alloc(0),
    Buffer.alloc(64),
    Buffer.alloc(64, 0xff),
    Buffer.alloc(600, 1),
  ])
    await refused(t, rig, [withSignature(good, { value })], 'REQUEST_SIGNATURE_MALFORMED')
  for (const certificate of ['', 'x'.repeat(64), good.signature!.certificate.slice(1)])
    await refused(t, rig, [withSignature(good, { certificate })], 'REQUEST_SIGNATURE_MALFORMED')
  const value = Buffer.alloc(64, 1)
  await refused(t, rig, [withSignature(good, { value })], 'REQUEST_SIGNATURE_INVALID')
  const assigned = requestOf({ assignCounter: true, signature: good.signature })
  assigned.requestId!.counter = 0n
  await refused(t, rig, [assigned], 'REQUEST_SIGNATURE_MALFORMED')
  const large = withSignature(good, { value: Buffer.alloc(limits.requestBytesMax, 1) })
  const [answer] = await rig.client(supplier, tls).submitBatch([large])
  t.equal(answer?.reason, 'REQUEST_SIZE_EXCEEDED')
})

t.test('whose certificate it is, and whether it is still good', async (t) => {
  const rig = await makeSigningRig(t)
  const { folder, tls } = rig
  const signed = (files: SigningFiles): ServiceRequest => new RequestSigner(files).sign(requestOf())
  await refused(t, rig, [signed(readPartyFiles(folder, gasSupplier))], 'REQUEST_SIGNER_MISMATCH')
  const strange = await newPki()
  await issueParty(strange, supplier)
  const stranger = readPartyFiles(strange, supplier)
  await refused(t, rig, [signed(stranger)], 'REQUEST_SIGNER_UNKNOWN')
  const { keyPem } = stranger
  await refused(t, rig, [signed({ ...tls, keyPem })], 'REQUEST_SIGNATURE_INVALID')
  const bystander = rig.client(supplier, tls)

  let replaced = rig.replaced()
  await issueParty(folder, supplier, { clock: shiftedClock(-20 * dayMs), days: 19 })
  await replaced
  const expired = signed(readPartyFiles(folder, supplier))
  await refused(t, rig, [expired], 'REQUEST_SIGNER_EXPIRED')

  replaced = rig.replaced()
  await issueParty(folder, supplier)
  await replaced
  const renewed = readPartyFiles(folder, supplier)
  const yes = ['REQUEST_ACCEPTED']
  t.same(await reasonsOf(rig, [signed(renewed)]), [yes, yes, yes, yes], 'without a restart')
  t.same(await reasonsOf(rig, [signed(tls)]), [yes, yes, yes, yes], 'the former one, too')

  replaced = rig.replaced()
  const serial = serialOf(renewed.certificatePem)
  await revokeIn(folder, serial, { clock: systemClock })
  await replaced
  await refused(t, rig, [signed(renewed)], 'REQUEST_SIGNER_REVOKED')
  t.equal((await bystander.submit(signed(tls))).reason, 'REQUEST_ACCEPTED')
  t.match(readFileSync(join(folder, 'signers.crt'), 'utf8'), /BEGIN CERTIFICATE/)
})

const serialOf = (pem: string): string =>
  new X509Certificate(pem).serialNumber.toLowerCase().replace(/^(?:00)+/, '')

t.test('certificates of another authority, and of another curve', async (t) => {
  const rig = await makeSigningRig(t)
  const strange = await newPki()
  await issueParty(strange, supplier)
  const stranger = readPartyFiles(strange, supplier)
  const path = join(rig.folder, 'signers.crt')
  const replaced = rig.replaced()
  writeFileSync(path, `${readFileSync(path, 'utf8')}${stranger.certificatePem}`)
  await replaced
  const signed = new RequestSigner(stranger).sign(requestOf())
  await refused(t, rig, [signed], 'REQUEST_SIGNER_UNTRUSTED')
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  t.throws(() => new RequestSigner({ ...rig.tls, keyPem }), TypeError)
  const request = requestOf()
  const form = canonicalFormOf(request, rig.signer.certificate)
  const value = sign('sha256', form, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const wrong = { certificate: rig.signer.certificate, value }
  await refused(t, rig, [{ ...request, signature: wrong }], 'REQUEST_SIGNATURE_MALFORMED')
  const cut = { ...wrong, value: value.subarray(0, 64) }
  const reasons = await reasonsOf(rig, [{ ...request, signature: cut }])
  t.notMatch(reasons.flat().join(), /ACCEPTED/)
})

t.test('a gateway without certificates, and a deployment of an earlier format', async (t) => {
  const rig = await makeRig({ verifier: new SignatureThreads(silentLog, 1) })
  t.teardown(() => rig.close())
  const folder = await demoPki()
  const signed = new RequestSigner(readPartyFiles(folder, supplier)).sign(requestOf())
  t.equal((await rig.client().submit(signed)).reason, 'REQUEST_SIGNER_UNKNOWN')
  const early = await makeSigningRig(t, { format: 2 })
  await refused(t, early, [early.signer.sign(requestOf())], 'FORMAT_NOT_RAISED')
})

t.test('requests of a stream leave in their order, signed or not', async (t) => {
  const rig = await makeSigningRig(t)
  const client = rig.client(supplier, rig.tls)
  const count = 600
  const requests = Array.from({ length: count }, (_, i) =>
    i % 3 === 0 ? requestOf() : rig.signer.sign(requestOf()),
  )
  const inbox = new Inbox<Acknowledgement>()
  const stream = client.submitStream((list) => inbox.put(...list))
  for (let from = 0; from < count; from += 50) stream.send(requests.slice(from, from + 50))
  await inbox.until(count)
  await stream.end()
  t.same(
    [...rig.arrived().keys()],
    requests.map(({ requestId }) => requestId!.counter),
  )
})
