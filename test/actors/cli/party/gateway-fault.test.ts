/**
 * What the commands of a party say when TLS with the gateway does not come about, each with its
 * code; and signing with a key of a file. Against a real gateway with certificates.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  statusCommand,
  submitCommand,
  type Terminal,
} from '../../../../actors/cli/party/party-session.ts'
import { errorTable } from '../../../../core/base/error-table.ts'
import { readKind } from '../../../../core/envelope/envelope.ts'
import { Kind } from '../../../../core/envelope/layout.ts'
import { issueInto } from '../../../../core/ops/pki-folder.ts'
import { PkiWatch } from '../../../../core/ops/pki-watch.ts'
import { SignatureThreads } from '../../../../core/ops/signature-threads.ts'
import { systemClock, type Clock } from '../../../../core/ports/clock.ts'
import { silentLog } from '../../../../core/ports/log.ts'
import { SimBus } from '../../../../core/ports/sim/bus.ts'
import { demoPki, issueParty, newPki, pkiPorts, shiftedClock } from '../../../support/pki.ts'
import { accepted, makeRig, meter, serveHost, supplier } from '../../../core/gateway/rig.ts'

const dayMs = 86_400_000

class Lines implements Terminal {
  readonly lines: string[] = []
  readonly errors: string[] = []
  readonly clock = systemClock
  out = (line: string): void => void this.lines.push(line)
  err = (line: string): void => void this.errors.push(line)
  onInterrupt = (): void => undefined
}

/** A gateway with the certificates of `folder`; its address. */
async function gatewayWith(t: Test, folder: string | undefined) {
  const certificates = folder && new PkiWatch(folder, { clock: systemClock, log: silentLog })
  const bus = new SimBus({ clock: systemClock })
  const frames = await serveHost(bus, 'a', () => accepted)
  const verifier = new SignatureThreads(silentLog, 1)
  const rig = await makeRig({ bus, verifier, ...(certificates && { certificates }) })
  t.teardown(async () => {
    if (certificates) certificates.close()
    await rig.close()
    await verifier.close()
  })
  return { address: rig.address, frames }
}

/** Exit code and what was said of a `busbar status`. */
async function said(gateway: string, pki: string | undefined): Promise<[number, string]> {
  const terminal = new Lines()
  const where = { gateway, party: supplier, ...(pki !== undefined && { pki }) }
  const code = await statusCommand({ ...where, device: meter, counter: '1' }, terminal)
  return [code, terminal.errors.join()]
}

/** Gives the doors of `folder` another certificate. */
const issueServer = (folder: string, hosts: string[], days: number, clock: Clock = systemClock) =>
  issueInto(folder, { kind: 'server', hosts }, { days, isRenewal: true }, { ...pkiPorts, clock })

t.test('why there is no TLS with the gateway', async (t) => {
  t.equal(errorTable.DOOR_TLS_FAILED.fault, 'operator')
  const folder = await demoPki()
  const { address } = await gatewayWith(t, folder)
  const stranger = await newPki()
  await issueParty(stranger, supplier)
  const [code, text] = await said(address, stranger)
  t.equal(code, 1)
  t.match(text, /^DOOR_TLS_FAILED .*an authority that ca\.crt does not have.*--pki/)

  const [plainCode, plain] = await said(address, undefined)
  t.equal(plainCode, 1)
  t.match(plain, /^DOOR_TLS_FAILED .*without TLS: name the folder/)

  const other = await demoPki()
  await issueServer(other, ['elsewhere.example'], 5)
  t.match((await said((await gatewayWith(t, other)).address, other))[1], /for other names.*ALTNAME/)

  const old = await demoPki()
  await issueServer(old, ['127.0.0.1'], 5, shiftedClock(-9 * dayMs))
  t.match(
    (await said((await gatewayWith(t, old)).address, old))[1],
    /has expired.*CERT_HAS_EXPIRED/,
  )

  const open = await gatewayWith(t, undefined)
  t.match((await said(open.address, folder))[1], /answers without TLS/)

  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  const [goneCode, gone] = await said(`127.0.0.1:${port}`, folder)
  t.equal(goneCode, 3)
  t.match(gone, /^Nobody listens at/)
})

t.test('a request is signed with the key of a file', async (t) => {
  const folder = await demoPki()
  const { address, frames } = await gatewayWith(t, folder)
  const key = join(folder, 'parties', `${supplier}.key`)
  const submit = async (more: object): Promise<[number, Lines]> => {
    const terminal = new Lines()
    const where = { gateway: address, party: supplier, pki: folder }
    const options = { ...where, device: meter, srv: '4.1.1', ...more }
    return [await submitCommand(options, terminal), terminal]
  }
  const [code, { lines }] = await submit({ signingKey: key })
  t.equal(code, 0)
  t.match(lines[0], /^I99 REQUEST_ACCEPTED/)
  t.equal(readKind(frames[0]!, 0), Kind.SIGNED_REQUEST)
  const certificate = join(folder, 'other.crt')
  writeFileSync(certificate, readFileSync(key.replace('.key', '.crt')))
  const [again] = await submit({ signingKey: key, signingCertificate: certificate })
  t.equal(again, 0)
  for (const [wrong, pattern] of [
    [{ signingKey: join(folder, 'none.key') }, /--signing-key: .*none\.key/],
    [{ signingKey: certificate, signingCertificate: certificate }, /not the PEM of a private key/],
    [{ signingKey: key, signingCertificate: key }, /certificate is not PEM/],
    [{ signingKey: key, assignCounter: true }, /exclude each other/],
    [{ signingCertificate: certificate }, /goes with --signing-key/],
  ] as const) {
    const [refused, { errors }] = await submit(wrong)
    t.equal(refused, 2)
    t.match(errors.join(), pattern)
  }
})
