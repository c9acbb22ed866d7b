/**
 * What is to be sent once at the end of an event-loop turn: frames to hosts, acknowledgements to
 * streams, deliveries to receivers. Everything that came in one turn goes out together, and an idle
 * system waits for nothing: no timer is involved.
 */
import { emptyList } from '../../base/empty-list.ts'

export type Flushable = { flush(): void }

export class Turn {
  private due: Flushable[] = []
  private spare: Flushable[] = []

  /**
   * Flushes `what` once this turn has read what there was to read. Add it once a turn: the caller
   * keeps a mark.
   */
  add(what: Flushable): void {
    if (this.due.push(what) === 1) setImmediate(this.run)
  }

  private readonly run = (): void => {
    const due = this.due
    this.due = this.spare
    for (let i = 0; i < due.length; i++) due[i]!.flush()
    emptyList(due)
    this.spare = due
  }
}
