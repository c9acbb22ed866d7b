/** `busbar pki init|issue|revoke|show`: the certificates of parties, operators and the doors. */
import { InvalidArgumentError, Option, type Command } from 'commander'
import { limits } from '../../../core/base/limits.ts'
import { wholeNumber, type Print } from '../shared-options.ts'
import type { IssueOptions } from './pki-program.ts'

const after = `
The folder holds private keys: it is its owner's alone (mode 700, files 600). ca.key signs
certificates; keep it away from machines that serve. core/docs/operating/certificates.md says which
files go where.`

const days = (text: string): number => {
  const count = wholeNumber(text)
  if (count < 1 || count > limits.certificateDaysMax)
    throw new InvalidArgumentError(`It must be from 1 to ${limits.certificateDaysMax}.`)
  return count
}

const daysOption = (what: string, value?: number): Option => {
  const option = new Option('--days <number>', what).argParser(days)
  return value === undefined ? option : option.default(value)
}

const pkiOption = (): Option =>
  new Option('--pki <folder>', 'folder that `busbar pki init` has made')
    .env('BUSBAR_PKI')
    .default('pki')

/** Adds `pki`. */
export function addPkiCommands(program: Command, { out }: { out: Print }): void {
  const pki = program
    .command('pki')
    .description('certificates of parties, operators and doors')
    .addHelpText('after', after)
  pki
    .command('init')
    .description('make an authority, its revocation list and the certificate of the doors')
    .argument('[folder]', 'new folder', 'pki')
    .option('--name <text>', 'common name of the authority', 'Busbar')
    .option(
      '--hosts <names>',
      'names and addresses under which clients reach the doors, separated by commas',
      'localhost,127.0.0.1,::1',
    )
    .addOption(daysOption('how long they are valid', limits.authorityDaysDefault))
    .action(async (folder: string, options: { name: string; hosts: string; days: number }) => {
      const { initCommand } = await import('./pki-program.ts')
      await initCommand(folder, options, out)
    })
  addIssue(pki, out)
  pki
    .command('revoke')
    .description('revoke certificates: of a party by its EUI-64, or one by its serial')
    .argument('[what]', 'EUI-64 or serial; left out with --renew')
    .addOption(pkiOption())
    .option('--renew', 'revoke nothing, write the list again', false)
    .addOption(daysOption('how long the list is valid; as long as the authority when left out'))
    .action(
      async (what: string | undefined, options: { pki: string; renew: boolean; days?: number }) => {
        const { revokeCommand } = await import('./pki-program.ts')
        await revokeCommand(what, options, out)
      },
    )
  pki
    .command('show')
    .description('list the authority and the certificates it has issued')
    .addOption(pkiOption())
    .option('--json', 'one line of JSON for each', false)
    .action(async (options: { pki: string; json: boolean }) => {
      const { showCommand } = await import('./pki-program.ts')
      process.exitCode = showCommand(options, out)
    })
}

function addIssue(pki: Command, out: Print): void {
  pki
    .command('issue')
    .description('issue a certificate with a new key, for a party, an operator or the doors')
    .addOption(pkiOption())
    .option('--party <eui64>', 'EUI-64 of the party; with --role')
    .option('--role <role>', 'user role of the party: IS, ES, GS, RSA, ED, GT, OU or LC')
    .option('--name <text>', 'common name of the party, optional')
    .option('--operator <name>', 'name of the operator')
    .option('--hosts <names>', 'for the doors: their names and addresses, separated by commas')
    .option('--renew', 'replace the certificate that is there', false)
    .addOption(daysOption('how long it is valid', limits.certificateDaysDefault))
    .action(async (options: IssueOptions) => {
      const { issueCommand } = await import('./pki-program.ts')
      await issueCommand(options, out)
    })
}
