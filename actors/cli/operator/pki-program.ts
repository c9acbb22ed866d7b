/** What `busbar pki` does; pki-commands.ts gives it its options. */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { formatEui64, parseEui64, readEui64 } from '../../../core/base/eui64.ts'
import { Role } from '../../../core/catalogue/service-requests.ts'
import {
  authorityOf,
  initPki,
  issuedIn,
  issueInto,
  renewListIn,
  revokeIn,
  type Issued,
} from '../../../core/ops/pki-folder.ts'
import type { CertificateSubject } from '../../../core/pki/authority.ts'
import { roleCodeOf } from '../../../core/pki/profile.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import { UsageFault } from '../operator-fault.ts'
import type { Print } from '../shared-options.ts'
import { tableOf } from '../table.ts'

const ports = { clock: systemClock, random: systemRandom }

const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter(Boolean)

export async function initCommand(
  folder: string,
  { name, hosts, days }: { name: string; hosts: string; days: number },
  out: Print,
): Promise<void> {
  await initPki(folder, { name, hosts: listOf(hosts), days }, ports)
  out(`${folder}  authority ${name}, empty revocation list, certificate of the doors for ${hosts}`)
  out('Next: busbar pki issue --pki FOLDER --party EUI-64 --role ROLE')
}

export type IssueOptions = {
  pki: string
  party?: string
  role?: string
  name?: string
  operator?: string
  hosts?: string
  renew: boolean
  days: number
}

export async function issueCommand(options: IssueOptions, out: Print): Promise<void> {
  const { pki, days, renew: isRenewal } = options
  const path = await issueInto(pki, subjectOf(options), { days, isRenewal }, ports)
  out(`${path}  valid for ${days} days; its private key is beside it`)
}

/** @throws UsageFault */
function subjectOf({ party, role, name, operator, hosts }: IssueOptions): CertificateSubject {
  if ([party, operator, hosts].filter((one) => one !== undefined).length !== 1)
    throw new UsageFault('give one of --party, --operator and --hosts')
  if (operator !== undefined) {
    if (!/^[\w.@-]{1,60}$/.test(operator) || operator.startsWith('.'))
      throw new UsageFault('--operator must be letters, digits, and . @ _ - within')
    return { kind: 'operator', name: operator }
  }
  if (hosts !== undefined) return { kind: 'server', hosts: listOf(hosts) }
  const octets = parseEui64(party!)
  const known = Role.find((one) => one === role)
  if (octets === undefined)
    throw new UsageFault('--party must be an EUI-64 such as 90-B3-D5-1F-30-01-00-00')
  if (known === undefined) throw new UsageFault(`--role must be one of ${Role.join(', ')}`)
  return { kind: 'party', eui64: readEui64(octets), roleCode: roleCodeOf[known], name }
}

export async function revokeCommand(
  what: string | undefined,
  { pki, renew, days }: { pki: string; renew: boolean; days?: number },
  out: Print,
): Promise<void> {
  if ((what === undefined) !== renew) throw new UsageFault('give an EUI-64 or a serial, or --renew')
  if (what === undefined) {
    await renewListIn(pki, systemClock, days)
    return out('the revocation list was written again')
  }
  const serials = await revokeIn(pki, what, ports, days)
  for (const serial of serials) out(`${serial}  revoked`)
  if (serials.length === 0) out('every certificate of it was revoked before')
  else out('Gateways that read this folder close its connections within seconds.')
}

/** Prints them; returns 1 when the authority or its list is out of date. */
export function showCommand({ pki, json }: { pki: string; json: boolean }, out: Print): number {
  const nowMs = systemClock.now()
  const { certificate, listUntilMs } = authorityOf(pki)
  const rows = [{ certificate, revokedAtMs: undefined }, ...issuedIn(pki)].map((one) =>
    rowOf(one, nowMs),
  )
  if (json) for (const row of rows) out(JSON.stringify(row))
  else {
    const head = ['serial', 'for', 'role code', 'state', 'valid to', 'pin']
    const table = rows.map(({ serial, subject, roleCode, state, validTo, pin }) => [
      ...[serial, subject, roleCode, state, validTo, pin],
    ])
    for (const line of tableOf([head, ...table])) out(line)
    out(`revocation list valid to ${new Date(listUntilMs).toISOString()}`)
  }
  if (nowMs <= listUntilMs && nowMs <= certificate.notAfterMs) return 0
  out('The authority or its list is out of date: no party is let in.')
  return 1
}

function rowOf({ certificate, revokedAtMs }: Issued, nowMs: number) {
  const { serial, subjectFields, notBeforeMs, notAfterMs, keyPin: pin } = certificate
  const { names, units, uniqueIds } = subjectFields
  const [id] = uniqueIds
  const isTimely = nowMs >= notBeforeMs && nowMs <= notAfterMs
  const state = revokedAtMs === undefined ? (isTimely ? 'valid' : 'not valid now') : 'revoked'
  if (id !== undefined && id.length !== 8) throw new BrokerError('PKI_FILE_INVALID', serial)
  return {
    serial,
    subject: id === undefined ? (names[0] ?? '') : formatEui64(id),
    roleCode: units[0] ?? '',
    state,
    validTo: new Date(notAfterMs).toISOString(),
    pin,
  }
}
