/**
 * What one gateway process knows of one party: who it is and how much of the gateway it takes. Made
 * once a party, not once a call.
 */
import type { PartyStanding } from '../../access/access-control.ts'
import { standingOf } from '../../access/directory.ts'
import type { Parties, Party } from '../../access/parties.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import type { Eui64 } from '../../base/eui64.ts'
import { AssignedCounters } from '../../base/request-counter.ts'
import type { Random } from '../../ports/random.ts'

export class PartyAccount {
  party: Party
  /** Why it may have nothing done and receives nothing, since it was suspended or removed. */
  refusal: PartyStanding
  /** What ends each of its calls that last, when it is suspended or removed. */
  readonly lasting = new Set<(code: ErrorCode) => void>()
  /** Requests without an acknowledgement, over all connections. */
  inFlight = 0
  /** Requests whose signature, or that of one before them, is not verified yet. */
  unverified = 0
  /** gRPC calls that have not ended. */
  calls = 0
  /** Counters that this gateway assigns to its requests. */
  readonly assigned: AssignedCounters

  constructor(party: Party, mark: number) {
    this.party = party
    this.assigned = new AssignedCounters(mark)
  }
}

/** The accounts of the known parties that have called; bounded by their number. */
export class PartyAccounts {
  private readonly mark: number
  private readonly accounts = new Map<Eui64, PartyAccount>()

  /** @param random draws the mark of this gateway, see AssignedCounters */
  constructor(random: Random) {
    this.mark = random.bytes(2).readUInt16BE(0)
  }

  of(party: Party): PartyAccount {
    let account = this.accounts.get(party.id)
    if (!account) this.accounts.set(party.id, (account = new PartyAccount(party, this.mark)))
    return account
  }

  /** The parties are `known` from now on: calls of those that may not any more end. */
  update(known: Parties): void {
    for (const [id, account] of this.accounts) {
      account.party = known.get(id) ?? account.party
      account.refusal = standingOf({ isInForce: true, parties: known }, id)
      if (account.refusal !== undefined) for (const end of account.lasting) end(account.refusal)
    }
  }
}
