/** What a host does with a message that the ledger does not take. */
import { kindOfActor } from '../../../core/base/actor-id.ts'
import { pause, type Clock } from '../../../core/ports/clock.ts'
import { refuse } from '../../kind/replies.ts'
import type { ActorKinds } from '../../kind/actor-kind.ts'
import type { Mail } from '../partition/mail-queue.ts'
import { ledgerRetryMs } from './owned-partitions.ts'

/**
 * What is left to do with a message that is too large for the ledger all by itself, which its
 * settings exclude at the start: it may have been told a smaller `max_payload` since.
 */
export async function smallerMails(
  mail: Mail,
  now: number,
  kinds: ActorKinds,
  clock: Clock,
): Promise<Mail[]> {
  const message = kinds.get(kindOfActor(mail.actor))?.smallerOf(mail.message)
  if (message === undefined) refuse(mail.message, 'BROKER_LEDGER_FULL', now)
  else if (message === mail.message) await pause(clock, ledgerRetryMs)
  return message === undefined ? [] : [{ ...mail, message }]
}
