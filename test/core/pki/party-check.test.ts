/**
 * Certificates of parties: those of the profile are read, all others are refused with their code,
 * whatever octets come. The vectors of ../shared/domain are tried where they are there.
 */
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { parseEui64, readEui64, textOfEui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { issueCertificate, makeAuthority, makeRevocationList } from '../../../core/pki/authority.ts'
import { keyIdentifierOf, parseCertificate } from '../../../core/pki/certificate.ts'
import { DerFault, pemBlocks } from '../../../core/pki/der.ts'
import {
  checkPartyCertificate,
  trustOf,
  type PartyCertificate,
  type Trust,
} from '../../../core/pki/party-check.ts'
import { Oid, RoleCode } from '../../../core/pki/profile.ts'
import { seededRandom } from '../../../core/ports/random.ts'

const random = seededRandom(1)
const dayMs = 86_400_000
const nowMs = Date.UTC(2027, 5, 1)
const validity = { fromMs: nowMs - dayMs, toMs: nowMs + dayMs }
const party = readEui64(parseEui64('90-B3-D5-1F-30-01-00-00')!)
const subject = { kind: 'party', eui64: party, roleCode: 2, name: 'One' } as const
const long = { fromMs: nowMs - 30 * dayMs, toMs: nowMs + 300 * dayMs }
const authority = await makeAuthority('Test', long, random)
const stranger = await makeAuthority('Test', long, random)
const derIn = (pem: string): Buffer => pemBlocks(pem, 'CERTIFICATE')[0]!
const listIn = (pem: string): Buffer => pemBlocks(pem, 'X509 CRL')[0]!
const caDer = derIn(authority.certificatePem)
const emptyList = listIn(await makeRevocationList(authority, [], 1n, long))
const trust = trustOf([caDer], [emptyList])
const issued = await issueCertificate(authority, subject, validity, random)
const der = derIn(issued.certificatePem)

const codeOf = (octets: Buffer, at = nowMs, by: Trust = trust): string => {
  const result = checkPartyCertificate(octets, at, by)
  return 'code' in result ? result.code : `${textOfEui64(result.eui64)} ${result.roleCode}`
}

const domain = join(import.meta.dirname, '../../../../shared/domain')
const vectorFile = join(domain, 'signature-and-certificate-vectors.json')

t.test(
  'certificates of the vectors are read, and their issuer proved',
  { skip: !existsSync(vectorFile) && 'no ../shared/domain beside the checkout' },
  async (t) => {
    const vectors = JSON.parse(readFileSync(vectorFile, 'utf8'))
    const ca = parseCertificate(derIn(vectors.ca.cert))
    // Nobody has the list of that authority, so whether one was revoked is not known.
    const vectorTrust: Trust = { ca: [ca], crl: [], pins: new Map() }
    const list = { issuer: ca.subject, authorityKeyId: ca.subjectKeyId, revoked: new Map() }
    const current = { ...list, nextUpdateMs: nowMs + dayMs } as unknown as Trust['crl'][number]
    const withList = { ...vectorTrust, crl: [current] }
    for (const [name, roleCode] of [
      ['xmlSign', RoleCode.xmlSign],
      ['supplierDigitalSigning', RoleCode.supplier],
    ] as const) {
      const octets = derIn(vectors[name].cert)
      t.equal(codeOf(octets, nowMs, withList), `90-AA-BB-CC-11-22-00-01 ${roleCode}`, name)
      t.equal(codeOf(octets, nowMs, vectorTrust), 'PARTY_REVOCATION_UNKNOWN')
      t.equal(codeOf(octets, Date.UTC(2036, 0, 2), withList), 'PARTY_CERTIFICATE_UNTRUSTED')
      t.equal(codeOf(octets), 'PARTY_CERTIFICATE_UNTRUSTED', 'another authority')
    }
    const device = derIn(vectors.deviceDigitalSigning.cert)
    t.equal(codeOf(device, nowMs, withList), 'PARTY_CERTIFICATE_INVALID', 'a device is no party')
    t.match(ca.subjectKeyId, keyIdentifierOf(ca.publicKey.pointBytes))
  },
)

t.test('a certificate of ours is in the profile, and names its party', async (t) => {
  t.equal(codeOf(der), '90-B3-D5-1F-30-01-00-00 2')
  const { subjectFields, serial, subjectKeyId, authorityKeyId, keyUsages } = parseCertificate(der)
  t.same(subjectFields.names, ['One'])
  t.same(subjectFields.units, ['02'])
  t.equal(subjectFields.uniqueIds[0]?.toString('hex'), '90b3d51f30010000')
  t.equal(serial.length, 32)
  t.equal(subjectKeyId.length, 8)
  t.equal(subjectKeyId[0]! >> 4, 4)
  t.same(authorityKeyId, parseCertificate(caDer).subjectKeyId)
  t.same([...keyUsages], [0])
  const read = new x509.X509Certificate(der)
  const critical = read.extensions.filter((one) => one.critical).map(({ type }) => type)
  t.same(critical.toSorted(), [Oid.keyUsage, Oid.certificatePolicies].toSorted())
  t.equal(read.issuer, 'OU=07, CN=Test')
  t.ok(await read.verify({ publicKey: new x509.X509Certificate(caDer), date: new Date(nowMs) }))
})

t.test('time, issuer, revocation and pin are checked', async (t) => {
  t.equal(codeOf(der, nowMs + 2 * dayMs), 'PARTY_CERTIFICATE_EXPIRED')
  t.equal(codeOf(der, nowMs - 2 * dayMs), 'PARTY_CERTIFICATE_NOT_YET_VALID')
  const wrong = await issueCertificate(stranger, subject, validity, random)
  t.equal(codeOf(derIn(wrong.certificatePem)), 'PARTY_CERTIFICATE_UNTRUSTED')
  const { serial, keyPin } = parseCertificate(der)
  const revoked = await makeRevocationList(authority, [{ serial, atMs: nowMs }], 2n, long)
  const listed = trustOf([caDer], [listIn(revoked)])
  t.equal(listed.crl[0]?.number, 2n)
  t.equal(codeOf(der, nowMs, listed), 'PARTY_CERTIFICATE_REVOKED')
  const old = listIn(await makeRevocationList(authority, [], 3n, { ...long, toMs: nowMs - 1 }))
  t.equal(codeOf(der, nowMs, trustOf([caDer], [old])), 'PARTY_REVOCATION_UNKNOWN')
  t.equal(codeOf(der, nowMs, trustOf([caDer], [])), 'PARTY_REVOCATION_UNKNOWN')
  const pinned = (pin: string): Trust =>
    trustOf([caDer], [emptyList], new Map([[party, new Set([pin])]]))
  t.equal(codeOf(der, nowMs, pinned(keyPin)), '90-B3-D5-1F-30-01-00-00 2')
  t.equal(codeOf(der, nowMs, pinned('00'.repeat(32))), 'PARTY_CERTIFICATE_UNPINNED')
})

t.test('a changed signature, or a changed octet of what is signed, is noticed', async (t) => {
  const signed = Buffer.from(der)
  signed[signed.length - 1]! ^= 1
  t.equal(codeOf(signed), 'PARTY_CERTIFICATE_UNTRUSTED')
  const at = der.indexOf(Buffer.from('90b3d51f30010000', 'hex'))
  const altered = Buffer.from(der)
  altered[at + 7] = 1
  t.equal(codeOf(altered), 'PARTY_CERTIFICATE_UNTRUSTED')
})

type Parts = {
  subject?: x509.JsonNameParams
  curve?: string
  extensions?: x509.Extension[]
}

const unit = { OU: [{ utf8String: '02' }] }
const id = (hex: string) => ({ [Oid.uniqueIdentifier]: [`#03${hex}`] })
const goodId = id('090090b3d51f30010000')

/** A certificate with a signature of the authority and otherwise free parts. */
async function odd({ subject: name, curve = 'P-256', extensions }: Parts): Promise<Buffer> {
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: curve }, true, [
    'sign',
    'verify',
  ])
  const [pkcs8] = pemBlocks(authority.keyPem, 'PRIVATE KEY')
  const p256 = { name: 'ECDSA', namedCurve: 'P-256' }
  const signingKey = await crypto.subtle.importKey('pkcs8', pkcs8!, p256, false, ['sign'])
  const own = keyIdentifierOf(
    Buffer.from(await crypto.subtle.exportKey('spki', keys.publicKey)).subarray(-64),
  )
  const all = new x509.X509Certificate(der).extensions.map((one) =>
    one.type === Oid.subjectKeyIdentifier
      ? new x509.Extension(one.type, false, Buffer.concat([Buffer.of(4, 8), own]))
      : new x509.Extension(one.type, one.critical, one.value),
  )
  const replaced = (extensions ?? []).map(({ type }) => type)
  const certificate = await x509.X509CertificateGenerator.create({
    subject: new x509.Name(name ?? [unit, goodId]),
    issuer: new x509.X509Certificate(caDer).subjectName,
    notBefore: new Date(validity.fromMs),
    notAfter: new Date(validity.toMs),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [...all.filter(({ type }) => !replaced.includes(type)), ...(extensions ?? [])],
  })
  return Buffer.from(certificate.rawData)
}

