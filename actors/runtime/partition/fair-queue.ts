/**
 * Requests of one lane that wait for the next tick: those of each party in their order, the parties
 * in turns, so that one with much to ask does not hold up the others.
 */
import { MailQueue, type Mail } from './mail-queue.ts'
import type { Partition } from './partition.ts'

class PartyQueue extends MailQueue {
  readonly party: string
  /** Of each partition, how many wait. */
  readonly waiting = new Map<Partition, number>()

  constructor(party: string) {
    super()
    this.party = party
  }
}

export class FairQueue {
  private readonly byParty = new Map<string, PartyQueue>()
  /** Parties for which something waits, in the order of their turns. */
  private readonly ring: PartyQueue[] = []
  private turn = 0
  length = 0

  /** Requests of `party` that wait for `partition`. */
  waitingOf(party: string, partition: Partition): number {
    return this.byParty.get(party)?.waiting.get(partition) ?? 0
  }

  push(mail: Mail, party: string): void {
    let queue = this.byParty.get(party)
    if (queue === undefined) {
      queue = new PartyQueue(party)
      this.byParty.set(party, queue)
      this.ring.push(queue)
    }
    queue.push(mail)
    queue.waiting.set(mail.partition, (queue.waiting.get(mail.partition) ?? 0) + 1)
    this.length++
  }

  /** Moves up to `max` requests to `target`, one of each party in turn. */
  moveTo(target: Mail[], max: number): void {
    for (let left = Math.min(max, this.length); left > 0; left--) {
      if (this.turn >= this.ring.length) this.turn = 0
      const queue = this.ring[this.turn]!
      const mail = queue.shift()!
      target.push(mail)
      this.length--
      queue.waiting.set(mail.partition, queue.waiting.get(mail.partition)! - 1)
      if (queue.length > 0) {
        this.turn++
        continue
      }
      this.ring.splice(this.turn, 1)
      this.byParty.delete(queue.party)
    }
  }
}
