/**
 * Which requests a host takes into its mailbox: lower load classes are shed first when a partition
 * fills up, and no party takes all of it (../partition/mailbox.ts).
 */
import type { ErrorCode } from '../../../core/base/error-table.ts'
import { limits } from '../../../core/base/limits.ts'
import type { Srv } from '../../../core/base/srv.ts'
import { loadClassOf } from '../../../core/catalogue/load-classes.ts'
import { readLane, readOriginator, readSrv } from '../../../core/envelope/envelope.ts'
import type { Counter, Metrics } from '../../../core/ports/metrics.ts'
import type { Mail } from '../partition/mail-queue.ts'
import type { Mailbox } from '../partition/mailbox.ts'

export class Admission {
  private readonly mailbox: Mailbox
  private readonly metrics: Metrics
  private readonly shed = new Map<string, Counter>()

  constructor(mailbox: Mailbox, metrics: Metrics) {
    this.mailbox = mailbox
    this.metrics = metrics
  }

  /** Takes the request in the envelope at `at`; a code when it has no place. */
  offer(mail: Mail, buffer: Buffer, at: number): ErrorCode | undefined {
    const { name, fullAt } = loadClassOf(readSrv(buffer, at) as Srv)
    const { waiting } = mail.partition
    if (fullAt < 1 && waiting >= fullAt * limits.mailboxMessagesMax) return this.shedOne(name)
    const isTaken = this.mailbox.offer(mail, readLane(buffer, at), readOriginator(buffer, at))
    return isTaken ? undefined : 'BROKER_PARTITION_BUSY'
  }

  private shedOne(name: string): ErrorCode {
    let counter = this.shed.get(name)
    if (counter === undefined) {
      counter = this.metrics.counter(
        'busbar_host_shed_total',
        'Service requests that the host has shed because a partition fills up, by load class',
        { class: name },
      )
      this.shed.set(name, counter)
    }
    counter.add()
    return 'BROKER_LOAD_SHED'
  }
}
