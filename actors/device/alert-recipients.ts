/**
 * Who gets what a device says by itself: of a device with meter points the parties that are
 * registered there at that moment in the roles that the alert code is for, and those of `alertsTo`
 * that are registered there or have a consent; of one without, those of `alertsTo`. Pure, a part of
 * actor.ts.
 */
import type { Directory } from '../../core/access/directory.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { alertRolesOf } from '../../core/catalogue/alert-codes.ts'
import { registeredAt } from '../../core/registration/rights.ts'
import { mayHaveAlerts } from './grants.ts'
import type { DeviceState } from './state.ts'

type Parties = Directory['parties']

/** Parties by role and participant id, made once for each directory. */
const indexes = new WeakMap<Parties, ReadonlyMap<string, readonly Eui64[]>>()

function indexOf(parties: Parties): ReadonlyMap<string, readonly Eui64[]> {
  const known = indexes.get(parties)
  if (known !== undefined) return known
  const index = new Map<string, Eui64[]>()
  for (const [id, { role, participant }] of parties) {
    if (participant === undefined) continue
    const key = `${role}/${participant}`
    index.set(key, [...(index.get(key) ?? []), id])
  }
  indexes.set(parties, index)
  return index
}

const none: readonly Eui64[] = []

/** `alertCode` is 0 for a message without a code that is known. */
export function recipientsOf(
  state: DeviceState,
  alertCode: number,
  parties: Parties,
  atMs: number,
): readonly Eui64[] {
  const named = state.record?.alertsTo ?? none
  const links = state.linked?.links ?? []
  if (links.length === 0) return named
  const found = new Set<Eui64>()
  const roles = alertRolesOf(alertCode)
  for (const { rights } of links)
    for (const { role, participant, fromMs, toMs } of rights?.periods ?? [])
      if (roles.has(role) && fromMs <= atMs && atMs < toMs)
        for (const party of indexOf(parties).get(`${role}/${participant}`) ?? none) found.add(party)
  for (const party of named) {
    const holder = parties.get(party)
    const isEntitled =
      holder?.role === 'OU'
        ? mayHaveAlerts(state, party, parties, atMs)
        : holder !== undefined && registeredAt(links, holder, atMs) !== undefined
    if (isEntitled) found.add(party)
  }
  return [...found]
}
