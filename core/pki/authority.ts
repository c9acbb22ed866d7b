/**
 * Makes keys, certificates and revocation lists in the profile (profile.ts). For commands of
 * operators and for development: a process that serves never loads this file, nor the library
 * below. Private keys are made and used by WebCrypto, and leave as PEM only.
 * @source RFC 5280 4.1, 5.1; profile.ts
 */
import 'reflect-metadata'
import type { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { BrokerError } from '../base/broker-error.ts'
import { bytesOfEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import type { Random } from '../ports/random.ts'
import { keyIdentifierOf } from './certificate.ts'
import { pemBlocks, pemOf } from './der.ts'
import { KeyUsage, Oid, placeholderPolicy, RoleCode, roleCodeText } from './profile.ts'

/** A certificate and its private key (PKCS #8), as PEM. The key is secret. */
export type KeyedCertificate = { readonly certificatePem: string; readonly keyPem: string }

/** Whom a certificate is for. */
export type CertificateSubject =
  | {
      readonly kind: 'party'
      readonly eui64: Eui64
      readonly roleCode: number
      readonly name: string | undefined
    }
  | { readonly kind: 'operator'; readonly name: string }
  /** `hosts`: names and addresses under which clients reach the server. */
  | { readonly kind: 'server'; readonly hosts: readonly string[] }

/** From when to when, in ms since 1970. */
export type Validity = { readonly fromMs: number; readonly toMs: number }

/** A line of a revocation list. */
export type Revocation = { readonly serial: string; readonly atMs: number }

const curve = { name: 'ECDSA', namedCurve: 'P-256' }
const signing = { name: 'ECDSA', hash: 'SHA-256' }

/** A self-signed authority, which signs certificates of ends and nothing below itself. */
export async function makeAuthority(
  name: string,
  { fromMs, toMs }: Validity,
  random: Random,
): Promise<KeyedCertificate> {
  const keys = await newKeys()
  const subject = new x509.Name([
    { OU: [text(roleCodeText(RoleCode.issuingAuthority))] },
    { CN: [text(name)] },
  ])
  const id = await keyIdOf(keys.publicKey)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialOf(random),
    subject,
    issuer: subject,
    ...datesOf({ fromMs, toMs }),
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: signing,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      ...commonExtensions(id, id, [KeyUsage.keyCertSign, KeyUsage.crlSign]),
    ],
  })
  return keyed(certificate, keys.privateKey)
}

/**
 * A certificate with a new key, signed by `authority`.
 * @throws BrokerError PKI_FILE_INVALID when the authority's files are not one
 */
export async function issueCertificate(
  authority: KeyedCertificate,
  subject: CertificateSubject,
  validity: Validity,
  random: Random,
): Promise<KeyedCertificate> {
  const { certificate: issuer, signingKey } = await signerOf(authority)
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialOf(random),
    subject: new x509.Name(nameOf(subject)),
    issuer: issuer.subjectName,
    ...datesOf(validity),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: signing,
    extensions: [
      ...commonExtensions(await keyIdOf(keys.publicKey), await keyIdOf(issuer.publicKey), [
        KeyUsage.digitalSignature,
      ]),
      ...ownExtensions(subject),
    ],
  })
  return keyed(certificate, keys.privateKey)
}

/** A list of everything that `authority` has revoked, as PEM. `number` is above all before. */
export async function makeRevocationList(
  authority: KeyedCertificate,
  revoked: readonly Revocation[],
  number: bigint,
  { fromMs, toMs }: Validity,
): Promise<string> {
  const { certificate: issuer, signingKey } = await signerOf(authority)
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName,
    thisUpdate: new Date(wholeSeconds(fromMs)),
    nextUpdate: new Date(wholeSeconds(toMs)),
    entries: revoked.map(({ serial, atMs }) => ({
      serialNumber: serial,
      revocationDate: new Date(atMs),
    })),
    extensions: [
      authorityKeyExtension(await keyIdOf(issuer.publicKey)),
      new x509.Extension(Oid.crlNumber, false, derOf(0x02, unsignedOctets(number))),
    ],
    signingKey,
    signingAlgorithm: signing,
  })
  return pemOf('X509 CRL', Buffer.from(list.rawData))
}

const text = (utf8String: string): { utf8String: string } => ({ utf8String })
const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  crypto.subtle.generateKey(curve, true, ['sign', 'verify'])
const wholeSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000
const datesOf = ({ fromMs, toMs }: Validity): { notBefore: Date; notAfter: Date } => ({
  notBefore: new Date(wholeSeconds(fromMs)),
  notAfter: new Date(wholeSeconds(toMs)),
})

