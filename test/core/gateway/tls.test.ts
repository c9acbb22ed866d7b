/**
 * The party doors with mutual TLS, from an attacker's side: whose certificate it is decides, at
 * each call and while a connection lasts; a header decides nothing; what speaks no TLS, an older
 * TLS, or nothing at all gets nowhere and holds no place.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { Client, credentials, Metadata, status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { credentialHeaders, type PartyCertificateFiles } from '../../../core/access/credentials.ts'
import { detailOf, identify } from '../../../core/access/identity.ts'
import { demoParties } from '../../../core/access/parties.ts'
import { limits } from '../../../core/base/limits.ts'
import { busbarCode, SupplierClient } from '../../../core/client/supplier-client.ts'
import { partyFetchOf } from '../../../core/ops/party-fetch.ts'
import { readDoorFiles, readPartyFiles, revokeIn } from '../../../core/ops/pki-folder.ts'
import { PkiWatch } from '../../../core/ops/pki-watch.ts'
import type { CertificateRefusal, PartyCertificate } from '../../../core/pki/party-check.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SubmitRequest } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { demoPki, issueParty, newPki, shiftedClock } from '../../support/pki.ts'
import { accepted, fault, gasSupplier, makeRig, requestOf, serveHost, supplier } from './rig.ts'

const dayMs = 86_400_000

/** A gateway with the certificates of a folder of its own. */
async function makeTlsRig(t: Test) {
  const folder = await demoPki()
  const certificates = new PkiWatch(folder, { clock: systemClock, log: silentLog })
  const bus = new SimBus({ clock: systemClock })
  await serveHost(bus, 'a', () => accepted)
  const rig = await makeRig({ certificates, bus })
  t.teardown(async () => {
    certificates.close()
    await rig.close()
  })
  return { ...rig, folder, certificates, files: readPartyFiles(folder, supplier) }
}

/** The code that a call ends with, over gRPC and over HTTP. */
async function codesOf(
  rig: { address: string; httpUrl: string },
  tls: PartyCertificateFiles,
  headers: Record<string, string> = {},
): Promise<string[]> {
  const client = new Client(
    rig.address,
    credentials.createSsl(
      Buffer.from(tls.caPem),
      Buffer.from(tls.keyPem || '') ?? null,
      Buffer.from(tls.certificatePem),
    ),
  )
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  const message = Buffer.from(SubmitRequest.encode({ request: requestOf() }).finish())
  const overGrpc = await new Promise<string>((resolve) => {
    const as = (bytes: Buffer): Buffer => bytes
    client.makeUnaryRequest('/busbar.v1.InputGateway/Submit', as, as, message, metadata, (error) =>
      resolve(error ? (busbarCode(error) ?? error.details) : 'accepted'),
    )
  }).finally(() => client.close())
  const answer = await partyFetchOf(tls)(`${rig.httpUrl}/v1/service-requests/x`, { headers })
  const { code } = (await answer.json()) as { code: string }
  return [overGrpc, code === 'REQUEST_ID_MALFORMED' ? 'accepted' : code]
}

t.test('the certificate of a connection is the party that it acts for', async (t) => {
  const rig = await makeTlsRig(t)
  const { files, folder } = rig
  const client = rig.client(supplier, files)
  const { responseCode } = await client.submit(requestOf())
  t.equal(responseCode, 'I99')
  t.same(credentialHeaders({ party: supplier, tls: files }), {})
  t.same(await codesOf(rig, files), ['accepted', 'accepted'])
  t.same(await codesOf(rig, files, { 'x-busbar-party': supplier }), ['accepted', 'accepted'])
  const mismatch = ['PARTY_HEADER_MISMATCH', 'PARTY_HEADER_MISMATCH']
  t.same(await codesOf(rig, files, { 'x-busbar-party': gasSupplier }), mismatch, 'forged header')
  const malformed = ['PARTY_HEADER_MALFORMED', 'PARTY_HEADER_MALFORMED']
  t.same(await codesOf(rig, files, { 'x-busbar-party': 'x' }), malformed)
  const other = rig.client(supplier, readPartyFiles(folder, gasSupplier))
  const { reason } = await other.submit(requestOf())
  t.equal(reason, 'PARTY_ORIGINATOR_MISMATCH', "another party's RequestID")
})

