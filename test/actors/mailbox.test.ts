/** Lanes of a mailbox: who comes first, and that nobody starves anybody else. */
import t from 'tap'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import type { ActorMessage } from '../../actors/kind/messages.ts'
import type { Mail } from '../../actors/runtime/partition/mail-queue.ts'
import { Mailbox } from '../../actors/runtime/partition/mailbox.ts'
import type { Partition } from '../../actors/runtime/partition/partition.ts'
import { Admission } from '../../actors/runtime/host/admission.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { deviceKey, envelopeOf } from '../support/envelopes.ts'

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
    mailbox.offer(mailOf('ARRIVED', partition), Lane.NORMAL, i % 2 === 0 ? 'a' : 'b')
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

/** Requests named by their party and number, as the mailbox gives them out. */
const names = new WeakMap<Mail, string>()
function named(party: string, number: number, partition: Partition): Mail {
  const mail = mailOf('ARRIVED', partition)
  names.set(mail, `${party}${number}`)
  return mail
}
const namesOf = (mails: readonly Mail[]): string[] => mails.map((mail) => names.get(mail) ?? '')

t.test('the parties of a lane take turns, each in its own order', async (t) => {
  const mailbox = new Mailbox()
  const partition = { waiting: 0 } as Partition
  const offer = (party: string, number: number, lane: Lane = Lane.NORMAL): boolean =>
    mailbox.offer(named(party, number, partition), lane, party)
  for (let number = 1; number <= 6; number++) offer('flood', number)
  for (let number = 1; number <= 2; number++) offer('b', number)
  offer('c', 1)
  t.same(namesOf(mailbox.take(4)), ['flood1', 'b1', 'c1', 'flood2'])
  offer('c', 2)
  offer('flood', 7, Lane.URGENT)
  t.same(namesOf(mailbox.take(20)), ['flood7', 'b2', 'c2', 'flood3', 'flood4', 'flood5', 'flood6'])
  t.equal(mailbox.length, 0)
})

/** Ticks that each request of a slow party waits while others send `flood` requests a tick. */
function waitsBeside(floods: readonly string[], perTick: number): number[] {
  const mailbox = new Mailbox()
  const partition = { waiting: 0 } as Partition
  const sentAt = new Map<string, number>()
  const waits: number[] = []
  for (let tick = 0; tick < 12; tick++) {
    for (const flood of floods)
      for (let i = 0; i < perTick; i++)
        mailbox.offer(mailOf('ARRIVED', partition), Lane.NORMAL, flood)
    for (let i = 0; i < 20; i++) {
      const number = tick * 20 + i
      if (!mailbox.offer(named('slow', number, partition), Lane.NORMAL, 'slow'))
        waits.push(Infinity)
      else sentAt.set(`slow${number}`, tick)
    }
    for (const name of namesOf(mailbox.take(tickMessagesMax)))
      if (sentAt.has(name)) waits.push(tick + 1 - sentAt.get(name)!)
  }
  return waits.sort((a, b) => a - b)
}

t.test('floods leave the p99 of another party within 1.5 times of quiet', async (t) => {
  const p99Of = (waits: readonly number[]): number => waits[Math.floor(waits.length * 0.99)]!
  const quiet = p99Of(waitsBeside([], 0))
  t.equal(quiet, 1, 'the next tick')
  for (const floods of [['a'], ['a', 'b'], ['a', 'b', 'c', 'd', 'e']]) {
    const waits = waitsBeside(floods, 2 * tickMessagesMax)
    t.equal(waits.length, 240, 'each is taken, and decided')
    t.ok(p99Of(waits) <= 1.5 * quiet, `${floods.length} floods: ${p99Of(waits)} ticks`)
  }
})

t.test('one party takes half of a partition, two take two thirds', async (t) => {
  const { mailboxMessagesMax } = limits
  const mailbox = new Mailbox()
  const [partition, next] = [{ waiting: 0 } as Partition, { waiting: 0 } as Partition]
  const fill = (party: string, to: Partition): number => {
    let count = 0
    while (mailbox.offer(mailOf('ARRIVED', to), Lane.NORMAL, party)) count++
    return count
  }
  t.equal(fill('a', partition), mailboxMessagesMax / 2)
  t.equal(fill('b', partition), mailboxMessagesMax / 4, 'as much as is left then')
  t.equal(fill('a', partition), 0)
  t.ok(mailbox.offer(mailOf('ARRIVED', partition), Lane.NORMAL, 'c'), 'there is room for others')
  t.equal(fill('a', next), mailboxMessagesMax / 2, 'of each partition for itself')
  mailbox.take(mailboxMessagesMax * 2)
  t.equal(fill('a', partition), mailboxMessagesMax / 2, 'and again when it is empty')
})

t.test('a partition that fills up takes top-ups to the last', async (t) => {
  const { mailboxMessagesMax } = limits
  const answersAt = (waiting: number): (string | undefined)[] =>
    ['4.8.1', '4.1.1', '7.2', '2.2', undefined].map((srv) => {
      const mail = mailOf('ARRIVED', { waiting } as Partition)
      const buffer = envelopeOf(srv === undefined ? { kind: Kind.CANCEL, srv: '0.0' } : { srv })
      return new Admission(new Mailbox(), noMetrics).offer(mail, buffer, 0)
    })
  const shed = 'BROKER_LOAD_SHED'
  const none = undefined
  t.same(answersAt(mailboxMessagesMax * 0.6 - 1), [none, none, none, none, none])
  t.same(answersAt(mailboxMessagesMax * 0.6), [shed, none, none, none, none])
  t.same(answersAt(mailboxMessagesMax * 0.75), [shed, shed, none, none, none])
  t.same(answersAt(mailboxMessagesMax * 0.9), [shed, shed, shed, none, none])
  const busy = 'BROKER_PARTITION_BUSY'
  t.same(answersAt(mailboxMessagesMax), [shed, shed, shed, busy, busy])
})
