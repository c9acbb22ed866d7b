/** `busbar ledger`: the command lines of verify, show, verify-signature and tail. */
import { join } from 'node:path'
import type { Command } from 'commander'
import { addPlaceOptions, wholeNumber, type Place, type Print } from '../shared-options.ts'
import { untilStopped } from '../stop-signal.ts'
import { withLedger } from './with-ledger.ts'

type Proof = Place & { pki?: string; certificate?: string; form: boolean; json: boolean }

/** Adds `ledger`. */
export function addLedgerCommands(program: Command, { out }: { out: Print }): void {
  const ledger = program
    .command('ledger')
    .description('what a deployment has written, for operators')
  addPlaceOptions(ledger.command('verify'))
    .description('check every hash chain and count; ends with 1 when something does not hold')
    .option('--json', 'one line of JSON', false)
    .action(async ({ json, ...where }: Place & { json: boolean }) => {
      const { verify } = await import('./ledger-commands.ts')
      await withLedger(where, (opened) => verify(opened.ledger, out, json, opened.replicaSource))
    })
  addPlaceOptions(ledger.command('show'))
    .description('everything that is written about one request, or the letters of one actor')
    .argument('<id>', 'originator:target:counter; or a device, or kind/octets of an actor')
    .action(async (id: string, where: Place) => {
      const { show } = await import('./ledger-commands.ts')
      await withLedger(where, (opened) => show(opened.ledger, id, out))
    })
  addPlaceOptions(ledger.command('verify-signature'))
    .description('prove that a request was signed as it was accepted; ends with 1 when it was not')
    .argument('<id>', 'originator:target:counter')
    .option('--pki <folder>', 'folder of certificates; pki in the data directory when left out')
    .option('--certificate <file>', 'the signing certificate, when the folder does not have it')
    .option('--form', 'print the canonical form, with the values of the request', false)
    .option('--json', 'one line of JSON, with the canonical form', false)
    .action(async (id: string, { pki, certificate, form, json, ...where }: Proof) => {
      const { verifySignature } = await import('./signature-audit.ts')
      const options = {
        pki: pki ?? join(where.dataDir, 'pki'),
        ...(certificate !== undefined && { certificate }),
        form,
        json,
      }
      await withLedger(where, (opened) => verifySignature(opened.ledger, id, options, out))
    })
  addPlaceOptions(ledger.command('tail'))
    .description('facts, letters and deliveries as they are written, until Ctrl-C')
    .option('--from <sequence>', 'from this tick on; from now on when left out', wholeNumber, 0)
    .option('--count <lines>', 'end after so many', wholeNumber)
    .action(async ({ from, count, ...where }: Place & { from: number; count?: number }) => {
      const { tail } = await import('./ledger-tail.ts')
      const until = untilStopped(false)
      await withLedger(where, async (opened) => {
        await tail(opened.ledger, { from, count: count ?? Infinity, print: out, until })
        return 0
      })
    })
}
