/**
 * What one gateway process knows of one party: who it is and how much of the gateway it takes. Made
 * once a party, not once a call.
 */
import type { Party } from '../access/parties.ts'
import type { Eui64Key } from '../base/eui64.ts'

export class PartyAccount {
  readonly party: Party
  /** Requests without an acknowledgement, over all connections. */
  inFlight = 0

  constructor(party: Party) {
    this.party = party
  }
}

/** The accounts of the known parties that have called; bounded by their number. */
export class PartyAccounts {
  private readonly accounts = new Map<Eui64Key, PartyAccount>()

  of(party: Party): PartyAccount {
    let account = this.accounts.get(party.key)
    if (!account) this.accounts.set(party.key, (account = new PartyAccount(party)))
    return account
  }
}
