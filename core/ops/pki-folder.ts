/**
 * The folder of certificates that `busbar pki init` makes, and that `--pki` names:
 *
 *   ca.crt, ca.key           the authority; a process that serves needs no ca.key
 *   crl.pem                  its revocation list
 *   server.crt, server.key   of the party doors
 *   parties/EUI-64.crt .key  of each party, for its own client
 *   operators/NAME.crt .key
 *   issued/SERIAL.crt        every certificate that was issued, so that it can be revoked
 *   signers.crt              certificates of parties that requests may be signed with; optional
 *   pins                     lines `EUI-64 PIN`: the only keys that such a party may have; optional
 *
 * Every file is its owner's alone, and is replaced as a whole.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { PartyCertificateFiles } from '../access/credentials.ts'
import { BrokerError } from '../base/broker-error.ts'
import { parseEui64, readEui64, textOfEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { digest } from '../crypto/crypto.ts'
import { parseCertificate, type Certificate } from '../pki/certificate.ts'
import { DerFault, pemBlocks, pemOf } from '../pki/der.ts'
import type { CertificateSubject, KeyedCertificate, Validity } from '../pki/authority.ts'
import type { DoorCertificates } from '../pki/certificate-source.ts'
import { trustOf, type Pins, type Trust } from '../pki/party-check.ts'
import { parseRevocationList } from '../pki/revocation-list.ts'
import type { Clock } from '../ports/clock.ts'
import type { Random } from '../ports/random.ts'

const names = {
  authority: 'ca.crt',
  authorityKey: 'ca.key',
  list: 'crl.pem',
  server: 'server.crt',
  serverKey: 'server.key',
  pins: 'pins',
  signers: 'signers.crt',
  issued: 'issued',
  lock: '.lock',
} as const

const dayMs = 86_400_000

/** What changes a folder. */
export type PkiPorts = { readonly clock: Clock; readonly random: Random }

const read = (folder: string, name: string): string => {
  try {
    return readFileSync(join(folder, name), 'utf8')
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    throw invalid(folder, name, `cannot be read (${code})`, cause)
  }
}

const invalid = (folder: string, name: string, why: string, cause?: unknown): BrokerError =>
  new BrokerError('PKI_FILE_INVALID', `${join(folder, name)} ${why}`, { cause })

/** Runs `parse`; a fault in what it reads is one of `name`. */
function parsed<T>(folder: string, name: string, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    if (!(cause instanceof DerFault)) throw cause
    throw invalid(folder, name, `is not valid: ${cause.message}`, cause)
  }
}

/** Names of the files whose change is a change of what a door trusts or shows. */
export const doorFileNames: readonly string[] = [
  names.authority,
  names.list,
  names.server,
  names.serverKey,
  names.pins,
  names.signers,
]

/** Authorities, revocation lists and pins. @throws BrokerError PKI_FILE_INVALID naming the file */
export function readTrust(folder: string): Trust {
  const caPem = read(folder, names.authority)
  const crlPem = read(folder, names.list)
  const pins = existsSync(join(folder, names.pins)) ? pinsOf(folder) : new Map()
  return parsed(folder, `${names.authority} or ${names.list}`, () =>
    trustOf(pemBlocks(caPem, 'CERTIFICATE'), pemBlocks(crlPem, 'X509 CRL'), pins),
  )
}

/** @throws BrokerError PKI_FILE_INVALID naming the file */
export function readDoorFiles(folder: string): DoorCertificates {
  const caPem = read(folder, names.authority)
  const trust = readTrust(folder)
  const serverPem = read(folder, names.server)
  const signers = signersIn(folder)
  return { caPem, trust, serverPem, serverKeyPem: read(folder, names.serverKey), signers }
}

function signersIn(folder: string): ReadonlyMap<string, Buffer> {
  if (!existsSync(join(folder, names.signers))) return new Map()
  const found = parsed(folder, names.signers, () =>
    pemBlocks(read(folder, names.signers), 'CERTIFICATE'),
  )
  return new Map(found.map((der) => [digest('sha256', der).toString('hex'), der]))
}

/**
 * Lets requests be signed with the certificate in `pem`, beside those that may be already; the ones
 * that have expired go. To be called with the folder locked.
 */
function addSigner(folder: string, pem: string, nowMs: number): void {
  const path = join(folder, names.signers)
  const before = existsSync(path) ? pemBlocks(read(folder, names.signers), 'CERTIFICATE') : []
  const [added] = pemBlocks(pem, 'CERTIFICATE')
  const kept = before.filter((der) => !isExpired(der, nowMs) && !der.equals(added!))
  writePrivate(path, [...kept, added!].map((der) => pemOf('CERTIFICATE', der)).join(''))
}

function isExpired(der: Buffer, nowMs: number): boolean {
  try {
    return parseCertificate(der).notAfterMs < nowMs
  } catch (fault) {
    if (!(fault instanceof DerFault)) throw fault
    // Not of the profile: an operator has put it there, and gateways say what is wrong with it.
    return false
  }
}