/** Positive, not 0, and of sixteen octets. */
function serialOf(random: Random): string {
  const octets = Buffer.from(random.bytes(limits.certificateSerialBytesMax))
  octets[0] = (octets[0]! & 0x3f) | 0x40
  return octets.toString('hex')
}

function nameOf(subject: CertificateSubject): x509.JsonNameParams {
  const unit = (code: number): x509.JsonAttributeAndValue => ({ OU: [text(roleCodeText(code))] })
  if (subject.kind === 'party') {
    const { name, roleCode, eui64 } = subject
    const id = derOf(0x03, Buffer.concat([Buffer.of(0), bytesOfEui64(eui64)]))
    return [
      ...(name === undefined ? [] : [{ CN: [text(name)] }]),
      unit(roleCode),
      { [Oid.uniqueIdentifier]: [`#${id.toString('hex')}`] },
    ]
  }
  const name = subject.kind === 'operator' ? subject.name : (subject.hosts[0] ?? '')
  return [{ CN: [text(name)] }, unit(RoleCode.accessControlBroker)]
}

/** Those that operators and servers have, and no party. */
function ownExtensions(subject: CertificateSubject): x509.Extension[] {
  if (subject.kind === 'party') return []
  const usage = subject.kind === 'server' ? Oid.serverAuth : Oid.clientAuth
  const extensions: x509.Extension[] = [new x509.ExtendedKeyUsageExtension([usage], false)]
  if (subject.kind === 'server') {
    const names = subject.hosts.map((host): x509.JsonGeneralName => {
      const isAddress = /^[\d.]+$|:/.test(host)
      return { type: isAddress ? 'ip' : 'dns', value: host }
    })
    extensions.push(new x509.SubjectAlternativeNameExtension(names, false))
  }
  return extensions
}

function commonExtensions(
  ownId: Buffer,
  authorityId: Buffer,
  usages: readonly number[],
): x509.Extension[] {
  let flags = 0
  for (const bit of usages) flags |= 0x80 >> bit
  const unused = 7 - Math.max(...usages)
  return [
    new x509.Extension(Oid.keyUsage, true, derOf(0x03, Buffer.of(unused, flags))),
    new x509.CertificatePolicyExtension([placeholderPolicy], true),
    new x509.Extension(Oid.subjectKeyIdentifier, false, derOf(0x04, ownId)),
    authorityKeyExtension(authorityId),
  ]
}

const authorityKeyExtension = (id: Buffer): x509.Extension =>
  new x509.Extension(Oid.authorityKeyIdentifier, false, derOf(0x30, derOf(0x80, id)))

/** An element with less than 128 octets of content. */
const derOf = (tag: number, content: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(tag, content.length), content])

function unsignedOctets(value: bigint): Buffer {
  const hex = value.toString(16)
  const octets = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
  return octets[0]! < 0x80 ? octets : Buffer.concat([Buffer.of(0), octets])
}

/** The identifier of a key: of a P-256 key, whose SubjectPublicKeyInfo ends with its point. */
async function keyIdOf(key: x509.PublicKey | webcrypto.CryptoKey): Promise<Buffer> {
  const exported =
    key instanceof x509.PublicKey ? key.rawData : await crypto.subtle.exportKey('spki', key)
  return keyIdentifierOf(Buffer.from(exported).subarray(-64))
}

async function keyed(
  certificate: x509.X509Certificate,
  privateKey: webcrypto.CryptoKey,
): Promise<KeyedCertificate> {
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', privateKey))
  return {
    certificatePem: pemOf('CERTIFICATE', Buffer.from(certificate.rawData)),
    keyPem: pemOf('PRIVATE KEY', pkcs8),
  }
}

async function signerOf({ certificatePem, keyPem }: KeyedCertificate): Promise<{
  certificate: x509.X509Certificate
  signingKey: webcrypto.CryptoKey
}> {
  try {
    const [pkcs8] = pemBlocks(keyPem, 'PRIVATE KEY')
    const certificate = new x509.X509Certificate(certificatePem)
    const signingKey = await crypto.subtle.importKey(
      'pkcs8',
      pkcs8 ?? Buffer.alloc(0),
      curve,
      false,
      ['sign'],
    )
    return { certificate, signingKey }
  } catch (cause) {
    // The cause may repeat what it could not read: a key.
    const kind = cause instanceof Error ? cause.name : 'fault'
    throw new BrokerError('PKI_FILE_INVALID', `the certificate or key of the authority: ${kind}`)
  }
}
