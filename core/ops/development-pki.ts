/**
 * Certificates for development: an authority in the data directory with a certificate for each
 * party of the parties file, made at the first start of a broker that was given no others. A
 * reader of that folder can act as any party.
 */
import type { Parties } from '../access/parties.ts'
import { textOfEui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { reachableHost } from '../base/loopback.ts'
import { roleCodeOf } from '../pki/profile.ts'
import {
  ensureSignersIn,
  hasPartyFiles,
  hasPki,
  initPki,
  issueInto,
  type PkiPorts,
} from './pki-folder.ts'

/** No name for a client: the addresses that listen everywhere. */
const isEverywhere = (host: string): boolean => reachableHost(host) !== host

const hosts = ['localhost', '127.0.0.1', '::1']

/** Makes what is missing; settles with whether anything was. `doors`: where the doors listen. */
export async function ensureDevelopmentPki(
  folder: string,
  parties: Parties,
  doors: readonly string[],
  ports: PkiPorts,
): Promise<boolean> {
  const days = limits.authorityDaysDefault
  let isChanged = false
  if (!hasPki(folder)) {
    const names = [...new Set([...hosts, ...doors.filter((one) => !isEverywhere(one))])]
    await initPki(folder, { name: 'Busbar development', hosts: names, days }, ports)
    isChanged = true
  }
  for (const { id, role, name } of parties.values()) {
    if (hasPartyFiles(folder, textOfEui64(id))) continue
    const subject = { kind: 'party', eui64: id, roleCode: roleCodeOf[role], name } as const
    await issueInto(folder, subject, { days }, ports)
    isChanged = true
  }
  // Folders of versions before have none.
  await ensureSignersIn(folder, ports.clock)
  return isChanged
}
