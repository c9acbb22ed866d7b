/**
 * Reads X.509 certificates of the profile: of parties and of the authorities that issue them.
 * Octets from outside, so everything is bounded, and what is not in the profile is rejected. Checks
 * no signature and no time: that is party-check.ts. Pure.
 * @source RFC 5280 4.1, 4.2; profile.ts
 */
import { eui64Bytes, readEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { digest, PublicKey } from '../crypto/crypto.ts'
import {
  contextTag,
  DerFault,
  DerReader,
  oidText,
  positiveOctets,
  Tag,
  timeMs,
  wholeElement,
  wholeOctets,
  type DerElement,
} from './der.ts'
import { KeyUsage, Oid } from './profile.ts'

/** What every certificate of the profile has. Times in ms since 1970. */
export type Certificate = {
  /** Hexadecimal digits. */
  readonly serial: string
  /** The names as they are encoded, for comparison. */
  readonly issuer: Buffer
  readonly subject: Buffer
  readonly subjectFields: SubjectFields
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly publicKey: PublicKey
  /** SHA-256 of the SubjectPublicKeyInfo, in hexadecimal digits: what a pin names. */
  readonly keyPin: string
  readonly subjectKeyId: Buffer
  readonly authorityKeyId: Buffer
  /** Bits of keyUsage. */
  readonly keyUsages: ReadonlySet<number>
  readonly isAuthority: boolean
  /** Object identifiers of extendedKeyUsage; empty without the extension. */
  readonly purposes: readonly string[]
  readonly signed: SignedPart
}

/** What is signed, and the signature as r || s. */
export type SignedPart = { readonly view: Buffer; readonly signature: Buffer }

/** Attributes of a subject. */
export type SubjectFields = {
  readonly names: readonly string[]
  readonly units: readonly string[]
  /** Contents of BIT STRINGs in whole octets. */
  readonly uniqueIds: readonly Buffer[]
}

/** A party as its certificate names it. */
export type PartySubject = { readonly eui64: Eui64; readonly roleCode: number }

const known: ReadonlySet<string> = new Set<string>([
  Oid.subjectKeyIdentifier,
  Oid.keyUsage,
  Oid.basicConstraints,
  Oid.certificatePolicies,
  Oid.authorityKeyIdentifier,
])

/**
 * The certificate that `der` is.
 * @throws DerFault with what is not in the profile
 */
export function parseCertificate(der: Buffer): Certificate {
  if (der.length > limits.certificateBytesMax) throw new DerFault(`${der.length} octets`)
  const outer = wholeElement(der, Tag.SEQUENCE)
  const tbs = outer.read(Tag.SEQUENCE)
  const signature = signatureOf(outer)
  const reader = new DerReader(tbs.content)
  const version = reader.readIf(contextTag(0))
  if (version === undefined || !version.content.equals(Buffer.from([2, 1, 2])))
    throw new DerFault('the version is not 3')
  const serial = positiveOctets(reader.read(Tag.INTEGER), limits.certificateSerialBytesMax)
  readAlgorithm(reader)
  const issuer = reader.read(Tag.SEQUENCE).whole
  const validity = reader.enter(Tag.SEQUENCE)
  const [notBeforeMs, notAfterMs] = [timeMs(validity.next()), timeMs(validity.next())]
  validity.end()
  const subject = reader.read(Tag.SEQUENCE)
  const keyInfo = reader.read(Tag.SEQUENCE)
  const publicKey = keyOf(keyInfo)
  const extensions = extensionsOf(reader.enter(contextTag(3)))
  reader.end()
  return {
    serial: serial.toString('hex'),
    issuer,
    subject: subject.whole,
    subjectFields: subjectFieldsOf(subject),
    notBeforeMs,
    notAfterMs,
    publicKey,
    keyPin: digest('sha256', keyInfo.whole).toString('hex'),
    ...identifiersOf(extensions, publicKey),
    ...usageOf(extensions),
    purposes: purposesOf(extensions),
    signed: { view: tbs.whole, signature },
  }
}

/** The party that the subject names. @throws DerFault */
export function partySubjectOf({ subjectFields }: Certificate): PartySubject {
  const { names, units, uniqueIds } = subjectFields
  const [unit = ''] = units
  if (names.length > 1) throw new DerFault(`${names.length} common names`)
  if (units.length !== 1 || !/^[0-9A-Fa-f]{2}$/.test(unit))
    throw new DerFault('the organizational unit is not a role code of two hexadecimal digits')
  const [id] = uniqueIds
  if (id === undefined || uniqueIds.length !== 1)
    throw new DerFault(`${uniqueIds.length} unique identifiers`)
  if (id.length !== eui64Bytes)
    throw new DerFault(`the unique identifier has ${id.length} octets, not ${eui64Bytes}`)
  return { eui64: readEui64(id), roleCode: Number.parseInt(unit, 16) }
}

/** RFC 5280 4.2.1.2, method 2: 0100 and the low 60 bits of the SHA-1 of the public key. */
export function keyIdentifierOf(pointView: Uint8Array): Buffer {
  const id = Buffer.from(digest('sha1', Buffer.concat([Buffer.of(4), pointView])).subarray(-8))
  id[0] = (id[0]! & 0x0f) | 0x40
  return id
}

/** The algorithm and the signature at the end of what is signed: ecdsa-with-SHA256 alone. */
export function signatureOf(outer: DerReader): Buffer {
  readAlgorithm(outer)
  const numbers = wholeElement(wholeOctets(outer.read(Tag.BIT_STRING)), Tag.SEQUENCE)
  outer.end()
  const signature = Buffer.alloc(64)
  for (const end of [32, 64]) {
    const octets = positiveOctets(numbers.read(Tag.INTEGER), 32)
    octets.copy(signature, end - octets.length)
  }
  numbers.end()
  return signature
}

/** @throws DerFault for any other than ecdsa-with-SHA256 */
export function readAlgorithm(reader: DerReader): void {
  const algorithm = reader.enter(Tag.SEQUENCE)
  const name = oidText(algorithm.read(Tag.OID))
  algorithm.end()
  if (name !== Oid.ecdsaWithSha256) throw new DerFault(`the signature algorithm is ${name}`)
}

function keyOf({ content }: DerElement): PublicKey {
  const reader = new DerReader(content)
  const algorithm = reader.enter(Tag.SEQUENCE)
  const kind = oidText(algorithm.read(Tag.OID))
  const curve = algorithm.nextTag === Tag.OID ? oidText(algorithm.next()) : ''
  if (kind !== Oid.ecPublicKey || curve !== Oid.p256)
    throw new DerFault('the key is not of the curve P-256')
  algorithm.end()
  const point = wholeOctets(reader.read(Tag.BIT_STRING))
  reader.end()
  const key = point[0] === 4 ? PublicKey.of('P-256', point.subarray(1)) : undefined
  if (key === undefined) throw new DerFault('the key is not a point of the curve P-256')
  return key
}

function subjectFieldsOf({ content }: DerElement): SubjectFields {
  const names: string[] = []
  const units: string[] = []
  const uniqueIds: Buffer[] = []
  for (const set of new DerReader(content).rest()) {
    if (set.tag !== Tag.SET) throw new DerFault('the subject is not a name')
    const attribute = wholeElement(set.content, Tag.SEQUENCE)
    const type = oidText(attribute.read(Tag.OID))
    const value = attribute.next()
    attribute.end()
    if (type === Oid.commonName) names.push(textOf(value))
    else if (type === Oid.organizationalUnit) units.push(textOf(value))
    else if (type === Oid.uniqueIdentifier && value.tag === Tag.BIT_STRING)
      uniqueIds.push(wholeOctets(value))
    else throw new DerFault(`the subject has the attribute ${type}`)
  }
  return { names, units, uniqueIds }
}

function textOf({ tag, content }: DerElement): string {
  if (tag !== Tag.UTF8_STRING && tag !== Tag.PRINTABLE_STRING)
    throw new DerFault('a text of the subject is not a UTF8String')
  return content.toString('utf8')
}

export type Extension = { readonly isCritical: boolean; readonly value: Buffer }

/** Extensions by object identifier; none twice, and no unknown one that is critical. */
export function extensionsOf(
  reader: DerReader,
  knownHere: ReadonlySet<string> = known,
): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>()
  const list = reader.enter(Tag.SEQUENCE)
  reader.end()
  while (!list.isAtEnd) {
    const one = list.enter(Tag.SEQUENCE)
    const name = oidText(one.read(Tag.OID))
    const critical = one.readIf(Tag.BOOLEAN)?.content
    if (critical !== undefined && !critical.equals(Buffer.of(0xff)))
      throw new DerFault('a default value is written out')
    const isCritical = critical !== undefined
    const value = one.read(Tag.OCTET_STRING).content
    one.end()
    if (found.has(name)) throw new DerFault(`the extension ${name} stands twice`)
    if (isCritical && !knownHere.has(name))
      throw new DerFault(`the critical extension ${name} is not known`)
    found.set(name, { isCritical, value })
  }
  return found
}

