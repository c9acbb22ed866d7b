/**
 * Reads certificate revocation lists. A list counts only with the signature of an authority that is
 * trusted; `trustOf` checks it once, when the files are read. Pure.
 * @source RFC 5280 5.1
 */
import { limits } from '../base/limits.ts'
import {
  authorityKeyIdOf,
  extensionsOf,
  readAlgorithm,
  signatureOf,
  type SignedPart,
} from './certificate.ts'
import {
  contextTag,
  DerFault,
  DerReader,
  positiveOctets,
  Tag,
  timeMs,
  wholeElement,
  type DerElement,
} from './der.ts'
import { Oid } from './profile.ts'

export type RevocationList = {
  readonly issuer: Buffer
  readonly authorityKeyId: Buffer
  readonly thisUpdateMs: number
  readonly nextUpdateMs: number
  /** When each serial, in hexadecimal digits, was revoked. */
  readonly revoked: ReadonlyMap<string, number>
  /** Its number, a decimal text. */
  readonly number: bigint
  readonly signed: SignedPart
}

const known: ReadonlySet<string> = new Set<string>([Oid.crlNumber, Oid.authorityKeyIdentifier])

/** @throws DerFault with what is wrong with it */
export function parseRevocationList(der: Buffer): RevocationList {
  if (der.length > limits.revocationListBytesMax) throw new DerFault(`${der.length} octets`)
  const outer = wholeElement(der, Tag.SEQUENCE)
  const tbs = outer.read(Tag.SEQUENCE)
  const signature = signatureOf(outer)
  const reader = new DerReader(tbs.content)
  if (!reader.read(Tag.INTEGER).content.equals(Buffer.of(1)))
    throw new DerFault('the version is not 2')
  readAlgorithm(reader)
  const issuer = reader.read(Tag.SEQUENCE).whole
  const [thisUpdateMs, nextUpdateMs] = [timeMs(reader.next()), timeMs(reader.next())]
  const entries = reader.readIf(Tag.SEQUENCE)
  const extensions = extensionsOf(reader.enter(contextTag(0)), known)
  reader.end()
  const number = extensions.get(Oid.crlNumber)
  const authority = extensions.get(Oid.authorityKeyIdentifier)
  if (number === undefined || authority === undefined)
    throw new DerFault('the list has no number or no authority key identifier')
  return {
    issuer,
    authorityKeyId: authorityKeyIdOf(authority.value),
    thisUpdateMs,
    nextUpdateMs,
    revoked: revokedIn(entries),
    number: numberOf(number.value),
    signed: { view: tbs.whole, signature },
  }
}

function revokedIn(entries: DerElement | undefined): ReadonlyMap<string, number> {
  const revoked = new Map<string, number>()
  if (entries === undefined) return revoked
  const list = new DerReader(entries.content)
  while (!list.isAtEnd) {
    const entry = list.enter(Tag.SEQUENCE)
    const serial = positiveOctets(entry.read(Tag.INTEGER), limits.certificateSerialBytesMax)
    const atMs = timeMs(entry.next())
    // An entry of an indirect list or of a delta means something else: its extension is critical.
    const own = entry.readIf(Tag.SEQUENCE)
    if (own !== undefined) extensionsOf(new DerReader(own.whole), new Set())
    entry.end()
    revoked.set(serial.toString('hex'), atMs)
  }
  return revoked
}

function numberOf(value: Buffer): bigint {
  const reader = new DerReader(value)
  const element = reader.read(Tag.INTEGER)
  reader.end()
  if (element.content.equals(Buffer.of(0))) return 0n
  return BigInt(`0x${positiveOctets(element, 20).toString('hex')}`)
}