t.test('a connection without a good certificate is told why', async (t) => {
  const rig = await makeTlsRig(t)
  const { folder, files } = rig
  const both = (code: string): string[] => [code, code]
  const { caPem } = files
  const late = shiftedClock(-20 * dayMs)
  const wrong = await newPki()
  await issueParty(wrong, supplier)
  const ofWrong = { ...readPartyFiles(wrong, supplier), caPem }
  t.same(await codesOf(rig, ofWrong), both('PARTY_CERTIFICATE_UNTRUSTED'), 'wrong CA')
  await issueParty(folder, gasSupplier, { clock: late, days: 19, role: 'GS' })
  const expired = readPartyFiles(folder, gasSupplier)
  t.same(await codesOf(rig, expired), both('PARTY_CERTIFICATE_EXPIRED'))
  await issueParty(folder, gasSupplier, { clock: shiftedClock(dayMs), days: 5, role: 'GS' })
  const early = readPartyFiles(folder, gasSupplier)
  t.same(await codesOf(rig, early), both('PARTY_CERTIFICATE_NOT_YET_VALID'))
  await issueParty(folder, gasSupplier, { role: 'ED' })
  const misfit = readPartyFiles(folder, gasSupplier)
  t.same(await codesOf(rig, misfit), both('PARTY_CERTIFICATE_ROLE_MISMATCH'))
  const stranger = '90-B3-D5-1F-30-7F-00-00'
  await issueParty(folder, stranger)
  t.same(await codesOf(rig, readPartyFiles(folder, stranger)), both('PARTY_UNKNOWN'))
  const server = {
    caPem,
    certificatePem: readFileSync(join(folder, 'server.crt'), 'utf8'),
    keyPem: readFileSync(join(folder, 'server.key'), 'utf8'),
  }
  t.same(await codesOf(rig, server), both('PARTY_CERTIFICATE_INVALID'), 'of no party')
  const none = await fault(clientWithout(t, rig.address, caPem).submit(requestOf()))
  t.equal(busbarCode(none), 'PARTY_CERTIFICATE_MISSING')
  t.match(none.details, /no certificate of a party/)
})

/** A client over TLS that shows no certificate. */
function clientWithout(t: Test, address: string, caPem: string): SupplierClient {
  const client = new SupplierClient({ address, credentials: { party: supplier } })
  const channel = credentials.createSsl(Buffer.from(caPem))
  for (const door of ['input', 'output'] as const) {
    const before = Reflect.get(client, door) as Client
    before.close()
    const Door = before.constructor as new (to: string, by: typeof channel) => Client
    Reflect.set(client, door, new Door(address, channel))
  }
  t.teardown(() => client.close())
  return client
}

t.test('streams, polls and idle connections end when the certificate is revoked', async (t) => {
  const rig = await makeTlsRig(t)
  const { files, folder, httpUrl } = rig
  const client = rig.client(supplier, files)
  const receiving = client.receive(10, () => undefined)
  const submitting = client.submitStream(() => undefined)
  const bystander = rig.client(gasSupplier, readPartyFiles(folder, gasSupplier))
  const kept = bystander.receive(10, () => undefined)
  const second = readPartyFiles(folder, '90-B3-D5-1F-30-02-00-00')
  const polling = partyFetchOf(second)(`${httpUrl}/v1/deliveries?waitMs=20000`)
  polling.catch(() => undefined)
  await client.submit(requestOf())
  await revokeIn(folder, supplier, { clock: systemClock })
  await revokeIn(folder, '90-B3-D5-1F-30-02-00-00', { clock: systemClock })
  const revokedMs = performance.now()
  t.equal((await fault(receiving.done)).code, status.UNAVAILABLE)
  t.equal((await fault(submitting.done)).code, status.UNAVAILABLE)
  await t.rejects(polling, TypeError)
  const tookMs = performance.now() - revokedMs
  t.ok(tookMs < 5 * limits.certificateLookMs, `within seconds: ${tookMs.toFixed()} ms`)
  const again = await fault(client.submit(requestOf()))
  t.equal(busbarCode(again), 'PARTY_CERTIFICATE_REVOKED')
  const both = ['PARTY_CERTIFICATE_REVOKED', 'PARTY_CERTIFICATE_REVOKED']
  t.same(await codesOf(rig, files), both)
  const still = Symbol('still open')
  t.equal(await Promise.race([kept.done, Promise.resolve(still)]), still, 'others go on')
  await issueParty(folder, supplier)
  t.same(await codesOf(rig, readPartyFiles(folder, supplier)), ['accepted', 'accepted'], 'again')
})

