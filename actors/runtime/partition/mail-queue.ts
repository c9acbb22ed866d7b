/** So many have left before the others move up. */
const forgetAt = 1_024

/** Messages that wait, first in, first out. */
import type { ActorId } from '../../../core/base/actor-id.ts'
import type { ActorMessage } from '../../kind/messages.ts'
import type { Partition } from './partition.ts'

/** A message that waits for the next tick. */
export type Mail = { partition: Partition; actor: ActorId; message: ActorMessage }

export class MailQueue {
  private items: Mail[] = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  push(mail: Mail): void {
    this.items.push(mail)
  }

  unshift(mails: readonly Mail[]): void {
    this.items = [...mails, ...this.items.slice(this.head)]
    this.head = 0
  }

  /** The first one, or undefined. */
  shift(): Mail | undefined {
    const mail = this.items[this.head]
    if (mail !== undefined) this.head++
    this.tidy()
    return mail
  }

  /** Moves up to `max` messages to `target`. */
  moveTo(target: Mail[], max: number): void {
    const end = Math.min(this.items.length, this.head + max)
    while (this.head < end) target.push(this.items[this.head++]!)
    this.tidy()
  }

  private tidy(): void {
    const isDone = this.head === this.items.length
    // A queue that is never empty must not keep what has left it.
    if (!isDone && (this.head < forgetAt || this.head * 2 < this.items.length)) return
    this.items = isDone ? [] : this.items.slice(this.head)
    this.head = 0
  }
}
