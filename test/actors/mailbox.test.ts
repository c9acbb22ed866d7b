/** Lanes of a mailbox: who comes first, and that nobody starves anybody else. */
import t from 'tap'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import type { ActorMessage } from '../../actors/kind/messages.ts'
import { Mailbox, type Mail } from '../../actors/runtime/partition/mailbox.ts'
import type { Partition } from '../../actors/runtime/partition/partition.ts'
import { deviceKey } from '../support/envelopes.ts'

const mailOf = (type: string, partition = { waiting: 0 } as Partition): Mail => ({
  partition,
  actor: deviceKey(0),
  message: { type } as ActorMessage,
})

const countsOf = (mails: readonly Mail[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { message } of mails) counts[message.type] = (counts[message.type] ?? 0) + 1
  return counts
}

const { tickMessagesMax } = limits
const lettersShare = Math.ceil((tickMessagesMax * limits.tickLettersPercent) / 100)

t.test('letters and requests, both more than a tick takes: each gets its share', async (t) => {
  const mailbox = new Mailbox()
  const partition = { waiting: 0 } as Partition
  const many = 3 * tickMessagesMax
  for (let i = 0; i < many; i++) {
    mailbox.tell(mailOf('LETTER'))
    mailbox.offer(mailOf('ARRIVED', partition), Lane.NORMAL)
  }
  for (let tick = 0; tick < 3; tick++) {
    const taken = mailbox.take(tickMessagesMax)
    t.same(countsOf(taken), { LETTER: lettersShare, ARRIVED: tickMessagesMax - lettersShare })
    t.equal(taken[0]?.message.type, 'LETTER', 'letters before normal requests')
  }
  t.equal(mailbox.length, 2 * many - 3 * tickMessagesMax)
  t.equal(partition.waiting, many - 3 * (tickMessagesMax - lettersShare))
})

t.test('urgent requests and the own messages of the host leave letters their share', async (t) => {
  const mailbox = new Mailbox()
  for (let i = 0; i < tickMessagesMax; i++) {
    mailbox.offer(mailOf('ARRIVED'), Lane.URGENT)
    mailbox.post(mailOf('WAKE'))
    mailbox.tell(mailOf('LETTER'))
  }
  const taken = mailbox.take(tickMessagesMax)
  t.same(countsOf(taken), { ARRIVED: tickMessagesMax - lettersShare, LETTER: lettersShare })
  t.equal(taken[0]?.message.type, 'ARRIVED', 'urgent requests first')
  // What was put back is decided next, before everything else.
  mailbox.putBack(taken)
  const next = mailbox.take(tickMessagesMax)
  t.equal(next.length, tickMessagesMax)
  t.ok(next.every((mail, index) => mail === taken[index]))
})

t.test('a share that nobody needs is for the others', async (t) => {
  const mailbox = new Mailbox()
  for (let i = 0; i < 100; i++) mailbox.tell(mailOf('LETTER'))
  t.same(countsOf(mailbox.take(80)), { LETTER: 80 })
  for (let i = 0; i < 100; i++) mailbox.offer(mailOf('ARRIVED'), Lane.BULK)
  t.same(countsOf(mailbox.take(100)), { LETTER: 20, ARRIVED: 80 })
  t.same(countsOf(mailbox.take(100)), { ARRIVED: 20 })
  t.equal(mailbox.length, 0)
  mailbox.tell(mailOf('LETTER'))
  mailbox.offer(mailOf('ARRIVED'), Lane.NORMAL)
  t.same(countsOf(mailbox.take(1)), { LETTER: 1 }, 'a tick of one message')
  t.same(countsOf(mailbox.take(1)), { ARRIVED: 1 })
})