t.test('a list that is out of date lets nobody in, until there is a new one', async (t) => {
  const rig = await makeTlsRig(t)
  const { folder, files, certificates } = rig
  const list = readFileSync(join(folder, 'crl.pem'))
  const client = rig.client(supplier, files)
  await client.submit(requestOf())
  const replaced = (): Promise<void> =>
    new Promise((resolve) => {
      const stop = certificates.onChange(() => {
        stop()
        resolve()
      })
    })
  let changed = replaced()
  writeFileSync(join(folder, 'crl.pem'), '')
  await changed
  const unknown = ['PARTY_REVOCATION_UNKNOWN', 'PARTY_REVOCATION_UNKNOWN']
  t.same(await codesOf(rig, files), unknown)
  const refused = await fault(client.submit(requestOf()))
  t.equal(busbarCode(refused), 'PARTY_REVOCATION_UNKNOWN', 'on a new connection of the client')
  changed = replaced()
  writeFileSync(join(folder, 'crl.pem'), list)
  await changed
  t.equal((await client.submit(requestOf())).responseCode, 'I99', 'on that same connection')
})

t.test('the certificate of the doors is replaced while they are open', async (t) => {
  const { folder, address, certificates } = await makeTlsRig(t)
  const shown = async (): Promise<string> => {
    const socket = await opened(address, { ca: readFileSync(join(folder, 'ca.crt')) })
    const { serialNumber } = socket.getPeerCertificate()
    socket.destroy()
    return serialNumber
  }
  const before = await shown()
  const other = await newPki()
  const key = readFileSync(join(folder, 'server.key'))
  writeFileSync(join(folder, 'server.key'), readFileSync(join(other, 'server.key')))
  await until(() => certificates.trouble !== undefined)
  t.match(certificates.trouble, /PKI_FILE_INVALID.*not a certificate and its key/)
  t.equal(await shown(), before, 'what cannot be used changes nothing')
  writeFileSync(join(folder, 'server.key'), key)
  await until(() => certificates.trouble === undefined)
  const ca = readFileSync(join(folder, 'ca.crt'), 'utf8')
  const more = ca + readFileSync(join(other, 'ca.crt'), 'utf8')
  const lists = ['crl.pem'].map((name) => readFileSync(join(other, name), 'utf8'))
  writeFileSync(join(folder, 'ca.crt'), more)
  writeFileSync(join(folder, 'crl.pem'), readFileSync(join(folder, 'crl.pem'), 'utf8') + lists[0]!)
  await until(() => certificates.current.trust.ca.length === 2)
  t.equal(readDoorFiles(folder).trust.crl.length, 2, 'authorities can be changed over')
})

async function until(isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + 20_000
  while (!isSo() && performance.now() < endMs) await new Promise((go) => setTimeout(go, 50))
}

/** A TLS connection whose handshake has ended; rejects when no handshake succeeds. */
function opened(address: string, options: ConnectionOptions): Promise<TLSSocket> {
  const [host = '', port = ''] = address.split(':')
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), ALPNProtocols: ['h2'], ...options })
    socket.once('secureConnect', () => resolve(socket))
    socket.once('error', reject)
  })
}

