/**
 * Signatures of operators on the manifest of a backup. The manifest has the SHA-256 of the records,
 * so a signature on it is one on the whole backup. `signatures.json` beside it has at most one
 * signature for each certificate:
 *
 *   { "version": 1, "signatures": [{ "certificate": PEM, "signature": base64 of r || s }] }
 *
 * ECDSA P-256 with SHA-256 over the text `busbar-backup-manifest-v1`, a line feed, and the octets
 * of manifest.json. Two different operators must have signed it, each a security officer in the
 * list of operators, with a certificate that is good when the backup is restored.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Operators } from '../../../core/access/operators.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { PrivateKey, signEcdsa, verifyEcdsa } from '../../../core/crypto/crypto.ts'
import { writePrivateFile } from '../../../core/ops/embedded-nats/nats-settings.ts'
import { DerFault, pemBlocks, pemOf } from '../../../core/pki/der.ts'
import {
  checkOperatorCertificate,
  readOperatorCertificate,
} from '../../../core/pki/operator-check.ts'
import type { Trust } from '../../../core/pki/party-check.ts'

type Signature = { readonly certificate: string; readonly signature: string }

/** Whose signatures count, by which authorities. */
export type Signatories = { readonly operators: Operators; readonly trust: Trust }

const role = 'security-officer'
const signaturesNeeded = 2
const context = Buffer.from('busbar-backup-manifest-v1\n', 'utf8')
const placeOf = (folder: string): string => join(folder, 'signatures.json')

const signedPart = (folder: string): Buffer =>
  Buffer.concat([context, readFileSync(join(folder, 'manifest.json'))])

/** @throws BrokerError BACKUP_DAMAGED */
function readSignatures(folder: string): Signature[] {
  const path = placeOf(folder)
  if (!existsSync(path)) return []
  const damaged = (cause?: unknown): BrokerError =>
    new BrokerError('BACKUP_DAMAGED', `${path} is no list of signatures`, { cause })
  let json: { version?: unknown; signatures?: unknown } | null
  try {
    json = JSON.parse(readFileSync(path, 'utf8')) as typeof json
  } catch (cause) {
    throw damaged(cause)
  }
  const { version, signatures } = json ?? {}
  if (version !== 1 || !Array.isArray(signatures)) throw damaged()
  if (signatures.length > limits.backupSignaturesMax) throw damaged()
  const isOne = (one: unknown): one is Signature =>
    typeof one === 'object' &&
    one !== null &&
    typeof (one as Signature).certificate === 'string' &&
    typeof (one as Signature).signature === 'string'
  if (!signatures.every(isOne)) throw damaged()
  return signatures
}

/**
 * Adds the signature with this certificate and key, PEM, or replaces an earlier one of it. Returns
 * whom the certificate names and how many signatures there are. The backup must be whole already.
 * @throws BrokerError PKI_FILE_INVALID for a certificate or key that is not one of an operator
 */
export function signBackup(
  folder: string,
  { certificatePem, keyPem }: { certificatePem: string; keyPem: string },
): { name: string; count: number } {
  const { der, name, point } = operatorIn(certificatePem)
  const key = PrivateKey.ofPem(keyPem)
  if (key === undefined || !key.publicKey.pointBytes.equals(point))
    throw new BrokerError('PKI_FILE_INVALID', `the key is not that of the certificate of ${name}`)
  const certificate = pemOf('CERTIFICATE', der)
  const signature = signEcdsa(key, signedPart(folder)).toString('base64')
  const others = readSignatures(folder).filter((one) => one.certificate !== certificate)
  const signatures = [...others, { certificate, signature }]
  if (signatures.length > limits.backupSignaturesMax)
    throw new BrokerError('CONFIG_INVALID', `${placeOf(folder)} has ${others.length} signatures`)
  writePrivateFile(placeOf(folder), `${JSON.stringify({ version: 1, signatures }, undefined, 2)}\n`)
  return { name, count: signatures.length }
}

function operatorIn(certificatePem: string): { der: Buffer; name: string; point: Buffer } {
  try {
    const [der] = pemBlocks(certificatePem, 'CERTIFICATE')
    if (der === undefined) throw new DerFault('it has no certificate')
    const { name, certificate } = readOperatorCertificate(der)
    return { der, name, point: certificate.publicKey.pointBytes }
  } catch (cause) {
    if (!(cause instanceof DerFault)) throw cause
    const why = `the certificate is not one of an operator: ${cause.message}`
    throw new BrokerError('PKI_FILE_INVALID', why, { cause })
  }
}

/**
 * The names of the operators whose signatures count at `nowMs`, in the order of the file.
 * @throws BrokerError BACKUP_SIGNATURES_MISSING when they are fewer than two, with why the others
 * do not count; BACKUP_DAMAGED
 */
export function checkBackupSignatures(
  folder: string,
  signatories: Signatories,
  nowMs: number,
): readonly string[] {
  const part = signedPart(folder)
  const names = new Set<string>()
  const faults: string[] = []
  for (const one of readSignatures(folder)) {
    const found = signatoryOf(one, part, signatories, nowMs)
    if ('fault' in found) faults.push(found.fault)
    else names.add(found.name)
  }
  if (names.size >= signaturesNeeded) return [...names]
  const have = names.size === 0 ? 'nobody has signed it' : `only ${[...names].join()} has signed it`
  throw new BrokerError('BACKUP_SIGNATURES_MISSING', [have, ...faults].join('; '))
}

function signatoryOf(
  { certificate, signature }: Signature,
  part: Buffer,
  { operators, trust }: Signatories,
  nowMs: number,
): { name: string } | { fault: string } {
  let der: Buffer | undefined
  try {
    der = pemBlocks(certificate, 'CERTIFICATE')[0]
  } catch (fault) {
    if (!(fault instanceof DerFault)) throw fault
  }
  if (der === undefined) return { fault: 'a certificate cannot be read' }
  const found = checkOperatorCertificate(der, nowMs, trust)
  if ('code' in found) return { fault: `${found.code}: ${found.detail}` }
  const { name } = found
  const octets = Buffer.from(signature, 'base64')
  if (octets.length !== 64 || !verifyEcdsa(found.certificate.publicKey, part, octets))
    return { fault: `the signature of ${name} is not one of this manifest` }
  const listed = operators.get(name)
  if (listed === undefined) return { fault: `${name} is not in the list of operators` }
  if (listed.role !== role) return { fault: `${name} has the role ${listed.role}, not ${role}` }
  return { name }
}
