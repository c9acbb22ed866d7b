/**
 * The register of consents at a meter point: what an operator's envelope changes in it. Pure, a
 * part of actor.ts. A consent is known by its id: granted or withdrawn again, it changes nothing.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import {
  decodeGrant,
  decodeTenancy,
  decodeWithdrawal,
  encodeGrant,
  type ConsentGrant,
  type ConsentWithdrawal,
  type TenancyChange,
} from '../../core/registration/consent-change.ts'
import {
  consentsToSend,
  tenancyStartMs,
  withConsent,
  withTenancy,
  withWithdrawal,
  type ConsentRegister,
} from '../../core/registration/consent-register.ts'
import type { Arrived } from '../kind/messages.ts'
import type { ConsentGranted, ConsentWithdrawn, TenancyChanged } from './facts.ts'
import type { MeterPointState } from './state.ts'

export type RegisterFact = ConsentGranted | ConsentWithdrawn | TenancyChanged

/**
 * The fact that an envelope of an operator leads to; undefined when it changes nothing, or the code
 * of its refusal.
 */
export function registerFact(
  { register }: MeterPointState,
  { buffer, at }: Arrived,
  now: number,
): RegisterFact | ErrorCode | undefined {
  const view = readBodyView(buffer, at)
  try {
    switch (readKind(buffer, at)) {
      case Kind.CONSENT_GRANT:
        return granted(register, decodeGrant(view), now)
      case Kind.CONSENT_WITHDRAWAL:
        return withdrawn(register, decodeWithdrawal(view), now)
      case Kind.TENANCY_CHANGE:
        return begun(register, decodeTenancy(view), now)
      default:
        return 'ENVELOPE_MALFORMED'
    }
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return 'CONSENT_MALFORMED'
  }
}

function granted(
  register: ConsentRegister,
  grant: ConsentGrant,
  now: number,
): ConsentGranted | ErrorCode | undefined {
  const known = register.consents.find(({ id }) => id === grant.id)
  if (known !== undefined)
    return encodeGrant(known).equals(encodeGrant(grant)) ? undefined : 'CONSENT_ID_USED'
  // It would be the consent of people who have moved out.
  if (grant.fromMs < tenancyStartMs(register, now)) return 'CONSENT_BEFORE_TENANCY'
  const consent = { ...grant, grantedAtMs: now }
  const after = withConsent(register, consent)
  const isFull =
    after.consents.length > limits.meterPointConsentsMax ||
    consentsToSend(register, now).length >= limits.rightsConsentsMax
  return isFull ? 'CONSENTS_FULL' : { type: 'CONSENT_GRANTED', time: now, consent }
}

function withdrawn(
  { consents }: ConsentRegister,
  { id, by, reason }: ConsentWithdrawal,
  now: number,
): ConsentWithdrawn | ErrorCode | undefined {
  const known = consents.find((one) => one.id === id)
  if (known === undefined) return 'CONSENT_UNKNOWN'
  if (known.withdrawal !== undefined) return undefined
  return { type: 'CONSENT_WITHDRAWN', time: now, id, by, reason }
}

function begun(
  { tenancies }: ConsentRegister,
  { startMs, by }: TenancyChange,
  now: number,
): TenancyChanged | ErrorCode | undefined {
  if (tenancies.includes(startMs)) return undefined
  const ahead = tenancies.filter((one) => one > now).length
  if (startMs > now && ahead >= limits.tenanciesAheadMax) return 'CONSENTS_FULL'
  return { type: 'TENANCY_CHANGED', time: now, startMs, by }
}

/** The register with one fact more. */
export function registerAfter(register: ConsentRegister, fact: RegisterFact): ConsentRegister {
  switch (fact.type) {
    case 'CONSENT_GRANTED':
      return withConsent(register, fact.consent)
    case 'CONSENT_WITHDRAWN': {
      const { id, by, reason, time } = fact
      return withWithdrawal(register, id, { atMs: time, by, reason })
    }
    case 'TENANCY_CHANGED':
      return withTenancy(register, fact.startMs)
  }
}