t.test('TLS 1.2 is refused, and no session is resumed', async (t) => {
  const { address, httpUrl, files, folder } = await makeTlsRig(t)
  const { caPem: ca, certificatePem: cert, keyPem: key } = files
  for (const [where, ALPNProtocols] of [
    [address, ['h2']],
    [httpUrl.replace('https://', ''), ['http/1.1']],
  ] as const) {
    const options = { ca, cert, key, ALPNProtocols: [...ALPNProtocols] }
    await t.rejects(opened(where, { ...options, maxVersion: 'TLSv1.2' }), { code: /ERR_SSL/ })
    const tickets: Buffer[] = []
    const first = await opened(where, options)
    t.equal(first.getProtocol(), 'TLSv1.3')
    first.on('session', (ticket: Buffer) => tickets.push(ticket))
    // Tickets come behind the handshake, with the first octets.
    await new Promise((go) => setTimeout(go, 200))
    for (const session of [first.getSession(), ...tickets]) {
      const second = await opened(where, { ...options, session })
      t.equal(second.isSessionReused(), false, 'each handshake proves its key')
      second.destroy()
    }
    first.destroy()
  }
  t.ok(folder)
})

t.test('plain HTTP at a door with TLS is closed without an answer', async (t) => {
  const { address, httpUrl } = await makeTlsRig(t)
  for (const where of [address, httpUrl.replace('https://', '')]) {
    const [host = '', port = ''] = where.split(':')
    const said = await new Promise<Buffer>((resolve) => {
      const socket = connectPlain(Number(port), host)
      const chunks: Buffer[] = []
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      socket.on('error', () => undefined)
      socket.once('close', () => resolve(Buffer.concat(chunks)))
      socket.write('GET /v1/deliveries HTTP/1.1\r\nHost: x\r\n\r\n')
    })
    t.notMatch(said.toString('latin1'), /HTTP|deliver/)
  }
})

t.test('a connection that never finishes its handshake is closed', async (t) => {
  const { address, httpUrl } = await makeTlsRig(t)
  const places = [address, httpUrl.replace('https://', '')]
  const startMs = performance.now()
  await Promise.all(
    places.map((where) => {
      const [host = '', port = ''] = where.split(':')
      const socket = connectPlain(Number(port), host)
      // The beginning of a ClientHello.
      socket.write(Buffer.from('1603010200', 'hex'))
      socket.on('error', () => undefined)
      return new Promise((resolve) => socket.once('close', resolve))
    }),
  )
  const tookMs = performance.now() - startMs
  t.ok(tookMs < limits.tlsHandshakeMsMax + 5_000, `${tookMs.toFixed()} ms`)
  t.ok(tookMs > limits.tlsHandshakeMsMax - 1_000)
})

t.test('identity: the certificate decides, and a header may repeat it', async (t) => {
  const parties = demoParties()
  const [id, party] = [...parties][0]!
  const good = { eui64: id, roleCode: 2 } as PartyCertificate
  t.equal(identify(undefined, parties, good), party)
  t.equal(identify('', parties, good), party)
  t.equal(identify(supplier, parties, good), party)
  t.equal(identify(gasSupplier, parties, good), 'PARTY_HEADER_MISMATCH')
  t.equal(identify('?', parties, good), 'PARTY_HEADER_MALFORMED')
  t.equal(identify(undefined, parties, { ...good, roleCode: 3 }), 'PARTY_CERTIFICATE_ROLE_MISMATCH')
  t.equal(identify(undefined, new Map(), good), 'PARTY_UNKNOWN')
  const suspended = new Map([[id, { ...party, isSuspended: true as const }]])
  t.equal(identify(undefined, suspended, good), 'PARTY_SUSPENDED')
  const bad: CertificateRefusal = { code: 'PARTY_CERTIFICATE_REVOKED', detail: 'serial 01' }
  t.equal(identify(supplier, parties, bad), 'PARTY_CERTIFICATE_REVOKED', 'no header mends it')
  t.equal(detailOf('PARTY_CERTIFICATE_REVOKED', bad), 'serial 01')
  t.equal(detailOf('PARTY_UNKNOWN', bad), undefined)
  t.equal(detailOf('PARTY_UNKNOWN', undefined), undefined)
})
