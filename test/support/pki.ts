/** Folders of certificates for the tests, made once a process where they need not be fresh. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { parseEui64, readEui64 } from '../../core/base/eui64.ts'
import type { Role } from '../../core/catalogue/service-requests.ts'
import { initPki, issueInto } from '../../core/ops/pki-folder.ts'
import { roleCodeOf } from '../../core/pki/profile.ts'
import { systemClock, type Clock } from '../../core/ports/clock.ts'
import { systemRandom } from '../../core/ports/random.ts'

export const pkiPorts = { clock: systemClock, random: systemRandom }

/** A clock that shows `ms` later, or earlier, than the system's. */
export const shiftedClock = (ms: number): Clock => ({
  ...systemClock,
  now: () => systemClock.now() + ms,
})

/** An authority with a certificate of the doors at this machine's addresses. */
export async function newPki(days = 30, clock: Clock = systemClock): Promise<string> {
  const folder = join(mkdtempSync(join(tmpdir(), 'busbar-pki-')), 'pki')
  const hosts = ['localhost', '127.0.0.1', '::1']
  await initPki(folder, { name: 'Test', hosts, days }, { ...pkiPorts, clock })
  return folder
}

/** Issues a certificate for a party; settles with its path. */
export function issueParty(
  folder: string,
  party: string,
  { role = 'IS', days = 10, clock = systemClock, isRenewal = true }: IssueWishes = {},
): Promise<string> {
  const eui64 = readEui64(parseEui64(party)!)
  const subject = { kind: 'party', eui64, roleCode: roleCodeOf[role], name: undefined } as const
  return issueInto(folder, subject, { days, isRenewal }, { ...pkiPorts, clock })
}

type IssueWishes = { role?: Role; days?: number; clock?: Clock; isRenewal?: boolean }

/** A folder with a certificate for each party of the examples. */
export async function demoPki(): Promise<string> {
  const folder = await newPki()
  for (const { eui64, role } of demoPartiesJson) await issueParty(folder, eui64, { role })
  return folder
}