/** Makes `signers.crt` of the certificates of parties in a folder that has none. */
export async function ensureSignersIn(folder: string, clock: Clock): Promise<void> {
  if (existsSync(join(folder, names.signers))) return
  await locked(folder, async () => {
    const path = join(folder, 'parties')
    const files = existsSync(path) ? readdirSync(path).filter((name) => name.endsWith('.crt')) : []
    for (const name of files) addSigner(folder, read(folder, join('parties', name)), clock.now())
  })
}

function pinsOf(folder: string): Pins {
  const pins = new Map<Eui64, Set<string>>()
  for (const [index, line] of read(folder, names.pins).split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [party = '', pin = '', ...rest] = line.trim().split(/\s+/)
    const octets = parseEui64(party)
    if (octets === undefined || !/^[0-9a-f]{64}$/i.test(pin) || rest.length > 0)
      throw invalid(folder, names.pins, `line ${index + 1} is not EUI-64 and 64 hexadecimal digits`)
    const id = readEui64(octets)
    pins.set(id, (pins.get(id) ?? new Set()).add(pin.toLowerCase()))
  }
  return pins
}

/** @throws BrokerError PKI_FILE_INVALID naming the file that is missing */
export function readPartyFiles(folder: string, party: string): PartyCertificateFiles {
  const octets = parseEui64(party)
  if (octets === undefined) throw invalid(folder, party, 'is not the EUI-64 of a party')
  const path = partyPath(readEui64(octets))
  return { caPem: read(folder, names.authority), ...readKeyed(folder, path) }
}

/** Whether `folder` has the files of this party. */
export function hasPartyFiles(folder: string, party: string): boolean {
  const octets = parseEui64(party)
  return octets !== undefined && existsSync(join(folder, `${partyPath(readEui64(octets))}.crt`))
}

const partyPath = (party: Eui64): string => join('parties', textOfEui64(party))

const readKeyed = (folder: string, path: string): KeyedCertificate => ({
  certificatePem: read(folder, `${path}.crt`),
  keyPem: read(folder, `${path}.key`),
})

/** Whether `folder` is one that `initPki` has made. */
export const hasPki = (folder: string): boolean => existsSync(join(folder, names.authority))

/**
 * Makes the folder: an authority, its empty revocation list, and the certificate of the doors for
 * `hosts`.
 * @throws BrokerError PKI_NAME_TAKEN when there is one already
 */
export async function initPki(
  folder: string,
  { name, hosts, days }: { name: string; hosts: readonly string[]; days: number },
  ports: PkiPorts,
): Promise<void> {
  const there = [names.authority, names.authorityKey].find((file) => existsSync(join(folder, file)))
  if (there !== undefined) throw new BrokerError('PKI_NAME_TAKEN', join(folder, there))
  const { makeAuthority } = await import('../pki/authority.ts')
  await locked(folder, async () => {
    const authority = await makeAuthority(name, validityOf(days, ports.clock), ports.random)
    writePrivate(join(folder, names.authorityKey), authority.keyPem)
    writePrivate(join(folder, names.authority), authority.certificatePem)
    await writeList(folder, new Map(), ports.clock)
  })
  await issueInto(folder, { kind: 'server', hosts }, { days }, ports)
}

/**
 * Issues a certificate with a new key into the folder; settles with the path of the certificate.
 * With `isRenewal` one that is there already is replaced; it stays good until it expires or is
 * revoked.
 * @throws BrokerError PKI_FILE_INVALID, PKI_NAME_TAKEN
 */
export async function issueInto(
  folder: string,
  subject: CertificateSubject,
  { days, isRenewal = false }: { days: number; isRenewal?: boolean },
  { clock, random }: PkiPorts,
): Promise<string> {
  const { issueCertificate } = await import('../pki/authority.ts')
  return locked(folder, async () => {
    const authority = authorityIn(folder)
    const path = join(folder, pathOf(subject))
    if (!isRenewal && existsSync(`${path}.crt`))
      throw new BrokerError('PKI_NAME_TAKEN', `${path}.crt`)
    const wanted = validityOf(days, clock)
    const toMs = Math.min(wanted.toMs, certificateOf(folder, names.authority).notAfterMs)
    const made = await issueCertificate(authority, subject, { ...wanted, toMs }, random)
    const [der] = pemBlocks(made.certificatePem, 'CERTIFICATE')
    const { serial } = parseCertificate(der!)
    writePrivate(join(folder, names.issued, `${serial}.crt`), made.certificatePem)
    writePrivate(`${path}.key`, made.keyPem)
    writePrivate(`${path}.crt`, made.certificatePem)
    if (subject.kind === 'party') addSigner(folder, made.certificatePem, clock.now())
    return `${path}.crt`
  })
}

function pathOf(subject: CertificateSubject): string {
  if (subject.kind === 'party') return partyPath(subject.eui64)
  return subject.kind === 'server' ? 'server' : join('operators', subject.name)
}

