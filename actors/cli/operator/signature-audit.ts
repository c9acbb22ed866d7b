/**
 * `busbar ledger verify-signature`: proves from the ledger alone, and from certificates, that a
 * request was signed as it was accepted. The signed form is made again from what was accepted.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { verifyEcdsa } from '../../../core/crypto/crypto.ts'
import { signersOf, type SignerFiles } from '../../../core/ops/pki-signers.ts'
import { checkPartyCertificate, type PartyCertificate } from '../../../core/pki/party-check.ts'
import type { Ledger } from '../../../core/ports/ledger.ts'
import type { SealedRequest } from '../../../core/translate/sealed-request.ts'
import type { Print } from '../shared-options.ts'
import type { AuditLine } from './audit-line.ts'
import { auditOf, formatLine } from './ledger-commands.ts'

export type SignatureProof = {
  readonly requestId: string
  readonly acceptedAt: string
  /** SHA-256 of the certificate. */
  readonly certificate: string
  /** r || s, in hexadecimal digits. */
  readonly signature: string
  /** The octets that were signed; ASCII. */
  readonly canonical: string
  /** Why the proof fails; empty when it holds. */
  readonly faults: readonly string[]
}

/**
 * What the acceptance in `line` proves, with the certificates of `files`.
 * @throws BrokerError PKI_FILE_INVALID
 */
export function proofOf(
  line: AuditLine,
  sealed: SealedRequest,
  files: SignerFiles,
): SignatureProof {
  const { seal, canonical } = sealed
  const certificate = seal.thumbprint.toString('hex')
  const proof = {
    requestId: line.requestId ?? '',
    acceptedAt: new Date(line.time).toISOString(),
    certificate,
    signature: seal.signature.toString('hex'),
    canonical: canonical.toString('latin1'),
  }
  const der = files.certificates.get(certificate)
  if (der === undefined)
    return { ...proof, faults: ['there is no certificate with this SHA-256 in the files given'] }
  const signer = signerAt(der, line.time, files)
  if (typeof signer === 'string') return { ...proof, faults: [signer] }
  const faults: string[] = []
  const [originator = ''] = proof.requestId.split(':')
  if (textOfEui64(signer.eui64) !== originator)
    faults.push(`the certificate is that of ${textOfEui64(signer.eui64)}`)
  if (!verifyEcdsa(signer.certificate.publicKey, canonical, seal.signature))
    faults.push('the signature is not one of this certificate over the request')
  return { ...proof, faults }
}

/** The certificate as it was at `atMs`: what was revoked later was good then. */
function signerAt(der: Buffer, atMs: number, { trust }: SignerFiles): PartyCertificate | string {
  const crl = trust.crl.map((list) => ({
    ...list,
    // The list of today says what was revoked then, too.
    nextUpdateMs: Infinity,
    revoked: new Map([...list.revoked].filter(([, revokedAtMs]) => revokedAtMs <= atMs)),
  }))
  const found = checkPartyCertificate(der, atMs, { ...trust, crl, pins: new Map() })
  if (!('code' in found)) return found
  return `the certificate when the request was accepted: ${found.code} ${found.detail ?? ''}`.trim()
}

type Options = { pki: string; certificate?: string; json: boolean; form: boolean }

/** @returns the exit code: 0 when the signature fits, 1 when it does not or is missing */
export async function verifySignature(
  ledger: Ledger,
  id: string,
  { pki, certificate, json, form }: Options,
  print: Print,
): Promise<number> {
  const wanted = id.toUpperCase()
  const files = signersOf(pki, certificate)
  let found: AuditLine | undefined
  await auditOf(ledger, (line) => {
    if (line.requestId === wanted && line.isAcceptance === true) found = line
  })
  const line = found as AuditLine | undefined
  if (line === undefined)
    throw new BrokerError('REQUEST_NOT_FOUND', `the ledger has no acceptance of ${wanted}`)
  if (!json) print(formatLine(line))
  const { signed } = line
  if (signed === undefined || typeof signed === 'string') {
    const what = signed === undefined ? 'it was not signed' : `FAULT  ${signed}`
    print(json ? JSON.stringify({ requestId: wanted, faults: [what] }) : what)
    return 1
  }
  const proof = proofOf(line, signed, files)
  const { faults } = proof
  if (json) {
    print(JSON.stringify(proof))
    return faults.length === 0 ? 0 : 1
  }
  print(`signature  ${proof.signature}`)
  if (form) for (const each of proof.canonical.trimEnd().split('\n')) print(`  ${each}`)
  for (const fault of faults) print(`FAULT  ${fault}`)
  if (faults.length === 0)
    print('the signature fits: this certificate signed exactly what was accepted')
  return faults.length === 0 ? 0 : 1
}
