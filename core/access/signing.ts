/**
 * Which requests a party has to sign: data of its record in the directory. Gateways check it before
 * a request goes on, and the device's actor again in the tick that would accept it.
 */
import { parseSrv, type Srv } from '../base/srv.ts'
import {
  serviceRequestOf,
  serviceRequests,
  type ServiceRequestRow,
} from '../catalogue/service-requests.ts'

/** `all`, `critical`, or service reference variants; without an entry nothing has to be signed. */
export type MustSign = readonly string[]

export const mustSignWords = 'a list of all, critical or variants of the catalogue, each once'

/** A list of the words `all` and `critical` and of variants of the catalogue, each once. */
export const isMustSign = (value: unknown): value is MustSign =>
  Array.isArray(value) &&
  value.length <= serviceRequests.length + 2 &&
  new Set(value).size === value.length &&
  value.every((word) => typeof word === 'string' && isWord(word))

const isWord = (word: string): boolean =>
  word === 'all' || word === 'critical' || serviceRequestOf(parseSrv(word))?.text === word

/** Whether a party of which `mustSign` is demanded has to sign a request of `row`. */
export function hasToSign(
  { mustSign }: { readonly mustSign?: MustSign | undefined },
  row: Pick<ServiceRequestRow, 'text' | 'isCritical'>,
): boolean {
  if (mustSign === undefined) return false
  if (mustSign.includes('all') || (row.isCritical && mustSign.includes('critical'))) return true
  return mustSign.includes(row.text)
}

/** The same by the number of the variant, for a request that is not looked at otherwise. */
export function hasToSignSrv(
  party: { readonly mustSign?: MustSign | undefined },
  srv: Srv,
): boolean {
  if (party.mustSign === undefined) return false
  const row = serviceRequestOf(srv)
  return row !== undefined && hasToSign(party, row)
}
