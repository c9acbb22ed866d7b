/** The ledger that killed.test.ts and its process count. */
import { LedgerAuthor } from '../../support/ledger-author.ts'

export async function killedAuthor(seed: number): Promise<LedgerAuthor> {
  const author = new LedgerAuthor(seed, 100)
  for (let tick = 0; tick < 150; tick++) await author.tick(40)
  return author
}
