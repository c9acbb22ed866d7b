/**
 * Bugs planted between a host and its ports, to show that the simulation finds their like. No
 * product code knows of them.
 */
import { scheduleKind } from '../../actors/schedule/schedule-kind.ts'
import type { ScheduleState } from '../../actors/schedule/state.ts'
import { partitionOfLetters } from '../../core/cluster/letters-subject.ts'
import { ActorKindNumber, kindOfActor } from '../../core/base/actor-id.ts'
import { limits } from '../../core/base/limits.ts'
import { decodeCursor, encodeCursor } from '../../core/envelope/delivery-id.ts'
import { decide, evolve, park } from '../../actors/device/actor.ts'
import { noneEnded } from '../../actors/device/ended-requests.ts'
import { pastCountOf } from '../../actors/device/past-counters.ts'
import { packState, unpackState } from '../../actors/device/state-codec.ts'
import { emptyDirectory } from '../../core/access/directory.ts'
import type { ActorKind } from '../../actors/kind/actor-kind.ts'
import type { DeliverAlert } from '../../actors/kind/effects.ts'
import { thresholdKind } from '../../actors/threshold/threshold-kind.ts'
import { trialKind } from '../support/trial-kind.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import { ledgerOver, storeOver } from '../support/pass-through.ts'
import type { Plant } from './deployment.ts'

