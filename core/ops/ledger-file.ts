/**
 * What a data directory knows of its ledger, in its file `ledger.json`: which one it is, and how
 * far it has been seen. A directory of a version without this file knows a ledger by its stores.
 *
 * @source core/decisions/0017
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { BrokerError } from '../base/broker-error.ts'
import type { KnownLedger } from '../ports/known-ledger.ts'
import { writePrivateFile } from './embedded-nats/nats-settings.ts'

/** Folders of stores that are folded from the ledger. */
export const storeFolders = ['actors', 'views'] as const

const recordSchema = z.object({
  version: z.literal(1),
  ledger: z.string().regex(/^[0-9a-f]{8,64}$/),
  incarnation: z.string().regex(/^[0-9a-f]{8,64}$/),
  createdAtMs: z.number().int().nonnegative(),
  partitionCount: z.number().int().positive(),
  seen: z
    .object({
      sequence: z.number().int().nonnegative(),
      digest: z.string().optional(),
      isTick: z.boolean().optional(),
    })
    .optional(),
})

/** What the file says. Times are UTC ms. */
export type LedgerFile = Omit<z.infer<typeof recordSchema>, 'version'>

export const ledgerFileOf = (dataDir: string): string => join(dataDir, 'ledger.json')

/**
 * The file's content, or undefined without a file.
 * @throws BrokerError LEDGER_IDENTITY_UNREADABLE
 */
export function readLedgerFile(dataDir: string): LedgerFile | undefined {
  const path = ledgerFileOf(dataDir)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
  try {
    return recordSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new BrokerError('LEDGER_IDENTITY_UNREADABLE', `${path} is damaged`, { cause })
  }
}

/** Replaces the file, whole. */
export function writeLedgerFile(dataDir: string, record: LedgerFile): void {
  writePrivateFile(ledgerFileOf(dataDir), `${JSON.stringify({ version: 1, ...record })}\n`)
}

/**
 * What the directory knows; undefined when it has never worked on a ledger.
 * @param isNewAccepted  a damaged file is then no obstacle: its ledger is given up
 * @throws BrokerError LEDGER_IDENTITY_UNREADABLE
 */
export function knownLedgerOf(dataDir: string, isNewAccepted: boolean): KnownLedger | undefined {
  const unnamed = { id: undefined, incarnation: undefined, seen: undefined }
  try {
    const record = readLedgerFile(dataDir)
    if (record === undefined) return hasStores(dataDir) ? unnamed : undefined
    const { ledger: id, incarnation, seen } = record
    return { id, incarnation, seen }
  } catch (fault) {
    if (isNewAccepted && fault instanceof BrokerError) return unnamed
    throw fault
  }
}

/** True when a store was opened here: a ledger was there before it. */
const hasStores = (dataDir: string): boolean =>
  storeFolders.some((name) => {
    const file = join(dataDir, name, 'data.mdb')
    return existsSync(file) && statSync(file).size > 0
  })
