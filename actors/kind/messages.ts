/** Messages that every kind of actor gets from the runtime; each kind adds its own. */
import type { ReplyTo } from './effects.ts'

/**
 * An envelope from outside of one of the kinds that belong to this kind of actor, at `buffer[at]`,
 * checked before. Borrowed until the tick it is decided in has been committed.
 */
export type Arrived = { type: 'ARRIVED'; buffer: Buffer; at: number; replyTo: ReplyTo }

export const isArrived = (message: ActorMessage): message is Arrived => message.type === 'ARRIVED'

/** The time that the actor asked for has come. */
export type Wake = { type: 'WAKE' }

/**
 * The partition has just been taken over or reloaded: whatever was on its way is to be sent again.
 */
export type Resume = { type: 'RESUME' }

/** The facts of the message before have been applied: what now? Follows each that gave facts. */
export type Next = { type: 'NEXT' }

/** What a message of any kind of actor has for the runtime; `replyTo` when somebody waits. */
export type ActorMessage = { readonly type: string; readonly replyTo?: ReplyTo }

export const wake: Wake = { type: 'WAKE' }
export const resume: Resume = { type: 'RESUME' }
export const next: Next = { type: 'NEXT' }
