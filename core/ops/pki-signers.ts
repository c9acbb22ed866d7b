/** The certificates that a signature of the past is verified with, and the authorities of them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BrokerError } from '../base/broker-error.ts'
import { digest } from '../crypto/crypto.ts'
import { DerFault, pemBlocks } from '../pki/der.ts'
import { trustOf, type Trust } from '../pki/party-check.ts'

export type SignerFiles = {
  /** DER by SHA-256 in hexadecimal digits. */
  readonly certificates: ReadonlyMap<string, Buffer>
  readonly trust: Trust
}

/**
 * Certificates in `signers.crt`, `parties/` and `issued/` of the folder, and in the file
 * `certificatePath`; authorities and revocation lists of the folder.
 * @throws BrokerError PKI_FILE_INVALID
 */
export function signersOf(folder: string, certificatePath?: string): SignerFiles {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8')
    } catch (cause) {
      throw new BrokerError('PKI_FILE_INVALID', `${path} cannot be read`, { cause })
    }
  }
  const inside = (name: string): string[] => {
    const path = join(folder, name)
    if (!existsSync(path)) return []
    return readdirSync(path)
      .filter((file) => file.endsWith('.crt'))
      .map((file) => join(path, file))
  }
  const bundle = join(folder, 'signers.crt')
  const paths = [...inside('issued'), ...inside('parties')]
  if (existsSync(bundle)) paths.push(bundle)
  if (certificatePath !== undefined) paths.push(certificatePath)
  const ders = paths.flatMap((path) => pemBlocks(read(path), 'CERTIFICATE'))
  const [ca, crl] = [read(join(folder, 'ca.crt')), read(join(folder, 'crl.pem'))]
  try {
    return {
      certificates: new Map(ders.map((der) => [digest('sha256', der).toString('hex'), der])),
      trust: trustOf(pemBlocks(ca, 'CERTIFICATE'), pemBlocks(crl, 'X509 CRL')),
    }
  } catch (cause) {
    if (!(cause instanceof DerFault)) throw cause
    throw new BrokerError('PKI_FILE_INVALID', `${folder}: ${cause.message}`, { cause })
  }
}
