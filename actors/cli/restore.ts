/** A backup into a deployment that does not exist yet: on a NATS that runs elsewhere, or in a data directory with a nats-server of its own. */
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { startNatsServer } from '../../core/ops/nats-child.ts'
import { createLog } from '../../core/ops/log.ts'
import type { AuditResult } from './ledger-audit.ts'
import { readManifest, restore } from './backup.ts'
import { openOperatorLedger, type Where } from './operator-ledger.ts'

/** @throws BrokerError BACKUP_DAMAGED, LEDGER_DEPLOYMENT_MISMATCH when there is a deployment already, and what a start may */
export async function restoreInto(where: Where, folder: string): Promise<AuditResult> {
  // Before anything is made.
  await readManifest(folder)
  if (where.natsUrl) return into({ url: where.natsUrl }, folder)
  const dataDir = resolve(where.dataDir ?? '.busbar/data')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const server = await startNatsServer({ dataDir, log: createLog('warn') })
  try {
    return await into(server, folder)
  } finally {
    await server.stop()
  }
}

async function into(
  address: { url: string; user?: string; password?: string },
  folder: string,
): Promise<AuditResult> {
  const opened = await openOperatorLedger(address, 'restore')
  try {
    return await restore(opened.ledger, await opened.cursors(), folder)
  } finally {
    await opened.close()
  }
}