function needed(
  extensions: ReadonlyMap<string, Extension>,
  name: string,
  { isCritical }: { isCritical: boolean },
): Buffer {
  const found = extensions.get(name)
  if (found === undefined) throw new DerFault(`the extension ${name} is missing`)
  if (isCritical && !found.isCritical) throw new DerFault(`the extension ${name} is not critical`)
  return found.value
}

function identifiersOf(
  extensions: ReadonlyMap<string, Extension>,
  { pointBytes }: PublicKey,
): Pick<Certificate, 'subjectKeyId' | 'authorityKeyId'> {
  const notCritical = { isCritical: false }
  const own = new DerReader(needed(extensions, Oid.subjectKeyIdentifier, notCritical))
  const subjectKeyId = own.read(Tag.OCTET_STRING).content
  own.end()
  const authority = needed(extensions, Oid.authorityKeyIdentifier, notCritical)
  const authorityKeyId = authorityKeyIdOf(authority)
  if (!subjectKeyId.equals(keyIdentifierOf(pointBytes)))
    throw new DerFault('the subject key identifier is not that of the key')
  return { subjectKeyId, authorityKeyId }
}

/** [0] IMPLICIT KeyIdentifier, of eight octets. */
export function authorityKeyIdOf(value: Buffer): Buffer {
  const { content } = wholeElement(value, Tag.SEQUENCE).read(0x80)
  if (content.length !== 8) throw new DerFault('the authority key identifier is not of 8 octets')
  return content
}