export const planted: Readonly<Record<string, Plant>> = {
  'acknowledged before the commit': {
    ledger: (ledger, clock) =>
      ledgerOver(ledger, {
        commit: async (entries) => {
          if (!entries[0]!.subject.startsWith('log.')) return ledger.commit(entries)
          const kept = entries.map((entry) => ({ ...entry, data: Buffer.from(entry.data) }))
          const last = await ledger.lastOn('log.*')
          clock.at(clock.now() + 50, () => void ledger.commit(kept))
          return { firstSequence: (last?.sequence ?? 0) + 1 }
        },
      }),
  },
  'no fence': {
    ledger: (ledger) =>
      ledgerOver(ledger, {
        commit: (entries) =>
          ledger.commit(
            entries.map(({ subject, data, expect }) =>
              subject.startsWith('log.') || expect === undefined
                ? { subject, data }
                : { subject, data, expect },
            ),
          ),
      }),
  },
  'more is forgotten than the snapshots hold': {
    ledger: (ledger) =>
      ledgerOver(ledger, {
        forget: (subject, fromSequence) =>
          ledger.forget(subject, fromSequence + (subject.startsWith('log.') ? 3 : 0)),
      }),
  },
  'wakes lost when a partition changes hands': {
    store: (store) => ({
      ...store,
      save: (changes) => store.save({ ...changes, wakes: new Map() }),
    }),
  },
  'ended requests not persisted': {
    store: (store) => ({
      ...store,
      save: (changes) => {
        const states = new Map(changes.states)
        for (const [device, packed] of states) {
          if (kindOfActor(device) !== ActorKindNumber.DEVICE) continue
          const state = unpackState(packed)!
          state.ended = ''
          state.originators = []
          states.set(device, packState(state))
        }
        return store.save({ ...changes, states })
      },
    }),
  },
  'rights not persisted': {
    store: (store) => ({
      ...store,
      save: (changes) => {
        const states = new Map(changes.states)
        for (const [device, packed] of states) {
          if (kindOfActor(device) !== ActorKindNumber.DEVICE) continue
          states.set(device, packState({ ...unpackState(packed), linked: undefined }))
        }
        return store.save({ ...changes, states })
      },
    }),
  },
  'what has passed is not persisted': {
    store: (store) => ({
      ...store,
      save: (changes) => {
        const states = new Map(changes.states)
        for (const [id, packed] of states) {
          if (kindOfActor(id) !== ActorKindNumber.THRESHOLD) continue
          const state = thresholdKind.unpackState(packed)
          const counts = state.counts.map((count) => ({ ...count, passed: 0 }))
          states.set(id, thresholdKind.packState({ ...state, counts }))
        }
        return store.save({ ...changes, states })
      },
    }),
  },
  'a change of supplier not taken': {
    behaviour: {
      decide,
      evolve(state, fact) {
        const isKnown = state.linked?.links.some(({ rights }) => rights?.periods.length)
        if (fact.type !== 'RIGHTS_RECEIVED' || !isKnown) evolve(state, fact)
      },
      park,
    },
  },
  'a consent that is withdrawn still counts': {
    behaviour: {
      decide,
      evolve(state, fact) {
        const consents = state.linked?.links.flatMap(({ rights }) => rights?.consents ?? [])
        if (fact.type !== 'RIGHTS_RECEIVED' || !consents?.length) return evolve(state, fact)
        evolve(state, { ...fact, rights: { ...fact.rights, consents } })
      },
      park,
    },
  },
  'an exchange run twice': {
    wan: (wan) => ({
      exchange(...asked) {
        void wan.exchange(...asked)
        return wan.exchange(...asked)
      },
      close: () => wan.close(),
    }),
  },
  'a cursor written ahead of its party': {
    cursors: (cursors) => ({
      get: (name) => cursors.get(name),
      names: () => cursors.names(),
      put: (name, value) =>
        cursors.put(name, encodeCursor(decodeCursor(value) + limits.deliveriesPerFrameMax)),
    }),
  },
  'counters believed after a crash': {
    behaviour: {
      decide(state, message, now, directory, out) {
        if (state.keyring?.current) state.keyring.current.isUncertain = false
        decide(state, message, now, directory, out)
      },
      evolve,
      park,
    },
  },
  'old keys forgotten before the new ones are proved': {
    behaviour: {
      decide,
      evolve(state, fact) {
        const isSent = fact.type === 'KEYS_TRIED' && fact.stage === 'PROVE_NEW'
        evolve(state, isSent ? { ...fact, type: 'KEYS_PROVED' } : fact)
      },
      park,
    },
  },
  'a removed device forgets its requests': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        if (fact.type !== 'DEVICE_REMOVED') return
        Object.assign(state, noneEnded)
        state.originators = []
      },
      park,
    },
  },
  'a removed device forgets its counters': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        if (fact.type === 'DEVICE_REMOVED') state.keyring = undefined
      },
      park,
    },
  },
  'a removal ends nothing': {
    behaviour: {
      decide(state, message, now, directory, out) {
        decide(state, message, now, directory, out)
        if (out.facts.at(-1)?.type !== 'DEVICE_REMOVED') return
        out.facts.splice(0, out.facts.length - 1)
        out.deliveries.length = 0
      },
      evolve,
      park,
    },
  },
  // As it was before decision 0015: one that is forgotten makes all below it stale.
  'counters below a forgotten one refused': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        if (state.past.length === 0) return
        for (const one of state.originators)
          if (pastCountOf(state.past, one.key) > 0) one.floor = one.highest
        state.past = []
      },
      park,
    },
  },
  // As it was: an attempt waits for the time of a clock that may have been set back since.
  'wakes not clamped when a clock is set back': {
    behaviour: {
      decide(state, message, now, directory, out) {
        const waiting = state.open.filter(({ nextAttemptAt }) => nextAttemptAt > now)
        const planned = waiting.map(({ nextAttemptAt }) => nextAttemptAt)
        // As far away as no clamp minds.
        for (const one of waiting) one.nextAttemptAt = now + 1
        decide(state, message, now, directory, out)
        for (const [index, one] of waiting.entries()) one.nextAttemptAt = planned[index]!
      },
      evolve,
      park,
      clockSet: () => undefined,
    },
  },
  'a kind of actor forgotten by the store': {
    store: (store) =>
      storeOver(store, {
        load: (id) => (kindOfActor(id) === ActorKindNumber.DEVICE ? store.load(id) : undefined),
      }),
  },
  'letters passed over': {
    ledger: (ledger) =>
      ledgerOver(ledger, {
        follow: (subject, from, onMessage) => {
          let isOver = partitionOfLetters(subject) === undefined
          const skip = (message: LedgerMessage): void | Promise<void> => {
            if (isOver || message.sequence <= from) return onMessage(message)
            isOver = true
          }
          return ledger.follow(subject, from, skip)
        },
      }),
  },
  'a suspended party served by a host that lags': {
    directory: (directory) => ({
      get current() {
        return directory.current
      },
      isFresh: true,
      refreshAhead: () => undefined,
      refresh: () => Promise.resolve(true),
      trouble: undefined,
    }),
  },
  'the directory changed within a tick': {
    trial: (() => {
      let earlier = emptyDirectory
      const kind: ActorKind = {
        ...(trialKind as ActorKind),
        decide(state, message, now, directory, out) {
          const isEarlier = message.type === 'ARRIVED' && earlier.sequence > 0
          trialKind.decide(
            state as never,
            message,
            now,
            isEarlier ? earlier : directory,
            out as never,
          )
          earlier = directory
        },
      }
      return kind
    })(),
  },
  'a run of a schedule is lost': {
    schedule: {
      ...(scheduleKind as ActorKind),
      decide(state, message, now, directory, out) {
        scheduleKind.decide(state as never, message, now, directory, out as never)
        const isRun = out.facts.some(({ type }) => type === 'SCHEDULE_RAN')
        if (isRun) out.effects = out.effects.filter(({ type }) => type !== 'TELL')
      },
    },
  },
  'a run of a schedule is made again': {
    schedule: {
      ...(scheduleKind as ActorKind),
      evolve(state, fact, id) {
        const before = (state as ScheduleState).schedules
        scheduleKind.evolve(state as never, fact as never, id)
        if (fact.type === 'SCHEDULE_RAN') Object.assign(state as object, { schedules: before })
      },
    },
  },
  'a request for a later time does not wait': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        for (const { future } of state.open)
          if (future !== undefined) Object.assign(future, { isWaiting: false })
      },
      park,
    },
  },
  'a successor does not wait': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        for (const { sequence } of state.open)
          if (sequence !== undefined) Object.assign(sequence, { isWaiting: false })
      },
      park,
    },
  },
  'a predecessor that fails lets its successor go': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        if (fact.type !== 'REQUEST_ENDED') return
        for (const { originator, sequence } of state.open)
          if (sequence?.preceding === fact.counter && originator === fact.originator)
            Object.assign(sequence, { isWaiting: false })
      },
      park,
    },
  },
  'an alert goes to every supplier': {
    behaviour: {
      decide(state, message, now, directory, out) {
        decide(state, message, now, directory, out)
        const [alert] = out.deliveries.filter((one) => 'party' in one && one.isOfDcc !== true)
        if (message.type !== 'PUSH_OPENED' || alert === undefined) return
        for (const { id } of directory.parties.values())
          if (out.deliveries.every((one) => !('party' in one) || one.party !== id))
            out.deliveries.push({ ...(alert as DeliverAlert), party: id })
      },
      evolve,
      park,
    },
  },
  'held alerts are not persisted': {
    store: (store) => ({
      ...store,
      save: (changes) => {
        const states = new Map(changes.states)
        for (const [device, packed] of states) {
          if (kindOfActor(device) !== ActorKindNumber.DEVICE) continue
          states.set(device, packState({ ...unpackState(packed), throttles: [] }))
        }
        return store.save({ ...changes, states })
      },
    }),
  },
  'a notice counts one too few': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        if (fact.type !== 'ALERTS_TAKEN') return
        state.throttles = state.throttles.map((one) =>
          one.held > 1 && one.lastAt === fact.time ? { ...one, held: one.held - 1 } : one,
        )
      },
      park,
    },
  },
  'a push that comes again is counted again': {
    behaviour: {
      decide,
      evolve(state, fact) {
        evolve(state, fact)
        if (state.alerts !== undefined) state.alerts = { ...state.alerts, recent: [] }
      },
      park,
    },
  },
  'an outcome delivered twice': {
    behaviour: {
      decide(state, message, now, directory, out) {
        decide(state, message, now, directory, out)
        if (message.type === 'ANSWERED') out.deliveries.push(...out.deliveries)
      },
      evolve,
      park,
    },
  },
}