t.test('what is not in the profile is refused, though the authority signed it', async (t) => {
  t.equal(codeOf(await odd({})), '90-B3-D5-1F-30-01-00-00 2', 'the same with nothing odd')
  const usage = (bits: string, isCritical = true) =>
    new x509.Extension(Oid.keyUsage, isCritical, Buffer.from(bits, 'hex'))
  const cases: [string, Parts][] = [
    ['no unique identifier', { subject: [unit] }],
    ['two', { subject: [unit, goodId, goodId] }],
    ['a short one', { subject: [unit, id('080090b3d51f300100')] }],
    ['a long one', { subject: [unit, id('0a0090b3d51f3001000000')] }],
    ['one with unused bits', { subject: [unit, id('090190b3d51f30010000')] }],
    ['no role code', { subject: [goodId] }],
    ['two role codes', { subject: [unit, unit, goodId] }],
    ['a role code in words', { subject: [{ OU: [{ utf8String: 'supplier' }] }, goodId] }],
    ['another attribute', { subject: [unit, goodId, { O: ['Somebody'] }] }],
    ['a key of P-384', { curve: 'P-384' }],
    ['keyUsage that is not critical', { extensions: [usage('03020780', false)] }],
    ['keyAgreement', { extensions: [usage('03020308')] }],
    ['both usages', { extensions: [usage('03020388')] }],
    ['an authority', { extensions: [new x509.BasicConstraintsExtension(true, 0, true)] }],
    [
      'policies that are not critical',
      { extensions: [new x509.CertificatePolicyExtension(['1.2.3'], false)] },
    ],
    [
      'a key identifier of another key',
      {
        extensions: [
          new x509.Extension(
            Oid.subjectKeyIdentifier,
            false,
            Buffer.from('04084000000000000000', 'hex'),
          ),
        ],
      },
    ],
    [
      'an unknown critical extension',
      { extensions: [new x509.Extension('1.2.3.4', true, Buffer.of(5, 0))] },
    ],
    [
      'more octets than a certificate may have',
      {
        extensions: [
          new x509.Extension('1.2.3.4', false, Buffer.alloc(limits.certificateBytesMax)),
        ],
      },
    ],
  ]
  for (const [what, parts] of cases)
    t.equal(codeOf(await odd(parts)), 'PARTY_CERTIFICATE_INVALID', what)
  t.equal(codeOf(caDer), 'PARTY_CERTIFICATE_INVALID', 'the authority itself')
})

