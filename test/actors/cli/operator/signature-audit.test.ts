/**
 * `busbar ledger show` and `verify-signature`: what a ledger proves of a signed request, and what
 * it does not when the certificate or the accepted request is another one.
 */
import t from 'tap'
import { auditOf, show } from '../../../../actors/cli/operator/ledger-commands.ts'
import type { AuditLine } from '../../../../actors/cli/operator/audit-line.ts'
import { proofOf, verifySignature } from '../../../../actors/cli/operator/signature-audit.ts'
import { textOfEui64 } from '../../../../core/base/eui64.ts'
import { RequestSigner } from '../../../../core/client/sign-request.ts'
import { readPartyFiles, revokeIn } from '../../../../core/ops/pki-folder.ts'
import { signersOf } from '../../../../core/ops/pki-signers.ts'
import { systemClock } from '../../../../core/ports/clock.ts'
import { ServiceRequest } from '../../../../proto/gen/busbar/v1/service_request.ts'
import { deviceKey, supplier } from '../../../support/envelopes.ts'
import { issueParty, newPki, shiftedClock } from '../../../support/pki.ts'
import { signedEnvelope } from '../../../support/signed-envelopes.ts'
import { good, World } from '../../../support/world.ts'

const party = textOfEui64(supplier)
const other = '90-B3-D5-1F-30-02-00-00'

t.test('the ledger proves who signed what was accepted', async (t) => {
  const world = new World({ onExchange: good })
  // The clock of the simulation: certificates begin a day before, or they would be too early.
  const clock = shiftedClock(world.clock.now() - 86_400_000 - systemClock.now())
  const folder = await newPki(30, clock)
  await issueParty(folder, party, { clock })
  await issueParty(folder, other, { clock })
  const signer = new RequestSigner(readPartyFiles(folder, party))
  await world.start()
  await world.register(1)
  const target = textOfEui64(deviceKey(0))
  const requestOf = (counter: bigint): ServiceRequest =>
    ServiceRequest.create({
      requestId: { originator: party, target, counter },
      serviceReferenceVariant: '4.1.1',
      priority: 3,
    })
  const envelope = signedEnvelope(requestOf(1n), signer, { correlation: 5 })
  t.equal((await world.ask([envelope]))?.get(5), 'REQUEST_ACCEPTED')
  // A signature of another party's certificate, as a gateway that does not verify would let in.
  const wrong = new RequestSigner(readPartyFiles(folder, other))
  const forged = signedEnvelope(requestOf(2n), wrong, { correlation: 6 })
  t.equal((await world.ask([forged]))?.get(6), 'REQUEST_ACCEPTED')
  // Accepted with another counter than was signed.
  const moved = signedEnvelope(requestOf(3n), signer, { correlation: 7, counter: 4n })
  t.equal((await world.ask([moved]))?.get(7), 'REQUEST_ACCEPTED')
  await world.submit({ device: deviceKey(0), counter: 9 })
  const { ledger } = world
  const idOf = (counter: number): string => `${party}:${target}:${counter}`

  const shown: string[] = []
  t.equal(await show(ledger, idOf(1), (line) => void shown.push(line)), 0)
  t.match(shown[0], `REQUEST_ACCEPTED 4.1.1 signed with ${signer.certificate}`)
  const verify = async (counter: number, pki = folder, more = {}) => {
    const lines: string[] = []
    const options = { pki, json: false, form: false, ...more }
    const code = await verifySignature(
      ledger,
      idOf(counter),
      options,
      (line) => void lines.push(line),
    )
    return { code, text: lines.join('\n') }
  }
  t.match(await verify(1), { code: 0, text: /signature {2}[0-9a-f]{128}\nthe signature fits/ })
  const withForm = await verify(1, folder, { form: true })
  t.match(withForm.text, `request_id.counter 1\n  service_reference_variant 4.1.1\n  priority 3`)
  const json = JSON.parse((await verify(1, folder, { json: true })).text)
  t.match(json, { requestId: idOf(1), certificate: signer.certificate, faults: [] })
  t.match(await verify(2), {
    code: 1,
    text: /FAULT {2}the certificate is that of 90-B3-D5-1F-30-02/,
  })
  t.match(await verify(4), { code: 1, text: /FAULT {2}the signature is not one of this cert/ })
  t.match(await verify(9), { code: 1, text: /it was not signed/ })
  await t.rejects(verify(77), { code: 'REQUEST_NOT_FOUND' })
  const strange = await newPki()
  t.match(await verify(1, strange), { code: 1, text: /no certificate with this SHA-256/ })
  await t.rejects(verify(1, `${folder}/none`), { code: 'PKI_FILE_INVALID' })

  await revokeIn(folder, party, {
    clock: shiftedClock(world.clock.now() + 30_000 - systemClock.now()),
  })
  t.match(await verify(1), { code: 0 }, 'what is revoked later was good then')
  const lines: AuditLine[] = []
  await auditOf(ledger, (line) => void lines.push(line))
  const line = lines.find(({ isAcceptance }) => isAcceptance)!
  const { signed } = line
  if (typeof signed !== 'object') throw new Error('it is signed')
  const late = { ...line, time: line.time + 60_000 }
  t.match(proofOf(late, signed, signersOf(folder)).faults, [/PARTY_CERTIFICATE_REVOKED/])
  const early = { ...line, time: line.time - 2 * 86_400_000 }
  t.match(proofOf(early, signed, signersOf(folder)).faults, [
    /when the request was accepted: PARTY_CERTIFICATE/,
  ])
})
