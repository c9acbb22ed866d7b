/** Facts of the schedules of a device, as far as they are the device's: schedules.ts. */
import type { Eui64 } from '../../core/base/eui64.ts'
import type { Srv } from '../../core/base/srv.ts'
import {
  readBodyView,
  readOutcome,
  readSrv,
  readTarget,
  readTime,
} from '../../core/envelope/envelope.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'
import { packedUses, usesIn, type Use } from '../../core/schedule/letters.ts'
import { aboutRequestIn, type AboutRequest } from './waiting-facts.ts'

/** Who has schedules of which variants, as the schedules of the device say. */
export type KnownSchedules = { readonly device: Eui64; readonly uses: readonly Use[] }

export type SchedulesKnown = KnownSchedules & {
  type: 'SCHEDULES_KNOWN'
  /** UTC ms. */
  time: number
}

/** A run that was due was not accepted, for the reason in `outcome`, a row of the error table. */
export type ScheduledRunRefused = AboutRequest & {
  type: 'SCHEDULED_RUN_REFUSED'
  srv: Srv
  outcome: number
}

export const knownBody = ({ uses }: SchedulesKnown): Buffer => packTree(packedUses(uses))

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export const readKnown = (buffer: Buffer, at: number): SchedulesKnown => ({
  type: 'SCHEDULES_KNOWN',
  time: readTime(buffer, at),
  device: readTarget(buffer, at),
  uses: readTree(readBodyView(buffer, at), 'who has schedules', ([uses]) => usesIn(uses)),
})

export const readRunRefused = (buffer: Buffer, at: number): ScheduledRunRefused => ({
  type: 'SCHEDULED_RUN_REFUSED',
  ...aboutRequestIn(buffer, at),
  srv: readSrv(buffer, at) as Srv,
  outcome: readOutcome(buffer, at),
})
