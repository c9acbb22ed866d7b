/**
 * `busbar ledger tail`: facts, deliveries and letters between actors as they are written. Headers
 * only: no reading and no secret is ever printed.
 */
import { partitionOfLetters, recordSubjects } from '../../../core/cluster/letters-subject.ts'
import { tickSubjects, type Ledger, type LedgerMessage } from '../../../core/ports/ledger.ts'
import { untrimmed } from '../../../core/ports/snapshot.ts'
import { LedgerAudit } from './ledger-audit.ts'
import { formatLine } from './ledger-commands.ts'

export type TailOptions = {
  /** Sequence of the first tick; 0 for what comes from now on. */
  from: number
  /** Of lines, at most. */
  count: number
  print: (line: string) => void
  until: Promise<unknown>
}

/** Prints until there are `count` lines, or `until` settles. */
export async function tail(
  ledger: Ledger,
  { from, count, print, until }: TailOptions,
): Promise<void> {
  const start = from > 0 ? from : ((await ledger.lastOn(tickSubjects))?.sequence ?? 0) + 1
  let left = count
  const { promise: enough, resolve } = Promise.withResolvers<void>()
  const audit = new LedgerAudit(untrimmed, (line) => {
    if (left-- > 0) print(formatLine(line))
    if (left <= 0) resolve()
  })
  const order = new TailOrder((message) => audit.readLines(message))
  // What is there by now is given in order; what comes, a tick before its letters.
  let seen = start - 1
  await ledger.read(recordSubjects, start, (message) => {
    seen = message.sequence
    order.onLetters(message)
  })
  const ticks = await ledger.follow(tickSubjects, start, (message) => order.onTick(message))
  const letters = await ledger.follow(recordSubjects, seen + 1, (message) =>
    order.onLetters(message),
  )
  await Promise.race([until, enough])
  await ticks.close()
  await letters.close()
}

/** Puts letters, which come by a follower of their own, behind the ticks of their commits. */
class TailOrder {
  private readonly give: (message: LedgerMessage) => void
  /** Letters whose tick has not been given, or which do not follow it without a gap. */
  private readonly held: LedgerMessage[] = []
  private lastGiven = 0

  constructor(give: (message: LedgerMessage) => void) {
    this.give = give
  }

  onTick(tick: LedgerMessage): void {
    while (this.held.length > 0 && this.held[0]!.sequence < tick.sequence) this.giveFirst()
    this.give(tick)
    this.lastGiven = tick.sequence
    this.giveNext()
  }

  onLetters(message: LedgerMessage): void {
    if (partitionOfLetters(message.subject) === undefined) return
    this.held.push(message)
    // Its tick was given long since: another one is behind it.
    if (message.sequence < this.lastGiven) this.giveFirst()
    this.giveNext()
  }

  private giveNext(): void {
    while (this.held[0]?.sequence === this.lastGiven + 1) this.lastGiven = this.giveFirst()
  }

  private giveFirst(): number {
    const message = this.held.shift()!
    this.give(message)
    return message.sequence
  }
}