t.test('octets that are no certificate are refused, and nothing throws', async (t) => {
  t.equal(codeOf(Buffer.alloc(0)), 'PARTY_CERTIFICATE_INVALID')
  t.equal(codeOf(Buffer.concat([der, Buffer.of(0)])), 'PARTY_CERTIFICATE_INVALID')
  for (let end = 0; end < der.length; end++)
    if (codeOf(der.subarray(0, end)) !== 'PARTY_CERTIFICATE_INVALID') t.fail(`cut at ${end}`)
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.nat(255), (at, octet) => {
      const altered = Buffer.from(der)
      if (altered[at] === octet) return true
      altered[at] = octet
      return codeOf(altered).startsWith('PARTY_CERTIFICATE_')
    }),
    { numRuns: 500 },
  )
})

t.test('trust is in authorities and their own lists alone', async (t) => {
  t.throws(() => trustOf([], []), DerFault)
  t.throws(() => trustOf([der], [emptyList]), DerFault, 'a party is no authority')
  const foreign = listIn(await makeRevocationList(stranger, [], 1n, long))
  t.throws(() => trustOf([caDer], [foreign]), DerFault)
  const forged = Buffer.from(emptyList)
  forged[forged.length - 1]! ^= 1
  t.throws(() => trustOf([caDer], [forged]), DerFault)
  const both = trustOf([caDer, derIn(stranger.certificatePem)], [emptyList, foreign])
  t.equal(codeOf(der, nowMs, both), '90-B3-D5-1F-30-01-00-00 2')
  const result = checkPartyCertificate(der, nowMs, both) as PartyCertificate
  t.equal(result.roleCode, RoleCode.supplier)
})
