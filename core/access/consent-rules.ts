/**
 * What the consent of a third party (OU) must cover, by service reference variant, as data
 * (consent-rules.json). Read and checked once, when the process starts.
 */
import { assert } from '../base/assert.ts'
import { parseSrv, type Srv } from '../base/srv.ts'
import { serviceRequestOf, serviceRequests } from '../catalogue/service-requests.ts'
import { ConsentCategory, Granularity, type ConsentNeed } from '../registration/consent.ts'
import { neverWithDevice, withoutRegistration } from './access-rules.ts'
import rules from './consent-rules.json' with { type: 'json' }

const needs = new Map<Srv, ConsentNeed>()

function add(text: string, need: ConsentNeed): void {
  const srv = parseSrv(text)
  const row = serviceRequestOf(srv)
  assert(row?.roles.includes('OU') === true, `consent rules: ${text} is not for third parties`)
  assert(!needs.has(srv), `consent rules: ${text} stands there twice`)
  needs.set(srv, need)
}

function needOf({
  category,
  granularity,
}: {
  category: string
  granularity?: string
}): ConsentNeed {
  const known = ConsentCategory.find((word) => word === category)
  const fineness = Granularity.find((word) => word === granularity)
  assert(
    known !== undefined && (granularity === undefined || fineness !== undefined),
    `consent rules: ${category} ${granularity} is not known`,
  )
  return { category: known, granularity: fineness }
}

for (const { srv, ...need } of rules.needs) add(srv, needOf(need))
for (const srv of rules.anyConsent) add(srv, {})
for (const { srv, text, roles } of serviceRequests)
  assert(
    !roles.includes('OU') ||
      needs.has(srv) ||
      neverWithDevice.has(srv) ||
      withoutRegistration.has(srv),
    `consent rules: nothing for ${text}`,
  )

/**
 * What a consent must cover for a third party to send a variant. Of a variant that no third party
 * may send: any consent.
 */
export const consentNeedOf = (srv: Srv): ConsentNeed => needs.get(srv) ?? anyConsent

/** Fulfilled by every consent that holds. */
export const anyConsent: ConsentNeed = {}

/** All variants that need a consent, for pages. */
export const consentNeeds: ReadonlyMap<Srv, ConsentNeed> = needs