function usageOf(
  extensions: ReadonlyMap<string, Extension>,
): Pick<Certificate, 'keyUsages' | 'isAuthority'> {
  const critical = { isCritical: true }
  const usage = new DerReader(needed(extensions, Oid.keyUsage, critical))
  const [, ...bits] = usage.read(Tag.BIT_STRING).content
  usage.end()
  const keyUsages = new Set<number>()
  for (const [index, octet] of bits.entries())
    for (let bit = 0; bit < 8; bit++)
      if ((octet & (0x80 >> bit)) !== 0) keyUsages.add(8 * index + bit)
  const policies = wholeElement(
    needed(extensions, Oid.certificatePolicies, critical),
    Tag.SEQUENCE,
  ).rest()
  if (policies.length === 0) throw new DerFault('no certificate policy')
  const constraints = extensions.get(Oid.basicConstraints)
  const isAuthority =
    constraints !== undefined &&
    wholeElement(constraints.value, Tag.SEQUENCE).readIf(Tag.BOOLEAN)?.content[0] === 0xff
  return { keyUsages, isAuthority }
}

function purposesOf(extensions: ReadonlyMap<string, Extension>): string[] {
  const found = extensions.get(Oid.extendedKeyUsage)
  if (found === undefined) return []
  return wholeElement(found.value, Tag.SEQUENCE)
    .rest()
    .map((one) => oidText(one))
}

/** Usages of a key that signs certificates and lists. */
export const isSigner = ({ isAuthority, keyUsages }: Certificate): boolean =>
  isAuthority && keyUsages.has(KeyUsage.keyCertSign) && keyUsages.has(KeyUsage.crlSign)
