/**
 * What a host owes its actors by itself: wakes that are due, and actors that are to resume after
 * their partition was loaded.
 */
import type { ActorId } from '../../../core/base/actor-id.ts'
import { limits } from '../../../core/base/limits.ts'
import { resume, wake, type ActorMessage } from '../../kind/messages.ts'
import type { Mailbox } from '../partition/mailbox.ts'
import type { OwnedPartitions } from './owned-partitions.ts'
import type { Partition } from '../partition/partition.ts'

/** Half a tick, so that requests are decided beside them. */
const ownPerTickMax = limits.tickMessagesMax / 2

export class OwnMessages {
  private readonly mailbox: Mailbox
  private readonly partitions: OwnedPartitions
  private readonly underWay: () => number
  private turn = 0
  /** There was no room for all of them: to be posted after the next tick. */
  isMoreDue = false

  /** `underWay` tells how much is on its way for actors. */
  constructor(mailbox: Mailbox, partitions: OwnedPartitions, underWay: () => number) {
    this.mailbox = mailbox
    this.partitions = partitions
    this.underWay = underWay
  }

  /** Posts as many as there is room for. */
  post(now: number): void {
    let room = ownPerTickMax - this.mailbox.ownLength
    const post = (partition: Partition, actors: ActorId[], message: ActorMessage): void => {
      for (const actor of actors) this.mailbox.post({ partition, actor, message })
      room -= actors.length
    }
    const partitions = [...this.partitions.values()]
    this.turn++
    for (let i = 0; i < partitions.length && room > 0; i++) {
      // Each in its turn is the first, so that none takes the others' room.
      const partition = partitions[(this.turn + i) % partitions.length]!
      post(partition, partition.due(now, room), wake)
      // The WAN fails what it has no room for, and that would be an attempt lost.
      if (room > 0 && this.underWay() < limits.wanExchangesMax / 2)
        post(partition, partition.unfinished(now, room), resume)
    }
    this.isMoreDue = room <= 0
  }
}
