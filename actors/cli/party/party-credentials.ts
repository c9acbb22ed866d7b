/** The credentials that a party command was given: `--party`, and `--pki` for its certificate. */
import { readFileSync } from 'node:fs'
import { join, parse } from 'node:path'
import type { PartyCredentials } from '../../../core/access/credentials.ts'
import type { SigningFiles } from '../../../core/client/sign-request.ts'
import { hasPartyFiles, readPartyFiles } from '../../../core/ops/pki-folder.ts'
import { settings } from '../../../core/ops/settings.ts'

/**
 * The key in the file `keyPath` and its certificate, beside it with the ending .crt when
 * `certificatePath` is undefined.
 * @throws Error when one cannot be read
 */
export function readSigningFiles(keyPath: string, certificatePath?: string): SigningFiles {
  const { dir, name } = parse(keyPath)
  const beside = certificatePath ?? join(dir, `${name}.crt`)
  return { keyPem: readFileSync(keyPath, 'utf8'), certificatePem: readFileSync(beside, 'utf8') }
}

/** Where a broker on this machine that was told nothing else has its certificates. */
const developmentFolder = (): string =>
  join(process.env[settings.dataDir.env] || settings.dataDir.default, 'pki')

/**
 * Without `--pki` it is the folder for development of a broker here, when that has the party; else
 * the header, for a door without TLS.
 * @throws BrokerError PKI_FILE_INVALID when the folder given has no certificate of the party
 */
export function credentialsOf({
  party,
  pki,
}: {
  party: string
  pki?: string | undefined
}): PartyCredentials {
  if (pki !== undefined) return { party, tls: readPartyFiles(pki, party) }
  const folder = developmentFolder()
  return hasPartyFiles(folder, party) ? { party, tls: readPartyFiles(folder, party) } : { party }
}
