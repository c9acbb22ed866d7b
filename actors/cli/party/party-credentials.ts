/** The credentials that a party command was given: `--party`, and `--pki` for its certificate. */
import type { PartyCredentials } from '../../../core/access/credentials.ts'
import { readPartyFiles } from '../../../core/ops/pki-folder.ts'

/** @throws BrokerError PKI_FILE_INVALID when the folder has no certificate of the party */
export const credentialsOf = ({
  party,
  pki,
}: {
  party: string
  pki?: string | undefined
}): PartyCredentials => ({ party, ...(pki !== undefined && { tls: readPartyFiles(pki, party) }) })