/** A minute back, for clients whose clock is behind. */
function validityOf(days: number, clock: Clock): Validity {
  const nowMs = clock.now()
  return { fromMs: nowMs - 60_000, toMs: nowMs + days * dayMs }
}

const authorityIn = (folder: string): KeyedCertificate => ({
  certificatePem: read(folder, names.authority),
  keyPem: read(folder, names.authorityKey),
})

function certificateOf(folder: string, name: string): Certificate {
  return parsed(folder, name, () => {
    const [der] = pemBlocks(read(folder, name), 'CERTIFICATE')
    if (der === undefined) throw new DerFault('it has no certificate')
    return parseCertificate(der)
  })
}

/** A certificate that was issued, and since when it is revoked. */
export type Issued = {
  readonly certificate: Certificate
  readonly revokedAtMs: number | undefined
}

/** Every certificate that the authority of the folder has issued, in the order of their expiry. */
export function issuedIn(folder: string): Issued[] {
  const { revoked } = listIn(folder)
  const path = join(folder, names.issued)
  const files = existsSync(path) ? readdirSync(path).filter((name) => name.endsWith('.crt')) : []
  return files
    .map((name) => certificateOf(folder, join(names.issued, name)))
    .map((certificate) => ({ certificate, revokedAtMs: revoked.get(certificate.serial) }))
    .sort((a, b) => a.certificate.notAfterMs - b.certificate.notAfterMs)
}

/** The authority of the folder, and when its list is out of date. */
export function authorityOf(folder: string): { certificate: Certificate; listUntilMs: number } {
  const { nextUpdateMs } = listIn(folder)
  return { certificate: certificateOf(folder, names.authority), listUntilMs: nextUpdateMs }
}

const listIn = (folder: string): ReturnType<typeof parseRevocationList> =>
  parsed(folder, names.list, () => {
    const [der] = pemBlocks(read(folder, names.list), 'X509 CRL')
    if (der === undefined) throw new DerFault('it has no list')
    return parseRevocationList(der)
  })

/**
 * Revokes every certificate of `what`, the EUI-64 of a party or a serial; settles with the serials
 * that are revoked now and were not before. The new list is valid for `listDays`, or as long as the
 * authority.
 * @throws BrokerError PKI_CERTIFICATE_UNKNOWN, PKI_FILE_INVALID
 */
export async function revokeIn(
  folder: string,
  what: string,
  { clock }: Pick<PkiPorts, 'clock'>,
  listDays?: number,
): Promise<string[]> {
  return locked(folder, async () => {
    const id = parseEui64(what)
    const serial = what.toLowerCase()
    const meant = issuedIn(folder).filter(
      ({ certificate: { serial: one, subjectFields } }) =>
        one === serial ||
        (id !== undefined && subjectFields.uniqueIds.some((octets) => octets.equals(id))),
    )
    if (meant.length === 0) throw new BrokerError('PKI_CERTIFICATE_UNKNOWN', what)
    const fresh = meant.filter(({ revokedAtMs }) => revokedAtMs === undefined)
    const revoked = new Map(listIn(folder).revoked)
    for (const { certificate } of fresh) revoked.set(certificate.serial, clock.now())
    await writeList(folder, revoked, clock, listDays)
    return fresh.map(({ certificate }) => certificate.serial)
  })
}

/** Writes the same list again, with a later end. */
export async function renewListIn(folder: string, clock: Clock, listDays?: number): Promise<void> {
  await locked(folder, () => writeList(folder, listIn(folder).revoked, clock, listDays))
}

async function writeList(
  folder: string,
  revoked: ReadonlyMap<string, number>,
  clock: Clock,
  days?: number,
): Promise<void> {
  const { makeRevocationList } = await import('../pki/authority.ts')
  const nowMs = clock.now()
  const { notAfterMs } = certificateOf(folder, names.authority)
  const toMs = days === undefined ? notAfterMs : Math.min(nowMs + days * dayMs, notAfterMs)
  const number = existsSync(join(folder, names.list)) ? listIn(folder).number + 1n : 1n
  const lines = Array.from(revoked, ([serial, atMs]) => ({ serial, atMs }))
  const pem = await makeRevocationList(authorityIn(folder), lines, number, { fromMs: nowMs, toMs })
  writePrivate(join(folder, names.list), pem)
}

/** Two commands at a time would lose what one of them revokes. */
async function locked<T>(folder: string, action: () => Promise<T>): Promise<T> {
  const path = join(folder, names.lock)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    closeSync(openSync(path, 'wx', 0o600))
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    const why =
      code === 'EEXIST'
        ? 'is there: another command changes the folder; remove the file when none runs'
        : `cannot be made (${code})`
    throw invalid(folder, names.lock, why, cause)
  }
  try {
    return await action()
  } finally {
    rmSync(path, { force: true })
  }
}

/** Replaces the file by one with `text`, which only its owner may read. */
function writePrivate(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.new`
  rmSync(temporary, { force: true })
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

/** A number of days that certificates may be valid for. */
export const isDays = (days: number): boolean =>
  Number.isInteger(days) && days >= 1 && days <= limits.certificateDaysMax
