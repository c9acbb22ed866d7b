/** `busbar backup` and `busbar restore`: their command lines. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { settings } from '../../../core/ops/settings.ts'
import { addPlaceOptions, type Place, type Print } from '../shared-options.ts'
import type { Signatories } from './backup-signatures.ts'
import { withLedger } from './with-ledger.ts'

/** Adds `backup` and `restore`. */
export function addBackupCommands(program: Command, terminal: { out: Print; err: Print }): void {
  addBackup(program, terminal)
  addRestore(program, terminal)
}

function addBackup(program: Command, { out, err }: { out: Print; err: Print }): void {
  const command = addPlaceOptions(program.command('backup'))
  addSign(command, out)
  addOperators(command)
    .description('copy ledger, snapshots and cursors of a deployment, which may go on running')
    .argument('<folder>', 'new, or empty')
    .action(async (folder: string, { operators, ...where }: Place & { operators?: string }) => {
      const { backup } = await import('./backup.ts')
      const { backupPortsOf } = await import('./operator-ledger.ts')
      await withLedger(where, async (opened) => {
        const { audit, cursors } = await backup(await backupPortsOf(opened), folder, {
          needsSignatures: Boolean(operators),
        })
        const { ticks, lastSequence, accepted, open, faults } = audit
        for (const fault of faults) err(`FAULT  ${fault}`)
        out(
          `${ticks} ticks up to ${lastSequence} and ${cursors} cursors: ${accepted} requests accepted, ${open} open`,
        )
        return faults.length === 0 ? 0 : 1
      })
    })
}

const addOperators = (command: Command): Command =>
  command.addOption(
    new Option(
      '--operators <folder>',
      'folder of operators, two of whom have to sign the backup before it is restored',
    ).env(settings.operators.env),
  )

function addSign(backup: Command, out: Print): void {
  backup
    .command('sign')
    .description('sign a backup as an operator, so that it may be restored')
    .argument('<folder>', 'of the backup')
    .requiredOption('--operator-cert <file>', 'as `busbar pki issue --operator` has made it')
    .requiredOption('--operator-key <file>', 'the private key that belongs to it')
    .action(async (folder: string, files: { operatorCert: string; operatorKey: string }) => {
      const { readManifest } = await import('./backup.ts')
      const { signBackup } = await import('./backup-signatures.ts')
      const { sha256, audit } = await readManifest(folder)
      const certificatePem = readText(files.operatorCert)
      const { name, count } = signBackup(folder, {
        certificatePem,
        keyPem: readText(files.operatorKey),
      })
      out(
        `${name} has signed ${folder}: ticks up to ${audit.lastSequence}, SHA-256 ${sha256}; signatures: ${count}`,
      )
    })
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    throw new BrokerError('PKI_FILE_INVALID', `${path} cannot be read (${code})`, { cause })
  }
}

type RestoreOptions = Place & {
  replicas: string
  operators?: string
  pki?: string
  insecureUnsignedBackup: boolean
}

/** Whose signatures count; undefined where the options name no operators. */
async function signatoriesOf({ operators, pki }: RestoreOptions): Promise<Signatories | undefined> {
  if (!operators) return undefined
  if (!pki)
    throw new BrokerError(
      'CONFIG_INVALID',
      `the authority of the operators is needed, too: name its folder (${settings.pki.env})`,
    )
  const { readOperators } = await import('../../../core/ops/operators-folder.ts')
  const { readTrust } = await import('../../../core/ops/pki-folder.ts')
  return { operators: readOperators(resolve(operators)), trust: readTrust(resolve(pki)) }
}

function addRestore(program: Command, { out, err }: { out: Print; err: Print }): void {
  addOperators(addPlaceOptions(program.command('restore'), { mayJoin: false }))
    .description('bring a backup into a new data directory, or a NATS without a deployment')
    .argument('<folder>', 'of the backup')
    .addOption(
      new Option('--replicas <count>', 'servers of the cluster that have the ledger')
        .choices(['1', '3', '5'])
        .env(settings.replicas.env)
        .default(settings.replicas.default),
    )
    .addOption(
      new Option('--pki <folder>', 'folder of certificates, with the authority of operators').env(
        settings.pki.env,
      ),
    )
    .option('--insecure-unsigned-backup', 'restore what two operators have not signed', false)
    .action(async (folder: string, where: RestoreOptions) => {
      const { restoreInto } = await import('./restore.ts')
      const isUnsignedAllowed = where.insecureUnsignedBackup
      const signatories = isUnsignedAllowed ? undefined : await signatoriesOf(where)
      if (signatories === undefined)
        err(
          'WARNING  no signatures of operators are checked: that is for development (--operators)',
        )
      const trust = { signatories, isUnsignedAllowed }
      const replicas = Number(where.replicas)
      const { ticks, accepted, open } = await restoreInto(where, folder, replicas, trust)
      out(
        `${ticks} ticks are back, every hash chain holds: ${accepted} requests accepted, ${open} open`,
      )
    })
}
