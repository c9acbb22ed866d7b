/**
 * By which right a party uses the device, and how far back it may read. Pure, a part of actor.ts.
 * Asked at each use: when a request is accepted, when it is sent, and when its outcome is
 * delivered.
 *
 * A party reads times of its own registration, or of its own consent, only: the meter enforces
 * nothing of that. What a request asks for before is left out of the command; one that asks for
 * earlier times alone is refused. @source ../shared/domain/access-control.md, reads of the past
 */
import { anyConsent, consentNeedOf } from '../../core/access/consent-rules.ts'
import type { Directory } from '../../core/access/directory.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { Grant, GrantBasis } from '../../core/registration/grant.ts'
import type { ReportedLink } from '../../core/registration/rights-report.ts'
import {
  consentAt,
  entitlementOf,
  firstEntryMs,
  registeredAt,
  withoutConsent,
  type Entitlement,
} from '../../core/registration/rights.ts'
import { BodyType } from '../../core/translate/body-types.ts'
import { emptyBodyFields, readBody } from '../../core/translate/body.ts'
import type { RequestGranted } from './grant-fact.ts'
import type { DeviceState, OpenRequest } from './state.ts'

/** What is looked at of the directory. */
type Known = Pick<Directory, 'parties' | 'needsMeterPoints'>

/** Who wants to do what, when. */
export type Use = {
  readonly party: Eui64
  readonly srv: Srv
  readonly directory: Known
  readonly atMs: number
}

const noLinks: readonly ReportedLink[] = []
const linksOf = ({ linked }: DeviceState): readonly ReportedLink[] => linked?.links ?? noLinks

/**
 * May a party use the device? One without meter points is open to all, unless the deployment
 * requires them.
 */
export function entitlementAt(state: DeviceState, use: Use): Entitlement {
  const links = linksOf(state)
  if (links.length === 0 && !use.directory.needsMeterPoints) return 'entitled'
  const holder = use.directory.parties.get(use.party)
  if (holder === undefined) return 'not-entitled'
  if (holder.role !== 'OU') return entitlementOf(links, holder, use.atMs)
  const found = consentAt(links, holder, consentNeedOf(use.srv), use.atMs)
  return found === undefined ? withoutConsent(links) : 'entitled'
}

/**
 * True for a third party without a consent that covers what it wants: neither a command nor an
 * outcome is for it, also while it is not known whether there is one.
 */
export const isConsentGone = (state: DeviceState, use: Use): boolean =>
  use.directory.parties.get(use.party)?.role === 'OU' && entitlementAt(state, use) !== 'entitled'

/** May `party` have what the device says by itself? A third party needs a consent for it. */
export function mayHaveAlerts(
  state: DeviceState,
  party: Eui64,
  parties: Directory['parties'],
  atMs: number,
): boolean {
  const links = linksOf(state)
  const holder = parties.get(party)
  if (links.length === 0 || holder?.role !== 'OU') return true
  return consentAt(links, holder, anyConsent, atMs) !== undefined
}

type Basis = GrantBasis & { readonly readableFromMs: number; readonly isConsent: boolean }

/** The right by which an entitled party uses the device, and the first time that it may read. */
function basisAt(state: DeviceState, { party, srv, directory, atMs }: Use): Basis | undefined {
  const links = linksOf(state)
  const holder = directory.parties.get(party)
  if (links.length === 0 || holder === undefined) return undefined
  if (holder.role === 'OU') {
    const found = consentAt(links, holder, consentNeedOf(srv), atMs)
    if (found === undefined) return undefined
    const { consent, point: link } = found
    const readableFromMs = consent.fromMs + firstEntryMs
    return { ...basisOf(link), consent: consent.id, readableFromMs, isConsent: true }
  }
  const found = registeredAt(links, holder, atMs)
  if (found === undefined) return undefined
  const readableFromMs = found.sinceMs + firstEntryMs
  return { ...basisOf(found.point), readableFromMs, isConsent: false }
}

const basisOf = ({
  point,
  rights,
}: ReportedLink): { point: GrantBasis['point']; version: number } => ({
  point,
  version: rights?.version ?? 0,
})

/** The period that a body asks for, UTC ms, inclusive; undefined when it asks for none. */
function periodIn(
  bodyType: number,
  bodyView: Buffer,
): { fromMs: number; toMs: number } | undefined {
  if (bodyType !== BodyType.READ_PERIOD) return undefined
  const fields = emptyBodyFields()
  const place = { bodyType, bodyStart: 0, bodyEnd: bodyView.length }
  // The door has checked it, against the time of then.
  const code = readBody(bodyView, place, Number.NEGATIVE_INFINITY, fields)
  return code === undefined ? fields : undefined
}

const none: readonly never[] = []

export type Asked = Pick<OpenRequest, 'originator' | 'counter' | 'srv' | 'bodyType'> & {
  readonly bodyBytes: Buffer
}

/**
 * The first time that may be read for a request, UTC ms, or READ_PERIOD_NOT_OWN when it asks for
 * earlier ones alone; undefined when nothing need be left out.
 */
export function cutOf(
  state: DeviceState,
  { originator: party, srv, bodyType, bodyBytes }: Asked,
  directory: Known,
  atMs: number,
): number | Extract<ErrorCode, 'READ_PERIOD_NOT_OWN'> | undefined {
  if (bodyType !== BodyType.READ_PERIOD || linksOf(state).length === 0) return undefined
  const basis = basisAt(state, { party, srv, directory, atMs })
  const period = basis && periodIn(bodyType, bodyBytes)
  if (period === undefined || basis === undefined || period.fromMs >= basis.readableFromMs)
    return undefined
  return period.toMs < basis.readableFromMs ? 'READ_PERIOD_NOT_OWN' : basis.readableFromMs
}

/**
 * The fact beside the acceptance of `asked`: of a third party always, of others when something is
 * left out; or why it is refused.
 */
export function grantedAs(
  state: DeviceState,
  asked: Asked,
  directory: Known,
  atMs: number,
): readonly RequestGranted[] | Extract<ErrorCode, 'READ_PERIOD_NOT_OWN'> {
  const { originator, counter, srv } = asked
  const cut = cutOf(state, asked, directory, atMs)
  if (typeof cut === 'string') return cut
  const found = basisAt(state, { party: originator, srv, directory, atMs })
  if (found === undefined || (!found.isConsent && cut === undefined)) return none
  const { point, version, consent } = found
  const basis: GrantBasis = {
    point,
    version,
    ...(consent !== undefined && { consent }),
    ...(cut !== undefined && { readableFromMs: cut }),
  }
  return [{ type: 'REQUEST_GRANTED', originator, counter, time: atMs, basis }]
}

/** Applies REQUEST_GRANTED: the last `deviceGrantsMax` are remembered. */
export function evolveGranted(
  state: DeviceState,
  { originator, counter, time, basis }: RequestGranted,
): void {
  const { last = 0, links = [], grants = [] } = state.linked ?? {}
  const grant: Grant = { originator, counter, atMs: time, ...basis }
  state.linked = { last, links, grants: [...grants, grant].slice(-limits.deviceGrantsMax) }
}
