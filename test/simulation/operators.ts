/**
 * Operators suspend and resume parties while everything goes wrong, and resume all of them in the
 * end. What they were told is done is in the directory.
 */
import type { LedgerChecker } from './checkers.ts'
import { supplierCount, type Deployment } from './deployment.ts'
import { Chance } from './faults.ts'
import { partyOf } from './names.ts'

export class Operators {
  private readonly draw: Chance
  private readonly deployment: Deployment
  private readonly checker: LedgerChecker
  /** Parties whose change nobody has answered yet. */
  private readonly busy = new Set<number>()

  constructor(seed: number, deployment: Deployment, checker: LedgerChecker) {
    this.draw = new Chance(seed, 'parties')
    this.deployment = deployment
    this.checker = checker
  }

  work(): void {
    if (this.draw.is(0.15)) this.change(this.draw.between(1, supplierCount), this.draw.is(0.4))
  }

  resumeAll(): void {
    for (let number = 1; number <= supplierCount; number++)
      if (this.isBarred(number)) this.change(number, false)
  }

  /** What is still to be done before all is at rest. */
  left(): string[] {
    const numbers = Array.from({ length: supplierCount }, (_, index) => index + 1)
    return numbers
      .filter((number) => this.busy.has(number) || this.isBarred(number))
      .map((number) => `party ${number} is suspended, or a change of it is under way`)
  }

  private isBarred(number: number): boolean {
    return this.checker.standings.barred.includes(partyOf(number).id)
  }

  private change(number: number, isSuspension: boolean): void {
    if (this.busy.has(number)) return
    this.busy.add(number)
    const change = isSuspension ? 'suspend' : 'resume'
    const revision = this.checker.standings.revisionOf(partyOf(number).id)
    void this.deployment
      .changeParty(number, { change, revision, by: 'operator' })
      .then(() => this.busy.delete(number))
  }
}
