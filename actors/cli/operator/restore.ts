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
import { settings } from '../../../core/ops/settings.ts'
import type { AuditResult } from './ledger-audit.ts'
import { firstSequenceOf, readManifest, restore } from './backup.ts'
import {
  backupPortsOf,
  openOperatorLedger,
  type MadeLedger,
  type Where,
} from './operator-ledger.ts'

/**
 * @throws BrokerError BACKUP_DAMAGED, LEDGER_DEPLOYMENT_MISMATCH when there is a deployment
 * already, and what a start may
 */
export async function restoreInto(
  where: Where,
  folder: string,
  replicas = 1,
): Promise<AuditResult> {
  // Before anything is made.
  const manifest = await readManifest(folder)
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
