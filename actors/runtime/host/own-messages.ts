/** What a host owes its actors by itself: wakes that are due, and devices that are to resume after their partition was loaded. */
import type { Eui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { resume, wake, type DeviceMessage } from '../../device/messages.ts'
import type { Exchanges } from '../exchanges.ts'
import type { Mailbox } from '../partition/mailbox.ts'
import type { OwnedPartitions } from './owned-partitions.ts'
import type { Partition } from '../partition/partition.ts'

/** Half a tick, so that requests are decided beside them. */
const ownPerTickMax = limits.tickMessagesMax / 2

export class OwnMessages {
  private readonly mailbox: Mailbox
  private readonly partitions: OwnedPartitions
  private readonly exchanges: Exchanges
  private turn = 0
  /** There was no room for all of them: to be posted after the next tick. */
  isMoreDue = false

  constructor(mailbox: Mailbox, partitions: OwnedPartitions, exchanges: Exchanges) {
    this.mailbox = mailbox
    this.partitions = partitions
    this.exchanges = exchanges
  }

  /** Posts as many as there is room for. */
  post(now: number): void {
    let room = ownPerTickMax - this.mailbox.ownLength
    const post = (partition: Partition, devices: Eui64[], message: DeviceMessage): void => {
      for (const device of devices) this.mailbox.post({ partition, device, message })
      room -= devices.length
    }
    const partitions = [...this.partitions.values()]
    this.turn++
    for (let i = 0; i < partitions.length && room > 0; i++) {
      // Each in its turn is the first, so that none takes the others' room.
      const partition = partitions[(this.turn + i) % partitions.length]!
      post(partition, partition.due(now, room), wake)
      // The WAN fails what it has no room for, and that would be an attempt lost.
      if (room > 0 && this.exchanges.count < limits.wanExchangesMax / 2)
        post(partition, partition.unfinished(now, room), resume)
    }
    this.isMoreDue = room <= 0
  }
}
