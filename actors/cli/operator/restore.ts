/**
 * A backup into a deployment that does not exist yet: on a NATS that runs elsewhere, or in a data
 * directory with a nats-server of its own.
 */
import { resolve } from 'node:path'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { readLedgerFile } from '../../../core/ops/ledger-file.ts'
import { makeDataDir } from '../../../core/ops/data-dir.ts'
import { startNatsServer } from '../../../core/ops/embedded-nats/nats-child.ts'
import { createLog } from '../../../core/ops/log.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { settings } from '../../../core/ops/settings.ts'
import type { AuditResult } from './ledger-audit.ts'
import { firstSequenceOf, readManifest, restore, type Manifest } from './backup.ts'
import { checkBackupSignatures, type Signatories } from './backup-signatures.ts'
import {
  backupPortsOf,
  openOperatorLedger,
  type MadeLedger,
  type Where,
} from './operator-ledger.ts'

/** Who has to have signed a backup, where somebody has to. */
export type RestoreTrust = {
  readonly signatories?: Signatories | undefined
  /** Brings back what nobody has signed, whatever the manifest says. */
  readonly isUnsignedAllowed?: boolean
}

/**
 * @throws BrokerError BACKUP_SIGNATURES_MISSING where two operators have to sign and have not,
 * BACKUP_DAMAGED, LEDGER_DEPLOYMENT_MISMATCH when there is a deployment
 * already, and what a start may
 */
export async function restoreInto(
  where: Where,
  folder: string,
  replicas = 1,
  trust: RestoreTrust = {},
): Promise<AuditResult> {
  // Before anything is made.
  const manifest = await readManifest(folder)
  expectSignatures(folder, manifest, trust)
  const firstSequence = firstSequenceOf(manifest)
  if (where.natsUrl) return into({ url: where.natsUrl }, folder, { firstSequence, replicas })
  const dataDir = resolve(where.dataDir ?? settings.dataDir.default)
  const knownLedger = readLedgerFile(dataDir)?.ledger
  if (knownLedger && manifest.ledger && knownLedger !== manifest.ledger)
    throw new BrokerError(
      'LEDGER_IDENTITY_MISMATCH',
      `${dataDir} belongs to ledger ${knownLedger}, and the backup is of ledger ${manifest.ledger}; name another --data-dir`,
    )
  makeDataDir(dataDir)
  const server = await startNatsServer({ dataDir, log: createLog('warn') })
  try {
    return await into(server, folder, { firstSequence }, knownLedger)
  } finally {
    await server.stop()
  }
}

function expectSignatures(
  folder: string,
  { needsSignatures }: Manifest,
  { signatories, isUnsignedAllowed = false }: RestoreTrust,
): void {
  if (isUnsignedAllowed) return
  if (signatories !== undefined) checkBackupSignatures(folder, signatories, systemClock.now())
  else if (needsSignatures)
    throw new BrokerError(
      'BACKUP_SIGNATURES_MISSING',
      'the backup is one of a deployment with operators of its own',
    )
}

async function into(
  address: { url: string; user?: string; password?: string },
  folder: string,
  made: MadeLedger,
  knownLedger?: string,
): Promise<AuditResult> {
  const opened = await openOperatorLedger(address, 'restore', made)
  try {
    const restoring = opened.restoring && { ...opened.restoring, knownLedger }
    return await restore(await backupPortsOf(opened), folder, restoring)
  } finally {
    await opened.close()
  }
}
